/* cpu.h - the machine's cores. For programs written for the mOS stack. */
#ifndef MOS_COMPAT_CPU_H
#define MOS_COMPAT_CPU_H

#include <unistd.h>

#include "mtcp_api.h"

/* Cores that are online, at least 1. */
static inline int GetNumCPUs(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores > 0 ? (int)cores : 1;
}

/* Binds the calling thread to a core. 0, or -1 with EINVAL. */
static inline int CoreAffinitize(int cpu)
{
	return mtcp_core_affinitize(cpu);
}

#endif /* MOS_COMPAT_CPU_H */
