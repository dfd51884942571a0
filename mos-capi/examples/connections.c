/*
 * Prints the connections of a capture: both ends' TCP states at each change, and at the end how many octets each end
 * received.
 *
 *     cc -I include examples/connections.c -lmos -o connections
 *     MOS_IO=pcap:FILE ./connections examples/mos.conf
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mos_api.h"

struct connection {
	char name[64];
	uint64_t octets[2]; /* received, by side */
	uint64_t lost[2];
};

static const char *const state_names[] = {
	"CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
	"FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT",
};

static const char *state_name(mctx_t mctx, int sock, int option)
{
	int state = 0;
	socklen_t len = sizeof(state);

	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &state, &len) < 0)
		return "?";
	return state_names[state];
}

/* The first SYN: the socket is new, and carries our record from now on. */
static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in end[2];
	socklen_t len = sizeof(end);
	char client[INET_ADDRSTRLEN], server[INET_ADDRSTRLEN];
	struct connection *c = calloc(1, sizeof(*c));

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c == NULL || mtcp_getpeername(mctx, sock, (struct sockaddr *)end, &len, MOS_SIDE_BOTH) < 0) {
		free(c);
		return;
	}
	inet_ntop(AF_INET, &end[0].sin_addr, client, sizeof(client));
	inet_ntop(AF_INET, &end[1].sin_addr, server, sizeof(server));
	snprintf(c->name, sizeof(c->name), "%s:%d > %s:%d", client, ntohs(end[0].sin_port), server,
		 ntohs(end[1].sin_port));
	mtcp_set_uctx(mctx, sock, c);
}

static void on_change(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c != NULL)
		printf("%s: %s, %s\n", c->name, state_name(mctx, sock, MOS_TCP_STATE_CLI),
		       state_name(mctx, sock, MOS_TCP_STATE_SVR));
}

/* Reads all there is. What came too fast for the ring, or was missing in the capture, is reported as lost. */
static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);
	char buf[4096];
	ssize_t n;

	UNUSED(event);
	UNUSED(arg);
	while (c != NULL && (n = mtcp_peek(mctx, sock, side, buf, sizeof(buf))) != 0) {
		if (n > 0)
			c->octets[side] += (uint64_t)n;
		else if (errno == ENODATA)
			c->lost[side] += (uint64_t)-n;
		else
			return;
	}
}

/* Comes for each side; the first time is enough. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	if (c == NULL)
		return;
	printf("%s: ended, %" PRIu64 " octets to the server, %" PRIu64 " to the client", c->name,
	       c->octets[MOS_SIDE_SVR], c->octets[MOS_SIDE_CLI]);
	if (c->lost[MOS_SIDE_SVR] + c->lost[MOS_SIDE_CLI] > 0)
		printf(", lost %" PRIu64 " and %" PRIu64, c->lost[MOS_SIDE_SVR], c->lost[MOS_SIDE_CLI]);
	printf("\n");
	free(c);
	mtcp_set_uctx(mctx, sock, NULL);
}

static int set_up(mctx_t mctx)
{
	static const struct {
		event_t event;
		int hook;
		callback_t cb;
	} callbacks[] = {
		{ MOS_ON_CONN_START, MOS_HK_SND, on_start },
		{ MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_change },
		{ MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_change },
		{ MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data },
		{ MOS_ON_CONN_END, MOS_HK_SND, on_end },
	};
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	for (size_t i = 0; sock >= 0 && i < sizeof(callbacks) / sizeof(callbacks[0]); i++)
		if (mtcp_register_callback(mctx, sock, callbacks[i].event, callbacks[i].hook, callbacks[i].cb) < 0)
			return -1;
	return sock;
}

int main(int argc, char **argv)
{
	mctx_t mctx;

	if (argc != 2) {
		fprintf(stderr, "usage: MOS_IO=pcap:FILE %s MOS_CONF\n", argv[0]);
		return 2;
	}
	if (mtcp_init(argv[1]) < 0 || (mctx = mtcp_create_context(0)) == NULL || set_up(mctx) < 0) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], strerror(errno), mos_last_error());
		return 1;
	}
	errno = 0;
	mtcp_app_join(mctx);
	if (errno != 0)
		fprintf(stderr, "%s: %s\n", argv[0], mos_last_error());
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	return 0;
}
