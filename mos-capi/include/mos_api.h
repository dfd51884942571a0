/*
 * mos_api.h - watching TCP connections with the mOS stack. The one header that programs include.
 *
 * A program: mtcp_init(), for each core mtcp_create_context(), sockets, filters, callbacks and timers,
 * mtcp_app_join(), mtcp_destroy_context(), mtcp_destroy(). Link with -lmos.
 *
 * CALLS
 *   A call that fails returns -1 (or NULL, or 0 where its text says so) and sets errno; nothing else has happened
 *   then, and what its pointers point to is untouched. A call that succeeds leaves errno as it was. No argument
 *   makes a call crash, but a pointer to memory that is not there; no call ends the process or prints anything.
 *   mos_last_error() has a sentence about some failures, and about the last one only.
 *   EACCES always means that mctx is no context (any more). EBADF means that there is no such socket.
 *
 * THREADS
 *   Each context has one thread, on which all its callbacks run, one at a time. Calls marked [callback] work only there,
 *   inside a callback of that context, and fail with EPERM elsewhere. All others work from any thread, inside
 *   callbacks too; from another thread they wait until the context's thread has time, which is between bursts of
 *   packets. In a signal handler that mtcp_register_signal() has set, only mtcp_destroy_context() may be called; in
 *   handlers set otherwise only while no call but mtcp_app_join() is interrupted. Callbacks and handlers must return: no
 *   longjmp(), no C++ exception, no pthread_exit(). No thread may be cancelled inside of a call. Callbacks have as much
 *   stack as the main thread (ulimit -s), at least 8 MiB.
 *   A child made by fork() has no contexts (EACCES), as it has not their threads. It can make its own, when no other thread
 *   was inside of a call or callback at the time. When a callback forks and returns in the child, that ends with
 *   status 1.
 *   exit() ends contexts where they are, without a word: what was forwarded last may not be written. The library stays
 *   loaded, whatever dlclose() is told.
 *
 * SIDES
 *   MOS_SIDE_CLI is the end that sent the first SYN, MOS_SIDE_SVR the other one. A stream of octets, its buffer, and
 *   everything named after them, belong to the side that receives it: what the client said is read with
 *   MOS_SIDE_SVR. Offsets count octets of payload: 0 is the first one, whose sequence number is the initial one
 *   plus 1. They are 64 bits wide and never wrap.
 *
 * INPUT
 *   Where packets come from, the environment says first:
 *       MOS_IO=pcap:IN[,OUT]             a capture file (pcap or pcapng)
 *       MOS_IO=af_packet:LEFT[,RIGHT]    between two interfaces, or listening to one
 *       MOS_IO=tap:LEFT,RIGHT            between two TAP devices
 *   otherwise the block mos of the configuration:
 *       io = pcap                  pcap_in = IN, for each of several captures, and perhaps pcap_out = OUT
 *       io = af_packet             interfaces in nic_forward_table (pairs) and netdev (those in no pair only listen)
 *       io = tap                   the same for TAP devices
 *   MOS_CHECKSUM=off in the environment takes packets with wrong checksums too, as captures on a host that leaves
 *   checksums to its network card have them. Packets that are forwarded (forward = 1, no callback dropped them) are
 *   written to OUT, or leave by the device's partner, as callbacks left them, and behind each burst the packets that
 *   they made. Nothing else changes them: there are no routes and no ARP.
 *   A burst is up to 32 frames, of captures however far apart in time they are; live, of those that have come by one
 *   device since it was looked at last. Each packet is processed to its end before the next one, with all its callbacks,
 *   but a burst is forwarded as a whole, and new data is announced after it: first the client's of a connection, then
 *   the server's, whatever the order on the wire. It is announced earlier, perhaps several times, when octets that a
 *   socket has not read have to go (the ring is full, or memory short), before a stream goes on behind lost octets, and
 *   before the connection ends. So a connection that lies in one burst is over when its new data is told: interfere in
 *   MOS_ON_PKT_IN, whose octets are in the stream at MOS_HK_RCV.
 *   Reading begins with mtcp_app_join(). For programs that do not call it, it begins when at least one callback or
 *   timer is there, and for 200 ms no call has set up anything.
 *
 *   Capture files are read one after the other, as fast as the callbacks let it. Their timestamps are the context's
 *   clock, for timers, time-outs, and mtcp_cb_get_ts(). At the end of the last one the context ends: connections
 *   still alive get no MOS_ON_CONN_END, timers that are not due do not fire, mtcp_app_join() returns. Names are
 *   relative to the working directory. IN must be a regular file and OUT no pipe: nothing could end a wait for them.
 *   Several contexts share the same captures: each reads them itself, and takes the packets of its own connections.
 *   The contexts that exist when the first one begins to read are numbered by their cores; number n of them takes the
 *   packets for which GetRSSCPUCore() gives n, both directions of a connection alike. Packets that are not IP belong
 *   to the first one. Fragments go where the first one of their datagram went; those that come before it go by their
 *   addresses alone. All begin together: with mtcp_app_join() at once when there is a context for every core
 *   (num_cores) and all of them are joined, else when no context was made or set up for 200 ms, or after a second. A
 *   context that is made after that gets nothing and ends at once, unless all others have ended or are destroyed:
 *   then it reads the captures anew. The context of core 0 writes OUT, that of core n OUT.n. Time goes on in all of
 *   them with each packet of the captures, but not in step: one may be ahead of another.
 *
 *   Packets of a connection whose SYN was not seen are orphans. With midstream = 1 in the block mos such connections are
 *   picked up at their first payload or SYN/ACK, where they start and offsets begin; the end with the lower port is the
 *   server, unless it is a SYN/ACK. With lossy = 1 an acknowledgement of what was not captured is
 *   believed, and that is told as lost; else the packet is refused, as the host would.
 *
 *   Interfaces are read and written by packet sockets, which takes the right CAP_NET_RAW, and are promiscuous as long
 *   as a context has them. Packets are as they are on the wire: VLAN tags are in their places, checksums that were left
 *   to a network card are made, and what the kernel has put together of several packets, or has left to a card to
 *   split, is split. What this machine itself sends by an interface is seen only where that has no partner, and
 *   packets of such a one come in batches, about a millisecond late. The machine should have no address on an interface
 *   that has a partner, or it answers, too. An interface that is down is one without traffic.
 *   TAP devices are made when they are not there, which takes the right to administer the network.
 *   Of both kinds, the first context made has all devices; others get no packets, but their timers run. The clock is
 *   the system's when the process first asked, and steady from there on: timers fire whether packets come or not.
 *   Packets that come before reading begins wait in the device. A context ends when all its devices have been removed.
 *   In pkt_info the devices of pair n are 2n and 2n+1.
 *
 * Differences from the original stack, beyond its defects: mtcp_peek() and mtcp_ppeek() never end the process; a
 * retransmitted SYN does not begin a connection again; new data is announced in every state that takes data, and
 * before MOS_ON_CONN_END; streams go on behind octets that were acknowledged but not captured (MOS_ON_ERROR).
 */
#ifndef MOS_API_H
#define MOS_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>

#include "mtcp_epoll.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It grows when something is added; see mos_abi_version(). */
#define MOS_ABI_VERSION 2u

#ifndef __MTCP_MANAGER
#define __MTCP_MANAGER
typedef struct mtcp_manager *mtcp_manager_t;
#endif
#ifndef __SOCKET_MAP
#define __SOCKET_MAP
typedef struct socket_map *socket_map_t;
#endif

#ifndef SOL_SOCKET
#define SOL_SOCKET 0xffff
#endif
#define SOL_MONSOCKET 0xfffe

/* ---- events ------------------------------------------------------------------------------------------------ */

typedef uint64_t event_t;

/* When a callback runs. */
enum mtcp_hook_point {
	MOS_NULL = 0x20000000,        /* at no packet's side: new data, errors, orphans, raw sockets */
	MOS_HK_RCV = 0x40000000,      /* after the receiver's state and stream were updated */
	MOS_HK_SND = -0x7fffffff - 1  /* after the sender's state was updated, before the receiver's; bit 31 */
};

/* Built-in events. For one packet and hook they come in the order of their values. */
enum mos_event_type {
	MOS_NULL_EVENT = 0x000,
	MOS_ON_PKT_IN = 0x001,           /* a packet: both hooks; raw sockets: MOS_NULL, side MOS_SIDE_BOTH */
	MOS_ON_PKT_OUT = 0x002,          /* never raised */
	MOS_ON_CONN_START = 0x004,       /* the first SYN: MOS_HK_SND for the client, MOS_HK_RCV for the server */
	MOS_ON_CONN_SETUP = 0x008,       /* never raised */
	MOS_ON_CONN_NEW_DATA = 0x010,    /* more octets in order for side: MOS_NULL, after a burst or earlier; no packet */
	MOS_ON_ERROR = 0x020,            /* octets for side were, or when the callback returns will be, lost: MOS_NULL */
	MOS_ON_TIMEOUT = 0x040,          /* never raised: MOS_ON_CONN_END says it */
	MOS_ON_TCP_STATE_CHANGE = 0x080, /* side changed its TCP state: both hooks */
	MOS_ON_ORPHAN = 0x100,           /* TCP of no watched connection: MOS_NULL, MOS_SIDE_BOTH, the monitor's socket */
	MOS_ON_REXMIT = 0x200,           /* octets, SYN or FIN again: MOS_HK_RCV, before the octets are stored */
	MOS_ON_CONN_END = 0x400,         /* the end, for each side: both hooks; streams can still be read; no packet */
	MOS_ON_DEBUG_MESSAGE = 0x800     /* never raised */
};

typedef struct filter_arg {
	void *arg;
	size_t len;
} filter_arg_t;

/* A callback. arg is NULL for built-in events, never for others. For timers sock is the timer's id, side and event are 0. */
typedef void (*callback_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/* Whether an event of the program happens, when the one above it does; called as its callback is. */
typedef bool (*filter_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/*
 * Defines an event below another one, built-in or not. It happens, at each socket and hook where a callback is registered
 * for it or for one below it, when the event above does and filter returns true. Filters are asked once. First comes the
 * callback of the event above, then the events that were raised in it, then those below it in the order in which they were
 * registered, each with all that is below it. The octets that arg describes are copied; filter and callbacks are given
 * a struct filter_arg of the library's that describes the copy (NULL and 0 without one), and that stays. What is defined
 * again, with the same three arguments, is the same event. Events belong to the process and are not removed.
 * The event, 4096 or more, or 0 with EPERM (before mtcp_init()), EINVAL (no such event above; filter is NULL; octets but
 * no pointer, or more than there can be), ENOMEM (more than 30,240 events, or more than 16 below each other).
 */
event_t mtcp_define_event(event_t event, filter_t filter, struct filter_arg *arg);

/*
 * Defines an event that happens only when mtcp_raise_event() is called for it. It is always another one.
 * The event, or 0 with EPERM, EINVAL (no such event above), ENOMEM.
 */
event_t mtcp_alloc_event(event_t parent);

/*
 * Raises an event: called in the filter or in the callback of the one above it. [callback] It happens once, however often it
 * is raised, at the socket and hook at hand, after the callback of the event above; not at all when that is not to happen.
 * 0, or -1 with EACCES, EPERM, EINVAL (not made by mtcp_alloc_event() for the event at hand).
 */
int mtcp_raise_event(mctx_t mctx, event_t child);

/* ---- sockets ----------------------------------------------------------------------------------------------- */

enum {
	MOS_SIDE_CLI = 0,
	MOS_SIDE_SVR = 1,
	MOS_SIDE_BOTH = 2
};

enum {
	MOS_OVERLAP_POLICY_FIRST = 0, /* the octet that came first stays */
	MOS_OVERLAP_POLICY_LAST = 1,  /* the octet that came last replaces it */
	MOS_OVERLAP_CNT
};

/* TCP states. (netinet/tcp.h has the same names, and types that linux/tcp.h has, too: include only one of the two.) */
enum tcpstate {
	TCP_CLOSED = 0,
	TCP_LISTEN = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RCVD = 3,
	TCP_ESTABLISHED = 4,
	TCP_FIN_WAIT_1 = 5,
	TCP_FIN_WAIT_2 = 6,
	TCP_CLOSE_WAIT = 7,
	TCP_CLOSING = 8,
	TCP_LAST_ACK = 9,
	TCP_TIME_WAIT = 10
};

/*
 * Options at level SOL_MONSOCKET. "The connection" is that of the socket, which a callback was called for.
 * With mtcp_getsockopt(), [callback], of connections only:
 *   MOS_FRAGINFO_*    optval: an array of struct tcp_ring_fragment; *optlen: how many elements it has. Fills in the
 *                     ranges of octets held, ascending, and sets *optlen to how many there are, or fit. If there is room
 *                     an element of zeros follows. ENODATA when none is held.
 *   MOS_INFO_*        optval: a struct tcp_buf_info, *optlen its size. ENODATA before the first octet.
 *   MOS_TCP_STATE_*   optval: an int, an enum tcpstate; *optlen: at least its size.
 *   MOS_TIMESTAMP     optval: a uint32_t, the time of the last packet in microseconds modulo 2^32; *optlen as above.
 * With mtcp_setsockopt(), optval an int; on a passive socket for the connections that it will watch:
 *   MOS_CLIBUF, MOS_SVRBUF   how many octets that side's stream keeps, read or unread: rounded up to a power of two
 *                     from 1,024 on; at most 16,777,216, of which a stream gets 4 MiB, or rmem_size where that is more. A
 *                     connection with several sockets has the largest of their sizes. It grows at once; when it shrinks, the
 *                     oldest octets go after the burst, and who has not read them is told by MOS_ON_ERROR before and
 *                     by mtcp_peek() after. 0: octets are not kept any more; those held are freed, for all sockets of the
 *                     connection.
 *   MOS_FRAG_*        0: the same as MOS_CLIBUF, MOS_SVRBUF of 0. There is no other buffer for what comes early: EINVAL.
 *   MOS_*OVERLAP      which octet is kept when octets come twice to that side: 0 or 1 of MOS_OVERLAP_POLICY_*, or one of
 *                     MOS_OVERLAP_* of mos_ext.h, from the next packet on, for all sockets of the connection. ENOMEM when
 *                     octets wait behind a hole, and there is no memory to remember their segments.
 *   MOS_STOP_MON      MOS_SIDE_CLI, MOS_SIDE_SVR or MOS_SIDE_BOTH: no callback for that side any more, at this
 *                     socket. A connection that no socket wants is forgotten after the packet, without an end.
 */
enum mos_socket_opts {
	MOS_FRAGINFO_CLIBUF = 0x01,
	MOS_FRAGINFO_SVRBUF = 0x02,
	MOS_INFO_CLIBUF = 0x03,
	MOS_INFO_SVRBUF = 0x04,
	MOS_TCP_STATE_CLI = 0x05,
	MOS_TCP_STATE_SVR = 0x06,
	MOS_TIMESTAMP = 0x07,
	MOS_CLIBUF = 0x09,
	MOS_SVRBUF = 0x0a,
	MOS_SEQ_REMAP = 0x0b,    /* ENOSYS */
	MOS_STOP_MON = 0x0c,
	MOS_FRAG_CLIBUF = 0x0d,
	MOS_FRAG_SVRBUF = 0x0e,
	MOS_CLIOVERLAP = 0x0f,
	MOS_SVROVERLAP = 0x10
};

/* A range of octets held, by its offset. */
struct tcp_ring_fragment {
	uint64_t offset;
	uint32_t len;
};

/* Where a stream stands. All four are sequence numbers: that of offset o is tcpbi_init_seq + o modulo 2^32. */
struct tcp_buf_info {
	uint32_t tcpbi_init_seq;           /* of the first octet: the initial sequence number plus 1 */
	uint32_t tcpbi_last_byte_read;     /* one past what mtcp_peek() has returned (or reported lost) to this socket */
	uint32_t tcpbi_next_byte_expected; /* one past the octets in order */
	uint32_t tcpbi_last_byte_received; /* one past the highest octet received */
};

typedef struct {
	int64_t seq_off;
	int side;
	uint32_t base_seq;
} seq_remap_info;

/*
 * Conditions in the language of pcap filters; NULL leaves one as it is. For a stream socket: which SYNs open
 * connections that it watches (only the first SYN is looked at), and which orphans it gets. For a raw socket: which
 * packets it gets.
 */
union monitor_filter {
	char *raw_pkt_filter;
	__extension__ struct {
		char *stream_syn_filter;
		char *stream_orphan_filter;
	};
};
typedef union monitor_filter *monitor_filter_t;

/* Sets filters. 0 (also when there is nothing to set), or -1 with EACCES, EBADF, ENOPROTOOPT (the socket of a
 * connection), EINVAL (mos_last_error() says why: an expression that is none, has too many terms, or cannot
 * be true for packets of the socket's family and, for stream sockets, of TCP). */
int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft);

/*
 * Registers a callback for one event at one hook, in place of the one before; cb NULL removes it. On a stream socket it
 * concerns connections that begin afterwards, on the socket of a connection only that one. What a callback
 * changes takes effect with the next hook. Events that are never raised, and those below them, are taken at any hook.
 * Sockets with the same callbacks share them, so that many connections with callbacks of their own cost little.
 * 0, or -1 with EACCES, EBADF, EINVAL (event is not exactly one event, hook_point is none, or the event, or the built-in
 * one that it lies below, is not raised at that hook), ENOENT (nothing to remove), ENFILE (too many different sets of
 * callbacks), ENOMEM.
 */
int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook_point, callback_t cb);

/* Removes a callback: the same as registering NULL. */
int mtcp_unregister_callback(mctx_t mctx, int sock, event_t event, int hook_point);

/* A pointer of the program's for each socket; NULL at first, and for each new connection. The library does not look at
 * what it points to. [callback] Failures are told by errno alone: EACCES, EPERM, EBADF. */
void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx);
void *mtcp_get_uctx(mctx_t mctx, int sock);

/*
 * Addresses and ports of a connection. [callback] side is MOS_SIDE_CLI or MOS_SIDE_SVR, and *addrlen the size of one
 * struct sockaddr_in (16); or MOS_SIDE_BOTH, and the size of two (32): [0] is the client's, [1] the server's. For
 * connections of an AF_INET6 socket it is struct sockaddr_in6 (28, 56). *addrlen stays as it is.
 * 0, or -1 with EACCES, EBADF, EPERM, ENOTCONN (not the socket of a connection), EFAULT (NULL), EINVAL.
 */
int mtcp_getpeername(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen, int side);

/* ---- octets ------------------------------------------------------------------------------------------------ */

/*
 * Reads on: copies up to len octets in order that side received and this socket has not read, and moves the
 * socket's position behind them. [callback]
 * Returns how many: 0 when there is nothing new. Octets that this socket has not read in time, or that were never
 * captured, are reported once, by minus their number with errno ENODATA; the next call goes on behind them.
 * (A single lost octet looks like an error but for errno.) A callback for new data is called again at once when its last
 * call of this function told a loss and there is more, or filled buf and left more than the ring keeps: a program that reads
 * once for each event does not stay behind.
 * -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), EINVAL (side; or its octets are not kept;
 * or there is no stream yet), EFAULT (buf is NULL and len is not 0).
 */
ssize_t mtcp_peek(mctx_t mctx, int sock, int side, char *buf, size_t len);

/*
 * Reads anywhere: copies up to count octets that side received, from offset off on, up to the end of the received
 * range around it, be it in order or not. Nothing is consumed and the position of mtcp_peek() stays. [callback]
 * Returns how many; fewer than count are no error; 0 when count is 0.
 * -1 with EACCES, EPERM, EBADF, ESOCKTNOSUPPORT (not the socket of a connection), EINVAL (side; or its octets are not
 * kept; or there is no stream yet), EFAULT (buf is NULL and count is not 0), ENOTCONN (that side's state is
 * SYN_SENT: it cannot receive anything yet), ENODATA (no octet is held at off).
 */
ssize_t mtcp_ppeek(mctx_t mctx, int sock, int side, char *buf, size_t count, uint64_t off);

/* ---- packets ----------------------------------------------------------------------------------------------- */

/* Parts of a packet, and what to do with it. */
#define MOS_ETH_HDR 0x001
#define MOS_IP_HDR 0x002
#define MOS_TCP_HDR 0x004
#define MOS_TCP_PAYLOAD 0x008
#define MOS_UPDATE_IP_CHKSUM 0x010
#define MOS_UPDATE_TCP_CHKSUM 0x020
#define MOS_DROP 0x040
#define MOS_OVERWRITE 0x080
#define MOS_CHOMP 0x100
#define MOS_INSERT 0x200

#define MTCP_CB_GETCURPKT_CREATE_COPY

/* One packet. Numbers are in the host's order. */
struct pkt_info {
	uint32_t cur_ts;      /* when it came, milliseconds modulo 2^32 */
	int8_t in_ifidx;      /* the port it came in by */
	uint16_t eth_len;     /* octets captured, from the link header on; at most 65,535 */
	uint16_t ip_len;      /* length of the IP packet as its header says; more than captured when the capture cut it */
	uint64_t offset;      /* offset of the payload in its receiver's stream; 0 where there is none */
	uint16_t payloadlen;  /* octets of TCP payload captured */
	uint32_t seq;
	uint32_t ack_seq;
	uint16_t window;      /* as sent, unscaled */
	struct ethhdr *ethh;  /* NULL when the link is not Ethernet */
	struct iphdr *iph;    /* the IP header, aligned; IPv6 for AF_INET6 sockets */
	struct tcphdr *tcph;  /* NULL when it is not TCP */
	uint8_t *payload;     /* NULL when it is not TCP */
};
#define PKT_INFO_LEN (offsetof(struct pkt_info, ethh))

struct pkt_ctx {
	struct pkt_info p;
	int8_t direction;
	uint8_t forward;
	int8_t out_ifidx;
	int8_t batch_index;
};

/*
 * Copies the packet in flight. [callback] The pointers lead into the copy, which stays until the callback returns or
 * calls this function again. side is not looked at.
 * 0, or -1 with EACCES, EPERM, EBADF, EFAULT (NULL), ENODATA (no packet: new data, an end, an error
 * found after the burst, a timer).
 */
int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *p);

/*
 * Copies a packet that mtcp_getlastpkt() has given, so that it outlives the callback: its octets to frame, which has room
 * for from->eth_len, and to *to what *from says, with pointers into frame; frame + 14 should be aligned, as the IP header
 * is there. When the link is not Ethernet, its header is left out. Failures are told by errno alone: EFAULT (NULL),
 * EINVAL (neither Ethernet nor TCP, or *from is not what mtcp_getlastpkt() wrote).
 */
void mtcp_clonepkt(struct pkt_info *to, unsigned char *frame, struct pkt_info *from);

/*
 * Decides about the packet in flight, or changes it. [callback] sock and side are not looked at. option is exactly one of
 *   MOS_DROP       it is not forwarded; in MOS_HK_SND and at raw sockets that means that the receiver never gets it. All
 *                  other arguments are not looked at, but offset must not be negative.
 *   MOS_OVERWRITE  datalen octets from offset on become those of data, in network byte order.
 *   MOS_CHOMP      datalen octets from offset on are taken out of the payload; data is not looked at.
 *   MOS_INSERT     data is put into the payload, before the octet at offset or behind the last one.
 * and, but for MOS_DROP, a part of the packet; of several the first one counts:
 *   MOS_ETH_HDR (14 octets), MOS_IP_HDR (IPv4, with its options), MOS_TCP_HDR (with its options), MOS_TCP_PAYLOAD.
 *
 * Later callbacks, also those of other sockets, and mtcp_getlastpkt() see the changed packet; from MOS_HK_SND and raw
 * sockets on it is what the receiver gets and its stream has. In MOS_HK_RCV only what is forwarded changes.
 *
 * Lengths change in the payload alone, and only in MOS_HK_SND: headers have none to give away (write over an
 * option with octets of 1, which mean nothing). The sequence and acknowledgement numbers of both ends are translated
 * from then on, what was changed is changed again when its sender repeats it, and lengths in headers follow. So the
 * receiver's octets must be kept (no MOS_*BUF of 0), and octets that were forwarded once stay as they were.
 *
 * Addresses and ports of a connection's first packet as MOS_HK_SND leaves them are those under which the server's packets
 * are looked for; mtcp_getpeername() still tells the client's. What comes from there is to be changed back in
 * MOS_HK_SND, too.
 *
 * Checksums of IP, TCP and UDP follow each change by themselves, after the callbacks: one that was right is right, and one
 * that was wrong is as wrong as it was. What is written over a checksum counts for nothing. With MOS_UPDATE_IP_CHKSUM and
 * MOS_UPDATE_TCP_CHKSUM (UDP's, too) they are made anew: right at once, whatever the sender wrote, unless the capture cut
 * the packet.
 *
 * 0, or -1 with, in this order, EACCES, EPERM, ENODATA (no packet, as for mtcp_getlastpkt()), EINVAL (offset is
 * negative), EAGAIN (not exactly one thing to do), EINVAL (no part is named), EACCES (MOS_ETH_HDR when the link is not
 * Ethernet, or with another option than MOS_OVERWRITE; MOS_IP_HDR of IPv6), EINVAL (a part of TCP when the packet is
 * not TCP), EOPNOTSUPP (the length of a header), EINVAL (the place is outside of the part), EFAULT (data is NULL and
 * datalen is not 0), EINVAL (another IP version, header length or protocol, or TCP data offset; octets for a packet
 * that has no payload), EALREADY (octets there, or behind, were forwarded before: drop the packet or let it pass),
 * ENOBUFS (too many changes that are not acknowledged, or too many such connections: drop the packet, it will come again), EMSGSIZE (it
 * would be longer than a packet can be), EOPNOTSUPP (the packet cannot be changed: it came in fragments or lies in a
 * tunnel, or it is that of MOS_ON_ERROR; or its length cannot: not in MOS_HK_SND, no connection that takes it, a SYN or
 * RST, the receiver's octets are not kept, the capture cut it). mos_last_error() says which.
 */
int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, unsigned char *data, uint16_t datalen, int option);

/* Drops the packet in flight: mtcp_setlastpkt() with MOS_DROP. [callback] 0, or -1 with EACCES, EPERM, ENODATA. */
int mtcp_cb_dropcurpkt(mctx_t mctx);

/*
 * Sends a new TCP packet. [callback] Of pkt it takes the addresses of iph, the ports of tcph, and seq, ack_seq, window,
 * payload and payloadlen; nothing else is looked at. It carries the ACK flag alone, and timestamps when the connection has
 * them. It leaves after the burst, with the link header of the packet in flight: turned round when it goes to that
 * one's source. Without a packet in flight it is that of the packet with which the connection of sock began. No callback sees
 * it and no connection changes by it. Where nothing is forwarded (forward = 0, no output) it is forgotten.
 * 0, also when sock is not the socket of a connection, for which nothing is sent; or -1 with EACCES (also when pkt is
 * NULL), EPERM, ENODATA (iph or tcph is NULL), EBADF, EFAULT (payload is NULL and payloadlen is not 0), EMSGSIZE (longer
 * than a packet can be), ENOBUFS (too many wait to be sent), EINVAL (the packet in flight is of another IP version),
 * EOPNOTSUPP (the headers before the IP header cannot be repeated: in a tunnel, for example, or because they are not known
 * any more: 1,024 different ones are).
 */
int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt);

/*
 * Resets a connection: both ends are sent RSTs that they take, as by mtcp_sendpkt(), and it ends after the packet in flight
 * or the burst. That packet goes on, unless it is dropped; later ones are orphans, and are forwarded unless they are
 * dropped, those of the same burst before the RSTs. [callback]
 * 0, or -1 with EACCES, EPERM, EBADF, ENOTSOCK (not the socket of a connection), ENOTCONN (it has ended), ENOBUFS,
 * EOPNOTSUPP.
 */
int mtcp_reset_conn(mctx_t mctx, int sock);

/* No callback for side any more at this socket: MOS_STOP_MON. [callback] 0, or -1 with EACCES, EPERM, EBADF, ENOTSOCK (a raw
 * socket), EINVAL (side). */
int mtcp_cb_stop(mctx_t mctx, int sock, int side);

/* ---- time -------------------------------------------------------------------------------------------------- */

/*
 * Calls cb once, timeout from now. With captures, set before the first packet, it counts from the first packet. It
 * fires with the first packet whose time is late enough (rounded up to the next 1,024 microseconds), before that
 * packet is looked at, never early. cb can set it again. Time between packets that goes back by more than 10 seconds
 * or on by more than an hour is taken for a broken clock: it does not count.
 * 0, or -1 with EACCES, EFAULT (timeout or cb is NULL), EINVAL (a negative time), ENOMEM (too many timers).
 */
int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t cb);

/* The context's time in microseconds modulo 2^32. [callback] 0 with EACCES, EPERM. */
uint32_t mtcp_cb_get_ts(mctx_t mctx);

/* ---- running ----------------------------------------------------------------------------------------------- */

/*
 * Begins to read the input and waits until the context ends. When that was because of an error in the input, errno is
 * EIO and mos_last_error() says which; packets before it were processed. errno is EACCES for a bad mctx, and EDEADLK
 * in a callback, where it does not wait. When another thread or a handler has just destroyed the context, it still
 * waits for the callback that runs.
 */
void mtcp_app_join(mctx_t mctx);

/*
 * Texts of MOS_ON_DEBUG_MESSAGE, which is never raised: -1 with EACCES (bad mctx, the second only), else ENOSYS. Nothing
 * is formatted, and buf stays as it is.
 */
int mtcp_set_debug_string(mtcp_manager_t mtcp, const char *fmt, ...);
int mtcp_get_debug_string(mctx_t mctx, char *buf, int len);

/* The version of the library: the value of MOS_ABI_VERSION that it was built with. What a lower version had is kept. */
uint32_t mos_abi_version(void);

/* A sentence about the last call that failed in this thread, "" when it has none to tell; after mtcp_init() has succeeded,
 * its warnings. It stays until the next call that fails. */
const char *mos_last_error(void);

#ifdef __cplusplus
}
#endif

#endif /* MOS_API_H */
