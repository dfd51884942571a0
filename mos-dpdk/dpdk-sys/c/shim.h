/* What mos-dpdk calls of DPDK and cannot call from Rust: macros, and fields whose places differ between versions. */

#ifndef MOS_DPDK_SHIM_H
#define MOS_DPDK_SHIM_H

#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>

/* What the port has to know of a received buffer. */
struct mos_dpdk_view {
    /* NULL when it is of several segments, or has lost its VLAN tag. */
    const unsigned char *data;
    /* By the device, when it is timed. */
    uint64_t time;
    /* Of all segments; more than any frame has when the tag is lost: in another network it would be another frame. */
    uint32_t len;
    bool timed;
    /* It can be sent as it is: of one segment, and nothing is left to a device to do. */
    bool plain;
};

/* Where buffers have their time: an offset, below 0 for nowhere, and the bit that says that there is one. */
struct mos_dpdk_clock {
    int offset;
    int flag;
};

int mos_dpdk_errno(void);

/* rte_eal_init. Unless said is NULL, it gets what C prints to stderr meanwhile; usage texts go nowhere. */
int mos_dpdk_init(int argc, char **argv, FILE *said);

/* Where drivers put the times of frames. */
struct mos_dpdk_clock mos_dpdk_find_clock(void);

/* Looks at received buffers, and puts back the VLAN tags that were taken out. */
void mos_dpdk_look(struct rte_mbuf **mbufs, uint16_t count, struct mos_dpdk_clock clock, struct mos_dpdk_view *views);

static const uint64_t MOS_DPDK_RSS_IPV4 = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4;
static const uint64_t MOS_DPDK_RSS_IPV6 = RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6;
static const uint64_t MOS_DPDK_RSS_PORTS = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                                           RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t MOS_DPDK_RX_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t MOS_DPDK_RX_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;

#endif
