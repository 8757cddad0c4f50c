/* Roles, and what is appended, committed and cut. */
#include "storage/replica.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/store_impl.h"

/* ---- memory ---- */

int replicas_make(struct store *s)
{
	if (!s->config.replicated)
		return 0;
	s->replica = calloc(s->partitions, sizeof(*s->replica));
	s->given = marks_new(s->partitions, NULL);
	if (!s->replica || !s->given)
		return -ENOMEM;
	for (uint32_t i = s->copied; i < s->partitions; i++)
		s->replica[i].role = STORE_PRIMARY; /* for good, and of term 0 */
	return 0;
}

void replicas_free(struct store *s)
{
	for (uint32_t i = 0; s->replica && i < s->partitions; i++) {
		tail_fini(&s->replica[i].tail);
		free(s->replica[i].parked);
	}
	free(s->replica);
	free(s->given);
	lsn_marks_free(&s->lsn_marks);
	s->replica = NULL;
}

static struct replica *replica_of(struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	return &s->replica[partition];
}

/* ---- appending ---- */

/* Is what waits to be committed as much as may wait?  One record may always. */
static bool tail_is_full(const struct store *s, const struct replica *x, uint64_t size)
{
	return x->tail.records &&
	       (tail_bytes(&x->tail) + size > STORE_TAIL_BYTES ||
		x->tail.records >= STORE_TAIL_RECORDS || s->tails_bytes + size > STORE_TAILS_BYTES);
}

int replica_room(struct store *s, uint32_t partition, uint64_t size, bool bounded)
{
	struct replica *x;

	if (partition_is_own(s, partition))
		return 0;
	x = replica_of(s, partition);
	if (x->role != STORE_PRIMARY)
		return store_fail(s, -EINVAL, "partition %u is not led here", partition);
	if (bounded && tail_is_full(s, x, size))
		return store_fail(s, -EBUSY, "too much waits for other copies: try again later");
	return tail_reserve(&x->tail, size) < 0 ? store_fail(s, -ENOMEM, "no memory") : 0;
}

void replica_entry(const struct store *s, struct log_frame *f)
{
	struct log_entry *e = (struct log_entry *)(f + 1);

	e->term = s->replica[e->partition].term;
}

void replica_advance(struct store *s, uint32_t partition, uint64_t sequence, uint64_t lsn)
{
	struct partition *p = &s->part[partition];

	check_slow(sequence > s->newest->at[partition] && (!lsn || lsn > p->last_lsn));
	s->newest->at[partition] = sequence;
	if (sequence > s->given->at[partition])
		s->given->at[partition] = sequence;
	if (lsn)
		p->last_lsn = lsn;
	s->last_partition = partition;
}

/* It is known of the partition, and in the tail, for which there is room. */
static void remember(struct store *s, const struct log_record *r)
{
	const struct log_entry *e = r->entry;
	struct replica *x = replica_of(s, e->partition);

	replica_advance(s, e->partition, log_entry_last(e), r->lsn);
	spans_add(&x->spans, e->term, e->sequence, e->count);
	x->term = e->term;
	tail_add(&x->tail, r, true);
	s->tails_bytes += sizeof(struct tail_record) + e->size;
}

uint64_t replica_log(struct store *s, struct log_frame *f, uint64_t request_id)
{
	const struct log_entry *e = log_frame_entry(f);
	const struct replica *x = replica_of(s, e->partition);
	uint64_t last = log_entry_last(e);
	uint64_t lsn;

	check(last < x->commit || last - x->commit <= UINT32_MAX);
	f->commit_back = last > x->commit ? (uint32_t)(last - x->commit) : 0;
	if (!s->log.active)
		s->oldest_ms = clock_ms();
	s->log.active += log_record_size(f);
	lsn = wal_append(s->wal, f, request_id);
	if (e->count)
		remember(s, &(struct log_record){lsn, f, e});
	(void)lsn_mark_note(s, lsn); /* without it somebody reads more than he must */
	return lsn;
}

void own_advance(struct store *s, const struct log_entry *e, uint64_t lsn)
{
	struct partition *p = &s->part[e->partition];

	if (p->mark_lsn <= wal_synced(s->wal)) {
		p->synced = p->mark;
		p->mark = s->newest->at[e->partition];
		p->mark_lsn = p->last_lsn;
	}
	replica_advance(s, e->partition, log_entry_last(e), lsn);
	s->replica[e->partition].commit = log_entry_last(e);
}

/* Nobody else need have it: it waits in no tail. */
static uint64_t own_append(struct store *s, struct log_frame *f, uint64_t request_id)
{
	const struct log_entry *e = log_frame_entry(f);
	uint64_t lsn;

	if (!s->log.active)
		s->oldest_ms = clock_ms();
	s->log.active += log_record_size(f);
	lsn = wal_append(s->wal, f, request_id);
	if (e->count)
		own_advance(s, e, lsn);
	(void)lsn_mark_note(s, lsn);
	return lsn;
}

uint64_t replica_append(struct store *s, struct log_frame *f, uint64_t request_id)
{
	struct replica *x;
	uint64_t lsn;

	if (partition_is_own(s, log_frame_entry(f)->partition))
		return own_append(s, f, request_id);
	x = replica_of(s, log_frame_entry(f)->partition);
	check(x->role == STORE_PRIMARY && !x->undone && x->tail.applied == x->tail.end);
	lsn = replica_log(s, f, request_id);
	x->tail.applied = x->tail.end;
	if (log_frame_entry(f)->count && s->config.on_append)
		s->config.on_append(s->config.arg,
				    &(struct log_record){lsn, f, log_frame_entry(f)});
	return lsn;
}

/* ---- taking effect ---- */

int replica_apply_next(struct store *s, uint32_t partition, bool hooks)
{
	struct tail *t = &replica_of(s, partition)->tail;
	const struct tail_record *x = tail_at(t, t->applied);
	const struct log_record r = {x->lsn, &x->frame, tail_entry(x)};
	int e = 0;

	check(t->applied < t->end);
	if (hooks && s->config.before_apply)
		e = s->config.before_apply(s->config.arg, &r, x->same_generation);
	if (e == 0)
		e = record_apply(s, &r);
	if (e == 0 && hooks && s->config.after_apply)
		e = s->config.after_apply(s->config.arg, &r, x->same_generation);
	if (e == 0)
		t->applied = tail_next(x, t->applied);
	return e;
}

int replica_settle_tail(struct store *s, uint32_t partition, bool hooks)
{
	struct replica *x = replica_of(s, partition);
	struct partition *p = &s->part[partition];
	struct tail *t = &x->tail;
	int r = 0;

	while (t->records) {
		const struct log_entry *e = tail_entry(tail_at(t, t->begin));

		if (log_entry_last(e) > x->commit)
			break;
		if (t->applied == t->begin && !x->undone)
			r = replica_apply_next(s, partition, hooks);
		if (r < 0)
			return r;
		s->tails_bytes -= sizeof(struct tail_record) + e->size;
		tail_pop(t);
	}
	/* What is told of it need not wait for anybody. */
	p->synced = x->commit;
	p->mark = x->commit;
	p->mark_lsn = p->last_lsn;
	return 0;
}

int store_commit(struct store *s, uint32_t partition, uint64_t sequence)
{
	struct replica *x = replica_of(s, partition);

	if (sequence > s->newest->at[partition])
		return store_fail(s, -ERANGE, "partition %u is not in the log up to %llu",
				  partition, (unsigned long long)sequence);
	if (sequence <= x->commit)
		return 0;
	x->commit = sequence;
	return replica_settle_tail(s, partition, false);
}

/* ---- roles ---- */

enum store_role store_role(const struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	return s->replica[partition].role;
}

void store_follow(struct store *s, uint32_t partition)
{
	replica_of(s, partition)->role = STORE_BACKUP;
}

static int lead_check(struct store *s, uint32_t partition, uint64_t term)
{
	const struct replica *x = replica_of(s, partition);

	if (x->undone)
		return store_fail(s, -EINPROGRESS, "partition %u was cut: not before a restart",
				  partition);
	if (x->broken)
		return store_fail(s, -ENODATA, "the copy of partition %u is not whole", partition);
	if (term <= x->term)
		return store_fail(s, -ESTALE, "partition %u has records of term %llx", partition,
				  (unsigned long long)x->term);
	return 0;
}

/* What the tail had of the time is to be told, and what has expired to be deleted. */
static int lead_end(struct store *s, uint32_t partition)
{
	struct partition *p = &s->part[partition];
	int r = replica_unpark(s, partition);

	pace_known(&s->pace, p->clock_told);
	sweep_look(s);
	if (r == 0 && p->tell_clock)
		r = clock_tell(s, partition, s->pace.now_ms);
	p->tell_clock = false;
	return r == -EBUSY ? 0 : r;
}

int store_lead(struct store *s, uint32_t partition, uint64_t term, struct span view,
	       uint64_t *ret_sequence)
{
	struct replica *x = replica_of(s, partition);
	uint64_t size = LOG_RECORD_BYTES + log_round(sizeof(struct log_term_head) + view.n);
	int r = lead_check(s, partition, term);
	struct log_frame *f;
	char *p;

	if (r < 0)
		return r;
	if (tail_reserve(&x->tail, size) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	f = log_room(s, size, true, &r);
	if (!f)
		return r;
	while (x->tail.applied < x->tail.end) {
		r = replica_apply_next(s, partition, true);
		if (r < 0)
			return r;
	}
	x->role = STORE_PRIMARY;
	x->term = term;
	*ret_sequence = version_next(s, partition);
	p = entry_begin(s, f, LOG_TERM, partition, *ret_sequence, 1);
	log_entry_end(f, log_term_write(p, view));
	(void)replica_append(s, f, 0);
	return lead_end(s, partition);
}

/* ---- what a backup takes in ---- */

static int follow_check(struct store *s, const struct log_entry *e)
{
	const struct replica *x = replica_of(s, e->partition);
	uint64_t newest = s->newest->at[e->partition];

	if (x->role != STORE_BACKUP)
		return store_fail(s, -EINVAL, "partition %u is not followed here", e->partition);
	if (x->broken)
		return store_fail(s, -ENODATA, "the copy of partition %u is not whole",
				  e->partition);
	/* A term begins with the record that says so, and with no other. */
	if (e->sequence != newest + 1 || e->term < x->term ||
	    (e->term > x->term) != (e->kind == LOG_TERM))
		return store_fail(s, -ESTALE,
				  "%llu of term %llx does not follow %llu of term %llx in "
				  "partition %u",
				  (unsigned long long)e->sequence, (unsigned long long)e->term,
				  (unsigned long long)newest, (unsigned long long)x->term,
				  e->partition);
	return 0;
}

/* Does base have more afterwards?  What only deletes is let in like that, as on a primary. */
static bool entry_adds(const struct log_entry *e)
{
	struct log_changes i;
	struct log_change c;

	log_changes_begin(&i, e);
	while (log_changes_next(&i, &c) == 1)
		if (c.op == LOG_PUT || c.op == LOG_TOUCH || c.op == LOG_CREATE)
			return true;
	return false;
}

static int follow_room(struct store *s, const struct log_entry *e)
{
	struct replica *x = replica_of(s, e->partition);
	uint64_t size = sizeof(struct tail_record) + e->size;

	int r = entry_adds(e) ? store_admit(s, sizeof(struct log_frame) + e->size) : 0;

	if (r < 0)
		return r;
	/* A partition may have more than its share: the primary's bound is reached before. */
	if (x->tail.records && s->tails_bytes + size > STORE_TAILS_BYTES)
		return store_fail(s, -ENOSPC, "too much waits to be committed");
	return tail_reserve(&x->tail, e->size) < 0 ? store_fail(s, -ENOMEM, "no memory") : 0;
}

int store_follow_append(struct store *s, struct span bytes, uint64_t *ret_lsn)
{
	const struct log_entry *e = (const struct log_entry *)bytes.p;
	struct log_frame *f;
	struct replica *x;
	const char *why;
	int r = log_entry_check_sent(e, bytes.n, &why);

	if (r < 0 || e->size != bytes.n || e->partition >= s->copied)
		return store_fail(s, -EBADMSG, "an entry that was sent: %s",
				  r < 0 ? why : "lengths that do not fit");
	r = follow_check(s, e);
	if (r == 0)
		r = follow_room(s, e);
	if (r < 0)
		return r;
	f = log_room(s, sizeof(*f) + e->size, false, &r);
	if (!f)
		return r;
	memcpy(f + 1, e, e->size);
	*ret_lsn = replica_log(s, f, 0);
	x = replica_of(s, e->partition);
	if (!e->term) /* it was written when there were no copies */
		x->commit = log_entry_last(e);
	return x->commit >= log_entry_last(e) ? replica_settle_tail(s, e->partition, false) : 0;
}

/* ---- cuts ---- */

bool replica_take_back(struct store *s, uint32_t partition, uint64_t sequence)
{
	struct replica *x = replica_of(s, partition);
	uint64_t applied = x->tail.applied;
	uint64_t bytes = tail_bytes(&x->tail);
	bool had_effect;

	tail_cut(&x->tail, sequence);
	had_effect = applied > x->tail.end;
	s->tails_bytes -= bytes - tail_bytes(&x->tail);
	spans_trim(&x->spans, sequence);
	x->term = spans_end(&x->spans).term;
	if (x->synced_at > x->tail.end)
		x->synced_at = x->tail.end;
	if (x->synced > sequence)
		x->synced = sequence;
	s->newest->at[partition] = sequence;
	return had_effect;
}

/* Is `sequence` the last of a record that may be the last one that stays? */
static bool is_border(const struct replica *x, uint64_t sequence)
{
	const struct tail_record *r = tail_find(&x->tail, sequence);

	return sequence == x->commit || (r && log_entry_last(tail_entry(r)) == sequence);
}

static struct log_place place_of(const struct replica *x, uint64_t sequence)
{
	for (uint32_t i = x->spans.count; i-- > 0;)
		if (x->spans.at[i].first <= sequence)
			return (struct log_place){x->spans.at[i].term, sequence};
	return (struct log_place){0, sequence};
}

int store_cut(struct store *s, uint32_t partition, uint64_t sequence, uint64_t *ret_lsn)
{
	struct replica *x = replica_of(s, partition);
	struct log_place place = place_of(x, sequence);
	struct log_frame *f;
	int r = 0;
	char *p;

	if (x->role != STORE_BACKUP)
		return store_fail(s, -EINVAL, "partition %u is not followed here", partition);
	*ret_lsn = wal_lsn(s->wal);
	if (sequence >= s->newest->at[partition])
		return 0;
	if (sequence < x->commit || !is_border(x, sequence))
		return store_fail(
			s, -EBADMSG, "partition %u cannot be cut to %llu: %llu is committed",
			partition, (unsigned long long)sequence, (unsigned long long)x->commit);
	f = log_room(s, LOG_RECORD_BYTES + sizeof(place), true, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, LOG_CUT, partition, s->newest->at[partition], 0);
	log_entry_end(f, log_place_write(p, &place));
	*ret_lsn = replica_log(s, f, 0);
	if (!replica_take_back(s, partition, sequence) && !x->undone)
		return 0;
	x->undone = true;
	s->undone = true;
	return store_fail(s, -EINPROGRESS, "partition %u was cut: it must be read anew", partition);
}

bool store_must_restart(const struct store *s)
{
	return s->undone;
}
