/* A growable run of bytes whose first failure sticks: write on, ask once at the end. */
#ifndef PAIL_BUF_H
#define PAIL_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len;
	size_t size;
	bool failed; /* an allocation failed; what was appended since is missing */
};

void buf_init(struct buf *b);
void buf_fini(struct buf *b); /* frees the bytes; the buf may be used again */

/* Room for `n` more bytes at b->data + b->len, or NULL (b->failed) without memory. */
char *buf_room(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_text(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Write `n` bytes as people can read them into `out` (always ended by NUL, cut to `size`):
 * printable ASCII as it is, anything else as \xNN.  Returns out.
 */
char *buf_printable(char *out, size_t size, const void *data, size_t n);

#endif
