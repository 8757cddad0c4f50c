/* Reading the log for copies elsewhere, beside the threads that append, sync and recycle. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/check.h"
#include "storage/store_impl.h"

/* What is wanted of one partition. */
struct wanted {
	uint32_t partition;
	uint64_t next;     /* 0: nothing any more */
	uint64_t last;     /* it was in the log when the reader was opened */
	uint64_t load_lsn; /* up to there the log has nothing of it */
	struct log_spans spans;
};

struct store_reader {
	struct wal *wal;
	const char *dir;
	uint32_t *place; /* by partition: of what is wanted in `wanted`, plus 1 */
	uint32_t partitions;
	struct wanted *wanted;
	uint32_t count;
	uint64_t lsn;      /* the next one */
	uint64_t lsn_last; /* of the log when the reader was opened */
	bool looked;       /* all up to there has been seen */
	struct wal_reader file;
	struct wal_segment segment;
	struct buf copy; /* of the record told last: its file may be written over */
};

void store_read_close(struct store_reader **rp)
{
	struct store_reader *r = *rp;

	if (!r)
		return;
	wal_reader_close(&r->file);
	buf_fini(&r->copy);
	free(r->place);
	free(r->wanted);
	free(r);
	*rp = NULL;
}

int store_read_open(struct store *s, const struct store_want *want, uint32_t n,
		    struct store_reader **ret)
{
	struct store_reader *r = calloc(1, sizeof(*r));

	check(s->replica);
	if (r) {
		buf_init(&r->copy);
		r->place = calloc(s->copied, sizeof(*r->place));
		r->wanted = calloc(n ? n : 1, sizeof(*r->wanted));
	}
	if (!r || !r->place || !r->wanted) {
		store_read_close(&r);
		return store_fail(s, -ENOMEM, "no memory");
	}
	r->wal = s->wal;
	r->dir = s->dir;
	r->partitions = s->copied;
	r->lsn = wal_lsn(s->wal) + 1;
	r->lsn_last = wal_lsn(s->wal);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t p = want[i].partition;
		uint64_t before = store_lsn_before(s, p, want[i].next);

		check(p < s->copied && want[i].next && !r->place[p]);
		r->place[p] = i + 1;
		r->wanted[i] = (struct wanted){p, want[i].next, s->newest->at[p],
					       s->replica[p].load_lsn, s->replica[p].spans};
		r->lsn = before < r->lsn ? before : r->lsn;
	}
	r->count = n;
	*ret = r;
	return 0;
}

uint64_t store_read_at(const struct store_reader *r)
{
	return r->lsn;
}

/* Is it void, by a cut that was there when the reader was opened? */
static bool is_void(const struct wanted *x, const struct log_entry *e)
{
	return e->sequence <= x->last && !spans_have(&x->spans, e->term, e->sequence);
}

/* 1: it is wanted; 0: it is not; -ENODATA: one before it is missing. */
static int judge(struct store_reader *r, const struct log_entry *e, uint32_t *ret_partition)
{
	uint32_t place = e->partition < r->partitions ? r->place[e->partition] : 0;
	struct wanted *x = place ? &r->wanted[place - 1] : NULL;

	if (!x || !x->next || !e->count || e->sequence < x->next || r->lsn <= x->load_lsn ||
	    is_void(x, e))
		return 0;
	*ret_partition = e->partition;
	if (e->sequence > x->next) {
		x->next = 0;
		return -ENODATA;
	}
	x->next += e->count;
	return 1;
}

/* All that was there has been seen: who has not got what was his will never. */
static int look_back(struct store_reader *r, uint32_t *ret_partition)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct wanted *x = &r->wanted[i];

		if (!x->next || x->next > x->last)
			continue;
		*ret_partition = x->partition;
		x->next = 0;
		return -ENODATA;
	}
	r->looked = true;
	return 0;
}

/* Stand before the record r->lsn, or the first one that there is. */
static int file_want(struct store_reader *r)
{
	int e;

	if (r->file.map)
		return 0;
	for (;;) {
		struct log_record rec;

		while (wal_segment_of(r->wal, r->lsn, &r->segment) < 0)
			r->lsn = wal_first(r->wal); /* gaps are found by those who want them */
		e = wal_reader_open(&r->file, r->dir, r->segment.epoch, r->segment.size,
				    r->segment.first_lsn);
		if (e == -ENOENT) /* recycled since */
			continue;
		while (e == 0 && r->file.lsn < r->lsn)
			if (wal_reader_next(&r->file, &rec) != 1)
				break;
		return e;
	}
}

/* The file has nothing at r->lsn, which is on disk: it has ended, or was recycled. */
static int file_next(struct store_reader *r)
{
	struct wal_segment s;
	uint64_t epoch = r->segment.epoch;

	wal_reader_close(&r->file);
	if (wal_segment_of(r->wal, r->lsn, &s) == 0 && s.epoch == epoch)
		return -EBADMSG;
	return 0;
}

/* Copy it: by the time somebody reads it, its file may have been given to another use. */
static int copy(struct store_reader *r, struct log_record *rec, uint32_t *ret_partition)
{
	uint64_t size = log_record_size(rec->frame);
	const char *why;

	r->copy.len = 0;
	buf_add(&r->copy, rec->frame, size);
	if (r->copy.failed)
		return -ENOMEM;
	rec->frame = (const struct log_frame *)r->copy.data;
	rec->entry = log_frame_entry(rec->frame);
	if (log_entry_check_sent(rec->entry, size - sizeof(*rec->frame), &why) == 0)
		return 1;
	r->wanted[r->place[*ret_partition] - 1].next = 0; /* it was, just now */
	return -ENODATA;
}

int store_read_next(struct store_reader *r, struct log_record *ret, uint32_t *ret_partition)
{
	for (;;) {
		int e;

		if (!r->looked && r->lsn > r->lsn_last) {
			e = look_back(r, ret_partition);
			if (e < 0)
				return e;
		}
		if (r->lsn > wal_synced(r->wal))
			return 0;
		e = file_want(r);
		if (e < 0)
			return e;
		if (r->file.lsn != r->lsn || wal_reader_next(&r->file, ret) != 1) {
			e = file_next(r);
			if (e < 0)
				return e;
			continue;
		}
		e = judge(r, ret->entry, ret_partition);
		r->lsn++;
		if (e == 1)
			e = copy(r, ret, ret_partition);
		if (e)
			return e;
	}
}
