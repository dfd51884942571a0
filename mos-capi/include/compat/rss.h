/* rss.h - which queue of a network card a connection's packets go to. For programs written for the mOS stack. */
#ifndef MOS_COMPAT_RSS_H
#define MOS_COMPAT_RSS_H

#include <stdint.h>
#include <netinet/in.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The Toeplitz hash with the key 6d5a6d5a..., the same for both directions. Arguments are in network order. */
uint32_t GetRSSHash(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp);

/* See mtcp_util.h, which declares it, too. */
int GetRSSCPUCore(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp, int num_queues);

#ifdef __cplusplus
}
#endif

#endif /* MOS_COMPAT_RSS_H */
