/* Bad arguments of functions for end hosts, of those without a context, and of mtcp_clonepkt(): parts of misuse.c. */
#ifndef MISUSE_MORE_H
#define MISUSE_MORE_H

#include "check.h"
#include "mtcp_util.h"

/* Functions of end hosts, with a descriptor, all of whose other arguments are wrong, too. */
static void end_host_calls(mctx_t mctx, int sock, int number)
{
	static char buf[16];

	FAILS(number, mtcp_bind(mctx, sock, NULL, 0));
	FAILS(number, mtcp_bind(mctx, sock, (const struct sockaddr *)1, 0x7fffffff));
	FAILS(number, mtcp_listen(mctx, sock, -1));
	FAILS(number, mtcp_accept(mctx, sock, NULL, NULL));
	FAILS(number, mtcp_accept(mctx, sock, (struct sockaddr *)1, (socklen_t *)1));
	FAILS(number, mtcp_connect(mctx, sock, NULL, 16));
	FAILS(number, mtcp_abort(mctx, sock));
	FAILS(number, mtcp_getsockname(mctx, sock, NULL, NULL));
	FAILS(number, mtcp_recv(mctx, sock, NULL, SIZE_MAX, -1));
	FAILS(number, mtcp_read(mctx, sock, NULL, SIZE_MAX));
	FAILS(number, mtcp_read(mctx, sock, buf, sizeof(buf)));
	FAILS(number, mtcp_readv(mctx, sock, NULL, 0x7fffffff));
	FAILS(number, mtcp_write(mctx, sock, NULL, SIZE_MAX));
	FAILS(number, mtcp_write(mctx, sock, buf, 0));
	FAILS(number, mtcp_writev(mctx, sock, (const struct iovec *)1, -1));
	FAILS(number, mtcp_setsock_nonblock(mctx, sock));
	FAILS(number, mtcp_ioctl(mctx, sock, -1, NULL));
	FAILS(number, mtcp_epoll_ctl(mctx, sock, MOS_EPOLL_CTL_ADD, -1, NULL));
	FAILS(number, mtcp_epoll_wait(mctx, sock, NULL, -1, -1));
}

/* And those without. */
static void end_host_contexts(mctx_t mctx, int number)
{
	FAILS(number, mtcp_init_rss(mctx, 0, -1, 0, 0));
	FAILS(number, mtcp_pipe(mctx, NULL));
	FAILS(number, mtcp_epoll_create(mctx, -1));
	FAILS(number, mtcp_get_debug_string(mctx, NULL, -1));
}

/* All of them, with a good handle and two monitoring sockets. */
static void end_hosts(mctx_t mctx, int passive, int raw)
{
	const int wrong[] = { -1, 500, 1 << 30, (int)0x80000000, 0x7fffffff };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		end_host_calls(mctx, wrong[i], EBADF);
	end_host_calls(mctx, passive, ENOSYS);
	end_host_calls(mctx, raw, ENOSYS);
	end_host_contexts(mctx, ENOSYS);
}

/* Functions without a context: at any time, on any thread. */
static void utilities(void)
{
	char line[] = "one \"two three\" four", *words[3] = { NULL, NULL, NULL };
	char open_quote[] = "'a b";
	int n = 77;

	FAILS(ENOSYS, mtcp_set_debug_string(NULL, NULL));
	FAILS(ENOSYS, mtcp_set_debug_string((mtcp_manager_t)1, "%s %d %f", "x", 1, 2.0));
	FAILS(EFAULT, StrToArgs(NULL, &n, words, 3));
	FAILS(EFAULT, StrToArgs(line, NULL, words, 3));
	FAILS(EFAULT, StrToArgs(line, &n, NULL, 3));
	FAILS(EINVAL, StrToArgs(line, &n, words, -1));
	FAILS(EINVAL, StrToArgs(line, &n, words, 2));
	FAILS(EINVAL, StrToArgs(open_quote, &n, words, 3));
	CHECK(n == 77 && words[0] == NULL && strlen(line) == 20 && strcmp(open_quote, "'a b") == 0);
	GIVES(0, StrToArgs(line, &n, words, 3));
	CHECK(n == 3 && words[0] == line && strcmp(words[0], "one") == 0);
	CHECK(strcmp(words[1], "two three") == 0 && strcmp(words[2], "four") == 0);
	for (int queues = -2; queues <= 0; queues++)
		FAILS(EINVAL, GetRSSCPUCore(1, 2, 3, 4, queues));
	FAILS(EINVAL, GetRSSCPUCore(1, 2, 3, 4, (int)0x80000000));
	GIVES(0, GetRSSCPUCore(1, 2, 3, 4, 1));
	CHECK(GetRSSCPUCore(0xffffffff, 0xffffffff, 0xffff, 0xffff, 0x7fffffff) >= 0);
	FAILS_WITH(0, EFAULT, XXH32(NULL, 1, 0));
	FAILS_WITH(0, EFAULT, XXH64(NULL, SIZE_MAX, 0));
	FAILS_WITH(0, EINVAL, XXH32("", SIZE_MAX, 0));
	GIVES(0x02cc5d05, XXH32(NULL, 0, 0)); /* the published sums */
	GIVES(0x32d153ff, XXH32("abc", 3, 0));
	GIVES(0x44bc2cf5ad770999ll, XXH64("abc", 3, 0));
	CHECK(strcmp(EventToString(MOS_EPOLLNONE), "NONE") == 0 && strcmp(EventToString(MOS_EPOLLHUP), "HUP") == 0);
	CHECK(strcmp(EventToString(MOS_EPOLLIN), "IN") == 0 && strcmp(EventToString(MOS_EPOLLPRI), "PRI") == 0);
	CHECK(strcmp(EventToString(MOS_EPOLLOUT), "OUT") == 0 && strcmp(EventToString(MOS_EPOLLERR), "ERR") == 0);
	CHECK(strcmp(EventToString(MOS_EPOLLRDHUP), "RDHUP") == 0);
	CHECK(strcmp(EventToString((uint32_t)MOS_EPOLLET), "ET") == 0);
	CHECK(strcmp(EventToString(0), "UNKNOWN") == 0 && strcmp(EventToString(0xffffffff), "UNKNOWN") == 0);
	for (int bit = 0; bit < 32; bit++)
		CHECK((strcmp(EventToString((uint32_t)1 << bit), "UNKNOWN") == 0) == (bit > 11 && bit < 30));
}

/* A packet that is kept, and what is no packet. */
static void clones(struct pkt_info *info)
{
	struct pkt_info kept, again = *info;
	uint32_t room[50];
	byte *frame = (byte *)room + 2; /* so that the headers behind Ethernet's are aligned */

	memset(&kept, 0x5a, sizeof(kept));
	memset(room, 0x5a, sizeof(room));
	MUST(info->eth_len < sizeof(room) - 2 && info->payloadlen > 0);
	FAILS_WITH(EFAULT, EFAULT, (mtcp_clonepkt(NULL, frame, info), errno));
	FAILS_WITH(EFAULT, EFAULT, (mtcp_clonepkt(&kept, NULL, info), errno));
	FAILS_WITH(EFAULT, EFAULT, (mtcp_clonepkt(&kept, frame, NULL), errno));
	again.ethh = NULL;
	again.payload = NULL;
	FAILS_WITH(EINVAL, EINVAL, (mtcp_clonepkt(&kept, frame, &again), errno));
	again.payload = (uint8_t *)again.iph - 1;
	FAILS_WITH(EINVAL, EINVAL, (mtcp_clonepkt(&kept, frame, &again), errno));
	again.payload = (uint8_t *)again.iph + 65536;
	FAILS_WITH(EINVAL, EINVAL, (mtcp_clonepkt(&kept, frame, &again), errno));
	CHECK(frame[0] == 0x5a && kept.cur_ts == 0x5a5a5a5a);

	GIVES(12345, (mtcp_clonepkt(&kept, frame, info), errno));
	CHECK((byte *)kept.ethh == frame && memcmp(frame, info->ethh, info->eth_len) == 0);
	CHECK(frame[info->eth_len] == 0x5a && kept.eth_len == info->eth_len && kept.offset == info->offset);
	CHECK(kept.cur_ts == info->cur_ts && kept.seq == info->seq && kept.payloadlen == info->payloadlen);
	CHECK((byte *)kept.iph - frame == 14 && kept.tcph->doff * 4 == (char *)kept.payload - (char *)kept.tcph);
	CHECK(kept.payload - frame == info->payload - (byte *)info->ethh);
	again.payload = info->payload; /* the same packet on a link that is not Ethernet */
	GIVES(12345, (mtcp_clonepkt(&again, frame, &again), errno));
	CHECK(again.ethh == NULL && (byte *)again.iph == frame);
	CHECK(memcmp(again.payload, info->payload, info->payloadlen) == 0 && again.payloadlen == info->payloadlen);
}

#endif
