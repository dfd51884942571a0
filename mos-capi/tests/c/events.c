/*
 * Events that the program defines, over the made capture (ppeek() in captures.rs): which happen, in which order, with what.
 * usage: events MOS_CONF NESTED
 */
#include "check.h"
#include <pthread.h>

static mctx_t mctx;
static int monitor;

/* What was called: filters in lower case, callbacks in upper case; of one packet at one hook. */
static char trace[4096];
static size_t traced;

static void note(char c)
{
	if (traced < sizeof trace - 1)
		trace[traced++] = c;
	trace[traced] = '\0';
}

/* Names of events are octets of their arguments. */
static char name_of(filter_arg_t *arg)
{
	return arg != NULL && arg->len >= 1 ? *(char *)arg->arg : '?';
}

static bool yes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	CHECK(m == mctx && sock >= 0 && (side == MOS_SIDE_CLI || side == MOS_SIDE_SVR) && event >= 4096);
	note(name_of(arg));
	return true;
}

static bool no(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	return !yes(m, sock, side, event, arg);
}

static void on_event(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side;
	if (event < 4096)
		CHECK(arg == NULL);
	note(event < 4096 ? '*' : (char)(name_of(arg) - 'a' + 'A'));
}

static event_t define(event_t parent, filter_t filter, const char *name)
{
	struct filter_arg arg = { (void *)(uintptr_t)name, strlen(name) + 1 };
	event_t event = mtcp_define_event(parent, filter, &arg);

	CHECK(event >= 4096);
	return event;
}

static void set(event_t event, callback_t cb)
{
	GIVES(0, mtcp_register_callback(mctx, monitor, event, MOS_HK_SND, cb));
}

/* One trace for each packet: the callback of PKT_IN at the receiver's hook, which comes after, compares. */
static const char *expected;
static int packets;

static void compare(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
	CHECK(expected == NULL || strcmp(trace, expected) == 0);
	if (expected != NULL && strcmp(trace, expected) != 0)
		fprintf(stderr, "expected %s, not %s\n", expected, trace);
	traced = 0;
	trace[0] = '\0';
}

/* The whole capture, with callbacks of its own. */
static void run(const char *conf, void (*set_up)(void), const char *trace_of_a_packet)
{
	MUST(mtcp_init(conf) == 0);
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	MUST(monitor >= 0);
	expected = trace_of_a_packet;
	packets = 0;
	traced = 0;
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_RCV, compare));
	set_up();
	mtcp_app_join(mctx);
	CHECK(packets > 10);
	GIVES(0, mtcp_destroy_context(mctx));
	GIVES(0, mtcp_destroy());
}

/* Parents before children, siblings as they were registered, each filter once; the built-in event's callback first. */
static void a_tree(void)
{
	event_t a = define(MOS_ON_PKT_IN, yes, "a"), b = define(a, yes, "b"), c = define(a, yes, "c");
	event_t d = define(MOS_ON_PKT_IN, yes, "d"), e = define(b, yes, "e");

	set(d, on_event);
	set(e, on_event);
	set(c, on_event);
	set(a, on_event);
	set(MOS_ON_PKT_IN, on_event);
}

/* What a filter refuses is not looked into; whom nobody listens to is not asked. */
static void a_pruned_tree(void)
{
	event_t f = define(MOS_ON_PKT_IN, no, "f"), g = define(f, yes, "g"), h = define(MOS_ON_PKT_IN, yes, "h");
	event_t i = define(h, yes, "i"), j = define(h, no, "j");

	CHECK(define(MOS_ON_PKT_IN, yes, "k") >= 4096);
	set(f, on_event);
	set(g, on_event);
	set(j, on_event);
	set(i, on_event);
}

/* Another function takes the place of the first; what is removed is not called any more. */
static void other(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	note('!');
}

static void replaced(void)
{
	event_t a = define(MOS_ON_PKT_IN, yes, "a"), d = define(MOS_ON_PKT_IN, yes, "d");

	set(a, on_event);
	set(d, on_event);
	set(a, other);
	GIVES(0, mtcp_register_callback(mctx, monitor, d, MOS_HK_SND, NULL));
	FAILS(ENOENT, mtcp_register_callback(mctx, monitor, d, MOS_HK_SND, NULL));
	FAILS(ENOENT, mtcp_unregister_callback(mctx, monitor, d, MOS_HK_SND));
}

/* ---- raising --------------------------------------------------------------------------------------------------- */

static event_t parent, first, second, stranger;

static bool raises(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	CHECK(event == parent);
	yes(m, sock, side, event, arg);
	GIVES(0, mtcp_raise_event(m, second));
	GIVES(0, mtcp_raise_event(m, first));
	GIVES(0, mtcp_raise_event(m, second));
	FAILS(EINVAL, mtcp_raise_event(m, stranger));
	FAILS(EINVAL, mtcp_raise_event(m, parent));
	FAILS(EINVAL, mtcp_raise_event(m, 0));
	FAILS(EINVAL, mtcp_raise_event(m, MOS_ON_PKT_IN));
	FAILS(EINVAL, mtcp_raise_event(m, UINT64_MAX));
	FAILS(EACCES, mtcp_raise_event(NULL, first));
	return true;
}

static bool raises_in_vain(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	yes(m, sock, side, event, arg);
	GIVES(0, mtcp_raise_event(m, first));
	return false;
}

static void on_raised(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side;
	CHECK(event == first || event == second);
	CHECK(arg != NULL && arg->arg == NULL && arg->len == 0);
	note(event == first ? '1' : '2');
}

static void raised(void)
{
	parent = define(MOS_ON_PKT_IN, raises, "p");
	first = mtcp_alloc_event(parent);
	second = mtcp_alloc_event(parent);
	stranger = mtcp_alloc_event(MOS_ON_PKT_IN);
	CHECK(first >= 4096 && second >= 4096 && stranger >= 4096 && first != second);
	event_t below = define(second, yes, "q");

	set(first, on_raised);
	set(second, on_raised);
	set(below, on_event);
	set(parent, on_event);
	set(stranger, on_raised);
}

static void raised_in_vain(void)
{
	parent = define(MOS_ON_PKT_IN, raises_in_vain, "r");
	first = mtcp_alloc_event(parent);
	set(parent, on_event);
	set(first, on_raised);
}

/* ---- registering and defining from everywhere ----------------------------------------------------------------- */

static int nested;

/* Thousands of nested events at the sender's hook: the original refuses most of them by the bits of their parents' ids. */
static void many(void)
{
	struct filter_arg nothing = { NULL, 0 };

	for (int i = 0; i < nested; i++) {
		event_t above = mtcp_alloc_event(MOS_ON_PKT_IN);
		event_t below = mtcp_define_event(above, yes, &nothing);
		CHECK(above >= 4096 && below > above);
		set(below, on_event);
		FAILS(EINVAL, mtcp_register_callback(mctx, monitor, below, MOS_NULL + 1, on_event));
	}
}

static int defined_late;

/* A callback may define and register; it takes effect with the next hook of the connection. */
static void defines(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	event_t late = define(MOS_ON_PKT_IN, yes, "s");

	CHECK(late >= 4096);
	GIVES(0, mtcp_register_callback(m, sock, late, MOS_HK_SND, on_event));
	defined_late++;
}

static int late_packets, late_calls;

static void count_late(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
	late_packets++;
	late_calls += strcmp(trace, "sS") == 0;
	traced = 0;
	trace[0] = '\0';
}

static void late(void)
{
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_CONN_START, MOS_HK_SND, defines));
	GIVES(0, mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_RCV, count_late));
}

static void *definer(void *unused)
{
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "t%d", i);
		set(define(MOS_ON_PKT_IN, no, name), on_event);
	}
	return unused;
}

static void threads(void)
{
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&thread[i], NULL, definer, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	/* All four defined the same. */
	event_t low = define(MOS_ON_PKT_IN, no, "t0"), high = low;
	for (int i = 1; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof name, "t%d", i);
		event_t event = define(MOS_ON_PKT_IN, no, name);
		high = event > high ? event : high;
		low = event < low ? event : low;
	}
	CHECK(high - low == 99);
}

/* The octets were copied, are as they were, and are the same for the filter and the callback. */
struct rule {
	uint64_t big;
	double fraction;
	char text[50];
};
static void *seen_by_filter;

static bool reads_rule(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct rule *rule = arg->arg;

	(void)m, (void)sock, (void)side, (void)event;
	CHECK(arg->len == sizeof *rule && rule->big == 1ull << 40 && rule->fraction == 0.5 &&
	      strcmp(rule->text, "text") == 0);
	seen_by_filter = rule;
	note('u');
	return true;
}

static void on_rule(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m, (void)sock, (void)side, (void)event;
	CHECK(arg->arg == seen_by_filter);
	note('U');
}

static void arguments(void)
{
	struct rule *rule = calloc(1, sizeof *rule), zero = { 0 };
	struct filter_arg arg = { rule, sizeof *rule };

	MUST(rule != NULL);
	rule->big = 1ull << 40, rule->fraction = 0.5;
	strcpy(rule->text, "text");
	event_t event = mtcp_define_event(MOS_ON_PKT_IN, reads_rule, &arg);
	CHECK(event == mtcp_define_event(MOS_ON_PKT_IN, reads_rule, &arg));
	*rule = zero;
	CHECK(event != mtcp_define_event(MOS_ON_PKT_IN, reads_rule, &arg));
	/* The original compares an argument with one that is not there by following NULL. */
	event_t without = mtcp_define_event(MOS_ON_PKT_IN, reads_rule, NULL);
	CHECK(without >= 4096 && without != event);
	CHECK(without == mtcp_define_event(MOS_ON_PKT_IN, reads_rule, NULL));
	free(rule);
	set(event, on_rule);
}

/* At which hooks: those of the built-in event far above. */
static void hooks(void)
{
	event_t data = define(define(MOS_ON_CONN_NEW_DATA, no, "v"), no, "w");
	event_t start = define(define(MOS_ON_CONN_START, no, "v"), no, "w");
	event_t never = define(define(MOS_ON_TIMEOUT, no, "v"), no, "w");

	FAILS(EINVAL, mtcp_register_callback(mctx, monitor, data, MOS_HK_SND, on_event));
	FAILS(EINVAL, mtcp_register_callback(mctx, monitor, data, MOS_HK_RCV, on_event));
	GIVES(0, mtcp_register_callback(mctx, monitor, data, MOS_NULL, on_event));
	FAILS(EINVAL, mtcp_register_callback(mctx, monitor, start, MOS_NULL, on_event));
	GIVES(0, mtcp_register_callback(mctx, monitor, start, MOS_HK_RCV, on_event));
	GIVES(0, mtcp_register_callback(mctx, monitor, start, MOS_HK_SND, on_event));
	GIVES(0, mtcp_register_callback(mctx, monitor, never, MOS_NULL, on_event));
	GIVES(0, mtcp_register_callback(mctx, monitor, never, MOS_HK_SND, on_event));
}

/* ---- arguments that are wrong ---------------------------------------------------------------------------------- */

static void refused(const char *conf)
{
	struct filter_arg bad = { NULL, 1 };

	FAILS_WITH(0, EPERM, mtcp_define_event(MOS_ON_PKT_IN, yes, NULL));
	FAILS_WITH(0, EPERM, mtcp_alloc_event(MOS_ON_PKT_IN));
	FAILS(EACCES, mtcp_raise_event(NULL, 4096));
	MUST(mtcp_init(conf) == 0);
	FAILS_WITH(0, EINVAL, mtcp_define_event(MOS_ON_PKT_IN, NULL, NULL));
	FAILS_WITH(0, EINVAL, mtcp_define_event(MOS_ON_PKT_IN, yes, &bad));
	bad.len = SIZE_MAX;
	FAILS_WITH(0, EINVAL, mtcp_define_event(MOS_ON_PKT_IN, yes, &bad));
	bad.arg = &bad;
	FAILS_WITH(0, EINVAL, mtcp_define_event(MOS_ON_PKT_IN, yes, &bad));
	const event_t wrong[] = { 0, 3, 1 << 12, 4097, 1ull << 40, UINT64_MAX };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		FAILS_WITH(0, EINVAL, mtcp_define_event(wrong[i], yes, NULL));
		FAILS_WITH(0, EINVAL, mtcp_alloc_event(wrong[i]));
	}
	/* Sixteen below each other, no more. */
	event_t at = MOS_ON_ERROR;
	for (int i = 0; i < 16; i++) {
		at = mtcp_alloc_event(at);
		CHECK(at >= 4096);
	}
	FAILS_WITH(0, ENOMEM, mtcp_alloc_event(at));
	FAILS_WITH(0, ENOMEM, mtcp_define_event(at, yes, NULL));
	mctx = mtcp_create_context(0);
	MUST(mctx != NULL);
	FAILS(EPERM, mtcp_raise_event(mctx, at));
	FAILS(EPERM, mtcp_raise_event(mctx, UINT64_MAX));
	GIVES(0, mtcp_destroy_context(mctx));
	FAILS(EACCES, mtcp_raise_event(mctx, at));
	GIVES(0, mtcp_destroy());
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	nested = atoi(argv[2]);
	refused(argv[1]);
	run(argv[1], a_tree, "*dDaAbeEcC");
	run(argv[1], a_pruned_tree, "fhjiI");
	run(argv[1], replaced, "a!");
	run(argv[1], raised, "pP2qQ1");
	run(argv[1], raised_in_vain, "r");
	run(argv[1], many, "");
	run(argv[1], threads, NULL);
	run(argv[1], arguments, "uU");
	run(argv[1], hooks, NULL);
	expected = NULL;
	run(argv[1], late, NULL);
	CHECK(defined_late == 1);
	CHECK(late_packets > 10 && late_calls == late_packets - 1);
	/* Ids outlive contexts and mtcp_destroy(). */
	MUST(mtcp_init(argv[1]) == 0);
	CHECK(define(MOS_ON_PKT_IN, yes, "a") == define(MOS_ON_PKT_IN, yes, "a"));
	return report();
}
