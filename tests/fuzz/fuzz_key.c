/* A key file.  What is taken reads the same again from what is written of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/key.h"
#include "tests/fuzz/fuzz.h"

static void must(bool is)
{
	if (!is)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct key_file k = {.servers = 77};
	struct key_file again = {.servers = 0};
	char text[KEY_FILE_MAX];
	char why[600] = "";
	int n;

	if (key_file_parse((const char *)data, size, "FILE", &k, why, sizeof(why)) < 0) {
		must(k.servers == 77 && *why);
		(void)touch(why, strlen(why));
		return 0;
	}
	must(k.servers <= KEY_SERVERS_MAX && !key_name_check(k.name));
	must(key_text_is(k.public, strlen(k.public)) && key_text_is(k.secret, strlen(k.secret)));
	n = snprintf(text, sizeof(text), "name=%s\npublic=%s\nsecret=%s\n", k.name, k.public,
		     k.secret);
	for (unsigned i = 0; i < k.servers; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "server=%s\n", k.server[i]);
	must(key_file_parse(text, (size_t)n, "AGAIN", &again, why, sizeof(why)) == 0);
	must(memcmp(&k, &again, sizeof(k)) == 0);
	return 0;
}
