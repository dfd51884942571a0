/* Checks that count, and what every test program needs. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mos_api.h"

static int checks, failures;

static inline void check(int good, const char *what, const char *file, int line, long result, int number)
{
	__atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);
	if (good)
		return;
	__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
	fprintf(stderr, "%s:%d: not so: %s (result %ld, errno %d %s)\n", file, line, what, result, number,
		strerror(number));
}

/* The condition holds. */
#define CHECK(condition) check(!!(condition), #condition, __FILE__, __LINE__, 0, errno)

/* The call returns this, and leaves errno alone. */
#define GIVES(expected, call)                                                                      \
	do {                                                                                       \
		errno = 12345;                                                                     \
		long result_ = (long)(call);                                                       \
		int errno_ = errno;                                                                \
		check(result_ == (long)(expected) && errno_ == 12345, #call " == " #expected, __FILE__, \
		      __LINE__, result_, errno_);                                                  \
	} while (0)

/* The call fails with this result and this errno. */
#define FAILS_WITH(expected, number, call)                                                         \
	do {                                                                                       \
		errno = 12345;                                                                     \
		long result_ = (long)(call);                                                       \
		int errno_ = errno;                                                                \
		check(result_ == (long)(expected) && errno_ == (number), #call " fails with " #number, \
		      __FILE__, __LINE__, result_, errno_);                                        \
	} while (0)

/* The call returns -1 with this errno. */
#define FAILS(number, call) FAILS_WITH(-1, number, call)

/* Without these a test cannot go on. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		int must_ = (condition) ? 1 : 0;                                                   \
		check(must_, #condition, __FILE__, __LINE__, 0, errno);                            \
		if (!must_) {                                                                      \
			fprintf(stderr, "mos_last_error: %s\n", mos_last_error());                 \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

/* Whatever waits for ever is a failure. */
__attribute__((constructor)) static void limit_time(void)
{
	alarm(600); /* valgrind needs a minute on an idle machine */
}

static inline int report(void)
{
	printf("%d checks, %d failures\n", checks, failures);
	return failures != 0;
}

/* The octets of the made capture: what `side` receives at offset `o`. The writer of the capture has the same rule. */
static inline unsigned char pattern(int side, uint64_t o)
{
	return (unsigned char)(o * 7 + (o >> 8) * 13 + (uint64_t)side * 101);
}

static inline int is_pattern(int side, uint64_t from, const char *octets, long n)
{
	for (long i = 0; i < n; i++)
		if ((unsigned char)octets[i] != pattern(side, from + (uint64_t)i))
			return 0;
	return 1;
}

#endif
