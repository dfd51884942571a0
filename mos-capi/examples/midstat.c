/*
 * A table of the connections that pass by, with the TCP state of both ends, each second of the packets' time, and
 * once more when the input ends.
 *
 *     cc -I include -I include/compat examples/midstat.c -lmos -lpthread -o midstat
 *     MOS_IO=pcap:FILE ./midstat [-f MOS_CONF] [-c CORES] [-i MILLISECONDS]
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/queue.h>

#include <mos_api.h>
#include "applib.h"
#include "cpu.h"

struct connection {
	int core, state[2];
	struct sockaddr_in end[2];
	TAILQ_ENTRY(connection) link;
};

static TAILQ_HEAD(, connection) table = TAILQ_HEAD_INITIALIZER(table);
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static mctx_t contexts[MAX_CPUS];
static int cores;
static struct timeval interval = { 1, 0 };

static const char *const state_names[] = {
	"CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
	"FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT",
};

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

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
	fflush(stdout);
}

static void on_timer(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg)
{
	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	print_table();
	if (mtcp_settimer(mctx, id, &interval, on_timer) < 0)
		die("mtcp_settimer");
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->end);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c == NULL)
		die("calloc");
	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)c->end, &len, MOS_SIDE_BOTH) < 0)
		die("mtcp_getpeername");
	c->core = mctx->cpu;
	pthread_mutex_lock(&table_lock);
	TAILQ_INSERT_TAIL(&table, c, link);
	pthread_mutex_unlock(&table_lock);
	mtcp_set_uctx(mctx, sock, c);
}

/* The last change of the side that ends second comes when the record is gone. */
static void on_change(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);
	int option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, state;
	socklen_t len = sizeof(state);

	UNUSED(event);
	UNUSED(arg);
	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &state, &len) < 0)
		die("mtcp_getsockopt");
	if (c == NULL)
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
static void set_up(mctx_t mctx)
{
	int zero = 0, sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0)
		die("mtcp_socket");
	if (mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIBUF, &zero, sizeof(zero)) < 0 ||
	    mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_SVRBUF, &zero, sizeof(zero)) < 0)
		die("mtcp_setsockopt");
	if (mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_change) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_change) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		die("mtcp_register_callback");
	if (mctx->cpu == 0 && mtcp_settimer(mctx, sock, &interval, on_timer) < 0)
		die("mtcp_settimer");
}

static void on_interrupt(int signum)
{
	UNUSED(signum);
	for (int i = 0; i < cores; i++)
		mtcp_destroy_context(contexts[i]);
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [-f MOS_CONF] [-c CORES] [-i MILLISECONDS]; there are %d cores\n", program, GetNumCPUs());
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	char *file = "config/mos.conf";
	int most = MIN(GetNumCPUs(), MAX_CPUS), wanted = most, option;
	struct mtcp_conf conf;

	while ((option = getopt(argc, argv, "f:c:i:")) != -1) {
		int n = option == 'f' || option == '?' ? 0 : atoi(optarg);
		if (option == 'f')
			file = optarg;
		else if (option == 'c' && n > 0 && n <= most)
			wanted = n;
		else if (option == 'i' && n > 0)
			interval = (struct timeval){ n / 1000, n % 1000 * 1000 };
		else
			return usage(argv[0]);
	}
	if (mtcp_init(file) < 0)
		die(file);
	mtcp_getconf(&conf);
	conf.num_cores = wanted;
	if (mtcp_setconf(&conf) < 0)
		die("mtcp_setconf");
	mtcp_register_signal(SIGINT, on_interrupt);
	for (; cores < wanted; cores++) {
		contexts[cores] = mtcp_create_context(cores);
		if (contexts[cores] == NULL)
			die("mtcp_create_context");
		set_up(contexts[cores]);
	}
	for (int i = 0; i < cores; i++)
		mtcp_app_join(contexts[i]);
	print_table();
	on_interrupt(0);
	mtcp_destroy();
	return 0;
}
