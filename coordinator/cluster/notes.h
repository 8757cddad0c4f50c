/*
 * What partitions have to say for the log, gathered: when a node ends, hundreds of them change within
 * the same second, and a line for each would push everything else out of sight.  Pure: no I/O, no clock.
 */
#ifndef PAIL_NOTES_H
#define PAIL_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/partition.h"

#define NOTES_TEXTS     24u  /* more than the clerk has texts: notes_add says when it is full */
#define NOTES_GATHER_MS 500u /* from the first of a text until it is told */
#define NOTES_LINE_MAX  160u

/* One text, and who said it since it was told last. */
struct note {
	const char *text;
	uint64_t since_ms;
	uint32_t times;
	uint64_t partitions[PARTITIONS_MAX / 64]; /* a bit each */
};

struct notes {
	uint32_t count;
	struct note note[NOTES_TEXTS]; /* in the order of their first */
};

/*
 * `partition` (below PARTITIONS_MAX) says `text`, which must stay where it is until it is
 * told.  False, and nothing is added: there is no room for another text; tell what is there first.
 */
bool notes_add(struct notes *n, uint32_t partition, const char *text, uint64_t now_ms);

/* When the first is due, or UINT64_MAX. */
uint64_t notes_due_ms(const struct notes *n);

/*
 * The oldest that is due at now_ms, as a line's text, and it is forgotten: "partition 7: the change is
 * done", "partitions 3, 9 and 12: …", "256 partitions (0, 1, 2, 3, ...): …", and "; 9 times" behind it
 * if any said it more than once.  False: none is due.  UINT64_MAX as now_ms takes all, one by one.
 */
bool notes_take(struct notes *n, uint64_t now_ms, char out[NOTES_LINE_MAX]);

#endif
