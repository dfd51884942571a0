/*
 * Packets that the program makes, connections that it resets or stops, and sizes of buffers, over captures of captures.rs
 * whose packets this counts. Who starts it looks at the output, too. usage: sends PART MOS_CONF
 */
#include "monitor.h"
#include <netinet/ip6.h>

/* ---- packets of the program's own -------------------------------------------------------------------------- */

/* From the client, or with `back` to it. */
static void send_from(mctx_t m, int sock, int back, const char *tag)
{
	struct iphdr ip;
	struct tcphdr tcp;
	struct pkt_info info;

	memset(&info, 0xee, sizeof(info)); /* nobody looks at the rest */
	memset(&ip, 0xee, sizeof(ip));
	memset(&tcp, 0xee, sizeof(tcp));
	ip.saddr = htonl(back ? 0x0a000002 : 0x0a000001);
	ip.daddr = htonl(back ? 0x0a000001 : 0x0a000002);
	tcp.source = htons(back ? 80 : 1000);
	tcp.dest = htons(back ? 1000 : 80);
	info.iph = &ip;
	info.tcph = &tcp;
	info.seq = 0xfffffff0;
	info.ack_seq = 6000;
	info.window = 777;
	info.payload = (uint8_t *)tag;
	info.payloadlen = (uint16_t)strlen(tag);
	GIVES(0, mtcp_sendpkt(m, sock, &info));
	GIVES(0, mtcp_sendpkt(m, monitor, &info)); /* no connection: nothing is sent */
}

static int active = -1;

static void send_at_start(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	active = sock;
	send_from(m, sock, 0, "start");
}

static void send_in_sender_hook(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (++sent == 4)
		send_from(m, sock, 0, "sender");
}

static void send_in_receiver_hook(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (++received == 4)
		send_from(m, sock, 1, "receiver");
}

static void send_at_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (side == CLI && length[CLI]++ == 0)
		send_from(m, sock, 0, "data");
}

static void send_later(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)id, (void)side, (void)event, (void)arg;
	starts++;
	send_from(m, active, 0, "timer");
}

static void send_at_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	ends++;
	if (side == CLI)
		send_from(m, sock, 0, "end");
}

static void sends(void)
{
	struct timeval soon = { 0, 45000 };
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, send_at_start);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, send_in_sender_hook);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, send_in_receiver_hook);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, send_at_data);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, send_at_end);
	listen_to(MOS_ON_ORPHAN, MOS_NULL, on_orphan);
	GIVES(0, mtcp_settimer(mctx, 1, &soon, send_later));
	run();
	CHECK(sent == 10 && received == 10 && starts == 1 && ends == 2 && orphans == 0 && length[CLI] == 2);
}

/* As many as there is room for in a burst, and one more. */
static void send_too_many(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	int n = 0;
	(void)event, (void)arg;

	if (++sent != 4)
		return;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	while (n < 5000 && mtcp_sendpkt(m, sock, &p) == 0)
		n++;
	CHECK(n == 256);
	FAILS(ENOBUFS, mtcp_sendpkt(m, sock, &p));
	FAILS(ENOBUFS, mtcp_reset_conn(m, sock));
}

static void flood(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, send_too_many);
	run();
	CHECK(sent == 10);
}

/* A copy of the client's first octets, over a capture of real hosts, which have timestamps. */
static void send_copy(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	if (side != CLI || p.payloadlen == 0 || sent++ > 0)
		return;
	p.payload = (uint8_t *)"copy";
	p.payloadlen = 4;
	GIVES(0, mtcp_sendpkt(m, sock, &p));
}

static void stamps(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, send_copy);
	run();
	CHECK(sent >= 1);
}

/* The same with IPv6. */
static void six_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (++sent != 4)
		return;
	set(0, "sixsixsixs", 10, PAYLOAD | MOS_UPDATE_TCP_CHKSUM);
	CHECK(((struct ip6_hdr *)p.iph)->ip6_plen == htons(30));
	p.payload = (uint8_t *)"made";
	p.payloadlen = 4;
	GIVES(0, mtcp_sendpkt(m, sock, &p));
	GIVES(0, mtcp_setlastpkt(m, sock, side, 10, (byte *)"ix", 2, MOS_TCP_PAYLOAD | MOS_INSERT));
}

static void six(void)
{
	open_monitor(AF_INET6);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, six_packet);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	run();
	CHECK(sent == 9 && length[SVR] == 12 && memcmp(heard[SVR], "sixsixsixsix", 12) == 0);
}

/* ---- resets and stops -------------------------------------------------------------------------------------- */

static void reset_at_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	active = sock;
	if (++received != 4)
		return;
	GIVES(0, mtcp_reset_conn(m, sock));
	GIVES(0, mtcp_reset_conn(m, sock)); /* once is enough */
}

static void note_active(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)side, (void)event, (void)arg;
	received++;
	active = sock;
}

static void reset_later(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)id, (void)side, (void)event, (void)arg;
	starts++;
	GIVES(0, mtcp_reset_conn(m, active));
}

static void on_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	ends++;
	FAILS(ENOTCONN, mtcp_reset_conn(m, sock));
}

static void resets(int later)
{
	/* Before the fifth packet, which comes after 40 ms. */
	struct timeval soon = { 0, 35000 };
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, later ? note_active : reset_at_packet);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, on_end);
	listen_to(MOS_ON_ORPHAN, MOS_NULL, on_orphan);
	if (later)
		GIVES(0, mtcp_settimer(mctx, 1, &soon, reset_later));
	run();
	CHECK(starts == later && ends == 2);
	CHECK(received + orphans == 10 && (later || received == 4));
}

static void reset_now(void)
{
	resets(0);
}

static void reset_in_timer(void)
{
	resets(1);
}

static int stopped_side;

static void stop_at_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (sent++ == 0)
		GIVES(0, mtcp_cb_stop(m, sock, stopped_side));
	else
		length[side]++;
}

/* The client sends six packets, the server four. */
static void stops(void)
{
	static const int expected[3][2] = { { 0, 4 }, { 5, 0 }, { 0, 0 } };

	for (stopped_side = 0; stopped_side < 3; stopped_side++) {
		length[CLI] = length[SVR] = 0;
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, stop_at_packet);
		run();
		CHECK(length[CLI] == expected[stopped_side][0] && length[SVR] == expected[stopped_side][1]);
	}
}

/* ---- sizes of buffers -------------------------------------------------------------------------------------- */

/* What the server's stream holds is from `from` to `to`. */
static void holds(int sock, uint64_t from, uint64_t to)
{
	struct tcp_ring_fragment r[2];
	socklen_t len = 2;

	GIVES(0, mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, r, &len));
	CHECK(len == 1 && r[0].offset == from && r[0].offset + r[0].len == to);
	if (r[0].offset != from || r[0].offset + r[0].len != to)
		fprintf(stderr, "from %lu, %u octets\n", (unsigned long)r[0].offset, r[0].len);
}

static int size_at_first, size_at_twentieth;

static void resize_at_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char octets[100];
	(void)event, (void)arg;

	active = sock;
	if (++received == 1 && size_at_first)
		resize(sock, MOS_SVRBUF, size_at_first);
	if (received == 20 && size_at_twentieth) {
		holds(sock, 0, 11450);
		GIVES(100, mtcp_peek(m, sock, side, octets, 100));
		resize(sock, MOS_SVRBUF, size_at_twentieth);
	}
	if (received == 21 && size_at_twentieth) {
		/* What went without having been read is told, once. The packet's octets push out others after this. */
		holds(sock, 11450 - 4096, 12450);
		FAILS_WITH(-(11450 - 4096 - 100), ENODATA, mtcp_peek(m, sock, side, octets, 100));
		GIVES(100, mtcp_peek(m, sock, side, octets, 100));
		CHECK(is_pattern(SVR, 11450 - 4096, octets, 100));
	}
}

static void on_loss(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char octets[20];
	(void)event, (void)arg;

	CHECK(side == SVR);
	if (errors++ == 0 && size_at_twentieth) { /* the octets that go can still be read */
		GIVES(20, mtcp_ppeek(m, sock, side, octets, 20, 100));
		CHECK(is_pattern(SVR, 100, octets, 20));
	}
}

/* Looks at the last stream when everything was sent. */
static void at_last(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment r;
	socklen_t len = 1;
	(void)event, (void)arg;

	if (ends++ > 0)
		return;
	if (stopped_side < 0)
		FAILS(EINVAL, mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, &r, &len));
	else
		holds(sock, 12450 - (uint64_t)stopped_side, 12450);
	(void)side;
}

/* On the passive socket, and on that of the connection at its first and its 20th packet; how much is held at the end. */
static void buffers(void)
{
	static const struct {
		int name, passive, first, twentieth, held;
	} table[] = {
		{ MOS_SVRBUF, -1, 0, 0, 8192 }, /* rmem_size */
		{ MOS_SVRBUF, 1000, 0, 0, 1024 },
		{ MOS_SVRBUF, 1025, 0, 0, 2048 },
		{ MOS_SVRBUF, 1, 0, 0, 1024 },
		{ MOS_SVRBUF, 16 << 20, 0, 0, 12450 },
		{ MOS_SVRBUF, 1000, 12451, 0, 12450 },
		{ MOS_CLIBUF, 1000, 0, 0, 8192 }, /* the other side's */
		{ MOS_SVRBUF, 16384, 0, 4096, 4096 },
		{ MOS_SVRBUF, 0, 0, 0, -1 },
		{ MOS_FRAG_SVRBUF, 0, 0, 0, -1 },
		{ MOS_FRAG_CLIBUF, 0, 0, 0, 8192 },
		{ MOS_SVRBUF, 0, 16384, 0, 12450 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		open_monitor(AF_INET);
		if (table[i].passive >= 0)
			resize(monitor, table[i].name, table[i].passive);
		size_at_first = table[i].first;
		size_at_twentieth = table[i].twentieth;
		stopped_side = table[i].held;
		listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, resize_at_packet);
		listen_to(MOS_ON_ERROR, MOS_NULL, on_loss);
		listen_to(MOS_ON_CONN_END, MOS_HK_RCV, at_last);
		run();
		CHECK(received == 26 && ends == 2);
		CHECK((errors > 0) == (table[i].held >= 0 && table[i].held < 12450));
	}
}

int main(int argc, char **argv)
{
	static const struct part parts[] = {
		{ "sends", sends },
		{ "flood", flood },
		{ "stamps", stamps },
		{ "six", six },
		{ "stops", stops },
		{ "buffers", buffers },
		{ "later", reset_in_timer },
		{ "reset", reset_now },
	};

	return run_part(parts, sizeof(parts) / sizeof(parts[0]), argc, argv);
}
