/*
 * The life of contexts: when reading begins and ends, who may end it, and what time it is. usage: runs WHAT MOS_CONF
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

static mctx_t mctx;
static int sock;
static volatile int packets, in_callback, after_destroy, handled, pause_us;
static pthread_t stack_thread;

static void on_raw(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)s, (void)side, (void)event, (void)arg;
	in_callback = 1;
	stack_thread = pthread_self();
	packets++;
	if (pause_us > 0)
		usleep((useconds_t)pause_us);
	in_callback = 0;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for(volatile int *what, int least, double most)
{
	double end = seconds() + most;
	while (*what < least && seconds() < end)
		usleep(1000);
	CHECK(*what >= least);
}

static void open_raw(callback_t cb)
{
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	MUST(sock >= 0);
	if (cb != NULL)
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, cb));
	packets = after_destroy = handled = 0;
}

/* The calling thread runs where it is told to. */
static void pinned(void)
{
	cpu_set_t before, after;
	int cpu = 0;

	CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
	while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &before))
		cpu++;
	GIVES(0, mtcp_core_affinitize(cpu));
	CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
	CHECK(CPU_COUNT(&after) == 1 && CPU_ISSET(cpu, &after));
	CHECK(sched_setaffinity(0, sizeof(before), &before) == 0);
}

/* Without mtcp_app_join() reading begins when nothing was set up for a while, and not without anything to call. */
static void begins(void)
{
	open_raw(NULL);
	usleep(500000);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, on_raw));
	for (int i = 0; i < 6; i++) { /* as long as something is set up */
		usleep(80000);
		CHECK(packets == 0);
		GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, on_raw));
	}
	wait_for(&packets, 26, 5);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(packets == 26);

	/* A timer is enough. Joining begins at once. */
	open_raw(on_raw);
	double start = seconds();
	mtcp_app_join(mctx);
	CHECK(seconds() - start < 0.15);
	CHECK(packets == 26);
	GIVES(0, mtcp_destroy_context(mctx));
}

static void on_raw_destroy(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (packets++ > 0) {
		after_destroy++;
		return;
	}
	GIVES(0, mtcp_destroy_context(m));
	FAILS(EACCES, mtcp_destroy_context(m));
	struct pkt_info p;
	FAILS(EACCES, mtcp_getlastpkt(m, s, 0, &p));
	FAILS(EACCES, mtcp_register_callback(m, s, MOS_ON_PKT_IN, MOS_NULL, NULL));
	usleep(50000);
}

static void destroyed_by_a_callback(void)
{
	mctx_t old;
	open_raw(on_raw_destroy);
	old = mctx;
	mtcp_app_join(mctx); /* until the callback has returned */
	CHECK(packets == 1 && after_destroy == 0);
	FAILS(EACCES, mtcp_destroy_context(old));
	for (int i = 0; i < 300; i++) { /* more than there are slots; each is good for the same core */
		mctx = mtcp_create_context(0);
		MUST(mctx != NULL && (i > 250 || mctx != old));
		if (i < 250)
			FAILS(EACCES, mtcp_socket(old, AF_INET, MOS_SOCK_MONITOR_RAW, 0));
		GIVES(0, mtcp_destroy_context(mctx));
	}
	CHECK(packets == 1);
}

static volatile int long_done;

static void on_raw_long(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)side, (void)event, (void)arg;
	packets++;
	if (packets > 1)
		return;
	usleep(200000);
	/* Somebody destroys the context meanwhile; this callback still ends in peace. */
	GIVES(0, mtcp_getlastpkt(m, s, 0, &p));
	CHECK(mtcp_cb_get_ts(m) != 0);
	GIVES(0, mtcp_register_callback(m, s, MOS_ON_PKT_IN, MOS_NULL, on_raw_long));
	long_done = 1;
}

static void *destroy_it(void *unused)
{
	(void)unused;
	wait_for(&packets, 1, 5);
	usleep(50000);
	CHECK(long_done == 0);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(long_done == 1);
	return NULL;
}

static void destroyed_by_a_thread(void)
{
	pthread_t thread;
	open_raw(on_raw_long);
	CHECK(pthread_create(&thread, NULL, destroy_it, NULL) == 0);
	mtcp_app_join(mctx);
	CHECK(long_done == 1 && packets == 1);
	pthread_join(thread, NULL);
	FAILS(EACCES, mtcp_destroy_context(mctx));
}

static void handler_destroys(int signum)
{
	(void)signum;
	handled++;
	mtcp_destroy_context(mctx);
}

static void *interrupt_process(void *signum)
{
	wait_for(&packets, 3, 5);
	kill(getpid(), (int)(intptr_t)signum);
	return NULL;
}

static void *interrupt_stack(void *signum)
{
	wait_for(&packets, 3, 5);
	pthread_kill(stack_thread, (int)(intptr_t)signum);
	return NULL;
}

static void signalled(void *(*sender)(void *), int signum)
{
	pthread_t thread;
	open_raw(on_raw);
	pause_us = 20000;
	CHECK(pthread_create(&thread, NULL, sender, (void *)(intptr_t)signum) == 0);
	mtcp_app_join(mctx);
	CHECK(handled == 1 && !in_callback && packets < 26);
	pthread_join(thread, NULL);
	wait_for(&handled, 1, 5);
	mctx = mtcp_create_context(0); /* the core is free again */
	MUST(mctx != NULL);
	GIVES(0, mtcp_destroy_context(mctx));
	pause_us = 0;
}

static void other_handler(int signum)
{
	(void)signum;
	handled++;
}

static void destroyed_by_a_signal(void)
{
	CHECK(mtcp_register_signal(SIGINT, handler_destroys) == SIG_DFL);
	signalled(interrupt_process, SIGINT);
	usleep(1100000); /* not the second within a second */
	signalled(interrupt_stack, SIGINT);
	signal(SIGTERM, handler_destroys); /* without asking us */
	signalled(interrupt_process, SIGTERM);
	signalled(interrupt_stack, SIGTERM);
	CHECK(mtcp_register_signal(SIGTERM, other_handler) == handler_destroys);
	CHECK(mtcp_register_signal(SIGTERM, SIG_IGN) == other_handler);
	CHECK(mtcp_register_signal(SIGTERM, SIG_DFL) == SIG_IGN);
	CHECK(mtcp_register_signal(SIGINT, other_handler) == handler_destroys);
}

static void *interrupt_twice(void *unused)
{
	(void)unused;
	wait_for(&packets, 3, 5);
	kill(getpid(), SIGINT);
	wait_for(&handled, 1, 5);
	usleep(100000);
	CHECK(packets < 20);
	kill(getpid(), SIGINT);
	return NULL;
}

/* A handler that does nothing: the second signal ends the input, but not the context. */
static void interrupted_twice(void)
{
	pthread_t thread;
	CHECK(mtcp_register_signal(SIGINT, other_handler) == SIG_DFL);
	open_raw(on_raw);
	pause_us = 50000;
	CHECK(pthread_create(&thread, NULL, interrupt_twice, NULL) == 0);
	mtcp_app_join(mctx);
	CHECK(handled == 2 && packets >= 3 && packets < 26);
	pthread_join(thread, NULL);
	GIVES(0, mtcp_close(mctx, sock));
	GIVES(0, mtcp_destroy_context(mctx));
}

static mctx_t second;
static int second_sock;
static volatile int second_packets;

static void on_raw_other(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)s, (void)side, (void)event, (void)arg;
	CHECK(m == second && m->cpu == 0);
	second_packets++;
}

static void on_raw_second(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)s, (void)side, (void)event, (void)arg;
	packets++;
	CHECK(m == mctx && m->cpu == 1);
	/* The other context can be set up from here, but not looked into. */
	int more = mtcp_socket(second, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	CHECK(more >= 0);
	GIVES(0, mtcp_register_callback(second, more, MOS_ON_CONN_START, MOS_HK_SND, on_raw));
	GIVES(0, mtcp_close(second, more));
	FAILS_WITH(0, EPERM, mtcp_cb_get_ts(second));
	FAILS(EPERM, mtcp_ppeek(second, second_sock, 0, NULL, 0, 0));
}

static void two_contexts(void)
{
	struct mtcp_conf conf;
	pinned();
	GIVES(0, mtcp_getconf(&conf));
	CHECK(conf.num_cores == 2 && conf.cpu_mask == 5);
	open_raw(on_raw_other);
	second = mctx;
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(2));
	FAILS_WITH(NULL, EEXIST, mtcp_create_context(0));
	mctx = mtcp_create_context(1);
	MUST(mctx != NULL && second != mctx && mctx->cpu == 1);
	sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, on_raw_second));
	second_sock = mtcp_socket(second, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	mtcp_app_join(second);
	mtcp_app_join(mctx);
	CHECK(packets == 26 && second_packets == 0); /* there is one connection: the hash of cards gives it queue 1 */
	GIVES(0, mtcp_destroy_context(second));
	GIVES(0, mtcp_destroy_context(mctx));
}

static volatile int busy = 1, rounds;

static void *set_things_up(void *unused)
{
	(void)unused;
	while (busy) {
		int s = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
		if (s < 0)
			break; /* destroyed */
		int zero = 0;
		struct timeval time = { 1000000, 0 };
		mtcp_setsockopt(mctx, s, SOL_MONSOCKET, MOS_CLIBUF, &zero, sizeof(zero));
		mtcp_register_callback(mctx, s, MOS_ON_PKT_IN, MOS_HK_SND, on_raw);
		mtcp_settimer(mctx, 1, &time, on_raw);
		mtcp_close(mctx, s);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	CHECK(!busy || errno == EACCES);
	return NULL;
}

/* Threads that set up while packets come, when these end, and while the context goes away. */
static void set_up_by_threads(void)
{
	for (int round = 0; round < 200; round++) {
		pthread_t threads[3];
		open_raw(on_raw);
		for (int i = 0; i < 3; i++)
			CHECK(pthread_create(&threads[i], NULL, set_things_up, NULL) == 0);
		pause_us = round % 8 * 20;
		mtcp_app_join(mctx);
		wait_for(&rounds, rounds + 20, 20);
		CHECK(packets >= 26);
		GIVES(0, mtcp_destroy_context(mctx));
		for (int i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
	}
	pause_us = 0;
}

static int fired[8];
static uint32_t last_time, first_time;

static void note_time(mctx_t m)
{
	uint32_t now = mtcp_cb_get_ts(m);
	if (first_time == 0)
		first_time = now;
	CHECK((int32_t)(now - last_time) >= 0 || last_time == 0);
	last_time = now;
}

static void on_timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	struct timeval ten = { 0, 40000 };
	CHECK(side == 0 && event == 0 && arg == NULL && id >= 0 && id < 8);
	note_time(m);
	fired[id]++;
	if (id == 1) /* periodic, and the time it fires is never too early */
		GIVES(0, mtcp_settimer(m, 1, &ten, on_timer));
	if (id == 2)
		CHECK(last_time - first_time >= 100000 && last_time - first_time <= 120000 && fired[0] == 1);
}

static void on_raw_time(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)s, (void)side, (void)event, (void)arg;
	packets++;
	note_time(m);
	CHECK(last_time == (uint32_t)(1000000000000000ull + 10000 * (uint64_t)(packets - 1)));
	CHECK(packets > 10 || fired[2] == 0); /* they count from the first packet */
	if (packets == 10) { /* 90 ms */
		struct timeval at = { 0, 50000 };
		GIVES(0, mtcp_settimer(m, 4, &at, on_timer));
	}
	if (packets == 14)
		CHECK(fired[4] == 0);
	if (packets == 17)
		CHECK(fired[4] == 1);
}

/* The capture's clock: 26 packets, 10 ms apart. */
static void timers(void)
{
	struct timeval zero = { 0, 0 }, tenth = { 0, 100000 }, late = { 0, 251000 };
	open_raw(on_raw_time);
	GIVES(0, mtcp_settimer(mctx, 0, &zero, on_timer));
	GIVES(0, mtcp_settimer(mctx, 1, &zero, on_timer));
	GIVES(0, mtcp_settimer(mctx, 2, &tenth, on_timer));
	GIVES(0, mtcp_settimer(mctx, 3, &late, on_timer)); /* after the last packet */
	usleep(250000);
	mtcp_app_join(mctx);
	GIVES(0, mtcp_settimer(mctx, 5, &zero, on_timer)); /* taken, but time stands still */
	usleep(50000);
	GIVES(0, mtcp_destroy_context(mctx));
	CHECK(packets == 26);
	CHECK(fired[0] == 1 && fired[2] == 1 && fired[3] == 0 && fired[4] == 1 && fired[5] == 0);
	CHECK(fired[1] >= 5 && fired[1] <= 7);
}

static void on_raw_drop(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (++packets % 2 == 0)
		GIVES(0, mtcp_setlastpkt(m, s, side, 0, NULL, 0, MOS_DROP));
}

/* Every second packet is dropped; who starts this looks at the output. */
static void drops(void)
{
	open_raw(on_raw_drop);
	mtcp_app_join(mctx);
	CHECK(packets == 26);
	GIVES(0, mtcp_destroy_context(mctx));
}

/* A capture that ends inside of a packet. */
static void truncated(void)
{
	open_raw(on_raw);
	errno = 0;
	mtcp_app_join(mctx);
	CHECK(errno == EIO && strstr(mos_last_error(), "ends inside") != NULL);
	CHECK(packets == 25);
	GIVES(0, mtcp_destroy_context(mctx));
}

/* Whoever comes too late to destroy a context, or to join it, still waits for its last callback. */
static void too_late(void)
{
	CHECK(mtcp_register_signal(SIGUSR1, handler_destroys) == SIG_DFL);
	pause_us = 200000;
	for (int join = 0; join < 2; join++) {
		open_raw(on_raw);
		wait_for(&packets, 1, 5);
		raise(SIGUSR1); /* on this thread: it waits for nothing */
		CHECK(handled == 1 && in_callback);
		errno = 0;
		if (join)
			mtcp_app_join(mctx);
		else
			CHECK(mtcp_destroy_context(mctx) == -1);
		CHECK(errno == EACCES && !in_callback && packets == 1);
	}
	pause_us = 0;
}

static void on_raw_large(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	volatile char large[7 << 20];
	(void)m, (void)s, (void)side, (void)event, (void)arg;
	for (size_t i = 0; i < sizeof(large); i += 1024)
		large[i] = (char)i;
	packets++;
}

/* Callbacks have a stack as C programs expect it. */
static void large_stack(void)
{
	open_raw(on_raw_large);
	mtcp_app_join(mctx);
	CHECK(packets == 26);
	GIVES(0, mtcp_destroy_context(mctx));
}

/* Nothing could end a wait for a pipe. */
static void pipes(void)
{
	const char *name = "runs.fifo";
	char in[4096], out[4200];

	MUST(getenv("MOS_IO") != NULL && strlen(getenv("MOS_IO")) < sizeof(in));
	strcpy(in, getenv("MOS_IO"));
	unlink(name);
	int made = mkfifo(name, 0600);
	MUST(made == 0);
	setenv("MOS_IO", "pcap:runs.fifo", 1);
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "runs.fifo") != NULL);
	setenv("MOS_IO", "pcap:/dev/zero", 1);
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(0));
	snprintf(out, sizeof(out), "%s,%s", in, name);
	setenv("MOS_IO", out, 1);
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "pipe") != NULL);
	snprintf(out, sizeof(out), "%s,/dev/null", in);
	setenv("MOS_IO", out, 1);
	open_raw(on_raw);
	mtcp_app_join(mctx);
	CHECK(packets == 26);
	GIVES(0, mtcp_destroy_context(mctx));
	unlink(name);
}

static int first_socket = -1;
static volatile int other_packets;

static void on_twin(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info own, first;
	(void)side, (void)event, (void)arg;
	packets++;
	if (first_socket < 0)
		first_socket = s;
	GIVES(0, mtcp_getlastpkt(m, s, MOS_SIDE_CLI, &own));
	if (own.payloadlen > 0)
		CHECK(own.offset == 10);
	if (s == first_socket)
		return;
	other_packets++;
	GIVES(0, mtcp_getlastpkt(m, first_socket, MOS_SIDE_CLI, &first));
	CHECK(first.offset == 0);
}

/* Two connections from one address: a packet of the second has no place in the streams of the first. */
static void twins(void)
{
	open_raw(NULL);
	int stream = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	GIVES(0, mtcp_register_callback(mctx, stream, MOS_ON_PKT_IN, MOS_HK_RCV, on_twin));
	mtcp_app_join(mctx);
	CHECK(packets == 8 && other_packets == 4);
	GIVES(0, mtcp_destroy_context(mctx));
}

static void on_raw_ip(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	byte octet = 0;
	(void)event, (void)arg;
	packets++;
	GIVES(0, mtcp_getlastpkt(m, s, side, &p));
	CHECK(p.ethh == NULL && p.iph->version == 4);
	FAILS(EACCES, mtcp_setlastpkt(m, s, side, 0, &octet, 1, MOS_ETH_HDR | MOS_OVERWRITE));
}

/* A capture without Ethernet headers. */
static void raw_ip(void)
{
	open_raw(on_raw_ip);
	mtcp_app_join(mctx);
	CHECK(packets == 3);
	GIVES(0, mtcp_destroy_context(mctx));
}

static volatile int starts;

static void on_start(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)s, (void)side, (void)event, (void)arg;
	starts++;
}

/* Prints how many connections there were. */
static void connections(void)
{
	open_raw(NULL);
	int stream = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	GIVES(0, mtcp_register_callback(mctx, stream, MOS_ON_CONN_START, MOS_HK_SND, on_start));
	mtcp_app_join(mctx);
	GIVES(0, mtcp_destroy_context(mctx));
	printf("%d connections\n", starts);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} table[] = {
		{ "begins", begins },
		{ "callback", destroyed_by_a_callback },
		{ "thread", destroyed_by_a_thread },
		{ "signal", destroyed_by_a_signal },
		{ "twice", interrupted_twice },
		{ "two", two_contexts },
		{ "threads", set_up_by_threads },
		{ "timers", timers },
		{ "drops", drops },
		{ "truncated", truncated },
		{ "connections", connections },
		{ "late", too_late },
		{ "stack", large_stack },
		{ "pipes", pipes },
		{ "twins", twins },
		{ "rawip", raw_ip },
	};

	if (argc != 3)
		return 2;
	signal(SIGINT, SIG_DFL); /* in the background of a shell it is ignored */
	GIVES(0, mtcp_init(argv[2]));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(argv[1], table[i].name) == 0) {
			table[i].run();
			GIVES(0, mtcp_destroy());
			return report();
		}
	return 2;
}
