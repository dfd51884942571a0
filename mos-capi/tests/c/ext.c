/*
 * The functions of mos_ext.h, over made captures (see captures.rs) whose packets and octets are counted here.
 * usage: ext MOS_CONF PPEEK GAP DISPUTED MIXED, four captures
 */
#include "check.h"
#include "mos_ext.h"
#include <pthread.h>

#define CLI MOS_SIDE_CLI
#define SVR MOS_SIDE_SVR
#define MON SOL_MONSOCKET
#define RING 8192
#define ALL 12450 /* octets of the client in the first capture */
#define START UINT64_C(1000000000000000)
#define STEP 10000

static mctx_t mctx;
static int monitor, raw, packet;

static void nothing(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
}

static void count_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	packet++;
}

static void open_over(const char *capture)
{
	char io[4200];

	snprintf(io, sizeof(io), "pcap:%s", capture);
	setenv("MOS_IO", io, 1);
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	MUST(monitor >= 0 && raw >= 0);
	packet = 0;
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, count_packet));
}

static void on(event_t event, int hook, callback_t cb)
{
	GIVES(0, mtcp_register_callback(mctx, monitor, event, hook, cb));
}

static void run(void)
{
	errno = 12345;
	mtcp_app_join(mctx);
	CHECK(errno == 12345);
}

static int is_same(int side, uint64_t from, const uint8_t *octets, long n)
{
	return is_pattern(side, from, (const char *)octets, n);
}

/* Pieces from `from` on, without a hole, until there is no more. Returns where that is. */
static uint64_t read_on(mctx_t m, int sock, int side, uint64_t from)
{
	const uint8_t *data;
	ssize_t n;

	for (;;) {
		data = NULL;
		errno = 12345;
		n = mos_peek_zc(m, sock, side, &data);
		CHECK(errno == 12345 && n >= 0 && n <= 2048);
		if (n <= 0)
			break;
		CHECK(is_same(side, from, data, n));
		from += (uint64_t)n;
	}
	CHECK(data == NULL);
	return from;
}

/* ---- wrong arguments --------------------------------------------------------------------------------------- */

static struct sockaddr_in client4, server4;
static struct sockaddr_in6 client6, server6;

static void bad_handle(mctx_t m, int number)
{
	const uint8_t *data = NULL;
	struct mos_stream stream;
	struct mos_error error;
	struct tcp_ring_fragment gap;
	struct mos_copies conflict;
	struct mos_connection connection;
	struct mos_stats stats;
	struct mos_counter counter;
	const struct sockaddr *a = (const struct sockaddr *)&client4, *b = (const struct sockaddr *)&server4;

	FAILS(number, mos_peek_zc(m, monitor, SVR, &data));
	FAILS(number, mos_ppeek_zc(m, monitor, SVR, 0, &data));
	FAILS(number, mos_skip(m, monitor, SVR, 1));
	FAILS(number, mos_wait_for(m, monitor, SVR, 1));
	FAILS(number, mos_get_error(m, monitor, SVR, &error));
	FAILS(number, mos_gap(m, monitor, SVR, &gap));
	FAILS(number, mos_conflict(m, monitor, 0, &conflict));
	CHECK(data == NULL);
	if (number == EPERM) /* the others work from everywhere */
		return;
	FAILS(number, mos_get_stream(m, monitor, SVR, &stream, sizeof(stream)));
	FAILS(number, mos_find(m, monitor, a, sizeof(client4), b, sizeof(server4)));
	FAILS(number, mos_find(m, -1, NULL, 0, NULL, 0));
	FAILS(number, mos_family(m, monitor));
	FAILS(number, mos_get_connection(m, monitor, &connection, sizeof(connection)));
	FAILS(number, mos_send(m, 0, "x", 1));
	FAILS(number, mos_send(m, -1, NULL, 0));
	FAILS(number, mos_reset(m, monitor));
	FAILS(number, mos_cancel_timer(m, 1, nothing));
	FAILS_WITH(0, number, mos_now(m));
	FAILS(number, mos_get_stats(m, &stats, sizeof(stats)));
	FAILS(number, mos_get_counter(m, 0, &counter));
}

static void bad_handles(void)
{
	mctx_t wild[] = { NULL, (mctx_t)1, (mctx_t)UINTPTR_MAX, (mctx_t)((char *)mctx + 1), mctx + 1 };

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		bad_handle(wild[i], EACCES);
}

/* What fails for a socket of the wrong kind, and for none. */
static void bad_socket(mctx_t m, int sock, int number)
{
	const uint8_t *data = NULL;
	struct mos_stream stream;
	struct mos_error error;
	struct tcp_ring_fragment gap;
	struct mos_copies conflict;
	struct mos_connection connection;

	FAILS(number, mos_peek_zc(m, sock, SVR, &data));
	FAILS(number, mos_ppeek_zc(m, sock, SVR, 0, &data));
	FAILS(number, mos_skip(m, sock, SVR, 1));
	FAILS(number, mos_wait_for(m, sock, SVR, 1));
	FAILS(number, mos_get_stream(m, sock, SVR, &stream, sizeof(stream)));
	FAILS(number, mos_get_error(m, sock, SVR, &error));
	FAILS(number, mos_gap(m, sock, SVR, &gap));
	FAILS(number, mos_conflict(m, sock, 0, &conflict));
	FAILS(number, mos_get_connection(m, sock, &connection, sizeof(connection)));
	FAILS(number, mos_reset(m, sock));
}

static void bad_sizes(mctx_t m, int sock)
{
	static const size_t wrong[] = { 0, 1, 7, 9, 47, 4104, SIZE_MAX, (size_t)1 << 40 };
	struct mos_stream stream;
	struct mos_connection connection;
	struct mos_stats stats;

	memset(&stream, 0x5a, sizeof(stream));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		FAILS(EINVAL, mos_get_stream(m, sock, SVR, &stream, wrong[i]));
		FAILS(EINVAL, mos_get_connection(m, sock, &connection, wrong[i]));
		FAILS(EINVAL, mos_get_stats(m, &stats, wrong[i]));
	}
	CHECK(stream.head == 0x5a5a5a5a5a5a5a5aull);
	FAILS(EFAULT, mos_get_stream(m, sock, SVR, NULL, sizeof(stream)));
	FAILS(EFAULT, mos_get_connection(m, sock, NULL, sizeof(connection)));
	FAILS(EFAULT, mos_get_stats(m, NULL, sizeof(stats)));
	/* Of an older program, and of a newer one. */
	memset(&stats, 0x5a, sizeof(stats));
	GIVES(0, mos_get_stats(m, &stats, 16));
	CHECK(stats.frames > 0 && stats.segments == 0x5a5a5a5a5a5a5a5aull);
	uint64_t large[512];
	memset(large, 0x5a, sizeof(large));
	GIVES(0, mos_get_stats(m, (struct mos_stats *)(void *)large, sizeof(large)));
	CHECK(large[0] == stats.frames && large[sizeof(stats) / 8] == 0 && large[511] == 0);
}

static void bad_addresses(mctx_t m)
{
	const struct sockaddr *a = (const struct sockaddr *)&client4, *b = (const struct sockaddr *)&server4;
	struct sockaddr_in unix_like = client4;
	socklen_t len = sizeof(client4);

	unix_like.sin_family = AF_UNIX;
	FAILS(EFAULT, mos_find(m, monitor, NULL, len, b, len));
	FAILS(EFAULT, mos_find(m, monitor, a, len, NULL, len));
	FAILS(EINVAL, mos_find(m, monitor, a, 0, b, len));
	FAILS(EINVAL, mos_find(m, monitor, a, 1, b, len));
	FAILS(EINVAL, mos_find(m, monitor, a, len, b, len - 1));
	FAILS(EINVAL, mos_find(m, monitor, a, len, (const struct sockaddr *)&client6, sizeof(client6)));
	FAILS(EINVAL, mos_find(m, monitor, (const struct sockaddr *)&client6, len, b, len));
	FAILS(EAFNOSUPPORT, mos_find(m, monitor, (const struct sockaddr *)&unix_like, len, b, len));
	FAILS(EBADF, mos_find(m, -1, a, len, b, len));
	FAILS(EBADF, mos_find(m, 1 << 30, a, len, b, len));
	FAILS(ENOTSOCK, mos_find(m, raw, a, len, b, len));
	FAILS(ENOENT, mos_find(m, monitor, a, len, a, len));
}

static void wrong_arguments(mctx_t m, int sock)
{
	static const int sides[] = { -1, MOS_SIDE_BOTH, 3, 0x7fffffff };
	const uint8_t *data = NULL;
	struct mos_stream stream;
	struct mos_error error;
	struct tcp_ring_fragment gap;
	struct mos_copies conflict;
	struct mos_counter counter;

	bad_handles();
	bad_socket(m, -1, EBADF);
	bad_socket(m, 1 << 30, EBADF);
	bad_socket(m, sock + 20, EBADF);
	bad_socket(m, monitor, ENOTSOCK);
	bad_socket(m, raw, ENOTSOCK);
	FAILS(EBADF, mos_family(m, -1));
	FAILS(EBADF, mos_family(m, sock + 20));
	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
		FAILS(EINVAL, mos_peek_zc(m, sock, sides[i], &data));
		FAILS(EINVAL, mos_ppeek_zc(m, sock, sides[i], 0, &data));
		FAILS(EINVAL, mos_skip(m, sock, sides[i], 1));
		FAILS(EINVAL, mos_wait_for(m, sock, sides[i], 1));
		FAILS(EINVAL, mos_get_stream(m, sock, sides[i], &stream, sizeof(stream)));
		FAILS(EINVAL, mos_get_error(m, sock, sides[i], &error));
		FAILS(EINVAL, mos_gap(m, sock, sides[i], &gap));
	}
	FAILS(EFAULT, mos_peek_zc(m, sock, SVR, NULL));
	FAILS(EFAULT, mos_ppeek_zc(m, sock, SVR, 0, NULL));
	FAILS(ENODATA, mos_ppeek_zc(m, sock, SVR, 100, &data));
	FAILS(ENODATA, mos_ppeek_zc(m, sock, SVR, UINT64_MAX, &data));
	FAILS(ENODATA, mos_ppeek_zc(m, sock, CLI, 0, &data));
	CHECK(data == NULL);
	FAILS(EMSGSIZE, mos_wait_for(m, sock, SVR, RING + 1));
	FAILS(EMSGSIZE, mos_wait_for(m, sock, SVR, UINT64_MAX));
	/* A packet is neither an error nor a conflict. */
	FAILS(ENODATA, mos_get_error(m, sock, SVR, &error));
	FAILS(ENODATA, mos_get_error(m, sock, SVR, NULL));
	FAILS(ENODATA, mos_gap(m, sock, SVR, &gap));
	FAILS(ENODATA, mos_conflict(m, sock, 0, &conflict));
	FAILS(EFAULT, mos_conflict(m, sock, 0, NULL));
	bad_sizes(m, sock);
	bad_addresses(m);
	FAILS(EFAULT, mos_send(m, 0, NULL, 10));
	FAILS(EINVAL, mos_send(m, 0, "x", 0));
	FAILS(EINVAL, mos_send(m, -1, "x", 1));
	FAILS(EINVAL, mos_send(m, 1 << 18, "x", 1));
	FAILS(EMSGSIZE, mos_send(m, 0, &client4, SIZE_MAX));
	FAILS(EFAULT, mos_get_counter(m, 0, NULL));
	FAILS(ENOENT, mos_get_counter(m, 1000000, &counter));
	FAILS(ENOENT, mos_get_counter(m, UINT32_MAX, &counter));
	FAILS_WITH(NULL, EINVAL, mos_drop_reason(MOS_DROP_REASONS));
	FAILS_WITH(NULL, EINVAL, mos_drop_reason(UINT32_MAX));
}

/* ---- octets without a copy --------------------------------------------------------------------------------- */

static uint64_t taken[2];

static void piece_is(mctx_t m, int sock, int side, uint64_t off, long n)
{
	const uint8_t *data = NULL;

	GIVES(n, mos_ppeek_zc(m, sock, side, off, &data));
	CHECK(data != NULL && is_same(side, off, data, n));
}

static void zc_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	const uint8_t *data;
	struct mos_stream stream;
	(void)side, (void)event, (void)arg;

	switch (packet) {
	case 1:
		FAILS(ENOTCONN, mos_ppeek_zc(m, sock, CLI, 0, &data)); /* SYN_SENT */
		FAILS(ENODATA, mos_get_stream(m, sock, CLI, &stream, sizeof(stream)));
		GIVES(0, mos_skip(m, sock, CLI, 10));
		GIVES(0, mos_peek_zc(m, sock, CLI, &data));
		break;
	case 4: /* 0..100 */
		piece_is(m, sock, SVR, 0, 100);
		piece_is(m, sock, SVR, 99, 1);
		wrong_arguments(m, sock);
		break;
	case 5: /* and 200..300 */
		piece_is(m, sock, SVR, 0, 100);
		piece_is(m, sock, SVR, 250, 50);
		FAILS(ENODATA, mos_ppeek_zc(m, sock, SVR, 150, &data));
		GIVES(0, mos_get_stream(m, sock, SVR, &stream, sizeof(stream)));
		CHECK(stream.head == 0 && stream.next == 100 && stream.top == 300 && stream.read == 100);
		CHECK(stream.init_seq == 0xfffffff1u && stream.ring == RING);
		CHECK(stream.midstream == 0 && stream.finished == 0);
		break;
	case 22: /* the ring has its last 8192; pieces end with the chunks of the memory */
		piece_is(m, sock, SVR, 10239, 1);
		piece_is(m, sock, SVR, 10240, 2048);
		piece_is(m, sock, SVR, 12288, 162);
		FAILS(ENODATA, mos_ppeek_zc(m, sock, SVR, 100, &data));
		piece_is(m, sock, CLI, 60, 40);
		break;
	case 24: /* the client's FIN */
		GIVES(0, mos_get_stream(m, sock, SVR, &stream, sizeof(stream)));
		CHECK(stream.head == ALL - RING && stream.next == ALL && stream.top == ALL);
		CHECK(stream.read == ALL && stream.finished != 0);
		break;
	}
}

static void zc_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	taken[side] = read_on(m, sock, side, taken[side]);
}

static void zero_copy(const char *capture)
{
	open_over(capture);
	bad_handle(mctx, EPERM);
	bad_handles();
	taken[0] = taken[1] = 0;
	on(MOS_ON_PKT_IN, MOS_HK_RCV, zc_packet);
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, zc_data);
	run();
	bad_handle(mctx, EPERM);
	GIVES(0, mtcp_destroy_context(mctx));
	bad_handle(mctx, EACCES);
	CHECK(packet == 26 && taken[CLI] == 100 && taken[SVR] == ALL);
}

/* Nothing that a callback can do changes what it was given. */
static void lasting(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	const uint8_t *all = NULL, *early = NULL, *next = NULL;
	int zero = 0, both = MOS_SIDE_BOTH, last = MOS_OVERLAP_LAST;
	(void)side, (void)event, (void)arg;

	if (packet != 6) /* 0..100, 200..300, 400..450 */
		return;
	GIVES(100, mos_ppeek_zc(m, sock, SVR, 0, &all));
	GIVES(50, mos_ppeek_zc(m, sock, SVR, 400, &early));
	GIVES(100, mos_peek_zc(m, sock, SVR, &next));
	CHECK(next == all);
#define STILL() CHECK(is_same(SVR, 0, all, 100) && is_same(SVR, 400, early, 50))
	STILL();
	GIVES(0, mtcp_setsockopt(m, sock, MON, MOS_SVROVERLAP, &last, sizeof(last)));
	GIVES(0, mtcp_setsockopt(m, sock, MON, MOS_SVRBUF, &zero, sizeof(zero)));
	STILL();
	FAILS(EINVAL, mos_ppeek_zc(m, sock, SVR, 0, &next));
	FAILS(EINVAL, mos_peek_zc(m, sock, SVR, &next));
	FAILS(EINVAL, mos_skip(m, sock, SVR, 1));
	FAILS(EINVAL, mos_wait_for(m, sock, SVR, 1));
	CHECK(next == all);
	GIVES(0, mtcp_setsockopt(m, sock, MON, MOS_STOP_MON, &both, sizeof(both)));
	GIVES(0, mtcp_close(m, sock));
	GIVES(0, mtcp_close(m, monitor));
	STILL();
	GIVES(0, mtcp_destroy_context(m));
	GIVES(0, mtcp_destroy());
	bad_handle(m, EACCES);
	STILL();
	taken[SVR] = 1;
}

static void pointers_last(const char *capture, const char *conf)
{
	open_over(capture);
	taken[SVR] = 0;
	on(MOS_ON_PKT_IN, MOS_HK_RCV, lasting);
	mtcp_app_join(mctx); /* errno may tell that it was destroyed */
	mtcp_destroy_context(mctx); /* waits for the callback */
	CHECK(taken[SVR] == 1 && packet == 6);
	GIVES(0, mtcp_init(conf));
}

/* ---- skipping, waiting, losing ----------------------------------------------------------------------------- */

static int errors, waits, ends;

static void lose_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (side == SVR && packet == 4) {
		GIVES(50, mos_skip(m, sock, SVR, 50));
		GIVES(0, mos_skip(m, sock, SVR, 0));
	}
}

static void lose_error(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	/* What came up to this packet, and what the ring can hold of it. */
	uint64_t came = 450 + (uint64_t)(packet - 9) * 1000, end = came - RING;
	uint64_t start = came - 1000 > RING ? came - 1000 - RING : 0;
	struct tcp_ring_fragment gap = { 0, 0 };
	struct mos_error error;
	(void)event, (void)arg;

	errors++;
	if (start < 50)
		start = 50;
	CHECK(side == SVR && packet >= 17 && packet <= 21);
	GIVES(0, mos_gap(m, sock, side, &gap));
	CHECK(gap.offset == start && gap.len == end - start);
	GIVES(0, mos_get_error(m, sock, side, &error));
	CHECK(error.reason == MOS_ERROR_OVERRUN && error.has_offset);
	CHECK(error.offset == start && error.octets == end - start);
	FAILS(ENODATA, mos_gap(m, sock, CLI, &gap));
	FAILS(EFAULT, mos_gap(m, sock, side, NULL));
	FAILS(EFAULT, mos_get_error(m, sock, side, NULL));
	FAILS(ENOTSOCK, mos_gap(m, monitor, side, &gap));
	piece_is(m, sock, SVR, start, (long)(2048 - start % 2048)); /* it can still be read */
}

static void lose_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	const uint8_t *data = NULL;
	(void)side, (void)event, (void)arg;

	if (ends++ > 0)
		return;
	/* Read up to 50, and the ring has the last 8192: told once, by whoever asks first. */
	FAILS_WITH(-(ALL - RING - 50), ENODATA, mos_peek_zc(m, sock, SVR, &data));
	CHECK(data == NULL);
	CHECK(read_on(m, sock, SVR, ALL - RING) == ALL);
	GIVES(30, mos_skip(m, sock, CLI, 30));
	GIVES(70, mos_peek_zc(m, sock, CLI, &data));
	CHECK(is_same(CLI, 30, data, 70));
	GIVES(0, mos_skip(m, sock, CLI, UINT64_MAX));
	GIVES(0, mos_skip(m, sock, SVR, UINT64_MAX));
}

static void skip_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (ends++ > 0)
		return;
	GIVES(0, mos_skip(m, sock, SVR, 0)); /* who wants none misses none */
	FAILS_WITH(-(ALL - RING), ENODATA, mos_skip(m, sock, SVR, 5));
	GIVES(5, mos_skip(m, sock, SVR, 5));
	GIVES(RING - 5, mos_skip(m, sock, SVR, UINT64_MAX));
}

static void losses(const char *capture)
{
	open_over(capture);
	errors = ends = 0;
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, lose_data);
	on(MOS_ON_ERROR, MOS_NULL, lose_error);
	on(MOS_ON_CONN_END, MOS_HK_RCV, lose_end);
	run();
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(errors == 5 && ends == 2);

	open_over(capture);
	ends = 0;
	on(MOS_ON_CONN_END, MOS_HK_RCV, skip_end);
	run();
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(ends == 2);
}

static void wait_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (side != SVR)
		return;
	uint64_t before = taken[SVR];
	taken[SVR] = read_on(m, sock, side, before);
	if (++waits == 1) {
		CHECK(packet == 4 && taken[SVR] == 100);
		GIVES(0, mos_wait_for(m, sock, SVR, 6000));
		GIVES(0, mos_wait_for(m, sock, SVR, 5000)); /* in its place */
	} else if (waits == 2) { /* 5450 are the first that suffice */
		CHECK(packet == 14 && before == 100 && taken[SVR] == 5450);
		GIVES(0, mos_wait_for(m, sock, SVR, 2000));
		GIVES(0, mos_wait_for(m, sock, SVR, 0));
	} else {
		CHECK(packet == waits + 12);
	}
}

static void waiting(const char *capture)
{
	open_over(capture);
	waits = 0;
	taken[SVR] = 0;
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, wait_data);
	run();
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(waits >= 9 && taken[SVR] == ALL);
}

/* Octets 100..200 were never captured, and acknowledged. */
static void gap_error(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment gap = { 0, 0 };
	struct mos_error error;
	(void)event, (void)arg;

	errors++;
	CHECK(side == SVR);
	GIVES(0, mos_gap(m, sock, side, &gap));
	CHECK(gap.offset == 100 && gap.len == 100);
	GIVES(0, mos_get_error(m, sock, side, &error));
	CHECK(error.reason == MOS_ERROR_GAP && error.has_offset && error.offset == 100 && error.octets == 100);
	FAILS(ENODATA, mos_get_error(m, sock, CLI, &error));
}

static void gap_data(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment gap;
	const uint8_t *data = NULL;
	(void)event, (void)arg;

	FAILS(ENODATA, mos_gap(m, sock, side, &gap));
	if (side == SVR && errors == 0) {
		taken[SVR] = read_on(m, sock, side, taken[SVR]);
	} else if (side == SVR) {
		FAILS_WITH(-100, ENODATA, mos_peek_zc(m, sock, side, &data));
		CHECK(data == NULL && taken[SVR] == 100);
		taken[SVR] = read_on(m, sock, side, 200);
	}
}

static void gaps(const char *capture)
{
	open_over(capture);
	errors = 0;
	taken[SVR] = 0;
	on(MOS_ON_ERROR, MOS_NULL, gap_error);
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, gap_data);
	run();
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(errors == 1 && taken[SVR] == 300);
}

/* ---- octets that came twice --------------------------------------------------------------------------------- */

static int policy, again, clashes;

/* In the disputed capture `other` octets are those of the pattern with all bits turned. */
static int is_turned(uint64_t from, const uint8_t *octets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (octets[i] != (pattern(SVR, from + i) ^ 0xff))
			return 0;
	return 1;
}

static void clash_is(mctx_t m, int sock, uint64_t *at, uint64_t from, size_t n, int stays)
{
	struct mos_copies c;

	memset(&c, 0, sizeof(c));
	GIVES(0, mos_conflict(m, sock, *at, &c));
	CHECK(c.offset == from && c.len == n && c.stays == stays);
	if (c.len == n) {
		CHECK(is_same(SVR, from, c.held, (long)n) && is_turned(from, c.came, n));
		GIVES(0, mos_conflict(m, sock, from + n - 1, &c)); /* from the middle */
		CHECK(c.offset == from + n - 1 && c.len == 1);
	}
	*at = from + n;
	clashes++;
}

static void on_again(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct mos_copies c;
	uint64_t at = 0;
	int by_last = policy == MOS_OVERLAP_LAST ? MOS_STAYS_CAME : MOS_STAYS_HELD;
	(void)event, (void)arg;

	again++;
	CHECK(side == SVR);
	switch (packet) {
	case 7: /* 1900..2200, turned from 1950 to 2100, across two chunks; not acknowledged yet */
		clash_is(m, sock, &at, 1950, 98, by_last);
		clash_is(m, sock, &at, 2048, 52, by_last);
		break;
	case 8: /* 2900..3100, turned from 2950 on: 3000..3100 are new */
		clash_is(m, sock, &at, 2950, 50, by_last);
		break;
	case 10: /* 4050..4150, turned; 4000..4100 waits. Linux and the BSDs keep what began before */
		clash_is(m, sock, &at, 4050, 46, by_last);
		clash_is(m, sock, &at, 4096, 4, by_last);
		break;
	case 11: /* 2900..2950, the same as ever */
		break;
	case 12: /* 3990..4110, turned: around the first that waits, which gives way to it but by the first policy */
		/* 4000..4100 is the pattern's where it was kept, else half of it was turned before. */
		clash_is(m, sock, &at, 4000, by_last == MOS_STAYS_CAME ? 50 : 96,
			 policy == MOS_OVERLAP_FIRST ? MOS_STAYS_HELD : MOS_STAYS_CAME);
		if (by_last != MOS_STAYS_CAME)
			clash_is(m, sock, &at, 4096, 4,
				 policy == MOS_OVERLAP_FIRST ? MOS_STAYS_HELD : MOS_STAYS_CAME);
		break;
	case 14: /* 1000..1100, turned: acknowledged, so the server does not take it */
		clash_is(m, sock, &at, 1000, 100, MOS_STAYS_HELD);
		break;
	default:
		CHECK(!"another packet is no retransmission");
	}
	FAILS(ENODATA, mos_conflict(m, sock, at, &c));
	FAILS(ENODATA, mos_conflict(m, sock, UINT64_MAX, &c));
	FAILS(EFAULT, mos_conflict(m, sock, 0, NULL));
	FAILS(ENOTSOCK, mos_conflict(m, monitor, 0, &c));
}

static void disputed_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	const uint8_t *data;
	ssize_t n;
	(void)side, (void)event, (void)arg;

	if (packet == 7) {
		n = mos_ppeek_zc(m, sock, SVR, 2048, &data);
		CHECK(n >= 52 && (policy == MOS_OVERLAP_LAST ? is_turned(2048, data, 52) : is_same(SVR, 2048, data, 52)));
	}
	if (packet == 14) {
		n = mos_ppeek_zc(m, sock, SVR, 1000, &data);
		CHECK(n == 1048 && is_same(SVR, 1000, data, 100));
	}
	if (packet == 8) {
		n = mos_ppeek_zc(m, sock, SVR, 2950, &data);
		CHECK(n >= 50 && (policy == MOS_OVERLAP_LAST ? is_turned(2950, data, 50) : is_same(SVR, 2950, data, 50)));
	}
	if (packet == 12) {
		n = mos_ppeek_zc(m, sock, SVR, 4000, &data);
		CHECK(n == 96 && (policy == MOS_OVERLAP_FIRST ? is_same(SVR, 4000, data, 50) : is_turned(4000, data, 50)));
	}
}

static void conflicts(const char *capture)
{
	static const int policies[] = { MOS_OVERLAP_FIRST, MOS_OVERLAP_LAST, MOS_OVERLAP_LINUX, MOS_OVERLAP_BSD };

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct mos_stats stats;
		int wrong[] = { -1, 14, 1000 };
		policy = policies[i];
		open_over(capture);
		again = clashes = 0;
		GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_SVROVERLAP, &policy, sizeof(policy)));
		for (int w = 0; w < 3; w++)
			FAILS(EINVAL, mtcp_setsockopt(mctx, monitor, MON, MOS_CLIOVERLAP, &wrong[w], sizeof(int)));
		for (int good = MOS_OVERLAP_FIRST; good <= MOS_OVERLAP_WINDOWS_2003; good++)
			GIVES(0, mtcp_setsockopt(mctx, monitor, MON, MOS_CLIOVERLAP, &good, sizeof(int)));
		on(MOS_ON_REXMIT, MOS_HK_RCV, on_again);
		on(MOS_ON_PKT_IN, MOS_HK_RCV, disputed_packet);
		run();
		GIVES(0, mos_get_stats(mctx, &stats, sizeof(stats)));
		CHECK(stats.conflicts == 5);
		GIVES(0, mtcp_destroy_context(mctx));
		CHECK(packet == 14 && again == 6 && clashes == (policy == MOS_OVERLAP_LAST ? 7 : 8));
	}
}

/* ---- connections, time, counters ----------------------------------------------------------------------------- */

static int web, web6, connections, found_by_thread, cancelled, fired;

static struct sockaddr_in four(const char *address, int port)
{
	struct sockaddr_in a;

	memset(&a, 0, sizeof(a));
	a.sin_family = AF_INET;
	a.sin_port = htons((uint16_t)port);
	CHECK(inet_pton(AF_INET, address, &a.sin_addr) == 1);
	return a;
}

static struct sockaddr_in6 six(const char *address, int port)
{
	struct sockaddr_in6 a;

	memset(&a, 0, sizeof(a));
	a.sin6_family = AF_INET6;
	a.sin6_port = htons((uint16_t)port);
	CHECK(inet_pton(AF_INET6, address, &a.sin6_addr) == 1);
	return a;
}

static int find4(mctx_t m, int at, const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	return mos_find(m, at, (const struct sockaddr *)a, sizeof(*a), (const struct sockaddr *)b, sizeof(*b));
}

static int find6(mctx_t m, int at, const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	return mos_find(m, at, (const struct sockaddr *)a, sizeof(*a), (const struct sockaddr *)b, sizeof(*b));
}

/* The first packet of each connection. */
static void found_start(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct mos_connection c;
	struct sockaddr_in6 ends6[2];
	struct sockaddr_in ends[2];
	socklen_t len = sizeof(ends);
	(void)side, (void)event, (void)arg;

	GIVES(0, mos_get_connection(m, sock, &c, sizeof(c)));
	CHECK(c.state[CLI] == TCP_SYN_SENT && c.state[SVR] == TCP_LISTEN && c.end == MOS_END_NONE);
	CHECK(c.vlan_count == 0 && c.last_packet == mos_now(m));
	GIVES(c.family, mos_family(m, sock));
	if (c.family == AF_INET) {
		GIVES(0, mtcp_getpeername(m, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH));
		GIVES(sock, find4(m, c.monitor, &ends[0], &ends[1]));
		GIVES(sock, find4(m, c.monitor, &ends[1], &ends[0]));
		CHECK(c.monitor == monitor || c.monitor == web);
		CHECK((c.monitor == web) == (ntohs(ends[1].sin_port) == 80 && c.monitor != monitor));
		if (ntohs(ends[1].sin_port) != 80)
			FAILS(ENOENT, find4(m, web, &ends[0], &ends[1]));
		else
			CHECK(find4(m, web, &ends[0], &ends[1]) != find4(m, monitor, &ends[0], &ends[1]));
		FAILS(ENOENT, find4(m, web6, &ends[0], &ends[1]));
	} else {
		CHECK(c.family == AF_INET6 && c.monitor == web6);
		len = sizeof(ends6);
		GIVES(0, mtcp_getpeername(m, sock, (struct sockaddr *)ends6, &len, MOS_SIDE_BOTH));
		CHECK(memcmp(&ends6[0], &client6, sizeof(client6)) == 0);
		CHECK(memcmp(&ends6[1], &server6, sizeof(server6)) == 0);
		GIVES(sock, find6(m, web6, &client6, &server6));
		FAILS(ENOENT, find6(m, web, &client6, &server6));
	}
	connections++;
}

static void found_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct mos_connection c;
	(void)side, (void)event, (void)arg;

	GIVES(0, mos_get_connection(m, sock, &c, sizeof(c)));
	CHECK(c.state[CLI] == TCP_CLOSED && c.state[SVR] == TCP_CLOSED && c.end == MOS_END_CLOSED);
	FAILS(ENOTCONN, mos_reset(m, sock));
}

/* The connection that is there at the end is found from another thread. */
static void *finder(void *handle)
{
	struct sockaddr_in a = four("10.0.0.1", 1002), b = four("10.0.0.2", 82);
	struct mos_connection c;
	struct mos_stream stream;
	mctx_t m = handle;

	found_by_thread = find4(m, monitor, &a, &b);
	CHECK(found_by_thread >= 0);
	FAILS(ENOENT, find4(m, web, &a, &b));
	FAILS(ENOENT, find4(m, monitor, &client4, &server4)); /* has ended */
	GIVES(AF_INET, mos_family(m, found_by_thread));
	GIVES(0, mos_get_connection(m, found_by_thread, &c, sizeof(c)));
	CHECK(c.state[CLI] == TCP_ESTABLISHED && c.state[SVR] == TCP_ESTABLISHED && c.number == 3);
	CHECK(c.last_packet == START + 34 * STEP && c.monitor == monitor);
	GIVES(0, mos_get_stream(m, found_by_thread, SVR, &stream, sizeof(stream)));
	CHECK(stream.next == 10 && stream.read == 0 && stream.init_seq == 101);
	GIVES(START + 34 * STEP, mos_now(m));
	return NULL;
}

static void on_cancelled(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)id, (void)side, (void)event, (void)arg;
	CHECK(!"a cancelled timer fires");
}

static void on_first_timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	fired++;
	CHECK(id == 8);
	GIVES(0, mos_cancel_timer(m, 8, on_first_timer)); /* it has fired */
	GIVES(2, mos_cancel_timer(m, 9, NULL));
	GIVES(0, mos_cancel_timer(m, 9, NULL));
	cancelled = 1;
}

static void set_timers(void)
{
	struct timeval soon = { 0, 50000 }, later = { 0, 150000 };

	GIVES(0, mtcp_settimer(mctx, 7, &soon, on_cancelled));
	GIVES(0, mtcp_settimer(mctx, 7, &later, on_cancelled));
	GIVES(0, mtcp_settimer(mctx, 7, &soon, nothing));
	GIVES(0, mtcp_settimer(mctx, 8, &soon, on_first_timer));
	GIVES(0, mtcp_settimer(mctx, 9, &later, on_cancelled));
	GIVES(0, mtcp_settimer(mctx, 9, &later, nothing));
	GIVES(0, mos_cancel_timer(mctx, 6, NULL));
	GIVES(0, mos_cancel_timer(mctx, 7, on_first_timer));
	GIVES(2, mos_cancel_timer(mctx, 7, on_cancelled));
	GIVES(0, mos_cancel_timer(mctx, 7, on_cancelled));
	GIVES(0, mos_now(mctx));
}

static uint64_t drops(const struct mos_stats *stats, const char *name)
{
	for (unsigned i = 0; i < MOS_DROP_REASONS && mos_drop_reason(i) != NULL; i++)
		if (strcmp(mos_drop_reason(i), name) == 0)
			return stats->drops[i];
	return UINT64_MAX;
}

/* 35 packets, each with 31 fillers: see mixed(). */
static void counters(void)
{
	struct mos_stats s;
	struct mos_counter c;
	unsigned n = 0;
	uint64_t dropped = 0, orphans = 0;

	GIVES(0, mos_get_stats(mctx, &s, sizeof(s)));
	CHECK(s.frames == 35 * 32 && s.connections == 4 && s.connections_ended == 3 && s.connections_now == 1);
	CHECK(s.connections_peak == 1 && s.segments == 9 + 9 + 9 + 4);
	CHECK(s.stream_octets == 3 * 30 + 10 && s.retransmitted_octets == 3 * 10 && s.conflicts == 0);
	CHECK(s.sockets_now == 4 + 1 && s.memory_size >= 16 << 20 && s.memory_used > 0);
	CHECK(drops(&s, "orphan") == 3 && drops(&s, "not_ip") == 35 * 31 && drops(&s, "not_tcp") == 1);
	CHECK(drops(&s, "tcp_checksum") == 0 && drops(&s, "no such reason") == UINT64_MAX);
	CHECK(s.dropped == 3 + 35 * 31 + 1 && s.gap_octets == 0 && s.overrun_octets == 0);
	while (mos_get_counter(mctx, n, &c) == 0) {
		CHECK(strlen(c.name) > 2 && strlen(c.sentence) > 10);
		CHECK(c.group >= MOS_COUNT_DROPPED && c.group <= MOS_COUNT_LOST);
		CHECK(c.severity >= MOS_SEVERITY_INFO && c.severity <= MOS_SEVERITY_ERROR);
		if (c.group == MOS_COUNT_DROPPED)
			dropped += c.count;
		if (strcmp(c.name, "orphan") == 0) {
			orphans += c.count;
			CHECK(c.severity == MOS_SEVERITY_INFO);
		}
		n++;
	}
	CHECK(errno == ENOENT && n > 40 && dropped == s.dropped && orphans == 3);
}

static void connected(const char *capture)
{
	union monitor_filter filter = { .stream_syn_filter = "tcp dst port 80" };
	pthread_t thread;

	open_over(capture);
	filter.stream_orphan_filter = NULL;
	connections = cancelled = fired = 0;
	web = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	web6 = mtcp_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_STREAM, 0);
	MUST(web >= 0 && web6 >= 0);
	GIVES(0, mtcp_bind_monitor_filter(mctx, web, &filter));
	GIVES(AF_INET, mos_family(mctx, monitor));
	GIVES(AF_INET, mos_family(mctx, raw));
	GIVES(AF_INET6, mos_family(mctx, web6));
	int sockets[] = { monitor, web, web6 };
	for (int i = 0; i < 3; i++) {
		GIVES(0, mtcp_register_callback(mctx, sockets[i], MOS_ON_CONN_START, MOS_HK_SND, found_start));
		GIVES(0, mtcp_register_callback(mctx, sockets[i], MOS_ON_CONN_END, MOS_HK_RCV, found_end));
	}
	set_timers();
	run();
	counters();
	/* Four at all, of which one is to port 80 over IPv4 and has two sockets. */
	CHECK(connections == 5 && fired == 1 && cancelled == 1);
	CHECK(pthread_create(&thread, NULL, finder, mctx) == 0);
	pthread_join(thread, NULL);
	/* A monitor that is closed still has its connections; they have none. */
	struct mos_connection c;
	GIVES(0, mtcp_close(mctx, monitor));
	FAILS(EBADF, mos_family(mctx, monitor));
	GIVES(0, mos_get_connection(mctx, found_by_thread, &c, sizeof(c)));
	CHECK(c.monitor == -1);
	GIVES(0, mtcp_destroy_context(mctx));
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	client4 = four("10.0.0.1", 1000);
	server4 = four("10.0.0.2", 80);
	client6 = six("fd00::1", 1000);
	server6 = six("fd00::2", 80);
	bad_handle((mctx_t)0x10000, EACCES);
	GIVES(0, mtcp_init(argv[1]));
	zero_copy(argv[2]);
	pointers_last(argv[2], argv[1]);
	losses(argv[2]);
	waiting(argv[2]);
	gaps(argv[3]);
	conflicts(argv[4]);
	connected(argv[5]);
	GIVES(0, mtcp_destroy());
	return report();
}
