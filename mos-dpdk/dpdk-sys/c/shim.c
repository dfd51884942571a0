#include "shim.h"

int mos_dpdk_errno(void) {
    return rte_errno;
}

int mos_dpdk_init(int argc, char **argv, FILE *said) {
    if (said == NULL)
        return rte_eal_init(argc, argv);
#ifdef __GLIBC__
    /* There the streams are variables. */
    FILE *const out = stdout;
    FILE *const err = stderr;
    FILE *usage = fopen("/dev/null", "w");
    if (usage != NULL)
        stdout = usage;
    stderr = said;
#endif
    const int used = rte_eal_init(argc, argv);
#ifdef __GLIBC__
    stdout = out;
    stderr = err;
    if (usage != NULL)
        fclose(usage);
#endif
    fflush(said);
    return used;
}

struct mos_dpdk_clock mos_dpdk_find_clock(void) {
    struct mos_dpdk_clock clock;
    clock.offset = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
    clock.flag = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);
    if (clock.flag < 0)
        clock.offset = -1;
    return clock;
}

void mos_dpdk_look(struct rte_mbuf **mbufs, uint16_t count, struct mos_dpdk_clock clock, struct mos_dpdk_view *views) {
    for (uint16_t n = 0; n < count; n++) {
        struct mos_dpdk_view *view = &views[n];
        bool whole = true;
        if (mbufs[n]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
            whole = rte_vlan_insert(&mbufs[n]) == 0;
        const struct rte_mbuf *mbuf = mbufs[n];
        view->data = whole && mbuf->nb_segs == 1 ? rte_pktmbuf_mtod(mbuf, const unsigned char *) : NULL;
        view->len = whole ? rte_pktmbuf_pkt_len(mbuf) : UINT32_MAX;
        view->timed = clock.offset >= 0 && (mbuf->ol_flags & RTE_BIT64(clock.flag));
        view->time = view->timed ? *RTE_MBUF_DYNFIELD(mbuf, clock.offset, const rte_mbuf_timestamp_t *) : 0;
        view->plain = whole && mbuf->nb_segs == 1 && !(mbuf->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK);
    }
}
