/* A configuration file.  Includes are left out: they would lead to whatever lies on this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config/config.h"
#include "coordinator/routing/table.h"
#include "tests/fuzz/fuzz.h"

/* What is printed of a peer is what it is. */
static void peers_read_back(const struct conf *c)
{
	struct conf *again = NULL;
	struct buf text;
	char name[80];

	if (conf_new(&again) < 0)
		return;
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		buf_init(&text);
		conf_pair_print(p, &text);
		buf_add(&text, "", 1);
		(void)snprintf(name, sizeof(name), "peers.%s", p->key);
		conf_set(again, name, text.data + strlen(p->key) + 3, "printed");
		if (again->peers.count != i + 1 || !conf_pair_same(&again->peers.pair[i], p))
			abort();
		buf_fini(&text);
	}
	conf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c = NULL;
	struct route_table routes = {0};
	struct buf out;
	char path[64];
	char text[400];
	int fd;

	if (memmem(data, size, "include", 7))
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || conf_new(&c) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf_read_file(c, path);
	(void)close(fd);
	conf_check(c);
	if (route_table_make(c, &routes) == 0)
		for (unsigned b = 0; b < 256; b++) {
			const char name[2] = {(char)b, 0};

			if (!route_table_find(&routes, (uint8_t)b))
				route_table_explain(&routes, (struct span){name, 1}, text,
						    sizeof(text));
		}
	peers_read_back(c);
	buf_init(&out);
	conf_print(c, &out);
	(void)touch(out.data, out.len);
	(void)touch(c->errors.data, c->errors.len);
	buf_fini(&out);
	route_table_fini(&routes);
	conf_free(&c);
	return 0;
}
