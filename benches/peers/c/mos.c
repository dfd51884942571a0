/* The monitor through the C interface. It reads every octet in order of both directions: copied, or where they lie. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "mos_api.h"
#include "mos_ext.h"

/* Who is told of octets, without data of lost ones: nobody while it is timed, when they are only counted. */
typedef void (*deliver_t)(uint32_t client, uint16_t client_port, uint32_t server, uint16_t server_port,
			  int to_server, const uint8_t *data, size_t len);

static deliver_t deliver;
static uint64_t octets;
static mctx_t context;

static void tell(mctx_t mctx, int sock, int side, const uint8_t *data, size_t len)
{
	struct sockaddr_in end[2];
	socklen_t room = sizeof(end);

	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)end, &room, MOS_SIDE_BOTH) == 0)
		deliver(end[0].sin_addr.s_addr, ntohs(end[0].sin_port), end[1].sin_addr.s_addr, ntohs(end[1].sin_port),
			side == MOS_SIDE_SVR, data, len);
}

/* Whether there may be more. */
static int take(mctx_t mctx, int sock, int side, const uint8_t *data, ssize_t n)
{
	if (n == 0 || (n < 0 && errno != ENODATA))
		return 0;
	if (n > 0)
		octets += (uint64_t)n;
	if (deliver)
		tell(mctx, sock, side, n > 0 ? data : NULL, (size_t)(n > 0 ? n : -n));
	return 1;
}

static void copy(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static uint8_t buf[65536];

	(void)event, (void)arg;
	while (take(mctx, sock, side, buf, mtcp_peek(mctx, sock, side, (char *)buf, sizeof(buf))))
		;
}

static void lend(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	const uint8_t *data = NULL;
	ssize_t n;

	(void)event, (void)arg;
	do
		n = mos_peek_zc(mctx, sock, side, &data);
	while (take(mctx, sock, side, data, n));
}

/* A context for the capture that the configuration names. 0, or -1. */
int mos_monitor_begin(const char *conf, int copies, deliver_t to)
{
	int sock;

	deliver = to;
	octets = 0;
	if (mtcp_init(conf) < 0 || (context = mtcp_create_context(0)) == NULL)
		return -1;
	sock = mtcp_socket(context, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (sock < 0)
		return -1;
	return mtcp_register_callback(context, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, copies ? copy : lend);
}

/* All packets. */
void mos_monitor_run(void)
{
	mtcp_app_join(context);
}

/* Returns how many octets there were. */
uint64_t mos_monitor_end(void)
{
	mtcp_destroy_context(context);
	mtcp_destroy();
	return octets;
}
