/*
 * Packets changed and dropped, over captures of captures.rs whose packets this counts. Who starts it looks at the output,
 * too. usage: packets PART MOS_CONF
 */
#include "monitor.h"

/* ---- other addresses on the server's side ------------------------------------------------------------------ */

static const in_addr_t nat_address = 0xc0000209; /* 192.0.2.9 */

static void ends_of(int sock, struct sockaddr_in *both)
{
	socklen_t len = 2 * sizeof(*both);
	GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH));
	CHECK(ntohl(both[0].sin_addr.s_addr) == 0x0a000001 && ntohs(both[0].sin_port) == 1000);
	CHECK(ntohl(both[1].sin_addr.s_addr) == 0x0a000002 && ntohs(both[1].sin_port) == 80);
}

static void translate(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in both[2];
	(void)event, (void)arg;

	sent++;
	ends_of(sock, both);
	if (sent == 1) {
		CHECK(mtcp_get_uctx(m, sock) == NULL);
		mtcp_set_uctx(m, sock, both);
	}
	in_addr_t address = side == CLI ? htonl(nat_address) : both[0].sin_addr.s_addr;
	in_port_t port = side == CLI ? htons(2000) : both[0].sin_port;
	set(side == CLI ? 12 : 16, &address, 4, IP);
	set(side == CLI ? 0 : 2, &port, 2, TCP | (update ? UPDATE : 0));
}

/* The receiver's hook sees what the sender's made of it. */
static void see_translated(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	received++;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	if (side == SVR)
		CHECK(p.iph->saddr == htonl(nat_address) && p.tcph->source == htons(2000));
	else
		CHECK(p.iph->daddr == htonl(0x0a000001) && p.tcph->dest == htons(1000));
}

static void forget_port(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in both[2];
	(void)side, (void)event, (void)arg;

	ends_of(sock, both);
	CHECK((mtcp_get_uctx(m, sock) != NULL) == (ends++ == 0));
	mtcp_set_uctx(m, sock, NULL);
}

static void nat(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, translate);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, see_translated);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, forget_port);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	listen_to(MOS_ON_ORPHAN, MOS_NULL, on_orphan);
	run();
	CHECK(sent == 8 && received == 8 && ends == 2 && orphans == 0);
	CHECK(length[SVR] == 10 && is_pattern(SVR, 0, heard[SVR], 10));
	CHECK(length[CLI] == 20 && is_pattern(CLI, 0, heard[CLI], 20));
}

/* ---- raw sockets and orphans ------------------------------------------------------------------------------- */

static void on_raw(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte five = 5;
	(void)event, (void)arg;

	set(8, &five, 1, IP);
	received++;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	if (p.tcph == NULL) {
		FAILS(EINVAL, mtcp_setlastpkt(m, sock, side, 0, &five, 1, TCP));
		GIVES(0, mtcp_cb_dropcurpkt(m));
		return;
	}
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, &five, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
}

static void on_stray(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	orphans++;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	CHECK(p.iph->ttl == 5 && p.payloadlen == 10); /* as the raw socket left it */
	if (p.tcph->dest == htons(9)) {
		GIVES(0, mtcp_cb_dropcurpkt(m));
		return;
	}
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, NULL, 1, MOS_TCP_PAYLOAD | MOS_CHOMP));
	set(0, "oooooooooo", 10, PAYLOAD);
}

static void raw(void)
{
	open_monitor(AF_INET);
	int socket = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(mctx, socket, MOS_ON_PKT_IN, MOS_NULL, on_raw));
	listen_to(MOS_ON_ORPHAN, MOS_NULL, on_stray);
	run();
	CHECK(received == 9 + 9 + 2 + 1 + 4 && orphans == 2);
}

/* ---- each part of a packet --------------------------------------------------------------------------------- */

static unsigned sum(const void *octets, int n)
{
	const byte *b = octets;
	unsigned total = 0;

	for (int i = 0; i < n; i += 2)
		total += (unsigned)b[i] << 8 | b[i + 1];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

/* The client's first octets: every part, each to its edges, with checksums made anew. */
static void change_all_parts(void)
{
	static const byte macs[12] = { 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2 };
	struct iphdr header;
	byte word[4] = { 0x12, 0x34, 0, 0 };

	set(0, macs, 12, ETH);
	set(13, &word[2], 1, ETH);
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 14, word, 1, ETH));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 12, word, 3, ETH));
	FAILS(EACCES, mtcp_setlastpkt(mctx, monitor, SVR, 0, word, 3, MOS_ETH_HDR | MOS_INSERT));
	memcpy(&header, p.iph, sizeof(header));
	header.ttl = 7;
	header.tos = 16;
	GIVES(0, mtcp_setlastpkt(mctx, monitor, SVR, 0, (byte *)&header, 20, IP | MOS_UPDATE_IP_CHKSUM));
	GIVES(0, mtcp_getlastpkt(mctx, monitor, SVR, &p));
	CHECK(p.iph->ttl == 7 && p.iph->tos == 16 && p.iph->check != header.check);
	CHECK(sum(p.iph, 20) == 0xffff); /* right at once */
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 0, (byte *)&header, 21, IP));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 20, word, 1, IP));
	set(14, word, 2, TCP | MOS_UPDATE_TCP_CHKSUM);
	CHECK(p.window == 0x1234 && p.seq == 101);
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 18, word, 3, TCP));
	set(0, "X", 1, PAYLOAD);
	set(9, "Y", 1, PAYLOAD);
	FAILS(EINVAL, mtcp_setlastpkt(mctx, monitor, SVR, 10, word, 1, PAYLOAD));
	/* What is copied out of the library's own copy. */
	GIVES(0, mtcp_setlastpkt(mctx, monitor, SVR, 1, p.payload + 1, 8, PAYLOAD));
}

static void change_in_sender_hook(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte nine = 9;
	(void)m, (void)sock, (void)event, (void)arg;

	sent++;
	if (sent == 4) {
		change_all_parts();
	} else if (sent == 5) {
		/* Without a word about checksums: they follow, whatever is written over them. */
		CHECK(side == SVR);
		set(0, "zzzzzzzzzzzzzzzzzzzz", 20, PAYLOAD);
		set(8, &nine, 1, IP);
		set(10, "\xde\xad", 2, IP);
		set(16, "\xbe\xef", 2, TCP);
	}
}

/* The client's later octets, after the server had them: all numbers are others, on the wire only. */
static void change_in_receiver_hook(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const byte numbers[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0x0a, 0x0b };
	(void)event, (void)arg;

	if (++received != 6)
		return;
	set(0, "R", 1, PAYLOAD);
	set(4, numbers, 12, TCP);
	CHECK(p.seq == 0x01020304 && p.ack_seq == 0x05060708 && p.window == 0x0a0b);
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, NULL, 1, MOS_TCP_PAYLOAD | MOS_CHOMP));
	CHECK(side == SVR);
}

static void layers(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, change_in_sender_hook);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, change_in_receiver_hook);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	run();
	CHECK(sent == 10 && received == 10 && length[SVR] == 30 && length[CLI] == 40);
	CHECK(heard[SVR][0] == 'X' && is_pattern(SVR, 1, heard[SVR] + 1, 8) && heard[SVR][9] == 'Y');
	CHECK(is_pattern(SVR, 10, heard[SVR] + 10, 20));
	CHECK(memcmp(heard[CLI], "zzzzzzzzzzzzzzzzzzzz", 20) == 0 && is_pattern(CLI, 20, heard[CLI] + 20, 20));
}

/* A checksum that was wrong before. */
static void change_ttl(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte ttl = 33;
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	starts++;
	set(8, &ttl, 1, IP | (update ? UPDATE : 0));
}

static void checksum(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_START, MOS_HK_SND, change_ttl);
	run();
	CHECK(starts == 1);
}

/* ---- lengths ----------------------------------------------------------------------------------------------- */

static void change_length(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte hello[] = "HELLO";
	(void)event, (void)arg;

	switch (++sent) {
	case 4: /* the client's 10 octets become 15 */
		GIVES(0, mtcp_setlastpkt(m, sock, side, 3, hello, 5, MOS_TCP_PAYLOAD | MOS_INSERT));
		GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
		CHECK(p.payloadlen == 15 && p.ip_len == 55 && p.eth_len == 69 && ntohs(p.iph->tot_len) == 55);
		CHECK(is_pattern(SVR, 0, (char *)p.payload, 3) && memcmp(p.payload + 3, hello, 5) == 0);
		CHECK(is_pattern(SVR, 3, (char *)p.payload + 8, 7));
		FAILS(EINVAL, mtcp_setlastpkt(m, sock, side, 16, hello, 5, MOS_TCP_PAYLOAD | MOS_INSERT));
		break;
	case 5: /* the same again: they are already what they became */
		FAILS(EALREADY, mtcp_setlastpkt(m, sock, side, 0, hello, 1, PAYLOAD));
		FAILS(EALREADY, mtcp_setlastpkt(m, sock, side, 0, hello, 5, MOS_TCP_PAYLOAD | MOS_INSERT));
		break;
	case 7: /* its next 20 become 12 */
		FAILS(EINVAL, mtcp_setlastpkt(m, sock, side, 13, NULL, 8, MOS_TCP_PAYLOAD | MOS_CHOMP));
		GIVES(0, mtcp_setlastpkt(m, sock, side, 2, NULL, 8, MOS_TCP_PAYLOAD | MOS_CHOMP | UPDATE));
		GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
		CHECK(p.payloadlen == 12 && is_pattern(SVR, 10, (char *)p.payload, 2));
		CHECK(is_pattern(SVR, 20, (char *)p.payload + 2, 10) && sum(p.iph, 20) == 0xffff);
		break;
	case 8: /* an acknowledgement */
		FAILS(EINVAL, mtcp_setlastpkt(m, sock, side, 0, hello, 5, MOS_TCP_PAYLOAD | MOS_INSERT));
		break;
	}
}

static void see_length(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	received++;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	if (received == 4 || received == 5)
		CHECK(p.payloadlen == 15 && p.offset == 0 && p.seq == 101);
	if (received == 7)
		CHECK(p.payloadlen == 12 && p.offset == 15 && p.seq == 116);
}

static void lengths(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, change_length);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, see_length);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data);
	run();
	CHECK(sent == 11 && received == 11 && length[SVR] == 27 && length[CLI] == 20);
	CHECK(is_pattern(SVR, 0, heard[SVR], 3) && memcmp(heard[SVR] + 3, "HELLO", 5) == 0);
	CHECK(is_pattern(SVR, 3, heard[SVR] + 8, 9) && is_pattern(SVR, 20, heard[SVR] + 17, 10));
}

/* ---- packets that cannot be changed ------------------------------------------------------------------------ */

static void no_change(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte octet = 1;
	(void)event, (void)arg;

	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	switch (++sent) {
	case 1:
		FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, &octet, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
		break;
	case 4: /* as long as a packet can be */
		CHECK(p.payloadlen == 65495 && p.ip_len == 65535);
		FAILS(EMSGSIZE, mtcp_setlastpkt(m, sock, side, 9, &octet, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
		FAILS(EINVAL, mtcp_setlastpkt(m, sock, side, 65495, &octet, 1, PAYLOAD));
		set(65494, &octet, 1, PAYLOAD);
		break;
	case 6: /* beyond the window: its receiver does not take it */
		FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, &octet, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
		set(0, &octet, 1, PAYLOAD);
		break;
	case 7: /* in fragments, which went on as they came */
		CHECK(p.payloadlen == 105 && p.ethh == NULL && p.offset == 65495);
		FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 0, &octet, 1, PAYLOAD));
		CHECK(strstr(mos_last_error(), "fragments") != NULL);
		break;
	}
}

static void on_error(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	byte octet = 1;
	(void)event, (void)arg;

	errors++;
	CHECK(side == SVR);
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	CHECK(p.payloadlen == 10 && p.offset == 200000);
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(m, sock, side, 8, &octet, 1, IP));
	CHECK(strstr(mos_last_error(), "error event") != NULL);
	GIVES(0, mtcp_cb_dropcurpkt(m));
}

static void fixed(void)
{
	open_monitor(AF_INET);
	resize(monitor, MOS_SVRBUF, 1 << 20); /* nothing is pushed out */
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, no_change);
	listen_to(MOS_ON_ERROR, MOS_NULL, on_error);
	run();
	CHECK(sent == 7 && errors == 1);
}

int main(int argc, char **argv)
{
	static const struct part parts[] = {
		{ "nat", nat },
		{ "raw", raw },
		{ "layers", layers },
		{ "checksum", checksum },
		{ "lengths", lengths },
		{ "fixed", fixed },
	};

	return run_part(parts, sizeof(parts) / sizeof(parts[0]), argc, argv);
}
