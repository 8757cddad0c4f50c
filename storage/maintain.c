/* What the serving thread does between operations: checkpoints, sweeps, eviction. */
#include "storage/maintain.h"

#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/snapshot_impl.h"
#include "storage/store_impl.h"

#define SWEEP_TICK     256u /* expired keys deleted a tick, at most */
#define INDEX_IDLE_MAX 8u   /* checkpoints that an unused sorted index survives */
#define RETRY_MS       1000u
#define OWED_SHARE     4u         /* of the outcomes that may be */
#define OWED_HOLD      64u        /* likewise: a successor need not begin with them */
#define HOLD_SETTLE    (8u << 20) /* bytes of log that are replayed in no time */

/*
 * Would a restart bring back much that is acknowledged, since only base can know that it is?  Or
 * does much that is forgotten wait in memory, to be deleted from base?
 */
static bool sessions_are_owed(const struct store *s, unsigned share)
{
	uint64_t most = s->config.session_bytes / share;

	return s->sessions->unlogged_bytes >= most || s->sessions->gone_bytes >= most;
}

static bool checkpoint_due(const struct store *s)
{
	if (s->checkpoint_runs || s->checkpoint_wanted || s->hold || !s->log.active || s->undone ||
	    loads_block(s))
		return false;
	if (s->retry_ms && clock_ms() < s->retry_ms)
		return false;
	return s->log.active >= s->config.log_bytes / 4 || s->active >= store_budget(s) / 2 ||
	       s->base_full || s->room_wanted || wal_half_full(s->wal) ||
	       sessions_are_owed(s, OWED_SHARE) ||
	       clock_ms() - s->oldest_ms >= s->config.checkpoint_ms;
}

/* The time, in a partition that is written here, if there is one. */
static void clock_settle(struct store *s)
{
	uint32_t partition = s->replica ? replicas_clock_partition(s) : s->last_partition;

	/* With copies it would be set aside in turn, and be the reason for the next one. */
	if (s->replica && s->log.active == s->commit_bytes)
		return;
	if (partition < s->partitions)
		(void)clock_note_now(s, partition);
}

/* Close the open segment: what is in the closed ones is what the checkpoint will take. */
static void checkpoint_freeze(struct store *s)
{
	/* A group takes its sequences at one stroke, so no mark can lie within it. */
	check(!group_is_open(s));
	/*
	 * What a touch adds counts when it takes effect, which may be when its record has long been
	 * set aside: then there is no file to take.  See replicas_tick for what is begun instead.
	 */
	if (wal_lsn(s->wal) == s->settled_lsn) {
		s->log.active = 0;
		return;
	}
	if (s->replica)
		replicas_freeze(s);
	if (sessions_freeze(s->sessions, s->replica ? s->freeze : NULL) < 0) {
		s->retry_ms = clock_ms() + RETRY_MS;
		return;
	}
	s->room_wanted = false;
	/*
	 * The last file whose records have settled stays: let it tell the time.  If the last try
	 * found no room and nothing has come since, it does already: a file more with each try
	 * would fill the disk.
	 */
	if (wal_lsn(s->wal) != s->freeze_lsn)
		clock_settle(s);
	wal_rotate(s->wal);
	s->freeze_lsn = wal_lsn(s->wal);
	if (s->replica)
		replicas_freeze(s); /* the time, if it is in an own partition */
	else
		marks_set(s->freeze, s->newest);
	s->active = s->replica ? replicas_active(s) : 0;
	s->log.frozen += s->log.active;
	s->log.active = 0;
	s->commit_bytes = 0;
	s->checkpoint_wanted = true;
}

/*
 * Begin, once all that was frozen is on disk and every request in it has been answered: a record
 * that is gone from the log cannot tell a successor that its request has been run.
 */
static void checkpoint_begin(struct store *s)
{
	struct wal_segment *closed = s->closed;
	unsigned n = wal_closed(s->wal, closed, WAL_SEGMENTS_MAX);
	unsigned skip = 0;
	unsigned take = 0;

	while (skip < n && closed[skip].last_lsn <= s->settled_lsn)
		skip++;
	while (skip + take < n && closed[skip + take].last_lsn <= s->freeze_lsn &&
	       closed[skip + take].last_request_id <= s->freed)
		take++;
	if (!take || closed[skip + take - 1].last_lsn != s->freeze_lsn)
		return;
	check(!s->checkpoint_runs);
	s->checkpoint_begun_ms = clock_ms();
	checkpoint_post(s->checkpoint, closed + skip, take, &s->sessions->settle,
			s->replica ? s->freeze : NULL, s->pace.now_ms);
	s->checkpoint_wanted = false;
	s->checkpoint_runs = true;
	s->base_exact = false; /* until it has ended */
}

/* What base says of a partition is what was frozen of it. */
static int part_agrees(void *arg, uint32_t partition, const struct engine_part *part)
{
	struct store *s = arg;

	store_work(s, 1);
	return partition < s->partitions && part->settled == s->settled->at[partition] ? 0
										       : -EBADMSG;
}

static void settle_memory(struct store *s, uint64_t settled_lsn)
{
	check(settled_lsn >= s->settled_lsn && settled_lsn == s->freeze_lsn);
	sessions_settled(s->sessions);
	s->checkpoint_entries += settled_lsn - s->settled_lsn;
	s->settled_lsn = settled_lsn;
	marks_set(s->settled, s->freeze);
	s->dirty = s->active;
	s->log.frozen = 0;
	if (s->replica)
		replicas_settled(s);
	s->oldest_ms = clock_ms();
	for (uint64_t i = 0; i < directory_count(s->directory); i++) {
		struct bucket *b = directory_at(s->directory, i);

		store_work(s, 1);
		if (!b->index)
			continue;
		if (++b->sorted_index_idle > INDEX_IDLE_MAX)
			sorted_index_free(&b->index);
		else
			sorted_index_settle(b->index, s->settled, &s->head.work);
	}
	expiry_heap_settle(&s->expiry, s->settled, &s->head.work);
	s->checkpoint_wall_ms = s->pace.now_ms;
	s->checkpoints++;
	s->last_checkpoint_ms = clock_ms() - s->checkpoint_begun_ms;
	s->checkpoint_ms += s->last_checkpoint_ms;
	check_slow(store_counts_agree(s));
}

static int checkpoint_finish(struct store *s, int error, uint64_t settled)
{
	bool ran = s->checkpoint_runs;
	int r;

	check(s->checkpoint_runs || error < 0); /* maintenance may fail at any time */
	check_slow(store_counts_agree(s));
	s->checkpoint_runs = false;
	s->room = 0;
	if (error == -ENOSPC || error == -ENOMEM) {
		/* Nothing is lost: the log has it.  Try again when something may have been freed.
		 */
		if (ran)
			sessions_unsettled(s->sessions);
		s->base_full = error == -ENOSPC;
		s->log.active += s->log.frozen;
		s->active = s->dirty;
		s->log.frozen = 0;
		s->retry_ms = clock_ms() + RETRY_MS;
		return 0;
	}
	if (error < 0) {
		const char *place = checkpoint_why(s->checkpoint);

		return store_fail(s, error == -EBADMSG ? error : -EIO,
				  "checkpoint in \"%.150s\": %s", s->dir,
				  *place ? place : strerror(-error));
	}
	s->base_full = false;
	s->base_exact = true;
	s->retry_ms = 0;
	/* First see what was committed, then call entries clean: else an evicted one is read old.
	 */
	r = engine_renew(s->base);
	if (r < 0)
		return store_fail(s, r, "renew the read transaction: %s", strerror(-r));
	settle_memory(s, settled);
	r = engine_parts(s->base, part_agrees, s);
	if (r < 0)
		return store_fail(s, r, "base in \"%.150s\" does not say what was settled", s->dir);
	r = sweep_reset(s);
	return r < 0 ? store_fail(s, r, "read base's expiry index: %s", strerror(-r)) : 0;
}

static int checkpoint_step(struct store *s)
{
	uint64_t commits;
	uint64_t settled;
	int error;
	int r = loads_step(s);

	if (r < 0)
		return r;
	if (wal_pool_low(s->wal) && !wal_disk_full(s->wal))
		checkpoint_wake(s->checkpoint);
	if (checkpoint_due(s))
		checkpoint_freeze(s);
	if (s->checkpoint_wanted)
		checkpoint_begin(s);
	commits = checkpoint_commits(s->checkpoint);
	if (commits != s->commits_seen) {
		s->commits_seen = commits;
		if (engine_renew(s->base) < 0)
			return store_fail(s, -EIO, "renew the read transaction");
	}
	if (checkpoint_fetch(s->checkpoint, &error, &settled))
		return checkpoint_finish(s, error, settled);
	return 0;
}

int store_tick(struct store *s, uint64_t wall_ms)
{
	int r;

	check(!group_is_open(s)); /* in it the time stands still, and nothing is frozen */
	pace_tick(&s->pace, wall_ms);
	if (wal_error(s->wal) < 0)
		return store_fail(s, -EIO, "write the log in \"%.150s\": %s", s->dir,
				  strerror(-wal_error(s->wal)));
	r = checkpoint_step(s);
	if (r == 0 && s->replica)
		r = replicas_tick(s);
	if (r == 0)
		r = store_sweep(s, SWEEP_TICK);
	if (r == 0)
		r = sessions_tick(s);
	if (cache_bytes(s->cache) > cache_budget(s->cache))
		cache_evict(s->cache, s->settled);
	s->room = 0;
	return r;
}

void store_checkpoint(struct store *s)
{
	if (!s->checkpoint_runs && !s->checkpoint_wanted && s->log.active && !s->undone &&
	    !loads_block(s))
		checkpoint_freeze(s);
}

void store_hold(struct store *s, bool hold)
{
	/* What is settled first need not be followed. */
	if (hold && !s->hold &&
	    (s->log.active >= HOLD_SETTLE || wal_half_full(s->wal) ||
	     sessions_are_owed(s, OWED_HOLD)))
		store_checkpoint(s);
	s->hold = hold;
}

bool store_held(const struct store *s)
{
	return s->hold && !s->checkpoint_wanted && !s->checkpoint_runs &&
	       !(s->load && s->load->end_posted);
}

unsigned store_idle_ms(const struct store *s)
{
	if (s->checkpoint_wanted || s->checkpoint_runs || s->sweep_more || s->sessions->more ||
	    s->voids || (s->load && s->load->end_wanted))
		return 2;
	return s->log.active ? 100 : 1000;
}

int store_settle(struct store *s, uint64_t limit_ms)
{
	uint64_t until = clock_ms() + limit_ms;
	int r = 0;

	if (s->undone)
		return store_fail(s, -EINPROGRESS, "a partition was cut: it must be read anew");
	s->base_full = false; /* try again, whatever was found before */
	while (r == 0 && s->settled_lsn < wal_lsn(s->wal)) {
		if (!s->checkpoint_runs && !s->checkpoint_wanted && !loads_block(s))
			checkpoint_freeze(s);
		s->config.on_wait(s->config.arg);
		r = store_tick(s, s->pace.source->wall_ms());
		if (r == 0 && s->base_full)
			return store_fail(s, -ENOSPC, "no room to checkpoint");
		if (clock_ms() >= until)
			return store_fail(s, -ETIMEDOUT, "checkpoint took too long");
		if (s->settled_lsn < wal_lsn(s->wal))
			wal_wait(s->wal, 2);
	}
	return r;
}
