/*
 * Reading the log of partitions that have copies: what is known to be committed takes effect, the
 * rest waits in the tail until its partition has a role, or is cut.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "storage/store_impl.h"

void replica_load(struct store *s, uint32_t partition, const struct engine_part *part)
{
	struct replica *x = &s->replica[partition];

	s->given->at[partition] = part->settled;
	x->commit = part->settled;
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

static int replay(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	int x;

	if (e->sequence != s->newest->at[e->partition] + !!e->count)
		return nonsense(s, r, "another sequence than the next one");
	x = learn(s, r);
	if (x < 0)
		return x;
	switch (e->kind) {
	case LOG_CUT:
		return cut(s, r);
	case LOG_COMMIT:
		return commit(s, r);
	case LOG_LOAD:
	case LOG_FORGET:
		return nonsense(s, r, "a copy that came from another node");
	default:
		return add(s, r, same);
	}
}

int replica_replay(struct store *s, const struct log_record *r, bool same)
{
	const struct log_entry *e = r->entry;
	struct log_clock note;
	int x;

	if (e->partition >= s->config.partitions)
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
	x = replay(s, r, same);
	if (x == 0)
		x = replica_settle_tail(s, e->partition, !s->follower);
	if (x == 0)
		x = lsn_mark_note(s, r->lsn);
	return x;
}

static int aside_load(void *arg, const struct log_entry *e)
{
	static const struct log_frame nobody;
	struct store *s = arg;
	const struct log_record r = {0, &nobody, e};

	if (e->sequence != s->newest->at[e->partition] + 1)
		return -EBADMSG;
	return add(s, &r, false);
}

int replicas_load_tails(struct store *s)
{
	int r = engine_tails(s->base, aside_load, s);

	return r < 0 && !s->why[0]
		       ? store_fail(s, r, "read what is set aside in base of \"%.150s\"", s->dir)
		       : r;
}
