/*
 * mtcp_api.h - set-up, contexts and sockets of the mOS stack.
 *
 * Programs include mos_api.h, which brings this file along; the conventions that hold for all calls are explained
 * there. Names, values and layouts are those of the mOS networking stack, so that its programs compile unchanged.
 * Functions for end hosts are declared, and fail with ENOSYS: they come later.
 */
#ifndef MTCP_API_H
#define MTCP_API_H

#include <signal.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef UNUSED
#define UNUSED(x) (void)x
#endif

#ifndef INPORT_ANY
#define INPORT_ANY (uint16_t)0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Of the original, for its programs. With `using namespace std` C++17 has another one. */
typedef unsigned char byte;

/* One instance of the stack, of one core. The library owns it; it may be read until the context is destroyed. */
struct mtcp_context {
	int cpu;
};
typedef struct mtcp_context *mctx_t;

typedef void (*mtcp_sighandler_t)(int);

enum socket_type {
	MOS_SOCK_UNUSED,                /* no socket */
	MOS_SOCK_STREAM_LISTEN,         /* an end host's listener */
	MOS_SOCK_PROXY_LISTEN,          /* reserved */
	MOS_SOCK_MONITOR_STREAM,        /* watches the connections that its filter matches */
	MOS_SOCK_STREAM,                /* an end host's connection */
	MOS_SOCK_PROXY,                 /* reserved */
	MOS_SOCK_MONITOR_STREAM_ACTIVE, /* one watched connection; made by the stack, given to callbacks */
	MOS_SOCK_MONITOR_RAW,           /* sees every packet */
	MOS_SOCK_EPOLL,                 /* an event queue */
	MOS_SOCK_PIPE                   /* a pipe */
};

#define APP_NAME_LEN 40
#define MOS_APP 20
#define MOS_APP_ARGC 20

/* What of the configuration a program can read and change. */
struct mtcp_conf {
	int num_cores;                             /* contexts that can be made: for the cores 0 .. num_cores - 1 */
	int max_concurrency;                       /* streams at once on a core: two for each connection */
	uint64_t cpu_mask;                         /* the cores that the devices are served by (read only) */
	int max_num_buffers;                       /* = max_concurrency (read only) */
	int rcvbuf_size;                           /* octets of a receive ring */
	int sndbuf_size;                           /* octets of a send buffer */
	int tcp_timewait;                          /* milliseconds in TIME-WAIT */
	int tcp_timeout;                           /* milliseconds until a silent connection is given up; <= 0: never */
	uint64_t app_cpu_mask[MOS_APP];            /* of each application block (read only, as all below) */
	char *app_argv[MOS_APP][MOS_APP_ARGC];     /* its command line; the strings stay for the life of the process */
	int app_argc[MOS_APP];
	int num_app;
};

struct conn_filter; /* has no definition */

struct app_context {
	mctx_t mctx;
	int socket_id;
	struct conn_filter *cf;
	int ep_id;
};

struct app_ops {
	void (*app_init)(int argc, char **argv);
	void (*thread_init)(mctx_t mctx, void **app_ctx);
	void (*run)(mctx_t mctx, void **app_ctx);
	int enable;
};

/* ---- the process ------------------------------------------------------------------------------------------- */

/*
 * Reads the configuration file. Everything else needs it done; it can be done again while no context exists.
 * 0, or -1 with EFAULT (no name), the errno of opening or reading the file, EINVAL (the file says something that
 * cannot be understood, a size is too large, or it has more than a megabyte), EBUSY (a context exists).
 * mos_last_error() has the line and a sentence about it; when the call succeeds, it has a line for each unknown key or
 * block, which are skipped, and for each that has no effect here: mos_log, stat_print (nothing is printed), arp_table,
 * route_table (packets go by pairs of devices), nb_mem_channels, no_ring_buffers, port, multiprocess.
 */
int mtcp_init(const char *config_file);

/* Forgets the configuration. Contexts that exist go on. 0, or -1 with EPERM before mtcp_init(). */
int mtcp_destroy(void);

/* Copies the configuration out. 0, or -1 with EINVAL (conf is NULL), EPERM (before mtcp_init()). */
int mtcp_getconf(struct mtcp_conf *conf);

/*
 * Sets what is not read only, for contexts made from now on. What mtcp_getconf() gave can be given back.
 * 0, or -1 with EINVAL (conf is NULL, or a value is impossible: mos_last_error() says which; nothing is changed),
 * EPERM (before mtcp_init()).
 */
int mtcp_setconf(const struct mtcp_conf *conf);

/* Binds the calling thread to a core. 0, or -1 with EINVAL when there is no such core. */
int mtcp_core_affinitize(int cpu);

/*
 * Sets a signal's handler, as signal() does, and returns the one before; SIG_ERR with EINVAL when it cannot be set.
 * The handler may call mtcp_destroy_context(), which then does not wait. A second SIGINT within a second after the
 * first ends the input of all contexts, whatever the handler does.
 */
mtcp_sighandler_t mtcp_register_signal(int signum, mtcp_sighandler_t handler);

/* ---- contexts ---------------------------------------------------------------------------------------------- */

/*
 * Makes the stack of one core, with a thread of its own on which all callbacks run. NULL on failure, with EPERM
 * (before mtcp_init(), or without the right that the devices take), EINVAL (no such core, or limits that are
 * impossible), EEXIST (that core has one), ENODEV (no input is configured, or one that this build does not have: AF_XDP,
 * DPDK; or there is no such interface), EOPNOTSUPP (an interface that is not of Ethernet), ENOMEM, EAGAIN (no thread to
 * be had), EBUSY (a device is named twice or in use; in a callback: the context that has the devices, or writes the output,
 * is being destroyed), or the errno of opening the input or the output; a file that is no capture is EINVAL.
 * mos_last_error() has a sentence about it. mos_api.h explains the input, and when it begins to be read. Outside of
 * callbacks it waits for contexts that are being destroyed.
 */
mctx_t mtcp_create_context(int cpu);

/*
 * Ends a context: no callback begins after this call, and when it returns none is running. From a callback, or from
 * a handler set by mtcp_register_signal(), it returns without waiting for that. Connections still alive have no
 * MOS_ON_CONN_END. The handle is invalid from then on. 0, or -1 with EACCES when it was already (also then, a callback
 * that still runs is waited for).
 */
int mtcp_destroy_context(mctx_t mctx);

/* The same, for programs that call it behind mtcp_destroy_context(): nothing is left to free then, and errno is
 * EACCES. */
void mtcp_free_context(mctx_t mctx);

/* ---- sockets ----------------------------------------------------------------------------------------------- */

/*
 * Opens a monitoring socket: type is MOS_SOCK_MONITOR_STREAM or MOS_SOCK_MONITOR_RAW; domain is AF_INET for IPv4 or
 * AF_INET6 for IPv6 traffic, never both; protocol is ignored. It sees traffic from the next packet on. Returns a
 * descriptor, a small number. Numbers of closed sockets are used again, those closed first before the others.
 * -1 with EACCES (bad mctx), EAFNOSUPPORT (domain), ENOSYS (SOCK_STREAM or MOS_SOCK_STREAM, an end host's socket:
 * not built yet), EINVAL (any other type), ENFILE (none left: a context has room for 64 monitoring sockets).
 */
int mtcp_socket(mctx_t mctx, int domain, int type, int protocol);

/*
 * Closes a socket. A monitoring socket watches no new connections from then on; connections that it watches
 * already stay watched to their end, and go on in any case. Given the descriptor of one connection, that connection
 * is not watched by this socket any more; the descriptor stays valid until the connection is forgotten.
 * 0, or -1 with EACCES, EBADF.
 */
int mtcp_close(mctx_t mctx, int sock);

/*
 * Asks about a socket; see enum mos_socket_opts in mos_api.h for level SOL_MONSOCKET.
 * -1 with EACCES, EBADF, ENOSYS (unknown level or name), EPERM (not inside a callback), ENOTSOCK (not the socket of
 * a connection), EFAULT (NULL), EINVAL (a length that does not fit, or the side's octets are not kept), ENODATA.
 */
int mtcp_getsockopt(mctx_t mctx, int sock, int level, int optname, void *optval, socklen_t *optlen);

/*
 * Sets an option of a socket; see enum mos_socket_opts in mos_api.h for level SOL_MONSOCKET.
 * -1 with EACCES, EBADF, ENOSYS (unknown level or name), EFAULT (NULL), EINVAL (a length or value that is
 * impossible), ENOTSOCK (not an option of that kind of socket), ENOMEM (MOS_*OVERLAP).
 */
int mtcp_setsockopt(mctx_t mctx, int sock, int level, int optname, const void *optval, socklen_t optlen);

/* Connections that this context tracks now, those of all its sockets together. (uint32_t)-1 with EACCES. */
uint32_t mtcp_get_connection_cnt(mctx_t mctx);

/* ---- end hosts --------------------------------------------------------------------------------------------- */

/*
 * Not built yet: all of these return -1, and look at nothing that their pointers lead to. EACCES (bad mctx), EBADF (no
 * such socket; those that take one), else ENOSYS.
 */
int mtcp_bind(mctx_t mctx, int sock, const struct sockaddr *addr, socklen_t addrlen);
int mtcp_listen(mctx_t mctx, int sock, int backlog);
int mtcp_accept(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen);
int mtcp_init_rss(mctx_t mctx, in_addr_t saddr_base, int num_addr, in_addr_t daddr, in_addr_t dport);
int mtcp_connect(mctx_t mctx, int sock, const struct sockaddr *addr, socklen_t addrlen);
int mtcp_abort(mctx_t mctx, int sock);
int mtcp_getsockname(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen);
ssize_t mtcp_recv(mctx_t mctx, int sock, char *buf, size_t len, int flags);
ssize_t mtcp_read(mctx_t mctx, int sock, char *buf, size_t len);
ssize_t mtcp_readv(mctx_t mctx, int sock, const struct iovec *iov, int iovcnt);
ssize_t mtcp_write(mctx_t mctx, int sock, const char *buf, size_t len);
ssize_t mtcp_writev(mctx_t mctx, int sock, const struct iovec *iov, int iovcnt);
int mtcp_setsock_nonblock(mctx_t mctx, int sock);
int mtcp_ioctl(mctx_t mctx, int sock, int request, void *argp);
int mtcp_pipe(mctx_t mctx, int pipeid[2]);

#ifdef __cplusplus
}
#endif

#endif /* MTCP_API_H */
