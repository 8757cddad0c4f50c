/*
 * A node's own partitions beside those that have copies: a bucket of the same name may be in both, and
 * whatever becomes of one says nothing of the other.
 */
#include "tests/unit/lib/copies_model.h"

static struct node *const one = &nodes[0];

/* Which of the two are meant from now on. */
static void own(bool is)
{
	TRUE_(store_own(current, is));
}

/* What the model says of own buckets. */
static char held[BUCKETS * PARTS][KEYS][40]; /* "": no such key */
static bool made[BUCKETS * PARTS];

static const char *own_name(unsigned b)
{
	return name_in(b / BUCKETS, b % BUCKETS);
}

static void own_compare(void)
{
	own(true);
	for (unsigned b = 0; b < BUCKETS * PARTS; b++) {
		const char *name = own_name(b);
		long long there = 0;
		char key[16];

		for (unsigned k = 0; k < KEYS && made[b]; k++) {
			key_name(key, k);
			is(name, key, *held[b][k] ? held[b][k] : NULL);
			there += *held[b][k] != '\0';
		}
		EQ(made[b] ? there : -ENXIO, count(name));
	}
	own(false);
}

/* As group() of the model, but with what is known of it. */
static void own_group(unsigned b, unsigned k, const char *value)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key key;
	uint64_t version;
	char name[16];
	bool created;

	store_begin(current, 0);
	store_locate(current, span_of(own_name(b)), span_of(""), &key);
	EQ(0, group_begin(current, &key));
	EQ(made[b], group_exists(current));
	if (!made[b])
		EQ(0, group_create(current, &created));
	key_name(name, k);
	EQ(0, group_put(current, span_of(name), span_of(value), 0, &always, &version));
	EQ(0, group_commit(current, span_of("\xc0\xc3")));
	made[b] = true;
	(void)snprintf(held[b][k], sizeof(held[b][k]), "%s", value);
}

static void own_write(void)
{
	unsigned b = (unsigned)random_below(BUCKETS * PARTS);
	unsigned k = (unsigned)random_below(KEYS);
	unsigned what = (unsigned)random_below(100);
	char value[40];
	char key[16];
	int r;

	own(true);
	key_name(key, k);
	(void)snprintf(value, sizeof(value), "own%llu", (unsigned long long)unit_random(&seed));
	if (what < 55) {
		r = put(own_name(b), key, value);
		EQ(made[b] ? 0 : -ENXIO, r);
		if (r == 0)
			(void)snprintf(held[b][k], sizeof(held[b][k]), "%s", value);
	} else if (what < 75) {
		r = del(own_name(b), key);
		EQ(made[b] ? *held[b][k] != '\0' : -ENXIO, r);
		held[b][k][0] = '\0';
	} else if (what < 85) {
		own_group(b, k, value);
	} else if (what < 95) {
		EQ(0, create(own_name(b)));
		made[b] = true;
	} else {
		EQ(0, drop(own_name(b)));
		made[b] = false;
		memset(held[b], 0, sizeof(held[b]));
	}
	own(false);
}

static void own_begin(void)
{
	memset(held, 0, sizeof(held));
	memset(made, 0, sizeof(made));
	memset(committed, 0, sizeof(committed));
	memset(number, 0, sizeof(number));
	memset(epoch, 0, sizeof(epoch));
	nodes_fresh();
	use(one);
}

/* ---- */

static void a_store_without_copies_has_none(void)
{
	fresh();
	EQ(0, reopen());
	TRUE_(!store_own(current, true));
	TRUE_(store_own(current, false));
	finish();
}

static void so_many_that_no_number_is_left(void)
{
	struct store_config c = config();

	fresh();
	c.dir = dir;
	c.replicated = true;
	c.partitions = PARTITIONS_MAX;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	TRUE_(!store_own(current, true));
	finish();
}

/* No role, no term, no commit: on disk is enough. */
static void own_ones_need_nobody(void)
{
	const char *name = name_in(1, 0);

	own_begin();
	EQ(-EINVAL, create(name)); /* nobody leads it */
	own(true);
	EQ(0, create(name));
	TRUE_(!store_committed(current));
	sync_all();
	TRUE_(store_committed(current));
	EQ(0, put(name, "k", "own"));
	TRUE_(!store_committed(current));
	is(name, "k", "own");
	TRUE_(!store_committed(current));
	sync_all();
	is(name, "k", "own");
	TRUE_(store_committed(current));
	own(false);
	EQ(-ENXIO, count(name));
	EQ(0, one->copy[1].line.count); /* nothing is to be sent */
	nodes_end();
}

/* Which names there are, of the kind that is meant. */
static bool name_count(void *arg, struct span name)
{
	(void)name;
	++*(unsigned *)arg;
	return true;
}

static unsigned names(void)
{
	unsigned n = 0;

	store_begin(current, 0);
	store_buckets(current, span_of(""), name_count, &n);
	return n;
}

static void two_of_one_name_are_two(void)
{
	const char *name = name_in(1, 0);

	own_begin();
	take_lead(0, 1);
	EQ(0, create(name));
	EQ(0, put(name, "k", "ring"));
	own(true);
	EQ(0, names());
	EQ(-ENXIO, put(name, "k", "own"));
	EQ(0, create(name));
	EQ(0, put(name, "k", "own"));
	EQ(0, put(name, "l", "own"));
	for (int i = 0; i < 3; i++) {
		own(true);
		is(name, "k", "own");
		EQ(2, count(name));
		EQ(1, names());
		own(false);
		is(name, "k", "ring");
		EQ(1, count(name));
		EQ(1, names());
		if (i == 0)
			commit_to(one, 1, line_last(&one->copy[1].line));
		if (i == 1) {
			settle(one);
			node_open(one);
			lead(one, 1, 5 << 16);
			commit_to(one, 1, line_last(&one->copy[1].line));
		}
	}
	EQ(0, drop(name));
	EQ(-ENXIO, count(name));
	own(true);
	EQ(2, count(name));
	EQ(0, create(name));
	EQ(0, drop(name));
	EQ(-ENXIO, count(name));
	nodes_end();
}

/* The same request of one session in both is two. */
static void sessions_are_apart(void)
{
	const char *name = name_in(1, 0);

	own_begin();
	take_lead(0, 1);
	EQ(0, create(name));
	own(true);
	EQ(0, create(name));
	own(false);
	EQ(0, put_in_session(1, name, "k", "ring"));
	own(true);
	number[1]--;
	EQ(0, put_in_session(1, name, "k", "own"));
	is(name, "k", "own");
	own(false);
	is(name, "k", "ring");
	nodes_end();
}

/* A cut of the other one, with what had taken effect. */
static void a_cut_leaves_them_alone(void)
{
	const char *name = name_in(1, 0);

	own_begin();
	take_lead(0, 1);
	EQ(0, create(name));
	commit_to(one, 1, line_last(&one->copy[1].line));
	own(true);
	EQ(0, create(name));
	EQ(0, put(name, "k", "own"));
	own(false);
	EQ(0, put(name, "k", "ring"));
	store_follow(current, 1);
	TRUE_(cut_to(one, 1, one->copy[1].line.count - 1));
	own(true);
	EQ(0, put(name, "l", "own"));
	sync_all();
	node_open(one);
	own(true);
	is(name, "k", "own");
	is(name, "l", "own");
	own(false);
	EQ(0, count(name));
	nodes_end();
}

/* They are swept, whoever leads the others. */
static void what_expires_is_deleted(void)
{
	const char *name = name_in(1, 0);

	for (int settled = 0; settled < 2; settled++) {
		own_begin();
		own(true);
		EQ(0, create(name));
		EQ(0, put_ttl(name, "k", "own", 1000));
		EQ(0, put(name, "l", "own"));
		if (settled)
			settle(one);
		own(true);
		EQ(2, count(name));
		for (int i = 0; i < 10; i++) {
			wall += 2000;
			boot += 2000;
			EQ(0, store_tick(current, wall));
		}
		EQ(1, count(name));
		is(name, "k", NULL);
		nodes_end();
	}
}

/* Who has no cluster does not show half of it. */
static void without_a_cluster_it_is_refused(void)
{
	for (int settled = 0; settled < 2; settled++) {
		struct store_config c;

		own_begin();
		own(true);
		EQ(0, create(name_in(1, 0)));
		if (settled)
			settle(one);
		store_close(&one->store);
		c = copies_config(one);
		c.replicated = false;
		EQ(-EPROTO, store_open(&c, &current, why, sizeof(why)));
		TRUE_(strstr(why, "[cluster]") && strstr(why, one->dir));
		node_open(one);
		own(true);
		EQ(0, count(name_in(1, 0)));
		nodes_end();
	}
}

/* Up to some record: it is never told of half a group. */
static void commit_some(uint32_t p)
{
	const struct line *l = &one->copy[p].line;

	if (l->count)
		commit_to(one, p, l->at[random_below(l->count)]->last);
}

static void step(void)
{
	unsigned what = (unsigned)random_below(1000);
	uint32_t p = (uint32_t)random_below(PARTS);

	if (what < 500) {
		own_write();
	} else if (what < 900) {
		if (store_role(current, p) == STORE_PRIMARY)
			write_one(p);
		else
			take_lead(0, p);
	} else if (what < 970) {
		commit_some(p);
	} else if (what < 980) {
		settle(one);
	} else if (what < 990) {
		store_follow(current, p);
		while (one->copy[p].line.count &&
		       one->copy[p].line.at[one->copy[p].line.count - 1]->last >
			       store_commit_sequence(current, p) &&
		       random_below(4))
			if (cut_to(one, p, one->copy[p].line.count - 1))
				break;
		if (store_must_restart(current))
			node_open(one);
	} else {
		node_open(one);
	}
}

static void whatever_happens(void)
{
	for (uint64_t round = 1; round <= 12; round++) {
		own_begin();
		seed = round;
		for (int i = 0; i < 1500; i++) {
			step();
			if (i % 50 == 0) {
				own_compare();
				for (uint32_t p = 0; p < PARTS; p++)
					compare(one, p);
			}
			if (i % 20 == 0)
				EQ(0, store_tick(current, wall));
		}
		node_open(one);
		own_compare();
		settle(one);
		own_compare();
		node_open(one);
		own_compare();
		nodes_end();
	}
}

UNIT_MAIN(T(a_store_without_copies_has_none), T(so_many_that_no_number_is_left),
	  T(own_ones_need_nobody), T(two_of_one_name_are_two), T(sessions_are_apart),
	  T(a_cut_leaves_them_alone), T(what_expires_is_deleted),
	  T(without_a_cluster_it_is_refused), T(whatever_happens))
