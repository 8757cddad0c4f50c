/*
 * The store: against a model with checkpoints, restarts and expiry in between; torn and damaged
 * logs; clocks that step back.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "storage/log/segment.h"
#include "tests/unit/lib/store_fixture.h"

/* ---- the model ---- */

#define MODEL_KEYS 400

struct model {
	char value[MODEL_KEYS][24];
	bool there[MODEL_KEYS];
	uint64_t expiry[MODEL_KEYS];
	bool bucket;
};

struct walk {
	const struct model *m;
	int next; /* the key that must come */
	int step;
	int bad;
};

/* What a get says that a key has left to live. */
static uint64_t left(const char *bucket, const char *key)
{
	struct store_key k;
	struct store_item item;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	EQ(0, store_get(current, &k, &item));
	return item.ttl_ms;
}

static bool alive(const struct model *m, int i)
{
	return m->there[i] && (!m->expiry[i] || m->expiry[i] > wall);
}

static void walk_skip(struct walk *w)
{
	while (w->next >= 0 && w->next < MODEL_KEYS && !alive(w->m, w->next))
		w->next += w->step;
}

static bool walk_item(void *arg, const struct store_item *i)
{
	struct walk *w = arg;
	char key[24];

	walk_skip(w);
	(void)snprintf(key, sizeof(key), "key%05d", w->next);
	if (w->next < 0 || w->next >= MODEL_KEYS || i->key.n != strlen(key) ||
	    memcmp(i->key.p, key, i->key.n) != 0 || i->value.n != strlen(w->m->value[w->next]) ||
	    memcmp(i->value.p, w->m->value[w->next], i->value.n) != 0)
		w->bad++;
	w->next += w->step;
	return true;
}

static void compare(const struct model *m)
{
	struct store_range range;
	struct store_key k;
	long long n = 0;

	EQ(wall, store_clock(current)); /* or they differ in what has expired */
	for (int i = 0; i < MODEL_KEYS; i++)
		n += alive(m, i);
	EQ(m->bucket ? n : -ENXIO, count("b"));
	if (!m->bucket)
		return;
	for (int back = 0; back < 2; back++) {
		struct walk w = {m, back ? MODEL_KEYS - 1 : 0, back ? -1 : 1, 0};

		memset(&range, 0, sizeof(range));
		range.reverse = back;
		store_begin(current, 0);
		store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
		EQ(0, store_scan(current, &k, &range, walk_item, &w));
		EQ(0, w.bad);
		walk_skip(&w);
		TRUE_(w.next < 0 || w.next >= MODEL_KEYS);
	}
}

static void model_step(struct model *m, uint64_t *s)
{
	int i = (int)(unit_random(s) % MODEL_KEYS);
	unsigned what = (unsigned)(unit_random(s) % 1000);
	char key[24];

	(void)snprintf(key, sizeof(key), "key%05d", i);
	if (what < 3 && m->bucket) {
		EQ(0, drop("b"));
		memset(m, 0, sizeof(*m));
	} else if (!m->bucket) {
		EQ(-ENXIO, put("b", key, "x"));
		EQ(0, create("b"));
		m->bucket = true;
	} else if (what < 600) {
		uint64_t ttl = what % 4 ? 0 : 1 + unit_random(s) % 3000;

		(void)snprintf(m->value[i], sizeof(m->value[i]), "v%llu",
			       (unsigned long long)(unit_random(s) >> (unit_random(s) % 64)));
		EQ(0, put_ttl("b", key, m->value[i], ttl));
		m->there[i] = true;
		m->expiry[i] = ttl ? wall + ttl : 0;
	} else if (what < 800) {
		EQ(alive(m, i), del("b", key));
		if (alive(m, i))
			m->there[i] = false;
	} else if (what < 990) {
		is("b", key, alive(m, i) ? m->value[i] : NULL);
		if (alive(m, i))
			EQ(m->expiry[i] ? m->expiry[i] - wall : 0, left("b", key));
	} else {
		wall += unit_random(s) % 800;
		EQ(0, store_tick(current, wall));
	}
}

static void it_does_what_a_model_does(void)
{
	static struct model m;
	uint64_t s = unit_seed();

	memset(&m, 0, sizeof(m));
	fresh();
	EQ(0, reopen());
	for (int round = 0; round < 60; round++) {
		unsigned end = (unsigned)(unit_random(&s) % 4);

		for (int i = 0; i < 400; i++)
			model_step(&m, &s);
		compare(&m);
		if (end == 0) {
			EQ(0, store_settle(current, 10000));
		} else if (end == 1) { /* a checkpoint in the middle of writes */
			store_checkpoint(current);
			for (int i = 0; i < 200; i++) {
				model_step(&m, &s);
				store_submit(current, 0);
				EQ(0, store_tick(current, wall));
			}
		} else if (end == 2) {
			EQ(0, reopen());
		}
		compare(&m);
	}
	finish();
}

/* ---- recovery ---- */

/* The path of the newest segment. */
static const char *newest_segment(void)
{
	static char path[600];
	char best[64] = "";
	DIR *d = opendir(dir);
	struct dirent *e;

	TRUE_(d);
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "wal-", 4) && strcmp(e->d_name, best) > 0)
			(void)snprintf(best, sizeof(best), "%.63s", e->d_name);
	(void)closedir(d);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, best);
	return path;
}

/* Where the i-th record of a segment begins (0: the first), by walking sizes. */
static off_t record_at(int fd, int i)
{
	off_t at = WAL_HEADER_BYTES;

	while (i-- > 0) {
		_Alignas(8) char head[LOG_RECORD_BYTES];

		EQ(sizeof(head), pread(fd, head, sizeof(head), at));
		at += (off_t)log_record_size((struct log_frame *)head);
	}
	return at;
}

static void a_log_torn_at_every_byte_of_its_last_record(void)
{
	_Alignas(8) char head[LOG_RECORD_BYTES];
	uint32_t size;
	off_t at;
	int fd;

	write_keys(3);
	fd = open(newest_segment(), O_RDWR);
	at = record_at(fd, 3); /* create, two puts, and this one */
	EQ(sizeof(head), pread(fd, head, sizeof(head), at));
	size = (uint32_t)log_record_size((struct log_frame *)head);
	(void)close(fd);
	for (uint32_t cut = 0; cut < size; cut++) {
		char zeros[256] = {0};
		const char *path;

		write_keys(3);
		path = newest_segment();
		fd = open(path, O_RDWR);
		EQ(size - cut, pwrite(fd, zeros, size - cut, at + cut));
		(void)close(fd);
		EQ(0, reopen());
		/* The last two bytes are padding, zeros already: nothing is torn then. */
		EQ(cut >= size - 2 ? 3 : 2, count("b"));
		is("b", "key00001", "value");
		/* What is written now must survive the next start, behind a torn tail too. */
		EQ(0, put("b", "later", "x"));
		sync_all();
		EQ(0, reopen());
		is("b", "later", "x");
		finish();
	}
}

static void damage_in_the_middle_is_an_error_that_names_the_place(void)
{
	char want[32];
	off_t at;
	int fd;

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	EQ(0, put("b", "one", "value"));
	sync_all();
	EQ(0, put("b", "two", "value")); /* says that the ones before were synced */
	sync_all();
	finish();
	fd = open(newest_segment(), O_RDWR);
	at = record_at(fd, 1);
	EQ(1, pwrite(fd, "\xff", 1, at + 60));
	(void)close(fd);
	EQ(-EBADMSG, reopen());
	(void)snprintf(want, sizeof(want), "offset %lld", (long long)at);
	TRUE_(strstr(why, want));
	TRUE_(strstr(why, "wal-"));
}

static void byte_flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	char c;

	EQ(1, pread(fd, &c, 1, at));
	c = (char)~c;
	EQ(1, pwrite(fd, &c, 1, at));
	(void)close(fd);
}

/* Base would give them a checksum of their own, and the log that knew better would be gone. */
static void a_checkpoint_takes_no_rotten_bytes(void)
{
	char want[64];
	char path[600];
	off_t at;
	int fd;

	write_keys(50);
	EQ(0, reopen());
	(void)snprintf(path, sizeof(path), "%s", newest_segment());
	fd = open(path, O_RDONLY);
	at = record_at(fd, 8); /* the bucket is the first, key00000 the second */
	(void)close(fd);
	byte_flip(path, at + (off_t)LOG_RECORD_BYTES + 16 + 1 + 8); /* the value's first */
	EQ(-EBADMSG, store_settle(current, 10000));
	(void)snprintf(want, sizeof(want), "damaged record at offset %lld (lsn 9)", (long long)at);
	TRUE_(strstr(store_why(current), want));
	TRUE_(strstr(store_why(current), "/wal-"));
	finish();
	byte_flip(path, at + (off_t)LOG_RECORD_BYTES + 16 + 1 + 8); /* from a backup */
	EQ(0, reopen());
	is("b", "key00007", "value");
	EQ(0, store_settle(current, 10000));
	is("b", "key00007", "value");
	finish();
}

static void a_missing_segment_is_an_error(void)
{
	write_keys(3);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	EQ(0, put("b", "x", "y"));
	sync_all();
	finish();
	for (int i = 0; i < 3; i++)
		(void)unlink(newest_segment());
	EQ(-EBADMSG, reopen());
	TRUE_(strstr(why, "is missing"));
}

/* As many segments as the folder has. */
static int segments(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	TRUE_(d);
	while ((e = readdir(d)))
		n += !strncmp(e->d_name, "wal-", 4);
	(void)closedir(d);
	return n;
}

/* The n-th segment by epoch, from 1 on. */
static void segment_copy(const char *from, const char *to, int n)
{
	char command[1200];

	(void)snprintf(command, sizeof(command), "cp $(ls %s/wal-* | sed -n %dp) %s/", from, n, to);
	EQ(0, system(command));
}

/*
 * A power cut may undo the removal of some settled segments, and not of those between them; and a
 * kill may come before any of them is removed.
 */
static void settled_segments_that_come_back_do_no_harm(void)
{
	static char value[4000];
	uint64_t s = unit_seed();
	struct store_config c = config();
	char key[24];
	char kept[300];

	memset(value, 'v', sizeof(value) - 1);
	c.value_max = sizeof(value);
	c.log_segment_bytes = 16 << 10;
	c.log_bytes = 1 << 20;
	for (int round = 0; round < 8; round++) {
		fresh();
		EQ(0, store_open(&c, &current, why, sizeof(why)));
		EQ(0, create("b"));
		for (int i = 0; i < 20; i++) {
			(void)snprintf(key, sizeof(key), "key%05d", i);
			EQ(0, put("b", key, value));
		}
		sync_all();
		TRUE_(segments() >= 7);
		(void)snprintf(kept, sizeof(kept), "%.250s-kept", dir);
		EQ(0, mkdir(kept, 0700));
		for (int i = 1; i < 7; i++)
			segment_copy(dir, kept, i);
		EQ(0, store_settle(current, 10000));
		EQ(0, put("b", "later", "v"));
		sync_all();
		finish();
		EQ(2, segments());
		for (int i = 1; i < 7; i++)
			if (round == 0 || unit_random(&s) % 2)
				segment_copy(kept, dir, i);
		EQ(0, store_open(&c, &current, why, sizeof(why)));
		EQ(21, count("b"));
		is("b", "later", "v");
		TRUE_(segments() <= 3); /* they are not kept, nor counted */
		finish();
	}
}

static void a_folder_is_locked(void)
{
	struct store *other = NULL;
	struct store_config c;

	fresh();
	EQ(0, reopen());
	c = config();
	EQ(-EWOULDBLOCK, store_open(&c, &other, why, sizeof(why)));
	TRUE_(strstr(why, "another process has this folder open"));
	finish();
}

static void base_is_checked_when_read(void)
{
	char path[400];
	char *data;
	struct stat st;
	FILE *f;
	size_t n;
	unsigned hits = 0;

	write_keys(100);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	finish();
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	EQ(0, stat(path, &st));
	data = malloc((size_t)st.st_size);
	f = fopen(path, "r+");
	n = fread(data, 1, (size_t)st.st_size, f);
	for (size_t i = 0; i + 5 < n; i++)
		if (!memcmp(data + i, "value", 5)) {
			data[i] = 'X';
			hits++;
		}
	TRUE_(hits >= 100);
	rewind(f);
	EQ(n, fwrite(data, 1, n, f));
	(void)fclose(f);
	free(data);
	EQ(0, reopen());
	TRUE_(!get("b", "key00007"));
	TRUE_(strstr(store_why(current), "damaged value in base"));
	finish();
}

/* ---- time ---- */

static void a_clock_that_steps_back_brings_no_key_back(void)
{
	for (int restart = 0; restart < 3; restart++) {
		fresh();
		EQ(0, reopen());
		EQ(0, create("b"));
		EQ(0, put_ttl("b", "k", "v", 1000));
		EQ(0, put_ttl("b", "later", "v", 100000));
		wall += 999;
		EQ(0, store_tick(current, wall));
		is("b", "k", "v");
		EQ(2, count("b"));
		wall += 1;
		EQ(0, store_tick(current, wall));
		is("b", "k", NULL);
		EQ(1, count("b"));
		sync_all();
		wall -= 100000;
		stepped_back = true;
		EQ(0, store_tick(current, wall));
		is("b", "k", NULL);
		if (restart == 2)
			EQ(0, store_settle(current, 10000));
		if (restart)
			EQ(0, reopen());
		is("b", "k", NULL);
		is("b", "later", "v");
		EQ(1, count("b"));
		finish();
		stepped_back = false;
	}
}

static void expired_keys_are_swept_and_counted_exactly(void)
{
	struct store_stats st;
	char key[24];

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put_ttl("b", key, "v", i % 3 ? 1000 : 0));
		if (i == 1500)
			EQ(0, store_settle(current, 10000)); /* half of them in base's index */
	}
	wall += 2000;
	EQ(0, store_tick(current, wall));
	EQ(1000, count("b"));
	EQ(0, put("b", "key00001", "back"));
	EQ(1001, count("b"));
	for (int i = 0; i < 100; i++) {
		wall += 20;
		EQ(0, store_tick(current, wall));
		EQ(1001, count("b"));
	}
	store_stats(current, &st);
	EQ(1001, st.keys); /* swept, not only hidden */
	EQ(0, store_settle(current, 10000));
	EQ(0, reopen());
	EQ(1001, count("b"));
	is("b", "key00001", "back");
	finish();
}

static void a_dropped_bucket_is_gone_and_its_name_is_free(void)
{
	struct store_stats st;

	write_keys(2000);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	EQ(0, drop("b"));
	EQ(-ENXIO, count("b"));
	EQ(0, create("b"));
	EQ(0, count("b"));
	EQ(0, put("b", "key00001", "new"));
	EQ(0, reopen());
	EQ(1, count("b"));
	EQ(0, store_settle(current, 10000));
	for (int i = 0; i < 5000; i++) { /* the keys go in chunks behind it */
		(void)usleep(1000);
		EQ(0, store_tick(current, wall));
		store_stats(current, &st);
		if (st.base_bytes < 64 << 10)
			break;
	}
	TRUE_(st.base_bytes < 64 << 10);
	EQ(1, count("b"));
	is("b", "key00001", "new");
	is("b", "key00002", NULL);
	finish();
}

static void a_reply_must_wait_for_what_it_consulted(void)
{
	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	sync_all();
	EQ(0, put("b", "k", "v"));
	is("b", "k", "v");
	EQ(store_lsn(current), store_observed_lsn(current));
	is("b", "other", NULL);
	TRUE_(store_observed_lsn(current) <= store_synced(current));
	EQ(1, del("b", "k"));
	is("b", "k", NULL);
	EQ(store_lsn(current), store_observed_lsn(current)); /* the tombstone */
	EQ(0, count("b"));
	EQ(store_lsn(current), store_observed_lsn(current));
	EQ(0, drop("b"));
	EQ(-ENXIO, count("b"));
	EQ(store_lsn(current), store_observed_lsn(current)); /* the directory */
	finish();
}

/* Lives that write little, or nothing, leave files; they must not fill the log. */
static void many_short_lives_do_not_fill_the_log(void)
{
	char key[24];

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	for (int i = 0; i < 120; i++) {
		EQ(0, reopen());
		if (i % 3)
			continue;
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put("b", key, "v"));
		sync_all();
		store_freed(current, UINT64_MAX);
		for (int k = 0; k < 100; k++) {
			EQ(0, store_tick(current, wall));
			(void)usleep(store_pressure(current) > 40 ? 1000 : 0);
		}
	}
	EQ(40, count("b"));
	EQ(0, put("b", "last", "v"));
	TRUE_(store_pressure(current) < 100);
	finish();
}

UNIT_MAIN(T(many_short_lives_do_not_fill_the_log), T(it_does_what_a_model_does),
	  T(a_log_torn_at_every_byte_of_its_last_record),
	  T(damage_in_the_middle_is_an_error_that_names_the_place),
	  T(a_checkpoint_takes_no_rotten_bytes), T(a_missing_segment_is_an_error),
	  T(settled_segments_that_come_back_do_no_harm), T(a_folder_is_locked),
	  T(base_is_checked_when_read), T(a_clock_that_steps_back_brings_no_key_back),
	  T(expired_keys_are_swept_and_counted_exactly),
	  T(a_dropped_bucket_is_gone_and_its_name_is_free),
	  T(a_reply_must_wait_for_what_it_consulted))
