/* One stream socket, and what its callbacks count and find. */
#ifndef MONITOR_H
#define MONITOR_H

#include "check.h"

#define CLI MOS_SIDE_CLI
#define SVR MOS_SIDE_SVR
#define ETH (MOS_ETH_HDR | MOS_OVERWRITE)
#define IP (MOS_IP_HDR | MOS_OVERWRITE)
#define TCP (MOS_TCP_HDR | MOS_OVERWRITE)
#define PAYLOAD (MOS_TCP_PAYLOAD | MOS_OVERWRITE)
#define UPDATE (MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM)

static mctx_t mctx;
static int monitor, sent, received, starts, ends, orphans, errors, update;
static struct pkt_info p;
static char heard[2][20000]; /* what each side heard */
static long length[2];

/* A stream socket, and who listens where. */
static inline void open_monitor(int domain)
{
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	monitor = mtcp_socket(mctx, domain, MOS_SOCK_MONITOR_STREAM, 0);
	MUST(monitor >= 0);
	sent = received = starts = ends = orphans = errors = 0;
}

static inline void listen_to(event_t event, int hook, callback_t callback)
{
	GIVES(0, mtcp_register_callback(mctx, monitor, event, hook, callback));
}

static inline void run(void)
{
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
}

static inline void resize(int sock, int name, int octets)
{
	GIVES(0, mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, name, &octets, sizeof(octets)));
}

/* Changes octets of the packet, and sees them changed. */
static inline void set(int offset, const void *octets, int n, int option)
{
	byte *place;

	GIVES(0, mtcp_setlastpkt(mctx, -7, 0, offset, (byte *)octets, (uint16_t)n, option));
	GIVES(0, mtcp_getlastpkt(mctx, monitor, 0, &p));
	place = option & MOS_ETH_HDR ? (byte *)p.ethh : option & MOS_IP_HDR ? (byte *)p.iph :
		option & MOS_TCP_HDR ? (byte *)p.tcph : p.payload;
	CHECK(memcmp(place + offset, octets, (size_t)n) == 0);
}

static inline void on_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	long n = mtcp_peek(m, sock, side, heard[side] + length[side], sizeof(heard[side]) - (size_t)length[side]);
	CHECK(n > 0);
	length[side] += n;
}

static inline void on_orphan(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	orphans++;
}

/* Parts of a program, by the beginnings of their names. */
struct part {
	const char *name;
	void (*run)(void);
};

/* Runs the part that the program is started for: PROGRAM PART MOS_CONF. */
static inline int run_part(const struct part *parts, size_t n, int argc, char **argv)
{
	size_t i = 0;

	if (argc != 3)
		return 2;
	update = strstr(argv[1], "update") != NULL;
	GIVES(0, mtcp_init(argv[2]));
	while (i < n && strncmp(argv[1], parts[i].name, strlen(parts[i].name)) != 0)
		i++;
	MUST(i < n);
	parts[i].run();
	GIVES(0, mtcp_destroy());
	return report();
}

#endif
