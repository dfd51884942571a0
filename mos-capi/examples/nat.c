/*
 * Network address translation: connections leave from one address, each from a port of its own, and what comes back
 * to that port goes to the client. Prints nothing.
 *
 *     cc -I include -I include/compat examples/nat.c -lmos -lpthread -o nat
 *     MOS_IO=pcap:IN,OUT ./nat [-f MOS_CONF] [-c CORES] -i NAT_ADDRESS
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
#include "rss.h"

#define FIRST_PORT 1025
#define LAST_PORT 65534

/* Where the fields are in their headers. */
#define IP_SOURCE 12
#define IP_DESTINATION 16
#define TCP_SOURCE 0
#define TCP_DESTINATION 2

/* A port of the address; its connection has it as user context. */
struct port {
	in_port_t number; /* in network order */
	TAILQ_ENTRY(port) link;
};

static struct port ports[LAST_PORT - FIRST_PORT + 1];
static TAILQ_HEAD(, port) unused = TAILQ_HEAD_INITIALIZER(unused);
static pthread_mutex_t unused_lock = PTHREAD_MUTEX_INITIALIZER;
static struct in_addr nat;
static mctx_t contexts[MAX_CPUS];
static int cores, wanted;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* The answers must come to the core that knows the connection. NULL when no port is left for it. */
static struct port *take_port(int core, const struct sockaddr_in *server)
{
	struct port *p;

	pthread_mutex_lock(&unused_lock);
	TAILQ_FOREACH(p, &unused, link)
		if (GetRSSCPUCore(nat.s_addr, server->sin_addr.s_addr, p->number, server->sin_port, wanted) == core)
			break;
	if (p != NULL)
		TAILQ_REMOVE(&unused, p, link);
	pthread_mutex_unlock(&unused_lock);
	return p;
}

/* To the end: a port that has just been used is the last that is used again. */
static void put_port(struct port *p)
{
	pthread_mutex_lock(&unused_lock);
	TAILQ_INSERT_TAIL(&unused, p, link);
	pthread_mutex_unlock(&unused_lock);
}

static int overwrite(mctx_t mctx, int sock, int ip_offset, struct in_addr address, int tcp_offset, in_port_t port)
{
	int tcp = MOS_TCP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM;

	if (mtcp_setlastpkt(mctx, sock, 0, ip_offset, (unsigned char *)&address, sizeof(address),
			    MOS_IP_HDR | MOS_OVERWRITE) < 0)
		return -1;
	return mtcp_setlastpkt(mctx, sock, 0, tcp_offset, (unsigned char *)&port, sizeof(port), tcp);
}

/* Before the receiver hears of the packet: the server knows the connection by its new address from the SYN on. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct port *p = mtcp_get_uctx(mctx, sock);
	struct sockaddr_in end[2];
	socklen_t len = sizeof(end);
	int done = -1;

	UNUSED(event);
	UNUSED(arg);
	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)end, &len, MOS_SIDE_BOTH) < 0)
		die("mtcp_getpeername");
	if (p == NULL) {
		p = take_port(mctx->cpu, &end[MOS_SIDE_SVR]);
		mtcp_set_uctx(mctx, sock, p);
	}
	if (p != NULL && side == MOS_SIDE_CLI)
		done = overwrite(mctx, sock, IP_SOURCE, nat, TCP_SOURCE, p->number);
	else if (p != NULL)
		done = overwrite(mctx, sock, IP_DESTINATION, end[MOS_SIDE_CLI].sin_addr, TCP_DESTINATION,
				 end[MOS_SIDE_CLI].sin_port);
	if (done < 0)
		mtcp_setlastpkt(mctx, sock, 0, 0, NULL, 0, MOS_DROP);
}

/* Comes for each side: the second time the port is another's. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct port *p = mtcp_get_uctx(mctx, sock);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (p == NULL)
		return;
	mtcp_set_uctx(mctx, sock, NULL);
	put_port(p);
}

/* Only headers are changed, octets are not needed. */
static void set_up(mctx_t mctx)
{
	int zero = 0, sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0)
		die("mtcp_socket");
	if (mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIBUF, &zero, sizeof(zero)) < 0 ||
	    mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_SVRBUF, &zero, sizeof(zero)) < 0)
		die("mtcp_setsockopt");
	if (mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		die("mtcp_register_callback");
}

static void on_interrupt(int signum)
{
	UNUSED(signum);
	for (int i = 0; i < cores; i++)
		mtcp_destroy_context(contexts[i]);
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [-f MOS_CONF] [-c CORES] -i NAT_ADDRESS; there are %d cores\n", program, GetNumCPUs());
	return EXIT_FAILURE;
}

static void run(const char *file)
{
	struct mtcp_conf conf;

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
	on_interrupt(0);
	mtcp_destroy();
}

int main(int argc, char **argv)
{
	char *file = "config/mos.conf";
	int most = MIN(GetNumCPUs(), MAX_CPUS), option;

	wanted = most;
	while ((option = getopt(argc, argv, "f:c:i:")) != -1) {
		if (option == 'f')
			file = optarg;
		else if (option == 'c' && atoi(optarg) > 0 && atoi(optarg) <= most)
			wanted = atoi(optarg);
		else if (option != 'i' || inet_pton(AF_INET, optarg, &nat) != 1)
			return usage(argv[0]);
	}
	if (nat.s_addr == INADDR_ANY)
		return usage(argv[0]);
	for (int number = FIRST_PORT; number <= LAST_PORT; number++) {
		ports[number - FIRST_PORT].number = htons(number);
		put_port(&ports[number - FIRST_PORT]);
	}
	run(file);
	return 0;
}
