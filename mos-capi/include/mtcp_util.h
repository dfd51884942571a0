/*
 * mtcp_util.h - functions that need no context: where connections go, command lines, and hashes.
 */
#ifndef MTCP_UTIL_H
#define MTCP_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The queue, of num_queues, that gets packets with these addresses and ports, and their answers: 0 .. num_queues - 1.
 * All four are in network order, as in struct sockaddr_in. It is the low 7 bits, modulo num_queues, of the symmetric
 * Toeplitz hash; see GetRSSHash() in compat/rss.h.
 * -1 with EINVAL when num_queues is not positive.
 */
int GetRSSCPUCore(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp, int num_queues);

/*
 * Splits a command line into words, in place: argv[0 .. *argc - 1] lead into str. Words end at white space that is not
 * between two " or two '; those quotes are removed.
 * 0, or -1 with EFAULT (NULL), EINVAL (more than max_argc words, or a quote that does not end).
 */
int StrToArgs(char *str, int *argc, char **argv, int max_argc);

/* xxHash of length octets. 0 with EFAULT when input is NULL and length is not 0, with EINVAL when memory is not that long.
 * (Programs that include xxhash.h, too, which declares them with other types: in another source file.) */
unsigned int XXH32(const void *input, size_t length, unsigned seed);
unsigned long long XXH64(const void *input, size_t length, unsigned long long seed);

#ifdef __cplusplus
}
#endif

#endif /* MTCP_UTIL_H */
