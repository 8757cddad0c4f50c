/* A frame from another node. */
#include <string.h>

#include "common/check.h"
#include "include/wire.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/peer_message.h"
#include "ipc/wire/request.h"
#include "tests/fuzz/fuzz.h"

static void batch_look(const struct peer_message *h)
{
	const char *p = h->bytes.p;
	const char *times = h->times;
	struct request q;
	const char *why;

	for (uint32_t i = 0; i < h->visited_count; i++)
		(void)touch(h->visited[i].p, h->visited[i].n);
	for (uint32_t i = 0; i < h->count; i++) {
		(void)read_uint(&times);
		if (request_walk(p, h->bytes.p + h->bytes.n, &q, &why) < 0)
			return;
		p = q.end;
	}
}

/* All of a cluster's message, as whoever gets it looks at it. */
static void cluster_look(const struct peer_message *h)
{
	const char *p = h->bytes.p;

	(void)touch(h->bytes.p, h->bytes.n);
	if (h->kind == PEER_MESSAGE_BEAT || h->kind == PEER_MESSAGE_GRANT) {
		for (uint32_t i = 0; i < peer_message_claims(h); i++)
			(void)peer_message_claim_at(h->bytes, i);
	} else if (h->kind == PEER_MESSAGE_ELSEWHERE) {
		check(peer_message_place_count(h) && peer_message_place_count(h) <= h->count);
		for (uint32_t i = 0; i < peer_message_place_count(h); i++)
			(void)peer_message_place_at(h->bytes, i);
	} else {
		while (p < h->bytes.p + h->bytes.n) {
			uint32_t size;

			memcpy(&size, p, sizeof(size));
			check(size >= PEER_PARCEL_BYTES && size % 8 == 0);
			p += size;
		}
		check(p == h->bytes.p + h->bytes.n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const char *end = p + size;
	struct peer_message h;

	while (p < end) {
		if (peer_message_read(p, end, &h) < 0) {
			check(h.why && *h.why);
			return 0;
		}
		if (h.kind == PEER_MESSAGE_HELLO) {
			const struct peer_versions all = {1, UINT64_MAX};

			check(h.link < PEER_LINK_COUNT);
			check(h.versions.min <= h.versions.max);
			check(peer_versions_agree(all, h.versions) == h.versions.max);
		}
		if (h.kind == PEER_MESSAGE_BATCH || h.kind == PEER_MESSAGE_ROUTED)
			batch_look(&h);
		else if (h.kind >= PEER_MESSAGE_BEAT)
			cluster_look(&h);
		for (uint32_t i = 0;
		     (h.kind == PEER_MESSAGE_REPLIES || h.kind == PEER_MESSAGE_ELSEWHERE) &&
		     i < h.count;
		     i++)
			(void)peer_message_index_at(h.indexes, i);
		if (h.kind == PEER_MESSAGE_HELLO || h.kind == PEER_MESSAGE_WELCOME)
			(void)(touch(h.node.p, h.node.n) + touch(h.version.p, h.version.n) +
			       touch(h.functions.p, h.functions.n));
		if (h.kind == PEER_MESSAGE_GOAWAY)
			(void)touch(h.text.p, h.text.n);
		if (h.kind == PEER_MESSAGE_BATCH || h.kind == PEER_MESSAGE_ROUTED ||
		    h.kind == PEER_MESSAGE_REPLIES)
			(void)touch(h.bytes.p, h.bytes.n);
		p = h.end;
	}
	return 0;
}
