/* What is told of requests that may be sent again, what is logged for it, and what is forgotten. */
#include "storage/session.h"

#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "storage/engine_copy.h"
#include "storage/store_impl.h"

#define LOOK_MS     1000u /* between looks for sessions that are too old */
#define LOOK_MAX    128u  /* sessions that are looked at, and forgotten, at once */
#define CROWDED_OUT 2u    /* sessions that one new one makes to be forgotten */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- forgetting ---- */

/* Log, unless it is known, that those made until then are not known any more. */
static int forget_append(struct store *s, uint32_t partition, uint64_t made_ms)
{
	const struct log_forget x = {made_ms};
	struct log_frame *f;
	int r = 0;
	char *p;

	if (made_ms <= s->sessions->forgotten[partition])
		return 0;
	f = record_room(s, partition, LOG_RECORD_BYTES + sizeof(x), false, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, LOG_FORGET_SESSION, partition, version_next(s, partition), 1);
	log_entry_end(f, log_forget_write(p, &x));
	(void)record_append(s, f, 0); /* nobody asked for it */
	s->sessions->forgotten[partition] = made_ms;
	s->sessions->forgotten_at[partition] = s->newest->at[partition];
	return 0;
}

/* There are more floors than may be: those that were used longest ago go, however new they are. */
static int crowd_out(struct store *s)
{
	struct session_table *t = s->sessions;

	for (unsigned i = 0; i < CROWDED_OUT && sessions_are_many(t); i++) {
		struct session *x = t->idle.oldest;
		int r;

		if (!is_led(s, x->partition)) { /* not ours to forget: others first */
			session_use(t, x, x->used_ms);
			continue;
		}
		r = forget_append(s, x->partition, session_made_ms(x->id));
		if (r < 0)
			return r;
		session_remove(t, x);
	}
	return 0;
}

static bool is_old(const struct store *s, const struct session *x)
{
	uint64_t made_ms = session_made_ms(x->id);
	uint64_t since = x->used_ms > made_ms ? x->used_ms : made_ms;

	return s->pace.wall_ms >= later(since, s->config.session_ms);
}

/* Those at the list's begin that are too old.  *ret_seen: so many were looked at. */
static unsigned old_find(struct store *s, struct session_list *l, struct session **ret,
			 unsigned *ret_seen)
{
	struct session *x = l->oldest;
	unsigned n = 0;

	for (*ret_seen = 0; x && *ret_seen < LOOK_MAX; ++*ret_seen) {
		struct session *next = x->newer;

		if (!is_led(s, x->partition)) /* whose primary forgets it */
			session_use(s->sessions, x, x->used_ms);
		else if (is_old(s, x))
			ret[n++] = x;
		else if (x->used_ms <= s->pace.wall_ms &&
			 s->pace.wall_ms - x->used_ms < s->config.session_ms)
			break; /* and so are all that follow */
		else /* made or used in what is now the future: let it not hide the others */
			session_use(s->sessions, x, x->used_ms);
		x = next;
	}
	return n;
}

static int old_forget(struct store *s, struct session_list *l)
{
	struct session *old[LOOK_MAX];
	unsigned seen;
	unsigned n = old_find(s, l, old, &seen);

	if (n && seen == LOOK_MAX)
		s->sessions->more = true;
	for (unsigned i = 0; i < n; i++) {
		uint32_t partition = old[i]->partition;
		uint64_t latest = 0;
		int r;

		for (unsigned k = i; k < n; k++)
			if (old[k]->partition == partition && session_made_ms(old[k]->id) > latest)
				latest = session_made_ms(old[k]->id);
		r = forget_append(s, partition, latest); /* what follows finds it known */
		if (r < 0)
			return r;
		store_work(s, WORK_REQUEST + old[i]->count);
		session_remove(s->sessions, old[i]);
	}
	return 0;
}

int sessions_tick(struct store *s)
{
	struct session_table *t = s->sessions;
	int r;

	if (!t->more && s->pace.now_ms < t->look_ms)
		return 0;
	t->look_ms = later(s->pace.now_ms, LOOK_MS);
	t->more = false;
	if (wal_over_limit(s->wal))
		return 0;
	r = old_forget(s, &t->idle);
	if (r == 0)
		r = old_forget(s, &t->keeping);
	return r == -EBUSY ? 0 : r; /* another time */
}

/* ---- a request ---- */

/* One that is not known: may it become so?  0 and *ret, SESSION_UNKNOWN, SESSION_BUSY, an error. */
static int session_begin(struct store *s, uint32_t partition, const uint8_t id[16],
			 struct session **ret)
{
	uint64_t made_ms = session_made_ms(id);
	uint64_t wall_ms = s->pace.wall_ms;
	int r;

	if (made_ms <= s->sessions->forgotten[partition] ||
	    wall_ms > later(made_ms, s->config.session_ms) ||
	    made_ms > later(wall_ms, SESSION_AHEAD_MS))
		return SESSION_UNKNOWN;
	r = crowd_out(s);
	if (r < 0)
		return r == -EBUSY ? SESSION_BUSY : r;
	*ret = session_add(s->sessions, partition, id, wall_ms);
	return *ret ? 0 : store_fail(s, -ENOMEM, "no memory");
}

static int session_known(struct store *s, uint32_t partition, const struct log_session *x,
			 struct session **ret)
{
	*ret = session_find(s->sessions, partition, x->id);
	if (!*ret)
		return session_begin(s, partition, x->id, ret);
	session_use(s->sessions, *ret, s->pace.wall_ms);
	return 0;
}

static bool is_busy(struct store *s, const struct session *x)
{
	if (x->count >= SESSION_OUTCOMES_MAX)
		(void)store_fail(s, 0, "%u outcomes of this session are not acknowledged",
				 SESSION_OUTCOMES_MAX);
	else if (session_is_full(s->sessions, x, 0))
		(void)store_fail(s, 0, "too many outcomes are not acknowledged: try again later");
	else
		return false;
	return true;
}

static int outcome_tell(struct store *s, const struct session *x, const struct outcome *o,
			struct session_outcome *ret)
{
	observe(s, stamp_make(x->partition, 0), o->sequence);
	if (o->ruled_out)
		return SESSION_NEVER;
	*ret = (struct session_outcome){
		{o->result, o->size},
                o->sequence, o->fingerprint
        };
	return SESSION_DONE;
}

/* What is known of it, its acknowledgement aside. */
static int verdict(struct store *s, struct session *known, const struct log_session *x,
		   struct session_outcome *ret)
{
	const struct outcome *o;
	int r;

	if (x->sequence < known->floor)
		return SESSION_STALE;
	o = session_outcome_find(known, x->sequence);
	if (o) {
		r = outcome_tell(s, known, o, ret);
		if (r == SESSION_NEVER)
			return SESSION_STALE;
		return o->fingerprint == x->fingerprint ? r : SESSION_OTHER;
	}
	return is_busy(s, known) ? SESSION_BUSY : SESSION_RUN;
}

/* Take the acknowledgement.  Bytes of outcomes that went. */
static uint64_t ack_take(struct store *s, struct session *known, const struct log_session *x)
{
	uint64_t before = s->sessions->keeping_bytes;

	session_acknowledge(s->sessions, known, x->acknowledged);
	return before - s->sessions->keeping_bytes;
}

int store_session(struct store *s, struct span name, const struct log_session *x,
		  struct session_outcome *ret)
{
	struct session *known;
	uint64_t went;
	int r = session_known(s, name_partition(s, name), x, &known);

	if (r)
		return r;
	went = ack_take(s, known, x);
	r = verdict(s, known, x, ret);
	if (r != SESSION_RUN) { /* no record will have the ack */
		s->sessions->unlogged_bytes += went;
		return r;
	}
	s->head.session = x;
	s->sessions->now = known;
	return r;
}

/* Rule out what *x says, for which there is room. */
static int rule_out(struct store *s, struct session *known, const struct log_session *x)
{
	static const struct span none = {"", 0};
	uint32_t partition = known->partition;
	struct log_frame *f;
	int r;
	char *p;

	s->head.session = x;
	s->sessions->now = known;
	r = session_outcome_begin(s, none);
	if (r < 0)
		return r;
	f = record_room(s, partition, LOG_RECORD_BYTES + session_bytes(s), false, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, LOG_RULED_OUT, partition, version_next(s, partition), 1);
	log_entry_end(f, session_write(s, f, p));
	(void)change_append(s, f);
	return SESSION_NEVER;
}

int store_session_outcome(struct store *s, struct span name, const struct log_session *x,
			  struct session_outcome *ret)
{
	struct log_session ruled = *x;
	struct session *known;
	const struct outcome *o;
	int r = session_known(s, name_partition(s, name), x, &known);

	if (r)
		return r;
	if (x->sequence < known->floor)
		return SESSION_STALE;
	o = session_outcome_find(known, x->sequence);
	if (o)
		return outcome_tell(s, known, o, ret);
	if (is_busy(s, known))
		return SESSION_BUSY;
	ruled.acknowledged = known->floor;
	ruled.fingerprint = 0;
	r = rule_out(s, known, &ruled);
	s->head.session = NULL;
	return r;
}

int store_session_ack(struct store *s, struct span name, const struct log_session *x)
{
	struct session *known;
	int r = session_known(s, name_partition(s, name), x, &known);

	if (r)
		return r;
	s->sessions->unlogged_bytes += ack_take(s, known, x);
	return SESSION_RUN;
}

/* ---- its record ---- */

int session_outcome_begin(struct store *s, struct span result)
{
	struct session_table *t = s->sessions;

	if (!session_may_fit(t, result.n))
		return store_fail(s, -E2BIG,
				  "its result has %llu bytes, which no session may keep: see "
				  "limits.outcomes",
				  (unsigned long long)result.n);
	if (result.n && session_is_full(t, t->now, result.n))
		return store_fail(s, -EBUSY,
				  "too many outcomes are not acknowledged: try again later");
	if (session_outcome_make(t, t->now, result) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	return 0;
}

/* What was made for it, in its place. */
static void outcome_enter(struct store *s, struct session *known, const struct log_session *x,
			  const struct log_entry *e)
{
	struct outcome *o = s->sessions->made;

	o->number = x->sequence;
	o->fingerprint = x->fingerprint;
	o->sequence = e->sequence + e->count - 1;
	o->ruled_out = e->kind == LOG_RULED_OUT;
	session_outcome_enter(s->sessions, known, o);
}

void session_outcome_end(struct store *s, const struct log_entry *e)
{
	outcome_enter(s, s->sessions->now, s->head.session, e);
	s->head.session = NULL;
}

/* ---- what there was before ---- */

/* Whatever its age is: it was known then. */
static struct session *session_recall(struct store *s, uint32_t partition, const uint8_t id[16])
{
	struct session *x = session_find(s->sessions, partition, id);

	return x ? x : session_add(s->sessions, partition, id, s->pace.wall_ms);
}

int session_apply(struct store *s, const struct log_entry *e)
{
	const struct log_session *x = log_session_read(e);
	uint64_t *forgotten = &s->sessions->forgotten[e->partition];
	struct session *known;
	struct log_forget f;

	if (e->kind == LOG_FORGET_SESSION) {
		log_forget_read(e, &f);
		*forgotten = f.made_ms > *forgotten ? f.made_ms : *forgotten;
		s->sessions->forgotten_at[e->partition] = e->sequence;
	}
	if (!x)
		return 0;
	known = session_recall(s, e->partition, x->id);
	if (!known)
		return store_fail(s, -ENOMEM, "no memory");
	session_acknowledge(s->sessions, known, x->acknowledged);
	if (x->sequence < known->floor || session_outcome_find(known, x->sequence))
		return 0;
	if (session_outcome_make(s->sessions, known, log_result_read(e)) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	outcome_enter(s, known, x, e);
	return 0;
}

static int outcome_load(struct store *s, struct session *known, const struct engine_outcome *row)
{
	struct outcome *o;

	if (row->number < known->floor || session_outcome_find(known, row->number))
		return -EBADMSG;
	if (session_outcome_make(s->sessions, known, row->result) < 0)
		return -ENOMEM;
	o = s->sessions->made;
	o->number = row->number;
	o->fingerprint = row->fingerprint;
	o->sequence = row->sequence;
	o->ruled_out = row->ruled_out;
	o->settled = true;
	session_outcome_enter(s->sessions, known, o);
	return 0;
}

static int row_load(void *arg, const struct engine_session_row *r)
{
	struct store *s = arg;
	struct session_table *t = s->sessions;
	struct session *known;

	store_work(s, WORK_REQUEST);
	if (r->kind == ENGINE_FORGOTTEN) {
		t->forgotten[r->partition] = r->made_ms;
		t->forgotten_settled[r->partition] = r->made_ms;
		return 0;
	}
	known = session_recall(s, r->partition, r->id);
	if (!known)
		return -ENOMEM;
	if (r->kind == ENGINE_OUTCOME)
		return outcome_load(s, known, &r->outcome);
	known->floor = r->floor;
	return 0;
}

/* Rows of a copy that is not whole mean nothing. */
static int row_load_whole(void *arg, const struct engine_session_row *r)
{
	struct store *s = arg;

	if (r->partition >= s->partitions)
		return -EBADMSG;
	return s->replica && s->replica[r->partition].broken ? 0 : row_load(s, r);
}

int sessions_load_of(struct store *s, uint32_t partition)
{
	struct engine_session_row row;
	struct engine_copy *c;
	struct log_spans spans;
	struct engine_part part;
	int r = engine_copy_open(s->base, partition, &c, &part, &spans);

	if (r < 0)
		return store_fail(s, r, "read base in \"%.150s\": %s", s->dir, strerror(-r));
	while (r == 0 && (r = engine_copy_session(c, &row)) == 0)
		r = row_load(s, &row);
	engine_copy_close(&c);
	if (r == -ENOENT)
		return 0;
	return store_fail(s, r, "read the sessions in \"%.150s\": %s", s->dir, strerror(-r));
}

int sessions_load(struct store *s)
{
	int r = engine_sessions(s->base, row_load_whole, s);

	return r < 0 ? store_fail(s, r, "read the sessions in \"%.150s\": %s", s->dir, strerror(-r))
		     : 0;
}
