/*
 * What programs do that kills the original: each part is one row of its list of defects, over a capture of captures.rs, and
 * is survived here. usage: idioms PART MOS_CONF
 */
#include "monitor.h"

#define MON SOL_MONSOCKET
#define RING 8192
#define ALL 12450 /* octets of the client in the long capture */
#define SERVER 100 /* of the server */

static char octets[70000];
static int timers, longest;

static long peek(mctx_t m, int sock, int side, size_t n)
{
	memset(octets, 0x5a, sizeof(octets));
	long got = mtcp_peek(m, sock, side, octets, n);
	CHECK(got < 0 || octets[got] == 0x5a);
	return got;
}

/* What was read of a stream goes on behind what was read before. */
static void note_read(int side, long n)
{
	CHECK(n >= 0 && is_pattern(side, (uint64_t)length[side], octets, n));
	length[side] += n > 0 ? n : 0;
}

/* ---- octets that are read without a look at what is there ---------------------------------------------------- */

/* A loop until nothing is left: the second turn ends the process. */
static void read_until_0(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	long n;
	(void)event, (void)arg;

	received++;
	do {
		errno = 12345;
		n = peek(m, sock, side, 700);
		CHECK(n >= 0 && errno == 12345);
		note_read(side, n);
	} while (n != 0);
}

static void loop(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, read_until_0);
	run();
	CHECK(received >= 17 && length[SVR] == ALL && length[CLI] == SERVER);
}

/* One read for each event: so does a program that dies at a bare FIN. One in each packet, end and timer, too. */
static void read_once(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	errno = 12345;
	note_read(side, peek(m, sock, side, sizeof(octets) - 1));
	CHECK(errno == 12345);
	received++;
}

static void read_both(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	for (int of = 0; of < 2; of++)
		if (sent > 1 || of == CLI) /* the server's stream begins with the first SYN at the receiver's hook */
			read_once(m, sock, of, event, arg);
	sent++;
	ends += event == MOS_ON_CONN_END;
	(void)side;
}

static void once(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, read_once);
	run();
	CHECK(received >= 17 && length[SVR] == ALL && length[CLI] == SERVER);
	length[SVR] = length[CLI] = 0;
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, read_both);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, read_both);
	listen_to(MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, read_both);
	listen_to(MOS_ON_CONN_END, MOS_HK_SND, read_both);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, read_both);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, read_once);
	run();
	CHECK(ends == 4 && length[SVR] == ALL && length[CLI] == SERVER);
}

/* A read at a hole gives nothing, and the octets before it only. */
static void read_at_hole(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (++received > 6 || side != SVR)
		return;
	note_read(SVR, peek(m, sock, SVR, 1000));
	CHECK(length[SVR] == (received < 4 ? 0 : 100));
	GIVES(0, mtcp_peek(m, sock, SVR, octets, 1000));
	GIVES(0, mtcp_peek(m, sock, SVR, octets, 1));
}

static void hole(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, read_at_hole);
	run();
	CHECK(received == 26 && length[SVR] == 100);
}

/* One octet that is lost: told from an error by errno alone, and once. */
static void read_behind_single(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (ends++ > 0)
		return;
	GIVES(99, mtcp_peek(m, sock, SVR, octets, 1000));
	CHECK(is_pattern(SVR, 0, octets, 99));
	FAILS(ENODATA, mtcp_peek(m, sock, SVR, octets, 1000));
	GIVES(99, mtcp_peek(m, sock, SVR, octets, 1000));
	CHECK(is_pattern(SVR, 100, octets, 99));
	GIVES(0, mtcp_peek(m, sock, SVR, octets, 1000));
}

static void on_loss(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)event, (void)arg;
	CHECK(side == SVR);
	errors++;
}

static void single(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_CONN_END, MOS_HK_RCV, read_behind_single);
	listen_to(MOS_ON_ERROR, MOS_NULL, on_loss);
	run();
	CHECK(ends == 2 && errors == 1);
}

/* The whole ring at once, when it is exactly full: begin and end are one place of it. */
static long ring;

static void read_whole_ring(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment r[2];
	socklen_t len = 2;
	(void)side, (void)event, (void)arg;

	if (++received < 10 || received > 22)
		return;
	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
	long held = r[0].len, at = (long)r[0].offset;
	/* What a packet pushes out is there until its callbacks are through; the last one is not of this stream. */
	CHECK(len == 1 && (at == 0 || held == ring || (held == ring + 1000 && received < 22)));
	memset(octets, 0x5a, sizeof(octets));
	GIVES(held, mtcp_ppeek(m, sock, SVR, octets, sizeof(octets), (uint64_t)at));
	CHECK(is_pattern(SVR, (uint64_t)at, octets, held) && octets[held] == 0x5a);
	GIVES(held, mtcp_ppeek(m, sock, SVR, octets, (size_t)held, (uint64_t)at));
	long gone = at - length[SVR];
	if (gone > 0)
		FAILS_WITH(-gone, ENODATA, mtcp_peek(m, sock, SVR, octets, sizeof(octets)));
	length[SVR] = gone > 0 ? at : length[SVR];
	note_read(SVR, peek(m, sock, SVR, sizeof(octets) - 1));
	CHECK(length[SVR] == at + held);
}

static void full(void)
{
	for (ring = 1024; ring <= RING; ring *= 2) {
		length[SVR] = 0;
		open_monitor(AF_INET);
		resize(monitor, MOS_SVRBUF, (int)ring);
		listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, read_whole_ring);
		run();
		CHECK(received == 26 && length[SVR] == ALL);
	}
}

/* ---- octets that come twice ---------------------------------------------------------------------------------- */

static int policy;
static uint64_t acknowledged;
static byte model[5000], is_known[5000];

/* Writes a segment into the model, and reads the streams against it: nothing is ever copied from behind a payload. */
static void see_overlap(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment r[40];
	socklen_t len = 40;
	(void)event, (void)arg;

	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	if (side != SVR)
		acknowledged = p.ack_seq - 101;
	/* What has been acknowledged its receiver does not take again. */
	if (side != SVR || p.payloadlen == 0 || p.offset + p.payloadlen <= acknowledged)
		return;
	received++;
	for (uint64_t i = 0, at = p.offset; i < p.payloadlen; i++, at++)
		if (policy == MOS_OVERLAP_POLICY_LAST || !is_known[at])
			model[at] = p.payload[i], is_known[at] = 1;
	GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
	uint64_t before = 0;
	for (socklen_t i = 0; i < len; i++) {
		long n = mtcp_ppeek(m, sock, SVR, octets, sizeof(octets), r[i].offset);
		CHECK(n == (long)r[i].len && memcmp(octets, model + r[i].offset, (size_t)n) == 0);
		while (before < r[i].offset)
			CHECK(!is_known[before++]);
		before += (uint64_t)n;
	}
	CHECK(before == sizeof(model) || !is_known[before]);
}

static void overlap(void)
{
	for (policy = 0; policy < MOS_OVERLAP_CNT; policy++) {
		memset(is_known, 0, sizeof(is_known));
		acknowledged = 0;
		open_monitor(AF_INET);
		resize(monitor, MOS_SVROVERLAP, policy); /* an option, set as a size is */
		listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, see_overlap);
		run();
		CHECK(received == 9 && acknowledged == 3000);
	}
}

/* ---- packets that are long, gone, or broken ------------------------------------------------------------------ */

/* Every octet that the description promises. */
static unsigned read_packet(const struct pkt_info *info)
{
	const byte *frame = (const byte *)info->ethh;
	unsigned sum = 0;

	for (int i = 0; frame != NULL && i < info->eth_len; i++)
		sum += frame[i];
	for (int i = 0; i < 20; i++)
		sum += ((const byte *)info->iph)[i];
	for (int i = 0; info->tcph != NULL && i < info->tcph->doff * 4; i++)
		sum += ((const byte *)info->tcph)[i];
	for (int i = 0; info->tcph != NULL && i < info->payloadlen; i++)
		sum += info->payload[i];
	return sum;
}

/* A copy of 1,514 octets is what the original has room for. */
static void see_long(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static byte copy[65535 + 2];
	struct pkt_info own;
	(void)event, (void)arg;

	received++;
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	read_packet(&p);
	if (p.payloadlen <= 1000)
		return;
	longest++;
	CHECK(p.ip_len == 65535 && p.eth_len == 65535 && p.payloadlen == 65495);
	CHECK(is_pattern(SVR, 0, (char *)p.payload, p.payloadlen));
	GIVES(12345, (mtcp_clonepkt(&own, copy + 2, &p), errno));
	CHECK((byte *)own.ethh == copy + 2 && is_pattern(SVR, 0, (char *)own.payload, 65495 - 14));
}

static void jumbo(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, see_long);
	resize(monitor, MOS_SVRBUF, 1024); /* and it is much longer than what it goes into */
	run();
	CHECK(received == 7 && longest == 1);
}

/* In a timer there is no packet, whatever was there before. */
static void look_in_timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	struct timeval soon = { 0, 7000 };
	(void)side, (void)event, (void)arg;

	timers++;
	memset(&p, 0x5a, sizeof(p));
	FAILS(ENODATA, mtcp_getlastpkt(m, monitor, CLI, &p));
	CHECK(p.cur_ts == 0x5a5a5a5a && p.payload == (byte *)0x5a5a5a5a5a5a5a5aull);
	FAILS(ENODATA, mtcp_setlastpkt(m, monitor, CLI, 0, NULL, 0, MOS_DROP));
	FAILS(ENODATA, mtcp_setlastpkt(m, monitor, CLI, 0, (byte *)"x", 1, IP));
	FAILS(ENODATA, mtcp_cb_dropcurpkt(m));
	GIVES(0, mtcp_settimer(m, id, &soon, look_in_timer));
}

static void timer(void)
{
	struct timeval now = { 0, 0 };
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, see_long);
	GIVES(0, mtcp_settimer(mctx, 9, &now, look_in_timer));
	run();
	CHECK(timers > 15);
}

/* Lengths in headers that are lies, and frames that were cut: all that is given out is there. */
static void see_crooked(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	received++;
	if (event == MOS_ON_ERROR && mtcp_getlastpkt(m, sock, side, &p) != 0) {
		CHECK(errno == ENODATA); /* found after the burst */
		return;
	}
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	const byte *start = (const byte *)p.ethh, *end = start + p.eth_len;
	CHECK(start != NULL && (const byte *)p.iph + 20 <= end);
	if (p.tcph != NULL)
		CHECK((const byte *)p.tcph + 20 <= end && p.payload + p.payloadlen <= end);
	read_packet(&p);
	if (received % 2 == 0) /* whatever it is, it may be changed to the last octet that is there, or is refused */
		mtcp_setlastpkt(m, sock, side, 0, (byte *)"abcd", 4, (received % 4 == 0 ? PAYLOAD : TCP) | UPDATE);
}

static void read_crooked(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	long n;
	(void)event, (void)arg;
	while ((n = peek(m, sock, side, 100)) != 0) {
		CHECK(n > 0 || (n < 0 && errno == ENODATA));
		length[side] += n > 0 ? n : 0;
	}
}

static void crooked(void)
{
	open_monitor(AF_INET);
	int raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(mctx, raw, MOS_ON_PKT_IN, MOS_NULL, see_crooked));
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, see_crooked);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, see_crooked);
	listen_to(MOS_ON_ORPHAN, MOS_NULL, see_crooked);
	listen_to(MOS_ON_REXMIT, MOS_HK_RCV, see_crooked);
	listen_to(MOS_ON_ERROR, MOS_NULL, see_crooked);
	listen_to(MOS_ON_CONN_NEW_DATA, MOS_NULL, read_crooked);
	run();
	CHECK(received > 1000 && length[SVR] > 0);
}

/* The length of an array of ranges is its elements: no other number is told from a length in octets. */
static void ask_ranges(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const socklen_t rooms[] = { 40, 80, 1, 2, 3, 4, 16, 48, 1000 };
	(void)side, (void)event, (void)arg;

	if (++received != 6) /* three ranges */
		return;
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		socklen_t len = rooms[i];
		struct tcp_ring_fragment *r = malloc(len * sizeof(*r)); /* who watches memory sees what is behind it */
		MUST(r != NULL);
		memset(r, 0x5a, len * sizeof(*r));
		GIVES(0, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_SVRBUF, r, &len));
		CHECK(len == (rooms[i] < 3 ? rooms[i] : 3) && r[0].offset == 0 && r[0].len == 100);
		CHECK(rooms[i] < 4 || (r[3].offset == 0 && r[3].len == 0));
		free(r);
	}
	socklen_t none = 0;
	struct tcp_ring_fragment r;
	FAILS(EINVAL, mtcp_getsockopt(m, sock, MON, MOS_FRAGINFO_SVRBUF, &r, &none));
	CHECK(none == 0);
}

static void ranges(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, ask_ranges);
	run();
	CHECK(received == 26);
}

int main(int argc, char **argv)
{
	static const struct part parts[] = {
		{ "loop", loop },       /* 8.1, 1: and note 1 of mtcp_peek() */
		{ "once", once },       /* the same, with a bare FIN */
		{ "hole", hole },       /* the same, in front of a hole */
		{ "single", single },   /* a loss of one octet */
		{ "full", full },       /* 3, and note 2 */
		{ "overlap", overlap }, /* 4 */
		{ "jumbo", jumbo },     /* 5 */
		{ "timer", timer },     /* 9 */
		{ "ranges", ranges },   /* 10 */
		{ "crooked", crooked }, /* 11 */
	};

	return run_part(parts, sizeof(parts) / sizeof(parts[0]), argc, argv);
}
