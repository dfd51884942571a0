/* Sizes, offsets and values that programs of the mOS stack are compiled with. It has only to compile. */
#include "mos_api.h"
#include "mtcp_util.h"
#include "compat/rss.h"

#ifdef __cplusplus
#define SAME(a, b) static_assert((a) == (b), #a)
#else
#define SAME(a, b) _Static_assert((a) == (b), #a)
#endif
#define SIZE(type, size) SAME(sizeof(type), size)
#define AT(type, member, offset) SAME(offsetof(type, member), offset)

SIZE(byte, 1);
SIZE(struct mtcp_context, 4);
AT(struct mtcp_context, cpu, 0);
SIZE(mctx_t, 8);
SIZE(mtcp_sighandler_t, 8);
SIZE(enum socket_type, 4);
SIZE(mtcp_manager_t, 8);
SIZE(socket_map_t, 8);
SAME(INPORT_ANY, 0);
SIZE(INPORT_ANY, 2);
SAME(APP_NAME_LEN, 40);
SAME(MOS_APP, 20);
SAME(MOS_APP_ARGC, 20);

SIZE(struct mtcp_conf, 3488);
AT(struct mtcp_conf, num_cores, 0);
AT(struct mtcp_conf, max_concurrency, 4);
AT(struct mtcp_conf, cpu_mask, 8);
AT(struct mtcp_conf, max_num_buffers, 16);
AT(struct mtcp_conf, rcvbuf_size, 20);
AT(struct mtcp_conf, sndbuf_size, 24);
AT(struct mtcp_conf, tcp_timewait, 28);
AT(struct mtcp_conf, tcp_timeout, 32);
AT(struct mtcp_conf, app_cpu_mask, 40);
AT(struct mtcp_conf, app_argv, 200);
AT(struct mtcp_conf, app_argc, 3400);
AT(struct mtcp_conf, num_app, 3480);
SAME(sizeof(((struct mtcp_conf *)0)->app_cpu_mask), 20 * 8);
SAME(sizeof(((struct mtcp_conf *)0)->app_argv), 20 * 20 * 8);
SAME(sizeof(((struct mtcp_conf *)0)->app_argc), 20 * 4);

SIZE(struct app_context, 32);
AT(struct app_context, mctx, 0);
AT(struct app_context, socket_id, 8);
AT(struct app_context, cf, 16);
AT(struct app_context, ep_id, 24);
SIZE(struct app_ops, 32);
AT(struct app_ops, app_init, 0);
AT(struct app_ops, thread_init, 8);
AT(struct app_ops, run, 16);
AT(struct app_ops, enable, 24);

SAME(MOS_SOCK_UNUSED, 0);
SAME(MOS_SOCK_STREAM_LISTEN, 1);
SAME(MOS_SOCK_PROXY_LISTEN, 2);
SAME(MOS_SOCK_MONITOR_STREAM, 3);
SAME(MOS_SOCK_STREAM, 4);
SAME(MOS_SOCK_PROXY, 5);
SAME(MOS_SOCK_MONITOR_STREAM_ACTIVE, 6);
SAME(MOS_SOCK_MONITOR_RAW, 7);
SAME(MOS_SOCK_EPOLL, 8);
SAME(MOS_SOCK_PIPE, 9);

SIZE(event_t, 8);
SAME((event_t)-1 > 0, 1);
SIZE(enum mtcp_hook_point, 4);
SIZE(enum mos_event_type, 4);
SIZE(enum mos_socket_opts, 4);
SIZE(enum tcpstate, 4);
SIZE(callback_t, 8);
SIZE(filter_t, 8);
SAME(MOS_NULL, 1 << 29);
SAME(MOS_HK_RCV, 1 << 30);
SAME(MOS_HK_SND, -2147483647 - 1);
SAME(MOS_NULL_EVENT, 0);
SAME(MOS_ON_PKT_IN, 1);
SAME(MOS_ON_PKT_OUT, 2);
SAME(MOS_ON_CONN_START, 4);
SAME(MOS_ON_CONN_SETUP, 8);
SAME(MOS_ON_CONN_NEW_DATA, 16);
SAME(MOS_ON_ERROR, 32);
SAME(MOS_ON_TIMEOUT, 64);
SAME(MOS_ON_TCP_STATE_CHANGE, 128);
SAME(MOS_ON_ORPHAN, 256);
SAME(MOS_ON_REXMIT, 512);
SAME(MOS_ON_CONN_END, 1024);
SAME(MOS_ON_DEBUG_MESSAGE, 2048);

SAME(MOS_ETH_HDR, 1);
SAME(MOS_IP_HDR, 2);
SAME(MOS_TCP_HDR, 4);
SAME(MOS_TCP_PAYLOAD, 8);
SAME(MOS_UPDATE_IP_CHKSUM, 16);
SAME(MOS_UPDATE_TCP_CHKSUM, 32);
SAME(MOS_DROP, 64);
SAME(MOS_OVERWRITE, 128);
SAME(MOS_CHOMP, 256);
SAME(MOS_INSERT, 512);

SIZE(struct pkt_info, 72);
SAME(PKT_INFO_LEN, 40);
#if !defined(MTCP_CB_GETCURPKT_CREATE_COPY) || !defined(UNUSED) || !defined(__MTCP_MANAGER) || !defined(__SOCKET_MAP)
#error "a macro of the original is not there"
#endif
AT(struct pkt_info, cur_ts, 0);
AT(struct pkt_info, in_ifidx, 4);
AT(struct pkt_info, eth_len, 6);
AT(struct pkt_info, ip_len, 8);
AT(struct pkt_info, offset, 16);
AT(struct pkt_info, payloadlen, 24);
AT(struct pkt_info, seq, 28);
AT(struct pkt_info, ack_seq, 32);
AT(struct pkt_info, window, 36);
AT(struct pkt_info, ethh, 40);
AT(struct pkt_info, iph, 48);
AT(struct pkt_info, tcph, 56);
AT(struct pkt_info, payload, 64);
SIZE(struct pkt_ctx, 80);
AT(struct pkt_ctx, p, 0);
AT(struct pkt_ctx, direction, 72);
AT(struct pkt_ctx, forward, 73);
AT(struct pkt_ctx, out_ifidx, 74);
AT(struct pkt_ctx, batch_index, 75);

SIZE(seq_remap_info, 16);
AT(seq_remap_info, seq_off, 0);
AT(seq_remap_info, side, 8);
AT(seq_remap_info, base_seq, 12);
SIZE(filter_arg_t, 16);
AT(struct filter_arg, arg, 0);
AT(struct filter_arg, len, 8);
SIZE(struct tcp_buf_info, 16);
AT(struct tcp_buf_info, tcpbi_init_seq, 0);
AT(struct tcp_buf_info, tcpbi_last_byte_read, 4);
AT(struct tcp_buf_info, tcpbi_next_byte_expected, 8);
AT(struct tcp_buf_info, tcpbi_last_byte_received, 12);
SIZE(struct tcp_ring_fragment, 16);
AT(struct tcp_ring_fragment, offset, 0);
AT(struct tcp_ring_fragment, len, 8);
SIZE(union monitor_filter, 16);
AT(union monitor_filter, raw_pkt_filter, 0);
AT(union monitor_filter, stream_syn_filter, 0);
AT(union monitor_filter, stream_orphan_filter, 8);
SIZE(monitor_filter_t, 8);

SAME(SOL_MONSOCKET, 0xfffe);
SIZE(struct tcphdr, 20);
SIZE(struct ethhdr, 14);
SIZE(struct iphdr, 20);
SAME(MOS_FRAGINFO_CLIBUF, 1);
SAME(MOS_FRAGINFO_SVRBUF, 2);
SAME(MOS_INFO_CLIBUF, 3);
SAME(MOS_INFO_SVRBUF, 4);
SAME(MOS_TCP_STATE_CLI, 5);
SAME(MOS_TCP_STATE_SVR, 6);
SAME(MOS_TIMESTAMP, 7);
SAME(MOS_CLIBUF, 0x09);
SAME(MOS_SVRBUF, 0x0a);
SAME(MOS_SEQ_REMAP, 0x0b);
SAME(MOS_STOP_MON, 0x0c);
SAME(MOS_FRAG_CLIBUF, 0x0d);
SAME(MOS_FRAG_SVRBUF, 0x0e);
SAME(MOS_CLIOVERLAP, 0x0f);
SAME(MOS_SVROVERLAP, 0x10);

SAME(TCP_CLOSED, 0);
SAME(TCP_LISTEN, 1);
SAME(TCP_SYN_SENT, 2);
SAME(TCP_SYN_RCVD, 3);
SAME(TCP_ESTABLISHED, 4);
SAME(TCP_FIN_WAIT_1, 5);
SAME(TCP_FIN_WAIT_2, 6);
SAME(TCP_CLOSE_WAIT, 7);
SAME(TCP_CLOSING, 8);
SAME(TCP_LAST_ACK, 9);
SAME(TCP_TIME_WAIT, 10);

SAME(MOS_OVERLAP_POLICY_FIRST, 0);
SAME(MOS_OVERLAP_POLICY_LAST, 1);
SAME(MOS_OVERLAP_CNT, 2);
SAME(MOS_SIDE_CLI, 0);
SAME(MOS_SIDE_SVR, 1);
SAME(MOS_SIDE_BOTH, 2);

SAME(MOS_EPOLL_CTL_ADD, 1);
SAME(MOS_EPOLL_CTL_DEL, 2);
SAME(MOS_EPOLL_CTL_MOD, 3);
SAME(MOS_EPOLLNONE, 1);
SAME(MOS_EPOLLIN, 1 << 1);
SAME(MOS_EPOLLPRI, 1 << 2);
SAME(MOS_EPOLLOUT, 1 << 3);
SAME(MOS_EPOLLRDNORM, 1 << 4);
SAME(MOS_EPOLLRDBAND, 1 << 5);
SAME(MOS_EPOLLWRNORM, 1 << 6);
SAME(MOS_EPOLLWRBAND, 1 << 7);
SAME(MOS_EPOLLMSG, 1 << 8);
SAME(MOS_EPOLLERR, 1 << 9);
SAME(MOS_EPOLLHUP, 1 << 10);
SAME(MOS_EPOLLRDHUP, 1 << 11);
SAME(MOS_EPOLLONESHOT, 1 << 30);
SAME(MOS_EPOLLET, -2147483647 - 1);
SAME(MOS_ACT_SEND_DATA, 1 << 1);
SAME(MOS_ACT_SEND_ACK_NOW, 1 << 2);
SAME(MOS_ACT_SEND_ACK_AGG, 1 << 3);
SAME(MOS_ACT_SEND_CONTROL, 1 << 4);
SAME(MOS_ACT_SEND_RST, 1 << 5);
SAME(MOS_ACT_DESTROY, 1 << 6);
SAME(MOS_ACT_READ_DATA, 1 << 7);
SAME(MOS_ACT_CNT, 129);
SIZE(mtcp_epoll_data_t, 8);
SIZE(struct mtcp_epoll_event, 16);
AT(struct mtcp_epoll_event, events, 0);
AT(struct mtcp_epoll_event, data, 8);
AT(mtcp_epoll_data_t, sock, 0);
AT(mtcp_epoll_data_t, u64, 0);
AT(mtcp_epoll_data_t, ptr, 0);
AT(mtcp_epoll_data_t, u32, 0);
SIZE(enum mtcp_epoll_op, 4);
SIZE(enum epoll_event_type, 4);
SIZE(enum mtcp_action, 4);
SAME(MOS_ABI_VERSION, 2);

/* The types of functions: each line compiles only if the prototype is this one. */
#define TYPE(result, name, ...) result (*const type_of_##name)(__VA_ARGS__) = name
extern int layout_is_checked;
int layout_is_checked;
static TYPE(int, mtcp_init, const char *);
static TYPE(int, mtcp_destroy, void);
static TYPE(int, mtcp_getconf, struct mtcp_conf *);
static TYPE(int, mtcp_setconf, const struct mtcp_conf *);
static TYPE(int, mtcp_core_affinitize, int);
static TYPE(mtcp_sighandler_t, mtcp_register_signal, int, mtcp_sighandler_t);
static TYPE(mctx_t, mtcp_create_context, int);
static TYPE(int, mtcp_destroy_context, mctx_t);
static TYPE(void, mtcp_app_join, mctx_t);
static TYPE(int, mtcp_socket, mctx_t, int, int, int);
static TYPE(int, mtcp_close, mctx_t, int);
static TYPE(int, mtcp_getsockopt, mctx_t, int, int, int, void *, socklen_t *);
static TYPE(int, mtcp_setsockopt, mctx_t, int, int, int, const void *, socklen_t);
static TYPE(int, mtcp_bind_monitor_filter, mctx_t, int, monitor_filter_t);
static TYPE(int, mtcp_register_callback, mctx_t, int, event_t, int, callback_t);
static TYPE(int, mtcp_unregister_callback, mctx_t, int, event_t, int);
static TYPE(event_t, mtcp_define_event, event_t, filter_t, struct filter_arg *);
static TYPE(event_t, mtcp_alloc_event, event_t);
static TYPE(int, mtcp_raise_event, mctx_t, event_t);
static TYPE(void, mtcp_set_uctx, mctx_t, int, void *);
static TYPE(void *, mtcp_get_uctx, mctx_t, int);
static TYPE(int, mtcp_getpeername, mctx_t, int, struct sockaddr *, socklen_t *, int);
static TYPE(ssize_t, mtcp_peek, mctx_t, int, int, char *, size_t);
static TYPE(ssize_t, mtcp_ppeek, mctx_t, int, int, char *, size_t, uint64_t);
static TYPE(int, mtcp_getlastpkt, mctx_t, int, int, struct pkt_info *);
static TYPE(int, mtcp_setlastpkt, mctx_t, int, int, off_t, byte *, uint16_t, int);
static TYPE(int, mtcp_cb_dropcurpkt, mctx_t);
static TYPE(int, mtcp_sendpkt, mctx_t, int, const struct pkt_info *);
static TYPE(int, mtcp_reset_conn, mctx_t, int);
static TYPE(int, mtcp_cb_stop, mctx_t, int, int);
static TYPE(int, mtcp_settimer, mctx_t, int, struct timeval *, callback_t);
static TYPE(uint32_t, mtcp_cb_get_ts, mctx_t);
static TYPE(void, mtcp_clonepkt, struct pkt_info *, unsigned char *, struct pkt_info *);
static TYPE(void, mtcp_free_context, mctx_t);
static TYPE(uint32_t, mtcp_get_connection_cnt, mctx_t);
static TYPE(int, mtcp_bind, mctx_t, int, const struct sockaddr *, socklen_t);
static TYPE(int, mtcp_listen, mctx_t, int, int);
static TYPE(int, mtcp_accept, mctx_t, int, struct sockaddr *, socklen_t *);
static TYPE(int, mtcp_init_rss, mctx_t, in_addr_t, int, in_addr_t, in_addr_t);
static TYPE(int, mtcp_connect, mctx_t, int, const struct sockaddr *, socklen_t);
static TYPE(int, mtcp_abort, mctx_t, int);
static TYPE(int, mtcp_getsockname, mctx_t, int, struct sockaddr *, socklen_t *);
static TYPE(ssize_t, mtcp_recv, mctx_t, int, char *, size_t, int);
static TYPE(ssize_t, mtcp_read, mctx_t, int, char *, size_t);
static TYPE(ssize_t, mtcp_readv, mctx_t, int, const struct iovec *, int);
static TYPE(ssize_t, mtcp_write, mctx_t, int, const char *, size_t);
static TYPE(ssize_t, mtcp_writev, mctx_t, int, const struct iovec *, int);
static TYPE(int, mtcp_setsock_nonblock, mctx_t, int);
static TYPE(int, mtcp_ioctl, mctx_t, int, int, void *);
static TYPE(int, mtcp_pipe, mctx_t, int[2]);
static TYPE(int, mtcp_epoll_create, mctx_t, int);
static TYPE(int, mtcp_epoll_ctl, mctx_t, int, int, int, struct mtcp_epoll_event *);
static TYPE(int, mtcp_epoll_wait, mctx_t, int, struct mtcp_epoll_event *, int, int);
static TYPE(char *, EventToString, uint32_t);
static TYPE(int, mtcp_set_debug_string, mtcp_manager_t, const char *, ...);
static TYPE(int, mtcp_get_debug_string, mctx_t, char *, int);
static TYPE(int, GetRSSCPUCore, in_addr_t, in_addr_t, in_port_t, in_port_t, int);
static TYPE(uint32_t, GetRSSHash, in_addr_t, in_addr_t, in_port_t, in_port_t);
static TYPE(int, StrToArgs, char *, int *, char **, int);
static TYPE(unsigned int, XXH32, const void *, size_t, unsigned);
static TYPE(unsigned long long, XXH64, const void *, size_t, unsigned long long);
static TYPE(uint32_t, mos_abi_version, void);
static TYPE(const char *, mos_last_error, void);

/* Used, so that they are not complained about; and linked, so that every declared function is there. */
int main(void)
{
	const void *const used[] = {
		(const void *)type_of_mtcp_init,
		(const void *)type_of_mtcp_destroy,
		(const void *)type_of_mtcp_getconf,
		(const void *)type_of_mtcp_setconf,
		(const void *)type_of_mtcp_core_affinitize,
		(const void *)type_of_mtcp_register_signal,
		(const void *)type_of_mtcp_create_context,
		(const void *)type_of_mtcp_destroy_context,
		(const void *)type_of_mtcp_app_join,
		(const void *)type_of_mtcp_socket,
		(const void *)type_of_mtcp_close,
		(const void *)type_of_mtcp_getsockopt,
		(const void *)type_of_mtcp_setsockopt,
		(const void *)type_of_mtcp_bind_monitor_filter,
		(const void *)type_of_mtcp_register_callback,
		(const void *)type_of_mtcp_unregister_callback,
		(const void *)type_of_mtcp_define_event,
		(const void *)type_of_mtcp_alloc_event,
		(const void *)type_of_mtcp_raise_event,
		(const void *)type_of_mtcp_set_uctx,
		(const void *)type_of_mtcp_get_uctx,
		(const void *)type_of_mtcp_getpeername,
		(const void *)type_of_mtcp_peek,
		(const void *)type_of_mtcp_ppeek,
		(const void *)type_of_mtcp_getlastpkt,
		(const void *)type_of_mtcp_setlastpkt,
		(const void *)type_of_mtcp_cb_dropcurpkt,
		(const void *)type_of_mtcp_sendpkt,
		(const void *)type_of_mtcp_reset_conn,
		(const void *)type_of_mtcp_cb_stop,
		(const void *)type_of_mtcp_settimer,
		(const void *)type_of_mtcp_cb_get_ts,
		(const void *)type_of_mtcp_clonepkt,
		(const void *)type_of_mtcp_free_context,
		(const void *)type_of_mtcp_get_connection_cnt,
		(const void *)type_of_mtcp_bind,
		(const void *)type_of_mtcp_listen,
		(const void *)type_of_mtcp_accept,
		(const void *)type_of_mtcp_init_rss,
		(const void *)type_of_mtcp_connect,
		(const void *)type_of_mtcp_abort,
		(const void *)type_of_mtcp_getsockname,
		(const void *)type_of_mtcp_recv,
		(const void *)type_of_mtcp_read,
		(const void *)type_of_mtcp_readv,
		(const void *)type_of_mtcp_write,
		(const void *)type_of_mtcp_writev,
		(const void *)type_of_mtcp_setsock_nonblock,
		(const void *)type_of_mtcp_ioctl,
		(const void *)type_of_mtcp_pipe,
		(const void *)type_of_mtcp_epoll_create,
		(const void *)type_of_mtcp_epoll_ctl,
		(const void *)type_of_mtcp_epoll_wait,
		(const void *)type_of_EventToString,
		(const void *)type_of_mtcp_set_debug_string,
		(const void *)type_of_mtcp_get_debug_string,
		(const void *)type_of_GetRSSCPUCore,
		(const void *)type_of_GetRSSHash,
		(const void *)type_of_StrToArgs,
		(const void *)type_of_XXH32,
		(const void *)type_of_XXH64,
		(const void *)type_of_mos_abi_version,
		(const void *)type_of_mos_last_error,
	};
	for (unsigned i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		if (used[i] == NULL)
			return 1;
	return mos_abi_version() != MOS_ABI_VERSION;
}
