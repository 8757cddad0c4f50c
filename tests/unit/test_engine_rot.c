/*
 * What the engine must not take: rotten rows, bases of other formats and other partitions, and our
 * own mistakes.
 */
#include "tests/unit/lib/engine_fixture.h"

static uint64_t touched; /* bytes of the last value */

/* ---- rot ---- */

static int none_row(void *arg, struct span name, uint64_t id, uint64_t count)
{
	(void)arg;
	(void)name;
	(void)id;
	(void)count;
	return 0;
}

static int none_due(void *arg, const struct engine_due *d)
{
	(void)arg;
	(void)d;
	return 0;
}

/* One row of each kind, in partition 1 of 4. */

static void make_one_of_each(void)
{
	struct span name = name_of(1, 4, 0);

	fresh();
	EQ(0, open_for(4));
	EQ(0, engine_begin(e));
	EQ(0, engine_bucket_add(e, name, id_of(1, 2), 1, true));
	EQ(0, put_at(id_of(1, 2), "key", "value", 10, 100));
	EQ(0, engine_bucket_drop(e, name_of(1, 4, 1), id_of(1, 1)));
	EQ(0, engine_part_put(e, 1, &(struct engine_part){.settled = 10, .clock_ms = 0}));
	EQ(0, engine_commit(e, &(struct engine_meta){1, 2, 3}));
	engine_close(&e);
}

static int read_item(void)
{
	struct engine_cursor *c;
	struct engine_item item;
	int r = engine_get(e, id_of(1, 2), span_of("key"), &item);

	EQ(0, engine_cursor_open(e, id_of(1, 2), false, &c));
	EQ(r, engine_cursor_seek(c, span_of(""), &item));
	engine_cursor_close(&c);
	return r;
}

static int read_directory(void)
{
	return engine_buckets(e, none_row, NULL);
}

/* Wherever the row lies now, somebody who looks there sees it. */
static int read_due(void)
{
	static const struct engine_due first;
	uint32_t p;
	uint64_t at;
	int r = 0;

	for (p = 0; p < 4 && r == 0; p++)
		r = engine_due(e, p, &first, UINT64_MAX, none_due, NULL);
	if (r == 0)
		r = engine_due_partition(e, 0, &p, &at);
	return r;
}

static int read_drops(void)
{
	int r = engine_begin(e);

	EQ(0, r);
	r = engine_purge(e, 10);
	engine_abort(e);
	return r < 0 ? r : 0;
}

static void a_flipped_bit_of_any_row_is_found(void)
{
	/* What reads it; NULL: opening does.  From which bit on: a key of another bucket is
	 * another. */
	static const struct {
		const char *db;
		int (*read)(void);
		size_t key_bytes;
	} rows[] = {
		{"meta",      NULL,           4 },
                {"parts",     NULL,           0 },
                {"directory", read_directory, 0 },
		{"ttl",       read_due,       0 },
                {"keys",      read_item,      11},
                {"drops",     read_drops,     0 },
	};

	make_one_of_each();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct raw_row row;
		size_t bit = 8 * rows[i].key_bytes;

		do {
			row = rot(rows[i].db, bit);
			if (rows[i].read) {
				EQ(0, open_for(4));
				EQ(-EBADMSG, rows[i].read());
			} else {
				EQ(-EBADMSG, open_for(4));
				TRUE_(strstr(why, dir) && strstr(why, "damaged"));
			}
			unrot(rows[i].db, &row);
		} while (++bit < 8 * (row.key_size + row.value_size));
		EQ(0, open_for(4));
		if (rows[i].read)
			EQ(0, rows[i].read());
	}
	is(id_of(1, 2), "key", "value", 10, 100);
	engine_close(&e);
}

static void a_row_cut_short_is_found(void)
{
	static const struct {
		const char *db;
		int (*read)(void);
	} rows[] = {
		{"meta",      NULL          },
                {"parts",     NULL          },
                {"directory", read_directory},
		{"ttl",       read_due      },
                {"keys",      read_item     },
                {"drops",     read_drops    },
	};

	make_one_of_each();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct raw_row row;
		size_t size = 0;

		do {
			struct raw_row cut;

			raw_begin();
			row = raw_take(rows[i].db, 0);
			cut = row;
			cut.value_size = size;
			raw_give(rows[i].db, &cut);
			raw_end();
			EQ(rows[i].read ? 0 : -EBADMSG, open_for(4));
			if (rows[i].read)
				EQ(-EBADMSG, rows[i].read());
			unrot(rows[i].db, &row);
		} while (++size < row.value_size);
	}
	engine_close(&e);
}

static void a_rotten_item_gets_no_new_checksum(void)
{
	struct raw_row row;

	make_one_of_each();
	for (size_t bit = 8 * 11;; bit += 5) {
		row = rot("keys", bit);
		EQ(0, open_for(4));
		EQ(0, engine_begin(e));
		EQ(-EBADMSG, engine_touch(e, id_of(1, 2), span_of("key"), 20, 0, &touched));
		engine_abort(e);
		/* What replaces it needs to know its expiry, which stands in the head. */
		if (bit < 8 * (11 + 20)) {
			EQ(0, engine_begin(e));
			EQ(-EBADMSG, put_at(id_of(1, 2), "key", "new", 20, 0));
			engine_abort(e);
			EQ(0, engine_begin(e));
			EQ(-EBADMSG, engine_delete(e, id_of(1, 2), span_of("key")));
			engine_abort(e);
		}
		unrot("keys", &row);
		if (bit + 5 >= 8 * (row.key_size + row.value_size))
			break;
	}
	/* A rotten value may be replaced: nothing of it is kept. */
	(void)rot("keys", 8 * (11 + sizeof(struct item_head)));
	EQ(0, open_for(4));
	EQ(0, engine_begin(e));
	EQ(0, put_at(id_of(1, 2), "key", "new", 20, 0));
	EQ(0, commit_all(4));
	is(id_of(1, 2), "key", "new", 20, 0);
	TEXT("", due(1, UINT64_MAX));
	engine_close(&e);
}

static void a_rotten_item_does_not_keep_a_dropped_bucket(void)
{
	int n;

	make_one_of_each();
	(void)rot("keys", 8 * 11 + 3);
	EQ(0, open_for(4));
	EQ(0, engine_begin(e));
	EQ(0, engine_bucket_drop(e, name_of(1, 4, 0), id_of(1, 2)));
	do
		n = engine_purge(e, 10);
	while (n > 0);
	EQ(0, n);
	EQ(0, engine_commit(e, NULL));
	EQ(0, engine_renew(e));
	is_not(id_of(1, 2), "key");
	engine_close(&e);
}

/* A row with a right checksum in a place where it does not belong. */
static void directory_row_at(uint32_t partition, struct span name, uint64_t id)
{
	struct directory_row row = {id, 1, 0, 0};
	uint8_t key[64];

	put_be16(key, partition);
	memcpy(key + 2, name.p, name.n);
	row.crc = row_crc(key, 2 + name.n, &row, sizeof(row));
	raw_begin();
	raw_put("directory", key, 2 + name.n, &row, sizeof(row));
	raw_end();
}

static void a_bucket_in_another_partition_than_its_names_is_damage(void)
{
	fresh();
	EQ(0, open_for(4));
	directory_row_at(1, name_of(1, 4, 3), id_of(1, 9));
	EQ(0, open_for(4));
	TEXT("1.9=1 ", buckets());

	directory_row_at(1, name_of(2, 4, 3), id_of(1, 9));
	EQ(0, open_for(4));
	EQ(-EBADMSG, read_directory());

	fresh();
	EQ(0, open_for(4));
	directory_row_at(2, name_of(2, 4, 3), id_of(1, 9));
	EQ(0, open_for(4));
	EQ(-EBADMSG, read_directory());

	fresh();
	EQ(0, open_for(4));
	directory_row_at(2, name_of(1, 4, 3), id_of(1, 9));
	EQ(0, open_for(4));
	EQ(-EBADMSG, read_directory());

	fresh();
	EQ(0, open_for(4));
	directory_row_at(9, name_of(9, 16, 3), id_of(9, 9)); /* one that there is not */
	EQ(0, open_for(4));
	EQ(-EBADMSG, read_directory());
	engine_close(&e);
}

/* ---- what is not for us ---- */

/* A base as format 1 had it: bucket ids without partitions, a directory by name. */
static void make_format_1(bool checkpointed)
{
	static const char *const names[] = {"meta", "dir", "keys", "ttl", "drops"};
	struct {
		uint32_t format;
		uint32_t crc;
		uint64_t settled;
		uint64_t clock_ms;
		uint64_t epoch_min;
	} meta = {1, 0, 10, 1000, 1};
	const uint64_t row[2] = {1, 1};
	uint64_t item[4] = {10, 0, 0, 0}; /* version, expiry, checksum, value */
	uint8_t key[9] = {0, 0, 0, 0, 0, 0, 0, 1, 'k'};

	raw_begin();
	for (unsigned i = 0; i < 5; i++)
		(void)raw_db(names[i], MDB_CREATE);
	meta.crc = crc32c(meta.format, &meta.settled, 24);
	if (checkpointed) {
		raw_put("meta", "base", 4, &meta, sizeof(meta));
		raw_put("dir", "b", 1, row, sizeof(row));
		raw_put("keys", key, sizeof(key), item, sizeof(item));
	}
	raw_end();
}

static void a_base_of_before_is_refused_and_left_as_it_is(void)
{
	for (int checkpointed = 0; checkpointed < 2; checkpointed++) {
		MDB_dbi dbi;

		fresh();
		make_format_1(checkpointed);
		EQ(-EPROTO, open_for(checkpointed ? 256 : 1));
		TRUE_(strstr(why, dir));
		TRUE_(strstr(why, "older version"));
		TRUE_(strstr(why, "`pail export`"));
		TRUE_(strstr(why, "`pail import`"));
		raw_begin();
		EQ(MDB_NOTFOUND, mdb_dbi_open(raw, "directory", 0, &dbi));
		EQ(MDB_NOTFOUND, mdb_dbi_open(raw, "parts", 0, &dbi));
		EQ(0, mdb_dbi_open(raw, "dir", 0, &dbi));
		raw_end();
	}
}

/* A whole meta row, with a bit more in it, of another format. */
static void make_format(uint32_t format)
{
	struct raw_row row;
	uint32_t crc;

	fresh();
	EQ(0, open_for(2));
	raw_begin();
	row = raw_take("meta", 0);
	memset(row.value + row.value_size, 7, 8);
	row.value_size += 8;
	memcpy(row.value, &format, 4);
	crc = meta_crc(format, row.value, row.value_size);
	memcpy(row.value + 4, &crc, 4);
	raw_give("meta", &row);
	raw_end();
}

static void another_formats_base_is_refused(void)
{
	make_format(BASE_FORMAT - 1);
	EQ(-EPROTO, open_for(2));
	TRUE_(strstr(why, dir) && strstr(why, "older version"));
	make_format(BASE_FORMAT);
	EQ(-EBADMSG, open_for(2));
	make_format(BASE_FORMAT + 1);
	EQ(-EPROTO, open_for(2));
	TRUE_(strstr(why, dir) && strstr(why, "newer version") && strstr(why, "format 3"));
}

/* A right checksum, and a part that this version does not know. */
static void part_row_with_more(void)
{
	const uint8_t key[] = {0, 1};
	struct part_row row = {5, 0, 2, 0};

	row.crc = row_crc(key, sizeof(key), &row, sizeof(row));
	raw_begin();
	raw_put("parts", key, sizeof(key), &row, sizeof(row));
	raw_end();
}

static void rows_that_nobody_writes_yet_are_refused(void)
{
	fresh();
	EQ(0, open_for(2));
	raw_begin();
	raw_put("tail", "key", 3, "row", 3);
	raw_end();
	EQ(-EBADMSG, open_for(2));
	TRUE_(strstr(why, dir) && strstr(why, "a row of tail"));
	raw_begin();
	(void)raw_take("tail", 0);
	raw_end();
	EQ(0, open_for(2));
	engine_close(&e);
	fresh();
	EQ(0, open_for(2));
	part_row_with_more();
	EQ(-EPROTO, open_for(2));
	TRUE_(strstr(why, dir) && strstr(why, "newer version") && strstr(why, "rows of parts"));
}

static void another_number_of_partitions_is_refused(void)
{
	for (unsigned i = 0; i < SIZES; i++) {
		fresh();
		EQ(0, open_for(sizes[i]));
		for (unsigned k = 0; k < SIZES; k++) {
			char text[64];

			EQ(k == i ? 0 : -EPROTO, open_for(sizes[k]));
			if (k == i)
				continue;
			(void)snprintf(text, sizeof(text), "made with %u partitions, not %u",
				       sizes[i], sizes[k]);
			TRUE_(strstr(why, text));
			TRUE_(strstr(why, dir));
		}
		engine_close(&e);
	}
}

static void an_environment_of_others_is_refused(void)
{
	MDB_dbi dbi;

	fresh();
	raw_begin();
	raw_put("strange", "key", 3, "row", 3);
	raw_end();
	EQ(-EBADMSG, open_for(2));
	TRUE_(strstr(why, dir));
	/* One of ours that lacks a part. */
	fresh();
	EQ(0, open_for(2));
	raw_begin();
	dbi = raw_db("ttl", 0);
	EQ(0, mdb_drop(raw, dbi, 1));
	raw_end();
	EQ(-EBADMSG, open_for(2));
	TRUE_(strstr(why, dir));
}

/* ---- mistakes of ours ---- */

/* Does this end in a failed check? */
static bool dies(void (*f)(void))
{
	int status;
	pid_t pid;

	fresh();
	pid = fork();
	if (pid == 0) {
		(void)fclose(stderr);
		if (open_for(4) == 0 && engine_begin(e) == 0)
			f();
		_exit(0);
	}
	EQ(pid, waitpid(pid, &status, 0));
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void put_5_in_1(void)
{
	(void)put_at(id_of(1, 1), "k", "v", 5, 0);
}

static void commit_unsettled(void)
{
	put_5_in_1();
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 4, .clock_ms = 0});
	(void)engine_part_put(e, 0,
			      &(struct engine_part){.settled = 100000,
						    .clock_ms = 0}); /* another's does not count */
	(void)engine_commit(e, &(struct engine_meta){9, 0, 0});
}

static void commit_settled(void)
{
	put_5_in_1();
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 5, .clock_ms = 0});
	(void)engine_commit(e, &(struct engine_meta){9, 0, 0});
}

static void commit_a_touch_unsettled(void)
{
	commit_settled();
	(void)engine_begin(e);
	(void)engine_touch(e, id_of(1, 1), span_of("k"), 6, 0, &touched);
	(void)engine_commit(e, NULL); /* in a first transaction, unseen in the last */
	(void)engine_begin(e);
	(void)engine_commit(e, &(struct engine_meta){10, 0, 0});
}

static void commit_a_bucket_unsettled(void)
{
	(void)engine_bucket_add(e, name_of(1, 4, 0), id_of(1, 7), 0, true);
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 6, .clock_ms = 0});
	(void)engine_commit(e, &(struct engine_meta){9, 0, 0});
}

static void part_goes_back(void)
{
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 5, .clock_ms = 0});
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 4, .clock_ms = 0});
}

static void parts_clock_goes_back(void)
{
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 5, .clock_ms = 3});
	(void)engine_part_put(e, 1, &(struct engine_part){.settled = 5, .clock_ms = 2});
}

static void lsn_goes_back(void)
{
	(void)engine_commit(e, &(struct engine_meta){9, 0, 0});
	(void)engine_begin(e);
	(void)engine_commit(e, &(struct engine_meta){8, 0, 0});
}

static void partition_that_is_not(void)
{
	(void)put_at(id_of(8, 1), "k", "v", 5, 0);
}

static void part_that_is_not(void)
{
	(void)engine_part_put(e, 8, &(struct engine_part){.settled = 5, .clock_ms = 3});
}

static void name_of_another_partition(void)
{
	(void)engine_bucket_add(e, name_of(2, 4, 0), id_of(1, 7), 0, true);
}

static void count_below_nothing(void)
{
	(void)engine_bucket_add(e, name_of(1, 4, 0), id_of(1, 7), 1, true);
	(void)engine_bucket_add(e, name_of(1, 4, 0), id_of(1, 7), -2, false);
}

static void version_of_nothing(void)
{
	(void)put_at(id_of(1, 1), "k", "v", 0, 0);
}

static void touch_goes_back(void)
{
	put_5_in_1();
	(void)engine_touch(e, id_of(1, 1), span_of("k"), 4, 0, &touched);
}

static void what_cannot_be_ends_in_a_check(void)
{
	TRUE_(!dies(put_5_in_1));
	TRUE_(!dies(commit_settled));
	TRUE_(dies(commit_unsettled));
	TRUE_(dies(commit_a_touch_unsettled));
	TRUE_(dies(commit_a_bucket_unsettled));
	TRUE_(dies(part_goes_back));
	TRUE_(dies(parts_clock_goes_back));
	TRUE_(dies(lsn_goes_back));
	TRUE_(dies(partition_that_is_not));
	TRUE_(dies(part_that_is_not));
	TRUE_(dies(name_of_another_partition));
	TRUE_(dies(count_below_nothing));
	TRUE_(dies(version_of_nothing));
	TRUE_(dies(touch_goes_back));
}

UNIT_MAIN(T(a_flipped_bit_of_any_row_is_found), T(a_row_cut_short_is_found),
	  T(a_rotten_item_gets_no_new_checksum), T(a_rotten_item_does_not_keep_a_dropped_bucket),
	  T(a_bucket_in_another_partition_than_its_names_is_damage),
	  T(a_base_of_before_is_refused_and_left_as_it_is), T(another_formats_base_is_refused),
	  T(rows_that_nobody_writes_yet_are_refused), T(another_number_of_partitions_is_refused),
	  T(an_environment_of_others_is_refused), T(what_cannot_be_ends_in_a_check))
