/* The monitor of the bench `skin` in C: counts packets at both hooks, beginnings and ends, and reads every octet. */
#include <time.h>

#include "mos_api.h"

struct counts {
	uint64_t packets; /* at both hooks */
	uint64_t connections;
	uint64_t octets;
	uint64_t nanoseconds;
};

static struct counts counts;
static char buf[4096] __attribute__((aligned(4096)));

static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	counts.packets++;
}

static void on_connection(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	counts.connections++;
}

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	ssize_t n;

	(void)event, (void)arg;
	while ((n = mtcp_peek(mctx, sock, side, buf, sizeof buf)) != 0)
		counts.octets += n > 0 ? (uint64_t)n : 0;
}

/* Time that all threads of the process have run, nanoseconds: what else the machine does hardly counts. */
uint64_t monitor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Runs the monitor over what MOS_IO names. 0, or -1. */
int monitor_run(const char *conf, struct counts *result)
{
	uint64_t begin;

	counts = (struct counts){ 0 };
	if (mtcp_init(conf) < 0)
		return -1;
	mctx_t mctx = mtcp_create_context(0);
	int sock = mctx ? mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0) : -1;
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, on_packet) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_connection) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_connection) < 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) < 0)
		return -1;
	begin = monitor_time();
	mtcp_app_join(mctx);
	counts.nanoseconds = monitor_time() - begin;
	*result = counts;
	mtcp_destroy_context(mctx);
	return mtcp_destroy();
}
