/*
 * A store to be tested: opened in a fresh folder, with the time that the tests say it is, and the
 * operations in their shortest form.  Included by the store's test programs.
 */
#ifndef PAIL_STORE_FIXTURE_H
#define PAIL_STORE_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/partition.h"
#include "storage/pace.h"
#include "storage/store.h"
#include "tests/unit/lib/unit.h"

static char dir[256];
static unsigned dirs;
static uint64_t wall;     /* what the tests say the time is */
static bool stepped_back; /* and it shall stay so over a restart */
static char why[256];
static uint64_t cache_bytes = 1 << 20;
static uint64_t group_max; /* 0: as a put */
static uint32_t partitions = PARTITIONS_DEFAULT;

/*
 * What has passed is what the tests say, in the boot that they say.  The store looks at the clock
 * by itself too, when it opens and while it settles: it sees `wall`, or this if a test sets it, and
 * the system's clock as long as both are 0.
 */
static uint64_t wall_at_open;
static uint64_t boot = 1000;
static uint8_t boots = 1;

static uint64_t wall_now(void)
{
	if (wall_at_open)
		return wall_at_open;
	return wall ? wall : clock_wall_ms();
}

static uint64_t boot_now(void)
{
	return boot;
}

static void boot_which(uint8_t ret[CLOCK_BOOT_ID_BYTES])
{
	memset(ret, boots, CLOCK_BOOT_ID_BYTES);
}

__attribute__((unused)) static void on_synced(void *arg, uint64_t mark, uint64_t lsn)
{
	(void)arg;
	(void)mark;
	(void)lsn;
}

static struct store *current;

__attribute__((unused)) static void on_wait(void *arg)
{
	(void)arg;
	store_submit(current, 0);
}

__attribute__((unused)) static struct store_config config(void)
{
	struct store_config c;

	static const struct pace_source source = {wall_now, boot_now, boot_which};

	memset(&c, 0, sizeof(c));
	c.source = &source;
	c.dir = dir;
	c.cache_bytes = cache_bytes;
	c.log_bytes = 32 << 20;
	c.log_segment_bytes = 1 << 20;
	c.map_bytes = 64 << 20;
	c.value_max = 64 << 10;
	c.group_max = group_max;
	c.buckets_max = 1000;
	c.partitions = partitions;
	c.checkpoint_ms = 1000000;
	c.on_synced = on_synced;
	c.on_wait = on_wait;
	return c;
}

__attribute__((unused)) static void fresh(void)
{
	(void)snprintf(dir, sizeof(dir), "%s/store-%u", unit_folder(), dirs++);
	wall = 0;
}

__attribute__((unused)) static int reopen(void)
{
	struct store_config c = config();
	int r;

	if (current)
		store_close(&current);
	r = store_open(&c, &current, why, sizeof(why));
	if (r == 0 && (!wall || (!stepped_back && wall < store_clock(current))))
		wall = store_clock(current);
	if (r == 0)
		(void)store_tick(current, wall);
	return r;
}

__attribute__((unused)) static void finish(void)
{
	store_close(&current);
}

/* Everything appended is on disk. */
__attribute__((unused)) static void sync_all(void)
{
	store_submit(current, store_lsn(current));
	while (store_synced(current) < store_lsn(current))
		(void)usleep(100);
}

__attribute__((unused)) static int put_ttl(const char *bucket, const char *key, const char *value,
					   uint64_t ttl)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_put(current, &k, span_of(value), ttl, &always, &version);
}

__attribute__((unused)) static int put(const char *bucket, const char *key, const char *value)
{
	return put_ttl(bucket, key, value, 0);
}

__attribute__((unused)) static int create(const char *bucket)
{
	bool created;

	store_begin(current, 0);
	return store_create(current, span_of(bucket), &created);
}

__attribute__((unused)) static int drop(const char *bucket)
{
	bool dropped;

	store_begin(current, 0);
	return store_drop(current, span_of(bucket), &dropped);
}

__attribute__((unused)) static int del(const char *bucket, const char *key)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;
	bool deleted = false;
	int r;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	r = store_delete(current, &k, &always, &deleted, &version);
	return r < 0 ? r : deleted;
}

/* The value of a key as a string, or NULL. */
__attribute__((unused)) static const char *get(const char *bucket, const char *key)
{
	static char value[1024];
	struct store_item item;
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	if (store_get(current, &k, &item) < 0)
		return NULL;
	memcpy(value, item.value.p, item.value.n);
	value[item.value.n] = '\0';
	return value;
}

__attribute__((unused)) static long long count(const char *bucket)
{
	struct store_key k;
	uint64_t n;
	int r;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), (struct span){NULL, 0}, &k);
	r = store_count(current, &k, &n);
	return r < 0 ? r : (long long)n;
}

__attribute__((unused)) static void is(const char *bucket, const char *key, const char *want)
{
	const char *v = get(bucket, key);

	EQ(want != NULL, v != NULL);
	if (want)
		EQ(0, strcmp(want, v));
}

/* Write n keys, sync, and close without a checkpoint. */
__attribute__((unused)) static void write_keys(int n)
{
	char key[24];

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put("b", key, "value"));
	}
	sync_all();
	finish();
}

#endif
