/*
 * What stores that are copies of each other should show, worked out from their lines by hand; and what
 * is done to them at random.  Included by the random tests of replicated stores.
 */
#ifndef PAIL_COPIES_MODEL_H
#define PAIL_COPIES_MODEL_H

#include "tests/unit/lib/copies_fixture.h"

#define BUCKETS  3u /* of a partition */
#define KEYS     12u
#define NOBODY   -1 /* leads */
#define SESSIONS 64u

/* What a line says, worked out by hand. */
struct key_state {
	bool there;
	char value[40];
	uint64_t version;
};

struct state {
	uint64_t id[BUCKETS]; /* 0: no such bucket */
	struct key_state key[BUCKETS][KEYS];
	uint64_t outcome[SESSIONS]; /* the sequence of a session's request; 0: not run */
};

static int bucket_of(uint32_t p, struct span name)
{
	for (unsigned b = 0; b < BUCKETS; b++)
		if (span_equal(span_of(name_in(p, b)), name))
			return (int)b;
	CU_FAIL_FATAL("a bucket that nobody made");
	return 0;
}

static void state_change(struct state *s, uint32_t p, const struct log_change *c, uint64_t version)
{
	int b = bucket_of(p, c->name);
	struct key_state *k;

	if (c->op == LOG_CREATE) {
		s->id[b] = version;
		memset(s->key[b], 0, sizeof(s->key[b]));
		return;
	}
	if (c->op == LOG_DROP) {
		s->id[b] = 0;
		return;
	}
	k = &s->key[b][atoi(c->key.p + 1)];
	k->version = version;
	k->there = c->op == LOG_PUT || (c->op == LOG_TOUCH && k->there);
	if (c->op == LOG_PUT) {
		memset(k->value, 0, sizeof(k->value));
		memcpy(k->value, c->value.p, c->value.n);
	}
}

static struct state state_at(const struct line *l, uint32_t p, uint64_t sequence)
{
	struct state s = {.id = {0}};

	for (size_t i = 0; i < l->count && l->at[i]->last <= sequence; i++) {
		const struct log_entry *e = (const struct log_entry *)l->at[i]->bytes;
		const struct log_session *x = log_session_read(e);
		struct log_changes it;
		struct log_change c;

		log_changes_begin(&it, e);
		while (log_changes_next(&it, &c) == 1)
			state_change(&s, p, &c, it.sequence);
		if (x)
			s.outcome[x->sequence] = log_entry_last(e);
	}
	return s;
}

static void key_name(char *out, unsigned k)
{
	(void)snprintf(out, 16, "k%u", k);
}

static void session_make(struct log_session *x, uint32_t p, uint64_t number)
{
	uint64_t made_ms = wall - 1000;

	memset(x, 0, sizeof(*x));
	for (unsigned i = 0; i < 6; i++)
		x->id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
	x->id[15] = (uint8_t)p;
	x->sequence = number;
	x->fingerprint = 7;
}

static void outcomes_compare(uint32_t p, const struct state *want)
{
	const char *name = name_in(p, 0);
	struct session_outcome o;
	struct log_session x;

	for (unsigned i = 1; i < SESSIONS; i++) {
		session_make(&x, p, i);
		store_begin(current, 0);
		EQ(want->outcome[i] ? SESSION_DONE : SESSION_RUN,
		   store_session(current, span_of(name), &x, &o));
		if (want->outcome[i])
			EQ(want->outcome[i], o.version);
	}
	store_begin(current, 0);
}

static void compare(struct node *n, uint32_t p)
{
	struct copy *c = &n->copy[p];
	struct state want;

	use(n);
	EQ(line_last(&c->line), store_last(current, p).sequence);
	EQ(c->line.count ? c->line.at[c->line.count - 1]->term : 0, store_last(current, p).term);
	spans_agree(n, p);
	if (c->undone)
		return;
	want = state_at(&c->line, p, c->applied);
	for (unsigned b = 0; b < BUCKETS; b++) {
		const char *name = name_in(p, b);
		long long there = 0;
		char key[16];

		for (unsigned k = 0; k < KEYS && want.id[b]; k++) {
			key_name(key, k);
			is(name, key, want.key[b][k].there ? want.key[b][k].value : NULL);
			there += want.key[b][k].there;
		}
		EQ(want.id[b] ? there : -ENXIO, count(name));
	}
	outcomes_compare(p, &want);
}

/* ---- what is done at random ---- */

static uint64_t seed;
static int leader[PARTS];
static uint64_t epoch[PARTS];
static uint64_t committed[PARTS];
static uint64_t number[PARTS];

static uint64_t random_below(uint64_t n)
{
	return unit_random(&seed) % n;
}

static void take_lead(int i, uint32_t p)
{
	struct node *n = &nodes[i];

	lead(n, p, ++epoch[p] << 16 | n->life);
	leader[p] = i;
}

static int put_in_session(uint32_t p, const char *bucket, const char *key, const char *value)
{
	static const struct store_condition always = {false, false, 0};
	struct session_outcome o;
	struct log_session x;
	struct store_key k;
	uint64_t version;
	int r;

	if (number[p] + 1 >= SESSIONS)
		return 0;
	session_make(&x, p, ++number[p]);
	store_begin(current, 0);
	r = store_session(current, span_of(bucket), &x, &o);
	if (r == SESSION_DONE) /* it was run by one whose record stays */
		return 0;
	EQ(SESSION_RUN, r);
	store_locate(current, span_of(bucket), span_of(key), &k);
	r = store_put(current, &k, span_of(value), 0, &always, &version);
	if (r < 0)
		store_begin(current, 0);
	return r;
}

static int touch(const char *bucket, const char *key)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_touch(current, &k, random_below(2) ? 0 : 100000000, &always, &version);
}

static int group(const char *bucket)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;
	bool created;
	bool deleted;
	int r;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(""), &k);
	r = group_begin(current, &k);
	if (r == 0 && !group_exists(current))
		r = group_create(current, &created);
	for (unsigned i = 1 + (unsigned)random_below(6); i-- > 0 && r == 0;) {
		char key[16];
		char value[32];

		key_name(key, (unsigned)random_below(KEYS));
		(void)snprintf(value, sizeof(value), "g%llu",
			       (unsigned long long)unit_random(&seed));
		r = random_below(3)
			    ? group_put(current, span_of(key), span_of(value), 0, &always, &version)
			    : group_delete(current, span_of(key), &always, &deleted, &version);
	}
	EQ(0, r);
	return group_commit(current, span_of("\xc0\xc3"));
}

static void write_one(uint32_t p)
{
	const char *bucket = name_in(p, (unsigned)random_below(BUCKETS));
	unsigned what = (unsigned)random_below(100);
	char value[40];
	char key[16];
	int r;

	use(&nodes[leader[p]]);
	key_name(key, (unsigned)random_below(KEYS));
	(void)snprintf(value, sizeof(value), "v%llu",
		       (unsigned long long)(unit_random(&seed) >> random_below(60)));
	r = what < 45   ? put(bucket, key, value)
	    : what < 60 ? del(bucket, key)
	    : what < 70 ? touch(bucket, key)
	    : what < 80 ? group(bucket)
	    : what < 90 ? put_in_session(p, bucket, key, value)
	    : what < 98 ? create(bucket)
			: drop(bucket);
	TRUE_(r >= 0 || r == -ENXIO || r == -ENOENT);
}

#endif
