/*
 * An engine to be tested over a real LMDB: opened in a fresh folder, its operations in their
 * shortest form, and LMDB by hand, which knows no engine, to tamper with rows.  Included by the
 * engine's test programs.
 */
#ifndef PAIL_ENGINE_FIXTURE_H
#define PAIL_ENGINE_FIXTURE_H

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/partition.h"
#include "storage/base_format.h"
#include "storage/engine.h"
#include "tests/unit/lib/unit.h"

#define MAP (256u << 20)

__attribute__((unused)) static const uint32_t sizes[] = {1, 2, 256, 4096};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct engine *e;
static char dir[256];
static char why[256];
static unsigned dirs;

__attribute__((unused)) static void fresh(void)
{
	(void)snprintf(dir, sizeof(dir), "%s/engine-%u", unit_folder(), dirs++);
	EQ(0, mkdir(dir, 0750));
}

__attribute__((unused)) static int open_for(uint32_t partitions)
{
	engine_close(&e);
	return engine_open(dir, MAP, partitions, &e, why, sizeof(why));
}

__attribute__((unused)) static uint64_t id_of(uint32_t partition, uint64_t seq)
{
	return (uint64_t)partition << PARTITION_SHIFT | seq;
}

/* The n-th name that belongs to a partition. */
__attribute__((unused)) static struct span name_of(uint32_t partition, uint32_t partitions,
						   unsigned n)
{
	static char text[4][32];
	static unsigned turn;
	char *name = text[turn++ % 4];

	for (unsigned i = 0;; i++) {
		(void)snprintf(name, sizeof(text[0]), "bucket%u", i);
		if (partition_of(span_of(name), partitions) == partition && !n--)
			return span_of(name);
	}
}

__attribute__((unused)) static int put_at(uint64_t bucket, const char *key, const char *value,
					  uint64_t version, uint64_t expiry)
{
	const struct engine_item item = {span_of(key), span_of(value), version, expiry};

	return engine_put(e, bucket, &item);
}

/* Settle these partitions up to a sequence that is above all that tests use, and commit. */
__attribute__((unused)) static int commit_all(uint32_t partitions)
{
	struct engine_meta meta;
	const struct engine_part part = {.settled = 1u << 30};
	int r = 0;

	for (uint32_t p = 0; p < partitions && r == 0; p++)
		r = engine_part_put(e, p, &part);
	EQ(0, r);
	engine_meta(e, &meta);
	meta.settled_lsn++;
	r = engine_commit(e, &meta);
	return r < 0 ? r : engine_renew(e);
}

__attribute__((unused)) static void is(uint64_t bucket, const char *key, const char *value,
				       uint64_t version, uint64_t expiry)
{
	struct engine_item item;

	EQ(0, engine_get(e, bucket, span_of(key), &item));
	EQ(version, item.version);
	EQ(expiry, item.expiry);
	TRUE_(span_equal(span_of(value), item.value));
	TRUE_(span_equal(span_of(key), item.key));
}

__attribute__((unused)) static void is_not(uint64_t bucket, const char *key)
{
	struct engine_item item;

	EQ(-ENOENT, engine_get(e, bucket, span_of(key), &item));
}

/* What engine_due says of a partition, as "bucket's sequence:key@expiry " one after another. */
static char due_text[4096];

__attribute__((unused)) static int due_row(void *arg, const struct engine_due *d)
{
	size_t n = strlen(due_text);

	EQ(*(uint32_t *)arg, d->bucket >> PARTITION_SHIFT);
	(void)snprintf(due_text + n, sizeof(due_text) - n, "%llu:%.*s@%llu=%llu ",
		       (unsigned long long)(d->bucket & ((1ull << PARTITION_SHIFT) - 1)),
		       (int)d->key.n, d->key.p, (unsigned long long)d->expiry,
		       (unsigned long long)d->version);
	return 0;
}

__attribute__((unused)) static const char *due_from(uint32_t partition,
						    const struct engine_due *from, uint64_t now)
{
	due_text[0] = '\0';
	EQ(0, engine_due(e, partition, from, now, due_row, &partition));
	return due_text;
}

__attribute__((unused)) static const char *due(uint32_t partition, uint64_t now)
{
	static const struct engine_due first;

	return due_from(partition, &first, now);
}

#define TEXT(want, got)                                         \
	do {                                                    \
		const char *t_ = (got);                         \
		if (strcmp((want), t_) != 0)                    \
			printf("want %s\ngot  %s\n", want, t_); \
		EQ(0, strcmp((want), t_));                      \
	} while (0)

/* ---- LMDB by hand ---- */

static MDB_env *raw_env;
static MDB_txn *raw;

__attribute__((unused)) static void raw_begin(void)
{
	engine_close(&e);
	EQ(0, mdb_env_create(&raw_env));
	EQ(0, mdb_env_set_mapsize(raw_env, MAP));
	EQ(0, mdb_env_set_maxdbs(raw_env, 16));
	EQ(0, mdb_env_open(raw_env, dir, MDB_NOSYNC, 0640));
	EQ(0, mdb_txn_begin(raw_env, NULL, 0, &raw));
}

__attribute__((unused)) static void raw_end(void)
{
	EQ(0, mdb_txn_commit(raw));
	mdb_env_close(raw_env);
}

__attribute__((unused)) static MDB_dbi raw_db(const char *name, unsigned flags)
{
	MDB_dbi dbi;

	EQ(0, mdb_dbi_open(raw, name, flags, &dbi));
	return dbi;
}

__attribute__((unused)) static void raw_put(const char *db, const void *key, size_t key_size,
					    const void *value, size_t value_size)
{
	MDB_val k = {key_size, (void *)(uintptr_t)key};
	MDB_val v = {value_size, (void *)(uintptr_t)value};

	EQ(0, mdb_put(raw, raw_db(db, MDB_CREATE), &k, &v, 0));
}

struct raw_row {
	size_t key_size;
	size_t value_size;
	uint8_t key[512];
	uint8_t value[512];
};

/* Take out the n-th row of a sub-database. */
__attribute__((unused)) static struct raw_row raw_take(const char *db, unsigned n)
{
	struct raw_row row;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;

	EQ(0, mdb_cursor_open(raw, raw_db(db, 0), &c));
	do
		EQ(0, mdb_cursor_get(c, &k, &v, MDB_NEXT));
	while (n--);
	TRUE_(k.mv_size <= sizeof(row.key) && v.mv_size <= sizeof(row.value));
	row.key_size = k.mv_size;
	row.value_size = v.mv_size;
	memcpy(row.key, k.mv_data, k.mv_size);
	memcpy(row.value, v.mv_data, v.mv_size);
	EQ(0, mdb_cursor_del(c, 0));
	mdb_cursor_close(c);
	return row;
}

__attribute__((unused)) static void raw_give(const char *db, const struct raw_row *row)
{
	raw_put(db, row->key, row->key_size, row->value, row->value_size);
}

/* A bit of the only row of a sub-database is another: of its key, or behind that of its value. */
__attribute__((unused)) static struct raw_row rot(const char *db, size_t bit)
{
	struct raw_row row;
	struct raw_row bad;
	size_t at = bit / 8;

	raw_begin();
	row = raw_take(db, 0);
	bad = row;
	if (at < row.key_size)
		bad.key[at] ^= (uint8_t)(1u << bit % 8);
	else
		bad.value[at - row.key_size] ^= (uint8_t)(1u << bit % 8);
	raw_give(db, &bad);
	raw_end();
	return row;
}

__attribute__((unused)) static void unrot(const char *db, const struct raw_row *row)
{
	raw_begin();
	(void)raw_take(db, 0);
	raw_give(db, row);
	raw_end();
}

/* ---- buckets ---- */

static char buckets_text[4096];

__attribute__((unused)) static int bucket_text(void *arg, struct span name, uint64_t id,
					       uint64_t count)
{
	size_t n = strlen(buckets_text);

	(void)arg;
	(void)name;
	(void)snprintf(buckets_text + n, sizeof(buckets_text) - n, "%llu.%llu=%llu ",
		       (unsigned long long)(id >> PARTITION_SHIFT),
		       (unsigned long long)(id & ((1ull << PARTITION_SHIFT) - 1)),
		       (unsigned long long)count);
	return 0;
}

__attribute__((unused)) static const char *buckets(void)
{
	buckets_text[0] = '\0';
	EQ(0, engine_buckets(e, bucket_text, NULL));
	return buckets_text;
}

#endif
