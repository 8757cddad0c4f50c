/*
 * The text dialogue: one command a line, words parted by blanks, answers that end in CRLF.
 *
 *	CREATE bucket          OK
 *	PUT bucket key value   OK, or NOT FOUND: there is no such bucket
 *	GET bucket key         the value and OK, an empty line and OK: no such key, or NOT FOUND
 *	DELETE bucket key      OK, or NOT FOUND
 *	anything else          UNKNOWN COMMAND
 *
 * Any other failure is ERROR, its code and its reason on one line.
 */
#ifndef PAIL_TEXT_H
#define PAIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "include/pail.h"

/*
 * The request that a line of `n` bytes (without its end) is.  *ret leads into the line.  False: it
 * is none.
 */
bool text_parse(const char *line, size_t n, struct pail_request *ret);

/* The answer to it. */
void text_answer(enum pail_method m, const struct pail_result *r, struct buf *out);
/* Answers that need no node. */
void text_unknown(struct buf *out);
void text_error(struct buf *out, const char *code, const char *why);

#endif
