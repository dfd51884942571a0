/*
 * The helpers that sample programs of the mOS stack include: each function, with what HTTP and the headers say that it
 * gives. usage: compat
 */
#define _GNU_SOURCE
#define INFO
#include "mos_api.h"
#include "mtcp_util.h"
#include "applib.h"
#include "cpu.h"
#include "debug.h"
#include "http_parsing.h"
#include "rss.h"

#include "check.h"

#include <sched.h>

static const char request[] = "GET  /a/b.html?c=d HTTP/1.1\r\nHost: example.org\r\ncontent-length: \t1234\r\n"
			      "Empty:\r\n\r\nbody";
static const char response[] = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
			       "Last-Modified: Thu, 29 Feb 2024 23:59:59 GMT\r\nExpires: never\r\n"
			       "Content-Length: -1\r\nAge: 99999999999999999999999\r\n\r\n";

static void headers(void)
{
	char data[200], value[64];
	int n = (int)strlen(request) - 4;

	strcpy(data, request);
	for (int cut = 0; cut < n; cut++)
		GIVES(0, find_http_header(data, cut));
	CHECK(strcmp(data, request) == 0);
	GIVES(GET, is_http_request(data, n));
	GIVES(0, is_http_request(data, 3));
	GIVES(0, is_http_response(data, n));
	GIVES(n, find_http_header(data, (int)strlen(request)));
	CHECK((int)strlen(data) == n - 1 && data[n] == 'b');
	CHECK(http_get_url(data, n, value, sizeof(value)) == data + 5 && strcmp(value, "/a/b.html?c=d") == 0);
	CHECK(http_get_url(data, n, value, 5) != NULL && strcmp(value, "/a/b") == 0);
	GIVES(NULL, http_get_url(data, 3, value, sizeof(value)));
	CHECK(value[0] == 0);
	CHECK(http_get_url(data, 8, value, sizeof(value)) != NULL && strcmp(value, "/a/") == 0); /* no further */
	CHECK(http_header_str_val(data, "HOST:", 5, value, sizeof(value)) == value && strcmp(value, "example.org") == 0);
	CHECK(http_header_str_val(data, "Host:", 5, value, 8) == value && strcmp(value, "example") == 0);
	GIVES(NULL, http_header_str_val(data, "Empty:", 6, value, sizeof(value)));
	GIVES(NULL, http_header_str_val(data, "Other:", 6, value, sizeof(value)));
	CHECK(value[0] == 0);
	GIVES(NULL, http_header_str_val(data, "Host:", 5, value, 0));
	GIVES(1234, http_header_long_val(data, CONTENT_LENGTH_HDR, sizeof(CONTENT_LENGTH_HDR) - 1));
	GIVES(-1, http_header_long_val(data, "Host:", 5));
	GIVES(1, http_check_header_field(data, "Empty:"));
	GIVES(0, http_check_header_field(data, "GET"));
	strcpy(data, "POST / HTTP/1.0\n\n");
	GIVES(POST, is_http_request(data, 17));
	GIVES(17, find_http_header(data, 17));
}

static void responses(void)
{
	char data[300], value[16], status[] = "200 OK", control[] = "private, Max-Age=3600, public", none[] = "max-age=";
	int code = 77, version = 77, n = (int)strlen(response);

	strcpy(data, response);
	GIVES(1, is_http_response(data, n));
	GIVES(404, http_get_status_code(data));
	GIVES(-1, http_get_status_code(status));
	GIVES(0, http_parse_first_resp_line(status, 6, &code, &version));
	CHECK(code == 77 && version == 77);
	GIVES(1, http_parse_first_resp_line(data, n, &code, &version));
	CHECK(code == 404 && version == HTTP_11);
	GIVES(0, http_parse_first_resp_line(data, 11, &code, &version));
	GIVES(0, http_parse_first_resp_line("HTTP/1.1 20x OK", 15, &code, &version));
	GIVES(1, http_parse_first_resp_line("HTTP/1.0 200 OK", 15, &code, &version));
	CHECK(code == 200 && version == HTTP_10);
	CHECK(http_get_http_version_resp(data, n, value, sizeof(value)) == value && strcmp(value, "HTTP/1.1") == 0);
	GIVES(NULL, http_get_http_version_resp(status, 6, value, sizeof(value)));
	GIVES(784111777, http_header_date(data, "Date:", 5));           /* the example of RFC 9110 */
	GIVES(1709251199, http_header_date(data, "Last-Modified:", 14)); /* date -d '2024-02-29 23:59:59Z' +%s */
	GIVES(-1, http_header_date(data, "Expires:", 8));
	GIVES(-1, http_header_date(data, "Other:", 6));
	GIVES(-1, http_header_long_val(data, CONTENT_LENGTH_HDR, sizeof(CONTENT_LENGTH_HDR) - 1));
	GIVES(-1, http_header_long_val(data, "Age:", 4));
	GIVES(3600, http_get_maxage(control, (int)strlen(control)));
	GIVES(-1, http_get_maxage(control, 10));
	GIVES(-1, http_get_maxage(none, 8));
}

static void configuration(void)
{
	struct conf_var settings[] = { { (char *)"www_main", "" }, { (char *)"core_limit", "7" }, { (char *)"port", "" } };
	char name[64];

	snprintf(name, sizeof(name), "compat-%d.conf", (int)getpid());
	FILE *f = fopen(name, "w");
	MUST(f != NULL);
	fputs("# a comment\n\n  www_main =  /srv/www  # here\nother=1\nport=80", f);
	fclose(f);
	GIVES(0, LoadConfig(name, settings, 3));
	CHECK(strcmp(settings[0].value, "/srv/www") == 0 && strcmp(settings[1].value, "7") == 0);
	CHECK(strcmp(settings[2].value, "80") == 0);
	for (int i = 0; i < 3; i++) { /* no =, a value that is too long, a line that is */
		f = fopen(name, "w");
		MUST(f != NULL);
		fprintf(f, i == 0 ? "www_main%d\n" : i == 1 ? "www_main = %0200d\n" : "# %01500d\n", i);
		fclose(f);
		FAILS(EINVAL, LoadConfig(name, settings, 3));
	}
	unlink(name);
	FAILS(ENOENT, LoadConfig(name, settings, 3));
	CHECK(strcmp(settings[0].value, "/srv/www") == 0);
}

static void names(void)
{
	CHECK(strcmp(strevent(MOS_EPOLLIN), "MOS_EPOLLIN") == 0);
	CHECK(strcmp(strevent((uint32_t)MOS_EPOLLET), "MOS_EPOLLET") == 0);
	CHECK(strcmp(strevent(0), "Unknown") == 0 && strcmp(strevent(6), "Unknown") == 0);
	CHECK(strcmp(strcbevent(MOS_ON_CONN_START), "MOS_ON_CONN_START") == 0);
	CHECK(strcmp(strcbevent(4096), "Unknown") == 0);
	CHECK(MAX(2, 3) == 3 && MIN(2, 3) == 2 && TRUE == 1 && FALSE == 0 && ERROR == -1);
	CHECK(MAX_CPUS == 16 && MAX_FLOW_NUM == 1000000 && MAX_EVENTS == 3000000 && sizeof(struct conf_var) == 112);
}

static void cores(void)
{
	cpu_set_t set;
	int core = -1;

	CHECK(GetNumCPUs() == sysconf(_SC_NPROCESSORS_ONLN));
	FAILS(EINVAL, CoreAffinitize(-1));
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	while (core < CPU_SETSIZE - 1 && !CPU_ISSET(++core, &set))
		;
	GIVES(0, CoreAffinitize(core));
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(core, &set));
	/* One bit of input is one window of the key. */
	CHECK(GetRSSHash(htonl(0x80000000), 0, 0, 0) == 0x6d5a6d5a && GetRSSHash(0, htonl(0x40000000), 0, 0) == 0xdab4dab4);
	CHECK(GetRSSHash(0, 0, htons(0x8000), 0) == 0x6d5a6d5a && GetRSSHash(0, 0, 0, htons(1)) == 0x36ad36ad);
	CHECK(GetRSSCPUCore(htonl(0x80000000), 0, 0, 0, 16) == 0x5a % 16);
	CHECK(GetRSSCPUCore(1, 2, 3, 4, 7) == GetRSSCPUCore(2, 1, 4, 3, 7));
}

static int evaluated;

int main(void)
{
	errno = ERANGE;
	TRACE_INFO("it is %d\n", 42);
	TRACE_ERROR("%d\n", ++evaluated); /* nobody defined DBGERR */
	TRACE_APP("%d\n", ++evaluated);
	CHECK(errno == ERANGE && evaluated == 0);
	if (evaluated)
		TRACE_CONFIG("no\n");
	else
		TRACE_CONFIG("configured\n");
	headers();
	responses();
	configuration();
	names();
	cores();
	return report();
}
