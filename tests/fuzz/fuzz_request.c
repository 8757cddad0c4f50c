/* A frame from a client, and one from a node to a client. */
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/fuzz/fuzz.h"

static void request_look(const struct request *q)
{
	struct options o;
	struct span s;
	char why[300];

	(void)touch(q->method_name.p, q->method_name.n);
	if (q->method < 0)
		return;
	if (q->bucket.p)
		(void)touch(q->bucket.p, q->bucket.n);
	if (request_check(q, &o, why, sizeof(why)) != WIRE_OK) {
		(void)touch(why, strlen(why));
		return;
	}
	for (unsigned i = 0; i < CODEC_PARAMS_MAX; i++)
		if (request_bytes(q, i, &s) == 0)
			(void)touch(s.p, s.n);
	(void)touch(o.prefix.p, o.prefix.n);
	(void)touch(o.from.p, o.from.n);
	(void)touch(o.to.p, o.to.n);
	(void)touch(o.after.p, o.after.n);
	(void)touch(o.set.p, o.set.n);
	(void)touch(o.partitions.p, o.partitions.n);
}

static void replies_look(const char *p, const char *end)
{
	struct reply r;

	while (p < end && reply_walk(p, end, &r) == 0) {
		(void)touch(r.code.p, r.code.n);
		(void)touch(r.text.p, r.text.n);
		(void)touch(r.method.p, r.method.n);
		if (r.result)
			(void)touch(r.result, (size_t)(read_skip(r.result) - r.result));
		p = r.end;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const char *end = p + size;
	struct request q;
	const char *why;

	while (p < end) {
		if (request_walk(p, end, &q, &why) < 0) {
			(void)touch(why, strlen(why));
			break;
		}
		request_look(&q);
		p = q.end;
	}
	replies_look((const char *)data, end);
	return 0;
}
