/*
 * A copy comes from another node, or leaves this one.  What the log and base say, in this order:
 *
 *	log	LOAD or FORGET		what the log had of the partition is void
 *	base	broken, load_lsn	once that record is on disk: so are the partition's rows, which
 *					are deleted from now on, and those of the copy are written
 *	base	not broken		all of them are there
 *
 * A power cut before the first leaves the old copy.  After it, and until the last, opening finds that
 * there is none.  Base changes its mind only while there is no checkpoint, and no checkpoint is begun
 * between the first two: what it took of the partition from the log would have been void.
 */
#include "storage/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/snapshot_impl.h"
#include "storage/store_impl.h"

#define RETRY_MS 1000u /* where there is no room */

bool store_whole(const struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	return !s->replica[partition].broken;
}

static void load_free(struct store *s)
{
	if (!s->load)
		return;
	load_fini(s->load);
	free(s->load);
	s->load = NULL;
}

void loads_close(struct store *s)
{
	store_copy_close(&s->copy);
	load_free(s);
}

/* ---- void ---- */

void load_voided(struct store *s, uint32_t partition)
{
	s->voids += s->replica[partition].void_stage == VOID_NOT;
	s->replica[partition].void_stage = VOID_LOGGED;
}

bool loads_block(const struct store *s)
{
	return s->voids || (s->load && s->load->end_posted);
}

/* Let the log say it, unless what is here is void already.  0 or an error: then nothing has changed. */
static int void_log(struct store *s, uint32_t partition, enum log_kind kind)
{
	static const struct log_load begins;
	struct replica *x = &s->replica[partition];
	struct log_frame *f;
	int r = 0;
	char *p;

	if (x->broken)
		return 0;
	f = log_room(s, LOG_RECORD_BYTES + sizeof(begins), true, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, kind, partition, s->newest->at[partition], 0);
	log_entry_end(f, kind == LOG_LOAD ? log_load_write(p, &begins) : p);
	replica_void(s, partition, replica_log(s, f, 0));
	return 0;
}

static int void_begin(struct store *s, uint32_t partition, enum log_kind kind)
{
	/* What leaves does not hinder what comes. */
	bool breaks_off = s->load && (kind == LOG_LOAD || s->load->partition == partition);
	int r;

	check(!group_is_open(s));
	if (s->undone)
		return store_fail(s, -EINPROGRESS, "a partition was cut: not before a restart");
	if (breaks_off && s->load->end_posted)
		return store_fail(s, -EBUSY, "a copy is just about to be whole");
	r = void_log(s, partition, kind);
	if (r < 0)
		return r;
	if (breaks_off) {
		checkpoint_load_drop(s->checkpoint);
		load_free(s);
	}
	load_voided(s, partition);
	return 0;
}

/* ---- what the owner asks for ---- */

int store_load_begin(struct store *s, uint32_t partition)
{
	struct load *l;
	int r;

	if (store_role(s, partition) != STORE_BACKUP)
		return store_fail(s, -EINVAL, "partition %u is not followed here", partition);
	l = calloc(1, sizeof(*l));
	if (!l)
		return store_fail(s, -ENOMEM, "no memory");
	r = void_begin(s, partition, LOG_LOAD);
	if (r < 0) {
		free(l);
		return r;
	}
	load_init(l, partition);
	s->load = l;
	return 0;
}

int store_forget(struct store *s, uint32_t partition)
{
	struct replica *x = &s->replica[partition];
	bool loads = s->load && s->load->partition == partition;
	int r = 0;

	if (store_role(s, partition) == STORE_PRIMARY)
		return store_fail(s, -EINVAL, "partition %u is led here", partition);
	if (loads || (!x->broken && s->newest->at[partition]))
		r = void_begin(s, partition, LOG_FORGET);
	if (r == 0)
		x->role = STORE_NO_ROLE;
	return r;
}

/* The load of the partition, or NULL. */
static struct load *load_of(struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	if (s->load && s->load->partition == partition)
		return s->load;
	(void)store_fail(s, -EINVAL, "no load of partition %u has begun", partition);
	return NULL;
}

/* Is there room in base for a piece of `size`, and for those that are on their way? */
static int piece_room(struct store *s, uint64_t size)
{
	uint64_t room = store_room(s);

	if (room < 2 * size)
		return store_fail(s, -ENOSPC, "no room left on disk");
	if (room < 2 * (size + checkpoint_load_owed(s->checkpoint)))
		return store_fail(s, -EAGAIN, "earlier pieces are being written");
	return 0;
}

int store_load_piece(struct store *s, uint32_t partition, struct span piece)
{
	struct load *l = load_of(s, partition);
	struct span rows;
	int r;

	if (!l)
		return -EINVAL;
	if (s->replica[partition].void_stage != VOID_NOT ||
	    !checkpoint_load_empty(s->checkpoint, partition))
		return store_fail(s, -EAGAIN, "what was there is being deleted");
	if (l->stage == LOAD_ALL)
		return store_fail(s, -EBADMSG, "all of the copy had come");
	r = piece_room(s, piece.n);
	if (r < 0)
		return r;
	r = checkpoint_load_ready(s->checkpoint, piece.n);
	if (r == 0)
		r = load_check(s, l, piece, &rows);
	else
		(void)store_fail(s, r, "earlier pieces are being written");
	if (r < 0)
		return r;
	r = checkpoint_load_offer(s->checkpoint, partition, rows);
	l->bad |= r < 0; /* it counts as having come */
	return r < 0 ? store_fail(s, r, "no memory") : 0;
}

int store_load_end(struct store *s, uint32_t partition)
{
	struct load *l = load_of(s, partition);
	int r;

	if (!l)
		return -EINVAL;
	if (l->bad || l->stage != LOAD_ALL)
		return store_fail(s, -EBADMSG, "the copy of partition %u has not come to its end",
				  partition);
	if (!l->end_wanted && !l->done) {
		l->end_wanted = true;
		l->part = (struct engine_part){.settled = l->settled,
					       .clock_ms = l->clock_ms,
					       .load_lsn = s->replica[partition].load_lsn,
					       .spans = &l->spans};
	}
	r = loads_step(s);
	if (r < 0)
		return r;
	if (l->done) {
		load_free(s);
		return 0;
	}
	r = checkpoint_load_ready(s->checkpoint, 0);
	r = l->end_error ? l->end_error : r < 0 ? r : -EAGAIN;
	return store_fail(s, r, "the copy of partition %u is being written", partition);
}

/* ---- in between ---- */

static void void_ended(struct store *s, int error)
{
	struct replica *x = &s->replica[s->void_posted - 1];

	s->void_posted = 0;
	if (error < 0) { /* -ENOSPC, -ENOMEM */
		s->base_full |= error == -ENOSPC;
		s->void_retry_ms = clock_ms() + RETRY_MS;
		x->void_stage = VOID_LOGGED;
		return;
	}
	s->void_retry_ms = 0;
	s->base_full = false; /* it takes something: let the next checkpoint say whether it does */
	if (x->void_stage != VOID_POSTED) /* once more: it has been begun anew */
		return;
	x->void_stage = VOID_NOT;
	s->voids--;
}

/* The next partition that is void, once the log says so on disk. */
static void void_post(struct store *s)
{
	for (uint32_t i = 0; i < s->copied; i++) {
		struct replica *x = &s->replica[i];

		if (x->void_stage != VOID_LOGGED || x->load_lsn > wal_synced(s->wal))
			continue;
		replica_void_rest(s, i);
		x->void_stage = VOID_POSTED;
		s->void_posted = i + 1;
		checkpoint_load_void(s->checkpoint, i, x->load_lsn);
		return;
	}
}

/* Base is whole: memory follows.  Without memory another time, and no checkpoint until then. */
static int take(struct store *s)
{
	struct load *l = s->load;
	int r = replica_take(s, l);

	if (r == 0) {
		l->end_posted = false;
		l->end_wanted = false;
		l->done = true;
		return 0;
	}
	l->end_error = r;
	l->retry_ms = clock_ms() + RETRY_MS;
	return r == -ENOMEM ? 0 : r;
}

static int end_ended(struct store *s, int error)
{
	struct load *l = s->load;

	l->end_error = error;
	l->base_whole = error == 0;
	if (error == 0)
		return take(s);
	l->end_posted = false;
	l->retry_ms = clock_ms() + RETRY_MS;
	return 0;
}

static int end_step(struct store *s)
{
	struct load *l = s->load;

	/* Who is about to take over has read base as it is. */
	if (!l->end_wanted || s->hold || clock_ms() < l->retry_ms)
		return 0;
	if (l->base_whole)
		return take(s);
	l->end_posted = true;
	checkpoint_load_end(s->checkpoint, l->partition, &l->part,
			    (struct span){l->tail.data, l->tail.len});
	return 0;
}

/* There may be one. */
static bool job_is_posted(const struct store *s)
{
	return s->void_posted || (s->load && s->load->end_posted && !s->load->base_whole);
}

int loads_step(struct store *s)
{
	int error;
	int r = 0;

	if (!s->voids && (!s->load || s->load->done))
		return 0;
	if (checkpoint_load_fetch(s->checkpoint, &error)) {
		if (s->void_posted)
			void_ended(s, error);
		else
			r = end_ended(s, error);
	}
	if (r < 0 || job_is_posted(s) || s->checkpoint_runs || s->checkpoint_wanted)
		return r;
	if (s->voids && clock_ms() >= s->void_retry_ms)
		void_post(s);
	else if (s->load && !s->voids)
		r = end_step(s);
	return r;
}
