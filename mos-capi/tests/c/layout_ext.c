/* Sizes, offsets and values of mos_ext.h. It has only to compile. */
#include "mos_ext.h"

#ifdef __cplusplus
#define SAME(a, b) static_assert((a) == (b), #a)
#else
#define SAME(a, b) _Static_assert((a) == (b), #a)
#endif
#define SIZE(type, size) SAME(sizeof(type), size)
#define AT(type, member, offset) SAME(offsetof(type, member), offset)

SIZE(struct mos_stream, 48);
AT(struct mos_stream, head, 0);
AT(struct mos_stream, next, 8);
AT(struct mos_stream, top, 16);
AT(struct mos_stream, read, 24);
AT(struct mos_stream, init_seq, 32);
AT(struct mos_stream, ring, 36);
AT(struct mos_stream, midstream, 40);
AT(struct mos_stream, finished, 44);
SIZE(struct mos_error, 24);
AT(struct mos_error, reason, 0);
AT(struct mos_error, has_offset, 4);
AT(struct mos_error, offset, 8);
AT(struct mos_error, octets, 16);
SIZE(struct mos_copies, 40);
AT(struct mos_copies, offset, 0);
AT(struct mos_copies, len, 8);
AT(struct mos_copies, held, 16);
AT(struct mos_copies, came, 24);
AT(struct mos_copies, stays, 32);
SIZE(struct mos_connection, 48);
AT(struct mos_connection, number, 0);
AT(struct mos_connection, last_packet, 8);
AT(struct mos_connection, state, 16);
AT(struct mos_connection, end, 24);
AT(struct mos_connection, family, 28);
AT(struct mos_connection, monitor, 32);
AT(struct mos_connection, vlan_count, 36);
AT(struct mos_connection, vlan, 38);
SIZE(struct mos_counter, 32);
AT(struct mos_counter, count, 0);
AT(struct mos_counter, name, 8);
AT(struct mos_counter, sentence, 16);
AT(struct mos_counter, group, 24);
AT(struct mos_counter, severity, 28);
SIZE(struct mos_stats, 480);
AT(struct mos_stats, frames, 0);
AT(struct mos_stats, connections_now, 40);
AT(struct mos_stats, stream_octets, 80);
AT(struct mos_stats, memory_used, 184);
AT(struct mos_stats, dropped, 216);
AT(struct mos_stats, drops, 224);
SAME((int)MOS_OVERLAP_FIRST, (int)MOS_OVERLAP_POLICY_FIRST);
SAME((int)MOS_OVERLAP_LAST, (int)MOS_OVERLAP_POLICY_LAST);

/* The types of functions: each line compiles only if the prototype is this one. */
#define TYPE(result, name, ...) result (*const type_of_##name)(__VA_ARGS__) = name
#define ADDRESS const struct sockaddr *, socklen_t
extern int layout_is_checked;
int layout_is_checked;
static TYPE(ssize_t, mos_peek_zc, mctx_t, int, int, const uint8_t **);
static TYPE(ssize_t, mos_ppeek_zc, mctx_t, int, int, uint64_t, const uint8_t **);
static TYPE(ssize_t, mos_skip, mctx_t, int, int, uint64_t);
static TYPE(int, mos_wait_for, mctx_t, int, int, uint64_t);
static TYPE(int, mos_get_stream, mctx_t, int, int, struct mos_stream *, size_t);
static TYPE(int, mos_get_error, mctx_t, int, int, struct mos_error *);
static TYPE(int, mos_gap, mctx_t, int, int, struct tcp_ring_fragment *);
static TYPE(int, mos_conflict, mctx_t, int, uint64_t, struct mos_copies *);
static TYPE(int, mos_find, mctx_t, int, ADDRESS, ADDRESS);
static TYPE(int, mos_family, mctx_t, int);
static TYPE(int, mos_get_connection, mctx_t, int, struct mos_connection *, size_t);
static TYPE(int, mos_send, mctx_t, int, const void *, size_t);
static TYPE(int, mos_reset, mctx_t, int);
static TYPE(int, mos_cancel_timer, mctx_t, int, callback_t);
static TYPE(uint64_t, mos_now, mctx_t);
static TYPE(int, mos_get_stats, mctx_t, struct mos_stats *, size_t);
static TYPE(const char *, mos_drop_reason, unsigned);
static TYPE(int, mos_get_counter, mctx_t, unsigned, struct mos_counter *);

/* Used, so that they are not complained about; and linked, so that every declared function is there. */
int main(void)
{
	const void *const used[] = {
		(const void *)type_of_mos_peek_zc,
		(const void *)type_of_mos_ppeek_zc,
		(const void *)type_of_mos_skip,
		(const void *)type_of_mos_wait_for,
		(const void *)type_of_mos_get_stream,
		(const void *)type_of_mos_get_error,
		(const void *)type_of_mos_gap,
		(const void *)type_of_mos_conflict,
		(const void *)type_of_mos_find,
		(const void *)type_of_mos_family,
		(const void *)type_of_mos_get_connection,
		(const void *)type_of_mos_send,
		(const void *)type_of_mos_reset,
		(const void *)type_of_mos_cancel_timer,
		(const void *)type_of_mos_now,
		(const void *)type_of_mos_get_stats,
		(const void *)type_of_mos_drop_reason,
		(const void *)type_of_mos_get_counter,
	};
	for (unsigned i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		if (used[i] == NULL)
			return 1;
	return mos_drop_reason(0) == NULL;
}
