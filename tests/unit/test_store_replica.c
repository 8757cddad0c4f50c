/*
 * Three stores that are copies of each other, at random: who leads, what is sent to whom and how late,
 * what is committed, cut, checkpointed, and who is opened again.  Each must have the log that it was
 * given, and show what of it is committed, or, if it leads, all of it.
 */
#include "tests/unit/lib/copies_fixture.h"

#define BUCKETS  3u /* of a partition */
#define KEYS     12u
#define NOBODY   -1
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

/* Send a backup some of what it has not, from where they agree. */
static void send_some(int i, uint32_t p)
{
	struct node *n = &nodes[i];
	const struct line *from = &nodes[leader[p]].copy[p].line;
	struct line *to = &n->copy[p].line;
	size_t agree = lines_agree(from, to);
	size_t more = random_below(8);

	if (store_role(n->store, p) != STORE_BACKUP)
		store_follow(n->store, p);
	(void)cut_to(n, p, agree);
	while (more-- && to->count < from->count)
		EQ(0, feed(n, p, from->at[to->count]));
}

/* What all three have of the leader's line. */
static void commit_some(uint32_t p)
{
	const struct line *l = &nodes[leader[p]].copy[p].line;
	size_t least = l->count;

	for (int i = 0; i < NODES; i++) {
		size_t agree = lines_agree(l, &nodes[i].copy[p].line);

		least = agree < least ? agree : least;
	}
	if (!least || l->at[least - 1]->last <= committed[p])
		return;
	committed[p] = l->at[least - 1]->last;
	for (int i = 0; i < NODES; i++)
		if (random_below(3))
			commit_to(&nodes[i], p, committed[p]);
}

static void open_again(int i)
{
	node_open(&nodes[i]);
	for (uint32_t p = 0; p < PARTS; p++) {
		compare(&nodes[i], p);
		if (leader[p] != i)
			continue;
		if (random_below(2))
			take_lead(i, p);
		else
			leader[p] = NOBODY;
	}
}

static void checkpoint(int i)
{
	use(&nodes[i]);
	if (store_must_restart(current))
		EQ(-EINPROGRESS, store_settle(current, 1000));
	else if (random_below(2))
		settle(&nodes[i]);
	else
		store_checkpoint(current); /* some ticks later it has ended */
}

static void elect(uint32_t p)
{
	int i = (int)random_below(NODES);
	uint64_t sequence;

	if (nodes[i].copy[p].undone) {
		EQ(-EINPROGRESS,
		   store_lead(nodes[i].store, p, epoch[p] << 16 | 0xffff, span_of(""), &sequence));
		return;
	}
	/* The old one may not hear of it, write on, and be cut. */
	if (leader[p] != NOBODY && leader[p] != i && random_below(2))
		for (unsigned k = 0; k < 3; k++)
			write_one(p);
	if (store_role(nodes[i].store, p) == STORE_NO_ROLE)
		store_follow(nodes[i].store, p);
	take_lead(i, p);
}

static void step(void)
{
	uint32_t p = (uint32_t)random_below(PARTS);
	int i = (int)random_below(NODES);
	unsigned what = (unsigned)random_below(1000);

	if (leader[p] == NOBODY)
		elect(p);
	else if (what < 400)
		write_one(p);
	else if (what < 800 && leader[p] != i)
		send_some(i, p);
	else if (what < 900)
		commit_some(p);
	else if (what < 915)
		elect(p);
	else if (what < 930)
		checkpoint(i);
	else if (what < 940 || (what < 980 && store_must_restart(nodes[i].store)))
		open_again(i);
	else
		compare(&nodes[i], p);
	use(&nodes[i]);
	EQ(0, store_tick(current, wall));
	store_submit(current, 0);
}

static void each_copy_shows_what_is_committed(void)
{
	seed = unit_seed();
	for (int round = 0; round < 10; round++) {
		nodes_fresh();
		memset(epoch, 0, sizeof(epoch));
		memset(committed, 0, sizeof(committed));
		memset(number, 0, sizeof(number));
		for (uint32_t p = 0; p < PARTS; p++)
			leader[p] = NOBODY;
		for (int i = 0; i < 3000; i++)
			step();
		for (int i = 0; i < NODES; i++)
			for (uint32_t p = 0; p < PARTS; p++)
				compare(&nodes[i], p);
		nodes_end();
	}
}

UNIT_MAIN(T(each_copy_shows_what_is_committed))
