/*
 * Where packets come from, and which context gets them. usage: input WHAT MOS_CONF [ARGUMENT]
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define MAX_CONTEXTS 8

static mctx_t contexts[MAX_CONTEXTS];
static int count;
static volatile int packets[MAX_CONTEXTS], starts[MAX_CONTEXTS], fired[MAX_CONTEXTS];
static volatile int ranked = 1; /* the context of core n has rank n */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The hash of network cards by its definition, bit for bit. */
static uint32_t toeplitz(const unsigned char *input, int len)
{
	static const unsigned char word[2] = { 0x6d, 0x5a };
	uint32_t hash = 0;

	for (int bit = 0; bit < len * 8; bit++) {
		uint32_t window = 0;
		if (!(input[bit / 8] >> (7 - bit % 8) & 1))
			continue;
		for (int at = bit; at < bit + 32; at++)
			window = window << 1 | (word[at / 8 % 2] >> (7 - at % 8) & 1);
		hash ^= window;
	}
	return hash;
}

/* The queue of a packet: 128 entries of a card's map are dealt out in turn. */
static int queue_of(const struct pkt_info *p)
{
	unsigned char input[36];
	int len = 0, ports = 0;

	if (p->iph->version == 4) {
		memcpy(input, &p->iph->saddr, 8);
		len = 8;
		ports = p->iph->protocol == 6 || p->iph->protocol == 17;
		ports = ports && (ntohs(p->iph->frag_off) & 0x3fff) == 0;
	} else {
		memcpy(input, (const unsigned char *)p->iph + 8, 32);
		len = 32;
		ports = p->tcph != NULL;
	}
	if (ports && p->tcph != NULL)
		memcpy(input + len, p->tcph, 4);
	else if (ports)
		memcpy(input + len, (const unsigned char *)p->iph + 4 * p->iph->ihl, 4);
	return (int)(toeplitz(input, len + (ports ? 4 : 0)) % 128 % (unsigned)count);
}

static void on_raw(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	packets[m->cpu]++;
	GIVES(0, mtcp_getlastpkt(m, s, side, &p));
	if (ranked)
		CHECK(queue_of(&p) == m->cpu);
}

static void on_start(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)s, (void)side, (void)event, (void)arg;
	starts[m->cpu]++;
}

static void watch(mctx_t m)
{
	int families[] = { AF_INET, AF_INET6 };

	MUST(m != NULL);
	for (int i = 0; i < 2; i++) {
		int raw = mtcp_socket(m, families[i], MOS_SOCK_MONITOR_RAW, 0);
		int stream = mtcp_socket(m, families[i], MOS_SOCK_MONITOR_STREAM, 0);
		GIVES(0, mtcp_register_callback(m, raw, MOS_ON_PKT_IN, MOS_NULL, on_raw));
		GIVES(0, mtcp_register_callback(m, stream, MOS_ON_CONN_START, MOS_HK_SND, on_start));
	}
}

static void make(int cores)
{
	count = cores;
	for (int i = 0; i < cores; i++) {
		contexts[i] = mtcp_create_context(i);
		watch(contexts[i]);
	}
}

/* Prints what each context got, and ends all. */
static void report_all(void)
{
	for (int i = 0; i < MAX_CONTEXTS; i++) {
		if (contexts[i] == NULL)
			continue;
		printf("%d packets, %d connections\n", packets[i], starts[i]);
		GIVES(0, mtcp_destroy_context(contexts[i]));
		contexts[i] = NULL;
	}
}

static int cores_of_conf(void)
{
	struct mtcp_conf conf;
	GIVES(0, mtcp_getconf(&conf));
	return conf.num_cores;
}

/* As most programs do: all contexts are made, then all joined. */
static void spread(const char *unused)
{
	(void)unused;
	make(cores_of_conf());
	for (int i = 0; i < count; i++)
		mtcp_app_join(contexts[i]);
	report_all();
}

/* Nobody joins. */
static void unjoined(const char *expected)
{
	int total = 0;
	double end = seconds() + 20;

	make(cores_of_conf());
	while (total < atoi(expected) && seconds() < end) {
		usleep(10000);
		total = 0;
		for (int i = 0; i < count; i++)
			total += packets[i];
	}
	report_all();
}

static void *thread_of_core(void *core)
{
	int cpu = (int)(intptr_t)core;
	usleep((useconds_t)(rand() % 100000)); /* some are late */
	contexts[cpu] = mtcp_create_context(cpu);
	watch(contexts[cpu]);
	mtcp_app_join(contexts[cpu]);
	return NULL;
}

/* A thread for each core, which makes its own context and joins it. */
static void threads(const char *unused)
{
	pthread_t all[MAX_CONTEXTS];
	(void)unused;
	count = cores_of_conf();
	srand((unsigned)getpid());
	for (int i = 0; i < count; i++)
		CHECK(pthread_create(&all[i], NULL, thread_of_core, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < count; i++)
		pthread_join(all[i], NULL);
	report_all();
}

/* A context alone gets everything, and so do two of four; parts go by the order of cores. */
static void some(const char *which)
{
	ranked = 0;
	for (const char *core = which; *core != 0; core++) {
		contexts[*core - '0'] = mtcp_create_context(*core - '0');
		watch(contexts[*core - '0']);
	}
	for (const char *core = which; *core != 0; core++)
		mtcp_app_join(contexts[*core - '0']);
	report_all();
}

static volatile int late_packets, go_on;

static void on_raw_late(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)s, (void)side, (void)event, (void)arg;
	late_packets++;
}

static void on_raw_wait(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	on_raw(m, s, side, event, arg);
	while (!go_on)
		usleep(1000);
}

/* A context that is made when another one has begun gets nothing, and ends at once. When that one has ended, a new one
 * begins anew. */
static void late(const char *unused)
{
	(void)unused;
	ranked = 0;
	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);
	int raw = mtcp_socket(contexts[0], AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(contexts[0], raw, MOS_ON_PKT_IN, MOS_NULL, on_raw_wait));
	while (packets[0] == 0)
		usleep(1000);
	mctx_t second = mtcp_create_context(1);
	MUST(second != NULL);
	raw = mtcp_socket(second, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(second, raw, MOS_ON_PKT_IN, MOS_NULL, on_raw_late));
	errno = 0;
	mtcp_app_join(second);
	CHECK(errno == 0 && packets[0] == 1);
	go_on = 1;
	mtcp_app_join(contexts[0]);
	CHECK(late_packets == 0);
	GIVES(0, mtcp_destroy_context(second));
	printf("%d packets\n", packets[0]);
	second = mtcp_create_context(1);
	MUST(second != NULL);
	raw = mtcp_socket(second, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, mtcp_register_callback(second, raw, MOS_ON_PKT_IN, MOS_NULL, on_raw_late));
	mtcp_app_join(second);
	printf("%d packets\n", late_packets);
	GIVES(0, mtcp_destroy_context(second));
	GIVES(0, mtcp_destroy_context(contexts[0]));
}

/* Contexts that read different captures share nothing. */
static void apart(const char *other)
{
	ranked = 0;
	contexts[0] = mtcp_create_context(0);
	watch(contexts[0]);
	setenv("MOS_IO", other, 1);
	contexts[1] = mtcp_create_context(1);
	watch(contexts[1]);
	mtcp_app_join(contexts[0]);
	mtcp_app_join(contexts[1]);
	report_all();
}

static struct timeval interval;

static void on_timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	fired[m->cpu]++;
	GIVES(0, mtcp_settimer(m, id, &interval, on_timer));
}

/* Time goes on for all alike, whoever gets the packets. */
static void timers(const char *milliseconds)
{
	interval.tv_usec = atoi(milliseconds) * 1000;
	make(cores_of_conf());
	for (int i = 0; i < count; i++)
		GIVES(0, mtcp_settimer(contexts[i], 1, &interval, on_timer));
	for (int i = 0; i < count; i++)
		mtcp_app_join(contexts[i]);
	int most = 0;
	for (int i = 0; i < count; i++)
		most = fired[i] > most ? fired[i] : most;
	for (int i = 0; i < count; i++) {
		CHECK(fired[i] >= 10 && fired[i] >= most - 1);
		printf("%d: %d times\n", packets[i], fired[i]);
	}
	for (int i = 0; i < count; i++)
		GIVES(0, mtcp_destroy_context(contexts[i]));
}

/* What cannot be opened. */
static void refused(const char *unused)
{
	static const struct {
		const char *io, *said;
		int number;
	} table[] = {
		{ "af_packet:", "af_packet:LEFT[,RIGHT]", ENODEV },
		{ "af_xdp:eth0", "--features xdp", ENODEV },
		{ "dpdk:0", "--features dpdk", ENODEV },
		{ "tap:one", "tap:LEFT,RIGHT", ENODEV },
		{ "tap:,", "tap:LEFT,RIGHT", ENODEV },
		{ "netmap:eth0", "MOS_IO", ENODEV },
		{ "", "MOS_IO", ENODEV },
		{ "pcap:", "pcap:IN", ENODEV },
		{ "pcap:no/such/file.pcap", "no/such/file.pcap", ENOENT },
		{ "tap:a-name-of-more-than-15,b", "a-name-of-more-than-15", EINVAL },
	};
	(void)unused;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		setenv("MOS_IO", table[i].io, 1);
		FAILS_WITH(NULL, table[i].number, mtcp_create_context(0));
		CHECK(strstr(mos_last_error(), table[i].said) != NULL);
	}
	unsetenv("MOS_IO");
	FAILS_WITH(NULL, ENODEV, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "no input") != NULL);
}

static volatile int ticks[MAX_CONTEXTS];
static double first_tick;
static volatile uint32_t first_ts, last_ts;

static void on_tick(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	struct timeval again = { 0, 10000 };
	(void)side, (void)event, (void)arg;
	if (ticks[m->cpu] == 0)
		first_ts = mtcp_cb_get_ts(m), first_tick = seconds();
	last_ts = mtcp_cb_get_ts(m);
	ticks[m->cpu]++;
	GIVES(0, mtcp_settimer(m, id, &again, on_tick));
}

static void wait_until(volatile int *what, int least, double most)
{
	double end = seconds() + most;
	while (*what < least && seconds() < end)
		usleep(500);
	CHECK(*what >= least);
}

static void *join_it(void *mctx)
{
	static double ended;
	mtcp_app_join(mctx);
	ended = seconds();
	return &ended;
}

/* How long mtcp_app_join() goes on after whatever ends the context. */
static double joined_after(mctx_t m, void (*end)(mctx_t))
{
	pthread_t thread;
	void *ended;

	CHECK(pthread_create(&thread, NULL, join_it, m) == 0);
	usleep(30000); /* it sleeps, and so does the stack */
	double start = seconds();
	end(m);
	pthread_join(thread, &ended);
	return *(double *)ended - start;
}

static void destroy(mctx_t m)
{
	GIVES(0, mtcp_destroy_context(m));
}

static void kill_process(mctx_t m)
{
	(void)m;
	CHECK(kill(getpid(), SIGUSR1) == 0);
}

static void interrupt_twice(mctx_t m)
{
	(void)m;
	CHECK(kill(getpid(), SIGINT) == 0);
	usleep(10000);
	CHECK(kill(getpid(), SIGINT) == 0);
}

static void handler_does_nothing(int signum)
{
	(void)signum;
}

static void remove_devices(mctx_t m)
{
	(void)m;
	CHECK(system("ip link delete mosl; ip link delete mosr") == 0);
}

static void handler_destroys(int signum)
{
	(void)signum;
	mtcp_destroy_context(contexts[0]);
}

static void on_tick_destroy(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)id, (void)side, (void)event, (void)arg;
	ticks[0]++;
	GIVES(0, mtcp_destroy_context(m));
	FAILS(EACCES, mtcp_settimer(m, 1, &interval, on_tick));
}

/* Between devices without any traffic. */
static void idle(const char *unused)
{
	struct timeval ten = { 0, 10000 };
	(void)unused;
	setenv("MOS_IO", "tap:mosl,mosr", 1);
	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);

	/* A timer counts from when it is set, before the program is set up, and fires. */
	double start = seconds();
	GIVES(0, mtcp_settimer(contexts[0], 1, &ten, on_tick));
	for (int i = 0; i < 250 && ticks[0] == 0; i++) { /* as long as something is set up, it does not read */
		GIVES(0, mtcp_close(contexts[0], mtcp_socket(contexts[0], AF_INET, MOS_SOCK_MONITOR_RAW, 0)));
		usleep(20000);
	}
	CHECK(ticks[0] > 0 && first_tick - start >= 0.0099);
	wait_until(&ticks[0], 50, 20); /* 0.5 seconds, into the time when it reads */
	double passed = seconds() - start, shown = (uint32_t)(last_ts - first_ts) / 1e6;
	CHECK(shown > 0.45 && shown < passed + 0.01);

	/* Commands of this thread do not wait for frames or timers. */
	start = seconds();
	for (int i = 0; i < 1000; i++) {
		int sock = mtcp_socket(contexts[0], AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
		CHECK(sock >= 0);
		GIVES(0, mtcp_close(contexts[0], sock));
	}
	CHECK(seconds() - start < 2); /* 1 ms for each; with a look every 5 ms it would be 5 */

	/* A second context has no devices, but time; it ends when it is destroyed. */
	contexts[1] = mtcp_create_context(1);
	MUST(contexts[1] != NULL);
	GIVES(0, mtcp_settimer(contexts[1], 1, &ten, on_tick));
	wait_until(&ticks[1], 10, 5);
	CHECK(joined_after(contexts[1], destroy) < 0.5);
	CHECK(joined_after(contexts[0], destroy) < 0.5);

	/* The devices are free again, for another context; a name taken twice is told. */
	setenv("MOS_IO", "tap:mosl,mosl", 1);
	FAILS_WITH(NULL, EBUSY, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "mosl") != NULL);
	setenv("MOS_IO", "af_packet:lo,lo", 1);
	FAILS_WITH(NULL, EBUSY, mtcp_create_context(0));
	setenv("MOS_IO", "af_packet:lo,nowhere", 1);
	FAILS_WITH(NULL, ENODEV, mtcp_create_context(0));
	CHECK(strstr(mos_last_error(), "there is no interface nowhere") != NULL);
	setenv("MOS_IO", "tap:mosl,mosr", 1);
	mtcp_register_signal(SIGUSR1, handler_destroys);
	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);
	CHECK(joined_after(contexts[0], kill_process) < 0.5);
	FAILS(EACCES, mtcp_destroy_context(contexts[0]));

	contexts[0] = mtcp_create_context(0);
	ticks[0] = 0;
	GIVES(0, mtcp_settimer(contexts[0], 1, &ten, on_tick_destroy));
	mtcp_app_join(contexts[0]);
	CHECK(ticks[0] == 1);

	mtcp_register_signal(SIGINT, handler_does_nothing);
	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);
	CHECK(joined_after(contexts[0], interrupt_twice) < 0.5);
	GIVES(0, mtcp_destroy_context(contexts[0]));

	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);
	CHECK(joined_after(contexts[0], remove_devices) < 0.5);
	GIVES(0, mtcp_destroy_context(contexts[0])); /* it has ended, and is still there */
}

static volatile int ends;
static uint64_t received[2], lost;

static void on_data(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	char octets[5000];
	ssize_t n;
	(void)event, (void)arg;
	while ((n = mtcp_peek(m, s, side, octets, sizeof(octets))) != 0) {
		CHECK(n > 0 || errno == ENODATA);
		__atomic_add_fetch(n > 0 ? &received[side] : &lost, (uint64_t)(n > 0 ? n : -n), __ATOMIC_RELAXED);
		if (n < 0 && errno != ENODATA)
			return;
	}
}

/* Prints what was received in all connections of all contexts. */
static void octets(const char *unused)
{
	int all = 0;

	(void)unused;
	count = cores_of_conf();
	for (int i = 0; i < count; i++) {
		contexts[i] = mtcp_create_context(i);
		MUST(contexts[i] != NULL);
		int stream = mtcp_socket(contexts[i], AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
		GIVES(0, mtcp_register_callback(contexts[i], stream, MOS_ON_CONN_START, MOS_HK_SND, on_start));
		GIVES(0, mtcp_register_callback(contexts[i], stream, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data));
	}
	for (int i = 0; i < count; i++)
		mtcp_app_join(contexts[i]);
	for (int i = 0; i < count; i++) {
		CHECK(starts[i] > 0);
		all += starts[i];
		GIVES(0, mtcp_destroy_context(contexts[i]));
	}
	printf("%d connections, %llu octets", all, (unsigned long long)(received[0] + received[1]));
	if (lost > 0)
		printf(", %llu lost", (unsigned long long)lost);
	printf("\n");
}

static void on_end(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)s, (void)side, (void)event, (void)arg;
	ends++;
}

static void on_raw_firewall(mctx_t m, int s, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	(void)event, (void)arg;
	GIVES(0, mtcp_getlastpkt(m, s, side, &p));
	CHECK(p.in_ifidx == 0 || p.in_ifidx == 1);
	if (p.tcph != NULL && ntohs(p.tcph->dest) == 8081)
		GIVES(0, mtcp_setlastpkt(m, s, side, 0, NULL, 0, MOS_DROP));
}

/* In a cable between two hosts: counts what passes, drops what goes to port 8081. Prints what it saw when a signal ends it. */
static void cable(const char *unused)
{
	struct timeval ten = { 0, 10000 };
	(void)unused;
	mtcp_register_signal(SIGTERM, handler_destroys);
	contexts[0] = mtcp_create_context(0);
	MUST(contexts[0] != NULL);
	int raw = mtcp_socket(contexts[0], AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	int stream = mtcp_socket(contexts[0], AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	GIVES(0, mtcp_register_callback(contexts[0], raw, MOS_ON_PKT_IN, MOS_NULL, on_raw_firewall));
	GIVES(0, mtcp_register_callback(contexts[0], stream, MOS_ON_CONN_START, MOS_HK_SND, on_start));
	GIVES(0, mtcp_register_callback(contexts[0], stream, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data));
	GIVES(0, mtcp_register_callback(contexts[0], stream, MOS_ON_CONN_END, MOS_HK_SND, on_end));
	GIVES(0, mtcp_settimer(contexts[0], 1, &ten, on_tick));
	printf("ready\n");
	fflush(stdout);
	mtcp_app_join(contexts[0]);
	mtcp_destroy_context(contexts[0]); /* if nobody has */
	CHECK(ticks[0] > 10);
	printf("%d connections, %d ends, %llu and %llu octets\n", starts[0], ends, (unsigned long long)received[0],
	       (unsigned long long)received[1]);
}

/* What programs do with -c: fewer contexts than cores in the configuration share everything. */
static void lowered(const char *cores)
{
	struct mtcp_conf conf;
	GIVES(0, mtcp_getconf(&conf));
	CHECK(conf.num_cores > atoi(cores));
	conf.num_cores = atoi(cores);
	GIVES(0, mtcp_setconf(&conf));
	FAILS_WITH(NULL, EINVAL, mtcp_create_context(conf.num_cores));
	spread(NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *argument);
	} table[] = {
		{ "spread", spread },
		{ "unjoined", unjoined },
		{ "threads", threads },
		{ "some", some },
		{ "late", late },
		{ "apart", apart },
		{ "octets", octets },
		{ "timers", timers },
		{ "refused", refused },
		{ "lowered", lowered },
		{ "idle", idle },
		{ "cable", cable },
	};

	if (argc < 3)
		return 2;
	GIVES(0, mtcp_init(argv[2]));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(argv[1], table[i].name) == 0) {
			table[i].run(argc > 3 ? argv[3] : "");
			GIVES(0, mtcp_destroy());
			return report();
		}
	return 2;
}
