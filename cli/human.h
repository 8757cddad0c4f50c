/* Sizes, counts, durations and dates as people read them, and lines that fit. */
#ifndef PAIL_CLI_HUMAN_H
#define PAIL_CLI_HUMAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "include/pail.h"

#define HUMAN_MAX 32 /* bytes that each of these takes at most */

/* 512 B, 1.5 KiB, 64 MiB: two digits that count, at least; eight columns at most. */
const char *human_bytes(uint64_t n, char out[HUMAN_MAX]);
/* Up to 99999 as it is, then 123 k, 1.5 M, 12 G: six columns at most. */
const char *human_count(uint64_t n, char out[HUMAN_MAX]);
/* 453 ms, 3 s, 5 min 12 s, 2 h, 3 d 4 h. */
const char *human_ms(uint64_t ms, char out[HUMAN_MAX]);
/* A moment of the wall clock, in local time: 2026-11-26 22:05:13. */
const char *human_date(uint64_t unix_ms, char out[HUMAN_MAX]);

/*
 * Lines of at most `columns`, broken where blanks are: the first goes on where `at` columns have
 * been written, the others begin with `indent` blanks.  A word that is longer than a line is broken.
 * Ends with a newline.
 */
void human_wrap(struct buf *b, const char *text, size_t n, size_t at, size_t indent,
		size_t columns);
/* A text of the node's in exactly `columns` (at least 3), cut with dots or filled with blanks. */
void human_cell(struct buf *b, struct pail_bytes text, size_t columns);

#endif
