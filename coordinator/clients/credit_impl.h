/*
 * Counting what clients have not taken yet, each and all together.  Frames come
 * back on ZeroMQ's thread.
 */
#ifndef PAIL_CREDIT_IMPL_H
#define PAIL_CREDIT_IMPL_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

/* What a client has not taken yet.  Lives until the last frame has left. */
struct credit {
	_Atomic uint64_t unread;
	_Atomic uint64_t taken; /* ever */
	_Atomic uint32_t refs;
	uint64_t gathering; /* of unread: not sent yet, so that nobody could take it */
	struct credit *all; /* of all clients together; NULL: this is it */
};

static inline struct credit *credit_new(struct credit *all)
{
	struct credit *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	atomic_store(&k->refs, 1);
	k->all = all;
	if (all)
		atomic_fetch_add(&all->refs, 1);
	return k;
}

static inline void credit_drop(struct credit *k)
{
	struct credit *all;

	while (k && atomic_fetch_sub(&k->refs, 1) == 1) {
		all = k->all;
		free(k);
		k = all;
	}
}

static inline void credit_charge(struct credit *k, uint64_t n)
{
	atomic_fetch_add_explicit(&k->unread, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&k->all->unread, n, memory_order_relaxed);
}

static inline void credit_release(struct credit *k, uint64_t n)
{
	atomic_fetch_sub_explicit(&k->unread, n, memory_order_relaxed);
	atomic_fetch_sub_explicit(&k->all->unread, n, memory_order_relaxed);
}

static inline uint64_t credit_unread(const struct credit *k)
{
	return atomic_load_explicit(&k->unread, memory_order_relaxed);
}

/* Bytes that have been sent and that the network has not. */
static inline uint64_t credit_sent(const struct credit *k)
{
	return credit_unread(k) - k->gathering;
}

#endif
