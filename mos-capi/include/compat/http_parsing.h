/*
 * http_parsing.h - enough of HTTP/1 to look at headers. For programs written for the mOS stack.
 * Headers that are looked through are strings: find_http_header() makes them so. Keys have their colon: "Host:".
 */
#ifndef MOS_COMPAT_HTTP_PARSING_H
#define MOS_COMPAT_HTTP_PARSING_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define HTTP_GET "GET"
#define CONTENT_LENGTH_HDR "Content-Length:"
#define CONN_HDR_FLD "Connection:"
#define KEEP_ALIVE_STR "Keep-Alive"

enum {
	GET = 1,
	POST
};

/* Versions. */
enum {
	HTTP_09,
	HTTP_10,
	HTTP_11
};

/*
 * The length of the header at the start of len octets, with its empty line; 0 when its end is not among them. The last
 * octet of the header becomes a 0.
 */
static inline int find_http_header(char *data, int len)
{
	int i;

	for (i = 1; i < len; i++) {
		int back = i > 1 && data[i - 1] == '\r' ? 2 : 1;

		if (data[i] == '\n' && data[i - back] == '\n') {
			data[i] = 0;
			return i + 1;
		}
	}
	return 0;
}

static inline int mos_http_begins(const char *data, int len, const char *word)
{
	int n = (int)strlen(word);
	return len >= n && memcmp(data, word, (size_t)n) == 0;
}

/* GET or POST, or 0 when the octets do not begin such a request. */
static inline int is_http_request(char *data, int len)
{
	if (mos_http_begins(data, len, "GET "))
		return GET;
	return mos_http_begins(data, len, "POST ") ? POST : 0;
}

/* Whether the octets begin a response. */
static inline int is_http_response(char *data, int len)
{
	return mos_http_begins(data, len, "HTTP/");
}

/* Copies at most len characters of text up to one of those in `stop`. NULL when there is none, and value is empty then. */
static inline char *mos_http_copy(const char *text, int len, const char *stop, char *value, int value_len)
{
	int n = 0;

	if (value_len <= 0)
		return NULL;
	while (n < value_len - 1 && n < len && text[n] != 0 && strchr(stop, text[n]) == NULL) {
		value[n] = text[n];
		n++;
	}
	value[n] = 0;
	return n > 0 ? value : NULL;
}

/* Where the value of a field begins; the first line of buf is not a field. */
static inline const char *mos_http_field(const char *buf, const char *key, int key_len)
{
	while ((buf = strchr(buf, '\n')) != NULL) {
		buf++;
		if (key_len >= 0 && strncasecmp(buf, key, (size_t)key_len) == 0)
			return buf + key_len + strspn(buf + key_len, " \t");
	}
	return NULL;
}

/* Copies the value of a field, as much of it as fits. value, or NULL when there is none. */
static inline char *http_header_str_val(const char *buf, const char *key, const int key_len, char *value, int value_len)
{
	const char *field = mos_http_field(buf, key, key_len);

	return mos_http_copy(field, field != NULL ? value_len : 0, "\r\n", value, value_len);
}

/* The value of a field that is a number that is not negative, else -1. */
static inline long int http_header_long_val(const char *buf, const char *key, int key_len)
{
	char value[20], *end;
	long number;

	/* What fills the room may be cut, and is too much for a long anyway. */
	if (http_header_str_val(buf, key, key_len, value, sizeof(value)) == NULL || strlen(value) >= 19)
		return -1;
	number = strtol(value, &end, 10);
	return end != value && number >= 0 ? number : -1;
}

/* Whether the header has a field. */
static inline int http_check_header_field(const char *data, const char *field)
{
	return mos_http_field(data, field, (int)strlen(field)) != NULL;
}

/* Copies the address that a GET request asks for. Where it begins in data, or NULL. */
static inline char *http_get_url(char *data, int data_len, char *value, int value_len)
{
	int at = mos_http_begins(data, data_len, HTTP_GET " ") ? 4 : data_len;

	while (at < data_len && (data[at] == ' ' || data[at] == '\t'))
		at++;
	return mos_http_copy(data + at, data_len - at, " \r\n", value, value_len) != NULL ? data + at : NULL;
}

/* Copies the version of a response: "HTTP/1.1". value, or NULL. */
static inline char *http_get_http_version_resp(char *data, int len, char *value, int value_len)
{
	return mos_http_copy(data, is_http_response(data, len) ? len : 0, " \r\n", value, value_len);
}

/* Takes a status line apart: "HTTP/1.1 200". 1, or 0 when it is none; then nothing is written. */
static inline int http_parse_first_resp_line(const char *data, int len, int *scode, int *ver)
{
	int at, code = 0;

	if (len < 12 || !mos_http_begins(data, len, "HTTP/1.") || data[8] != ' ')
		return 0;
	for (at = 9; at < 12; at++) {
		if (data[at] < '0' || data[at] > '9')
			return 0;
		code = code * 10 + data[at] - '0';
	}
	*scode = code;
	*ver = data[7] == '0' ? HTTP_10 : HTTP_11;
	return 1;
}

/* The status of a response, or -1. */
static inline int http_get_status_code(void *response)
{
	const char *line = (const char *)response;
	int code, version;

	return http_parse_first_resp_line(line, (int)strcspn(line, "\r\n"), &code, &version) ? code : -1;
}

/* The seconds of "max-age=" among len octets of a Cache-Control field, or -1. */
static inline int http_get_maxage(char *cache_ctl, int len)
{
	static const char key[] = "max-age=";
	int n = (int)sizeof(key) - 1, age = 0, i;

	for (i = 0; i + n < len; i++) {
		if (strncasecmp(cache_ctl + i, key, (size_t)n) != 0)
			continue;
		for (i += n; i < len && cache_ctl[i] >= '0' && cache_ctl[i] <= '9'; i++)
			age = age < 100000000 ? age * 10 + cache_ctl[i] - '0' : age;
		return cache_ctl[i - 1] != '=' ? age : -1;
	}
	return -1;
}

/* The time of a field of len octets, as "Sun, 06 Nov 1994 08:49:37 GMT"; -1 when it has no such value. */
static inline time_t http_header_date(const char *data, const char *field, int len)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char value[40], month[4];
	int day, year, hour, minute, second, from_march;
	const char *at;
	long days;

	if (http_header_str_val(data, field, len, value, sizeof(value)) == NULL ||
	    sscanf(value, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6)
		return -1;
	at = strstr(months, month);
	if (at == NULL || strlen(month) != 3 || (at - months) % 3 != 0 || year < 1970)
		return -1;
	if (day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return -1;
	/* Years begin in March here, so that the odd day is the last one. */
	from_march = ((int)(at - months) / 3 + 10) % 12;
	year -= from_march >= 10;
	days = year * 365L + year / 4 - year / 100 + year / 400;
	days += (from_march * 153 + 2) / 5 + day - 1 - 719468L;
	return ((time_t)days * 24 + hour) * 3600 + minute * 60 + second;
}

#endif /* MOS_COMPAT_HTTP_PARSING_H */
