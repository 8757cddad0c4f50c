/*
 * What each method does.  A function gets the request, which the coordinator has checked, and
 * writes a whole reply at `p`, where there is room for WIRE_REPLY_ERROR_MAX bytes; get, scan and
 * buckets, whose replies can be large, write into the worker's scratch instead.
 */
#include "worker/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "worker/replication.h"
#include "worker/ops_impl.h"

/*
 * What a call is about is the function's own business.  Most begin with a key: have that on its way.
 */
static __attribute__((noinline)) struct span call_key(const struct op *op)
{
	const char *p = op_span(op, record_parts(op->rec, op->entry)->part[PART_ARGS]).p;
	struct span key = {"", 0};

	if (read_array(&p) && read_type(p) == TYPE_BYTES)
		key = read_bytes(&p);
	return key.n <= WIRE_KEY_MAX ? key : (struct span){"", 0};
}

/* Which buckets' name it has: this node's own, or those of the cluster. */
static inline void op_means(struct worker *w, const struct request_entry *e)
{
	if (w->own_first)
		(void)store_own(w->store, e->partition >= w->own_first);
}

void op_prepare(struct worker *w, struct op *op, const struct request_record *rec, uint64_t record,
		uint32_t index)
{
	static const struct entry_options none = {.limit = WIRE_SCAN_LIMIT};
	const struct request_entry *e = &rec->entry[index];

	check(record_fits(rec, index));
	op_means(w, e);
	op->rec = rec;
	op->entry = e;
	op->options = e->flags & ENTRY_OPTIONS ? record_options(rec, e) : &none;
	op->record = record;
	op->index = index;
	op->deadline_ms = record_recv_ms(rec) + e->timeout_ms;
	if (e->method == WIRE_CALL)
		store_locate(w->store, record_bucket(rec, e), call_key(op), &op->key);
	else if (e->bucket_len)
		store_locate(w->store, record_bucket(rec, e), record_key(rec, e), &op->key);
	else
		op->key = (struct store_key){.bucket = NULL};
}

void op_prefetch(struct worker *w, const struct op *op)
{
	if (op->key.bucket && op->key.key.n)
		store_prefetch(w->store, &op->key);
}

/* ---- errors ---- */

char *op_error(struct worker *w, const struct op *op, char *p, enum wire_error e, const char *text)
{
	status_error(w->status, op->entry->method, e);
	return write_error(p, op->entry->msgid, true, e, text);
}

char *op_store_error(struct worker *w, const struct op *op, char *p, int error)
{
	char name[4 * WIRE_BUCKET_MAX + 1];
	char text[4 * WIRE_BUCKET_MAX + 32];

	switch (error) {
	case -ENXIO:
		(void)snprintf(text, sizeof(text), "no bucket \"%s\"",
			       buf_printable(name, sizeof(name), op->key.name.p, op->key.name.n));
		return op_error(w, op, p, WIRE_E_NO_BUCKET, text);
	case -ENOSPC:
	case -EBUSY: /* these tell nothing of what was looked at, and wait for nothing */
		store_begin(w->store, op_identity(op) + 1);
		w->refused = true;
		return op_error(w, op, p, error == -EBUSY ? WIRE_E_BUSY : WIRE_E_FULL,
				store_why(w->store));
	case -EIO:
		worker_fail(w, error, store_why(w->store));
		return op_error(w, op, p, WIRE_E_INTERNAL, store_why(w->store));
	default:
		return op_error(w, op, p, WIRE_E_INTERNAL, store_why(w->store));
	}
}

/* An error of a write; with -EEXIST `version` is the one there is. */
static char *op_write_error(struct worker *w, const struct op *op, char *p, int error,
			    uint64_t version)
{
	if (error != -EEXIST)
		return op_store_error(w, op, p, error);
	status_error(w->status, op->entry->method, WIRE_E_CONFLICT);
	return write_conflict(p, op->entry->msgid, version);
}

static char *reply_bool(const struct op *op, char *p, bool v)
{
	return write_bool(write_reply_head(p, op->entry->msgid), v);
}

/* ---- writes; *ret_changed tells whether a record was logged ---- */

static char *op_put(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	const struct entry_options *o = op->options;
	struct store_condition c = {o->on & OPT_IF_ABSENT, o->given & OPT_IF_VERSION,
				    o->if_version};
	uint64_t version = 0;
	int r;

	r = store_put(w->store, &op->key, record_value(op->rec, op->entry),
		      o->given & OPT_TTL ? o->ttl_ms : 0, &c, &version);
	*ret_changed = r == 0;
	return r < 0 ? op_write_error(w, op, p, r, version) : reply_uint(op, p, version);
}

static char *op_delete(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	const struct entry_options *o = op->options;
	struct store_condition c = {false, o->given & OPT_IF_VERSION, o->if_version};
	uint64_t version = 0;
	bool deleted = false;
	int r = store_delete(w->store, &op->key, &c, &deleted, &version);

	*ret_changed = r == 0 && deleted;
	return r < 0 ? op_write_error(w, op, p, r, version) : reply_bool(op, p, deleted);
}

static char *op_touch(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	const struct entry_options *o = op->options;
	struct store_condition c = {false, o->given & OPT_IF_VERSION, o->if_version};
	uint64_t version = 0;
	int r = store_touch(w->store, &op->key, o->given & OPT_TTL ? o->ttl_ms : 0, &c, &version);

	*ret_changed = r == 0;
	if (r == -ENOENT)
		return write_nil(write_reply_head(p, op->entry->msgid));
	return r < 0 ? op_write_error(w, op, p, r, version) : reply_uint(op, p, version);
}

/* Other workers want to know soon how many there are. */
static void buckets_add(struct worker *w, bool changed, uint64_t n)
{
	if (changed)
		status_add(&w->status->buckets, n);
}

static char *op_create(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	int r;

	store_elsewhere(w->store, status_get(&w->status->buckets_elsewhere));
	r = store_create(w->store, op->key.name, ret_changed);
	buckets_add(w, r == 0 && *ret_changed, 1);
	return r < 0 ? op_store_error(w, op, p, r) : reply_bool(op, p, *ret_changed);
}

static char *op_drop(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	int r = store_drop(w->store, op->key.name, ret_changed);

	buckets_add(w, r == 0 && *ret_changed, (uint64_t)-1);
	return r < 0 ? op_store_error(w, op, p, r) : reply_bool(op, p, *ret_changed);
}

/* ---- running ---- */

static bool is_over(const struct worker *w, const struct op *op)
{
	return w->now_ms >= op->deadline_ms;
}

/* Where its reply goes, that tells of what has been looked at until now. */
static int way_for(const struct worker *w, const struct op *op)
{
	if (w->replication && replication_hold(w->replication, op->entry))
		return RING_HELD;
	return store_committed(w->store) ? RING_IMMEDIATE : RING_DURABLE;
}

char *op_room(struct worker *w, const struct op *op, int way, size_t n)
{
	if (way == RING_HELD)
		return replication_room(w->replication, op->entry, n);
	return worker_room(w, (enum segment_ring)way, op->record, op->index, n);
}

int op_way_durable(struct worker *w, const struct op *op)
{
	return w->replication && replication_hold(w->replication, op->entry) ? RING_HELD
									     : RING_DURABLE;
}

static void way_done(struct worker *w, const struct op *op, int way, char *reply, const char *end)
{
	const struct tells tells = {w->logged, w->refused};

	if (way == RING_HELD)
		replication_add(w->replication, op, reply, end, &tells);
	else
		replies_done(&w->replies, (enum segment_ring)way, end);
}

static void copy_reply(struct worker *w, const struct op *op, int way, const char *data, size_t n)
{
	char *p = op_room(w, op, way, n);

	if (!p)
		return;
	memcpy(p, data, n);
	way_done(w, op, way, p, p + n);
}

/* A reply that tells of what has been looked at until now. */
void op_reply(struct worker *w, const struct op *op, const char *data, size_t n)
{
	copy_reply(w, op, way_for(w, op), data, n);
}

static void run_expired(struct worker *w, struct op *op)
{
	char small[REPLY_SMALL];

	if (op->entry->flags & ENTRY_SESSION)
		op_session_acknowledge(w, op);
	w->refused = true;
	op_reply(w, op, small,
		 (size_t)(op_error(w, op, small, WIRE_E_EXPIRED,
				   "its time was over before it was started") -
			  small));
}

/* The common get: from the cache straight into the ring. */
static void run_get(struct worker *w, struct op *op)
{
	struct store_item item;
	int way;
	char *p;
	int r = store_get(w->store, &op->key, &item);

	if (r < 0 && r != -ENOENT) {
		char small[REPLY_SMALL];

		p = op_store_error(w, op, small, r);
		op_reply(w, op, small, (size_t)(p - small));
		return;
	}
	way = way_for(w, op);
	p = op_room(w, op, way, CODEC_REPLY_MAX + (r ? 0 : item.value.n));
	if (!p)
		return;
	way_done(w, op, way, p,
		 r ? write_nil(write_reply_head(p, op->entry->msgid))
		   : write_value_reply(p, op->entry->msgid, item.value, item.version));
}

static void run_read(struct worker *w, struct op *op)
{
	char small[REPLY_SMALL];
	int r = op_read(w, op, &w->scratch);

	if (r == 0)
		op_reply(w, op, w->scratch.data, w->scratch.len);
	else
		op_reply(w, op, small, (size_t)(op_store_error(w, op, small, r) - small));
}

static char *op_write(struct worker *w, struct op *op, char *p, bool *ret_changed)
{
	/* First: even a refusal may have to be logged. */
	if (store_writable(w->store) < 0)
		return op_store_error(w, op, p, -EBUSY);
	switch (op->entry->method) {
	case WIRE_PUT:
		return op_put(w, op, p, ret_changed);
	case WIRE_DELETE:
		return op_delete(w, op, p, ret_changed);
	case WIRE_TOUCH:
		return op_touch(w, op, p, ret_changed);
	case WIRE_CREATE:
		return op_create(w, op, p, ret_changed);
	case WIRE_DROP:
		return op_drop(w, op, p, ret_changed);
	default:
		return op_error(w, op, p, WIRE_E_INTERNAL, "not built yet");
	}
}

/*
 * A write's reply is not where it goes: it may be told at once, or the log was waited for and what
 * was before it has been published.
 */
static void move_reply(struct worker *w, const struct op *op, int way, const char *data, size_t n)
{
	char small[REPLY_SMALL]; /* the new room may overlap the old one */

	check(n <= sizeof(small));
	memcpy(small, data, n);
	copy_reply(w, op, way, small, n);
}

/* It has changed nothing, and its reply is written.  Returns that one's end, or another's. */
static char *settle(struct worker *w, const struct op *op, char *reply, char *end)
{
	int r = op_settle(w, op, reply_behind_msgid(reply, end));

	return r < 0 ? op_store_error(w, op, reply, r) : end;
}

/* A write.  Its reply's room is there before it takes effect. */
static void run_write(struct worker *w, struct op *op)
{
	int way = op_way_durable(w, op);
	char *room = op_room(w, op, way, REPLY_SMALL);
	bool changed = false;
	char *p;

	if (!room)
		return;
	if (is_over(w, op)) { /* there was no room for long, and nothing has been done */
		run_expired(w, op);
		return;
	}
	(void)fault_at("worker.before_append");
	p = op_write(w, op, room, &changed);
	w->logged = changed;
	if (!changed && !w->error)
		p = settle(w, op, room, p);
	if (w->error)
		return;
	(void)fault_at("worker.after_append");
	if (way != RING_HELD)
		way = way_for(w, op);
	if (way == RING_HELD ||
	    (way == RING_DURABLE && replies_holds(&w->replies, RING_DURABLE, room)))
		way_done(w, op, way, room, p);
	else
		move_reply(w, op, way, room, (size_t)(p - room));
}

/* A request that its partition's copies do not let run, unless it has been: then it is answered so. */
static void run_refused(struct worker *w, struct op *op, enum wire_error e)
{
	bool again = (op->entry->flags & ENTRY_SESSION) && entry_writes(op->entry) &&
		     !method_is(op->entry->method, METHOD_SESSION);
	char small[REPLY_SMALL];

	if (again && !op_session(w, op))
		return;
	w->refused = true;
	op_reply(w, op, small,
		 (size_t)(op_error(w, op, small, e,
				   e == WIRE_E_BUSY
					   ? "too many replies wait for the partition's copies"
					   : "fewer copies are in sync than min_copies") -
			  small));
}

static inline void run(struct worker *w, struct op *op)
{
	if (method_is(op->entry->method, METHOD_PARTS))
		op_group(w, op);
	else if (entry_writes(op->entry))
		run_write(w, op);
	else
		run_read(w, op);
}

void op_run(struct worker *w, struct op *op)
{
	struct worker_status *status = w->status;
	unsigned method = op->entry->method;
	enum wire_error refusal =
		w->replication ? replication_refuse(w->replication, op->entry) : WIRE_OK;

	w->logged = w->refused = false;
	op_means(w, op->entry);
	/* It may take as long as thousands of others: no heartbeat, reply or clock waits for it. */
	if (method == WIRE_CALL)
		worker_work(w);
	w->replies.begun_us = w->now_us;
	atomic_store_explicit(&status->executing, op_identity(op) + 1, memory_order_relaxed);
	(void)fault_at("worker.before_run");
#ifdef PAIL_FAULTS
	if (op->key.bucket && span_equal(op->key.key, span_of("poison")))
		(void)fault_at("worker.poison");
#endif
	status_add(&status->requests, 1);
	status_add(&status->by_method[method], 1);
	store_work(w->store, WORK_REQUEST);
	store_begin(w->store, op_identity(op) + 1);
	if (is_over(w, op))
		run_expired(w, op);
	else if (refusal != WIRE_OK)
		run_refused(w, op, refusal);
	else if (method == WIRE_GET)
		run_get(w, op);
	else if (!(op->entry->flags & ENTRY_SESSION) || op_session(w, op))
		run(w, op);
	(void)fault_at("worker.after_reply");
}
