/*
 * Transactions: conditions are judged, then one of two lists of operations runs, all within one
 * group of the store.  The coordinator has checked the request; what is found otherwise here is a
 * fault of the program.
 */
#include "worker/ops_impl.h"

#include <errno.h>
#include <string.h>

#include "ipc/wire/reply.h"
#include "ipc/wire/txn.h"
#include "storage/group.h"

#define RESULT_SMALL 32u /* bytes of a result that holds no value */

/* One that runs. */
struct txn {
	struct worker *w;
	struct op *op;
	struct buf *out;
	uint32_t left;        /* operations behind this one */
	uint64_t values;      /* that are in the reply, */
	uint64_t value_bytes; /* and all of them together */
};

/* ---- conditions ---- */

static bool relation_holds(enum txn_relation relation, int compared)
{
	switch (relation) {
	case TXN_EQUAL:
		return compared == 0;
	case TXN_DIFFERENT:
		return compared != 0;
	case TXN_LESS:
		return compared < 0;
	default:
		return compared > 0;
	}
}

static int condition(struct worker *w, const struct txn_condition *c, bool *ret_holds)
{
	struct store_item item = {.version = 0};
	int r = group_get(w->store, c->key, &item);
	uint64_t version = r == -ENOENT ? 0 : item.version;

	if (r < 0 && r != -ENOENT)
		return r;
	if (!c->is_value)
		*ret_holds = relation_holds(c->relation,
					    version < c->version ? -1 : version > c->version);
	else if (r == -ENOENT)
		*ret_holds = c->relation == TXN_DIFFERENT;
	else
		*ret_holds = relation_holds(c->relation, span_compare(item.value, c->value));
	return 0;
}

/* All of them, at one clock.  Without any they hold. */
static int conditions(struct worker *w, struct span list, bool *ret_hold)
{
	struct txn_condition c;
	struct txn_list l;
	int r = 0;

	*ret_hold = true;
	txn_list_begin(&l, "if", list);
	while (l.left && *ret_hold && r == 0) {
		enum wire_error e = txn_condition_next(&l, UINT64_MAX, &c, NULL, 0);

		check(e == WIRE_OK);
		r = condition(w, &c, ret_hold);
		store_work(w->store, WORK_REQUEST);
	}
	return r;
}

/* ---- the reply ---- */

static uint64_t result_max(const struct txn *t)
{
	uint64_t most = t->w->segment->header->settings.result_max;

	return op_result_max(most, group_changes(t->w->store), t->values, t->value_bytes);
}

/* Room for a result of `n` bytes.  NULL: no memory. */
static char *room(struct txn *t, size_t n)
{
	store_work(t->w->store, work_bytes(n));
	return buf_room(t->out, n + RESULT_SMALL);
}

static void done(struct txn *t, const char *end)
{
	t->out->len = (size_t)(end - t->out->data);
}

static int result_uint(struct txn *t, uint64_t v)
{
	char *p = room(t, 0);

	if (!p)
		return -ENOMEM;
	done(t, write_uint(p, v));
	return 0;
}

static int result_bool(struct txn *t, bool v)
{
	char *p = room(t, 0);

	if (!p)
		return -ENOMEM;
	done(t, write_bool(p, v));
	return 0;
}

static int result_nil(struct txn *t)
{
	char *p = room(t, 0);

	if (!p)
		return -ENOMEM;
	done(t, write_nil(p));
	return 0;
}

/* ---- operations ---- */

static const struct store_condition always;

static uint64_t ttl_of(const struct txn_op *o)
{
	return o->options.given & OPT_TTL ? o->options.ttl_ms : 0;
}

static int run_put(struct txn *t, const struct txn_op *o)
{
	uint64_t version = 0;
	int r = group_put(t->w->store, o->key, o->value, ttl_of(o), &always, &version);

	return r < 0 ? r : result_uint(t, version);
}

static int run_touch(struct txn *t, const struct txn_op *o)
{
	uint64_t version = 0;
	int r = group_touch(t->w->store, o->key, ttl_of(o), &always, &version);

	return r == -ENOENT ? result_nil(t) : r < 0 ? r : result_uint(t, version);
}

static int run_delete(struct txn *t, const struct txn_op *o)
{
	uint64_t version = 0;
	bool deleted = false;
	int r = group_delete(t->w->store, o->key, &always, &deleted, &version);

	return r < 0 ? r : result_bool(t, deleted);
}

static int run_get(struct txn *t, const struct txn_op *o)
{
	struct store_item item;
	int r = group_get(t->w->store, o->key, &item);
	char *to;

	if (r == -ENOENT)
		return result_nil(t);
	if (r < 0)
		return r;
	t->values++;
	t->value_bytes += item.value.n;
	/* Not even copied, if it can no longer be told. */
	if (t->out->len + item.value.n > result_max(t))
		return -EMSGSIZE;
	to = room(t, item.value.n);
	if (!to)
		return -ENOMEM;
	to = write_bin(write_array(to, 2), item.value.p, item.value.n);
	done(t, write_uint(to, item.version));
	return 0;
}

static int run_count(struct txn *t, const struct txn_op *o)
{
	uint64_t n;
	int r = group_count(t->w->store, &n);

	(void)o;
	return r < 0 ? r : result_uint(t, n);
}

struct scan {
	struct txn *t;
	const struct options *o;
	uint32_t count;
	bool more;
};

/*
 * All scans of a reply share what it may have, less what the other results need.  The first item of
 * all, alone, may be larger: then it is the one value that a reply may be large for.
 */
static bool scan_takes(struct scan *s, size_t n)
{
	const struct txn *t = s->t;
	uint64_t most = t->w->segment->header->settings.result_max;
	uint64_t other = (t->left + 2) * (uint64_t)RESULT_SMALL;
	bool fits = t->out->len + n + other <= most;
	bool alone = !s->count && !t->values && !s->o->keys_only && !group_changes(t->w->store);

	if (s->count < s->o->limit && (fits || alone))
		return true;
	s->more = true;
	return false;
}

static bool scan_item(void *arg, const struct store_item *i)
{
	struct scan *s = arg;
	struct txn *t = s->t;
	const struct options *o = s->o;
	size_t n = i->key.n + (o->keys_only ? 0 : i->value.n) + 5 * CODEC_HEAD_MAX;
	char *p;

	if (!scan_takes(s, n))
		return false;
	p = buf_room(t->out, n);
	if (!p)
		return false;
	p = write_bin(write_array(p, 3u + o->with_ttl), i->key.p, i->key.n);
	p = o->keys_only ? write_nil(p) : write_bin(p, i->value.p, i->value.n);
	p = write_uint(p, i->version);
	if (o->with_ttl)
		p = i->ttl_ms ? write_uint(p, i->ttl_ms) : write_nil(p);
	done(t, p);
	t->values += !o->keys_only;
	t->value_bytes += o->keys_only ? 0 : i->value.n;
	s->count++;
	return true;
}

static int run_scan(struct txn *t, const struct txn_op *op)
{
	const struct options *o = &op->options;
	const struct store_range range = {
		.prefix = o->prefix,
		.from = o->from,
		.to = o->to,
		.after = o->after,
		.has_to = o->given & OPT_TO,
		.has_after = o->given & OPT_AFTER,
		.reverse = o->reverse,
	};
	struct scan s = {t, o, 0, false};
	size_t count_at;
	char *p = room(t, 0);
	int r;

	if (!p)
		return -ENOMEM;
	p = write_text(write_map(p, 2), "items");
	count_at = (size_t)(p - t->out->data);
	done(t, write_array32(p, 0));
	r = group_scan(t->w->store, &range, scan_item, &s);
	if (r == 0 && t->out->failed)
		r = -ENOMEM;
	if (r < 0)
		return r;
	p = room(t, 0);
	if (!p)
		return -ENOMEM;
	(void)write_array32(t->out->data + count_at, s.count);
	done(t, write_bool(write_text(p, "more"), s.more));
	return 0;
}

static int (*const run[])(struct txn *t, const struct txn_op *o) = {
	[TXN_GET] = run_get, [TXN_SCAN] = run_scan,   [TXN_COUNT] = run_count,
	[TXN_PUT] = run_put, [TXN_TOUCH] = run_touch, [TXN_DELETE] = run_delete,
};

/* `{ok, results}` of the list that runs.  -EMSGSIZE: that is too large. */
static int operations(struct txn *t, bool ok, struct span list)
{
	char *p = buf_room(t->out, CODEC_REPLY_MAX + 64);
	struct txn_list l;
	struct txn_op op;
	int r = 0;

	if (!p)
		return -ENOMEM;
	txn_list_begin(&l, ok ? "then" : "else", list);
	p = write_map(write_reply_head(p, t->op->entry->msgid), 2);
	p = write_bool(write_text(p, "ok"), ok);
	done(t, write_array(write_text(p, "results"), l.left));
	while (l.left && r == 0) {
		enum wire_error e = txn_op_next(&l, UINT64_MAX, &op, NULL, 0);

		check(e == WIRE_OK);
		t->left = l.left;
		r = run[op.kind](t, &op);
		if (r == 0 && t->out->len > result_max(t))
			r = -EMSGSIZE;
		store_work(t->w->store, WORK_REQUEST);
	}
	return r;
}

int op_txn(struct worker *w, struct op *op, struct buf *out)
{
	const struct entry_parts *parts = record_parts(op->rec, op->entry);
	struct txn t = {.w = w, .op = op, .out = out};
	bool hold = false;
	int r;

	check(parts);
	r = group_begin(w->store, &op->key);
	if (r == 0 && !group_exists(w->store))
		r = -ENXIO;
	if (r == 0)
		r = conditions(w, op_span(op, parts->part[PART_IF]), &hold);
	if (r == 0)
		r = operations(&t, hold, op_span(op, parts->part[hold ? PART_THEN : PART_ELSE]));
	return r;
}
