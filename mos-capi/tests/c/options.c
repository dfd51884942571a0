/*
 * What sockets can be asked and told, over a made capture of all kinds of packets (mixed() in captures.rs).
 * usage: options MOS_CONF MIXED PPEEK, two captures
 */
#include "check.h"
#include <netinet/udp.h>

#define CLI MOS_SIDE_CLI
#define SVR MOS_SIDE_SVR
#define MON SOL_MONSOCKET
#define HOOKS 3
#define EVENTS 12

/* What happened, by socket kind: how often each event was raised at each hook. */
struct counts {
	int of[HOOKS][EVENTS];
};
enum { WEB, ALL4, ALL6, RAW4, RAW6, RAWUDP, KINDS };
static struct counts seen[KINDS];
static int monitor[KINDS];
static char buf[200];

static int hook_index(int hook)
{
	return hook == MOS_NULL ? 0 : hook == MOS_HK_RCV ? 1 : 2;
}

static void count(int kind, int hook, event_t event)
{
	int bit = 0;

	while ((event_t)1 << bit != event && bit < EVENTS)
		bit++;
	CHECK(bit < EVENTS);
	seen[kind].of[hook_index(hook)][bit]++;
}

static int total(int kind, int hook, event_t event)
{
	int bit = 0;

	while ((event_t)1 << bit != event)
		bit++;
	return seen[kind].of[hook_index(hook)][bit];
}

/* One callback for each kind of monitor and hook, so that they can be told apart. */
#define COUNTER(kind, hook)                                                                                       \
	static void on_##kind##_##hook(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)          \
	{                                                                                                          \
		(void)mctx, (void)sock, (void)side, (void)arg;                                                     \
		count(kind, hook, event);                                                                          \
	}
COUNTER(WEB, MOS_NULL)
COUNTER(WEB, MOS_HK_RCV)
COUNTER(WEB, MOS_HK_SND)
COUNTER(ALL4, MOS_NULL)
COUNTER(ALL4, MOS_HK_RCV)
COUNTER(ALL4, MOS_HK_SND)
COUNTER(ALL6, MOS_NULL)
COUNTER(ALL6, MOS_HK_RCV)
COUNTER(ALL6, MOS_HK_SND)
COUNTER(RAW4, MOS_NULL)
COUNTER(RAW6, MOS_NULL)
COUNTER(RAWUDP, MOS_NULL)

static void register_all(mctx_t mctx, int kind, callback_t null, callback_t rcv, callback_t snd)
{
	static const event_t quiet[] = { MOS_ON_CONN_NEW_DATA, MOS_ON_ERROR, MOS_ON_ORPHAN };
	static const event_t sided[] = { MOS_ON_PKT_IN, MOS_ON_CONN_START, MOS_ON_TCP_STATE_CHANGE, MOS_ON_REXMIT,
					 MOS_ON_CONN_END };

	for (int i = 0; i < 3; i++)
		GIVES(0, mtcp_register_callback(mctx, monitor[kind], quiet[i], MOS_NULL, null));
	for (int i = 0; i < 5; i++) {
		GIVES(0, mtcp_register_callback(mctx, monitor[kind], sided[i], MOS_HK_RCV, rcv));
		GIVES(0, mtcp_register_callback(mctx, monitor[kind], sided[i], MOS_HK_SND, snd));
	}
}

static mctx_t open_context(void)
{
	mctx_t mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	return mctx;
}

static int open_socket(mctx_t mctx, int family, int type)
{
	int sock = mtcp_socket(mctx, family, type, 0);
	MUST(sock >= 0);
	return sock;
}

static void bind_filter(mctx_t mctx, int sock, const char *first, const char *orphan)
{
	union monitor_filter filter = { .stream_syn_filter = (char *)first };
	filter.stream_orphan_filter = (char *)orphan;
	GIVES(0, mtcp_bind_monitor_filter(mctx, sock, &filter));
}

/* Who gets what: families, filters, hooks. */
static void filters_and_events(void)
{
	mctx_t mctx = open_context();

	monitor[WEB] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	monitor[ALL4] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	monitor[ALL6] = open_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_STREAM);
	monitor[RAW4] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW);
	monitor[RAW6] = open_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_RAW);
	monitor[RAWUDP] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW);
	bind_filter(mctx, monitor[WEB], "tcp dst port 80", "dst port 9");
	bind_filter(mctx, monitor[WEB], NULL, NULL); /* stays */
	bind_filter(mctx, monitor[RAWUDP], "tcp", NULL);
	bind_filter(mctx, monitor[RAWUDP], "udp", NULL); /* replaced */
	register_all(mctx, WEB, on_WEB_MOS_NULL, on_WEB_MOS_HK_RCV, on_WEB_MOS_HK_SND);
	register_all(mctx, ALL4, on_ALL4_MOS_NULL, on_ALL4_MOS_HK_RCV, on_ALL4_MOS_HK_SND);
	register_all(mctx, ALL6, on_ALL6_MOS_NULL, on_ALL6_MOS_HK_RCV, on_ALL6_MOS_HK_SND);
	GIVES(0, mtcp_register_callback(mctx, monitor[RAW4], MOS_ON_PKT_IN, MOS_NULL, on_RAW4_MOS_NULL));
	GIVES(0, mtcp_register_callback(mctx, monitor[RAW6], MOS_ON_PKT_IN, MOS_NULL, on_RAW6_MOS_NULL));
	GIVES(0, mtcp_register_callback(mctx, monitor[RAWUDP], MOS_ON_PKT_IN, MOS_NULL, on_RAWUDP_MOS_NULL));
	/* One that is replaced, and one that is removed. */
	GIVES(0, mtcp_register_callback(mctx, monitor[ALL6], MOS_ON_CONN_END, MOS_HK_RCV, on_ALL4_MOS_HK_RCV));
	GIVES(0, mtcp_register_callback(mctx, monitor[ALL6], MOS_ON_CONN_END, MOS_HK_RCV, on_ALL6_MOS_HK_RCV));
	GIVES(0, mtcp_unregister_callback(mctx, monitor[ALL6], MOS_ON_PKT_IN, MOS_HK_RCV));
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));

	/* IPv4: two whole connections of 9 packets, one of 4 that does not end, two orphans, one of UDP. */
	static const struct {
		int kind, hook, expected;
		event_t event;
	} table[] = {
		{ RAW4, MOS_NULL, 9 + 9 + 2 + 1 + 4, MOS_ON_PKT_IN },
		{ RAW6, MOS_NULL, 9 + 1, MOS_ON_PKT_IN },
		{ RAWUDP, MOS_NULL, 1, MOS_ON_PKT_IN },
		{ ALL4, MOS_HK_SND, 22, MOS_ON_PKT_IN },
		{ ALL4, MOS_HK_RCV, 22, MOS_ON_PKT_IN },
		{ ALL4, MOS_HK_SND, 3, MOS_ON_CONN_START },
		{ ALL4, MOS_HK_RCV, 3, MOS_ON_CONN_START },
		{ ALL4, MOS_NULL, 2 + 2 + 1, MOS_ON_CONN_NEW_DATA },
		{ ALL4, MOS_HK_RCV, 2, MOS_ON_REXMIT },
		{ ALL4, MOS_HK_SND, 0, MOS_ON_REXMIT },
		{ ALL4, MOS_HK_RCV, 4, MOS_ON_CONN_END },
		{ ALL4, MOS_HK_SND, 4, MOS_ON_CONN_END },
		{ ALL4, MOS_NULL, 2, MOS_ON_ORPHAN },
		{ ALL4, MOS_NULL, 0, MOS_ON_ERROR },
		{ WEB, MOS_HK_SND, 9, MOS_ON_PKT_IN },
		{ WEB, MOS_HK_SND, 1, MOS_ON_CONN_START },
		{ WEB, MOS_HK_RCV, 2, MOS_ON_CONN_END },
		{ WEB, MOS_NULL, 1, MOS_ON_ORPHAN },
		{ ALL6, MOS_HK_SND, 9, MOS_ON_PKT_IN },
		{ ALL6, MOS_HK_RCV, 0, MOS_ON_PKT_IN },
		{ ALL6, MOS_HK_RCV, 2, MOS_ON_CONN_END },
		{ ALL6, MOS_NULL, 1, MOS_ON_ORPHAN },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int n = total(table[i].kind, table[i].hook, table[i].event);
		if (n != table[i].expected)
			fprintf(stderr, "row %zu: %d, not %d\n", i, n, table[i].expected);
		CHECK(n == table[i].expected);
	}
}

static int number(mctx_t mctx, int sock, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);
	GIVES(0, mtcp_getsockopt(mctx, sock, MON, name, &value, &len));
	CHECK(len == sizeof(value));
	return value;
}

static int packets, starts, first_sock, orphans;
static int states[64], changes;

static void addresses_v4(mctx_t mctx, int sock)
{
	struct sockaddr_in both[2], one;
	socklen_t len = sizeof(both);

	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH));
	CHECK(len == 32 && both[0].sin_family == AF_INET && both[1].sin_family == AF_INET);
	CHECK(ntohs(both[0].sin_port) == 1000 && ntohl(both[0].sin_addr.s_addr) == 0x0a000001);
	CHECK(ntohs(both[1].sin_port) == 80 && ntohl(both[1].sin_addr.s_addr) == 0x0a000002);
	len = sizeof(one);
	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)&one, &len, CLI));
	CHECK(one.sin_port == both[0].sin_port && one.sin_addr.s_addr == both[0].sin_addr.s_addr);
	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)&one, &len, SVR));
	CHECK(one.sin_port == both[1].sin_port && one.sin_addr.s_addr == both[1].sin_addr.s_addr);
}

/* The first SYN: everything can be asked already. */
static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	starts++;
	first_sock = sock;
	CHECK(side == CLI);
	addresses_v4(mctx, sock);
	CHECK(number(mctx, sock, MOS_TCP_STATE_CLI) == TCP_SYN_SENT);
	CHECK(number(mctx, sock, MOS_TCP_STATE_SVR) == TCP_LISTEN);
	CHECK(mtcp_get_uctx(mctx, sock) == NULL);
	mtcp_set_uctx(mctx, sock, buf);
	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	CHECK(p.eth_len == 54 && p.ip_len == 40 && p.payloadlen == 0 && p.seq == 100 && p.window == 65535);
	CHECK(p.ethh != NULL && p.ethh->h_proto == htons(ETH_P_IP));
	CHECK((uintptr_t)p.iph % 4 == 0 && p.iph->saddr == htonl(0x0a000001) && p.tcph->syn && !p.tcph->ack);
	CHECK((char *)p.iph - (char *)p.ethh == 14 && (char *)p.tcph - (char *)p.iph == 20);
	CHECK((char *)p.payload - (char *)p.tcph == 20 && p.offset == 0);
	/* Now the octets begin: second 1,000,000,000 in microseconds and milliseconds. */
	CHECK(mtcp_cb_get_ts(mctx) == (uint32_t)1000000000000000ull);
	CHECK(p.cur_ts == (uint32_t)1000000000000ull);
}

static void on_change(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (changes < 64)
		states[changes++] = side * 100 + number(mctx, sock, side == CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR);
}

static void data_of_packet(mctx_t mctx, int sock, int side)
{
	struct pkt_info p;
	struct tcp_buf_info info;
	struct tcp_ring_fragment ranges[3];
	socklen_t len = 3;

	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	CHECK(p.cur_ts == (uint32_t)(1000000000000ull + 10 * (uint64_t)(packets - 1)));
	CHECK((uint32_t)number(mctx, sock, MOS_TIMESTAMP) == mtcp_cb_get_ts(mctx));
	switch (packets) {
	case 3: /* the handshake is over */
		len = sizeof(info);
		FAILS(ENODATA, mtcp_getsockopt(mctx, sock, MON, MOS_INFO_SVRBUF, &info, &len));
		CHECK(len == sizeof(info));
		len = 3;
		FAILS(ENODATA, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_SVRBUF, ranges, &len));
		CHECK(len == 3);
		break;
	case 4: /* the client's 10 octets */
		CHECK(p.offset == 0 && p.payloadlen == 10 && is_pattern(SVR, 0, (char *)p.payload, 10));
		CHECK(p.seq == 101 && p.ack_seq == 201);
		GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_SVRBUF, ranges, &len));
		CHECK(len == 1 && ranges[0].offset == 0 && ranges[0].len == 10);
		CHECK(ranges[1].offset == 0 && ranges[1].len == 0);
		break;
	case 5: /* the server's 20 */
		CHECK(p.offset == 0 && p.payloadlen == 20 && is_pattern(CLI, 0, (char *)p.payload, 20));
		len = sizeof(info);
		GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_INFO_CLIBUF, &info, &len));
		CHECK(info.tcpbi_init_seq == 201 && info.tcpbi_last_byte_read == 201);
		CHECK(info.tcpbi_next_byte_expected == 221 && info.tcpbi_last_byte_received == 221);
		break;
	case 6: /* the client's again */
		CHECK(p.offset == 0 && p.payloadlen == 10);
		break;
	case 7: /* its FIN */
		CHECK(p.offset == 10 && p.payloadlen == 0 && p.tcph->fin);
		break;
	}
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	packets++;
	CHECK(sock == first_sock && mtcp_get_uctx(mctx, sock) == buf);
	data_of_packet(mctx, sock, side);
}

static void on_rexmit(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	CHECK(side == SVR && packets == 5);
	/* Both copies can be compared. */
	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	GIVES(10, mtcp_ppeek(mctx, sock, side, buf, sizeof(buf), p.offset));
	CHECK(memcmp(buf, p.payload, 10) == 0);
}

static void on_orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	orphans++;
	CHECK(sock == monitor[WEB] && side == MOS_SIDE_BOTH && event == MOS_ON_ORPHAN);
	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	CHECK(p.payloadlen == 10 && p.offset == 0 && p.tcph->source == htons(7));
	mtcp_set_uctx(mctx, sock, &orphans); /* of the passive socket */
	CHECK(mtcp_get_uctx(mctx, sock) == &orphans);
}

static void on_udp(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	CHECK(p.tcph == NULL && p.payload == NULL && p.payloadlen == 0 && p.offset == 0 && p.seq == 0);
	CHECK(p.ip_len == 32 && p.eth_len == 46 && p.iph->protocol == IPPROTO_UDP);
	CHECK(((struct udphdr *)(p.iph + 1))->len == htons(12));
	byte octet = 0;
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, side, 0, &octet, 1, MOS_TCP_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, side, 0, &octet, 1, MOS_TCP_PAYLOAD | MOS_OVERWRITE));
	packets++;
}

/* One connection, looked at from everywhere. */
static void questions(void)
{
	mctx_t mctx = open_context();
	int udp = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW);

	monitor[WEB] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	bind_filter(mctx, monitor[WEB], "dst port 80", "src port 7");
	bind_filter(mctx, udp, "udp", NULL);
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_CONN_START, MOS_HK_SND, on_start));
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_PKT_IN, MOS_HK_RCV, on_packet));
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_REXMIT, MOS_HK_RCV, on_rexmit));
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_change));
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_change));
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_ORPHAN, MOS_NULL, on_orphan));
	GIVES(0, mtcp_register_callback(mctx, udp, MOS_ON_PKT_IN, MOS_NULL, on_udp));
	packets = starts = changes = orphans = 0;
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(starts == 1 && packets == 9 + 1);
	CHECK(orphans == 2);
	static const int expected[] = {
		TCP_SYN_SENT, 100 + TCP_SYN_RCVD, TCP_ESTABLISHED, 100 + TCP_ESTABLISHED, TCP_FIN_WAIT_1,
		100 + TCP_CLOSE_WAIT, 100 + TCP_LAST_ACK, TCP_TIME_WAIT, 100 + TCP_CLOSED,
	};
	for (int i = 0; i < 9; i++)
		CHECK(changes > i && states[i] == expected[i]);
}

static int stopped_side = -1, after_stop[2], ends;

static void on_packet_stop(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (packets++ == 0)
		GIVES(0, mtcp_setsockopt(mctx, sock, MON, MOS_STOP_MON, &stopped_side, sizeof(stopped_side)));
	else
		after_stop[side]++;
}

static void on_end_count(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	ends++;
}

/* MOS_STOP_MON in the first callback of a connection. The client sends six packets, the server three. */
static void stops(void)
{
	static const struct {
		int side, client, server, ends;
	} table[] = {
		{ MOS_SIDE_CLI, 0, 3, 1 }, { MOS_SIDE_SVR, 5, 0, 1 }, { MOS_SIDE_BOTH, 0, 0, 0 },
	};
	for (int i = 0; i < 3; i++) {
		mctx_t mctx = open_context();
		int sock = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
		bind_filter(mctx, sock, "dst port 80", NULL);
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet_stop));
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end_count));
		stopped_side = table[i].side;
		packets = after_stop[0] = after_stop[1] = ends = 0;
		mtcp_app_join(mctx);
		GIVES(0, mtcp_destroy_context(mctx));
		CHECK(packets > 0);
		CHECK(after_stop[0] == table[i].client && after_stop[1] == table[i].server);
		CHECK(ends == table[i].ends);
	}
	/* The same on the passive socket: nothing at all. */
	mctx_t mctx = open_context();
	int sock = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet_stop));
	GIVES(0, mtcp_setsockopt(mctx, sock, MON, MOS_STOP_MON, &stopped_side, sizeof(stopped_side)));
	packets = 0;
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(packets == 0);
}

static int closed;

static void on_packet_close(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (packets++ != 3)
		return;
	closed = sock;
	GIVES(0, mtcp_close(mctx, sock));
	CHECK(number(mctx, sock, MOS_TCP_STATE_CLI) == TCP_ESTABLISHED); /* still there in this callback */
	GIVES(0, mtcp_close(mctx, monitor[WEB]));
	FAILS(EBADF, mtcp_close(mctx, monitor[WEB]));
}

static void other_packets(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	starts++;
}

/* mtcp_close() of the socket of a connection, and of its template; another monitor is not disturbed. */
static void closes(void)
{
	mctx_t mctx = open_context();
	int other = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);

	monitor[WEB] = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	GIVES(0, mtcp_register_callback(mctx, monitor[WEB], MOS_ON_PKT_IN, MOS_HK_RCV, on_packet_close));
	GIVES(0, mtcp_register_callback(mctx, other, MOS_ON_PKT_IN, MOS_HK_RCV, other_packets));
	packets = starts = 0;
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(packets == 4); /* nothing more of that connection, nor of later ones */
	CHECK(starts == 22);
}

/* IPv6 addresses. */
static void on_v6(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in6 both[2], expected;
	struct pkt_info p;
	socklen_t len = sizeof(both);
	(void)side, (void)event, (void)arg;

	starts++;
	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH));
	memset(&expected, 0, sizeof(expected));
	expected.sin6_family = AF_INET6;
	expected.sin6_port = htons(80);
	inet_pton(AF_INET6, "fd00::2", &expected.sin6_addr);
	CHECK(len == 56 && memcmp(&both[1], &expected, sizeof(expected)) == 0);
	CHECK(both[0].sin6_port == htons(1000));
	len = 28;
	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, CLI));
	len = 16;
	FAILS(EINVAL, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, CLI));
	len = 32;
	FAILS(EINVAL, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH));
	GIVES(0, mtcp_getlastpkt(mctx, sock, side, &p));
	CHECK(p.iph->version == 6 && p.ip_len == 60 && (char *)p.tcph - (char *)p.iph == 40);
	byte octet = 0;
	FAILS(EACCES, mtcp_setlastpkt(mctx, sock, side, 0, &octet, 1, MOS_IP_HDR | MOS_OVERWRITE));
}

static void six(void)
{
	mctx_t mctx = open_context();
	int sock = open_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_STREAM);
	bind_filter(mctx, sock, "port 80", NULL);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_v6));
	starts = 0;
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(starts == 1);
}

/* The other capture: octets out of order. */
static void on_ranges(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment r[41];
	struct tcp_buf_info info;
	socklen_t len = 40;
	int policy = MOS_OVERLAP_POLICY_LAST;
	(void)side, (void)event, (void)arg;

	packets++;
	if (packets != 6)
		return;
	GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
	CHECK(len == 3 && r[0].offset == 0 && r[0].len == 100 && r[1].offset == 200 && r[1].len == 100);
	CHECK(r[2].offset == 400 && r[2].len == 50 && r[3].offset == 0 && r[3].len == 0);
	/* Less room than there are ranges: as many as fit, no zeros behind. */
	memset(r, 0x5a, sizeof(r));
	len = 2;
	GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
	CHECK(len == 2 && r[1].offset == 200 && r[2].len == 0x5a5a5a5a);
	len = 3;
	GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
	CHECK(len == 3 && r[2].offset == 400 && r[3].len == 0x5a5a5a5a);
	len = 3;
	FAILS(ENODATA, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_CLIBUF, r, &len));
	/* Sequence numbers wrap: offset 0 is 0xfffffff1. */
	len = sizeof(info);
	GIVES(60, mtcp_peek(mctx, sock, SVR, buf, 60));
	GIVES(0, mtcp_getsockopt(mctx, sock, MON, MOS_INFO_SVRBUF, &info, &len));
	CHECK(info.tcpbi_init_seq == 0xfffffff1 && info.tcpbi_last_byte_read == 60 - 15);
	CHECK(info.tcpbi_next_byte_expected == 100 - 15 && info.tcpbi_last_byte_received == 450 - 15);
	GIVES(0, mtcp_setsockopt(mctx, sock, MON, MOS_CLIOVERLAP, &policy, sizeof(policy)));
	unsigned char first = MOS_OVERLAP_POLICY_FIRST;
	GIVES(0, mtcp_setsockopt(mctx, sock, MON, MOS_SVROVERLAP, &first, sizeof(first)));
	policy = 0;
	GIVES(0, mtcp_setsockopt(mctx, sock, MON, MOS_CLIBUF, &policy, sizeof(policy)));
	len = 3;
	FAILS(EINVAL, mtcp_getsockopt(mctx, sock, MON, MOS_FRAGINFO_CLIBUF, r, &len));
	len = sizeof(info);
	FAILS(EINVAL, mtcp_getsockopt(mctx, sock, MON, MOS_INFO_CLIBUF, &info, &len));
}

static void ranges(void)
{
	mctx_t mctx = open_context();
	int sock = open_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, on_ranges));
	packets = 0;
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(packets == 26);
}

static void use(const char *capture)
{
	char io[5000];
	snprintf(io, sizeof(io), "pcap:%s", capture);
	setenv("MOS_IO", io, 1);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	GIVES(0, mtcp_init(argv[1]));
	use(argv[2]);
	filters_and_events();
	questions();
	stops();
	closes();
	six();
	use(argv[3]);
	ranges();
	GIVES(0, mtcp_destroy());
	return report();
}
