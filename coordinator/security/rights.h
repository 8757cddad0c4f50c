/*
 * Who may what: the file of clients, read whole, and the answers that follow from it.  A line a
 * client:
 *
 *	NAME PUBLIC RIGHT…
 *	shop 7kV…q read:* write:orders.* create:orders.*
 *
 * A RIGHT is read, write, create, call or admin, a colon, and a bucket: a whole name, the beginning
 * of one followed by *, or *; bytes outside of printable ASCII, blanks, * and % are written %XX.
 * admin is of the node, admin:* and nothing else.  Blanks are spaces and tabs.  Empty lines, and
 * those whose first character is #, are passed over.  No name and no key comes twice, and no client
 * is without a right; the same right twice counts once.  Names are key_name_check's.  Lines end with
 * a newline, the last one may lack it; a control character in any of them, CR too, is an error.
 *
 * A table does not change; a reload makes another.  Clients of the old one, and their grants, are
 * gone with it: look them up again.  Pure but for memory, at most some 10 MiB and four times the
 * text's bytes: the caller reads the file, and limits it.
 */
#ifndef PAIL_RIGHTS_H
#define PAIL_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/key.h"
#include "common/span.h"
#include "include/wire.h"

#define RIGHTS_CLIENTS_MAX 65536u /* lines with a client */
#define RIGHTS_GRANTS_MAX  256u   /* rights of one client: each is looked at for each request */
#define RIGHTS_LINE_MAX    (64u << 10)
#define RIGHTS_ERRORS_MAX  100u /* that are told; all are counted */

/* A right on the buckets of that name, or of all names that begin so. */
struct grant {
	unsigned right; /* one of right_bits */
	bool prefix;
	uint8_t size; /* of the name, or its beginning; 0 and `prefix`: all buckets */
	const char *bucket;
};

struct rights_client {
	char name[KEY_NAME_MAX + 1];
	char key[KEY_TEXT + 1];
	unsigned line; /* in the file */
	uint32_t
		grants; /* sorted: by bucket as bytes, a beginning before what it covers, by right */
	const struct grant *grant;
};

struct rights;

/*
 * Make the table of a file's text.  Errors, each a line `FILE:LINE: why`, one for each line of the
 * file at most and in its order, are added to `errors`, up to RIGHTS_ERRORS_MAX of them; ret_count
 * says how many there are in all, and with any there is no table.  What looks like a key is not
 * quoted, and too little of any word to make out one that was mistyped: it may be secret.
 * 0, -EINVAL or -ENOMEM; *ret is as it was on failure.  No client at all is no error.
 */
int rights_read(const char *text, size_t n, const char *file, struct rights **ret,
		struct buf *errors, unsigned *ret_count);
void rights_free(struct rights **r);

/* How many clients there are, and the one at `i`, in the order of the file. */
uint32_t rights_count(const struct rights *r);
const struct rights_client *rights_at(const struct rights *r, uint32_t i);
/* What is another in `to` than in `from`, by key. */
struct rights_changes {
	uint32_t added;
	uint32_t removed;
	uint32_t changed; /* another name, or other rights */
};
struct rights_changes rights_compare(const struct rights *from, const struct rights *to);
/* By public key (KEY_TEXT characters); NULL: nobody has it. */
const struct rights_client *rights_find(const struct rights *r, struct span key);

/*
 * All right_bits that the client has on a bucket; those on every bucket, and RIGHT_ADMIN, if
 * `bucket` is empty.  Never allocates.
 */
unsigned rights_of(const struct rights_client *c, struct span bucket);

/*
 * The text of `denied`: `"NAME" lacks RIGHT on "BUCKET"`, where RIGHT is the rights in `lacking` (one
 * at least), as `write or call`.  An empty bucket is written "*".  Bytes of the bucket that cannot
 * be shown are, as in other errors, buf_printable's.  Cut to `size`; 1200 bytes are enough for all.
 */
void rights_explain(const struct rights_client *c, unsigned lacking, struct span bucket, char *out,
		    size_t size);

/* A grant as it is written: `read:orders.*`.  Appended to `out`. */
void rights_print(const struct grant *g, struct buf *out);

/*
 * For listing buckets: of the names that the client may read, which can come next?  Those at or
 * behind `from` count, with `past` only those behind it.  False: there are none.  Else, if *ret_one,
 * the one name *ret_begin, or all that begin with *ret_begin (which is empty if it may read all).
 * What comes next lies in it or behind it.  *ret_begin is the client's, as long as the table is.
 *
 * To go on behind one name: from = it, past.  To go on behind all that begin so: from = the least
 * run of bytes behind them (the beginning up to its last byte that is not 0xff, that byte one more;
 * there is none, and nothing comes next, if all are 0xff), not past.
 */
bool rights_next_readable(const struct rights_client *c, struct span from, bool past,
			  struct span *ret_begin, bool *ret_one);

#endif
