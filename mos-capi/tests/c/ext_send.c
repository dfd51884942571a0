/*
 * mos_send() and mos_reset(), over the capture that ppeek.c counts. What is written is checked by the caller.
 * usage: ext_send send|reset MOS_CONF
 */
#include "check.h"
#include "mos_ext.h"

static mctx_t mctx;
static int monitor, packet, ends, orphans, sent;
/* An Ethernet frame of an experimental type; its 15th octet tells who sent it. */
static unsigned char frame[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
/* An IPv4 packet of an experimental protocol. */
static unsigned char ip[24] = { 0x45, 0, 0, 24, 0, 0, 0, 0, 64, 253, 0xb0, 0x5f, 10, 0, 0, 1, 10, 0, 0, 2, 'I' };

static int send_as(mctx_t m, char who, int way, size_t len)
{
	frame[14] = (unsigned char)who;
	return mos_send(m, way, frame, len);
}

static void on_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	if (++packet == 4)
		GIVES(0, send_as(m, 'c', MOS_WAY_BACK, sizeof(frame)));
	if (packet == 6) {
		GIVES(0, mos_send(m, MOS_WAY_IP, ip, sizeof(ip)));
		while (sent < 2000 && send_as(m, 'f', 0, 15) == 0)
			sent++;
		CHECK(errno == ENOBUFS && sent >= 200 && sent < 2000);
		FAILS(ENOBUFS, send_as(m, 'f', 0, 15));
		FAILS(EMSGSIZE, send_as(m, 'f', 0, 100000));
	}
	if (packet == 7) /* there is room again */
		GIVES(0, send_as(m, 'r', 0, sizeof(frame)));
}

static void on_timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)id, (void)side, (void)event, (void)arg;
	GIVES(0, send_as(m, 't', 0, sizeof(frame)));
}

static void sending(void)
{
	struct timeval soon = { 0, 75000 };

	GIVES(0, send_as(mctx, 'm', 0, sizeof(frame)));
	GIVES(0, mtcp_settimer(mctx, 1, &soon, on_timer));
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, on_packet));
	mtcp_app_join(mctx);
	CHECK(packet == 26);
}

static void on_reset(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (++packet != 9)
		return;
	FAILS(ENOTSOCK, mos_reset(m, monitor));
	GIVES(0, mos_reset(m, sock));
	GIVES(0, mos_reset(m, sock)); /* nothing more */
}

static void on_end(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct mos_connection c;
	(void)side, (void)event, (void)arg;

	ends++;
	CHECK(packet == 9);
	GIVES(0, mos_get_connection(m, sock, &c, sizeof(c)));
	CHECK(c.end == MOS_END_RESET);
	FAILS(ENOTCONN, mos_reset(m, sock));
}

static void on_orphan(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	orphans++;
}

static void resetting(void)
{
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_RCV, on_reset));
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_RCV, on_end));
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_ORPHAN, MOS_NULL, on_orphan));
	mtcp_app_join(mctx);
	CHECK(ends == 2 && orphans == 26 - 9);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	GIVES(0, mtcp_init(argv[2]));
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	MUST(monitor >= 0);
	if (strcmp(argv[1], "send") == 0)
		sending();
	else
		resetting();
	GIVES(0, mtcp_destroy_context(mctx));
	GIVES(0, mtcp_destroy());
	return report();
}
