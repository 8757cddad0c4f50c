/*
 * A list of families of figures, as `metrics` tells it.  One is begun, gets its samples, and is ended;
 * all of it gathers in a buffer of its own, since a list in MessagePack begins with its length.
 */
#ifndef PAIL_FAMILIES_H
#define PAIL_FAMILIES_H

#include <stdint.h>

#include "common/buf.h"
#include "common/histogram.h"
#include "coordinator/front/family_table.h"
#include "ipc/shm/metrics.h"

struct families {
	struct buf all;
	struct buf samples; /* of the one that was begun */
	uint32_t count;
	uint32_t sample_count;
};

/* What a sample is of: up to two labels; name NULL: no more. */
struct family_label {
	const char *name;
	const char *value;
};

void families_init(struct families *f);
void families_fini(struct families *f);

void family_begin(struct families *f, enum family_id id);
/* One of each worker. */
void family_begin_metric(struct families *f, const struct metric *m);
void family_end(struct families *f);

void family_sample(struct families *f, struct family_label a, struct family_label b, uint64_t v);
void family_histogram(struct families *f, struct family_label a, const struct histogram *h);

/* A family with one sample. */
void family_one(struct families *f, enum family_id id, uint64_t v);

/* All of them, behind the key "families". */
void families_write(const struct families *f, struct buf *out);

#define LABEL(n, v) ((struct family_label){(n), (v)})
#define NO_LABEL    ((struct family_label){NULL, NULL})

#endif
