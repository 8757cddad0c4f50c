/*
 * A store of many buckets in many partitions through many lives: each is a process of its own that
 * opens the store (or follows the one that serves and takes over), does what a model does, one by one
 * and in groups, and is closed, killed in the middle of a checkpoint, or handed over.  The model lies in memory that all
 * of them share.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/fault.h"
#include "tests/unit/lib/store_fixture.h"

#define GROUPED UINT64_MAX /* the lsn of what a group writes: it is not known yet */

enum { BUCKETS = 20, KEYS = 24, LIVES = 8, STEPS = 1200, GENERATION = 7, LIMIT_MS = 20000 };

enum end { CLOSED, KILLED, HANDED_OVER, ENDS };
enum stage { SERVES, HELD, FOLLOWED, RELEASED };

struct model_key {
	uint64_t version; /* 0: not there */
	uint64_t expiry;
	uint64_t lsn; /* of its last change, a delete too */
	uint32_t number;
	uint32_t length;
};

struct model_bucket {
	char name[24];
	bool there;
	struct model_key key[KEYS];
};

/* What all lives share. */
static struct world {
	struct model_bucket bucket[BUCKETS];
	uint64_t newest[PARTITIONS_MAX]; /* version given in each partition */
	uint64_t random;
	uint64_t wall;
	uint32_t numbers; /* of values */
	unsigned step;
	_Atomic enum stage stage;
	_Atomic uint64_t synced;
} * world;

/* In a life there is no test to be failed: say where, and end. */
static void must_fail(const char *what, int line)
{
	printf("# %s:%d: in step %u: %s\n", __FILE__, line, world->step, what);
	(void)fflush(stdout);
	_exit(1);
}

#define MUST(e) ((e) ? (void)0 : must_fail(#e, __LINE__))

static uint64_t below(uint64_t n)
{
	return unit_random(&world->random) % n;
}

static uint32_t partition_in(const struct model_bucket *b)
{
	return partition_of(span_of(b->name), partitions);
}

static char *key_name(unsigned i)
{
	static char text[8];

	(void)snprintf(text, sizeof(text), "k%02u", i);
	return text;
}

static struct span value_of(const struct model_key *k)
{
	static char bytes[6000];

	memset(bytes, (int)('a' + k->number % 26), k->length);
	if (k->length >= sizeof(k->number))
		memcpy(bytes, &k->number, sizeof(k->number));
	return (struct span){bytes, k->length};
}

static bool lives(const struct model_key *k)
{
	return k->version && (!k->expiry || k->expiry > store_clock(current));
}

static void locate(const struct model_bucket *b, const char *key, struct store_key *ret)
{
	store_begin(current, 0);
	store_locate(current, span_of(b->name), key ? span_of(key) : (struct span){NULL, 0}, ret);
}

/* Whoever is told of this waits for it, unless it is on disk. */
static void waits_for(uint64_t lsn)
{
	if (lsn == GROUPED)
		return;
	MUST(store_observed_lsn(current) >= lsn || store_synced(current) >= lsn);
}

static void compare_all(void);

/* ---- one step; in a group, of the model as it will be ---- */

static bool grouped;
static bool exact; /* the group has told a version: it takes those that follow */

static void wrote(struct model_bucket *b, struct model_key *k, uint64_t version)
{
	uint64_t *newest = &world->newest[partition_in(b)];

	MUST(exact ? version == *newest + 1 : version > *newest);
	*newest = version;
	if (grouped) {
		k->lsn = GROUPED;
		return;
	}
	k->lsn = store_lsn(current);
	waits_for(k->lsn);
}

static void step_put(struct model_bucket *b, unsigned i)
{
	struct model_key *k = &b->key[i];
	struct model_key new = {0, 0, 0, ++world->numbers, (uint32_t)below(200)};
	struct store_condition c = {below(10) == 0, false, 0};
	uint64_t ttl = below(3) ? 0 : 1 + below(3000);
	uint64_t have = lives(k) ? k->version : 0;
	struct store_key at;
	uint64_t version = 0;
	int r;

	if (below(40) == 0)
		new.length = 3000 + (uint32_t)below(3000);
	if (!c.if_absent && below(8) == 0) {
		c.if_version = true;
		c.version = below(2) ? have : have + 1;
	}
	if (grouped) {
		r = group_put(current, span_of(key_name(i)), value_of(&new), ttl, &c, &version);
	} else {
		locate(b, key_name(i), &at);
		r = store_put(current, &at, value_of(&new), ttl, &c, &version);
	}
	if (!b->there) {
		MUST(r == -ENXIO);
	} else if ((c.if_absent && have) || (c.if_version && c.version != have)) {
		MUST(r == -EEXIST && version == have);
		waits_for(k->lsn);
	} else {
		MUST(r == 0);
		new.version = version;
		new.expiry = ttl ? store_clock(current) + ttl : 0;
		*k = new;
		wrote(b, k, version);
		exact = grouped;
	}
}

static void step_delete(struct model_bucket *b, unsigned i)
{
	static const struct store_condition always = {false, false, 0};
	struct model_key *k = &b->key[i];
	struct store_key at;
	uint64_t version = 0;
	bool deleted = false;
	int r;

	if (grouped) {
		r = group_delete(current, span_of(key_name(i)), &always, &deleted, &version);
	} else {
		locate(b, key_name(i), &at);
		r = store_delete(current, &at, &always, &deleted, &version);
	}
	MUST(r == (b->there ? 0 : -ENXIO));
	if (r < 0)
		return;
	MUST(deleted == lives(k));
	waits_for(k->lsn);
	if (!deleted)
		return;
	k->version = 0;
	wrote(b, k, world->newest[partition_in(b)] + 1);
}

static void step_touch(struct model_bucket *b, unsigned i)
{
	static const struct store_condition always = {false, false, 0};
	struct model_key *k = &b->key[i];
	uint64_t ttl = below(2) ? 0 : 1 + below(3000);
	struct store_key at;
	uint64_t version = 0;
	int r;

	if (grouped) {
		r = group_touch(current, span_of(key_name(i)), ttl, &always, &version);
	} else {
		locate(b, key_name(i), &at);
		r = store_touch(current, &at, ttl, &always, &version);
	}
	MUST(r == (!b->there ? -ENXIO : lives(k) ? 0 : -ENOENT));
	if (b->there)
		waits_for(k->lsn);
	if (r < 0)
		return;
	k->version = version;
	k->expiry = ttl ? store_clock(current) + ttl : 0;
	wrote(b, k, version);
	exact = grouped;
}

static void step_get(struct model_bucket *b, unsigned i)
{
	const struct model_key *k = &b->key[i];
	struct store_item item;
	struct store_key at;
	int r;

	if (grouped) {
		r = group_get(current, span_of(key_name(i)), &item);
	} else {
		locate(b, key_name(i), &at);
		r = store_get(current, &at, &item);
	}
	MUST(r == (!b->there ? -ENXIO : lives(k) ? 0 : -ENOENT));
	if (b->there)
		waits_for(k->lsn);
	if (r < 0)
		return;
	MUST(item.version == k->version);
	MUST(span_equal(item.value, value_of(k)));
	MUST(item.ttl_ms == (k->expiry ? k->expiry - store_clock(current) : 0));
}

struct seen {
	const struct model_bucket *b;
	int at; /* where the next may be */
	bool reverse;
};

static int seen_skip(struct seen *s)
{
	while (s->at >= 0 && s->at < KEYS && !lives(&s->b->key[s->at]))
		s->at += s->reverse ? -1 : 1;
	return s->at;
}

static bool seen_item(void *arg, const struct store_item *item)
{
	struct seen *s = arg;
	int i = seen_skip(s);

	MUST(i >= 0 && i < KEYS);
	MUST(span_equal(item->key, span_of(key_name((unsigned)i))));
	MUST(item->version == s->b->key[i].version);
	MUST(span_equal(item->value, value_of(&s->b->key[i])));
	s->at += s->reverse ? -1 : 1;
	return true;
}

static void step_scan(struct model_bucket *b, bool reverse)
{
	struct store_range range = {
		.prefix = {"", 0},
                  .from = {"", 0},
                  .reverse = reverse
        };
	struct seen s = {b, reverse ? KEYS - 1 : 0, reverse};
	struct store_key at;
	int r;

	if (grouped) {
		r = group_scan(current, &range, seen_item, &s);
	} else {
		locate(b, NULL, &at);
		r = store_scan(current, &at, &range, seen_item, &s);
	}
	MUST(r == (b->there ? 0 : -ENXIO));
	if (r == 0)
		MUST(seen_skip(&s) == (reverse ? -1 : KEYS));
	for (unsigned i = 0; i < KEYS && r == 0; i++)
		waits_for(b->key[i].lsn);
}

static void step_count(struct model_bucket *b)
{
	struct store_key at;
	uint64_t want = 0;
	uint64_t got = 0;
	int r;

	for (unsigned i = 0; i < KEYS; i++)
		want += lives(&b->key[i]);
	if (grouped) {
		r = group_count(current, &got);
	} else {
		locate(b, NULL, &at);
		r = store_count(current, &at, &got);
	}
	MUST(r == (b->there ? 0 : -ENXIO));
	MUST(r < 0 || got == want);
	for (unsigned i = 0; i < KEYS && r == 0; i++)
		waits_for(b->key[i].lsn);
}

static void step_create(struct model_bucket *b)
{
	bool created = false;

	store_begin(current, 0);
	MUST(store_create(current, span_of(b->name), &created) == 0);
	MUST(created == !b->there);
	if (created) {
		memset(b->key, 0, sizeof(b->key));
		world->newest[partition_in(b)]++;
		waits_for(store_lsn(current));
	}
	b->there = true;
}

static void step_drop(struct model_bucket *b)
{
	bool dropped = false;

	store_begin(current, 0);
	MUST(store_drop(current, span_of(b->name), &dropped) == 0);
	MUST(dropped == b->there);
	if (dropped) {
		world->newest[partition_in(b)]++;
		waits_for(store_lsn(current));
	}
	b->there = false;
	memset(b->key, 0, sizeof(b->key));
}

static void group_step(struct model_bucket *b)
{
	unsigned i = (unsigned)below(KEYS);

	switch (below(12)) {
	case 0:
		step_scan(b, below(2));
		break;
	case 1:
		step_count(b);
		break;
	case 2:
	case 3:
		step_get(b, i);
		break;
	case 4:
	case 5:
		step_delete(b, i);
		break;
	case 6:
	case 7:
		step_touch(b, i);
		break;
	default:
		step_put(b, i);
	}
}

static void group_create_step(struct model_bucket *b)
{
	bool created = false;

	MUST(group_create(current, &created) == 0);
	MUST(created == !b->there);
	if (!created)
		return;
	memset(b->key, 0, sizeof(b->key));
	b->there = true;
	world->newest[partition_in(b)]++;
}

/* All of it, or nothing: then the model is as it was. */
static void step_group(struct model_bucket *b)
{
	static struct model_bucket before;
	uint64_t newest = world->newest[partition_in(b)];
	uint64_t lsn;
	bool commit = below(4);
	struct store_key at;
	uint32_t changes;

	before = *b;
	locate(b, NULL, &at);
	MUST(group_begin(current, &at) == 0);
	MUST(group_exists(current) == b->there);
	grouped = true;
	if (!b->there && below(2))
		group_create_step(b);
	for (uint64_t n = below(below(6) ? 8 : 80); n--;)
		group_step(b);
	changes = group_changes(current);
	MUST(world->newest[partition_in(b)] >= newest + changes);
	lsn = store_lsn(current);
	if (commit)
		MUST(group_commit(current, span_of("result")) == 0);
	else
		group_abort(current);
	grouped = false;
	exact = false;
	MUST(store_lsn(current) == lsn + (commit && changes));
	if (commit) {
		for (unsigned i = 0; i < KEYS; i++)
			if (b->key[i].lsn == GROUPED)
				b->key[i].lsn = lsn + 1;
		if (changes)
			waits_for(lsn + 1);
	} else {
		*b = before;
		world->newest[partition_in(b)] = newest;
	}
}

static void tick(uint64_t passed)
{
	world->wall += passed;
	wall = world->wall;
	wall_at_open = wall;
	store_submit(current, 0);
	MUST(store_tick(current, wall) == 0);
}

/* A checkpoint fails at its first or second commit, and is done again. */
static void step_fail(void)
{
	int r;

	fault_set(below(2) ? "base.commit=ENOSPC" : "base.commit=ENOSPC@2", 0);
	r = store_settle(current, LIMIT_MS);
	MUST(r == 0 || r == -ENOSPC);
	fault_set(NULL, 0);
	compare_all();
	MUST(store_settle(current, LIMIT_MS) == 0);
}

static void step_rare(struct model_bucket *b)
{
	switch (below(8)) {
	case 0:
	case 1:
		step_create(b);
		break;
	case 2:
		if (below(2))
			step_drop(b);
		break;
	case 3:
		store_checkpoint(current);
		break;
	case 4:
		if (below(4) == 0)
			MUST(store_settle(current, LIMIT_MS) == 0);
		break;
	case 5:
		if (below(6) == 0 && !store_held(current))
			step_fail();
		break;
	default:
		tick(below(600));
	}
}

/* A few buckets get nearly all writes, others few. */
static void step(bool rare)
{
	struct model_bucket *b = &world->bucket[below(4) ? below(3) : below(BUCKETS)];
	unsigned i = (unsigned)below(KEYS);

	world->step++;
	switch (below(16)) {
	case 0:
		if (rare)
			step_rare(b);
		break;
	case 1:
		step_scan(b, below(2));
		break;
	case 2:
		step_count(b);
		break;
	case 3:
	case 4:
		step_delete(b, i);
		break;
	case 5:
		tick(0);
		break;
	case 9:
		step_group(rare ? b : &world->bucket[below(BUCKETS)]);
		break;
	case 10:
		step_touch(b, i);
		break;
	case 6:
	case 7:
	case 8:
		step_get(&world->bucket[below(BUCKETS)], i);
		break;
	default:
		step_put(b, i);
	}
}

static bool bucket_name_is(void *arg, struct span name)
{
	unsigned *n = arg;
	bool known = false;

	for (unsigned i = 0; i < BUCKETS; i++)
		known |= world->bucket[i].there && span_equal(name, span_of(world->bucket[i].name));
	MUST(known);
	++*n;
	return true;
}

static void compare_all(void)
{
	unsigned want = 0;
	unsigned got = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		struct model_bucket *b = &world->bucket[i];

		want += b->there;
		for (unsigned k = 0; k < KEYS; k++)
			step_get(b, k);
		step_count(b);
		step_scan(b, false);
		step_scan(b, true);
	}
	store_begin(current, 0);
	store_buckets(current, (struct span){"", 0}, bucket_name_is, &got);
	MUST(got == want);
}

/* ---- a life ---- */

static void synced_tell(void)
{
	store_submit(current, store_lsn(current));
	while (store_synced(current) < store_lsn(current))
		(void)usleep(100);
	atomic_store(&world->synced, store_synced(current));
}

static void wait_for(enum stage stage)
{
	uint64_t until = clock_ms() + LIMIT_MS;

	while (atomic_load(&world->stage) < stage) {
		MUST(clock_ms() < until);
		(void)usleep(200);
	}
}

static void begin_life(bool follow)
{
	struct store_config c = config();
	uint64_t until = clock_ms() + LIMIT_MS;

	wall_at_open = world->wall;
	wall = world->wall;
	c.generation = GENERATION;
	c.lock_wait_ms = LIMIT_MS;
	if (!follow) {
		if (store_open(&c, &current, why, sizeof(why)) < 0)
			must_fail(why, __LINE__);
		return;
	}
	if (store_open_follower(&c, &current, why, sizeof(why)) < 0)
		must_fail(why, __LINE__);
	atomic_store(&world->stage, FOLLOWED);
	while (atomic_load(&world->stage) < RELEASED) {
		MUST(clock_ms() < until);
		if (store_tail(current, atomic_load(&world->synced)) < 0)
			must_fail(store_why(current), __LINE__);
		(void)usleep(500);
	}
	wall_at_open = world->wall; /* time has passed meanwhile */
	wall = world->wall;
	if (store_promote(current, atomic_load(&world->synced)) < 0)
		must_fail(store_why(current), __LINE__);
	atomic_store(&world->stage, SERVES);
}

/* Hold checkpoints, go on while the successor follows, let go. */
static void hand_over(void)
{
	uint64_t until = clock_ms() + LIMIT_MS;

	store_hold(current, true);
	while (!store_held(current)) {
		MUST(clock_ms() < until);
		tick(0);
		(void)usleep(200);
	}
	synced_tell();
	atomic_store(&world->stage, HELD);
	wait_for(FOLLOWED);
	for (unsigned i = 0; i < 400; i++) {
		step(false);
		if (i % 50 == 0)
			synced_tell();
		if (i % 100 == 99)
			(void)usleep(1000);
	}
	synced_tell();
	store_release(current);
	atomic_store(&world->stage, RELEASED);
}

static void life(bool follow, enum end end)
{
	begin_life(follow);
	for (unsigned i = 0; i < BUCKETS; i++) /* what the one before has synced is on disk */
		for (unsigned k = 0; k < KEYS; k++)
			world->bucket[i].key[k].lsn = 0;
	tick(0);
	compare_all();
	for (unsigned i = 0; i < STEPS; i++)
		step(true);
	compare_all();
	switch (end) {
	case KILLED:
		store_checkpoint(current);
		for (uint64_t n = below(6); n--;) {
			synced_tell();
			tick(0);
			(void)usleep((useconds_t)below(2000));
		}
		synced_tell();
		break;
	case HANDED_OVER:
		hand_over();
		break;
	default:
		synced_tell();
		store_close(&current);
	}
	(void)fflush(stdout);
	_exit(0);
}

static pid_t life_begin(bool follow, enum end end)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		life(follow, end);
	TRUE_(pid > 0);
	return pid;
}

static void life_ended(pid_t pid)
{
	int status = -1;

	EQ(pid, waitpid(pid, &status, 0));
	EQ(0, status);
}

static void world_make(void)
{
	static const uint32_t sizes[] = {1, 2, 16, 256, 4096};

	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	TRUE_(world != MAP_FAILED);
	world->random = unit_seed();
	partitions = sizes[below(sizeof(sizes) / sizeof(sizes[0]))];
	cache_bytes = 64 << 10;
	for (unsigned i = 0; i < BUCKETS; i++)
		(void)snprintf(world->bucket[i].name, sizeof(world->bucket[i].name), "bucket-%llu",
			       (unsigned long long)below(1000000) * BUCKETS + i);
	fresh();
	world->wall = 1700000000000;
}

static void all_lives_do_what_a_model_does(void)
{
	pid_t pid;
	enum end end;

	world_make();
	end = (enum end)below(ENDS);
	pid = life_begin(false, end);
	for (unsigned i = 0; i < LIVES; i++) {
		enum end next = i + 1 < LIVES ? (enum end)below(ENDS) : CLOSED;
		pid_t successor;

		if (end != HANDED_OVER) {
			life_ended(pid);
			pid = life_begin(false, next);
		} else {
			/* It ends by itself if it fails: then nobody waits for it. */
			while (atomic_load(&world->stage) != HELD &&
			       waitpid(pid, NULL, WNOHANG) == 0)
				(void)usleep(500);
			EQ(HELD, atomic_load(&world->stage));
			successor = life_begin(true, next);
			life_ended(pid);
			pid = successor;
		}
		end = next;
	}
	life_ended(pid);
	(void)munmap(world, sizeof(*world));
	partitions = PARTITIONS_DEFAULT;
	cache_bytes = 1 << 20;
}

UNIT_MAIN(T(all_lives_do_what_a_model_does))
