/*
 * Reads all streams of a capture with mtcp_peek(), checks that mtcp_ppeek() gives the same octets, and writes them to
 * files DIR/N-SIDE. Prints a line for each connection: N, client, server. usage: streams MOS_CONF DIR
 */
#include "check.h"

struct connection {
	int number;
	uint64_t read[2];
	FILE *file[2];
};

static const char *directory;
static int connections;

static void print_address(const struct sockaddr *a)
{
	char text[INET6_ADDRSTRLEN];

	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		printf(" %s:%d", text, ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		printf(" [%s]:%d", text, ntohs(v6->sin6_port));
	}
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in6 six[2];
	struct sockaddr_in four[2];
	socklen_t len = sizeof(four);
	struct connection *c = calloc(1, sizeof(*c));
	char name[4200];
	(void)side, (void)event, (void)arg;

	MUST(c != NULL);
	c->number = connections++;
	printf("%d", c->number);
	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)four, &len, MOS_SIDE_BOTH) == 0) {
		print_address((struct sockaddr *)&four[0]);
		print_address((struct sockaddr *)&four[1]);
	} else {
		len = sizeof(six);
		GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)six, &len, MOS_SIDE_BOTH));
		print_address((struct sockaddr *)&six[0]);
		print_address((struct sockaddr *)&six[1]);
	}
	printf("\n");
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s/%d-%d", directory, c->number, i);
		c->file[i] = fopen(name, "w");
		MUST(c->file[i] != NULL);
	}
	mtcp_set_uctx(mctx, sock, c);
}

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char one[3000], other[3000];
	struct connection *c = mtcp_get_uctx(mctx, sock);
	ssize_t n, m;
	(void)event, (void)arg;

	MUST(c != NULL);
	while ((n = mtcp_peek(mctx, sock, side, one, sizeof(one))) > 0) {
		m = mtcp_ppeek(mctx, sock, side, other, (size_t)n, c->read[side]);
		CHECK(m == n && memcmp(one, other, (size_t)n) == 0);
		CHECK(fwrite(one, 1, (size_t)n, c->file[side]) == (size_t)n);
		c->read[side] += (uint64_t)n;
	}
	CHECK(n == 0);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct connection *c = mtcp_get_uctx(mctx, sock);
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);

	if (c == NULL)
		return;
	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len) == 0)
		CHECK(info.tcpbi_next_byte_expected - info.tcpbi_init_seq == (uint32_t)c->read[MOS_SIDE_SVR]);
	(void)side, (void)event, (void)arg;
	fclose(c->file[0]);
	fclose(c->file[1]);
	free(c);
	mtcp_set_uctx(mctx, sock, NULL);
}

int main(int argc, char **argv)
{
	static const int families[] = { AF_INET, AF_INET6 };
	mctx_t mctx;

	if (argc != 3)
		return 2;
	directory = argv[2];
	GIVES(0, mtcp_init(argv[1]));
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	for (int i = 0; i < 2; i++) {
		int sock = mtcp_socket(mctx, families[i], MOS_SOCK_MONITOR_STREAM, 0);
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start));
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data));
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end));
	}
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	GIVES(0, mtcp_destroy());
	return report();
}
