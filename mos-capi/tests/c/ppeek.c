/*
 * mtcp_ppeek(): every error and every sentence of its manual page, over a made capture (see captures.rs), whose packets
 * are counted here. usage: ppeek MOS_CONF
 */
#include "check.h"

#define CLI MOS_SIDE_CLI
#define SVR MOS_SIDE_SVR
#define RING 8192

static mctx_t wild = (mctx_t)0x1234;
static int passive, raw;
static int packet;          /* of the capture, from 1 */
static int ends, timers, new_data, errors;
static int scenario;        /* 0: everything is kept; 1: the server's octets are not kept; 2: switched off midway */
static char buf[20000];

static ssize_t ppeek(mctx_t m, int sock, int side, size_t n, uint64_t off)
{
	memset(buf, 0x5a, sizeof(buf));
	ssize_t got = mtcp_ppeek(m, sock, side, buf, n, off);
	/* Nothing is written behind what was returned, and nothing on errors. */
	size_t from = got > 0 ? (size_t)got : 0;
	for (size_t i = from; i < sizeof(buf); i++)
		if (buf[i] != 0x5a) {
			CHECK(!"the buffer is untouched");
			break;
		}
	return got;
}

/* `n` octets asked for at `off` give `got`, and they are the right ones. */
#define READS(got, side, n, off)                                  \
	do {                                                      \
		GIVES(got, ppeek(mctx, sock, side, n, off));      \
		CHECK(is_pattern(side, off, buf, got));           \
	} while (0)

static void errors_of_arguments(mctx_t mctx, int sock)
{
	FAILS(EACCES, ppeek(NULL, sock, SVR, 10, 0));
	FAILS(EACCES, ppeek(wild, sock, SVR, 10, 0));
	FAILS(EBADF, ppeek(mctx, -1, SVR, 10, 0));
	FAILS(EBADF, ppeek(mctx, 1 << 30, SVR, 10, 0));
	FAILS(EBADF, ppeek(mctx, sock + 5, SVR, 10, 0));
	FAILS(ESOCKTNOSUPPORT, ppeek(mctx, passive, SVR, 10, 0));
	FAILS(ESOCKTNOSUPPORT, ppeek(mctx, raw, SVR, 10, 0));
	FAILS(EINVAL, ppeek(mctx, sock, MOS_SIDE_BOTH, 10, 0));
	FAILS(EINVAL, ppeek(mctx, sock, -1, 10, 0));
	FAILS(EINVAL, ppeek(mctx, sock, 77, 10, 0));
}

static void before_the_receiver(mctx_t mctx, int sock, int side)
{
	if (packet == 1) {
		CHECK(side == CLI);
		FAILS(EINVAL, ppeek(mctx, sock, SVR, 10, 0));   /* there is no server yet */
		FAILS(ENOTCONN, ppeek(mctx, sock, CLI, 10, 0)); /* SYN_SENT cannot receive */
		GIVES(0, mtcp_peek(mctx, sock, CLI, buf, 10));
	}
	if (packet == 4) /* the packet's own octets are not stored yet */
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 0));
}

static void holes_and_ranges(mctx_t mctx, int sock)
{
	switch (packet) {
	case 4: /* 0..100 */
		READS(100, SVR, 100, 0);
		READS(100, SVR, 1000, 0); /* fewer than asked for are no error */
		READS(1, SVR, 1, 99);
		READS(50, SVR, 50, 25);
		READS(100, SVR, 100, 0);  /* nothing was consumed */
		GIVES(0, ppeek(mctx, sock, SVR, 0, 0));
		GIVES(0, ppeek(mctx, sock, SVR, 0, 5000));
		GIVES(0, mtcp_ppeek(mctx, sock, SVR, NULL, 0, 0));
		FAILS(EFAULT, mtcp_ppeek(mctx, sock, SVR, NULL, 10, 0));
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 100));
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, UINT64_MAX));
		FAILS(ENODATA, ppeek(mctx, sock, CLI, 10, 0)); /* the client heard nothing */
		errors_of_arguments(mctx, sock);
		break;
	case 5: /* 0..100, 200..300 */
		READS(100, SVR, 1000, 200);
		READS(10, SVR, 10, 290);
		READS(100, SVR, 300, 0); /* never across a hole */
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 100));
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 199));
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 300));
		break;
	case 6: /* 0..100, 200..300, 400..450 */
		READS(50, SVR, SIZE_MAX, 400);
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 350));
		break;
	case 7: /* 0..300, 400..450 */
		READS(300, SVR, 1000, 0);
		READS(250, SVR, 1000, 50);
		READS(50, SVR, 1000, 400);
		break;
	case 8: /* 0..50 from the server */
		READS(50, CLI, 1000, 0);
		FAILS(ENODATA, ppeek(mctx, sock, CLI, 10, 50));
		break;
	case 9:
		READS(450, SVR, 1000, 0);
		break;
	case 21: /* 0..12450; what this packet will push out of the ring is still there */
		READS(RING + 1000, SVR, sizeof(buf), 12450 - RING - 1000);
		break;
	case 22: /* 60..100 from the server, a hole before it; the server's ring holds the last 8192 octets */
		READS(RING, SVR, RING, 12450 - RING);
		READS(RING, SVR, sizeof(buf), 12450 - RING);
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 12450 - RING - 1));
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 0));
		READS(40, CLI, 1000, 60);
		READS(50, CLI, 1000, 0);
		FAILS(ENODATA, ppeek(mctx, sock, CLI, 10, 55));
		break;
	case 23:
		READS(100, CLI, 1000, 0);
		break;
	case 24: /* the client's FIN takes no place in the stream */
		READS(10, SVR, 1000, 12440);
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 1, 12450));
		break;
	}
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	CHECK(event == MOS_ON_PKT_IN && arg == NULL && mctx != NULL && mctx->cpu == 0);
	(void)side;
	if (scenario == 0)
		holes_and_ranges(mctx, sock);
	if (scenario == 0 && packet == 1) {
		FAILS(ENODATA, ppeek(mctx, sock, SVR, 10, 0));  /* SYN_RCVD, nothing came */
		FAILS(ENOTCONN, ppeek(mctx, sock, CLI, 10, 0));
		FAILS(ENOTCONN, ppeek(mctx, sock, CLI, 0, 0));
	}
	if (scenario == 0 && packet == 2)
		FAILS(ENODATA, ppeek(mctx, sock, CLI, 10, 0)); /* ESTABLISHED */
	if (scenario == 1 && packet == 9) {
		FAILS(EINVAL, ppeek(mctx, sock, SVR, 10, 0));
		FAILS(EINVAL, ppeek(mctx, sock, SVR, 0, 0));
		FAILS(EINVAL, mtcp_peek(mctx, sock, SVR, buf, 10));
		READS(50, CLI, 1000, 0);
	}
	if (scenario == 2 && packet == 9) {
		int zero = 0;
		READS(450, SVR, 1000, 0);
		GIVES(0, mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_SVRBUF, &zero, sizeof(zero)));
	}
	if (scenario == 2 && packet >= 9)
		FAILS(EINVAL, ppeek(mctx, sock, SVR, 10, 0)); /* already disabled */
}

static void on_sending(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	packet++;
	if (scenario == 0)
		before_the_receiver(mctx, sock, side);
}

/* The position of mtcp_peek() is its own. */
static void on_new_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static uint64_t seen[2];
	(void)event;
	(void)arg;
	new_data++;
	if (scenario != 0 || packet >= 10)
		return;
	ssize_t all = mtcp_ppeek(mctx, sock, side, buf, 1000, 0);
	CHECK(all > 0 && is_pattern(side, 0, buf, all));
	ssize_t fresh = mtcp_peek(mctx, sock, side, buf, 1000);
	CHECK(fresh >= 0 && is_pattern(side, seen[side], buf, fresh));
	seen[side] += (uint64_t)fresh;
	GIVES(0, mtcp_peek(mctx, sock, side, buf, 1000));
	ssize_t again = mtcp_ppeek(mctx, sock, side, buf, 1000, 0);
	CHECK(again >= all && is_pattern(side, 0, buf, again));
}

static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static int first_sock;
	(void)event;
	(void)arg;
	ends++;
	if (ends == 1)
		first_sock = sock;
	CHECK(sock == first_sock);
	if (scenario != 0)
		return;
	(void)side; /* both streams can be read at both */
	READS(100, CLI, 1000, 0);
	READS(RING, SVR, RING + 1, 12450 - RING);
	if (ends == 1) {
		/* This socket read nothing since offset 450: that much is lost, and told once. */
		FAILS_WITH(-(12450 - RING - 450), ENODATA, mtcp_peek(mctx, sock, SVR, buf, sizeof(buf)));
		GIVES(RING, mtcp_peek(mctx, sock, SVR, buf, sizeof(buf)));
		CHECK(is_pattern(SVR, 12450 - RING, buf, RING));
		GIVES(0, mtcp_peek(mctx, sock, SVR, buf, sizeof(buf)));
	}
}

static void on_error(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	errors++;
	CHECK(side == SVR && packet >= 18 && packet <= 21);
	/* What is about to be pushed out can still be read, what was pushed out before cannot. */
	uint64_t head = 450 + (uint64_t)(packet - 10) * 1000 - RING;
	READS(RING, SVR, RING, head);
	FAILS(ENODATA, ppeek(mctx, sock, SVR, 1, head - 1));
}

static int timer_sock;

static void on_timer(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	timers++;
	CHECK(id == 99 && side == 0 && event == 0);
	if (scenario == 0) { /* between packets 9 and 10: a timer may read, too */
		int sock = timer_sock;
		READS(450, SVR, 1000, 0);
		FAILS(EBADF, ppeek(mctx, -1, SVR, 1000, 0));
	}
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)side;
	(void)event;
	(void)arg;
	timer_sock = sock;
}

static void run(const char *conf)
{
	struct timeval at = { 0, 81000 }; /* packets are 10 ms apart */
	int zero = 0;
	packet = ends = timers = new_data = errors = 0;

	GIVES(0, mtcp_init(conf));
	mctx_t mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	passive = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	MUST(passive >= 0 && raw >= 0);
	if (scenario == 1)
		GIVES(0, mtcp_setsockopt(mctx, passive, SOL_MONSOCKET, MOS_SVRBUF, &zero, sizeof(zero)));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_CONN_START, MOS_HK_SND, on_start));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN, MOS_HK_SND, on_sending));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN, MOS_HK_RCV, on_packet));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_new_data));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_ERROR, MOS_NULL, on_error));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_CONN_END, MOS_HK_SND, on_end));
	GIVES(0, mtcp_settimer(mctx, 99, &at, on_timer));

	/* Not inside a callback, whatever the socket. */
	FAILS(EPERM, ppeek(mctx, passive, SVR, 10, 0));
	FAILS(EPERM, ppeek(mctx, passive, SVR, 0, 0));
	FAILS(EPERM, ppeek(mctx, -1, SVR, 10, 0));
	FAILS(EACCES, ppeek(wild, passive, SVR, 10, 0));

	errno = 12345;
	mtcp_app_join(mctx);
	CHECK(errno == 12345);
	FAILS(EPERM, ppeek(mctx, passive, SVR, 10, 0));
	GIVES(0, mtcp_destroy_context(mctx));
	FAILS(EACCES, ppeek(mctx, passive, SVR, 10, 0));
	GIVES(0, mtcp_destroy());

	CHECK(packet == 26);
	CHECK(ends == 2);
	CHECK(timers == 1);
	CHECK(errors == (scenario == 0 ? 4 : 0));
	CHECK(new_data == (scenario == 0 ? 17 : scenario == 1 ? 2 : 4));
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (scenario = 0; scenario < 3; scenario++)
		run(argv[1]);
	return report();
}
