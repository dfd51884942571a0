/*
 * mos_ext.h - what this library has beyond the original mOS stack. Programs that use it do not compile for that one.
 *
 * The conventions are those of mos_api.h, which this file brings along: -1 and errno on failure, with nothing written and
 * nothing done; errno as it was on success. Calls marked [callback] work only inside a callback of their context; all
 * others from any thread. "The connection" is that of the socket that a callback was called for.
 *
 * STRUCTURES WITH A SIZE
 *   Some structures grow with the versions of this library. The program gives sizeof of its own one: members that a newer
 *   library has are left out, those that an older one does not know are 0. A size is a multiple of 8, at most 4096.
 */
#ifndef MOS_EXT_H
#define MOS_EXT_H

#include "mos_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- octets ------------------------------------------------------------------------------------------------ */

/*
 * Reads on, without a copy: as mtcp_peek(), but sets *data to where the next octets are, and returns how many of them lie
 * there in one piece, at most 2,048. The position moves behind them; the next call gives the next piece. [callback]
 * The octets stay as they are until the callback returns, whatever it calls: also when it switches the buffer off, closes
 * the socket, or destroys the context. They are not to be written to.
 * Returns how many; 0 when there is nothing new (*data is untouched); lost octets are reported once, by minus their number
 * with errno ENODATA.
 * -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept; or
 * there is no stream yet), EFAULT (data is NULL).
 */
ssize_t mos_peek_zc(mctx_t mctx, int sock, int side, const uint8_t **data);

/*
 * Reads anywhere, without a copy: as mtcp_ppeek(), but sets *data to where the octets from offset off on are, and returns
 * how many of them lie there in one piece. They stay as those of mos_peek_zc(). Nothing moves. [callback]
 * -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept; or
 * there is no stream yet), EFAULT (data is NULL), ENOTCONN (that side's state is SYN_SENT), ENODATA (no octet is held at
 * off).
 */
ssize_t mos_ppeek_zc(mctx_t mctx, int sock, int side, uint64_t off, const uint8_t **data);

/*
 * Moves the position of mtcp_peek() behind up to count octets in order, without a look at them. [callback]
 * Returns how many; 0 when there is nothing new, or count is 0; lost octets are reported as by mos_peek_zc().
 * -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept; or
 * there is no stream yet).
 */
ssize_t mos_skip(mctx_t mctx, int sock, int side, uint64_t count);

/*
 * The next MOS_ON_CONN_NEW_DATA of this socket for this side comes when count octets more are in order than it has read
 * now; then everything is as before. It comes earlier, for what there is, when the stream ends, when octets are lost to
 * the socket, and when the connection ends; if there is nothing to read then, the wait is over. When the octets are there
 * already, it comes after the burst (in a callback for new data: if that reads something). With 0 it waits no longer.
 * [callback]
 * 0, or -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept),
 * EMSGSIZE (the stream's ring does not hold as many), ENOMEM (too many sockets wait).
 */
int mos_wait_for(mctx_t mctx, int sock, int side, uint64_t count);

/* Where a stream stands, in offsets. */
struct mos_stream {
	uint64_t head;     /* the oldest octet held in order */
	uint64_t next;     /* one past the octets in order */
	uint64_t top;      /* one past the highest octet received */
	uint64_t read;     /* one past what mtcp_peek() has returned (or reported lost) to this socket */
	uint32_t init_seq; /* the sequence number of offset 0 */
	uint32_t ring;     /* octets that are kept in order, read or not */
	int midstream;     /* not 0: offset 0 is the first octet seen, not the first sent */
	int finished;      /* not 0: the stream ended in order; nothing comes any more */
};

/*
 * Asks where the stream stands that side receives. size: sizeof(struct mos_stream).
 * 0, or -1 with EACCES, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept; or
 * there is no stream yet; size), ENODATA (that side's state is SYN_SENT, or the first sequence number is not known yet),
 * EFAULT (NULL).
 */
int mos_get_stream(mctx_t mctx, int sock, int side, struct mos_stream *stream, size_t size);

/* ---- octets that are lost, or differ ------------------------------------------------------------------------- */

/* What MOS_ON_ERROR is about. */
enum {
	MOS_ERROR_GAP = 1,       /* octets were acknowledged by their receiver and never seen; the stream goes on behind them */
	MOS_ERROR_OVERRUN = 2,   /* octets that this socket has not read will be pushed out when the callback returns */
	MOS_ERROR_NO_MEMORY = 3, /* no memory for octets: they are not kept */
	MOS_ERROR_WINDOW = 4     /* octets are too far ahead of what is in order to be kept */
};

struct mos_error {
	int reason;      /* MOS_ERROR_* */
	int has_offset;  /* not 0: offset is known */
	uint64_t offset; /* of the first octet, else 0 */
	uint64_t octets; /* how many */
};

/*
 * Tells what the running callback for MOS_ON_ERROR is about. [callback] sock and side are those that it was called with.
 * 0, or -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side), ENODATA (the callback is
 * for another event, socket or side), EFAULT (NULL).
 */
int mos_get_error(mctx_t mctx, int sock, int side, struct mos_error *error);

/*
 * The same, for programs that want to know only which octets are missing: the range that was never seen, or that this
 * socket is about to lose (and can still read). ENODATA also when the error is about something else.
 */
int mos_gap(mctx_t mctx, int sock, int side, struct tcp_ring_fragment *gap);

/* Which copy of octets that came twice is there when the callback has returned. */
enum {
	MOS_STAYS_HELD = 0, /* the one that is held */
	MOS_STAYS_CAME = 1  /* the packet's, if there is a place for its segment */
};

/* Octets that came twice and differ. */
struct mos_copies {
	uint64_t offset;     /* of the first one that differs */
	size_t len;          /* as far as the last one that differs in this piece; some between may be equal */
	const uint8_t *held; /* what is held */
	const uint8_t *came; /* what the packet in flight has for the same offsets, as callbacks at MOS_HK_SND left it */
	int stays;           /* MOS_STAYS_*, by the overlap policy */
	int unused;
};

/*
 * In a callback for MOS_ON_REXMIT, before the octets are stored: the first octets at offset from or behind it that differ
 * from those that are held, as far as they lie in one piece and have one fate. The others come with from = offset + len,
 * until ENODATA. [callback] Both pointers are good until the callback returns, as those of mos_peek_zc().
 * 0, or -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EFAULT (NULL), ENODATA (no more differ,
 * or none is held, or the callback is for another event or socket).
 */
int mos_conflict(mctx_t mctx, int sock, uint64_t from, struct mos_copies *conflict);

/*
 * Values of MOS_CLIOVERLAP and MOS_SVROVERLAP beyond the two of the original: the stream is that which a receiver of this
 * kind reads, when segments overlap that wait behind a hole. What is in order already, all of them keep.
 */
enum {
	MOS_OVERLAP_FIRST = 0,         /* = MOS_OVERLAP_POLICY_FIRST */
	MOS_OVERLAP_LAST = 1,          /* = MOS_OVERLAP_POLICY_LAST: also in order, as long as it is held and not acknowledged */
	MOS_OVERLAP_LINUX = 2,         /* exactly */
	MOS_OVERLAP_BSD = 3,           /* this and all below by the tables of intrusion detection systems */
	MOS_OVERLAP_HPUX10 = 4,
	MOS_OVERLAP_HPUX11 = 5,
	MOS_OVERLAP_IRIX = 6,
	MOS_OVERLAP_LINUX_CLASSIC = 7, /* Linux as those tables have it */
	MOS_OVERLAP_MACOS = 8,
	MOS_OVERLAP_OLD_LINUX = 9,     /* 2.2 and before */
	MOS_OVERLAP_SOLARIS = 10,
	MOS_OVERLAP_VISTA = 11,        /* Windows Vista and after */
	MOS_OVERLAP_WINDOWS = 12,      /* Windows before Vista */
	MOS_OVERLAP_WINDOWS_2003 = 13
};

/* ---- connections ------------------------------------------------------------------------------------------- */

/*
 * Finds the connection between two addresses, in either order, that the passive socket monitor watches: struct sockaddr_in
 * (alen at least 16) or struct sockaddr_in6 (at least 28), both of one family. Connections in VLANs or tunnels are not
 * found. When the call comes from another thread, the connection may have ended, and the descriptor be another one's, before
 * the program uses it: sure is only what is found and used in one callback.
 * The descriptor of the connection, or -1 with EACCES, EBADF, ENOTSOCK (monitor is no passive stream socket), EFAULT
 * (NULL), EINVAL (a length is too short, or two families), EAFNOSUPPORT (another family), ENOENT (no such connection, or
 * monitor does not watch it).
 */
int mos_find(mctx_t mctx, int monitor, const struct sockaddr *a, socklen_t alen, const struct sockaddr *b,
	     socklen_t blen);

/* AF_INET or AF_INET6: the family of a socket, and so of the addresses of its connections. -1 with EACCES, EBADF. */
int mos_family(mctx_t mctx, int sock);

/* Why a connection has ended. */
enum {
	MOS_END_NONE = 0,      /* it has not */
	MOS_END_CLOSED = 1,    /* both sides closed it */
	MOS_END_RESET = 2,     /* a RST */
	MOS_END_TIMED_OUT = 3, /* nothing was heard of it for too long */
	MOS_END_REPLACED = 4,  /* a new connection between the same ports took its place */
	MOS_END_EVICTED = 5,   /* its place was needed for another one */
	MOS_END_SHUTDOWN = 6   /* the context ends; or a reason that a newer library has */
};

/* A connection. */
struct mos_connection {
	uint64_t number;      /* in the order of appearance, from 0 */
	uint64_t last_packet; /* when the last packet came: microseconds since 1970, as mos_now() */
	int state[2];         /* enum tcpstate, by side */
	int end;              /* MOS_END_*: in MOS_ON_CONN_END, why */
	int family;           /* AF_INET or AF_INET6 */
	int monitor;          /* the passive socket whose connection it is; -1 when that was closed */
	uint16_t vlan_count;  /* how many VLAN ids its packets have */
	uint16_t vlan[3];     /* those, outermost first */
	uint32_t unused;
};

/*
 * Asks about a connection. size: sizeof(struct mos_connection).
 * 0, or -1 with EACCES, EBADF, ENOTSOCK (not the socket of a connection), EFAULT (NULL), EINVAL (size).
 */
int mos_get_connection(mctx_t mctx, int sock, struct mos_connection *connection, size_t size);

/* ---- packets ----------------------------------------------------------------------------------------------- */

/* Where a packet of the program's goes: a port, together with these. */
#define MOS_WAY_PORT 0x0ffff /* the part that is the port's number, that of struct pkt_info's in_ifidx */
#define MOS_WAY_BACK 0x10000 /* out by that port; without it: where packets go that come in by that port */
#define MOS_WAY_IP 0x20000   /* the packet begins with its IP header; without it: with its Ethernet header */

/*
 * Sends a packet as it is, after the burst. Nothing of it is looked at or put right, it is not followed, and it may be a
 * packet of any connection or none. With capture files it is written to OUT, if there is one.
 * 0, or -1 with EACCES, EFAULT (NULL), EINVAL (way has other bits, or len is 0), EMSGSIZE (longer than packets can be),
 * ENOBUFS (too many wait to be sent).
 */
int mos_send(mctx_t mctx, int way, const void *packet, size_t len);

/*
 * Resets a connection at both ends, by segments that they take, and ends it here after the packet in flight or the burst:
 * MOS_ON_CONN_END comes, with MOS_END_RESET. The packet in flight goes on unless it is dropped. Doing it again does
 * nothing more. In a callback for the connection that has a packet the segments have its headers before IP, else those of
 * the packet with which it began.
 * 0, or -1 with EACCES, EBADF, ENOTSOCK (not the socket of a connection), ENOTCONN (it has ended), EOPNOTSUPP (in a tunnel,
 * or behind link headers that cannot be repeated, or are not known any more), ENOBUFS (too many packets wait to be sent).
 */
int mos_reset(mctx_t mctx, int sock);

/* ---- time -------------------------------------------------------------------------------------------------- */

/*
 * Cancels the timers that were set by mtcp_settimer() with this id and this function, or, when cb is NULL, with this id and
 * whatever function: they do not fire any more. From another thread, one that just fires may still run.
 * Returns how many there were, 0 too; -1 with EACCES.
 */
int mos_cancel_timer(mctx_t mctx, int id, callback_t cb);

/* The context's whole time: microseconds since 1970; 0 before the first packet. 0 with EACCES. */
uint64_t mos_now(mctx_t mctx);

/* ---- counters ---------------------------------------------------------------------------------------------- */

/* Places for counts of drop reasons. There are fewer reasons. */
#define MOS_DROP_REASONS 32

/* What a context has seen and done since it was made. */
struct mos_stats {
	uint64_t frames;               /* frames read */
	uint64_t octets;               /* their octets on the wire */
	uint64_t segments;             /* TCP segments of watched connections */
	uint64_t connections;          /* connections that began */
	uint64_t connections_ended;    /* for whatever reason */
	uint64_t connections_now;
	uint64_t connections_peak;     /* the most at once */
	uint64_t sockets_now;          /* sockets of all kinds */
	uint64_t evicted_embryonic;    /* handshakes that gave way to new ones */
	uint64_t evicted_idle;         /* silent connections that gave way to new ones */
	uint64_t stream_octets;        /* payload that was new */
	uint64_t retransmitted_octets; /* payload that was sent again */
	uint64_t refused_octets;       /* payload beyond the window, or without memory */
	uint64_t overrun_octets;       /* pushed out before every reader had them */
	uint64_t gap_octets;           /* acknowledged and never seen */
	uint64_t late_octets;          /* came after their gap was given up */
	uint64_t reclaimed_octets;     /* read by all, and given up early because memory was short */
	uint64_t shed_octets;          /* not read by all, and given up because memory was short */
	uint64_t zero_windows;         /* segments that advertise a window of zero */
	uint64_t conflicts;            /* retransmissions that differ from the first copy */
	uint64_t keep_alives;          /* probes of idle connections */
	uint64_t clock_steps_back;     /* timestamps a little before the one before */
	uint64_t clock_jumps;          /* timestamps far from the one before */
	uint64_t memory_used;          /* octets of stream memory in use */
	uint64_t memory_size;          /* octets of stream memory there are */
	uint64_t refused_segments;     /* segments that their receiver does not take; see mos_get_counter() */
	uint64_t odd_segments;         /* what is odd about segments that are taken */
	uint64_t dropped;              /* packets that were not processed further: the sum of the next */
	uint64_t drops[MOS_DROP_REASONS]; /* of these, by reason: mos_drop_reason() has the names */
};

/* Asks for all of it at one moment. size: sizeof(struct mos_stats).
 * 0, or -1 with EACCES, EFAULT (NULL), EINVAL (size). */
int mos_get_stats(mctx_t mctx, struct mos_stats *stats, size_t size);

/* The name of a reason, by its place in drops; NULL with EINVAL behind the last one. Places may change with the version of
 * the library, names do not. The string stays. */
const char *mos_drop_reason(unsigned i);

/* Groups of counters. */
enum {
	MOS_COUNT_DROPPED = 0,   /* packets that were not processed further */
	MOS_COUNT_FRAGMENTS = 1, /* IP fragments that were not kept */
	MOS_COUNT_REFUSED = 2,   /* segments that their receiver does not take */
	MOS_COUNT_ODD = 3,       /* segments that are taken, but odd */
	MOS_COUNT_LOST = 4       /* octets, connections and time that were lost */
};

enum {
	MOS_SEVERITY_INFO = 0,    /* none of our business */
	MOS_SEVERITY_WARNING = 1, /* a well-behaved network does not do it */
	MOS_SEVERITY_ERROR = 2    /* a limit of this library */
};

/* One counter, with what there is to say of it. The strings stay. */
struct mos_counter {
	uint64_t count;
	const char *name;     /* for machines; unique in its group */
	const char *sentence; /* for people */
	int group;            /* MOS_COUNT_* */
	int severity;         /* MOS_SEVERITY_* */
};

/* Each reason, oddity and loss, those that never happened included: i from 0 until ENOENT.
 * 0, or -1 with EACCES, EFAULT (NULL), ENOENT. */
int mos_get_counter(mctx_t mctx, unsigned i, struct mos_counter *counter);

#ifdef __cplusplus
}
#endif

#endif /* MOS_EXT_H */
