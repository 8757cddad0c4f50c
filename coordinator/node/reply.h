/*
 * Where replies go.  A request carries a reply_to, whoever it is handed to; who has its reply gives
 * both to the sink and need not know who waits.  The sink is a table of functions, so that the
 * parts that make replies lie below those that send them.
 */
#ifndef PAIL_NODE_REPLY_H
#define PAIL_NODE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/wire.h"

/*
 * Whom a reply belongs to: a client, a gathered message of one, a fan-out of the coordinator, or a
 * batch of another node.
 */
enum reply_to_kind { REPLY_TO_CLIENT, REPLY_TO_GROUP, REPLY_TO_FANOUT, REPLY_TO_SESSION };

struct reply_to {
	uint32_t id;    /* kind in the upper two bits, index below */
	uint32_t index; /* of the request in its message */
	uint64_t generation;
};

static inline uint32_t reply_to_id(enum reply_to_kind kind, uint32_t index)
{
	return (uint32_t)kind << 30 | index;
}

static inline enum reply_to_kind reply_to_kind(struct reply_to o)
{
	return (enum reply_to_kind)(o.id >> 30);
}

static inline uint32_t reply_to_index(struct reply_to o)
{
	return o.id & 0x3fffffffu;
}

struct figures;

struct reply_sink {
	/*
	 * `count` replies of `n` bytes for one reply_to; `index` tells the indexes of their
	 * requests where they count (batches).  With `stays` the bytes stay where they are until
	 * the round's replies are sent.
	 */
	void (*replies)(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
			const char *replies, size_t n, bool stays);
	/* Why the client that waits gets no more, since too much is unread, or NULL. */
	const char *(*over)(void *arg, struct reply_to o);
	/* The same number for all requests of one client, or of one node. */
	uint32_t (*asker)(void *arg, struct reply_to o);
	/* Whether no more replies that stay may be given before this round's have been sent. */
	bool (*full)(void *arg);
	void *arg;
	uint64_t errors;         /* that were answered here, ever */
	struct figures *figures; /* that count them; NULL: nobody does */
};

/* One reply, which is copied. */
void reply_send(struct reply_sink *s, struct reply_to o, const char *reply, size_t n);

/* Answer with an error, and count it: as one of `method`, -1: of what is no request. */
void reply_error(struct reply_sink *s, struct reply_to o, int method, uint64_t msgid,
		 bool msgid_known, enum wire_error e, const char *text);

static inline void reply_many(struct reply_sink *s, struct reply_to o, const uint16_t *index,
			      uint32_t count, const char *replies, size_t n, bool stays)
{
	s->replies(s->arg, o, index, count, replies, n, stays);
}

static inline const char *reply_over(const struct reply_sink *s, struct reply_to o)
{
	return s->over(s->arg, o);
}

static inline uint32_t reply_asker(const struct reply_sink *s, struct reply_to o)
{
	return s->asker(s->arg, o);
}

static inline bool reply_full(const struct reply_sink *s)
{
	return s->full(s->arg);
}

#endif
