/*
 * Taking a copy of a partition.  Base is exact only between checkpoints: one that runs, or was cut
 * short, has written keys that are newer than what the partition's row says, and not their counts.
 */
#include "storage/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/engine_copy.h"
#include "storage/snapshot_piece.h"
#include "storage/store_impl.h"

enum stage { AT_HEAD, AT_BUCKETS, AT_ITEMS, AT_SESSIONS, AT_TAIL, AT_END, AT_NOTHING };

struct store_copy {
	struct store *store;
	struct engine_copy *base;
	uint32_t partition;
	uint32_t partitions;
	struct engine_part part;
	struct log_spans spans;
	uint64_t last; /* of what is set aside, all that is not void */
	uint64_t opened_ms;
	uint64_t id;
	uint32_t number; /* of the next piece */
	enum stage stage;
	uint64_t left;  /* items of the bucket */
	struct row row; /* the next one */
	bool have_row;
	uint64_t rows;
	uint32_t crc;
};

/* ---- opening ---- */

/* How far what is set aside goes that no cut has made void since. */
static int tail_look(struct store_copy *c, const struct log_spans *valid, uint64_t newest)
{
	const struct log_entry *e;
	int r = 0;

	c->last = c->part.settled;
	while (r == 0 && (r = engine_copy_tail(c->base, &e)) == 0) {
		if (e->sequence != c->last + 1)
			return -EBADMSG;
		if (log_entry_last(e) > newest || !spans_have(valid, e->term, e->sequence))
			break;
		c->last = log_entry_last(e);
	}
	engine_copy_tail_again(c->base);
	spans_trim(&c->spans, c->last);
	return r == -ENOENT ? 0 : r;
}

/* Can base be copied now? */
static int open_check(struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	if (s->copy)
		return store_fail(s, -EBUSY, "another partition is being copied");
	if (s->replica[partition].broken)
		return store_fail(s, -ENODATA, "the copy of partition %u is not whole", partition);
	if (s->undone || s->checkpoint_runs || s->checkpoint_wanted)
		return store_fail(s, -EAGAIN, "base is being written");
	if (s->base_exact)
		return 0;
	if (!s->retry_ms || clock_ms() >= s->retry_ms)
		store_checkpoint(s);
	return store_fail(s, -EAGAIN, "base was not all written: a checkpoint must end first");
}

int store_copy_open(struct store *s, uint32_t partition, struct store_copy **ret,
		    uint64_t *ret_sequence)
{
	struct store_copy *c;
	int r = open_check(s, partition);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return store_fail(s, -ENOMEM, "no memory");
	c->partition = partition;
	c->partitions = s->copied;
	c->opened_ms = clock_ms();
	if (getrandom(&c->id, sizeof(c->id), 0) != sizeof(c->id))
		r = -EIO;
	if (r == 0)
		r = engine_copy_open(s->base, partition, &c->base, &c->part, &c->spans);
	if (r == 0 && (c->part.broken || c->part.settled != s->settled->at[partition]))
		r = -EBADMSG;
	if (r == 0)
		r = tail_look(c, &s->replica[partition].spans, s->newest->at[partition]);
	if (r < 0) {
		store_copy_close(&c);
		return store_fail(s, r, "copy partition %u of base in \"%.150s\": %s", partition,
				  s->dir, strerror(-r));
	}
	c->store = s;
	s->copy = c;
	*ret = c;
	*ret_sequence = c->last;
	return 0;
}

uint64_t store_copy_opened_ms(const struct store_copy *c)
{
	return c->opened_ms;
}

void store_copy_close(struct store_copy **cp)
{
	struct store_copy *c = *cp;

	if (!c)
		return;
	if (c->store)
		c->store->copy = NULL;
	engine_copy_close(&c->base);
	free(c);
	*cp = NULL;
}

/* ---- rows ---- */

static void row_begin(struct store_copy *c, enum row_kind kind, const void *fixed, size_t size)
{
	check(size <= sizeof(c->row.fixed));
	c->row = (struct row){.kind = kind, .fixed_size = (uint32_t)size};
	memcpy(c->row.fixed, fixed, size);
}

static void head_row(struct store_copy *c)
{
	const struct row_head x = {.format = SNAPSHOT_FORMAT,
				   .partitions = c->partitions,
				   .settled = c->part.settled,
				   .last = c->last,
				   .clock_ms = c->part.clock_ms,
				   .spans = c->spans.count};

	row_begin(c, ROW_HEAD, &x, sizeof(x));
	c->row.a = (struct span){(const char *)c->spans.at, x.spans * sizeof(c->spans.at[0])};
}

/* -ENOENT: there are no more, as with all of these. */
static int bucket_row(struct store_copy *c)
{
	struct row_bucket x;
	struct span name;
	int r = engine_copy_bucket(c->base, &name, &x.id, &x.count);

	if (r < 0)
		return r;
	c->left = x.count;
	row_begin(c, ROW_BUCKET, &x, sizeof(x));
	c->row.a = name;
	return 0;
}

static int item_row(struct store_copy *c)
{
	struct engine_item item;
	struct row_item x = {.zero = 0};
	int r = engine_copy_item(c->base, &item);

	if (r == 0 && !c->left)
		return -EBADMSG; /* more than it counts */
	if (r < 0)
		return r == -ENOENT && c->left ? -EBADMSG : r;
	c->left--;
	x.version = item.version;
	x.expiry = item.expiry;
	x.key_len = (uint32_t)item.key.n;
	row_begin(c, ROW_ITEM, &x, sizeof(x));
	c->row.a = item.key;
	c->row.b = item.value;
	return 0;
}

static void outcome_row(struct store_copy *c, const struct engine_session_row *s)
{
	const struct engine_outcome *o = &s->outcome;
	struct row_outcome x = {.number = o->number,
				.fingerprint = o->fingerprint,
				.sequence = o->sequence,
				.ruled_out = o->ruled_out};

	memcpy(x.id, s->id, sizeof(x.id));
	row_begin(c, ROW_OUTCOME, &x, sizeof(x));
	c->row.a = o->result;
}

static int session_row(struct store_copy *c)
{
	struct engine_session_row s;
	struct row_forgotten forgotten;
	struct row_floor floor;
	int r = engine_copy_session(c->base, &s);

	if (r < 0)
		return r;
	switch (s.kind) {
	case ENGINE_FORGOTTEN:
		forgotten.made_ms = s.made_ms;
		row_begin(c, ROW_FORGOTTEN, &forgotten, sizeof(forgotten));
		return 0;
	case ENGINE_FLOOR:
		memcpy(floor.id, s.id, sizeof(floor.id));
		floor.floor = s.floor;
		row_begin(c, ROW_FLOOR, &floor, sizeof(floor));
		return 0;
	default:
		outcome_row(c, &s);
		return 0;
	}
}

static int tail_row(struct store_copy *c)
{
	const struct log_entry *e;
	int r = engine_copy_tail(c->base, &e);

	if (r == 0 && e->sequence > c->last)
		r = -ENOENT;
	if (r < 0)
		return r;
	row_begin(c, ROW_TAIL, "", 0);
	c->row.a = (struct span){(const char *)e, e->size};
	return 0;
}

static void last_row(struct store_copy *c)
{
	const struct row_last x = {c->rows, c->crc, 0};

	row_begin(c, ROW_END, &x, sizeof(x));
}

/* Have the next row.  -ENOENT: that was all. */
static int row_fetch(struct store_copy *c)
{
	int r = -ENOENT;

	while (r == -ENOENT && c->stage != AT_NOTHING) {
		switch (c->stage) {
		case AT_HEAD:
			head_row(c);
			c->stage = AT_BUCKETS;
			return 0;
		case AT_BUCKETS:
			r = bucket_row(c);
			c->stage = r == 0 ? AT_ITEMS : AT_SESSIONS;
			break;
		case AT_ITEMS:
			r = item_row(c);
			c->stage = r == 0 ? AT_ITEMS : AT_BUCKETS;
			break;
		case AT_SESSIONS:
			r = session_row(c);
			c->stage = r == 0 ? AT_SESSIONS : AT_TAIL;
			break;
		case AT_TAIL:
			r = tail_row(c);
			c->stage = r == 0 ? AT_TAIL : AT_END;
			break;
		default:
			last_row(c);
			c->stage = AT_NOTHING;
			return 0;
		}
	}
	return r;
}

/* ---- pieces ---- */

static int rows_put(struct store_copy *c, struct buf *out, size_t begin, size_t room)
{
	int r = 0;

	while (!out->failed) {
		bool first = out->len == begin + sizeof(struct piece_head);

		if (!c->have_row) {
			r = row_fetch(c);
			if (r < 0)
				break;
			c->have_row = true;
		}
		if (!first && out->len - begin + row_size(&c->row) > room)
			break;
		c->crc = row_write(out, &c->row, c->crc);
		c->rows++;
		c->have_row = false;
	}
	return r == -ENOENT ? 0 : r;
}

int store_copy_next(struct store_copy *c, struct buf *out, size_t room)
{
	struct piece_head head = {.magic = PIECE_MAGIC,
				  .copy = c->id,
				  .number = c->number,
				  .partition = c->partition};
	size_t begin = out->len;
	int r;

	if (c->stage == AT_NOTHING && !c->have_row)
		return 0;
	buf_add(out, &head, sizeof(head));
	r = rows_put(c, out, begin, room);
	if (r == 0 && out->failed)
		r = -ENOMEM;
	if (r < 0) {
		out->len = begin;
		return r;
	}
	head.size = out->len - begin;
	memcpy(out->data + begin, &head, sizeof(head));
	head.crc = crc32c(0, out->data + begin + 8, head.size - 8);
	memcpy(out->data + begin, &head, sizeof(head));
	c->number++;
	return 1;
}
