/* Opening a store, alone or beside the process that still serves it, and closing it. */
#include "storage/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log_size.h"
#include "include/wire.h"
#include "storage/snapshot_impl.h"
#include "storage/store_impl.h"

#define TIGHT      2u         /* times what puts must leave free: the disk is nearly full */
#define FULL_BYTES (1u << 20) /* free on the disk: less than a large write has */

static int folder_lock(struct store *s)
{
	uint64_t until = clock_ms() + s->config.lock_wait_ms;
	char path[1100];
	int r;

	if (mkdir(s->dir, 0750) < 0 && errno != EEXIST)
		return store_fail(s, -errno, "make folder \"%.150s\": %s", s->dir, strerror(errno));
	r = file_check_folder(s->dir, s->why, sizeof(s->why));
	if (r < 0)
		return r;
	/* Whoever made it may have been killed before its name was on disk. */
	(void)snprintf(path, sizeof(path), "%s/..", s->dir);
	r = file_sync_dir(path);
	if (r < 0)
		return store_fail(s, r, "sync the folder of \"%.150s\": %s", s->dir, strerror(-r));
	(void)snprintf(path, sizeof(path), "%s/lock", s->dir);
	s->lock_fd = file_open(path, O_RDWR | O_CREAT, 0640);
	if (s->lock_fd < 0)
		return store_fail(s, s->lock_fd, "open \"%.150s\": %s", path,
				  file_reason(s->lock_fd));
	while (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		const struct timespec pause = {0, 5000000};

		if (errno != EWOULDBLOCK && errno != EINTR)
			return store_fail(s, -errno, "lock \"%.150s\": %s", path, strerror(errno));
		if (clock_ms() >= until)
			return store_fail(s, -EWOULDBLOCK,
					  "lock \"%.150s\": another process has this folder open",
					  path);
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int bucket_load(void *arg, struct span name, uint64_t id, uint64_t count)
{
	struct store *s = arg;

	if (!name.n || name.n > WIRE_BUCKET_MAX)
		return -EBADMSG;
	if (bucket_partition(id) >= s->partitions)
		return -EBADMSG;
	if (s->replica && s->replica[bucket_partition(id)].broken)
		return 0; /* rows that mean nothing */
	if (!directory_add(s->directory, name, id_is_own(s, id), id, count))
		return -ENOMEM;
	store_work(s, WORK_REQUEST);
	s->keys += count;
	return 0;
}

/* What is not committed would be taken for committed. */
static int copies_refused(struct store *s)
{
	return store_fail(s, -EPROTO,
			  "\"%.120s\" holds copies of a cluster's partitions: start it with the "
			  "[cluster] that it is of",
			  s->dir);
}

/*
 * Is the entry the one that must come in its partition?  What is settled is told by the lsn for all
 * partitions at once; each partition's own sequence must say the same.
 */
static int sequence_check(struct store *s, const struct log_record *r)
{
	const struct log_entry *e = r->entry;
	bool known = e->partition < s->partitions;
	uint64_t newest = known ? s->newest->at[e->partition] : 0;

	if (e->term || e->kind >= LOG_TERM || (!known && e->partition < 2 * s->partitions))
		return copies_refused(s);
	if (known && r->lsn <= s->settled_lsn && e->sequence <= s->settled->at[e->partition])
		return 0;
	if (known && r->lsn > s->settled_lsn && e->sequence == newest + !!e->count)
		return 0;
	return store_fail(s, -EBADMSG,
			  "log in \"%.120s\": lsn %llu has sequence %llu of partition %u: %u "
			  "partitions, %llu is the last",
			  s->dir, (unsigned long long)r->lsn, (unsigned long long)e->sequence,
			  e->partition, s->partitions, (unsigned long long)newest);
}

static int replay_record(void *arg, const struct log_record *r, bool same)
{
	struct store *s = arg;
	struct log_clock note;
	int e;

	if (s->replica)
		return replica_replay(s, r, same);
	e = sequence_check(s, r);
	if (e < 0)
		return e;
	if (r->entry->kind == LOG_CLOCK) { /* wanted from settled records too */
		log_clock_read(r->entry, &note);
		pace_recall(&s->pace, &note);
		clock_apply(s, r->entry);
	}
	if (r->lsn <= s->settled_lsn)
		return 0;
	s->log.active += log_record_size(r->frame);
	if (s->config.before_apply && !s->follower)
		e = s->config.before_apply(s->config.arg, r, same);
	/* Before it is applied: what a group's later changes find was written by its earlier ones. */
	if (e == 0 && r->entry->count)
		partition_advance(s, r->entry->partition, r->entry->sequence + r->entry->count - 1,
				  r->lsn);
	if (e == 0)
		e = record_apply(s, r);
	if (e == 0 && s->config.after_apply && !s->follower)
		e = s->config.after_apply(s->config.arg, r, same);
	return e;
}

static int partitions_make(struct store *s)
{
	uint32_t n = s->partitions;

	s->part = calloc(n, sizeof(*s->part));
	s->due_ms = calloc(n, sizeof(*s->due_ms));
	s->newest = marks_new(n, NULL);
	if (replicas_make(s) < 0)
		return -ENOMEM;
	/* Cut or not, what has been given was in memory. */
	s->settled = marks_new(n, s->given ? s->given : s->newest);
	s->freeze = marks_new(n, s->given ? s->given : s->newest);
	return s->part && s->due_ms && s->newest && s->settled && s->freeze ? 0 : -ENOMEM;
}

static int open_parts(struct store *s)
{
	const struct store_config *c = &s->config;
	const struct log_size size =
		log_size(c->value_max, c->group_max, c->log_segment_bytes, c->log_bytes);
	struct wal_config wc = {.dir = s->dir,
				.segment_bytes = size.file_bytes,
				.limit_bytes = c->log_bytes,
				.record_max = size.record_bytes,
				.generation = c->generation,
				.synced = c->on_synced,
				.arg = c->arg,
				.wrote = c->on_wrote,
				.put_max = size.put_bytes};
	int r;

	if (c->log_bytes < size.limit_least)
		return store_fail(s, -EINVAL,
				  "a log of %llu bytes for a worker is too small: values of %llu "
				  "bytes, and groups of %llu, need %llu",
				  (unsigned long long)c->log_bytes,
				  (unsigned long long)c->value_max,
				  (unsigned long long)size.record_bytes,
				  (unsigned long long)size.limit_least);
	if (!c->partitions || c->partitions > PARTITIONS_MAX ||
	    (c->partitions & (c->partitions - 1)))
		return store_fail(s, -EINVAL, "%u partitions: they must be a power of two up to %u",
				  c->partitions, PARTITIONS_MAX);
	s->group_max = size.record_bytes;
	r = engine_open(s->dir, c->map_bytes, c->partitions, &s->base, s->why, sizeof(s->why));
	if (r < 0)
		return r;
	r = cache_new(c->cache_bytes, &s->cache);
	if (r == 0)
		r = directory_new(&s->directory);
	if (r == 0)
		r = wal_new(&wc, &s->wal);
	if (r == 0)
		r = partitions_make(s);
	if (r == 0)
		r = session_table_new(c->session_bytes, s->partitions, &s->sessions);
	if (r == 0)
		s->sessions->work = &s->head.work;
	if (r < 0)
		return store_fail(s, r, "open store: %s", strerror(-r));
	return 0;
}

static int part_load(void *arg, uint32_t partition, const struct engine_part *part)
{
	struct store *s = arg;

	if (partition >= s->partitions)
		return copies_refused(s);
	s->newest->at[partition] = part->settled;
	s->settled->at[partition] = part->settled;
	s->freeze->at[partition] = part->settled;
	s->part[partition].clock_told = part->clock_ms;
	if (s->replica)
		replica_load(s, partition, part);
	else if (part->spans)
		return copies_refused(s);
	return 0;
}

/* All that has been read so far is on disk. */
static void partitions_synced(struct store *s)
{
	for (uint32_t i = 0; i < s->partitions; i++) {
		struct partition *p = &s->part[i];

		p->synced = s->replica ? s->replica[i].commit : s->newest->at[i];
		p->mark = p->synced;
		p->mark_lsn = p->last_lsn;
	}
}

/* What base holds: partitions, buckets, and where the log must go on from. */
static int recover_base(struct store *s)
{
	struct engine_meta meta;
	int r = engine_parts(s->base, part_load, s);

	if (r == -EPROTO)
		return r;
	if (r == 0)
		r = sweep_reset(s);
	if (r < 0)
		return store_fail(s, r, "read the partitions in \"%.150s\": %s", s->dir,
				  strerror(-r));
	r = engine_buckets(s->base, bucket_load, s);
	if (r < 0)
		return store_fail(s, r, "read the bucket directory in \"%.150s\": %s", s->dir,
				  strerror(-r));
	r = sessions_load(s);
	if (r == 0 && s->replica)
		r = replicas_load_tails(s);
	else if (r == 0 && engine_has_tails(s->base))
		r = copies_refused(s);
	if (r < 0)
		return r;
	partitions_synced(s);
	engine_meta(s->base, &meta);
	s->asides = engine_has_tails(s->base);
	s->settled_lsn = meta.settled_lsn;
	s->freeze_lsn = meta.settled_lsn;
	pace_known(&s->pace, meta.clock_ms);
	return 0;
}

static int log_error_of(struct store *s, int r)
{
	/* The log says it better than errno. */
	return s->why[0] ? r
			 : store_fail(s, r, "replay the log in \"%.150s\": %s", s->dir,
				      file_reason(r));
}

/* The rest of the log, and then a new segment of our own: from here on this store is written. */
static int recover_log(struct store *s)
{
	struct engine_meta meta;
	uint64_t clock = 0;
	int r;

	/* Time has passed, if this store has been beside another one until now. */
	pace_tick(&s->pace, s->pace.source->wall_ms());
	engine_meta(s->base, &meta);
	r = wal_replay(s->wal, meta.settled_lsn, s->config.synced, meta.epoch_min, replay_record, s,
		       &clock, s->why, sizeof(s->why));
	if (r < 0)
		return log_error_of(s, r);
	s->base_exact = !s->log.active;
	pace_known(&s->pace, clock);
	pace_begin(&s->pace);
	r = wal_start(s->wal, s->pace.now_ms);
	if (s->replica) /* until it is known what others need */
		wal_retain(s->wal, 0);
	if (r == 0) /* what the incarnation before, or a power cut, has left of settled segments */
		r = wal_settled(s->wal, meta.settled_lsn, meta.epoch_min);
	if (r == 0)
		r = checkpoint_start(s->dir, s->base, s->wal, s->partitions, s->config.replicated,
				     TIGHT * s->config.disk_reserve_bytes, &s->checkpoint);
	if (r < 0)
		return store_fail(s, r, "begin a log in \"%.150s\": %s", s->dir, file_reason(r));
	s->oldest_ms = clock_ms();
	partitions_synced(s);
	check_slow(store_counts_agree(s));
	for (uint32_t i = 0; i < s->partitions && r == 0; i++)
		if (s->part[i].tell_clock && i >= s->copied)
			r = clock_tell(s, i, s->pace.now_ms);
	return r == -EBUSY ? 0 : r; /* too many files: then the new one's header must do */
}

static int store_new(const struct store_config *config, struct store **ret, char *why,
		     size_t why_size)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s) {
		(void)snprintf(why, why_size, "open store: no memory");
		return -ENOMEM;
	}
	s->config = *config;
	s->config.session_ms = config->session_ms ? config->session_ms : SESSION_MS;
	s->config.session_bytes = config->session_bytes ? config->session_bytes : SESSION_BYTES;
	pace_init(&s->pace, config->source);
	pace_known(&s->pace, config->clock_ms);
	s->head.work = (struct work){0, config->on_work, config->arg};
	s->copied = config->replicated ? config->partitions : 0;
	s->partitions = config->partitions;
	if (s->copied && s->copied <= PARTITIONS_MAX / 2)
		s->partitions += s->copied;
	s->lock_fd = -1;
	(void)snprintf(s->dir, sizeof(s->dir), "%s", config->dir);
	expiry_heap_init(&s->expiry);
	*ret = s;
	return 0;
}

/*
 * There was no room for what a store makes at its start.  Is that so for ever, or may somebody free
 * some?
 */
static int room_explain(struct store *s, int error)
{
	const struct store_config *c = &s->config;
	uint64_t need = log_size(c->value_max, c->group_max, c->log_segment_bytes, c->log_bytes)
				.start_bytes;
	uint64_t total;
	uint64_t left;
	struct statvfs v;

	if ((error != -ENOSPC && error != -EIO) || statvfs(s->dir, &v) < 0)
		return error;
	total = (uint64_t)v.f_blocks * v.f_frsize;
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if (total < need)
		return store_fail(s, -EFBIG,
				  "the disk of \"%.100s\" has %llu KiB, a worker needs %llu: use a "
				  "larger one, or lower limits.value and limits.log",
				  s->dir, (unsigned long long)total >> 10,
				  (unsigned long long)need >> 10);
	if (error == -ENOSPC || left < FULL_BYTES)
		return store_fail(
			s, -ENOSPC,
			"no room on the disk of \"%.100s\": %llu KiB are left, a new worker "
			"needs %llu: free some",
			s->dir, (unsigned long long)left >> 10, (unsigned long long)need >> 10);
	return error;
}

static int opened(struct store **sp, int r, char *why, size_t why_size)
{
	if (r < 0) {
		r = room_explain(*sp, r);
		(void)snprintf(why, why_size, "%s", (*sp)->why);
		store_close(sp);
	}
	return r;
}

int store_open(const struct store_config *config, struct store **ret, char *why, size_t why_size)
{
	int r = store_new(config, ret, why, why_size);

	if (r < 0)
		return r;
	r = folder_lock(*ret);
	if (r == 0)
		r = open_parts(*ret);
	if (r == 0)
		r = recover_base(*ret);
	if (r == 0)
		r = recover_log(*ret);
	return opened(ret, r, why, why_size);
}

/* ---- beside the process that serves it ---- */

int store_open_follower(const struct store_config *config, struct store **ret, char *why,
			size_t why_size)
{
	int r = store_new(config, ret, why, why_size);

	if (r < 0)
		return r;
	(*ret)->follower = true;
	r = open_parts(*ret);
	if (r == 0)
		r = recover_base(*ret);
	return opened(ret, r, why, why_size);
}

int store_tail(struct store *s, uint64_t synced)
{
	struct engine_meta meta;
	int r;

	pace_tick(&s->pace, s->pace.source->wall_ms());
	engine_meta(s->base, &meta);
	r = wal_tail(s->wal, meta.settled_lsn, synced, meta.epoch_min, replay_record, s, s->why,
		     sizeof(s->why));
	return r < 0 ? log_error_of(s, r) : 0;
}

int store_promote(struct store *s, uint64_t synced)
{
	struct engine_meta before;
	struct engine_meta now;
	int r = folder_lock(s);

	if (r < 0)
		return r;
	engine_meta(s->base, &before);
	r = engine_refresh(s->base, &now);
	if (r < 0)
		return store_fail(s, r, "look at base in \"%.150s\" again: %s", s->dir,
				  strerror(-r));
	if (now.settled_lsn != before.settled_lsn)
		return store_fail(s, -ESTALE,
				  "base in \"%.150s\" has changed while it was followed", s->dir);
	s->follower = false;
	s->config.synced = synced;
	return recover_log(s);
}

void store_release(struct store *s)
{
	checkpoint_stop(&s->checkpoint); /* it makes files here, and uses the log */
	wal_free(&s->wal);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	s->lock_fd = -1;
}

void store_close(struct store **sp)
{
	struct store *s = *sp;

	if (!s)
		return;
	checkpoint_stop(&s->checkpoint);
	wal_free(&s->wal);
	loads_close(s);
	engine_close(&s->base);
	directory_free(&s->directory);
	cache_free(&s->cache);
	group_free(&s->group);
	session_table_free(&s->sessions);
	replicas_free(s);
	free(s->part);
	free(s->due_ms);
	free(s->newest);
	free(s->settled);
	free(s->freeze);
	expiry_heap_fini(&s->expiry);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd); /* lets go of the lock */
	free(s);
	*sp = NULL;
}
