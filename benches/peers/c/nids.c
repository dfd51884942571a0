/* A monitor on libnids, which has one state for the whole process. It reads every octet in order of both directions. */
#include <nids.h>
#include <pcap.h>
#include <stdint.h>

/* Who is told of octets: nobody while it is timed, when they are only counted. */
typedef void (*deliver_t)(uint32_t client, uint16_t client_port, uint32_t server, uint16_t server_port,
			  int to_server, const char *data, size_t len);

static deliver_t deliver;
static uint64_t octets;
static pcap_t *no_device;

static void hand(const struct tcp_stream *stream, const struct half_stream *half, int to_server)
{
	octets += (uint64_t)half->count_new;
	if (deliver)
		deliver(stream->addr.saddr, stream->addr.source, stream->addr.daddr, stream->addr.dest, to_server,
			half->data, (size_t)half->count_new);
}

static void on_tcp(struct tcp_stream *stream, void **word)
{
	(void)word;
	if (stream->nids_state == NIDS_JUST_EST) {
		stream->client.collect = 1;
		stream->server.collect = 1;
	} else if (stream->nids_state == NIDS_DATA) {
		if (stream->client.count_new > 0)
			hand(stream, &stream->client, 0);
		else if (stream->server.count_new > 0)
			hand(stream, &stream->server, 1);
	}
}

/* Else it writes to the system's log. */
static void say_nothing(int type, int error, struct ip *packet, void *data)
{
	(void)type, (void)error, (void)packet, (void)data;
}

/* Makes the state anew, for that many connections at once. 0, or -1. */
int nids_monitor_begin(int connections, int checksums, deliver_t to)
{
	static struct nids_chksum_ctl none = { 0, 0, NIDS_DONT_CHKSUM, 0 };

	if (no_device == NULL)
		no_device = pcap_open_dead(DLT_EN10MB, 65535);
	nids_params.pcap_desc = no_device;
	/* It follows three quarters as many. */
	nids_params.n_tcp_streams = connections / 3 * 4 + 64;
	nids_params.scan_num_hosts = 0;
	nids_params.syslog = say_nothing;
	deliver = to;
	octets = 0;
	if (no_device == NULL || !nids_init())
		return -1;
	if (checksums)
		nids_register_chksum_ctl(NULL, 0);
	else
		nids_register_chksum_ctl(&none, 1);
	nids_register_tcp(on_tcp);
	return 0;
}

void nids_monitor_packet(const uint8_t *data, uint32_t len, uint64_t microseconds)
{
	struct pcap_pkthdr header = { { (time_t)(microseconds / 1000000), (suseconds_t)(microseconds % 1000000) }, len,
				      len };

	/* It is declared without const, and writes to no packet that is whole. */
	nids_pcap_handler(NULL, &header, (u_char *)(uintptr_t)data);
}

/* Returns how many octets there were. */
uint64_t nids_monitor_end(void)
{
	nids_exit();
	return octets;
}

int nids_monitor_version(void)
{
	return NIDS_MAJOR * 100 + NIDS_MINOR;
}
