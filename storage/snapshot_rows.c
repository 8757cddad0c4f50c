/*
 * The pieces of a copy, as they come: bytes from another node, of which nothing is taken for granted.
 * What has passed here base and memory can take as if it had been written on this node.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "include/wire.h"
#include "storage/snapshot_impl.h"
#include "storage/snapshot_piece.h"
#include "storage/store_impl.h"

void load_init(struct load *l, uint32_t partition)
{
	memset(l, 0, sizeof(*l));
	l->partition = partition;
	buf_init(&l->tail);
}

void load_fini(struct load *l)
{
	directory_free(&l->directory);
	buf_fini(&l->tail);
}

static int bad(struct store *s, struct load *l, const char *what)
{
	return store_fail(s, -EBADMSG, "a copy of partition %u: %s", l->partition, what);
}

/* ---- rows ---- */

static int head_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_head f;
	struct span rest;

	if (row_fixed(x, &f, sizeof(f), &rest) < 0)
		return bad(s, l, "a short head");
	if (f.format != SNAPSHOT_FORMAT)
		return bad(s, l, "made by another version of Pail");
	if (f.partitions != s->copied)
		return bad(s, l, "of another number of partitions");
	if (f.zero || f.settled > f.last || f.last > SEQUENCE_MAX || f.spans > LOG_SPANS_MAX ||
	    rest.n != f.spans * sizeof(struct log_span) || !f.spans != !f.last)
		return bad(s, l, "a head that makes no sense");
	l->spans.count = f.spans;
	memcpy(l->spans.at, rest.p, rest.n);
	l->end = spans_end(&l->spans);
	if (l->end.sequence != f.last || !spans_are_sane(&l->spans))
		return bad(s, l, "spans that make no sense");
	spans_trim(&l->spans, f.settled); /* the rest comes with the tail */
	if (directory_new(&l->directory) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	l->settled = f.settled;
	l->last = f.last;
	l->tail_last = f.settled;
	l->clock_ms = f.clock_ms;
	l->stage = LOAD_BUCKETS;
	return 0;
}

static int bucket_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_bucket f;
	struct span name;
	uint64_t made;

	if (l->stage != LOAD_BUCKETS || l->left)
		return bad(s, l, "a bucket in a wrong place");
	if (row_fixed(x, &f, sizeof(f), &name) < 0 || !name.n || name.n > WIRE_BUCKET_MAX)
		return bad(s, l, "a bucket of a wrong size");
	made = stamp_sequence(f.id);
	if (bucket_partition(f.id) != l->partition ||
	    partition_of(name, s->copied) != l->partition || !made || made > l->settled ||
	    f.count > INT64_MAX)
		return bad(s, l, "a bucket of another partition");
	if (directory_find(l->directory, name, false) || directory_find_id(l->directory, f.id))
		return bad(s, l, "a bucket that came before");
	if (!directory_add(l->directory, name, false, f.id, f.count))
		return store_fail(s, -ENOMEM, "no memory");
	l->bucket = f.id;
	l->left = f.count;
	l->key_len = 0;
	return 0;
}

static int item_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_item f;
	struct span rest;
	struct span key;

	if (l->stage != LOAD_BUCKETS || !l->left)
		return bad(s, l, "an item in a wrong place");
	if (row_fixed(x, &f, sizeof(f), &rest) < 0 || f.zero || f.key_len > rest.n || !f.key_len ||
	    f.key_len > WIRE_KEY_MAX)
		return bad(s, l, "an item of a wrong size");
	key = (struct span){rest.p, f.key_len};
	if (span_compare(key, (struct span){l->key, l->key_len}) <= 0)
		return bad(s, l, "keys in a wrong order");
	if (f.version <= stamp_sequence(l->bucket) || f.version > l->settled)
		return bad(s, l, "an item of a sequence that it cannot have");
	memcpy(l->key, key.p, key.n);
	l->key_len = key.n;
	l->left--;
	return 0;
}

/* Sessions come behind the last bucket. */
static bool in_sessions(struct load *l)
{
	if (l->stage == LOAD_BUCKETS && !l->left)
		l->stage = LOAD_SESSIONS;
	return l->stage == LOAD_SESSIONS;
}

static int forgotten_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_forgotten f;
	struct span rest;

	/* The first of them, and so the only one. */
	if (l->stage != LOAD_BUCKETS || !in_sessions(l) || row_fixed(x, &f, sizeof(f), &rest) < 0 ||
	    rest.n)
		return bad(s, l, "sessions forgotten in a wrong place");
	return 0;
}

static int floor_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_floor f;
	struct span rest;

	if (!in_sessions(l) || row_fixed(x, &f, sizeof(f), &rest) < 0 || rest.n)
		return bad(s, l, "a session in a wrong place");
	if (l->in_session && memcmp(f.id, l->session, sizeof(f.id)) <= 0)
		return bad(s, l, "sessions in a wrong order");
	l->in_session = true;
	memcpy(l->session, f.id, sizeof(f.id));
	l->floor = f.floor;
	l->outcome = f.floor;
	return 0;
}

static int outcome_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_outcome f;
	struct span rest;

	if (l->stage != LOAD_SESSIONS || !l->in_session || row_fixed(x, &f, sizeof(f), &rest) < 0 ||
	    f.zero || f.ruled_out > 1 || memcmp(f.id, l->session, sizeof(f.id)) != 0)
		return bad(s, l, "an outcome in a wrong place");
	if (f.number < l->outcome || f.number == UINT64_MAX || !f.sequence ||
	    f.sequence > l->settled)
		return bad(s, l, "an outcome that its session cannot have");
	l->outcome = f.number + 1;
	return 0;
}

static int tail_check(struct store *s, struct load *l, const struct row *x)
{
	size_t at = l->tail.len;
	const struct log_entry *e;
	const char *why;

	if (l->left || l->stage == LOAD_HEAD || l->stage == LOAD_ALL)
		return bad(s, l, "a record in a wrong place");
	l->stage = LOAD_TAIL;
	if (x->data.n < sizeof(*e) || x->data.n % 8)
		return bad(s, l, "a record of a wrong size");
	if (s->tails_bytes + at + x->data.n > STORE_TAILS_BYTES && at)
		return bad(s, l, "more is not committed than may be");
	buf_add(&l->tail, x->data.p, x->data.n); /* where entries lie as they must */
	if (l->tail.failed)
		return store_fail(s, -ENOMEM, "no memory");
	e = (const struct log_entry *)(l->tail.data + at);
	if (log_entry_check_sent(e, x->data.n, &why) < 0)
		return bad(s, l, why);
	if (e->size != x->data.n || e->partition != l->partition ||
	    e->sequence != l->tail_last + 1 || log_entry_last(e) > l->last ||
	    e->term < spans_end(&l->spans).term ||
	    (e->term > spans_end(&l->spans).term) != (e->kind == LOG_TERM))
		return bad(s, l, "a record that does not follow");
	spans_add(&l->spans, e->term, e->sequence, e->count);
	l->tail_last = log_entry_last(e);
	return 0;
}

static int end_check(struct store *s, struct load *l, const struct row *x)
{
	struct row_last f;
	struct span rest;
	struct log_place end = spans_end(&l->spans);

	if (l->left || l->stage == LOAD_HEAD || l->stage == LOAD_ALL ||
	    row_fixed(x, &f, sizeof(f), &rest) < 0 || rest.n || f.zero)
		return bad(s, l, "an end in a wrong place");
	if (f.rows != l->rows || f.crc != l->crc || l->tail_last != l->last ||
	    end.term != l->end.term || end.sequence != l->end.sequence)
		return bad(s, l, "an end of something else");
	l->stage = LOAD_ALL;
	return 0;
}

static int row_check(struct store *s, struct load *l, const struct row *x)
{
	static int (*const checks[ROW_KIND_END])(struct store * s, struct load * l,
						 const struct row *x) = {
		[ROW_HEAD] = head_check,   [ROW_BUCKET] = bucket_check,
		[ROW_ITEM] = item_check,   [ROW_FORGOTTEN] = forgotten_check,
		[ROW_FLOOR] = floor_check, [ROW_OUTCOME] = outcome_check,
		[ROW_TAIL] = tail_check,   [ROW_END] = end_check,
	};

	if ((x->kind == ROW_HEAD) != (l->stage == LOAD_HEAD))
		return bad(s, l, "a head in a wrong place");
	return checks[x->kind](s, l, x);
}

/* ---- pieces ---- */

/* Is it the next one of this copy, and whole?  Nothing changes if not. */
static int piece_check(struct store *s, const struct load *l, struct span piece,
		       struct piece_head *ret)
{
	const char *what = NULL;

	if (piece.n < sizeof(*ret))
		return store_fail(s, -EBADMSG, "a short piece of a copy");
	memcpy(ret, piece.p, sizeof(*ret));
	if (ret->magic != PIECE_MAGIC || ret->size != piece.n ||
	    ret->crc != crc32c(0, piece.p + 8, piece.n - 8))
		what = "damaged, or none";
	else if (ret->partition != l->partition)
		what = "of another partition";
	else if (ret->number != l->number)
		what = "not the next one";
	else if (l->number && ret->copy != l->copy)
		what = "of another copy";
	if (!what)
		return 0;
	return store_fail(s, -EBADMSG, "a piece of a copy of partition %u: %s", l->partition, what);
}

int load_check(struct store *s, struct load *l, struct span piece, struct span *ret_rows)
{
	struct piece_head head;
	struct span rest;
	struct row x;
	int r;

	if (l->bad)
		return bad(s, l, "an earlier piece made no sense");
	r = piece_check(s, l, piece, &head);
	if (r < 0)
		return r;
	rest = (struct span){piece.p + sizeof(head), piece.n - sizeof(head)};
	*ret_rows = rest;
	while (r == 0 && rest.n) {
		const char *at = rest.p;

		r = row_read_next(&rest, &x) == 1 ? row_check(s, l, &x)
						  : bad(s, l, "a row of no kind");
		l->crc = crc32c(l->crc, at, (size_t)(rest.p - at));
		l->rows++;
		store_work(s, 1);
	}
	l->bad = r < 0;
	l->copy = head.copy;
	l->number++;
	return r;
}
