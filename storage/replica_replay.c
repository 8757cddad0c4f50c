/*
 * Reading the log of partitions that have copies: what is known to be committed takes effect, the
 * rest waits in the tail until its partition has a role, or is cut.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "storage/snapshot_impl.h"
#include "storage/store_impl.h"

void replica_load(struct store *s, uint32_t partition, const struct engine_part *part)
{
	struct replica *x = &s->replica[partition];

	s->given->at[partition] = part->settled;
	x->commit = part->settled;
	if (partition_is_own(s, partition))
		return;
	x->synced = part->settled;
	x->load_lsn = part->load_lsn;
	x->broken = part->broken;
	if (part->spans)
		x->spans = *part->spans;
	else if (part->settled)
		spans_add(&x->spans, 0, 1, part->settled);
	/* Its last ones may be set aside: they come again. */
	spans_trim(&x->spans, part->settled);
	x->term = spans_end(&x->spans).term;
}

static int nonsense(struct store *s, const struct log_record *r, const char *what)
{
	return store_fail(s, -EBADMSG, "log in \"%.120s\": lsn %llu, partition %u: %s", s->dir,
			  (unsigned long long)r->lsn, r->entry->partition, what);
}

/* It is in the log: into the tail. */
static int add(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	struct replica *x = &s->replica[e->partition];

	if (e->count && (e->term < x->term || (e->term > x->term) != (e->kind == LOG_TERM)))
		return nonsense(s, r, "another term than it may have");
	if (tail_reserve(&x->tail, e->size) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	if (e->count) {
		replica_advance(s, e->partition, log_entry_last(e), r->lsn);
		spans_add(&x->spans, e->term, e->sequence, e->count);
		x->term = e->term;
	}
	tail_add(&x->tail, r, same);
	s->tails_bytes += sizeof(struct tail_record) + e->size;
	return 0;
}

static int cut(struct store *s, const struct log_record *r)
{
	struct replica *x = &s->replica[r->entry->partition];
	struct log_place place;

	log_place_read(r->entry, &place);
	if (place.sequence < x->commit || place.sequence > s->newest->at[r->entry->partition])
		return nonsense(s, r, "a cut of what is committed, or not there");
	(void)replica_take_back(s, r->entry->partition, place.sequence);
	return 0;
}

static int commit(struct store *s, const struct log_record *r)
{
	struct replica *x = &s->replica[r->entry->partition];
	struct log_place place;

	log_place_read(r->entry, &place);
	if (place.sequence > s->newest->at[r->entry->partition])
		return nonsense(s, r, "a commit of what is not there");
	if (place.sequence > x->commit)
		x->commit = place.sequence;
	return 0;
}

/* Each record says how far all was known to be committed when it was written. */
static int learn(struct store *s, const struct log_record *r)
{
	struct replica *x = &s->replica[r->entry->partition];
	uint64_t last = log_entry_last(r->entry);
	uint64_t back = r->entry->term ? r->frame->commit_back : 0; /* 0: there were no copies */

	if (back > last)
		return nonsense(s, r, "more is not committed than there is");
	if (last - back > x->commit)
		x->commit = last - back;
	return 0;
}

/* Its copy was to come from another node, or to go; base does not say so yet. */
static int voided(struct store *s, const struct log_record *r)
{
	uint32_t partition = r->entry->partition;
	struct log_load load;

	if (r->entry->kind == LOG_LOAD) {
		log_load_read(r->entry, &load);
		if (load.whole)
			return nonsense(s, r, "the end of a copy from another node");
	}
	replica_void(s, partition, r->lsn);
	replica_void_rest(s, partition);
	load_voided(s, partition);
	return 0;
}

static int replay(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	int x;

	if (e->sequence != s->newest->at[e->partition] + !!e->count)
		return nonsense(s, r, "another sequence than the next one");
	x = e->kind == LOG_LOAD || e->kind == LOG_FORGET ? 0 : learn(s, r);
	if (x < 0)
		return x;
	switch (e->kind) {
	case LOG_CUT:
		return cut(s, r);
	case LOG_COMMIT:
		return commit(s, r);
	case LOG_LOAD:
	case LOG_FORGET:
		return voided(s, r);
	default:
		return add(s, r, same);
	}
}

/* One of our own: it takes effect as where there are no copies. */
static int own_replay(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	int x = 0;

	if (e->term || e->kind >= LOG_TERM)
		return nonsense(s, r, "a term, in a partition that has no copies");
	if (e->sequence != s->newest->at[e->partition] + !!e->count)
		return nonsense(s, r, "another sequence than the next one");
	if (s->config.before_apply && !s->follower)
		x = s->config.before_apply(s->config.arg, r, same);
	if (x == 0 && e->count)
		own_advance(s, e, r->lsn);
	if (x == 0)
		x = record_apply(s, r);
	if (x == 0 && s->config.after_apply && !s->follower)
		x = s->config.after_apply(s->config.arg, r, same);
	return x;
}

int replica_replay(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	struct log_clock note;
	int x;

	if (e->partition >= s->partitions)
		return nonsense(s, r, "there is no such partition");
	if (e->kind == LOG_CLOCK) {
		log_clock_read(e, &note);
		/* One of another boot may be of another machine: how long ago it was is not known. */
		if (!memcmp(note.boot_id, s->pace.boot_id, sizeof(note.boot_id)))
			pace_recall(&s->pace, &note);
		else
			pace_known(&s->pace, note.clock_ms);
	}
	if (r->lsn <= s->settled_lsn || r->lsn <= s->replica[e->partition].load_lsn)
		return 0;
	s->log.active += log_record_size(r->frame);
	x = partition_is_own(s, e->partition) ? own_replay(s, r, same) : replay(s, r, same);
	if (x == 0 && e->partition < s->copied)
		x = replica_settle_tail(s, e->partition, !s->follower);
	if (x == 0)
		x = lsn_mark_note(s, r->lsn);
	return x;
}

int replica_load_aside(struct store *s, const struct log_entry *e)
{
	static const struct log_frame nobody;
	const struct log_record r = {0, &nobody, e};

	if (e->partition >= s->copied || e->sequence != s->newest->at[e->partition] + 1)
		return -EBADMSG;
	return add(s, &r, false);
}

static int aside_load(void *arg, const struct log_entry *e)
{
	return replica_load_aside(arg, e);
}

int replicas_load_tails(struct store *s)
{
	int r = engine_tails(s->base, aside_load, s);

	return r < 0 && !s->why[0]
		       ? store_fail(s, r, "read what is set aside in base of \"%.150s\"", s->dir)
		       : r;
}
