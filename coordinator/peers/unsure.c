/* A table with open addressing, never more than half full. */
#include "coordinator/peers/unsure.h"

#include <stdlib.h>

#include "common/hash.h"

void unsure_init(struct unsure *x, uint32_t most)
{
	uint32_t n = 16;

	while (n < 2 * most)
		n *= 2;
	x->slot = calloc(n, sizeof(x->slot[0]));
	x->mask = n - 1;
}

void unsure_fini(struct unsure *x)
{
	free(x->slot);
	x->slot = NULL;
}

static uint64_t key_of(uint32_t asker, uint16_t partition)
{
	return (uint64_t)1 << 48 | (uint64_t)asker << 16 | partition;
}

/* Its slot, or the free one where it belongs. */
static uint64_t *slot_of(const struct unsure *x, uint64_t key)
{
	uint64_t i = hash64(0, &key, sizeof(key)) & x->mask;

	while (x->slot[i] && x->slot[i] != key)
		i = (i + 1) & x->mask;
	return &x->slot[i];
}

void unsure_add(struct unsure *x, uint32_t asker, uint16_t partition)
{
	uint64_t key = key_of(asker, partition);

	if (x->slot)
		*slot_of(x, key) = key;
}

bool unsure_has(const struct unsure *x, uint32_t asker, uint16_t partition)
{
	uint64_t key = key_of(asker, partition);

	return !x->slot || *slot_of(x, key) == key;
}
