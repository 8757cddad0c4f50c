/* The log as two processes see it: one appends, another follows and goes on in its place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "storage/log/wal.h"
#include "tests/unit/lib/unit.h"

#define GENERATION 77u
#define FILE_BYTES (128u << 10)
#define LARGE      (300u << 10) /* more than a file has */

static char dir[300];
static unsigned dirs;

/* What a reader has been given. */
struct seen {
	uint64_t next; /* the lsn that must come */
	uint64_t sum;
	int bad;
};

static int take(void *arg, const struct log_record *r, bool same)
{
	struct seen *s = arg;
	struct log_changes i;
	struct log_change c;

	if (r->lsn != s->next || !same)
		s->bad++;
	s->next = r->lsn + 1;
	log_changes_begin(&i, r->entry);
	while (log_changes_next(&i, &c) == 1)
		s->sum += c.bucket;
	return 0;
}

static void synced(void *arg, uint64_t mark, uint64_t lsn)
{
	(void)arg;
	(void)mark;
	(void)lsn;
}

static struct wal *log_new(void)
{
	const struct wal_config c = {dir,    FILE_BYTES, 64 << 20, 16 << 10, GENERATION,
				     synced, NULL,       NULL,     0};
	struct wal *w = NULL;

	EQ(0, wal_new(&c, &w));
	return w;
}

/* Read what there is and begin to append. */
static struct wal *log_open(struct seen *s, uint64_t known)
{
	struct wal *w = log_new();
	uint64_t clock;
	char why[256] = "";

	EQ(0, wal_replay(w, 0, known, 0, take, s, &clock, why, sizeof(why)));
	EQ(0, wal_start(w, 1));
	EQ(0, wal_pool_fill(w));
	return w;
}

static void append_value(struct wal *w, uint64_t bucket, uint64_t value_bytes, uint64_t *sum)
{
	static const char zeros[LARGE];
	const struct log_change c = {
		.op = LOG_PUT,
		.bucket = bucket,
		.name = span_of("b"),
		.key = span_of("k"),
		.value = {zeros, value_bytes}
        };
	uint64_t size = LOG_RECORD_BYTES + log_change_size(&c);
	struct log_frame *f = wal_reserve(w, size);

	while (!f) {
		wal_submit(w, 0);
		wal_wait(w, 5);
		f = wal_reserve(w, size);
	}
	log_entry_end(f,
		      log_change_write(log_entry_begin(f, LOG_CHANGE, 0, wal_lsn(w) + 1, 1), &c));
	EQ(size, log_record_size(f));
	*sum += c.bucket;
	(void)wal_append(w, f, 1 + wal_lsn(w) * 8);
}

static void append(struct wal *w, uint64_t *random, uint64_t *sum)
{
	uint64_t bucket = unit_random(random) % 1000;

	append_value(w, bucket, unit_random(random) % 3000, sum);
}

static void sync_all(struct wal *w)
{
	wal_submit(w, wal_lsn(w));
	while (wal_synced(w) < wal_lsn(w))
		wal_wait(w, 5);
}

static void fresh(void)
{
	(void)snprintf(dir, sizeof(dir), "%s/wal-%u", unit_folder(), dirs++);
	char command[400];

	(void)snprintf(command, sizeof(command), "mkdir -p %s", dir);
	EQ(0, system(command));
}

static void a_follower_sees_every_synced_record_once_and_goes_on(void)
{
	uint64_t random = unit_seed();

	for (int round = 0; round < 12; round++) {
		struct seen mine = {1, 0, 0};
		struct seen its = {1, 0, 0};
		struct seen last = {1, 0, 0};
		struct wal_segment closed[64];
		struct wal *w;
		struct wal *f;
		uint64_t sum = 0;
		uint64_t clock;
		char why[256] = "";
		uint64_t newest;
		unsigned n;

		fresh();
		w = log_open(&mine, 0);
		/* Lives before, one of which left what had not been told to be synced. */
		for (int life = 0; life < 2; life++) {
			struct seen again = {1, 0, 0};

			for (unsigned i = (unsigned)(unit_random(&random) % 300); i; i--)
				append(w, &random, &sum);
			sync_all(w);
			wal_free(&w);
			w = log_open(&again, life ? 0 : 5);
			EQ(0, again.bad);
			EQ(sum, again.sum);
		}
		f = log_new();
		for (unsigned steps = 1 + (unsigned)(unit_random(&random) % 40); steps; steps--) {
			for (unsigned i = (unsigned)(unit_random(&random) % 60); i; i--)
				append(w, &random, &sum);
			if (unit_random(&random) % 2)
				sync_all(w);
			else
				wal_submit(w, 0);
			EQ(0, wal_tail(f, 0, wal_synced(w), 0, take, &its, why, sizeof(why)));
			EQ(0, its.bad);
		}
		append(w, &random, &sum);
		sync_all(w);
		newest = wal_lsn(w);
		wal_free(&w);
		EQ(0, wal_replay(f, 0, newest, 0, take, &its, &clock, why, sizeof(why)));
		EQ(0, its.bad);
		EQ(newest + 1, its.next);
		EQ(sum, its.sum);
		EQ(0, wal_start(f, 1));
		append(f, &random, &sum);
		sync_all(f);
		/* The segments that it took over know which requests are in them. */
		n = wal_closed(f, closed, 64);
		TRUE_(n > 0);
		for (unsigned i = 0; i < n; i++)
			if (closed[i].last_lsn >= closed[i].first_lsn)
				EQ(1 + (closed[i].last_lsn - 1) * 8, closed[i].last_request_id);
		wal_free(&f);
		w = log_open(&last, 0);
		EQ(0, last.bad);
		EQ(sum, last.sum);
		wal_free(&w);
	}
}

static void a_hole_before_the_synced_lsn_is_an_error(void)
{
	uint64_t random = unit_seed();
	struct seen mine = {1, 0, 0};
	struct seen its = {1, 0, 0};
	uint64_t sum = 0;
	char why[256] = "";
	struct wal *w;
	struct wal *f;

	fresh();
	w = log_open(&mine, 0);
	for (int i = 0; i < 20; i++)
		append(w, &random, &sum);
	sync_all(w);
	f = log_new();
	/* It is told of more than there is. */
	EQ(-EBADMSG, wal_tail(f, 0, wal_synced(w) + 1, 0, take, &its, why, sizeof(why)));
	TRUE_(strstr(why, "damaged record at offset"));
	wal_free(&f);
	wal_free(&w);
}

/* Some records in one segment; its file's path into `path`.  How many there are. */
static uint64_t one_segment(struct wal_segment *ret, char *path, size_t size, uint64_t *ret_sum)
{
	uint64_t random = unit_seed();
	struct seen s = {1, 0, 0};
	struct wal *w;

	fresh();
	*ret_sum = 0;
	w = log_open(&s, 0);
	for (int i = 0; i < 20; i++)
		append(w, &random, ret_sum);
	wal_rotate(w);
	append(w, &random, &s.sum);
	sync_all(w);
	EQ(1, wal_closed(w, ret, 1));
	wal_free(&w);
	wal_path(dir, ret->epoch, path, size);
	return 20;
}

static void a_reader_gives_each_record_until_one_is_not_whole(void)
{
	char path[400];
	struct wal_segment s;
	struct wal_reader rd = {0};
	struct log_record r;
	uint64_t sum;
	uint64_t n = one_segment(&s, path, sizeof(path), &sum);
	uint64_t at[21];
	int fd;

	EQ(0, wal_reader_open(&rd, dir, s.epoch, s.size, s.first_lsn));
	for (uint64_t i = 0; i < n; i++) {
		at[i] = rd.at;
		EQ(1, wal_reader_next(&rd, &r));
		EQ(s.first_lsn + i, r.lsn);
		sum -= ((const struct log_change_head *)r.entry->data)->number[0];
	}
	EQ(0, sum);
	EQ(s.last_lsn + 1, rd.lsn);
	EQ(0, wal_reader_next(&rd, &r));
	TRUE_(!wal_reader_was_synced(&rd));
	wal_reader_close(&rd);

	/* The fifth is damaged: those before it come, and the reader stays there. */
	fd = open(path, O_RDWR);
	TRUE_(fd >= 0);
	EQ(1, pwrite(fd, "\xff", 1, (off_t)at[4] + (off_t)offsetof(struct log_frame, crc)));
	EQ(1, pwrite(fd, "\xfe", 1, (off_t)at[4] + 1 + (off_t)offsetof(struct log_frame, crc)));
	EQ(0, wal_reader_open(&rd, dir, s.epoch, s.size, s.first_lsn));
	for (int i = 0; i < 4; i++)
		EQ(1, wal_reader_next(&rd, &r));
	EQ(0, wal_reader_next(&rd, &r));
	EQ(at[4], rd.at);
	EQ(s.first_lsn + 4, rd.lsn);
	wal_reader_close(&rd);

	/* The file has lost its end. */
	EQ(0, ftruncate(fd, (off_t)s.size - 4096));
	(void)close(fd);
	EQ(-EBADMSG, wal_reader_open(&rd, dir, s.epoch, s.size, s.first_lsn));
	EQ(s.size - 4096, rd.at);
	TRUE_(!rd.map);
}

/* Names in a folder may be anybody's: the highest number leaves none for the next file. */
static void a_pool_file_of_any_number_is_taken(void)
{
	static char zeros[FILE_BYTES];
	struct seen s = {1, 0, 0};
	uint64_t random = unit_seed();
	uint64_t sum = 0;
	char path[400];
	struct wal *w;
	int fd;

	fresh();
	(void)snprintf(path, sizeof(path), "%s/spare-ffffffffffffffff", dir);
	fd = open(path, O_RDWR | O_CREAT, 0640);
	TRUE_(fd >= 0);
	EQ(sizeof(zeros), write(fd, zeros, sizeof(zeros)));
	EQ(0, fsync(fd));
	(void)close(fd);
	w = log_open(&s, 0);
	for (int i = 0; i < 200; i++)
		append(w, &random, &sum);
	sync_all(w);
	wal_free(&w);
	w = log_open(&s, 0);
	EQ(sum, s.sum);
	EQ(0, s.bad);
	wal_free(&w);
}

/* Of each closed segment there is a file of its size, with all its records. */
static struct wal_segment closed_are_whole(struct wal *w)
{
	struct wal_segment closed[64];
	unsigned n;

	sync_all(w);
	n = wal_closed(w, closed, 64);
	TRUE_(n > 1);
	for (unsigned i = 0; i < n; i++) {
		struct wal_reader rd = {0};
		struct log_record r;

		EQ(0,
		   wal_reader_open(&rd, dir, closed[i].epoch, closed[i].size, closed[i].first_lsn));
		while (rd.lsn <= closed[i].last_lsn)
			EQ(1, wal_reader_next(&rd, &r));
		wal_reader_close(&rd);
	}
	return closed[n - 1];
}

/*
 * The largest record comes first in a segment; or one of the common size, after the largest was
 * given up; or the largest after that.
 */
static void an_empty_segment_takes_the_size_of_its_first_record(void)
{
	for (unsigned what = 0; what < 3; what++) {
		const uint64_t size = what == 1 ? 100 : LARGE;
		struct seen mine = {1, 0, 0};
		struct seen again = {3, 0, 0};
		struct wal_segment settled;
		char why[256] = "";
		uint64_t sum = 0;
		uint64_t clock;
		struct wal *w;

		fresh();
		w = log_open(&mine, 0);
		append_value(w, 1, 100, &sum);
		wal_rotate(w);
		if (what)
			TRUE_(wal_reserve(w, LARGE));
		append_value(w, 2, size, &sum);
		TRUE_(wal_bytes(w) <= 2 * FILE_BYTES + size - 100);
		wal_rotate(w);
		append_value(w, 3, 100, &sum);
		settled = closed_are_whole(w);
		EQ(2, settled.last_lsn);
		EQ(0, wal_settled(w, 2, settled.epoch));
		wal_free(&w);
		w = log_new();
		EQ(0, wal_replay(w, 2, 3, settled.epoch, take, &again, &clock, why, sizeof(why)));
		EQ(0, again.bad);
		EQ(4, again.next);
		EQ(3, again.sum);
		wal_free(&w);
	}
}

/* A record of which the value has `n` bytes. */
static void append_sized(struct wal *w, uint64_t bucket, size_t n)
{
	static const char zeros[3000];
	const struct log_change c = {
		.op = LOG_PUT,
		.bucket = bucket,
		.name = span_of("b"),
		.key = span_of("k"),
		.value = {zeros, n}
        };
	struct log_frame *f = wal_reserve(w, LOG_RECORD_BYTES + log_change_size(&c));

	TRUE_(f);
	log_entry_end(f,
		      log_change_write(log_entry_begin(f, LOG_CHANGE, 0, wal_lsn(w) + 1, 1), &c));
	(void)wal_append(w, f, 0);
}

/* The folder as if the newest segment had never got its name; no other file is in the pool. */
static void newest_unname(void)
{
	char command[900];

	(void)snprintf(command, sizeof(command),
		       "cd %s && mv $(ls wal-* | tail -n 1) spare-ffffffffffffff00 && "
		       "for f in spare-*; do test $f = spare-ffffffffffffff00 || rm $f; done",
		       dir);
	EQ(0, system(command));
}

/* Only the first record is left: one more, of the same size as that which is lost. */
static void one_more(uint64_t known)
{
	struct seen s = {1, 0, 0};
	uint64_t clock;
	char why[256] = "";
	struct wal *w = log_new();

	EQ(0, wal_replay(w, 0, known, 0, take, &s, &clock, why, sizeof(why)));
	EQ(0, wal_start(w, 1)); /* with the one file that is in the pool */
	EQ(1, s.sum);
	append_sized(w, 100, 100);
	sync_all(w);
	wal_free(&w);
}

/*
 * A cut between the writing of a file and its name on disk leaves its records in the pool, and the
 * log before it.  What is written next may end where one of them begins, which has the lsn that
 * would follow: it was lost, and stays so.
 */
static void a_file_that_got_no_name_does_not_come_back_behind_others(void)
{
	for (int begun_at_start = 0; begun_at_start < 2; begun_at_start++) {
		struct seen first = {1, 0, 0};
		struct seen again = {1, 0, 0};
		struct seen third = {1, 0, 0};
		struct wal *w;

		fresh();
		w = log_open(&first, 0);
		append_sized(w, 1, 10);
		sync_all(w);
		if (begun_at_start) {
			wal_free(&w);
			w = log_open(&again, 0); /* which writes the first record again */
		} else {
			wal_rotate(w);
		}
		for (uint64_t i = 1; i <= 3; i++)
			append_sized(w, 10 * i, 100);
		sync_all(w);
		wal_free(&w);
		newest_unname();
		one_more(!begun_at_start);
		w = log_open(&third, 0);
		EQ(0, third.bad);
		EQ(101, third.sum);
		EQ(2, wal_lsn(w));
		wal_free(&w);
	}
}

/* There was no room for a spare file; then files came back, and no spare was wanted any more. */
static void a_disk_is_full_only_while_a_file_is_missing(void)
{
	struct seen s = {1, 0, 0};
	struct wal_segment settled;
	struct wal *w;
	uint64_t sum = 0;

	fresh();
	w = log_open(&s, 0);
	TRUE_(!wal_pool_low(w));
	for (int i = 0; i < 12 && (i < 6 || !wal_pool_low(w)); i++) {
		append_value(w, 1, 100, &sum);
		sync_all(w);
		wal_rotate(w);
	}
	TRUE_(wal_pool_low(w));
	append_value(w, 1, 100, &sum);
	sync_all(w);
	fault_set("wal.stock=ENOSPC@1!", 0);
	EQ(-ENOSPC, wal_pool_fill(w));
	TRUE_(wal_disk_full(w));
	fault_set(NULL, 0);
	settled = closed_are_whole(w);
	EQ(0, wal_settled(w, settled.last_lsn, settled.epoch));
	TRUE_(!wal_pool_low(w));
	TRUE_(!wal_disk_full(w));
	wal_free(&w);
}

UNIT_MAIN(T(a_disk_is_full_only_while_a_file_is_missing),
	  T(a_follower_sees_every_synced_record_once_and_goes_on),
	  T(a_hole_before_the_synced_lsn_is_an_error),
	  T(a_reader_gives_each_record_until_one_is_not_whole),
	  T(a_pool_file_of_any_number_is_taken),
	  T(an_empty_segment_takes_the_size_of_its_first_record),
	  T(a_file_that_got_no_name_does_not_come_back_behind_others))
