/*
 * debug.h - messages on stderr. For programs written for the mOS stack.
 * Each macro is silent, and its arguments are not evaluated, unless the name beside it is defined before; but
 * TRACE_CONFIG always speaks.
 */
#ifndef MOS_COMPAT_DEBUG_H
#define MOS_COMPAT_DEBUG_H

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#if defined(__GNUC__)
#define MOS_TRACE_PRINTS __attribute__((unused, format(printf, 3, 4)))
#else
#define MOS_TRACE_PRINTS
#endif

/* Prints where a message comes from, and the message. errno stays. */
MOS_TRACE_PRINTS static inline void mos_trace(const char *function, int line, const char *format, ...)
{
	int before = errno;
	va_list arguments;

	va_start(arguments, format);
	if (function != NULL)
		fprintf(stderr, "[%10s:%4d] ", function, line);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	errno = before;
}

#define MOS_TRACE(...) mos_trace(__func__, __LINE__, __VA_ARGS__)
#define TRACE_CONFIG(...) mos_trace(NULL, 0, __VA_ARGS__)

#ifdef DBGERR
#define TRACE_ERROR(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_ERROR(...) ((void)0)
#endif
#ifdef DBGMSG
#define TRACE_DBG(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_DBG(...) ((void)0)
#endif
#ifdef INFO
#define TRACE_INFO(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_INFO(...) ((void)0)
#endif
#ifdef DBGLOG
#define TRACE_LOG(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_LOG(...) ((void)0)
#endif
#ifdef DBGTEMP
#define TRACE_TEMP(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_TEMP(...) ((void)0)
#endif
#ifdef APP
#define TRACE_APP(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_APP(...) ((void)0)
#endif
#ifdef API
#define TRACE_API(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_API(...) ((void)0)
#endif
#ifdef EPOLL
#define TRACE_EPOLL(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_EPOLL(...) ((void)0)
#endif
#ifdef MONITOR
#define TRACE_MONITOR(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_MONITOR(...) ((void)0)
#endif
#ifdef STREAM
#define TRACE_STREAM(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_STREAM(...) ((void)0)
#endif
#ifdef STATE
#define TRACE_STATE(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_STATE(...) ((void)0)
#endif
#ifdef SNDBUF
#define TRACE_SNDBUF(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_SNDBUF(...) ((void)0)
#endif
#ifdef RCVBUF
#define TRACE_RCVBUF(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_RCVBUF(...) ((void)0)
#endif
#ifdef CLWND
#define TRACE_CLWND(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_CLWND(...) ((void)0)
#endif
#ifdef LOSS
#define TRACE_LOSS(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_LOSS(...) ((void)0)
#endif
#ifdef SACK
#define TRACE_SACK(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_SACK(...) ((void)0)
#endif
#ifdef TSTAMP
#define TRACE_TSTAMP(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_TSTAMP(...) ((void)0)
#endif
#ifdef RTT
#define TRACE_RTT(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_RTT(...) ((void)0)
#endif
#ifdef RTO
#define TRACE_RTO(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_RTO(...) ((void)0)
#endif
#ifdef CONG
#define TRACE_CONG(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_CONG(...) ((void)0)
#endif
#ifdef DBGFIN
#define TRACE_FIN(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_FIN(...) ((void)0)
#endif
#ifdef FSTAT
#define TRACE_FSTAT(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_FSTAT(...) ((void)0)
#endif
#ifdef TSTAT
#define TRACE_TSTAT(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_TSTAT(...) ((void)0)
#endif
#ifdef LOOP
#define TRACE_LOOP(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_LOOP(...) ((void)0)
#endif
#ifdef ROUND
#define TRACE_ROUND(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_ROUND(...) ((void)0)
#endif
#ifdef SELECT
#define TRACE_SELECT(...) MOS_TRACE(__VA_ARGS__)
#else
#define TRACE_SELECT(...) ((void)0)
#endif

#endif /* MOS_COMPAT_DEBUG_H */
