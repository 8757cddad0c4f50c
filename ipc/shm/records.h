/*
 * What lies in the rings.
 *
 * Request ring: one record per (client message, worker), made and marked by the coordinator alone.
 *
 *	struct request_record | entries[count] | request bytes
 *
 * A request's identity is (the segment's generation, record position + index): positions grow and
 * a record is longer than its entries are many, so no two requests share one.
 *
 * Reply rings: one block per run of neighbouring requests of one record that are answered at the
 * same time, made by the worker.
 *
 *	struct reply_block | replies back to back
 */
#ifndef PAIL_RECORDS_H
#define PAIL_RECORDS_H

#include <stdatomic.h>
#include <stdint.h>

enum entry_state {
	ENTRY_OPEN,     /* its reply has not been taken */
	ENTRY_ANSWERED, /* its client has been answered; a successor leaves it alone */
};

struct request_entry {
	uint32_t offset; /* of its bytes, from the record's begin */
	uint32_t size;
	uint8_t method;
	_Atomic uint8_t state; /* enum entry_state, written by the coordinator */
	uint16_t index;        /* of the request in its message; the coordinator's own */
	uint32_t timeout_ms;   /* from the record's recv_ms */
};
_Static_assert(sizeof(struct request_entry) == 16, "layout of shared memory");

struct request_record {
	uint32_t size;     /* all of it, rounded to RING_ALIGN */
	uint32_t count;    /* entries */
	uint32_t open;     /* entries not answered yet; the coordinator's count */
	uint32_t reply_to; /* who waits for the replies: the coordinator's own numbering */
	uint64_t recv_ms;
	uint64_t reply_to_generation;
	struct request_entry entry[];
};
_Static_assert(sizeof(struct request_record) == 32, "layout of shared memory");

struct reply_block {
	uint32_t size;   /* all of it, rounded to RING_ALIGN */
	uint32_t bytes;  /* of replies behind this header */
	uint64_t record; /* position of the request record */
	uint32_t first;  /* index of the first request answered here */
	uint32_t count;  /* requests answered */
};
_Static_assert(sizeof(struct reply_block) == 24, "layout of shared memory");

#endif
