/* Distances between words (optimal string alignment). */
#include "common/near.h"

#include <stddef.h>
#include <string.h>

#define WORD_MAX 63u

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters must change to make `b` of `a`; neighbours swapped are one change. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0];
	unsigned *above = rows[1];
	unsigned *row = rows[2];

	for (unsigned k = 0; k <= b_len; k++)
		above[k] = k;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *free_row = before;

		row[0] = (unsigned)i;
		for (size_t k = 1; k <= b_len; k++) {
			row[k] = least(least(above[k], row[k - 1]) + 1,
				       above[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				row[k] = least(row[k], before[k - 2] + 1);
		}
		before = above;
		above = row;
		row = free_row;
	}
	return above[b_len];
}

unsigned near_distance(const char *typed, const char *known)
{
	size_t typed_len = strlen(typed);
	size_t known_len = strlen(known);
	unsigned d;

	if (typed_len > WORD_MAX || known_len > WORD_MAX)
		return NEAR_NOT;
	if (typed_len >= 3 && !strncmp(typed, known, typed_len))
		return typed_len < known_len;
	d = distance(typed, typed_len, known, known_len);
	return d <= known_len / 3 ? d : NEAR_NOT;
}
