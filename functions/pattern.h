/*
 * Lua's patterns, matched by code of our own that counts its steps: a pattern that backtracks can
 * be stopped at any moment, by the function that the matcher was given.
 */
#ifndef PAIL_FUNCTIONS_PATTERN_H
#define PAIL_FUNCTIONS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_CAPTURES_MAX 32
#define PATTERN_DEPTH_MAX    200 /* of the matcher's own recursion: "pattern too complex" */

#define CAPTURE_OPEN     (-1)
#define CAPTURE_POSITION (-2)

struct pattern_capture {
	const char *p;
	ptrdiff_t n; /* or CAPTURE_OPEN, CAPTURE_POSITION */
};

struct pattern {
	const char *subject, *subject_end;
	const char *end; /* of the pattern */
	/* Neither returns if it does not want to: steps were taken; the pattern is malformed. */
	void (*steps)(void *arg, size_t n);
	void (*fail)(void *arg, const char *text, int number);
	void *arg;

	unsigned pending; /* steps that were not told yet */
	int depth;
	int count; /* of captures */
	struct pattern_capture capture[PATTERN_CAPTURES_MAX];
};

/* Match the pattern from p on against what begins at s.  The end of the match, or NULL. */
const char *pattern_match(struct pattern *m, const char *s, const char *p);

/* Whether this is a plain string, in which nothing has a meaning of its own. */
bool pattern_is_plain(const char *p, size_t n);

#endif
