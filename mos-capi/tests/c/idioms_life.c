/*
 * What kills the original in the life of sockets and connections: each part is one row of its list of defects, over a capture
 * of captures.rs, and is survived here. usage: idioms_life PART MOS_CONF
 */
#include "monitor.h"
#include <limits.h>

#define MON SOL_MONSOCKET

static int asked, other;

static void nothing(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
}

static void count_start(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	starts++;
}

static void count_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	ends++;
}

static void count_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	received++;
}

/* ---- sides and descriptors ----------------------------------------------------------------------------------- */

static void wrong_side(mctx_t m, int sock, int side)
{
	struct tcp_buf_info info;
	char octets[10];
	(void)info;

	FAILS(EINVAL, mtcp_peek(m, sock, side, octets, sizeof(octets)));
	FAILS(EINVAL, mtcp_peek(m, sock, side, octets, 0));
	FAILS(EINVAL, mtcp_ppeek(m, sock, side, octets, sizeof(octets), 0));
	FAILS(EINVAL, mtcp_ppeek(m, sock, side, octets, 0, 0));
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p)); /* does not look at it */
	if (side == MOS_SIDE_BOTH)
		return;
	FAILS(EINVAL, mtcp_cb_stop(m, sock, side));
	FAILS(EINVAL, mtcp_setsockopt(m, sock, MON, MOS_STOP_MON, &side, sizeof(side)));
}

static void wrong_descriptor(mctx_t m, int sock)
{
	union monitor_filter filter = { .raw_pkt_filter = "tcp" };
	struct sockaddr_in both[2];
	char octets[10];
	int zero = 0;
	socklen_t len = sizeof(zero), two = sizeof(both);

	FAILS(EBADF, mtcp_peek(m, sock, SVR, octets, sizeof(octets)));
	FAILS(EBADF, mtcp_ppeek(m, sock, SVR, octets, sizeof(octets), 0));
	FAILS(EBADF, mtcp_getlastpkt(m, sock, SVR, &p));
	FAILS(EBADF, mtcp_sendpkt(m, sock, &p));
	FAILS(EBADF, mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_SND, nothing));
	FAILS(EBADF, mtcp_unregister_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_SND));
	FAILS(EBADF, mtcp_bind_monitor_filter(m, sock, &filter));
	FAILS(EBADF, mtcp_cb_stop(m, sock, SVR));
	FAILS(EBADF, mtcp_reset_conn(m, sock));
	FAILS(EBADF, mtcp_close(m, sock));
	FAILS(EBADF, mtcp_getsockopt(m, sock, MON, MOS_TCP_STATE_CLI, &zero, &len));
	FAILS(EBADF, mtcp_getsockopt(m, sock, SOL_SOCKET, SO_ERROR, &zero, &len));
	FAILS(EBADF, mtcp_setsockopt(m, sock, MON, MOS_CLIBUF, &zero, sizeof(zero)));
	FAILS(EBADF, mtcp_getpeername(m, sock, (struct sockaddr *)both, &two, MOS_SIDE_BOTH));
	FAILS_WITH(EBADF, EBADF, (mtcp_set_uctx(m, sock, both), errno));
	FAILS_WITH(NULL, EBADF, mtcp_get_uctx(m, sock));
}

static void try_all(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const int sides[] = { MOS_SIDE_BOTH, -1, 3, 77, INT_MIN, INT_MAX };
	(void)side, (void)event, (void)arg;

	if (++received != 4)
		return;
	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		wrong_side(m, sock, sides[i]);
	GIVES(0, mtcp_getlastpkt(m, sock, SVR, &p));
	for (int other = -70; other < 300; other++)
		if (other != sock && other != monitor)
			wrong_descriptor(m, other);
	for (int bit = 9; bit < 31; bit++)
		for (int off = -1; off < 2; off++) {
			wrong_descriptor(m, (1 << bit) + off);
			wrong_descriptor(m, -(1 << bit) + off);
		}
	wrong_descriptor(m, INT_MIN);
	wrong_descriptor(m, INT_MAX);
}

static void wrong(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, try_all);
	run();
	CHECK(received == 10);
}

/* ---- the first SYN, when the server has no stream yet -------------------------------------------------------- */

static int how;

static void ask_at_first(mctx_t m, int sock)
{
	int state = 77;
	uint32_t time = 0;
	struct tcp_ring_fragment r;
	struct tcp_buf_info info;
	socklen_t len = sizeof(time), one = 1, size = sizeof(info);

	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_TIMESTAMP, &time, &len));
	CHECK(time == mtcp_cb_get_ts(m));
	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_TCP_STATE_SVR, &state, &len));
	CHECK(state == TCP_LISTEN);
	FAILS(EINVAL, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_SVRBUF, &r, &one));
	FAILS(EINVAL, mtcp_getsockopt(m, sock, MON, MOS_INFO_SVRBUF, &info, &size));
	FAILS(ENODATA, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_CLIBUF, &r, &one));
	FAILS(ENODATA, mtcp_getsockopt(m, sock, MON, MOS_INFO_CLIBUF, &info, &size));
}

/* One thing that dies there in each run. */
static void at_first(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const struct {
		int name, value;
	} options[] = {
		{ MOS_SVRBUF, 0 },		  { MOS_CLIBUF, 0 },
		{ MOS_FRAG_SVRBUF, 0 },		  { MOS_SVRBUF, 100000 },
		{ MOS_SVROVERLAP, 1 },		  { MOS_CLIOVERLAP, 1 },
		{ MOS_STOP_MON, MOS_SIDE_SVR },	  { MOS_STOP_MON, MOS_SIDE_CLI },
		{ MOS_STOP_MON, MOS_SIDE_BOTH },
	};
	(void)event, (void)arg;

	received++;
	if (sent++ > 0)
		return;
	CHECK(side == CLI);
	ask_at_first(m, sock);
	if (how < (int)(sizeof(options) / sizeof(options[0])))
		resize(sock, options[how].name, options[how].value);
	else
		GIVES(0, mtcp_close(m, sock));
	int state = 77;
	socklen_t len = sizeof(state);
	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_TCP_STATE_CLI, &state, &len)); /* it is still there */
	CHECK(state == TCP_SYN_SENT);
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
}

static void first(void)
{
	/* Packets of the client and of the server that are seen then, of six and four. */
	static const int seen[] = { 10, 10, 10, 10, 10, 10, 6, 5, 1, 1 };

	for (how = 0; how < 10; how++) {
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, at_first);
		run();
		CHECK(received == seen[how]);
	}
}

/* Options of connections, given to a passive socket, which has no streams, and to a raw one. */
static void templates(void)
{
	int side = MOS_SIDE_SVR, one = 1, zero = 0;

	open_monitor(AF_INET);
	int raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	for (int name = MOS_CLIBUF; name <= MOS_SVROVERLAP; name++) {
		int known = name != MOS_SEQ_REMAP;
		if (known)
			FAILS(ENOTSOCK, mtcp_setsockopt(mctx, raw, MON, name, &zero, sizeof(zero)));
		else
			FAILS(ENOSYS, mtcp_setsockopt(mctx, raw, MON, name, &zero, sizeof(zero)));
	}
	GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_CLIOVERLAP, &one, sizeof(one)));
	GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_SVROVERLAP, &one, sizeof(one)));
	GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_FRAG_CLIBUF, &zero, sizeof(zero)));
	GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_STOP_MON, &side, sizeof(side)));
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, count_packet);
	run();
	CHECK(received == 6); /* those of the client */
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

/* Both sides can be asked for everything in the callbacks of both. */
static void ask_at_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in both[2];
	struct tcp_ring_fragment r[2];
	struct tcp_buf_info info;
	char octets[100];
	int state = 77;
	uint32_t time;
	socklen_t len = sizeof(both), four = sizeof(state);
	(void)side, (void)event, (void)arg;

	GIVES(0, mtcp_getpeername(m, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH));
	CHECK(ntohs(both[0].sin_port) >= 1000 && both[1].sin_port == htons(80));
	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_TIMESTAMP, &time, &four));
	for (int of = 0; of < 2; of++) {
		long octets_of = of == SVR ? 10 : 20;
		GIVES(0, mtcp_getsockopt(m, sock, MON, of == CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, &state, &four));
		CHECK(state == TCP_CLOSED);
		if (of == CLI && other)
			continue; /* it heard nothing */
		len = 2;
		GIVES(0, mtcp_getsockopt(m, sock, MON, of == CLI ? MOS_FRAGINFO_CLIBUF : MOS_FRAGINFO_SVRBUF, r, &len));
		CHECK(len == 1 && r[0].offset == 0 && r[0].len == octets_of);
		len = sizeof(info);
		GIVES(0, mtcp_getsockopt(m, sock, MON, of == CLI ? MOS_INFO_CLIBUF : MOS_INFO_SVRBUF, &info, &len));
		CHECK(info.tcpbi_next_byte_expected - info.tcpbi_init_seq == (uint32_t)octets_of);
		GIVES(octets_of, mtcp_ppeek(m, sock, of, octets, sizeof(octets), 0));
		CHECK(is_pattern(of, 0, octets, octets_of));
		if (mtcp_get_uctx(m, sock) == NULL)
			GIVES(octets_of, mtcp_peek(m, sock, of, octets, sizeof(octets)));
		GIVES(0, mtcp_peek(m, sock, of, octets, sizeof(octets)));
	}
	mtcp_set_uctx(m, sock, &asked);
	FAILS(ENODATA, mtcp_getlastpkt(m, sock, side, &p));
	asked++;
}

/* Streams that end in the burst in which they have data: the data is announced, before the end, and is there. */
static int announced, last_end = -1;

static void data_before_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char octets[100];
	long expected = side == SVR ? 10 : 20;
	(void)event, (void)arg;

	CHECK(sock != last_end);
	GIVES(expected, mtcp_peek(m, sock, side, octets, sizeof(octets)));
	CHECK(is_pattern(side, 0, octets, expected));
	announced++;
}

static void note_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char octets[100];
	(void)side, (void)event, (void)arg;

	ends++;
	last_end = sock;
	GIVES(10, mtcp_ppeek(m, sock, SVR, octets, sizeof(octets), 0));
	GIVES(0, mtcp_peek(m, sock, SVR, octets, sizeof(octets)));
}

static void forget_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	last_end = -1; /* descriptors are used again */
}

static void same_burst(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, forget_end);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, data_before_end);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, note_end);
	run();
	CHECK(announced == 8 && ends == 8);
}

static void both_ends(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, ask_at_end);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, ask_at_end);
	run();
	CHECK(asked == 4 * 4);
}

/* A connection that is given up because it was silent. */
static void silent(void)
{
	other = 1;
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, ask_at_end);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, ask_at_end);
	run();
	CHECK(asked == 4);
}

/* One side is not watched any more, the other one goes on speaking: it is not given up. */
static void stop_client(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (received++ == 0)
		GIVES(0, mtcp_cb_stop(m, sock, CLI));
	else
		CHECK(side == SVR);
}

static void one_sided(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, stop_client);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, count_end);
	listen_to(MOS_ON_ORPHAN, MOS_NULL, on_orphan);
	run();
	CHECK(received == 1 + 11 && ends == 0 && orphans == 0);
}

/* A context with live connections is destroyed again and again: nothing of it is followed afterwards. */
static void destroy_alive(void)
{
	for (int i = 0; i < 50; i++) {
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, count_packet);
		listen_to(MOS_ON_CONN_END, MOS_HK_SND, count_end);
		mctx_t old = mctx;
		if (i % 2 == 0)
			mtcp_app_join(mctx);
		GIVES(0, mtcp_destroy_context(mctx));
		CHECK(received == (i % 2 == 0 ? 8 : 0) && ends == 0);
		for (int twice = 0; twice < 2; twice++) {
			FAILS(EACCES, mtcp_destroy_context(old));
			FAILS_WITH(EACCES, EACCES, (mtcp_free_context(old), errno));
			FAILS_WITH(EACCES, EACCES, (mtcp_app_join(old), errno));
			FAILS(EACCES, mtcp_close(old, monitor));
			FAILS_WITH(UINT32_MAX, EACCES, mtcp_get_connection_cnt(old));
		}
	}
}

/* ---- who watches what ---------------------------------------------------------------------------------------- */

static void count_other(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	other++;
}

/* That a filter matched once does not mean that it matches the next connection. */
static void two_monitors(void)
{
	union monitor_filter web = { .stream_syn_filter = "tcp dst port 80", .stream_orphan_filter = NULL };

	open_monitor(AF_INET);
	GIVES(0, mtcp_bind_monitor_filter(mctx, monitor, &web));
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, count_start);
	int all = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	GIVES(0, mtcp_register_callback(mctx, all, MOS_ON_CONN_START, MOS_HK_SND, count_other));
	run();
	CHECK(starts == 1 && other == 3);
}

/* A SYN that comes again is no second beginning, and a RST that nobody would take no end. */
static void repeated(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, count_start);
	listen_to(MOS_ON_CONN_START, MOS_HK_RCV, count_start);
	listen_to(MOS_ON_REXMIT, MOS_HK_RCV, count_other);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, count_end);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	run();
	CHECK(starts == 2 && other >= 2 && ends == 2);
	CHECK(length[SVR] == 20 && is_pattern(SVR, 0, heard[SVR], 20));
}

/* What is registered on a passive socket is for connections that begin later, on a connection's for that one, on a raw
 * socket's at once. */
static int raw_socket, first_sock = -1;

static void on_active(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)side, (void)event, (void)arg;
	CHECK(sock == first_sock && received <= 8);
	asked++;
}

static void register_more(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (++received != 1)
		return;
	first_sock = sock;
	GIVES(0, mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_RCV, on_active));
	GIVES(0, mtcp_register_callback(m, monitor, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, count_other));
	GIVES(0, mtcp_register_callback(m, raw_socket, MOS_ON_PKT_IN, MOS_NULL, count_start));
	GIVES(0, mtcp_unregister_callback(m, monitor, MOS_ON_CONN_END, MOS_HK_SND));
}

static void scopes(void)
{
	open_monitor(AF_INET);
	raw_socket = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, register_more);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, count_end);
	run();
	/* Two connections of eight packets; five of a connection's packets change their sender's state. */
	CHECK(received == 16 && asked == 8 && starts == 15);
	CHECK(ends == 2 && other > 0 && other < 8);
}

/* A descriptor is another connection's after the end of the first: nothing of that one is left at it. */
static int kept[2], uses;

static void keep(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	kept[starts++ % 2] = sock;
	CHECK(mtcp_get_uctx(m, sock) == NULL);
	mtcp_set_uctx(m, sock, &kept);
	/* That of the connection before is closed, or this one, or a third one. */
	if (starts > 1) {
		struct sockaddr_in end;
		socklen_t len = sizeof(end);
		errno = 0;
		int found = mtcp_getpeername(m, kept[starts % 2], (struct sockaddr *)&end, &len, CLI);
		CHECK(found == 0 ? ntohs(end.sin_port) >= 1000 : errno == EBADF);
		uses++;
	}
}

static void recycled(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, keep);
	run();
	CHECK(starts == 1000 && uses == 999);
}

/* More SYNs than there is room for connections: those that nobody answers give way. */
static void flood(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, count_start);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, count_end);
	run();
	CHECK(starts == 501 && ends >= 2 && length[SVR] == 10 && length[CLI] == 20);
}

int main(int argc, char **argv)
{
	static const struct part parts[] = {
		{ "wrong", wrong },                 /* 8.1, 2 */
		{ "first", first },                 /* 6: in the first callback of all */
		{ "templates", templates },         /* 6: options of connections on passive sockets */
		{ "same_burst", same_burst },       /* 7 and 16 */
		{ "both_ends", both_ends },         /* 8 */
		{ "silent", silent },               /* 8: when it is given up */
		{ "destroy_alive", destroy_alive }, /* 12 */
		{ "one_sided", one_sided },         /* 14 */
		{ "two_monitors", two_monitors },   /* 15 */
		{ "flood", flood },                 /* 17 */
		{ "repeated", repeated },           /* 18 and 20 */
		{ "scopes", scopes },               /* mtcp_register_callback() */
		{ "recycled", recycled },           /* descriptors */
	};

	return run_part(parts, sizeof(parts) / sizeof(parts[0]), argc, argv);
}
