/*
 * Programs that do what nobody expects: inside of callbacks, from many threads, from signal handlers at any moment, in
 * children, and when there is nothing left to be had. usage: attack PART MOS_CONF
 */
#include "monitor.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include "mos_ext.h"

static void nothing(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
}

static void count(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	received++;
}

/* ---- callbacks ----------------------------------------------------------------------------------------------- */

static int raw, first_sock = -1;

/* At a passive socket that is closed, and at a raw one, nothing is called any more, and the running callback ends in peace. */
static void saw_off_raw(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	orphans++;
	GIVES(0, mtcp_unregister_callback(m, sock, MOS_ON_PKT_IN, MOS_NULL));
	FAILS(ENOENT, mtcp_unregister_callback(m, sock, MOS_ON_PKT_IN, MOS_NULL));
	GIVES(0, mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_NULL, saw_off_raw));
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p));
	GIVES(0, mtcp_close(m, sock));
	FAILS(EBADF, mtcp_close(m, sock));
	FAILS(EBADF, mtcp_getlastpkt(m, sock, side, &p));
	FAILS(EBADF, mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_NULL, saw_off_raw));
	/* The number is another socket's at once. */
	int again[64], n = 0;
	while (n < 64 && (again[n] = mtcp_socket(m, AF_INET6, MOS_SOCK_MONITOR_RAW, 0)) >= 0 && again[n] != sock)
		n++;
	CHECK(n < 64 && again[n] == sock);
	for (int i = 0; i <= n && i < 64; i++)
		GIVES(0, mtcp_close(m, again[i]));
}

static void saw_off(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	received++;
	if (first_sock < 0)
		first_sock = sock;
	CHECK(sock == first_sock);
	if (received == 1) { /* the template goes; the connection stays */
		GIVES(0, mtcp_close(m, monitor));
		FAILS(EBADF, mtcp_unregister_callback(m, monitor, MOS_ON_PKT_IN, MOS_HK_SND));
	}
	if (received == 3) { /* with the next hook it is gone; this one is not raised again by what it is given */
		GIVES(0, mtcp_unregister_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_SND));
		GIVES(0, mtcp_register_callback(m, sock, MOS_ON_CONN_END, MOS_HK_RCV, on_orphan));
		for (int i = 0; i < 200; i++)
			GIVES(0, mtcp_register_callback(m, sock, MOS_ON_REXMIT, MOS_HK_RCV, i % 2 ? nothing : count));
	}
	(void)side;
}

static void saws(void)
{
	open_monitor(AF_INET);
	raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(mctx, raw, MOS_ON_PKT_IN, MOS_NULL, saw_off_raw));
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, saw_off);
	run();
	CHECK(received == 3 && orphans == 1 + 2); /* the raw socket's, and both ends of the first connection */
}

/* Filters below each other, of which one destroys the context: nothing below, beside or behind it is asked or called. */
static int depth;

static bool descends(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	int level = *(int *)arg->arg;
	(void)side, (void)event;

	starts++;
	if (level != depth)
		return true;
	GIVES(0, mtcp_destroy_context(m));
	FAILS(EACCES, mtcp_destroy_context(m));
	FAILS(EACCES, mtcp_getlastpkt(m, sock, side, &p));
	FAILS(EACCES, mtcp_raise_event(m, event));
	FAILS(EACCES, mtcp_register_callback(m, sock, event, MOS_HK_SND, nothing));
	FAILS_WITH(NULL, EACCES, mtcp_get_uctx(m, sock));
	FAILS_WITH(EACCES, EACCES, (mtcp_app_join(m), errno));
	/* Events belong to the process. */
	CHECK(mtcp_define_event(MOS_ON_PKT_IN, descends, arg) >= 4096);
	return true;
}

static void filters(void)
{
	for (depth = 0; depth < 16; depth++) {
		open_monitor(AF_INET);
		event_t at = MOS_ON_PKT_IN;
		for (int level = 0; level < 16; level++) {
			struct filter_arg arg = { &level, sizeof(level) };
			at = mtcp_define_event(at, descends, &arg);
			CHECK(at >= 4096);
			listen_to(at, MOS_HK_SND, count);
		}
		listen_to(MOS_ON_PKT_IN, MOS_HK_RCV, count);
		mctx_t old = mctx;
		mtcp_app_join(mctx);
		CHECK(starts == depth + 1 && received == depth);
		FAILS(EACCES, mtcp_destroy_context(old));
	}
}

/* A callback that destroys the other context, and makes new ones, of its own core too. */
static mctx_t contexts[2], made;
static int made_packets;

static void in_new_context(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	CHECK(m == made);
	made_packets++;
}

static void set_up(mctx_t m)
{
	int sock = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	MUST(sock >= 0);
	GIVES(0, mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_NULL, in_new_context));
}

static void replace(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;

	if (received++ > 0)
		return;
	int own = m == contexts[0] ? 0 : 1;
	FAILS_WITH(NULL, EEXIST, mtcp_create_context(own));
	FAILS_WITH(NULL, EEXIST, mtcp_create_context(!own));
	GIVES(0, mtcp_destroy_context(contexts[!own]));
	FAILS(EACCES, mtcp_socket(contexts[!own], AF_INET, MOS_SOCK_MONITOR_RAW, 0));
	GIVES(0, mtcp_destroy_context(m));
	/* While this one's callback still runs, the other one must not write the same file. */
	if (strchr(getenv("MOS_IO"), ',') != NULL) {
		FAILS_WITH(NULL, EBUSY, mtcp_create_context(own));
		CHECK(strstr(mos_last_error(), "output") != NULL);
		return;
	}
	made = mtcp_create_context(own);
	MUST(made != NULL && made != m);
	set_up(made);
	FAILS(EACCES, mtcp_getlastpkt(m, sock, side, &p));
	FAILS(EPERM, mtcp_getlastpkt(made, sock, side, &p));
}

static void replaces(void)
{
	struct mtcp_conf conf;

	GIVES(0, mtcp_getconf(&conf));
	conf.num_cores = 2;
	GIVES(0, mtcp_setconf(&conf));
	for (int i = 0; i < 2; i++) {
		contexts[i] = mtcp_create_context(i);
		MUST(contexts[i] != NULL);
	}
	for (int i = 0; i < 2; i++) {
		int sock = mtcp_socket(contexts[i], AF_INET, MOS_SOCK_MONITOR_RAW, 0);
		GIVES(0, mtcp_register_callback(contexts[i], sock, MOS_ON_PKT_IN, MOS_NULL, replace));
	}
	mtcp_app_join(contexts[1]); /* there is one connection, of queue 1 */
	mtcp_app_join(contexts[0]);
	CHECK(received == 1);
	if (made == NULL) {
		made = mtcp_create_context(1); /* it waits for the one before */
		MUST(made != NULL);
		set_up(made);
	}
	errno = 12345;
	mtcp_app_join(made);
	CHECK(errno == 12345 && made_packets == 26);
	GIVES(0, mtcp_destroy_context(made));
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

static mctx_t volatile shared; /* of the storm: NULL, alive or dead */
static int volatile busy;
static long done[2];

/* Whatever it comes to, errno says it; nothing else is known, as another thread destroys at any time. */
#define ANY(failed, call)                                                       \
	do {                                                                    \
		errno = 12345;                                                  \
		int failed_ = (call) == (failed);                               \
		CHECK(failed_ ? errno != 12345 && errno != EIO : errno == 12345); \
		__atomic_add_fetch(&done[failed_], 1, __ATOMIC_RELAXED);        \
	} while (0)

static bool never(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	return false;
}

static void any_call(mctx_t m, int sock, unsigned n)
{
	static const event_t events[] = { MOS_ON_PKT_IN, MOS_ON_CONN_END, MOS_ON_REXMIT };
	struct timeval time = { 0, (int)(n % 3) * 1000 };
	struct filter_arg arg = { &n, sizeof(n) };
	struct mos_connection connection;
	struct mtcp_conf conf;
	struct mos_stats stats;
	struct pkt_info info;
	union monitor_filter filter = { .stream_syn_filter = "tcp port 80", .stream_orphan_filter = NULL };
	int value = (int)(n % 3);

	n /= 16;
	switch (n++ % 16) {
	case 0: ANY(-1, mtcp_register_callback(m, sock, events[n % 3], MOS_HK_SND, n % 2 ? count : nothing)); break;
	case 1: ANY(-1, mtcp_register_callback(m, sock, events[n % 3], MOS_HK_RCV, NULL)); break;
	case 2: ANY(-1, mtcp_settimer(m, 1, &time, nothing)); break;
	case 3: ANY(-1, mos_cancel_timer(m, 1, NULL)); break;
	case 4: ANY(-1, mtcp_close(m, sock)); break;
	case 5: ANY(-1, mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_STOP_MON, &value, sizeof(value))); break;
	case 6: ANY(-1, mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVRBUF, &value, sizeof(value))); break;
	case 7: ANY(-1, mtcp_getconf(&conf)); break;
	case 8: ANY(-1, mtcp_getconf(&conf)); ANY(-1, mtcp_setconf(&conf)); break;
	case 9: arg.len = sizeof(value), arg.arg = &value; ANY(0, mtcp_define_event(1 << n % 12, never, &arg)); break;
	case 10: ANY(-1, mtcp_bind_monitor_filter(m, sock, &filter)); break;
	case 11: ANY(-1, mos_get_connection(m, sock, &connection, sizeof(connection))); break;
	case 12: ANY(-1, mos_get_stats(m, &stats, sizeof(stats))); break;
	case 13: ANY(-1, mos_reset(m, sock)); break;
	case 14: ANY(-1, mtcp_getlastpkt(m, sock, 0, &info)); break;
	case 15: ANY(-1, mos_send(m, 0, "frame of no interest", 20)); break;
	}
}

static void *storm(void *seed)
{
	unsigned n = (unsigned)(uintptr_t)seed;
	int sock = 0;

	while (busy) {
		mctx_t m = shared;
		n = n * 1103515245 + 12345;
		if (n >> 28 == 0) {
			int more = mtcp_socket(m, AF_INET, n & 1 << 20 ? MOS_SOCK_MONITOR_STREAM : MOS_SOCK_MONITOR_RAW, 0);
			sock = more >= 0 ? more : sock;
		}
		any_call(m, n >> 27 == 2 ? (int)(n >> 16 & 63) : sock, n >> 8);
	}
	return NULL;
}

static void *end_it(void *after)
{
	usleep((useconds_t)(uintptr_t)after);
	mtcp_destroy_context(shared);
	return NULL;
}

/* Threads that do everything while packets come, and one that ends it. */
static void storms(void)
{
	pthread_t threads[4], end;

	busy = 1;
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, storm, (void *)(uintptr_t)(i + 1)) == 0);
	for (int round = 0; round < 150; round++) {
		open_monitor(AF_INET);
		shared = mctx;
		mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, count);
		CHECK(pthread_create(&end, NULL, end_it, (void *)(uintptr_t)(round % 10 * 500)) == 0);
		mtcp_app_join(mctx);
		mtcp_destroy_context(mctx);
		FAILS(EACCES, mtcp_close(mctx, monitor));
		pthread_join(end, NULL);
	}
	busy = 0;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(done[0] > 1000 && done[1] > 1000);
}

/* ---- signals ------------------------------------------------------------------------------------------------- */

static int volatile alarms, destroyed;

static void on_alarm(int signum)
{
	(void)signum;
	alarms++;
	destroyed += mtcp_destroy_context(shared) == 0;
}

static void ring_every(int micros)
{
	struct itimerval time = { { 0, micros }, { 0, micros } };
	CHECK(setitimer(ITIMER_REAL, &time, NULL) == 0);
}

static void busy_callback(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char octets[100];
	(void)event, (void)arg;
	/* Calls that a handler interrupts on this thread. */
	for (int i = 0; i < 20; i++) {
		mtcp_getlastpkt(m, sock, side, &p);
		mtcp_ppeek(m, sock, side, octets, sizeof(octets), 0);
		mtcp_register_callback(m, sock, MOS_ON_REXMIT, MOS_HK_RCV, nothing);
		mtcp_define_event(MOS_ON_PKT_IN, never, NULL);
	}
}

/* A handler that destroys, at any moment of everything: of the main thread, and, when that blocks the signal, of the stack. */
static void alarmed(void)
{
	sigset_t alarm_only;

	alarm(0);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	CHECK(mtcp_register_signal(SIGALRM, on_alarm) == SIG_DFL);
	for (int round = 0; round < 400; round++) {
		shared = NULL;
		ring_every(50 + round * 37 % 2000);
		mctx = mtcp_create_context(0);
		MUST(mctx != NULL);
		if (round % 2)
			pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
		shared = mctx;
		monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
		mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, busy_callback);
		mtcp_app_join(mctx);
		pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
		mtcp_destroy_context(mctx);
		FAILS(EACCES, mtcp_destroy_context(mctx));
	}
	ring_every(0);
	CHECK(mtcp_register_signal(SIGALRM, SIG_DFL) == on_alarm);
	alarm(120);
	CHECK(alarms > 100 && destroyed > 50);
}

/* ---- processes ----------------------------------------------------------------------------------------------- */

/* The child has no context: its threads are not there. */
static void in_child(void)
{
	struct timeval second = { 1, 0 };
	int zero = 0;

	checks = failures = 0;
	FAILS(EACCES, mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0));
	FAILS(EACCES, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, count));
	FAILS(EACCES, mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_CLIBUF, &zero, sizeof(zero)));
	FAILS(EACCES, mtcp_settimer(mctx, 1, &second, nothing));
	FAILS(EACCES, mtcp_getlastpkt(mctx, monitor, CLI, &p));
	FAILS_WITH(0, EACCES, mtcp_cb_get_ts(mctx));
	FAILS_WITH(EACCES, EACCES, (mtcp_app_join(mctx), errno));
	FAILS(EACCES, mtcp_destroy_context(mctx));
	FAILS_WITH(EACCES, EACCES, (mtcp_free_context(mctx), errno));
	CHECK(mos_abi_version() == MOS_ABI_VERSION);
}

static int end_of(pid_t child)
{
	int status = -1;

	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

static void fork_in_callback(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (++received != 2)
		return;
	pid_t child = fork();
	if (child == 0) {
		in_child();
		_exit(failures != 0);
	}
	CHECK(end_of(child) == 0);
	GIVES(0, mtcp_getlastpkt(m, sock, side, &p)); /* here nothing has changed */
}

static void forks(void)
{
	for (int round = 0; round < 30; round++) {
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, fork_in_callback);
		usleep((useconds_t)(round % 3 * 100));
		pid_t child = fork();
		if (child == 0) {
			in_child();
			if (round % 2)
				_exit(failures != 0);
			exit(failures != 0); /* nothing of ours waits for threads that are not there */
		}
		CHECK(end_of(child) == 0);
		run();
		CHECK(received == 26);
	}
	/* A child of a process without contexts is like any other: it can have its own. */
	pid_t child = fork();
	if (child == 0) {
		checks = failures = 0;
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, count);
		run();
		_exit(failures != 0 || received != 26);
	}
	CHECK(end_of(child) == 0);
	CHECK(received == 26);
}

/* A child that goes on as if it were its parent: it ends, and the output stays the parent's. */
static void fork_and_return(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	if (++received % 5 != 0)
		return;
	pid_t child = fork();
	if (child == 0)
		return;
	int status = end_of(child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void returns(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, fork_and_return);
	run();
	CHECK(received == 26);
}

/* Ends without a word, while a context runs, and inside of a callback. */
static void end_in_callback(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	if (++received == 5)
		exit(report());
}

static void leaves_in_callback(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, end_in_callback);
	mtcp_app_join(mctx);
	CHECK(!"it ends before");
}

static void slowly(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	usleep(1000);
}

static void leaves(void)
{
	open_monitor(AF_INET);
	listen_to(MOS_ON_PKT_IN, MOS_HK_SND, slowly);
	GIVES(0, mtcp_destroy());
	usleep(210000); /* until it runs */
	exit(report());
}

/* ---- nothing left -------------------------------------------------------------------------------------------- */

/* No descriptors: a context cannot be made, and says why; there are none fewer afterwards. */
static void poor(void)
{
	struct rlimit before, none;
	int unused = open("/dev/null", O_RDONLY);

	MUST(unused >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
	close(unused);
	for (int round = 0; round < 20; round++) {
		none = before;
		none.rlim_cur = (rlim_t)unused;
		CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
		FAILS_WITH(NULL, EMFILE, mtcp_create_context(0));
		CHECK(strlen(mos_last_error()) > 10);
		CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
		open_monitor(AF_INET);
		listen_to(MOS_ON_PKT_IN, MOS_HK_SND, count);
		run();
		CHECK(received == 26);
	}
	int after = open("/dev/null", O_RDONLY);
	CHECK(after == unused);
	close(after);
}

int main(int argc, char **argv)
{
	static const struct part parts[] = {
		{ "saws", saws },
		{ "filters", filters },
		{ "replaces", replaces },
		{ "storms", storms },
		{ "alarmed", alarmed },
		{ "forks", forks },
		{ "returns", returns },
		{ "leaves_in_callback", leaves_in_callback },
		{ "leaves", leaves },
		{ "poor", poor },
	};

	return run_part(parts, sizeof(parts) / sizeof(parts[0]), argc, argv);
}
