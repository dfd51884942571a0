/* A monitor on libtins. It reads every octet in order of both directions. */
#include <cstdint>
#include <exception>
#include <tins/ethernetII.h>
#include <tins/ip_address.h>
#include <tins/tcp_ip/stream_follower.h>

using Tins::TCPIP::Stream;

/* Who is told of octets: nobody while it is timed, when they are only counted. */
typedef void (*deliver_t)(uint32_t client, uint16_t client_port, uint32_t server, uint16_t server_port,
			  int to_server, const uint8_t *data, size_t len);

struct monitor {
	Tins::TCPIP::StreamFollower follower;
	deliver_t deliver;
	uint64_t octets;

	void hand(Stream &stream, const Stream::payload_type &data, int to_server)
	{
		octets += data.size();
		if (deliver)
			deliver(stream.client_addr_v4(), stream.client_port(), stream.server_addr_v4(),
				stream.server_port(), to_server, data.data(), data.size());
	}
};

extern "C" monitor *tins_monitor_begin(deliver_t deliver) noexcept
{
	monitor *m = new monitor{ {}, deliver, 0 };

	m->follower.new_stream_callback([m](Stream &stream) {
		stream.client_data_callback([m](Stream &s) { m->hand(s, s.client_payload(), 1); });
		stream.server_data_callback([m](Stream &s) { m->hand(s, s.server_payload(), 0); });
	});
	return m;
}

extern "C" void tins_monitor_packet(monitor *m, const uint8_t *data, uint32_t len) noexcept
{
	try {
		Tins::EthernetII packet(data, len);
		m->follower.process_packet(packet);
	} catch (const std::exception &) {
		/* Not understood: what was in it is missing. */
	}
}

/* Returns how many octets there were. */
extern "C" uint64_t tins_monitor_end(monitor *m) noexcept
{
	uint64_t octets = m->octets;

	delete m;
	return octets;
}
