/*
 * The lines of an export: JSON objects, one a line, as `pail export --help` describes them. Reading
 * is strict: what it does not know it refuses, since a key left out would not be missed.
 */
#ifndef PAIL_LINES_H
#define PAIL_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "include/pail.h"

enum line_kind { LINE_HEAD, LINE_BUCKET, LINE_KEY, LINE_END };

struct line {
	enum line_kind kind;
	struct pail_bytes bucket;
	struct pail_bytes key;
	struct pail_bytes value;
	uint64_t ttl_ms;         /* 0: for ever */
	struct pail_bytes scope; /* of the head: what the export is of */
	/* of the end: how many there were */
	uint64_t buckets;
	uint64_t keys;
};

/* Whole lines out of a file. */
struct line_reader {
	const char *name; /* for messages */
	int fd;
	uint64_t number; /* of the line that was read last, from 1 on */
	uint64_t offset; /* behind it, in bytes */
	struct buf data;
	size_t at; /* what lies before it has been read */
	bool cut;  /* the last line has no end: it is not given out */
	char why[160];
};

void line_reader_init(struct line_reader *r, const char *name, int fd);
void line_reader_fini(struct line_reader *r);

/*
 * The next line that is not blank into *ret, whose bytes live until the next call.  1; 0: the end;
 * -1: it cannot be read, or is none of an export: `why` names the file, the line and the reason.
 */
int line_next(struct line_reader *r, struct line *ret);

/* Append lines. */
void line_write_head(struct buf *b, const char *scope);
void line_write_bucket(struct buf *b, struct pail_bytes name);
void line_write_key(struct buf *b, const struct pail_item *i);
void line_write_end(struct buf *b, uint64_t buckets, uint64_t keys, uint64_t time_ms);

#endif
