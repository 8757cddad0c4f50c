/*
 * A small program on libpail: a thousand writes in flight at once, then each awaited.
 *
 *	cc futures.c $(pkg-config --cflags --libs pail) -o futures && ./futures tcp://127.0.0.1:4040
 */
#include <pail.h>
#include <stdio.h>

#define COUNT 1000

int main(int argc, char **argv)
{
	const char *endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:4040";
	static struct pail_future *future[COUNT];
	struct pail_result *result;
	struct pail *p;
	uint64_t keys;
	int r = pail_open(endpoint, NULL, &p);

	if (r != PAIL_OK) {
		fprintf(stderr, "%s: %s\n", endpoint, pail_status_name(r));
		return 1;
	}
	if (pail_create(p, pail_str("example"), NULL) != PAIL_OK)
		goto failed;
	for (int i = 0; i < COUNT; i++) {
		char key[32];
		struct pail_request q = {
			.size = sizeof(q), .method = PAIL_PUT, .bucket = pail_str("example")};

		snprintf(key, sizeof(key), "key %d", i);
		q.key = pail_str(key);
		q.value = pail_str("some value");
		if (pail_async(p, &q, &future[i]) != PAIL_OK) /* the bytes are copied */
			goto failed;
	}
	printf("%zu in flight\n", pail_in_flight(p));
	for (int i = 0; i < COUNT; i++) {
		r = pail_await(&future[i], &result);
		pail_result_free(&result);
		if (r != PAIL_OK)
			goto failed;
	}
	if (pail_count(p, pail_str("example"), &keys) != PAIL_OK)
		goto failed;
	printf("%llu keys\n", (unsigned long long)keys);
	pail_drop(p, pail_str("example"), NULL);
	pail_close(&p);
	return 0;
failed:
	fprintf(stderr, "%s\n", pail_why(p));
	pail_close(&p);
	return 1;
}
