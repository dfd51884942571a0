/*
 * A table of the connections that pass by, with the TCP state of both ends, each second of the capture's time, and
 * once more at its end.
 *
 *     cc -I include examples/midstat.c -lmos -lpthread -o midstat
 *     MOS_IO=pcap:FILE ./midstat [-f MOS_CONF] [-c CORES] [-i MILLISECONDS]
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/queue.h>

#include "mos_api.h"

#define MAX_CORES 64

struct connection {
	int core, state[2];
	struct sockaddr_in end[2];
	TAILQ_ENTRY(connection) link;
};

static TAILQ_HEAD(, connection) table = TAILQ_HEAD_INITIALIZER(table);
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static mctx_t contexts[MAX_CORES];
static int cores;
static struct timeval interval = { 1, 0 };

static const char *const state_names[] = {
	"CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
	"FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT",
};

static void print_end(const struct sockaddr_in *end, int state)
{
	char address[INET_ADDRSTRLEN], both[32];

	inet_ntop(AF_INET, &end->sin_addr, address, sizeof(address));
	snprintf(both, sizeof(both), "%s:%d", address, ntohs(end->sin_port));
	printf("%-21s %-12s", both, state_names[state]);
}

static void print_table(void)
{
	struct connection *c;

	printf("Proto CPU Client Address        Client State Server Address        Server State\n");
	pthread_mutex_lock(&table_lock);
	TAILQ_FOREACH(c, &table, link) {
		printf("%-5s %-3d ", "tcp", c->core);
		print_end(&c->end[MOS_SIDE_CLI], c->state[MOS_SIDE_CLI]);
		printf(" ");
		print_end(&c->end[MOS_SIDE_SVR], c->state[MOS_SIDE_SVR]);
		printf("\n");
	}
	pthread_mutex_unlock(&table_lock);
	printf("\n");
}

static void on_timer(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg)
{
	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	print_table();
	mtcp_settimer(mctx, id, &interval, on_timer);
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->end);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c == NULL || mtcp_getpeername(mctx, sock, (struct sockaddr *)c->end, &len, MOS_SIDE_BOTH) < 0) {
		free(c);
		return;
	}
	c->core = mctx->cpu;
	pthread_mutex_lock(&table_lock);
	TAILQ_INSERT_TAIL(&table, c, link);
	pthread_mutex_unlock(&table_lock);
	mtcp_set_uctx(mctx, sock, c);
}

static void on_change(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);
	int option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, state;
	socklen_t len = sizeof(state);

	UNUSED(event);
	UNUSED(arg);
	if (c == NULL || mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &state, &len) < 0)
		return;
	pthread_mutex_lock(&table_lock);
	c->state[side] = state;
	pthread_mutex_unlock(&table_lock);
}

/* Comes for each side: the second time the record is gone. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c == NULL)
		return;
	pthread_mutex_lock(&table_lock);
	TAILQ_REMOVE(&table, c, link);
	pthread_mutex_unlock(&table_lock);
	free(c);
	mtcp_set_uctx(mctx, sock, NULL);
}

/* States are followed, octets are not needed. */
static int set_up(mctx_t mctx)
{
	int zero = 0, sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0 || mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIBUF, &zero, sizeof(zero)) < 0 ||
	    mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_SVRBUF, &zero, sizeof(zero)) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_change) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_change) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		return -1;
	return mctx->cpu == 0 ? mtcp_settimer(mctx, sock, &interval, on_timer) : 0;
}

static void on_interrupt(int signum)
{
	UNUSED(signum);
	for (int i = 0; i < cores; i++)
		mtcp_destroy_context(contexts[i]);
}

static int fail(const char *program)
{
	fprintf(stderr, "%s: %s: %s\n", program, strerror(errno), mos_last_error());
	return 1;
}

int main(int argc, char **argv)
{
	const char *file = "mos.conf";
	struct mtcp_conf conf;
	int option, wanted = 0;

	while ((option = getopt(argc, argv, "f:c:i:")) != -1) {
		int n = option == 'f' ? 0 : atoi(optarg ? optarg : "");
		if (option == 'f')
			file = optarg;
		else if (option == 'c' && n > 0 && n <= MAX_CORES)
			wanted = n;
		else if (option == 'i' && n > 0)
			interval = (struct timeval){ n / 1000, n % 1000 * 1000 };
		else
			return 2;
	}
	if (mtcp_init(file) < 0 || mtcp_getconf(&conf) < 0)
		return fail(argv[0]);
	conf.num_cores = wanted > 0 ? wanted : conf.num_cores;
	if (mtcp_setconf(&conf) < 0)
		return fail(argv[0]);
	mtcp_register_signal(SIGINT, on_interrupt);
	for (; cores < conf.num_cores; cores++) {
		contexts[cores] = mtcp_create_context(cores);
		if (contexts[cores] == NULL || set_up(contexts[cores]) < 0)
			return fail(argv[0]);
	}
	for (int i = 0; i < cores; i++)
		mtcp_app_join(contexts[i]);
	print_table();
	on_interrupt(0);
	while (!TAILQ_EMPTY(&table)) {
		struct connection *c = TAILQ_FIRST(&table);
		TAILQ_REMOVE(&table, c, link);
		free(c);
	}
	mtcp_destroy();
	return 0;
}
