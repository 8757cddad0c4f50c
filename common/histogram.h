/*
 * Histograms with log-linear buckets: eight to an octave, so that a value is known to 6.25 % of the
 * middle of its bucket, and the bounds are the same for ever, whoever counts and whoever reads.
 */
#ifndef PAIL_HISTOGRAM_H
#define PAIL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_EXACT   16u /* values below this one have a bucket each */
#define HISTOGRAM_OCTAVES 32u /* above them; what is larger than all is in the last bucket */
#define HISTOGRAM_BUCKETS (HISTOGRAM_EXACT + 8u * HISTOGRAM_OCTAVES)

/* Written by one thread. */
struct histogram {
	uint64_t sum;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* The bucket of a value. */
static inline uint32_t histogram_place(uint64_t v)
{
	uint32_t octave;

	if (v < HISTOGRAM_EXACT)
		return (uint32_t)v;
	octave = 63u - (uint32_t)__builtin_clzll(v); /* 4 or more */
	if (octave >= HISTOGRAM_OCTAVES + 4)
		return HISTOGRAM_BUCKETS - 1;
	return HISTOGRAM_EXACT + 8 * (octave - 4) + (uint32_t)(v >> (octave - 3) & 7);
}

/* The highest value of a bucket; of the last one UINT64_MAX. */
static inline uint64_t histogram_upper(uint32_t place)
{
	uint32_t shift;

	if (place < HISTOGRAM_EXACT)
		return place;
	if (place >= HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	shift = (place - HISTOGRAM_EXACT) / 8 + 1;
	return ((uint64_t)(8 + (place - HISTOGRAM_EXACT) % 8 + 1) << shift) - 1;
}

/* `n` times the value whose bucket is `place`. */
static inline void histogram_add(struct histogram *h, uint32_t place, uint64_t v, uint64_t n)
{
	h->sum += v * n;
	h->bucket[place] += n;
}

#endif
