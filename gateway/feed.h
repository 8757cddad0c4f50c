/*
 * What the node says of itself, asked for as seldom as will do: everybody who wants the same within
 * a moment shares one request and its answer.
 */
#ifndef PAIL_FEED_H
#define PAIL_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "include/pail.h"

enum feed_what { FEED_METRICS, FEED_STATUS, FEED_EVENTS, FEED_CLUSTER, FEED_COUNT };

#define FEED_FRESH_MS 1000u

struct feed;

/* An answer has come, or there is none and will be none: as feed_status says. */
typedef void feed_done(void *arg, enum feed_what what);

/* Asks over `node`, which stays the caller's.  NULL: no memory. */
struct feed *feed_new(struct pail *node, feed_done *done, void *arg);
/* Before the node's connection is closed: what is in flight then ends without a word. */
void feed_free(struct feed **f);

/* True: the answer there is may be taken.  False: `done` is called once there is another. */
bool feed_ask(struct feed *f, enum feed_what what);

/* Of the last answer: PAIL_OK or what was wrong; its map, until the next one; when it came. */
int feed_status(const struct feed *f, enum feed_what what);
const char *feed_why(const struct feed *f, enum feed_what what);
struct pail_value feed_value(const struct feed *f, enum feed_what what);

/* Unix time since which nothing answers, or 0. */
uint64_t feed_silent_since(const struct feed *f);

#endif
