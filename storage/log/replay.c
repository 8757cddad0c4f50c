/*
 * The segments in order, each through a reader.
 *
 * Records whose sync was never confirmed may be in the page cache and not on disk, and after a
 * failed sync the kernel may call lost pages clean; so they are kept here and written again into a
 * new file before anybody is told anything.  Only the last segment can hold such records: a segment
 * is synced before the next one is begun.
 */
#include "storage/log/replay.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"
#include "storage/log/log_impl.h"

struct replay {
	struct wal *w;
	uint64_t base_lsn;
	uint64_t synced;
	int (*apply)(void *arg, const struct log_record *r, bool same_generation);
	void *arg;
	uint64_t clock_ms;
	bool follow; /* the folder is another process's */
	char *why;
	size_t why_size;
};

struct found {
	struct wal_header header;
	uint64_t file_size;
	uint64_t last_request_id; /* highest request identity of our generation */
};

static int found_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct found *)a)->header.epoch;
	uint64_t y = ((const struct found *)b)->header.epoch;

	return x < y ? -1 : x > y;
}

/* All segments in order of epoch, and the recycled files into the pool. */
static int folder_read(struct replay *rp, struct found *f, unsigned *ret_n)
{
	struct wal *w = rp->w;
	DIR *d = opendir(w->dir);
	struct dirent *e;
	unsigned n = 0;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d))) {
		uint64_t number;
		int used = 0;

		if (sscanf(e->d_name, "spare-%16" SCNx64 "%n", &number, &used) == 1 && used == 22 &&
		    !e->d_name[22]) {
			if (!rp->follow)
				wal_pool_adopt(w, number);
			continue;
		}
		if (sscanf(e->d_name, "wal-%16" SCNx64 "%n", &number, &used) != 1 || used != 20 ||
		    e->d_name[20])
			continue;
		if (n == WAL_SEGMENTS_MAX - 2) {
			(void)snprintf(rp->why, rp->why_size, "%.150s: more than %u log segments",
				       w->dir, n);
			r = -EBADMSG;
			break;
		}
		r = wal_header_read(w->dir, number, &f[n].header, &f[n].file_size, rp->why,
				    rp->why_size);
		n++;
	}
	(void)closedir(d);
	if (r == 0 && n)
		qsort(f, n, sizeof(*f), found_compare);
	*ret_n = n;
	return r;
}

static int damaged(struct replay *rp, const struct found *f, const struct wal_reader *rd)
{
	char path[1100];

	wal_path(rp->w->dir, f->header.epoch, path, sizeof(path));
	(void)snprintf(rp->why, rp->why_size,
		       "%.150s: damaged record at offset %" PRIu64 " (lsn %" PRIu64
		       "), and later ones show that it had been synced",
		       path, rd->at, rd->lsn);
	return -EBADMSG;
}

static int unreadable(struct replay *rp, const struct found *f, const struct wal_reader *rd)
{
	char path[1100];

	wal_path(rp->w->dir, f->header.epoch, path, sizeof(path));
	(void)snprintf(rp->why, rp->why_size,
		       "%.110s: record at offset %" PRIu64 " (lsn %" PRIu64
		       "): %s: was it written by a newer version of Pail?",
		       path, rd->at, rd->lsn, rd->why);
	return -EBADMSG;
}

static int record_take(struct replay *rp, struct found *f, const struct log_record *r, bool last)
{
	struct wal *w = rp->w;
	bool same = f->header.generation == w->config.generation;
	bool safe = !last || (same && r->lsn <= rp->synced);
	bool clock = r->entry->kind == LOG_CLOCK;

	if (clock) {
		struct log_clock c;

		log_clock_read(r->entry, &c);
		if (c.clock_ms > rp->clock_ms)
			rp->clock_ms = c.clock_ms;
	}
	if (!safe && r->lsn > rp->base_lsn) {
		size_t at = w->rewrite.len;
		struct log_frame *copy;

		if (!w->rewrite.len)
			w->rewrite_first = r->lsn;
		buf_add(&w->rewrite, r->frame, log_record_size(r->frame));
		if (w->rewrite.failed)
			return -ENOMEM;
		copy = (void *)(w->rewrite.data + at);
		if (!same)
			copy->request_id = 0; /* a request of a coordinator that is no more */
		if (copy->request_id > w->rewrite_request_id)
			w->rewrite_request_id = copy->request_id;
	}
	w->lsn = r->lsn;
	if (same && r->frame->request_id > f->last_request_id)
		f->last_request_id = r->frame->request_id;
	/* What the time was is wanted from settled records too. */
	return r->lsn > rp->base_lsn || clock ? rp->apply(rp->arg, r, same) : 0;
}

/* Where wal_tail has come to in a segment that it has begun; 0 and 0 for others: not at all. */
static void cursor_get(const struct wal *w, struct found *f, uint64_t *at, uint64_t *lsn)
{
	const struct wal_cursor *k = w->cursor;

	for (uint32_t i = 0; k && i < k->passed; i++)
		if (k->segment[i].epoch == f->header.epoch)
			f->last_request_id = k->segment[i].last_request_id;
	if (at && k && k->epoch == f->header.epoch) {
		*at = k->at;
		*lsn = k->lsn;
	}
}

static void cursor_set(struct wal *w, const struct found *f, uint64_t at, uint64_t lsn)
{
	struct wal_cursor *k = w->cursor;

	check(f->header.epoch >= k->epoch);
	check(k->epoch == f->header.epoch ? k->passed > 0 : k->passed < WAL_SEGMENTS_MAX);
	if (k->epoch != f->header.epoch)
		k->segment[k->passed++].epoch = f->header.epoch;
	k->segment[k->passed - 1].last_request_id = f->last_request_id;
	k->epoch = f->header.epoch;
	k->at = at;
	k->lsn = lsn;
}

/* Run through one segment up to the lsn `limit`, where the next one begins. */
static int segment_run(struct replay *rp, struct found *f, uint64_t limit, bool last)
{
	struct wal_reader rd = {0};
	int r = wal_reader_open(&rd, rp->w->dir, f->header.epoch, f->file_size,
				f->header.first_lsn);

	if (r < 0)
		return r;
	cursor_get(rp->w, f, &rd.at, &rd.lsn);
	while (r == 0 && rd.lsn < limit) {
		struct log_record rec;
		int there = wal_reader_next(&rd, &rec);

		if (there < 0) {
			r = unreadable(rp, f, &rd);
		} else if (there) {
			r = record_take(rp, f, &rec, last);
		} else {
			if (!last || wal_reader_was_synced(&rd))
				r = damaged(rp, f, &rd);
			break;
		}
	}
	wal_reader_close(&rd);
	if (r == 0 && rp->follow)
		cursor_set(rp->w, f, rd.at, rd.lsn);
	return r;
}

/* Remember a segment, of which the records up to `last_lsn` count, until they are settled. */
static void segment_keep(struct wal *w, const struct found *f, uint64_t last_lsn)
{
	const struct wal_segment s = {
		.epoch = f->header.epoch,
		.first_lsn = f->header.first_lsn,
		.last_lsn = last_lsn,
		.last_request_id = f->last_request_id,
		.size = f->file_size,
		.closed = true,
		.safe = true,
	};

	wal_segment_keep(w, &s);
}

/*
 * The first segment that is read: the one that base names, the last of those that have settled,
 * which tells what the time was; as long as base names none, the one that it ends in.
 */
static unsigned first_needed(const struct found *f, unsigned n, uint64_t base_lsn,
			     uint64_t epoch_min)
{
	unsigned i = 0;

	while (i + 1 < n && (epoch_min ? f[i].header.epoch < epoch_min
				       : f[i + 1].header.first_lsn <= base_lsn + 1))
		i++;
	return i;
}

static bool is_there(const struct found *f, unsigned n, uint64_t epoch)
{
	for (unsigned i = 0; i < n; i++)
		if (f[i].header.epoch == epoch)
			return true;
	return false;
}

/* Does the log begin where base ends? */
static int begin_check(struct replay *rp, const struct found *f, unsigned n, uint64_t epoch_min)
{
	struct wal *w = rp->w;

	if (n && (f[0].header.first_lsn > rp->base_lsn + 1 ||
		  (epoch_min && !is_there(f, n, epoch_min)))) {
		(void)snprintf(rp->why, rp->why_size,
			       "%.120s: log segment %" PRIu64
			       " is missing: the log begins at %" PRIu64 ", base ends at %" PRIu64,
			       w->dir, epoch_min, f[0].header.first_lsn, rp->base_lsn);
		return -EBADMSG;
	}
	if (!n && epoch_min) {
		(void)snprintf(rp->why, rp->why_size, "%.150s: log segment %" PRIu64 " is missing",
			       w->dir, epoch_min);
		return -EBADMSG;
	}
	return 0;
}

static int run_all(struct replay *rp, struct found *f, unsigned n, uint64_t epoch_min)
{
	struct wal *w = rp->w;
	unsigned first = first_needed(f, n, rp->base_lsn, epoch_min);
	int r = begin_check(rp, f, n, epoch_min);

	if (!w->cursor)
		w->lsn = rp->base_lsn;
	w->epoch_next = 1;
	w->rewrite_first = 0;
	for (unsigned i = 0; i < n && r == 0; i++) {
		bool last = i + 1 == n;
		uint64_t limit = last ? UINT64_MAX : f[i + 1].header.first_lsn;

		if (f[i].header.clock_ms > rp->clock_ms)
			rp->clock_ms = f[i].header.clock_ms;
		w->epoch_next = f[i].header.epoch + 1;
		if (w->cursor && f[i].header.epoch < w->cursor->epoch)
			cursor_get(w, &f[i], NULL, NULL);
		else if (i >= first)
			r = segment_run(rp, &f[i], limit, last);
	}
	if (r < 0)
		return r;
	if (w->lsn < rp->base_lsn)
		w->lsn = rp->base_lsn;
	if (!w->rewrite.len)
		w->rewrite_first = w->lsn + 1;
	for (unsigned i = 0; i < n; i++)
		segment_keep(w, &f[i],
			     (i + 1 == n ? w->rewrite_first : f[i + 1].header.first_lsn) - 1);
	return 0;
}

/*
 * The epoch next to the last one that has a name may have been used: an incarnation that was killed,
 * or cut off, before its new file had a name leaves the file in the pool, full of records of an
 * epoch that nothing tells of.  Their lsns go on where the log ends now, so those that lie where our
 * records end would pass for the rest of them.  Hence each incarnation begins at an epoch drawn by
 * lot, which none before it has come to.
 */
static int epoch_leap(struct wal *w)
{
	uint32_t n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return -EIO;
	w->epoch_next += n;
	return 0;
}

/* The tail goes into a segment of the next epoch: sum its records for that. */
static void rewrite_sum(struct wal *w)
{
	const uint32_t epoch_crc = log_epoch_crc(w->epoch_next);
	size_t at = 0;

	while (at < w->rewrite.len) {
		struct log_frame *f = (void *)(w->rewrite.data + at);

		f->crc = log_frame_crc(f, epoch_crc);
		at += log_record_size(f);
	}
}

int wal_replay(struct wal *w, uint64_t base_lsn, uint64_t synced, uint64_t epoch_min,
	       int (*apply)(void *arg, const struct log_record *r, bool same_generation), void *arg,
	       uint64_t *ret_clock_ms, char *why, size_t why_size)
{
	struct replay rp = {w,     base_lsn, synced,
			    apply, arg,      w->cursor ? w->cursor->clock_ms : 0,
			    false, why,      why_size};
	struct found *f = calloc(WAL_SEGMENTS_MAX, sizeof(*f));
	unsigned n = 0;
	int r;

	if (!f)
		return -ENOMEM;
	r = folder_read(&rp, f, &n);
	if (r == 0)
		r = run_all(&rp, f, n, epoch_min);
	if (r == 0)
		r = epoch_leap(w);
	rewrite_sum(w);
	free(f);
	*ret_clock_ms = rp.clock_ms;
	return r;
}

/* Read on in the segments that have not been read to their end. */
static int follow_all(struct replay *rp, struct found *f, unsigned n, uint64_t epoch_min)
{
	struct wal *w = rp->w;
	bool more = true;
	int r = 0;

	for (unsigned i = first_needed(f, n, rp->base_lsn, epoch_min); i < n && more && r == 0;
	     i++) {
		uint64_t limit = i + 1 == n ? UINT64_MAX : f[i + 1].header.first_lsn;

		if (f[i].header.epoch < w->cursor->epoch)
			continue;
		more = limit <= rp->synced;
		if (!more)
			limit = rp->synced + 1;
		/* Everything before the limit is on disk: nothing may be missing, as in a segment
		 * that is not the last. */
		r = segment_run(rp, &f[i], limit, false);
	}
	return r;
}

int wal_tail(struct wal *w, uint64_t base_lsn, uint64_t synced, uint64_t epoch_min,
	     int (*apply)(void *arg, const struct log_record *r, bool same_generation), void *arg,
	     char *why, size_t why_size)
{
	struct replay rp = {w, base_lsn, synced, apply, arg, 0, true, why, why_size};
	struct found *f = calloc(WAL_SEGMENTS_MAX, sizeof(*f));
	bool first = !w->cursor;
	unsigned n = 0;
	int r;

	if (first) {
		w->cursor = calloc(1, sizeof(*w->cursor));
		w->lsn = base_lsn;
	}
	if (!f || !w->cursor) {
		free(f);
		return -ENOMEM;
	}
	r = folder_read(&rp, f, &n);
	if (r == 0 && first)
		r = begin_check(&rp, f, n, epoch_min);
	if (r == 0)
		r = follow_all(&rp, f, n, epoch_min);
	if (rp.clock_ms > w->cursor->clock_ms)
		w->cursor->clock_ms = rp.clock_ms;
	free(f);
	return r;
}
