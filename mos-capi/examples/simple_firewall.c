/*
 * A firewall: the first rule that fits a connection's SYN decides whether it is forwarded; without one it is. Prints
 * the rules, and how many SYNs each has decided about, each second of the packets' time, and once more when the
 * input ends.
 *
 *     cc -I include -I include/compat examples/simple_firewall.c -lmos -lpthread -o simple_firewall
 *     MOS_IO=pcap:IN,OUT ./simple_firewall [-c MOS_CONF] [-f RULES] [-n CORES]
 *
 * A rule is a line "ACTION CLIENT[/BITS] SERVER[/BITS] [sport:PORT] [dport:PORT]", where ACTION is ACCEPT or DROP; #
 * begins a comment.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mos_api.h>
#include "applib.h"
#include "cpu.h"

#define MAX_RULES 1024
#define LINE "-----------------------------------------------------------------------\n"

struct network {
	struct in_addr address;
	int bits;
};

struct rule {
	int drop;
	struct network client, server;
	int sport, dport; /* 0: any */
	unsigned flows;
};

static struct rule rules[MAX_RULES];
static int rule_count;
static mctx_t contexts[MAX_CPUS];
static int sockets[MAX_CPUS];
static int cores;
static event_t syn_event;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* 0, or -1 when the text is no number up to most. */
static int read_number(const char *text, int most, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	*number = (int)value;
	return end == text || *end != 0 || value < 0 || value > most ? -1 : 0;
}

static int read_network(char *text, struct network *network)
{
	char *bits = text == NULL ? NULL : strchr(text, '/');

	if (text == NULL)
		return -1;
	network->bits = 32;
	if (bits != NULL) {
		*bits = 0;
		if (read_number(bits + 1, 32, &network->bits) < 0)
			return -1;
	}
	return inet_pton(AF_INET, text, &network->address) == 1 ? 0 : -1;
}

static int read_port(const char *text, struct rule *rule)
{
	if (strncmp(text, "sport:", 6) == 0)
		return read_number(text + 6, 65535, &rule->sport);
	return strncmp(text, "dport:", 6) == 0 ? read_number(text + 6, 65535, &rule->dport) : -1;
}

/* 0, also when there is no rule in the line, or -1. */
static int read_rule(char *line)
{
	static const char space[] = " \t\r\n";
	struct rule rule = { 0 };
	char *rest, *word;

	line[strcspn(line, "#")] = 0;
	word = strtok_r(line, space, &rest);
	if (word == NULL)
		return 0;
	rule.drop = strcmp(word, "DROP") == 0;
	if ((!rule.drop && strcmp(word, "ACCEPT") != 0) || rule_count == MAX_RULES)
		return -1;
	if (read_network(strtok_r(NULL, space, &rest), &rule.client) < 0 ||
	    read_network(strtok_r(NULL, space, &rest), &rule.server) < 0)
		return -1;
	while ((word = strtok_r(NULL, space, &rest)) != NULL)
		if (read_port(word, &rule) < 0)
			return -1;
	rules[rule_count++] = rule;
	return 0;
}

static void read_rules(const char *name)
{
	char line[MAX_LINE_LEN];
	FILE *file = fopen(name, "r");

	if (file == NULL)
		die(name);
	for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		int whole = strchr(line, '\n') != NULL || feof(file);

		if (!whole || read_rule(line) < 0) {
			fprintf(stderr, "%s: line %d is no rule, or one too many\n", name, number);
			exit(EXIT_FAILURE);
		}
	}
	fclose(file);
}

static void print_network(const struct network *network)
{
	char address[INET_ADDRSTRLEN], text[32];

	inet_ntop(AF_INET, &network->address, address, sizeof(address));
	snprintf(text, sizeof(text), "%s/%d", address, network->bits);
	printf("%-19s", text);
}

static void print_table(void)
{
	printf(LINE "Firewall rule table\n");
	printf("%-6s%-8s%-9s%-19s%-19s%s\n", "idx", "flows", "target", "client", "server", "port");
	for (int i = 0; i < rule_count; i++) {
		const struct rule *rule = &rules[i];
		unsigned flows = __atomic_load_n(&rule->flows, __ATOMIC_RELAXED);

		printf("%-6u%-8u%-9s", (unsigned)i + 1, flows, rule->drop ? "DROP" : "ACCEPT");
		print_network(&rule->client);
		print_network(&rule->server);
		if (rule->sport != 0)
			printf("sport:%-6d", rule->sport);
		if (rule->dport != 0)
			printf("dport:%-6d", rule->dport);
		printf("\n");
	}
	printf(LINE);
	fflush(stdout);
}

static void on_timer(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg)
{
	struct timeval second = { 1, 0 };

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	print_table();
	if (mtcp_settimer(mctx, id, &second, on_timer) < 0)
		die("mtcp_settimer");
}

static int is_in(const struct network *network, uint32_t address)
{
	/* Shifted by 32 a number would stay as it is, or not. */
	uint32_t mask = network->bits == 0 ? 0 : UINT32_MAX << (32 - network->bits);
	return ((address ^ network->address.s_addr) & htonl(mask)) == 0;
}

static struct rule *find_rule(const struct pkt_info *p)
{
	for (int i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (is_in(&rule->client, p->iph->saddr) && is_in(&rule->server, p->iph->daddr) &&
		    (rule->sport == 0 || rule->sport == ntohs(p->tcph->source)) &&
		    (rule->dport == 0 || rule->dport == ntohs(p->tcph->dest)))
			return rule;
	}
	return NULL;
}

static bool is_syn(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	UNUSED(event);
	UNUSED(arg);
	if (mtcp_getlastpkt(mctx, sock, side, &p) < 0)
		die("mtcp_getlastpkt");
	return p.tcph->syn && !p.tcph->ack;
}

static void on_syn(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int both = MOS_SIDE_BOTH;
	struct pkt_info p;
	struct rule *rule;

	UNUSED(event);
	UNUSED(arg);
	if (mtcp_getlastpkt(mctx, sock, side, &p) < 0)
		die("mtcp_getlastpkt");
	rule = find_rule(&p);
	if (rule != NULL)
		__atomic_add_fetch(&rule->flows, 1, __ATOMIC_RELAXED);
	if (rule != NULL && rule->drop) {
		if (mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP) < 0)
			die("mtcp_setlastpkt");
	} else if (mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof(both)) < 0) {
		die("mtcp_setsockopt");
	}
}

static void set_up(int core)
{
	struct timeval second = { 1, 0 };
	mctx_t mctx = contexts[core];

	sockets[core] = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (sockets[core] < 0)
		die("mtcp_socket");
	if (mtcp_register_callback(mctx, sockets[core], syn_event, MOS_HK_SND, on_syn) < 0)
		die("mtcp_register_callback");
	if (core == 0 && mtcp_settimer(mctx, sockets[core], &second, on_timer) < 0)
		die("mtcp_settimer");
}

static void on_interrupt(int signum)
{
	UNUSED(signum);
	for (int i = 0; i < cores; i++)
		mtcp_destroy_context(contexts[i]);
}

static void run(int wanted)
{
	struct mtcp_conf conf;

	mtcp_getconf(&conf);
	conf.num_cores = wanted;
	if (mtcp_setconf(&conf) < 0)
		die("mtcp_setconf");
	syn_event = mtcp_define_event(MOS_ON_PKT_IN, is_syn, NULL);
	if (syn_event == MOS_NULL_EVENT)
		die("mtcp_define_event");
	mtcp_register_signal(SIGINT, on_interrupt);
	for (; cores < wanted; cores++) {
		contexts[cores] = mtcp_create_context(cores);
		if (contexts[cores] == NULL)
			die("mtcp_create_context");
		set_up(cores);
	}
	for (int i = 0; i < cores; i++)
		mtcp_app_join(contexts[i]);
	print_table();
	for (int i = 0; i < cores; i++) {
		mtcp_close(contexts[i], sockets[i]);
		mtcp_destroy_context(contexts[i]);
	}
}

int main(int argc, char **argv)
{
	char *file = "config/mos.conf", *rule_file = "config/simple_firewall.conf";
	int most = MIN(GetNumCPUs(), MAX_CPUS), wanted = most, option;

	while ((option = getopt(argc, argv, "c:f:n:")) != -1) {
		if (option == 'c') {
			file = optarg;
		} else if (option == 'f') {
			rule_file = optarg;
		} else if (option != 'n' || read_number(optarg, most, &wanted) < 0 || wanted == 0) {
			fprintf(stderr, "usage: %s [-c MOS_CONF] [-f RULES] [-n CORES]; there are %d cores\n", argv[0],
				GetNumCPUs());
			return EXIT_FAILURE;
		}
	}
	read_rules(rule_file);
	if (mtcp_init(file) < 0)
		die(file);
	run(wanted);
	mtcp_destroy();
	return 0;
}
