/*
 * Requests of sessions, which may be sent again.  What became of one is looked up when its turn
 * comes, not when it arrives: by then all that was sent before it has been run, by whomever and
 * over whatever way it was sent.  What is found is answered, and nothing is done again.
 */
#include "worker/ops_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "storage/session.h"

/* Of a fingerprint: a change, whose result is not kept, was told as true, and not by its version. */
#define FINGERPRINT_BOOL 1u

/* The request's session as the log keeps it.  It must stay while the request is run. */
static const struct log_session *session_of(struct worker *w, const struct op *op)
{
	const struct entry_session *x = record_session(op->rec, op->entry);

	check(x);
	w->session = (struct log_session){
		.sequence = x->seq,
		.acknowledged = x->ack,
		.fingerprint = x->fingerprint & ~(uint64_t)FINGERPRINT_BOOL,
	};
	if (wire_methods[op->entry->method].result == RESULT_BOOL)
		w->session.fingerprint |= FINGERPRINT_BOOL;
	_Static_assert(sizeof(w->session.id) == sizeof(x->id), "one id");
	memcpy(w->session.id, x->id, sizeof(w->session.id));
	return &w->session;
}

static void reply_small(struct worker *w, const struct op *op, const char *reply, const char *end)
{
	op_reply(w, op, reply, (size_t)(end - reply));
}

/* What is said of the verdicts that are errors. */
static const struct refusal {
	enum wire_error error;
	const char *text;
} refusals[] = {
	[SESSION_STALE] = {WIRE_E_STALE,        "this number was acknowledged or ruled out"      },
	[SESSION_OTHER] = {WIRE_E_BAD_ARGUMENT, "option \"seq\": another request has this number"},
	[SESSION_UNKNOWN] = {WIRE_E_NO_SESSION,   "there is no such session: take another"         },
};

/* Such a verdict, or an error of the store. */
static void refuse(struct worker *w, const struct op *op, int verdict)
{
	const struct refusal *f = NULL;
	char small[REPLY_SMALL];
	char text[160];

	if (verdict >= 0 && verdict < (int)(sizeof(refusals) / sizeof(refusals[0])))
		f = &refusals[verdict];
	if (!f || !f->text) {
		check(verdict < 0 || verdict == SESSION_BUSY);
		reply_small(w, op, small,
			    op_store_error(w, op, small, verdict < 0 ? verdict : -EBUSY));
		return;
	}
	(void)snprintf(text, sizeof(text), "%s: %s", wire_methods[op->entry->method].name, f->text);
	reply_small(w, op, small, op_error(w, op, small, f->error, text));
}

/* Room for a reply of `n` bytes beside its head, or NULL, and then it has been answered. */
static char *room(struct worker *w, const struct op *op, size_t n)
{
	struct buf *out = &w->scratch;
	char small[REPLY_SMALL];
	char *p;

	out->len = 0;
	out->failed = false;
	p = buf_room(out, CODEC_REPLY_MAX + n);
	if (!p)
		reply_small(w, op, small,
			    op_error(w, op, small, WIRE_E_INTERNAL, "no memory for the reply"));
	return p;
}

static void reply_room(struct worker *w, const struct op *op, const char *end)
{
	struct buf *out = &w->scratch;

	out->len = (size_t)(end - out->data);
	op_reply(w, op, out->data, out->len);
}

static bool is_error(struct span result)
{
	return read_type(result.p) != TYPE_NIL;
}

/* WIRE_OK: it is none. */
static enum wire_error error_of(struct span result)
{
	const char *p = result.p;

	if (!is_error(result))
		return WIRE_OK;
	(void)read_array(&p);
	return wire_error_find(read_bytes(&p));
}

/* What the first one was told. */
static void answer(struct worker *w, const struct op *op, const struct session_outcome *o)
{
	char *p = room(w, op, o->result.n);

	if (!p)
		return;
	if (o->result.n) {
		if (is_error(o->result))
			status_error(w->status, op->entry->method, error_of(o->result));
		p = write_reply_msgid(p, op->entry->msgid);
		memcpy(p, o->result.p, o->result.n);
		p += o->result.n;
	} else {
		p = op_change_result(write_reply_head(p, op->entry->msgid), op->entry->method,
				     o->version);
	}
	reply_room(w, op, p);
}

/* ---- its own methods ---- */

static void state_done(struct worker *w, const struct op *op, const struct session_outcome *o)
{
	struct span r = o->result;
	const char *behind = r.n ? read_skip(r.p) : NULL; /* its error */
	char *p = room(w, op, r.n + 64);

	if (!p)
		return;
	p = write_map(write_reply_head(p, op->entry->msgid), 3);
	p = write_text(write_text(p, "state"), "done");
	p = write_text(p, "error");
	if (!r.n) {
		p = write_text(write_nil(p), "result");
		p = o->fingerprint & FINGERPRINT_BOOL ? write_bool(p, true)
						      : write_uint(p, o->version);
	} else {
		memcpy(p, r.p, (size_t)(behind - r.p));
		p = write_text(p + (behind - r.p), "result");
		memcpy(p, behind, r.n - (size_t)(behind - r.p));
		p += r.n - (size_t)(behind - r.p);
	}
	reply_room(w, op, p);
}

static void run_outcome(struct worker *w, const struct op *op)
{
	struct session_outcome o = {.version = 0};
	char small[REPLY_SMALL];
	int r;

	/* It may be ruled out: that is a write. */
	if (!op_room(w, op, op_way_durable(w, op), REPLY_SMALL))
		return;
	(void)fault_at("worker.before_append");
	r = store_session_outcome(w->store, op->key.name, session_of(w, op), &o);
	(void)fault_at("worker.after_append");
	if (r == SESSION_DONE)
		state_done(w, op, &o);
	else if (r == SESSION_NEVER)
		reply_small(w, op, small,
			    op_never_result(write_reply_head(small, op->entry->msgid)));
	else
		refuse(w, op, r);
}

static void run_ack(struct worker *w, const struct op *op)
{
	char small[REPLY_SMALL];
	int r = store_session_ack(w->store, op->key.name, session_of(w, op));

	if (r == SESSION_RUN)
		reply_small(w, op, small,
			    write_bool(write_reply_head(small, op->entry->msgid), true));
	else
		refuse(w, op, r);
}

/* ---- the others ---- */

void op_session_acknowledge(struct worker *w, const struct op *op)
{
	/* Of a session that is not known there is nothing to be freed. */
	if (record_session(op->rec, op->entry)->ack)
		(void)store_session_ack(w->store, op->key.name, session_of(w, op));
}

bool op_session(struct worker *w, struct op *op)
{
	struct session_outcome o = {.version = 0};
	int r;

	if (!entry_writes(op->entry)) {
		op_session_acknowledge(w, op);
		return true;
	}
	if (method_is(op->entry->method, METHOD_SESSION)) {
		(op->entry->method == WIRE_OUTCOME ? run_outcome : run_ack)(w, op);
		return false;
	}
	r = store_session(w->store, op->key.name, session_of(w, op), &o);
	if (r == SESSION_RUN)
		return true;
	if (r == SESSION_DONE)
		answer(w, op, &o);
	else
		refuse(w, op, r);
	return false;
}

/* Is it what running came to?  Else nothing has been run, and the next one may come to more. */
static bool is_outcome(struct span result)
{
	switch (error_of(result)) {
	case WIRE_OK:
	case WIRE_E_NO_BUCKET:
	case WIRE_E_CONFLICT:
	case WIRE_E_FAILED:
	case WIRE_E_TOO_LONG:
		return true;
	default:
		return false;
	}
}

int op_settle(struct worker *w, const struct op *op, struct span result)
{
	bool kept = (op->entry->flags & ENTRY_SESSION) && is_outcome(result);
	int r;

	if (!kept && store_committed(w->store))
		return 0;
	if (!kept && (op->entry->flags & ENTRY_SESSION))
		store_begin(w->store, op_identity(op) + 1); /* not in the session's name */
	r = fault_at("worker.outcome");
	/* One of a session is its record's, and a copy's; another is no more than a refusal. */
	w->logged = kept && r == 0;
	return r < 0 ? r : store_outcome(w->store, op->key.name, result);
}
