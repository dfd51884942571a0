/*
 * A program that reads once for each MOS_ON_CONN_NEW_DATA, as those of the original do: what it gets, by side.
 * usage: one_read MOS_CONF BUFFER
 */
#include "check.h"

static size_t room;
static unsigned long got[2], lost[2];

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char buf[16384];
	ssize_t n = mtcp_peek(mctx, sock, side, buf, room);

	(void)event, (void)arg;
	if (n > 0)
		got[side] += (unsigned long)n;
	else if (n < 0 && errno == ENODATA)
		lost[side] += (unsigned long)-n;
}

int main(int argc, char **argv)
{
	MUST(argc == 3 && mtcp_init(argv[1]) == 0);
	room = (size_t)atol(argv[2]);
	mctx_t mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data));
	mtcp_app_join(mctx);
	printf("%lu %lu %lu %lu\n", got[0], got[1], lost[0], lost[1]);
	GIVES(0, mtcp_destroy_context(mctx));
	return failures != 0;
}
