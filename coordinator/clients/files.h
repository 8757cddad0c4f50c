/*
 * The limit of file descriptors.  Each connection takes one; when there is none left, libzmq tries
 * to accept the next one over and over, and nothing else works either.  So some are held in
 * reserve. When the others are used up, no more connections are accepted for a while and the
 * reserve is let go, for workers and operators; it is taken again first when connections have
 * closed.
 */
#ifndef PAIL_FILES_H
#define PAIL_FILES_H

#include <stdbool.h>
#include <stdint.h>

#define FILES_RESERVE 64u
#define FILES_LINKS   2u

struct socket;

struct files {
	uint32_t limit;
	uint32_t used; /* nearly: numbers below it are taken */
	bool paused;
	uint64_t pauses;
	uint64_t since_ms;                       /* paused, or tried to go on, last */
	const struct socket *known[FILES_LINKS]; /* it is known how to pause them */
	uint32_t reserve_want;
	uint32_t reserved;
	int reserve[FILES_RESERVE];
};

void files_init(struct files *f);
void files_fini(struct files *f);
/* Look how many are left, and pause or go on; some of `link` may be NULL. */
void files_tick(struct files *f, struct socket *const link[FILES_LINKS], uint64_t now_ms);

#endif
