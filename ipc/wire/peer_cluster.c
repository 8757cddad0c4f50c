/*
 * What the nodes of a cluster say to each other of their copies.  Claims, parcels and places are
 * structs, little-endian, as they lie in memory here; in a frame they lie at any address, so they are
 * copied.
 */
#include <string.h>

#include "include/wire.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/peer_message_impl.h"

_Static_assert(sizeof(struct peer_claim) == PEER_CLAIM_BYTES, "told between nodes");
_Static_assert(sizeof(struct peer_place) == PEER_PLACE_BYTES, "told between nodes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they lie");

/* Parcels back to back, each as long as it says. */
static bool parcels_whole(struct span s)
{
	if (!s.n)
		return false;
	while (s.n) {
		uint32_t size;

		if (s.n < PEER_PARCEL_BYTES)
			return false;
		memcpy(&size, s.p, sizeof(size));
		if (size < PEER_PARCEL_BYTES || size % 8 || size > s.n)
			return false;
		s.p += size;
		s.n -= size;
	}
	return true;
}

static void beat_read(const char *p, struct peer_message *h, bool *bad)
{
	h->incarnation = take_uint(&p, bad);
	h->store = take_uint(&p, bad);
	h->round = take_uint(&p, bad);
	h->revision = take_uint(&p, bad);
	h->wall_ms = take_uint(&p, bad);
	h->flags = take_uint(&p, bad);
	h->bytes = take_bytes(&p, (size_t)PEER_CLAIMS_MAX * PEER_CLAIM_BYTES, bad);
	*bad |= h->bytes.n % PEER_CLAIM_BYTES != 0;
}

static void parcels_read(const char *p, struct peer_message *h, bool *bad)
{
	h->worker = take_uint(&p, bad);
	h->bytes = take_bytes(&p, SIZE_MAX, bad);
	*bad |= !parcels_whole(h->bytes);
}

static void elsewhere_read(const char *p, struct peer_message *h, bool *bad)
{
	h->id = take_uint(&p, bad);
	indexes_read(&p, h, bad);
	h->bytes = take_bytes(&p, (size_t)h->count * PEER_PLACE_BYTES, bad);
	*bad |= !h->bytes.n || h->bytes.n % PEER_PLACE_BYTES;
}

void cluster_read(const char *p, struct peer_message *h, bool *bad)
{
	switch (h->kind) {
	case PEER_MESSAGE_BEAT:
	case PEER_MESSAGE_GRANT:
		beat_read(p, h, bad);
		return;
	case PEER_MESSAGE_ELSEWHERE:
		elsewhere_read(p, h, bad);
		return;
	default:
		parcels_read(p, h, bad);
		return;
	}
}

/* ---- writing ---- */

char *peer_message_beat(char *p, const struct peer_message *h, uint32_t count)
{
	p = write_uint(write_uint(message_head(p, h->kind), h->incarnation), h->store);
	p = write_uint(write_uint(p, h->round), h->revision);
	p = write_uint(write_uint(p, h->wall_ms), h->flags);
	return write_bin_head(p, (size_t)count * PEER_CLAIM_BYTES);
}

char *peer_message_claim(char *p, const struct peer_claim *x)
{
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

char *peer_message_parcels(char *p, enum peer_message_kind kind, uint64_t worker, size_t n)
{
	return write_bin_head(write_uint(message_head(p, kind), worker), n);
}

char *peer_message_elsewhere(char *p, uint64_t id, uint32_t count)
{
	p = write_uint(message_head(p, PEER_MESSAGE_ELSEWHERE), id);
	return write_bin_head(p, (size_t)count * INDEX_BYTES);
}

char *peer_message_places(char *p, uint32_t count)
{
	return write_bin_head(p, (size_t)count * PEER_PLACE_BYTES);
}

char *peer_message_place(char *p, const struct peer_place *x)
{
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

/* ---- what was read ---- */

struct peer_claim peer_message_claim_at(struct span bytes, uint32_t i)
{
	struct peer_claim x;

	memcpy(&x, bytes.p + (size_t)i * sizeof(x), sizeof(x));
	return x;
}

struct peer_place peer_message_place_at(struct span bytes, uint32_t i)
{
	struct peer_place x;

	memcpy(&x, bytes.p + (size_t)i * sizeof(x), sizeof(x));
	return x;
}

uint32_t peer_message_claims(const struct peer_message *h)
{
	return (uint32_t)(h->bytes.n / PEER_CLAIM_BYTES);
}

uint32_t peer_message_place_count(const struct peer_message *h)
{
	return (uint32_t)(h->bytes.n / PEER_PLACE_BYTES);
}
