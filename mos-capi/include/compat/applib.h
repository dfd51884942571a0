/* applib.h - what the sample programs of the mOS stack share: limits, configuration files, names of events. */
#ifndef MOS_COMPAT_APPLIB_H
#define MOS_COMPAT_APPLIB_H

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mos_api.h"

#define MAX_LINE_LEN 1000
#define MAX_FLOW_NUM 1000000
#define MAX_EVENTS (MAX_FLOW_NUM * 3)
#ifndef MAX_CPUS
#define MAX_CPUS 16
#endif

#ifndef MAX
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif
#ifndef ERROR
#define ERROR (-1)
#endif

#define TIMEVAL_TO_MSEC(t) ((t).tv_sec * 1000 + (t).tv_usec / 1000)
#define TIMEVAL_TO_USEC(t) ((t).tv_sec * 1000000 + (t).tv_usec)
#define TS_GT(a, b) ((int64_t)((a) - (b)) > 0)

#define CONF_VALUE_LEN 100

/* A setting that a program has, and its value. */
struct conf_var {
	char *name;
	char value[CONF_VALUE_LEN + 1];
};

/* The text without the white space around it. */
static inline char *mos_trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = 0;
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/*
 * Reads lines "name = value" into those of size variables that have the name; # begins a comment. Variables that are
 * not in the file, and names that no variable has, are left alone.
 * 0, or -1 with the errno of fopen(), or with EINVAL for a line that has no =, is too long, or whose value is.
 */
static inline int LoadConfig(char *file_name, struct conf_var *vlist, int size)
{
	char line[MAX_LINE_LEN];
	int good = 1, i;
	FILE *file = fopen(file_name, "r");

	if (file == NULL)
		return -1;
	while (good && fgets(line, sizeof(line), file) != NULL) {
		int whole = strchr(line, '\n') != NULL || feof(file);
		char *name, *value;

		line[strcspn(line, "#")] = 0;
		name = mos_trim(line);
		value = strchr(name, '=');
		good = whole && (*name == 0 || value != NULL);
		if (!good || *name == 0)
			continue;
		*value = 0;
		name = mos_trim(name);
		value = mos_trim(value + 1);
		good = strlen(value) <= CONF_VALUE_LEN;
		for (i = 0; good && i < size; i++)
			if (strcmp(vlist[i].name, name) == 0)
				strcpy(vlist[i].value, value);
	}
	fclose(file);
	if (!good)
		errno = EINVAL;
	return good ? 0 : -1;
}

/* The name of one bit of enum epoll_event_type, else "Unknown". It is not for writing. */
static inline char *strevent(uint64_t ev)
{
	const char *name = "Unknown";

	switch (ev) {
#define MOS_NAME(bit) case (uint32_t)(bit): name = #bit; break
		MOS_NAME(MOS_EPOLLNONE);
		MOS_NAME(MOS_EPOLLIN);
		MOS_NAME(MOS_EPOLLPRI);
		MOS_NAME(MOS_EPOLLOUT);
		MOS_NAME(MOS_EPOLLRDNORM);
		MOS_NAME(MOS_EPOLLRDBAND);
		MOS_NAME(MOS_EPOLLWRNORM);
		MOS_NAME(MOS_EPOLLWRBAND);
		MOS_NAME(MOS_EPOLLMSG);
		MOS_NAME(MOS_EPOLLERR);
		MOS_NAME(MOS_EPOLLHUP);
		MOS_NAME(MOS_EPOLLRDHUP);
		MOS_NAME(MOS_EPOLLONESHOT);
		MOS_NAME(MOS_EPOLLET);
	}
	return (char *)(uintptr_t)name;
}

/* The name of a built-in event of a callback, else "Unknown". It is not for writing. */
static inline char *strcbevent(uint64_t ev)
{
	const char *name = "Unknown";

	switch (ev) {
		MOS_NAME(MOS_NULL_EVENT);
		MOS_NAME(MOS_ON_PKT_IN);
		MOS_NAME(MOS_ON_PKT_OUT);
		MOS_NAME(MOS_ON_CONN_START);
		MOS_NAME(MOS_ON_CONN_SETUP);
		MOS_NAME(MOS_ON_CONN_NEW_DATA);
		MOS_NAME(MOS_ON_ERROR);
		MOS_NAME(MOS_ON_TIMEOUT);
		MOS_NAME(MOS_ON_TCP_STATE_CHANGE);
		MOS_NAME(MOS_ON_ORPHAN);
		MOS_NAME(MOS_ON_REXMIT);
		MOS_NAME(MOS_ON_CONN_END);
		MOS_NAME(MOS_ON_DEBUG_MESSAGE);
#undef MOS_NAME
	}
	return (char *)(uintptr_t)name;
}

#endif /* MOS_COMPAT_APPLIB_H */
