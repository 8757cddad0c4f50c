/* Reading a store's log for its copies elsewhere: from where, what of it, and how long it is kept. */
#include <dirent.h>
#include <pthread.h>

#include "tests/unit/lib/copies_fixture.h"

static struct node *const one = &nodes[0];

static uint64_t last_of(uint32_t p)
{
	return store_last(one->store, p).sequence;
}

static struct store_reader *open_from(uint32_t p, uint64_t next)
{
	const struct store_want want = {p, next};
	struct store_reader *r;

	EQ(0, store_read_open(one->store, &want, 1, &r));
	return r;
}

/* The records of the line from `next` on, and then no more. */
static void reads(struct store_reader *r, uint32_t p, uint64_t next)
{
	const struct line *l = &one->copy[p].line;
	struct log_record rec;
	uint32_t partition = 99;

	for (size_t i = 0; i < l->count; i++) {
		if (l->at[i]->first < next)
			continue;
		EQ(1, store_read_next(r, &rec, &partition));
		EQ(p, partition);
		EQ(l->at[i]->size, rec.entry->size);
		EQ(0, memcmp(l->at[i]->bytes, rec.entry, rec.entry->size));
	}
	EQ(0, store_read_next(r, &rec, &partition));
	EQ(0, store_read_next(r, &rec, &partition));
}

static void fill(uint32_t p, int n, size_t size)
{
	static char value[60000];
	char key[16];

	memset(value, 'v', sizeof(value));
	value[size] = '\0';
	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i % 50);
		EQ(0, put(name_in(p, 0), key, value));
		commit_to(one, p, last_of(p));
		EQ(0, store_tick(current, wall));
		store_submit(current, 0);
	}
}

static void begin(void)
{
	cache_bytes = 8 << 20;
	nodes_fresh();
	for (uint32_t p = 0; p < PARTS; p++) {
		lead(one, p, 1 << 16);
		EQ(0, create(name_in(p, 0)));
	}
}

static void every_record_comes_from_where_it_is_wanted(void)
{
	begin();
	for (int round = 0; round < 40; round++)
		for (uint32_t p = 0; p < PARTS; p++)
			fill(p, 1 + round % 3, 900);
	sync_all();
	for (uint32_t p = 0; p < PARTS; p++)
		for (uint64_t next = 1; next <= last_of(p) + 1; next += 1 + next / 8) {
			struct store_reader *r = open_from(p, next);

			reads(r, p, next);
			store_read_close(&r);
		}
	nodes_end();
}

/* Over many files, settled or not, before and after it is opened again. */
static void it_goes_on_from_file_to_file(void)
{
	struct store_reader *r;

	begin();
	r = open_from(2, 1);
	for (int i = 0; i < 8; i++) {
		fill(2, 60, 20000); /* a file is 1 MiB */
		fill(1, 10, 2000);
		if (i % 2)
			settle(one);
	}
	sync_all();
	reads(r, 2, 1);
	fill(2, 70, 20000);
	sync_all();
	{ /* what has come since, in another file */
		struct log_record rec;
		uint32_t partition;
		int n = 0;

		while (store_read_next(r, &rec, &partition) == 1)
			n++;
		TRUE_(n >= 70);
		EQ(store_lsn(current) + 1, store_read_at(r));
	}
	store_read_close(&r);
	node_open(one);
	r = open_from(2, 1);
	reads(r, 2, 1);
	store_read_close(&r);
	nodes_end();
}

static void several_partitions_are_read_at_once(void)
{
	struct store_want want[2] = {
		{0, 2},
                {3, 4}
        };
	struct log_record rec;
	struct store_reader *r;
	uint32_t partition;
	uint64_t next[PARTS] = {2, 0, 0, 4};
	uint64_t lsn = 0;

	begin();
	for (int i = 0; i < 30; i++)
		for (uint32_t p = 0; p < PARTS; p++)
			fill(p, 1, 100);
	sync_all();
	EQ(0, store_read_open(current, want, 2, &r));
	while (store_read_next(r, &rec, &partition) == 1) {
		TRUE_(partition == 0 || partition == 3);
		TRUE_(rec.lsn > lsn);
		lsn = rec.lsn;
		EQ(next[partition], rec.entry->sequence);
		next[partition] += rec.entry->count;
	}
	EQ(last_of(0) + 1, next[0]);
	EQ(last_of(3) + 1, next[3]);
	store_read_close(&r);
	nodes_end();
}

/* Nothing is told before it is on disk here. */
static void what_is_not_on_disk_is_not_read(void)
{
	struct log_record rec;
	struct store_reader *r;
	uint32_t partition;

	begin();
	sync_all();
	r = open_from(1, 1);
	EQ(1, store_read_next(r, &rec, &partition));
	EQ(1, store_read_next(r, &rec, &partition));
	EQ(0, put(name_in(1, 0), "k", "v"));
	EQ(0, store_read_next(r, &rec, &partition));
	sync_all();
	EQ(1, store_read_next(r, &rec, &partition));
	EQ(3, rec.entry->sequence);
	store_read_close(&r);
	nodes_end();
}

/* What a cut took back lies in the log, and is passed over. */
static void what_is_void_is_passed_over(void)
{
	const char *name = name_in(1, 0);
	struct node *two = &nodes[1];
	struct store_reader *r;
	struct line *l = &one->copy[1].line;

	begin();
	for (int i = 0; i < 5; i++)
		EQ(0, put(name, "k", "void")); /* up to 7 */
	store_follow(one->store, 1);
	store_follow(two->store, 1);
	for (size_t i = 0; i < 4; i++)
		EQ(0, feed(two, 1, l->at[i]));
	lead(two, 1, 2 << 16);
	for (int i = 0; i < 5; i++)
		EQ(0, put(name, "k", "stays"));
	(void)cut_to(one, 1, 4);
	while (l->count < two->copy[1].line.count)
		EQ(0, feed(one, 1, two->copy[1].line.at[l->count]));
	use(one);
	sync_all();
	for (uint64_t next = 1; next <= last_of(1); next++) {
		r = open_from(1, next);
		reads(r, 1, next);
		store_read_close(&r);
	}
	nodes_end();
}

/* ---- how long it is kept ---- */

static unsigned files(void)
{
	struct dirent *e;
	DIR *d = opendir(one->dir);
	unsigned n = 0;

	while ((e = readdir(d)))
		n += !strncmp(e->d_name, "wal-", 4);
	(void)closedir(d);
	return n;
}

static void the_log_is_kept_for_who_needs_it(void)
{
	struct store_reader *r;
	uint64_t lsn;

	begin();
	fill(1, 300, 20000); /* 6 MB; the log may have 32 */
	settle(one);
	TRUE_(files() >= 6);
	r = open_from(1, 1);
	reads(r, 1, 1);
	store_read_close(&r);
	lsn = store_lsn_before(current, 1, 200);
	TRUE_(lsn <= 200 + 2 * PARTS);
	store_retain(current, lsn);
	fill(1, 1, 100);
	settle(one);
	r = open_from(1, 200);
	reads(r, 1, 200);
	store_read_close(&r);
	store_retain(current, UINT64_MAX);
	fill(1, 1, 100);
	settle(one);
	for (int i = 0; i < 500 && files() > 3; i++)
		(void)usleep(10000);
	TRUE_(files() <= 3);
	nodes_end();
}

static void who_is_too_late_is_told(void)
{
	struct store_want want[2] = {
		{1, 1},
                {2, 1}
        };
	struct log_record rec;
	struct store_reader *r;
	uint32_t partition;

	begin();
	fill(2, 2, 100);
	fill(1, 300, 20000);
	store_retain(current, UINT64_MAX);
	settle(one);
	fill(1, 1, 100);
	settle(one);
	fill(1, 2, 100);
	sync_all();
	/* One has records that are there, and one before them is not; one has none at all. */
	EQ(0, store_read_open(current, want, 2, &r));
	EQ(-ENODATA, store_read_next(r, &rec, &partition));
	EQ(1, partition);
	EQ(-ENODATA, store_read_next(r, &rec, &partition));
	EQ(2, partition);
	EQ(0, store_read_next(r, &rec, &partition));
	store_read_close(&r);
	r = open_from(1, last_of(1) - 1);
	reads(r, 1, last_of(1) - 1);
	store_read_close(&r);
	nodes_end();
}

/* Half of the limit, and no more; and nobody who writes has to wait for it. */
static void what_is_kept_has_its_bound(void)
{
	begin();
	store_retain(current, 0);
	for (int i = 0; i < 10; i++) {
		fill(1, 250, 20000); /* 50 MB in all, of 32 */
		settle(one);
		TRUE_(files() <= 18);
	}
	TRUE_(files() >= 8);
	nodes_end();
}

/* ---- beside the threads that write and recycle ---- */

static _Atomic bool stop;
static _Atomic uint64_t seen;
static _Atomic int lost;

static void *read_on(void *arg)
{
	struct store_reader *r = arg;
	struct log_record rec;
	uint32_t partition;
	uint64_t next = 0;

	while (!stop) {
		int e = store_read_next(r, &rec, &partition);

		if (e == 1) {
			if (next && rec.entry->sequence != next)
				lost = 2;
			next = rec.entry->sequence + rec.entry->count;
			seen = next;
		} else if (e == -ENODATA) {
			lost = 1;
			return NULL;
		} else if (e < 0) {
			lost = 3;
			return NULL;
		} else {
			(void)usleep(100);
		}
	}
	return NULL;
}

static void a_reader_keeps_up_beside_all_others(void)
{
	pthread_t thread;
	struct store_reader *r;

	begin();
	stop = false;
	lost = 0;
	seen = 0;
	r = open_from(1, 1);
	EQ(0, pthread_create(&thread, NULL, read_on, r));
	for (int i = 0; i < 40 && !lost; i++) {
		fill(1, 60, 20000);
		fill(2, 60, 2000);
		settle(one);
	}
	sync_all();
	for (int i = 0; i < 2000 && !lost && seen <= last_of(1); i++)
		(void)usleep(5000);
	stop = true;
	EQ(0, pthread_join(thread, NULL));
	EQ(0, lost);
	EQ(last_of(1) + 1, seen);
	store_read_close(&r);
	nodes_end();
}

UNIT_MAIN(T(every_record_comes_from_where_it_is_wanted), T(it_goes_on_from_file_to_file),
	  T(several_partitions_are_read_at_once), T(what_is_not_on_disk_is_not_read),
	  T(what_is_void_is_passed_over), T(the_log_is_kept_for_who_needs_it),
	  T(who_is_too_late_is_told), T(what_is_kept_has_its_bound),
	  T(a_reader_keeps_up_beside_all_others))
