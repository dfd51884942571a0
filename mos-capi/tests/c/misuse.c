/*
 * Bad arguments of every function: from the main thread, before mtcp_init(), after the end, and inside of callbacks.
 * None may crash, and each is refused with the right errno. usage: misuse MOS_CONF
 */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include "misuse_more.h"

#define SVR MOS_SIDE_SVR
#define MON SOL_MONSOCKET

static char buf[100];
static char bad_conf[64]; /* a file of this process alone */
static int passive, raw, calls, raw_calls, timer_calls;

static void nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

/* Every call with a handle that is none. */
static void bad_handle(mctx_t mctx)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	struct pkt_info info;
	struct timeval second = { 1, 0 };
	union monitor_filter filter = { .stream_syn_filter = NULL };
	int value = 0;

	FAILS(EACCES, mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0));
	FAILS(EACCES, mtcp_socket(mctx, -1, -1, 0));
	FAILS(EACCES, mtcp_close(mctx, 0));
	FAILS(EACCES, mtcp_getsockopt(mctx, 0, MON, MOS_TCP_STATE_CLI, &value, &len));
	FAILS(EACCES, mtcp_setsockopt(mctx, 0, MON, MOS_CLIBUF, &value, sizeof(value)));
	FAILS(EACCES, mtcp_bind_monitor_filter(mctx, 0, &filter));
	FAILS(EACCES, mtcp_bind_monitor_filter(mctx, 0, NULL));
	FAILS(EACCES, mtcp_register_callback(mctx, 0, MOS_ON_PKT_IN, MOS_NULL, nothing));
	FAILS(EACCES, mtcp_unregister_callback(mctx, 0, MOS_ON_PKT_IN, MOS_NULL));
	FAILS_WITH(EACCES, EACCES, (mtcp_set_uctx(mctx, 0, NULL), errno));
	FAILS_WITH(NULL, EACCES, mtcp_get_uctx(mctx, 0));
	FAILS(EACCES, mtcp_peek(mctx, 0, SVR, buf, sizeof(buf)));
	FAILS(EACCES, mtcp_ppeek(mctx, 0, SVR, buf, sizeof(buf), 0));
	FAILS(EACCES, mtcp_getlastpkt(mctx, 0, SVR, &info));
	FAILS(EACCES, mtcp_setlastpkt(mctx, 0, SVR, 0, NULL, 0, MOS_DROP));
	FAILS(EACCES, mtcp_cb_dropcurpkt(mctx));
	FAILS(EACCES, mtcp_cb_stop(mctx, 0, SVR));
	FAILS(EACCES, mtcp_reset_conn(mctx, 0));
	FAILS(EACCES, mtcp_sendpkt(mctx, 0, &info));
	FAILS(EACCES, mtcp_sendpkt(mctx, 0, NULL));
	FAILS(EACCES, mtcp_getpeername(mctx, 0, (struct sockaddr *)&address, &len, SVR));
	FAILS(EACCES, mtcp_settimer(mctx, 0, &second, nothing));
	FAILS(EACCES, mtcp_settimer(mctx, 0, NULL, NULL));
	FAILS_WITH(0, EACCES, mtcp_cb_get_ts(mctx));
	FAILS_WITH(EACCES, EACCES, (mtcp_app_join(mctx), errno));
	end_host_calls(mctx, 0, EACCES);
	end_host_calls(mctx, -1, EACCES);
	end_host_contexts(mctx, EACCES);
	FAILS_WITH(UINT32_MAX, EACCES, mtcp_get_connection_cnt(mctx));
	FAILS(EACCES, mtcp_destroy_context(mctx));
	FAILS_WITH(EACCES, EACCES, (mtcp_free_context(mctx), errno));
}

/* Handles near and far from a good one. */
static void bad_handles(mctx_t good)
{
	mctx_t wild[] = { NULL, (mctx_t)1, (mctx_t)0x1234, (mctx_t)UINTPTR_MAX, (mctx_t)((char *)good + 1),
			  (mctx_t)((char *)good - 4), good + 1, (mctx_t)buf };

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		bad_handle(wild[i]);
}

static void before_init(void)
{
	struct mtcp_conf conf;

	bad_handles((mctx_t)0x10000);
	memset(&conf, 0, sizeof(conf));
	FAILS(EPERM, mtcp_getconf(&conf));
	FAILS(EPERM, mtcp_setconf(&conf));
	FAILS(EINVAL, mtcp_getconf(NULL));
	FAILS(EINVAL, mtcp_setconf(NULL));
	FAILS_WITH(NULL, EPERM, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "mtcp_init()") != NULL);
	FAILS(EPERM, mtcp_destroy());
	FAILS(EFAULT, mtcp_init(NULL));
	CHECK(mos_last_error()[0] == 0); /* nothing of what was told before */
	FAILS(ENOENT, mtcp_init("there/is/no/such/file.conf"));
	CHECK(strstr(mos_last_error(), "no/such/file.conf: No such file or directory") != NULL);
	CHECK(strstr(mos_last_error(), "os error") == NULL);
	FAILS(EISDIR, mtcp_init("/"));
	FAILS_WITH(NULL, EPERM, mtcp_create_context(0));
}

static void bad_files(void)
{
	static const struct {
		const char *text, *said;
	} files[] = {
		{ "mos {\nforward = yes\n}\n", "line 2" },
		{ "mos {\n", "line 1" },
		{ "application {\n}\n", "run" },
		{ "mos {\nmax_concurrency = 4000000000\n}\n", "max_concurrency can be 1 to" },
		{ "mos {\nnetdev {\neth0 1\neth0 2\n}\n}", "line 4" },
		{ "\xff\xfe", "UTF-8" },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *f = fopen(bad_conf, "w");
		MUST(f != NULL);
		fputs(files[i].text, f);
		fclose(f);
		FAILS(EINVAL, mtcp_init(bad_conf));
		CHECK(strstr(mos_last_error(), files[i].said) != NULL);
	}
	FILE *f = fopen(bad_conf, "w");
	MUST(f != NULL);
	fputs("mos {\ncolour = red\nstat_print = eth0\n}", f);
	fclose(f);
	GIVES(0, mtcp_init(bad_conf));
	CHECK(strstr(mos_last_error(), "line 2") != NULL && strstr(mos_last_error(), "colour") != NULL);
	CHECK(strstr(mos_last_error(), "line 3: `stat_print` has no effect") != NULL);
	GIVES(0, mtcp_destroy());
}

static void configuration(void)
{
	struct mtcp_conf conf, again;

	memset(&conf, 0x77, sizeof(conf));
	memset(&again, 0x55, sizeof(again));
	GIVES(0, mtcp_getconf(&conf));
	CHECK(conf.num_cores == 1 && conf.max_concurrency == 64 && conf.cpu_mask == 1);
	CHECK(conf.max_num_buffers == 64 && conf.rcvbuf_size == 8192 && conf.sndbuf_size == 8192);
	CHECK(conf.tcp_timewait == 0 && conf.tcp_timeout == 30000 && conf.num_app == 0);
	GIVES(0, mtcp_setconf(&conf));
	GIVES(0, mtcp_getconf(&again));
	again.max_num_buffers = conf.max_num_buffers;
	CHECK(conf.num_cores == again.num_cores && conf.tcp_timeout == again.tcp_timeout);
	conf.rcvbuf_size = 16384;
	conf.tcp_timewait = 1500;
	GIVES(0, mtcp_setconf(&conf));
	GIVES(0, mtcp_getconf(&again));
	CHECK(again.rcvbuf_size == 16384 && again.tcp_timewait == 1500);
	int *numbers[] = { &conf.num_cores, &conf.max_concurrency, &conf.rcvbuf_size, &conf.sndbuf_size,
			   &conf.tcp_timewait };
	for (int i = 0; i < 5; i++) {
		int keep = *numbers[i];
		*numbers[i] = -1;
		FAILS(EINVAL, mtcp_setconf(&conf));
		*numbers[i] = keep;
	}
	conf.num_cores = 65;
	FAILS(EINVAL, mtcp_setconf(&conf));
	CHECK(strstr(mos_last_error(), "num_cores can be 1 to 64") != NULL);
	conf.num_cores = 1;
	conf.max_concurrency = 0x7fffffff;
	FAILS(EINVAL, mtcp_setconf(&conf));
	conf.max_concurrency = 64;
	conf.rcvbuf_size = 8192;
	conf.tcp_timewait = 0;
	GIVES(0, mtcp_setconf(&conf));
}

static void processes_and_contexts(void)
{
	FAILS(EINVAL, mtcp_core_affinitize(-1));
	FAILS(EINVAL, mtcp_core_affinitize(100000));
	FAILS(EINVAL, mtcp_core_affinitize(1023));
	FAILS_WITH(SIG_ERR, EINVAL, mtcp_register_signal(-1, SIG_IGN));
	FAILS_WITH(SIG_ERR, EINVAL, mtcp_register_signal(0, SIG_IGN));
	FAILS_WITH(SIG_ERR, EINVAL, mtcp_register_signal(65, SIG_IGN));
	FAILS_WITH(SIG_ERR, EINVAL, mtcp_register_signal(SIGKILL, SIG_IGN));
	FAILS_WITH(SIG_ERR, EINVAL, mtcp_register_signal(SIGUSR1, SIG_ERR));
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(-1));
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(1));
	CHECK(strstr(mos_last_error(), "no core 1: num_cores is 1") != NULL);
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(0x7fffffff));

	char not_a_capture[80];
	snprintf(not_a_capture, sizeof(not_a_capture), "pcap:%s", bad_conf);
	char *io = strdup(getenv("MOS_IO"));
	MUST(io != NULL);
	const struct {
		const char *io;
		int number;
	} inputs[] = {
		{ NULL, ENODEV }, { "", ENODEV }, { "dpdk:0", ENODEV }, { "pcap:", ENODEV },
		{ "pcap:no/such.pcap", ENOENT }, { "pcap:/", EISDIR }, { not_a_capture, EINVAL },
		{ "pcap:/dev/null", EINVAL },
	};
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (inputs[i].io != NULL)
			setenv("MOS_IO", inputs[i].io, 1);
		else
			unsetenv("MOS_IO");
		FAILS_WITH(NULL, inputs[i].number, mtcp_create_context(0));
		CHECK(strlen(mos_last_error()) > 10 && strstr(mos_last_error(), "os error") == NULL);
		mtcp_get_connection_cnt((mctx_t)0x10000);
		CHECK(mos_last_error()[0] == 0);
	}
	char both[5000];
	snprintf(both, sizeof(both), "%s,no/such/directory/out.pcap", io);
	setenv("MOS_IO", both, 1);
	FAILS_WITH(NULL, ENOENT, mtcp_create_context(0));
	snprintf(both, sizeof(both), "%s,%s", io, io + strlen("pcap:")); /* onto itself */
	setenv("MOS_IO", both, 1);
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "input") != NULL);
	setenv("MOS_IO", io, 1);
	free(io);
}

static void sockets_from_outside(mctx_t mctx)
{
	int values[] = { 0, 1 << 30 };
	socklen_t len = sizeof(int);

	FAILS(EAFNOSUPPORT, mtcp_socket(mctx, AF_UNIX, MOS_SOCK_MONITOR_STREAM, 0));
	FAILS(EAFNOSUPPORT, mtcp_socket(mctx, -1, MOS_SOCK_MONITOR_STREAM, 0));
	FAILS(ENOSYS, mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0));
	FAILS(ENOSYS, mtcp_socket(mctx, AF_INET, MOS_SOCK_STREAM, 0));
	for (int type = -2; type < 12; type++)
		if (type != 1 && type != 3 && type != 4 && type != 7)
			FAILS(EINVAL, mtcp_socket(mctx, AF_INET, type, 0));
	int wrong[] = { -1, 500, 1 << 30, (int)0x80000000, 0x7fffffff };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		union monitor_filter filter = { .raw_pkt_filter = "tcp" };
		FAILS(EBADF, mtcp_close(mctx, wrong[i]));
		FAILS(EBADF, mtcp_getsockopt(mctx, wrong[i], MON, MOS_TCP_STATE_CLI, values, &len));
		FAILS(EBADF, mtcp_getsockopt(mctx, wrong[i], SOL_SOCKET, SO_ERROR, values, &len));
		FAILS(EBADF, mtcp_setsockopt(mctx, wrong[i], MON, MOS_CLIBUF, values, sizeof(int)));
		FAILS(EBADF, mtcp_setsockopt(mctx, wrong[i], SOL_SOCKET, SO_ERROR, values, sizeof(int)));
		FAILS(EBADF, mtcp_bind_monitor_filter(mctx, wrong[i], &filter));
		FAILS(EBADF, mtcp_register_callback(mctx, wrong[i], MOS_ON_PKT_IN, MOS_NULL, nothing));
		FAILS(EBADF, mtcp_unregister_callback(mctx, wrong[i], MOS_ON_PKT_IN, MOS_NULL));
	}
	FAILS(ENOTSOCK, mtcp_getsockopt(mctx, passive, SOL_SOCKET, SO_ERROR, values, &len));
	FAILS(ENOSYS, mtcp_getsockopt(mctx, passive, 12345, 1, values, &len));
	FAILS(EPERM, mtcp_getsockopt(mctx, passive, MON, MOS_TCP_STATE_CLI, values, &len));
	FAILS(ENOTSOCK, mtcp_setsockopt(mctx, passive, SOL_SOCKET, SO_ERROR, values, sizeof(int)));
	FAILS(ENOSYS, mtcp_setsockopt(mctx, passive, -5, 1, values, sizeof(int)));

	/* Every option name, with every kind of bad value. */
	for (int name = -3; name < 40; name++) {
		int known = name == MOS_CLIBUF || name == MOS_SVRBUF || name == MOS_STOP_MON ||
			    name == MOS_CLIOVERLAP || name == MOS_SVROVERLAP ||
			    name == MOS_FRAG_CLIBUF || name == MOS_FRAG_SVRBUF;
		if (!known) {
			FAILS(ENOSYS, mtcp_setsockopt(mctx, passive, MON, name, values, sizeof(int)));
			FAILS(ENOSYS, mtcp_setsockopt(mctx, passive, MON, name, NULL, 0));
			continue;
		}
		FAILS(EFAULT, mtcp_setsockopt(mctx, passive, MON, name, NULL, sizeof(int)));
		FAILS(EFAULT, mtcp_setsockopt(mctx, passive, MON, name, NULL, 0));
		FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, name, values, 0));
		FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, name, values, 3));
		FAILS(ENOTSOCK, mtcp_setsockopt(mctx, raw, MON, name, values, sizeof(int)));
		values[0] = -1;
		FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, name, values, sizeof(int)));
		values[0] = 0;
	}
	int huge = (16 << 20) + 1, one = 1;
	FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, MOS_CLIBUF, &huge, sizeof(int)));
	FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, MOS_FRAG_SVRBUF, &one, sizeof(int)));
	FAILS(EINVAL, mtcp_setsockopt(mctx, passive, MON, MOS_STOP_MON, &values[1], sizeof(int)));
	GIVES(0, mtcp_setsockopt(mctx, passive, MON, MOS_CLIOVERLAP, values, sizeof(int)));
}

static void filters(mctx_t mctx)
{
	static char *const bad[] = { "tcp dst", "(", ")", "port 70000", "host a.b.c", "tcp) or (tcp", "?", "\xff",
				     "port frob", "and" };
	char *deep = malloc(20002);

	MUST(deep != NULL);
	memset(deep, '(', 20001);
	deep[20001] = 0;
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		char *expression = i < sizeof(bad) / sizeof(bad[0]) ? bad[i] : deep;
		union monitor_filter syn = { .stream_syn_filter = expression };
		union monitor_filter orphan = { .stream_orphan_filter = expression };
		union monitor_filter second = { .stream_syn_filter = "tcp", .stream_orphan_filter = expression };
		union monitor_filter packet = { .raw_pkt_filter = expression };
		syn.stream_orphan_filter = NULL;
		orphan.stream_syn_filter = NULL;
		FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &syn));
		FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &orphan));
		FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &second));
		FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, raw, &packet));
	}
	union monitor_filter udp = { .stream_syn_filter = "udp", .stream_orphan_filter = NULL };
	union monitor_filter none = { .stream_syn_filter = NULL, .stream_orphan_filter = NULL };
	FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &udp));
	CHECK(strstr(mos_last_error(), "udp") != NULL);
	static const struct {
		char *expression, *sentence;
	} hopeless[] = { { "not tcp", "streams are TCP only" }, { "ip6", "family" }, { "udp or ip6", "TCP only" } };
	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++) {
		udp.stream_syn_filter = hopeless[i].expression;
		FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &udp));
		CHECK(strstr(mos_last_error(), hopeless[i].sentence) != NULL);
	}
	/* With the socket's family it is one term too long, and that is said. */
	char *many = malloc(64 * 12);
	MUST(many != NULL);
	strcpy(many, "port 80");
	for (int i = 1; i < 64; i++)
		strcat(many, " or port 80");
	udp.stream_syn_filter = many;
	FAILS(EINVAL, mtcp_bind_monitor_filter(mctx, passive, &udp));
	CHECK(strstr(mos_last_error(), "too many terms") != NULL);
	many[strlen(many) - strlen(" or port 80")] = 0;
	GIVES(0, mtcp_bind_monitor_filter(mctx, passive, &udp));
	free(many);
	udp.stream_syn_filter = "tcp";
	GIVES(0, mtcp_bind_monitor_filter(mctx, passive, &udp));
	udp.raw_pkt_filter = "udp";
	GIVES(0, mtcp_bind_monitor_filter(mctx, raw, &udp));
	GIVES(0, mtcp_bind_monitor_filter(mctx, raw, &none)); /* stays as it is: nothing but UDP */
	GIVES(0, mtcp_bind_monitor_filter(mctx, passive, &none));
	GIVES(0, mtcp_bind_monitor_filter(mctx, passive, NULL));
	GIVES(0, mtcp_bind_monitor_filter(mctx, -1, NULL));
	udp.raw_pkt_filter = "";
	GIVES(0, mtcp_bind_monitor_filter(mctx, raw, &udp)); /* everything again */
	free(deep);
}

static void registrations(mctx_t mctx)
{
	static const event_t quiet = MOS_ON_CONN_START | MOS_ON_REXMIT | MOS_ON_TCP_STATE_CHANGE | MOS_ON_CONN_END;
	static const event_t sides = MOS_ON_CONN_NEW_DATA | MOS_ON_ORPHAN | MOS_ON_ERROR;
	static const int hooks[] = { MOS_NULL, MOS_HK_RCV, MOS_HK_SND };

	for (int bit = 0; bit < 64; bit++)
		for (int h = 0; h < 3; h++) {
			event_t event = (event_t)1 << bit;
			int good = bit < 12 && !(event & (h == 0 ? quiet : sides));
			if (good) {
				GIVES(0, mtcp_register_callback(mctx, passive, event, hooks[h], nothing));
				GIVES(0, mtcp_register_callback(mctx, passive, event, hooks[h], nothing));
				GIVES(0, mtcp_unregister_callback(mctx, passive, event, hooks[h]));
			} else {
				FAILS(EINVAL, mtcp_register_callback(mctx, passive, event, hooks[h], nothing));
				FAILS(EINVAL, mtcp_register_callback(mctx, passive, event, hooks[h], NULL));
			}
		}
	FAILS(ENOENT, mtcp_unregister_callback(mctx, passive, MOS_ON_PKT_IN, MOS_HK_SND));
	FAILS(ENOENT, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN, MOS_HK_SND, NULL));
	FAILS(EINVAL, mtcp_register_callback(mctx, passive, 0, MOS_NULL, nothing));
	FAILS(EINVAL, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN | MOS_ON_ERROR, MOS_NULL, nothing));
	FAILS(EINVAL, mtcp_register_callback(mctx, passive, UINT64_MAX, MOS_NULL, nothing));
	int wrong[] = { 0, 1, -1, MOS_NULL | MOS_HK_RCV, 1 << 28, 0x7fffffff };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		FAILS(EINVAL, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN, wrong[i], nothing));
}

static void from_outside(mctx_t mctx)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	struct pkt_info info;
	struct timeval time = { 1, 0 }, before = { -1, 0 }, less = { 0, -1 };

	bad_handles(mctx);
	FAILS(EBUSY, mtcp_init(bad_conf));
	FAILS_WITH(NULL, EEXIST, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "core 0 has a context") != NULL);
	sockets_from_outside(mctx);
	filters(mctx);
	registrations(mctx);
	end_hosts(mctx, passive, raw);
	GIVES(0, mtcp_get_connection_cnt(mctx));
	/* Only inside of callbacks. */
	FAILS_WITH(EPERM, EPERM, (mtcp_set_uctx(mctx, passive, NULL), errno));
	FAILS_WITH(NULL, EPERM, mtcp_get_uctx(mctx, passive));
	FAILS(EPERM, mtcp_peek(mctx, passive, SVR, buf, sizeof(buf)));
	FAILS(EPERM, mtcp_ppeek(mctx, passive, SVR, buf, sizeof(buf), 0));
	FAILS(EPERM, mtcp_getlastpkt(mctx, passive, SVR, &info));
	FAILS(EPERM, mtcp_getlastpkt(mctx, passive, SVR, NULL));
	FAILS(EPERM, mtcp_setlastpkt(mctx, passive, SVR, 0, NULL, 0, MOS_DROP));
	FAILS(EPERM, mtcp_setlastpkt(mctx, passive, SVR, -1, NULL, 5, 0));
	FAILS(EPERM, mtcp_cb_dropcurpkt(mctx));
	FAILS(EPERM, mtcp_cb_stop(mctx, passive, SVR));
	FAILS(EPERM, mtcp_reset_conn(mctx, passive));
	FAILS(EACCES, mtcp_sendpkt(mctx, passive, NULL));
	memset(&info, 0, sizeof(info));
	FAILS(EPERM, mtcp_sendpkt(mctx, passive, &info));
	FAILS(EBADF, mtcp_getpeername(mctx, -1, (struct sockaddr *)&address, &len, SVR));
	FAILS(EPERM, mtcp_getpeername(mctx, passive, (struct sockaddr *)&address, &len, SVR));
	FAILS_WITH(0, EPERM, mtcp_cb_get_ts(mctx));
	FAILS(EFAULT, mtcp_settimer(mctx, 0, NULL, nothing));
	FAILS(EFAULT, mtcp_settimer(mctx, 0, &time, NULL));
	FAILS(EINVAL, mtcp_settimer(mctx, 0, &before, nothing));
	FAILS(EINVAL, mtcp_settimer(mctx, 0, &less, nothing));
}

/* As many sockets, and timers, as there can be, and one more. */
static void too_many(mctx_t mctx)
{
	struct timeval never = { 1000000000, 0 };
	int sockets[64], n = 0, set = 0;

	while (n < 64 && (sockets[n] = mtcp_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_RAW, 0)) >= 0)
		n++;
	CHECK(n == 62); /* passive and raw are there */
	FAILS(ENFILE, mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0));
	while (n > 0)
		GIVES(0, mtcp_close(mctx, sockets[--n]));
	FAILS(EBADF, mtcp_close(mctx, sockets[0]));
	int next = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	CHECK(next == sockets[61]); /* of the free ones, that which was closed first */
	GIVES(0, mtcp_close(mctx, next));
	while (set < 100000 && mtcp_settimer(mctx, set, &never, nothing) == 0)
		set++;
	CHECK(set > 1000 && set < 100000 && errno == ENOMEM);
}

static void *thread_of_nothing(void *handle)
{
	mctx_t mctx = handle;
	FAILS(EPERM, mtcp_ppeek(mctx, passive, SVR, buf, 10, 0));
	FAILS_WITH(0, EPERM, mtcp_cb_get_ts(mctx));
	return NULL;
}

static void addresses_in_callback(mctx_t mctx, int sock)
{
	struct sockaddr_in two[3];
	socklen_t len;

	for (len = 0; len < 100; len++) {
		for (int side = -1; side < 4; side++) {
			int good = side == 2 ? len == 32 : (side == 0 || side == 1) && len == 16;
			memset(two, 0x5a, sizeof(two));
			if (good)
				GIVES(0, mtcp_getpeername(mctx, sock, (struct sockaddr *)two, &len, side));
			else
				FAILS(EINVAL, mtcp_getpeername(mctx, sock, (struct sockaddr *)two, &len, side));
			CHECK(((unsigned char *)two)[good ? len : 0] == 0x5a);
		}
	}
	len = 16;
	FAILS(EFAULT, mtcp_getpeername(mctx, sock, NULL, &len, SVR));
	FAILS(EFAULT, mtcp_getpeername(mctx, sock, (struct sockaddr *)two, NULL, SVR));
	FAILS(EBADF, mtcp_getpeername(mctx, -1, (struct sockaddr *)two, &len, SVR));
	FAILS(EBADF, mtcp_getpeername(mctx, sock + 50, (struct sockaddr *)two, &len, SVR));
	FAILS(ENOTCONN, mtcp_getpeername(mctx, passive, (struct sockaddr *)two, &len, SVR));
	FAILS(ENOTCONN, mtcp_getpeername(mctx, raw, (struct sockaddr *)two, &len, SVR));
}

static void options_in_callback(mctx_t mctx, int sock)
{
	uint64_t value[8];
	socklen_t len;

	memset(value, 0x5a, sizeof(value));
	for (int name = -3; name < 40; name++) {
		int known = name >= 1 && name <= 7;
		len = sizeof(int);
		FAILS(ENOTSOCK, mtcp_getsockopt(mctx, passive, MON, name, value, &len));
		FAILS(ENOTSOCK, mtcp_getsockopt(mctx, raw, MON, name, value, &len));
		FAILS(EBADF, mtcp_getsockopt(mctx, sock + 50, MON, name, value, &len));
		if (!known) {
			FAILS(ENOSYS, mtcp_getsockopt(mctx, sock, MON, name, value, &len));
			continue;
		}
		FAILS(EFAULT, mtcp_getsockopt(mctx, sock, MON, name, NULL, &len));
		FAILS(EFAULT, mtcp_getsockopt(mctx, sock, MON, name, value, NULL));
		len = 0;
		FAILS(EINVAL, mtcp_getsockopt(mctx, sock, MON, name, value, &len));
		CHECK(len == 0);
		if (name == MOS_INFO_CLIBUF || name == MOS_INFO_SVRBUF) {
			len = 15;
			FAILS(EINVAL, mtcp_getsockopt(mctx, sock, MON, name, value, &len));
			len = 17;
			FAILS(EINVAL, mtcp_getsockopt(mctx, sock, MON, name, value, &len));
		}
		CHECK(value[0] == 0x5a5a5a5a5a5a5a5aull);
	}
	len = sizeof(int);
	FAILS(ENOTSOCK, mtcp_getsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, value, &len));
	int none = 3;
	FAILS(EINVAL, mtcp_setsockopt(mctx, sock, MON, MOS_STOP_MON, &none, sizeof(none)));
	int no_policy = 14;
	FAILS(EINVAL, mtcp_setsockopt(mctx, sock, MON, MOS_CLIOVERLAP, &no_policy, sizeof(no_policy)));
	none = 1 << 30;
	FAILS(EINVAL, mtcp_setsockopt(mctx, sock, MON, MOS_SVRBUF, &none, sizeof(none)));
	FAILS(EINVAL, mtcp_setsockopt(mctx, sock, MON, MOS_FRAG_SVRBUF, &none, sizeof(none)));
	FAILS(EBADF, mtcp_cb_stop(mctx, -1, SVR));
	FAILS(EBADF, mtcp_cb_stop(mctx, sock + 50, SVR));
	FAILS(ENOTSOCK, mtcp_cb_stop(mctx, raw, SVR));
	FAILS(EINVAL, mtcp_cb_stop(mctx, sock, 3));
	FAILS(EINVAL, mtcp_cb_stop(mctx, sock, -1));
}

/* Packets of the program's own. */
static void sends_in_callback(mctx_t mctx, int sock)
{
	struct pkt_info info, bad;

	GIVES(0, mtcp_getlastpkt(mctx, sock, SVR, &info));
	FAILS(EACCES, mtcp_sendpkt(mctx, sock, NULL));
	bad = info;
	bad.iph = NULL;
	FAILS(ENODATA, mtcp_sendpkt(mctx, sock, &bad));
	bad = info;
	bad.tcph = NULL;
	FAILS(ENODATA, mtcp_sendpkt(mctx, sock, &bad));
	FAILS(EBADF, mtcp_sendpkt(mctx, -1, &info));
	FAILS(EBADF, mtcp_sendpkt(mctx, sock + 50, &info));
	GIVES(0, mtcp_sendpkt(mctx, passive, &info));
	GIVES(0, mtcp_sendpkt(mctx, raw, &info));
	bad = info;
	bad.payload = NULL;
	FAILS(EFAULT, mtcp_sendpkt(mctx, sock, &bad));
	/* More than a packet can have. */
	bad = info;
	bad.payloadlen = 65535;
	bad.payload = malloc(65535);
	MUST(bad.payload != NULL);
	memset(bad.payload, 1, 65535);
	FAILS(EMSGSIZE, mtcp_sendpkt(mctx, sock, &bad));
	free(bad.payload);
	FAILS(EBADF, mtcp_reset_conn(mctx, -1));
	FAILS(EBADF, mtcp_reset_conn(mctx, sock + 50));
	FAILS(ENOTSOCK, mtcp_reset_conn(mctx, passive));
	FAILS(ENOTSOCK, mtcp_reset_conn(mctx, raw));
}

static void packets_in_callback(mctx_t mctx, int sock)
{
	struct pkt_info info;
	byte data[4] = { 0 };

	FAILS(EBADF, mtcp_getlastpkt(mctx, -1, SVR, &info));
	FAILS(EBADF, mtcp_getlastpkt(mctx, sock + 50, SVR, &info));
	FAILS(EFAULT, mtcp_getlastpkt(mctx, sock, SVR, NULL));
	GIVES(0, mtcp_getlastpkt(mctx, sock, 1234, &info)); /* the side does not matter */
	clones(&info);
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, -1, data, 1, MOS_IP_HDR | MOS_OVERWRITE));
	FAILS(EAGAIN, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, MOS_IP_HDR));
	FAILS(EAGAIN, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, 0));
	FAILS(EAGAIN, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, MOS_DROP | MOS_OVERWRITE));
	FAILS(EAGAIN, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, -1));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 11, data, 4, MOS_ETH_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 17, data, 4, MOS_IP_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 17, data, 4, MOS_TCP_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 0x7fffffffffffffff, data, 65535, MOS_TCP_PAYLOAD | MOS_OVERWRITE));
	FAILS(EFAULT, mtcp_setlastpkt(mctx, sock, SVR, 0, NULL, 4, MOS_IP_HDR | MOS_OVERWRITE));
	FAILS(EACCES, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 4, MOS_ETH_HDR | MOS_CHOMP));
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 4, MOS_IP_HDR | MOS_CHOMP));
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(mctx, sock, SVR, 99, NULL, 4, MOS_TCP_HDR | MOS_INSERT));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, info.payloadlen, NULL, 1, MOS_TCP_PAYLOAD | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, info.payloadlen, NULL, 1, MOS_TCP_PAYLOAD | MOS_CHOMP));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, info.payloadlen + 1, data, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
	FAILS(EFAULT, mtcp_setlastpkt(mctx, sock, SVR, 0, NULL, 1, MOS_TCP_PAYLOAD | MOS_INSERT));
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 4, MOS_TCP_PAYLOAD | MOS_INSERT)); /* MOS_HK_RCV */
	FAILS(EOPNOTSUPP, mtcp_setlastpkt(mctx, sock, SVR, 0, NULL, 4, MOS_TCP_PAYLOAD | MOS_CHOMP));
	CHECK(strstr(mos_last_error(), "hook") != NULL);
	/* What would make it another packet: octets 0 and 9 of IP, 12 of TCP. */
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 0, data, 1, MOS_IP_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 6, data, 4, MOS_IP_HDR | MOS_OVERWRITE));
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 12, data, 1, MOS_TCP_HDR | MOS_OVERWRITE));
	/* Nothing to change is no change. */
	GIVES(0, mtcp_setlastpkt(mctx, sock, SVR, 0, NULL, 0, MOS_TCP_PAYLOAD | MOS_INSERT));
	GIVES(0, mtcp_setlastpkt(mctx, sock, SVR, 20, NULL, 0, MOS_IP_HDR | MOS_OVERWRITE));
	/* Of several parts the first. */
	FAILS(EINVAL, mtcp_setlastpkt(mctx, sock, SVR, 14, data, 1, MOS_ETH_HDR | MOS_TCP_PAYLOAD | MOS_OVERWRITE));
	GIVES(0, mtcp_setlastpkt(mctx, -1, 77, 0, NULL, 0, MOS_DROP)); /* all else does not matter */
}

/* Everything that a callback can do wrong. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (++calls != 4) /* the first packet with payload */
		return;
	bad_handles(mctx);
	FAILS_WITH(EBADF, EBADF, (mtcp_set_uctx(mctx, -1, buf), errno));
	FAILS_WITH(EBADF, EBADF, (mtcp_set_uctx(mctx, sock + 50, buf), errno));
	FAILS_WITH(NULL, EBADF, mtcp_get_uctx(mctx, 1 << 30));
	FAILS(EBADF, mtcp_peek(mctx, -1, SVR, buf, sizeof(buf)));
	FAILS(EBADF, mtcp_peek(mctx, sock + 50, SVR, buf, sizeof(buf)));
	FAILS(ENOTSOCK, mtcp_peek(mctx, passive, SVR, buf, sizeof(buf)));
	FAILS(ENOTSOCK, mtcp_peek(mctx, raw, SVR, buf, sizeof(buf)));
	FAILS(EINVAL, mtcp_peek(mctx, sock, MOS_SIDE_BOTH, buf, sizeof(buf)));
	FAILS(EINVAL, mtcp_peek(mctx, sock, -1, buf, sizeof(buf)));
	FAILS(EFAULT, mtcp_peek(mctx, sock, SVR, NULL, 1));
	FAILS(EFAULT, mtcp_peek(mctx, sock, SVR, NULL, SIZE_MAX));
	GIVES(0, mtcp_peek(mctx, sock, SVR, NULL, 0));
	GIVES(0, mtcp_peek(mctx, sock, SVR, buf, 0));
	addresses_in_callback(mctx, sock);
	options_in_callback(mctx, sock);
	sends_in_callback(mctx, sock);
	packets_in_callback(mctx, sock);
	end_hosts(mctx, passive, raw);
	utilities();
	GIVES(1, mtcp_get_connection_cnt(mctx)); /* the one of this packet */
	union monitor_filter filter = { .stream_syn_filter = "tcp", .stream_orphan_filter = NULL };
	FAILS(ENOPROTOOPT, mtcp_bind_monitor_filter(mctx, sock, &filter));
	FAILS_WITH(EDEADLK, EDEADLK, (mtcp_app_join(mctx), errno));
	FAILS_WITH(NULL, EEXIST, mtcp_create_context(0));
	FAILS(EBUSY, mtcp_init(bad_conf));
	/* What works from outside works here, too. */
	int more = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	CHECK(more >= 0);
	GIVES(0, mtcp_register_callback(mctx, more, MOS_ON_PKT_IN, MOS_NULL, nothing));
	GIVES(0, mtcp_close(mctx, more));
	FAILS(EBADF, mtcp_register_callback(mctx, more, MOS_ON_PKT_IN, MOS_NULL, nothing));
	/* Other threads have no callback, even while this one runs; and they do not wait for it where they need not. */
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, thread_of_nothing, mctx) == 0);
	pthread_join(thread, NULL);
}

static void on_raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	raw_calls++;
	CHECK(sock == raw && side == MOS_SIDE_BOTH && event == MOS_ON_PKT_IN);
	FAILS(ENOTSOCK, mtcp_peek(mctx, sock, SVR, buf, sizeof(buf)));
	FAILS(ESOCKTNOSUPPORT, mtcp_ppeek(mctx, sock, SVR, buf, sizeof(buf), 0));
}

static void on_quiet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info info;
	(void)side, (void)arg;
	/* New data and ends have no packet. */
	FAILS(ENODATA, mtcp_getlastpkt(mctx, sock, SVR, &info));
	FAILS(ENODATA, mtcp_setlastpkt(mctx, sock, SVR, 0, NULL, 0, MOS_DROP));
	FAILS(ENODATA, mtcp_setlastpkt(mctx, sock, SVR, -1, NULL, 5, 0));
	FAILS(ENODATA, mtcp_cb_dropcurpkt(mctx));
	if (event == MOS_ON_CONN_END)
		FAILS(ENOTCONN, mtcp_reset_conn(mctx, sock));
}

static void on_timer(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info info;
	(void)id, (void)side, (void)event, (void)arg;
	timer_calls++;
	FAILS(ENODATA, mtcp_getlastpkt(mctx, passive, SVR, &info));
	FAILS(EBADF, mtcp_getlastpkt(mctx, -1, SVR, &info));
	FAILS(ENODATA, mtcp_setlastpkt(mctx, passive, SVR, 0, NULL, 0, MOS_DROP));
	FAILS(ENODATA, mtcp_cb_dropcurpkt(mctx));
	FAILS(ENOTSOCK, mtcp_reset_conn(mctx, passive));
	FAILS_WITH(EDEADLK, EDEADLK, (mtcp_app_join(mctx), errno));
	CHECK(mtcp_cb_get_ts(mctx) != 0);
}

int main(int argc, char **argv)
{
	struct timeval soon = { 0, 50000 };
	mctx_t mctx;

	if (argc != 2)
		return 2;
	snprintf(bad_conf, sizeof(bad_conf), "misuse-%d.conf", (int)getpid());
	CHECK(mos_last_error() != NULL && mos_last_error()[0] == 0);
	utilities();
	before_init();
	bad_files();
	GIVES(0, mtcp_init(argv[1]));
	bad_handles((mctx_t)0x10000);
	configuration();
	processes_and_contexts();

	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	CHECK(mctx->cpu == 0);
	passive = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	MUST(passive >= 0 && raw >= 0 && passive != raw);
	from_outside(mctx);
	GIVES(0, mtcp_settimer(mctx, 3, &soon, on_timer));
	too_many(mctx);
	mctx->cpu = 77; /* the program's own business */

	GIVES(0, mtcp_register_callback(mctx, raw, MOS_ON_PKT_IN, MOS_NULL, on_raw));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_quiet));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_CONN_END, MOS_HK_RCV, on_quiet));
	GIVES(0, mtcp_register_callback(mctx, passive, MOS_ON_PKT_IN, MOS_HK_RCV, on_packet));
	mtcp_app_join(mctx);
	CHECK(calls == 26 && raw_calls == 26 && timer_calls == 1);
	mtcp_app_join(mctx); /* again: at once */

	GIVES(0, mtcp_close(mctx, passive)); /* still works */
	FAILS(EBADF, mtcp_close(mctx, passive));
	FAILS(EPERM, mtcp_ppeek(mctx, raw, SVR, buf, 10, 0));
	GIVES(0, mtcp_destroy_context(mctx));
	bad_handles(mctx);
	bad_handle(mctx);
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	GIVES(12345, (mtcp_free_context(mctx), errno)); /* ends it, when nobody did */
	bad_handle(mctx);
	GIVES(0, mtcp_destroy());
	FAILS(EPERM, mtcp_destroy());
	bad_handle(mctx);
	unlink(bad_conf);
	return report();
}
