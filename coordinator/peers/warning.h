/*
 * Warnings of what others can cause as often as they like: one of a kind is told at once, the next
 * ones a minute later, as a count and the last of them.
 */
#ifndef PAIL_PEERS_WARNING_H
#define PAIL_PEERS_WARNING_H

#include <stdint.h>

/* One kind; begins as zeros. */
struct warning {
	uint64_t next_ms; /* not before */
	uint64_t held;    /* how often it was not told since */
	char text[400];   /* of the last one */
};

void warn(struct warning *w, uint64_t now_ms, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Now and then: tell what was not told at once. */
void warning_tick(struct warning *w, uint64_t now_ms);

#endif
