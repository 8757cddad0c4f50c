/*
 * Calls: a function of the node's modules runs within one group of the store.  Here are the
 * bucket's operations as functions see them, and what becomes of how a function ends.
 */
#include "worker/ops_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "functions/functions.h"
#include "ipc/wire/reply.h"
#include "storage/group.h"
#include "worker/functions_set.h"

#define LOG_LINES_MAX 100u /* of all functions of a worker, in a second: a log is for people */
#define LOG_MS        1000u
#define LINE_MAX_     1024u /* bytes of a line, escapes included; longer ones are cut */

/* One that runs. */
struct call {
	struct worker *w;
	struct op *op;
	struct buf item;      /* the item that a scan has given */
	bool made;            /* the bucket */
	uint64_t values;      /* that it has read, */
	uint64_t value_bytes; /* and all of them together */
};

/* ---- errors of the store ---- */

static enum functions_done failed(struct call *c, int error, struct functions_error *e)
{
	char name[4 * WIRE_BUCKET_MAX + 1];
	const char *why = store_why(c->w->store);
	enum wire_error code = WIRE_E_INTERNAL;

	if (error == -ENXIO) {
		code = WIRE_E_NO_BUCKET;
		(void)snprintf(
			e->text, sizeof(e->text), "no_bucket: no bucket \"%.200s\"",
			buf_printable(name, sizeof(name), c->op->key.name.p, c->op->key.name.n));
		e->code = (int)code;
		return FUNCTIONS_FAILED_OP;
	}
	if (error == -E2BIG)
		code = WIRE_E_TOO_LARGE;
	else if (error == -ENOSPC)
		code = WIRE_E_FULL;
	else if (error == -EBUSY)
		code = WIRE_E_BUSY;
	else if (error == -ENOMEM)
		why = "no memory";
	else if (error == -EIO)
		worker_fail(c->w, error, why);
	e->code = (int)code;
	(void)snprintf(e->text, sizeof(e->text), "%s: %.200s", wire_error_name(code), why);
	return FUNCTIONS_FAILED_OP;
}

static enum functions_done done(struct call *c, int r, struct functions_error *e)
{
	if (r == 0)
		return FUNCTIONS_DONE;
	if (r == -ENOENT)
		return FUNCTIONS_NONE;
	return r == -EEXIST ? FUNCTIONS_CONFLICT : failed(c, r, e);
}

/* ---- the bucket's operations ---- */

static void count_value(struct call *c, uint64_t n)
{
	c->values++;
	c->value_bytes += n;
	store_work(c->w->store, WORK_REQUEST + work_bytes(n));
}

static enum functions_done call_get(void *arg, struct span key, struct functions_item *ret,
				    struct functions_error *e)
{
	struct call *c = arg;
	struct store_item item;
	int r = group_get(c->w->store, key, &item);

	if (r == 0) {
		*ret = (struct functions_item){item.key, item.value, item.version};
		count_value(c, item.value.n);
	}
	return done(c, r, e);
}

static struct store_condition condition(const struct functions_condition *c)
{
	return (struct store_condition){c->if_absent, c->if_version, c->version};
}

static enum functions_done call_put(void *arg, struct span key, struct span value, uint64_t ttl_ms,
				    const struct functions_condition *condition_,
				    struct functions_item *ret, struct functions_error *e)
{
	struct call *c = arg;
	const struct store_condition sc = condition(condition_);
	int r = group_put(c->w->store, key, value, ttl_ms, &sc, &ret->version);

	store_work(c->w->store, WORK_REQUEST + work_bytes(value.n));
	return done(c, r, e);
}

static enum functions_done call_touch(void *arg, struct span key, uint64_t ttl_ms,
				      struct functions_item *ret, struct functions_error *e)
{
	static const struct store_condition always;
	struct call *c = arg;

	store_work(c->w->store, WORK_REQUEST);
	return done(c, group_touch(c->w->store, key, ttl_ms, &always, &ret->version), e);
}

static enum functions_done call_delete(void *arg, struct span key,
				       const struct functions_condition *condition_,
				       struct functions_item *ret, struct functions_error *e)
{
	struct call *c = arg;
	const struct store_condition sc = condition(condition_);
	bool deleted = false;
	int r = group_delete(c->w->store, key, &sc, &deleted, &ret->version);

	store_work(c->w->store, WORK_REQUEST);
	return done(c, r == 0 && !deleted ? -ENOENT : r, e);
}

/* Where a scan's one item goes: its bytes are good for as long as the store stays in the scan. */
struct first {
	struct call *c;
	struct functions_item *ret;
	bool keys_only;
	bool found;
};

static bool first_item(void *arg, const struct store_item *i)
{
	struct first *f = arg;
	size_t value = f->keys_only ? 0 : i->value.n;
	char *p;

	f->c->item.len = 0;
	p = buf_room(&f->c->item, i->key.n + value);
	if (!p)
		return false;
	memcpy(p, i->key.p, i->key.n);
	if (value)
		memcpy(p + i->key.n, i->value.p, value);
	*f->ret = (struct functions_item){
		{p,            i->key.n},
                {p + i->key.n, value   },
                i->version
        };
	f->found = true;
	return false;
}

static enum functions_done call_scan(void *arg, const struct functions_range *range,
				     struct functions_item *ret, struct functions_error *e)
{
	struct call *c = arg;
	struct first f = {c, ret, range->keys_only, false};
	const struct store_range g = {
		.prefix = range->prefix,
		.from = range->from,
		.to = range->to,
		.after = range->after,
		.has_to = range->to.p,
		.has_after = range->after.p,
		.reverse = range->reverse,
	};
	int r = group_scan(c->w->store, &g, first_item, &f);

	if (r == 0 && c->item.failed)
		r = -ENOMEM;
	if (f.found && range->keys_only)
		store_work(c->w->store, WORK_REQUEST);
	else if (f.found)
		count_value(c, ret->value.n);
	return done(c, r == 0 && !f.found ? -ENOENT : r, e);
}

static enum functions_done call_count(void *arg, uint64_t *ret, struct functions_error *e)
{
	struct call *c = arg;

	return done(c, group_count(c->w->store, ret), e);
}

static enum functions_done call_exists(void *arg, bool *ret, struct functions_error *e)
{
	struct call *c = arg;

	(void)e;
	*ret = group_exists(c->w->store);
	return FUNCTIONS_DONE;
}

static enum functions_done call_create(void *arg, bool *ret_created, struct functions_error *e)
{
	struct call *c = arg;
	int r;

	store_elsewhere(c->w->store, status_get(&c->w->status->buckets_elsewhere));
	r = group_create(c->w->store, ret_created);
	c->made |= r == 0 && *ret_created;
	return done(c, r, e);
}

/* ---- the log ---- */

static void call_log(void *arg, const char *module, struct span line)
{
	struct call *c = arg;
	struct worker *w = c->w;
	char text[LINE_MAX_];

	if (w->now_ms - w->functions_log_ms >= LOG_MS) {
		if (w->functions_log_lines > LOG_LINES_MAX)
			log_warn("%u lines of functions are missing here: %u a second are written",
				 w->functions_log_lines - LOG_LINES_MAX, LOG_LINES_MAX);
		w->functions_log_ms = w->now_ms;
		w->functions_log_lines = 0;
	}
	if (w->functions_log_lines++ < LOG_LINES_MAX)
		log_info("%s: %s", module, buf_printable(text, sizeof(text), line.p, line.n));
}

static const struct functions_ops ops = {
	.get = call_get,
	.put = call_put,
	.touch = call_touch,
	.del = call_delete,
	.scan = call_scan,
	.count = call_count,
	.exists = call_exists,
	.create = call_create,
	.log = call_log,
};

/* ---- the call ---- */

static enum wire_error code_of(enum functions_status s, int op)
{
	switch (s) {
	case FUNCTIONS_NO_FUNCTION:
		return WIRE_E_NO_FUNCTION;
	case FUNCTIONS_FAILED:
		return WIRE_E_FAILED;
	case FUNCTIONS_TOO_LONG:
		return WIRE_E_TOO_LONG;
	case FUNCTIONS_BAD_ARGUMENT:
		return WIRE_E_BAD_ARGUMENT;
	case FUNCTIONS_TOO_LARGE:
		return WIRE_E_TOO_LARGE;
	case FUNCTIONS_OP:
		return (enum wire_error)op;
	default:
		return WIRE_E_INTERNAL;
	}
}

/* Run it; `out` holds the reply's head, and room for the largest result there may be. */
static int run(struct call *c, struct functions *f, struct buf *out)
{
	const struct op *op = c->op;
	const struct entry_parts *parts = record_parts(op->rec, op->entry);
	const struct functions_request q = {
		.module = op_span(op, parts->part[PART_MODULE]),
		.function = op_span(op, parts->part[PART_FUNCTION]),
		.bucket = op->key.name,
		.args = op_span(op, parts->part[PART_ARGS]).p,
		.now_ms = store_clock(c->w->store),
		.ops = &ops,
		.ops_arg = c,
	};
	const struct settings *g = &c->w->segment->header->settings;
	struct functions_reply r;
	enum functions_status s;

	r.result_size = op_result_max(g->result_max, 0, 1, g->value_max);
	r.result = buf_room(out, r.result_size);
	if (!r.result)
		return -ENOMEM;
	s = functions_call(f, &q, &r);
	worker_work(c->w); /* what it took is told with its reply */
	if (c->w->error)
		return c->w->error;
	if (s != FUNCTIONS_OK)
		return op_refuse(c->w, op, out, code_of(s, r.code), r.why);
	out->len += r.n;
	return out->len > op_result_max(g->result_max, group_changes(c->w->store), c->values,
					c->value_bytes)
		       ? -EMSGSIZE
		       : 0;
}

int op_call(struct worker *w, struct op *op, struct buf *out, bool *ret_made)
{
	struct call c = {.w = w, .op = op};
	char why[FUNCTIONS_WHY_MAX];
	struct functions *f;
	char *p;
	int r;

	check(op->entry->flags & ENTRY_PARTS);
	if (op->entry->flags & ENTRY_HUNG)
		return op_refuse(w, op, out, WIRE_E_TOO_LONG,
				 "the worker that ran it hung in it and was killed");
	(void)fault_at("worker.hang_in_call");
	f = worker_functions(w, why);
	if (!f)
		return op_refuse(w, op, out, WIRE_E_INTERNAL, why);
	p = buf_room(out, CODEC_REPLY_MAX);
	if (!p)
		return -ENOMEM;
	out->len = (size_t)(write_reply_head(p, op->entry->msgid) - out->data);
	buf_init(&c.item);
	r = group_begin(w->store, &op->key);
	if (r == 0)
		r = run(&c, f, out);
	buf_fini(&c.item);
	*ret_made = c.made;
	return r;
}
