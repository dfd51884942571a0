/*
 * A program that loads the library when it runs, and unloads it, also while a context lives. usage: dlopen MOS_CONF LIBRARY
 */
#include <dlfcn.h>
#include "check.h"

static volatile int packets;

static void count(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
	usleep(100);
}

#define FUNCTION(name) __typeof__(name) *my_##name = (__typeof__(name) *)dlsym(library, #name)

static void use(const char *conf, const char *path, int leave_it)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	FUNCTION(mtcp_init);
	FUNCTION(mtcp_create_context);
	FUNCTION(mtcp_socket);
	FUNCTION(mtcp_register_callback);
	FUNCTION(mtcp_app_join);
	FUNCTION(mtcp_destroy_context);
	FUNCTION(mtcp_destroy);
	GIVES(0, my_mtcp_init(conf));
	mctx_t mctx = my_mtcp_create_context(0);
	CHECK(mctx != NULL);
	int sock = my_mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	GIVES(0, my_mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, count));
	packets = 0;
	if (!leave_it) {
		my_mtcp_app_join(mctx);
		CHECK(packets == 26);
		GIVES(0, my_mtcp_destroy_context(mctx));
	}
	GIVES(0, my_mtcp_destroy());
	CHECK(dlclose(library) == 0);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	for (int i = 0; i < 20; i++)
		use(argv[1], argv[2], 0);
	use(argv[1], argv[2], 1);
	for (int i = 0; i < 500 && packets < 26; i++) /* its thread goes on */
		usleep(10000);
	CHECK(packets == 26);
	return report();
}
