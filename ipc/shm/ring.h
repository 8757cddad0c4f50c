/*
 * A queue of variable-size records in shared memory, one writer and one reader, no locks.
 *
 * The data lies in a power-of-two buffer mapped twice in a row, so every record is contiguous;
 * positions count bytes and only grow.  The control block in shared memory:
 *
 *   head  written by the producer: everything before it may be read
 *   tail  written by whoever frees: everything before it may be overwritten
 *
 * In a request ring the coordinator writes both: it publishes requests, and frees them once every
 * reply has come back, so a killed worker's successor finds what was not finished.  In a reply ring
 * the worker writes head and the coordinator tail.  Each side reads the other's position once
 * a step into a local and checks that it can be true: the peer may be dying or gone mad.
 */
#ifndef PAIL_RING_H
#define PAIL_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RING_ALIGN 8u /* records begin at multiples of this */

struct ring_control {
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint64_t tail;
};
_Static_assert(sizeof(struct ring_control) == 128, "layout of shared memory");

struct ring {
	struct ring_control *control;
	char *data;
	uint64_t size;      /* a power of two */
	uint64_t write;     /* producer: where the next record goes; at or behind head */
	uint64_t tail_seen; /* producer: the tail when last looked at */
};

static inline uint64_t ring_round(uint64_t n)
{
	return (n + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

/* The record at `pos`; contiguous up to the ring's size. */
static inline void *ring_at(const struct ring *r, uint64_t pos)
{
	return r->data + (pos & (r->size - 1));
}

/* Take up a ring whose buffer is mapped; unpublished records of a producer before us are void. */
void ring_attach(struct ring *r, struct ring_control *control, char *data, uint64_t size);

/* Producer: bytes that can be written now. */
uint64_t ring_space(struct ring *r);

/*
 * Producer: room for `n` bytes at the write position, or NULL (the reader is behind).  Nothing
 * changes until ring_commit.
 */
void *ring_reserve(struct ring *r, uint64_t n);

/* Producer: the next `n` bytes are written; they are still unseen. */
static inline void ring_commit(struct ring *r, uint64_t n)
{
	r->write += ring_round(n);
}

/* Producer: let everything before `pos` be seen.  May be a thread other than the one that writes.
 */
static inline void ring_publish(struct ring *r, uint64_t pos)
{
	atomic_store_explicit(&r->control->head, pos, memory_order_release);
}

/* Reader: the published head. */
static inline uint64_t ring_head(const struct ring *r)
{
	return atomic_load_explicit(&r->control->head, memory_order_acquire);
}

static inline uint64_t ring_tail(const struct ring *r)
{
	return atomic_load_explicit(&r->control->tail, memory_order_acquire);
}

/* Free everything before `pos`. */
static inline void ring_free(struct ring *r, uint64_t pos)
{
	atomic_store_explicit(&r->control->tail, pos, memory_order_release);
}

#endif
