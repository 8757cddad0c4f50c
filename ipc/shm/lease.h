/*
 * The lease of a partition, as the coordinator has it from the nodes with copies of it and a worker
 * reads it before it tells anybody what the partition holds.  It is a time: a coordinator that
 * stands still lets it run out.
 *
 * One writes, any may read: the turn is odd while it is being written, and a reader that finds it
 * so, or changed behind it, has seen no lease.  Nobody waits: a writer may have been stopped midway,
 * and then there is no lease until it goes on.
 */
#ifndef PAIL_LEASE_H
#define PAIL_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lease_word {
	_Alignas(32) _Atomic uint32_t turn;
	_Atomic uint32_t epoch;
	_Atomic uint64_t boot_until_us;
	_Atomic uint64_t raw_until_us;
	/* by the worker, from before it says that it is ready: the highest term in its log */
	_Atomic uint64_t log_term;
};
_Static_assert(sizeof(struct lease_word) == 32, "layout of shared memory");

/* It holds in this epoch, before either clock (CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW) is there. */
struct lease {
	uint32_t epoch;
	uint64_t boot_until_us;
	uint64_t raw_until_us;
};

#define LEASE_NONE ((struct lease){0, 0, 0})

/* By its one writer. */
static inline void lease_write(struct lease_word *w, const struct lease *l)
{
	uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed) | 1u;

	atomic_store_explicit(&w->turn, turn, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&w->epoch, l->epoch, memory_order_relaxed);
	atomic_store_explicit(&w->boot_until_us, l->boot_until_us, memory_order_relaxed);
	atomic_store_explicit(&w->raw_until_us, l->raw_until_us, memory_order_relaxed);
	atomic_store_explicit(&w->turn, turn + 1, memory_order_release);
}

/* LEASE_NONE also while it is being written. */
static inline struct lease lease_read(const struct lease_word *w)
{
	uint32_t turn = atomic_load_explicit(&w->turn, memory_order_acquire);
	struct lease l = {atomic_load_explicit(&w->epoch, memory_order_relaxed),
			  atomic_load_explicit(&w->boot_until_us, memory_order_relaxed),
			  atomic_load_explicit(&w->raw_until_us, memory_order_relaxed)};

	atomic_thread_fence(memory_order_acquire);
	if (turn & 1u || atomic_load_explicit(&w->turn, memory_order_relaxed) != turn)
		return LEASE_NONE;
	return l;
}

#endif
