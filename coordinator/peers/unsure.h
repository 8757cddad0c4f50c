/*
 * Whose writes of which partitions have no known outcome: a set, made while a link's requests are given
 * up.  What the same client had sent before one of them must not be done behind it.
 */
#ifndef PAIL_UNSURE_H
#define PAIL_UNSURE_H

#include <stdbool.h>
#include <stdint.h>

struct unsure {
	uint64_t *slot; /* NULL: there was no memory, and everything counts as added */
	uint32_t mask;
};

/* For `most` at most.  Give it back with unsure_fini. */
void unsure_init(struct unsure *x, uint32_t most);
void unsure_fini(struct unsure *x);

void unsure_add(struct unsure *x, uint32_t asker, uint16_t partition);
bool unsure_has(const struct unsure *x, uint32_t asker, uint16_t partition);

#endif
