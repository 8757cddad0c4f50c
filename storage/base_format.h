/* How base's rows lie on disk.  Keys are big-endian, so that LMDB's order is theirs. */
#ifndef PAIL_BASE_FORMAT_H
#define PAIL_BASE_FORMAT_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "common/hash.h"
#include "include/wire.h"
#include "storage/engine.h"

#define BASE_FORMAT 1u

/* What stands before a value; the checksum covers bucket, key, and all of this but itself. */
struct item_head {
	uint64_t version;
	uint64_t expiry;
	uint32_t crc;
	uint32_t zero;
};
_Static_assert(sizeof(struct item_head) == 24, "layout on disk");

struct dir_row {
	uint64_t id;
	uint64_t count;
};

struct meta_row {
	uint32_t format;
	uint32_t crc;
	struct engine_meta meta;
};

struct key_bytes {
	size_t n;
	uint8_t data[16 + WIRE_KEY_MAX];
};

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline uint32_t item_crc(uint64_t bucket, const struct engine_item *item)
{
	const uint64_t head[3] = {bucket, item->version, item->expiry};
	uint32_t crc = crc32c(0, head, sizeof(head));

	crc = crc32c(crc, item->key.p, item->key.n);
	return crc32c(crc, item->value.p, item->value.n);
}

#endif
