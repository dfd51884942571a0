/*
 * mtcp_epoll.h - event queues of end-host sockets, which this library does not have yet. The values are not those of
 * Linux.
 */
#ifndef MTCP_EPOLL_H
#define MTCP_EPOLL_H

#include "mtcp_api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mtcp_epoll_op {
	MOS_EPOLL_CTL_ADD = 1,
	MOS_EPOLL_CTL_DEL = 2,
	MOS_EPOLL_CTL_MOD = 3
};

enum epoll_event_type {
	MOS_EPOLLNONE = 0x0001,
	MOS_EPOLLIN = 0x0002,
	MOS_EPOLLPRI = 0x0004,
	MOS_EPOLLOUT = 0x0008,
	MOS_EPOLLRDNORM = 0x0010,
	MOS_EPOLLRDBAND = 0x0020,
	MOS_EPOLLWRNORM = 0x0040,
	MOS_EPOLLWRBAND = 0x0080,
	MOS_EPOLLMSG = 0x0100,
	MOS_EPOLLERR = 0x0200,
	MOS_EPOLLHUP = 0x0400,
	MOS_EPOLLRDHUP = 0x0800,
	MOS_EPOLLONESHOT = 0x40000000,
	MOS_EPOLLET = -0x7fffffff - 1 /* bit 31 */
};

enum mtcp_action {
	MOS_ACT_SEND_DATA = 0x02,
	MOS_ACT_SEND_ACK_NOW = 0x04,
	MOS_ACT_SEND_ACK_AGG = 0x08,
	MOS_ACT_SEND_CONTROL = 0x10,
	MOS_ACT_SEND_RST = 0x20,
	MOS_ACT_DESTROY = 0x40,
	MOS_ACT_READ_DATA = 0x80,
	MOS_ACT_CNT
};

typedef union mtcp_epoll_data {
	void *ptr;
	int sock;
	uint32_t u32;
	uint64_t u64;
} mtcp_epoll_data_t;

struct mtcp_epoll_event {
	uint64_t events;
	mtcp_epoll_data_t data;
};

/* Not built yet: -1 with EACCES (bad mctx), EBADF (epid is no socket; the last two), else ENOSYS. */
int mtcp_epoll_create(mctx_t mctx, int size);
int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sock, struct mtcp_epoll_event *event);
int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents, int timeout);

/* The name of one enum epoll_event_type, without MOS_EPOLL: "IN". Anything else is "UNKNOWN". It is not for writing. */
char *EventToString(uint32_t event);

#ifdef __cplusplus
}
#endif

#endif /* MTCP_EPOLL_H */
