/* The model: a log, and the buckets that follow from it. */
#include "tests/sim/store.h"

#include <stdio.h>
#include <string.h>

#include "common/partition.h"
#include "ipc/wire/reply.h"
#include "tests/sim/history.h"
#include "tests/sim/world.h"

struct sim_store *store_new(void)
{
	struct sim_store *s = world_alloc(sizeof(*s));

	s->log = world_alloc(STORE_LOG_MAX * sizeof(*s->log));
	s->sync_least_us = 200;
	s->sync_most_us = 3000;
	return s;
}

/* ---- buckets ---- */

static void name_copy(char out[STORE_NAME], struct span name)
{
	check(name.n < STORE_NAME);
	memcpy(out, name.p, name.n);
	out[name.n] = '\0';
}

static struct store_bucket *bucket_of(struct sim_store *s, struct span name)
{
	for (uint32_t i = 0; i < s->buckets; i++)
		if (span_equal(span_of(s->bucket[i].name), name))
			return &s->bucket[i];
	check(s->buckets < STORE_BUCKETS);
	memset(&s->bucket[s->buckets], 0, sizeof(s->bucket[0]));
	name_copy(s->bucket[s->buckets].name, name);
	return &s->bucket[s->buckets++];
}

static struct store_key_model *key_of(struct store_bucket *b, struct span name)
{
	for (uint32_t i = 0; i < b->keys; i++)
		if (span_equal(span_of(b->key[i].name), name))
			return &b->key[i];
	check(b->keys < STORE_KEYS);
	memset(&b->key[b->keys], 0, sizeof(b->key[0]));
	name_copy(b->key[b->keys].name, name);
	return &b->key[b->keys++];
}

/* ---- the log ---- */

static void apply(struct sim_store *s, uint64_t lsn)
{
	const struct store_record *r = &s->log[lsn - 1];
	struct store_bucket *b;
	struct store_key_model *k;

	if (r->method < 0)
		return;
	b = bucket_of(s, span_of(r->bucket));
	s->sequence[partition_of(span_of(r->bucket), 256)] = r->version;
	b->changed_lsn = lsn;
	switch (r->method) {
	case WIRE_CREATE:
	case WIRE_DROP:
		b->there = r->method == WIRE_CREATE;
		b->lsn = lsn;
		for (uint32_t i = 0; i < b->keys; i++)
			b->key[i].there = false;
		return;
	default:
		k = key_of(b, span_of(r->key));
		k->there = r->method == WIRE_PUT;
		k->value = r->value;
		k->version = r->version;
		k->lsn = lsn;
		return;
	}
}

static struct store_record *append(struct sim_store *s, const struct asked *a, uint64_t generation,
				   uint64_t identity)
{
	struct store_record *r = &s->log[s->lsn];

	check(s->lsn < STORE_LOG_MAX);
	memset(r, 0, sizeof(*r));
	r->generation = generation;
	r->identity = identity;
	r->msgid = a->msgid;
	r->method = a->method;
	name_copy(r->bucket, a->bucket);
	if (a->key.n)
		name_copy(r->key, a->key);
	s->lsn++;
	return r;
}

void store_lose(struct sim_store *s)
{
	uint64_t left = world_between(s->synced, s->submitted);

	for (uint64_t i = left; i < s->lsn; i++)
		if (s->log[i].method >= 0)
			history_undone(s->log[i].msgid);
	s->lsn = left;
	s->submitted = left;
	s->syncing = false;
	s->owner = NULL;
}

void store_replay_begin(struct sim_store *s)
{
	s->buckets = 0;
	memset(s->sequence, 0, sizeof(s->sequence));
}

void store_replay(struct sim_store *s, uint64_t lsn)
{
	apply(s, lsn);
}

uint32_t store_record_reply(const struct store_record *r, char *out)
{
	char *p;

	if (r->method < 0) {
		memcpy(out, r->reply, r->reply_size);
		return r->reply_size;
	}
	p = write_reply_head(out, r->msgid);
	p = r->method == WIRE_PUT ? write_uint(p, r->version) : write_bool(p, true);
	return (uint32_t)(p - out);
}

void store_outcome_log(struct sim_store *s, const struct asked *a, uint64_t generation,
		       uint64_t identity, const struct store_answer *answer)
{
	struct store_record *r = append(s, a, generation, identity);

	r->method = -1;
	r->reply_size = answer->size;
	memcpy(r->reply, answer->reply, answer->size);
}

/* ---- methods ---- */

static char *error(char *p, const struct asked *a, enum wire_error e)
{
	return write_error(p, a->msgid, true, e, "of the model");
}

/* Log the change and do it. */
static void change(struct sim_store *s, const struct asked *a, uint64_t generation,
		   uint64_t identity, struct store_answer *ret)
{
	struct store_record *r = append(s, a, generation, identity);

	r->version = s->sequence[partition_of(a->bucket, 256)] + 1;
	if (a->value.n >= sizeof(r->value)) /* what follows is only there to take room */
		memcpy(&r->value, a->value.p, sizeof(r->value));
	apply(s, s->lsn);
	ret->changed = true;
	ret->observed = s->lsn;
	ret->size = store_record_reply(r, ret->reply);
	history_done(a->msgid, r->version);
}

static char *key_run(struct sim_store *s, struct store_bucket *b, const struct asked *a,
		     uint64_t generation, uint64_t identity, struct store_answer *ret)
{
	struct store_key_model *k = key_of(b, a->key);
	char *p = ret->reply;

	ret->observed = k->lsn > b->lsn ? k->lsn : b->lsn;
	if (a->method == WIRE_GET) {
		p = write_reply_head(p, a->msgid);
		if (!k->there)
			return write_nil(p);
		return write_uint(write_bin(write_array(p, 2), &k->value, sizeof(k->value)),
				  k->version);
	}
	if (((a->options.on & OPT_IF_ABSENT) && k->there) ||
	    ((a->options.given & OPT_IF_VERSION) &&
	     a->options.if_version != (k->there ? k->version : 0)))
		return write_conflict(p, a->msgid, k->there ? k->version : 0);
	if (a->method == WIRE_DELETE && !k->there)
		return write_bool(write_reply_head(p, a->msgid), false);
	change(s, a, generation, identity, ret);
	return ret->reply + ret->size;
}

/* Names from the model in order, as `buckets` of a worker wants them. */
static char *buckets_run(struct sim_store *s, const struct asked *a, struct store_answer *ret)
{
	char *p = write_text(write_map(write_reply_head(ret->reply, a->msgid), 2), "items");
	char *count_at = p;
	struct span last = a->after;
	uint32_t n = 0;

	p = write_array32(p, 0);
	for (;;) {
		const struct store_bucket *least = NULL;

		for (uint32_t i = 0; i < s->buckets; i++) {
			const struct store_bucket *b = &s->bucket[i];
			struct span name = span_of(b->name);

			if (b->changed_lsn > ret->observed)
				ret->observed = b->changed_lsn;
			if (b->there && (!last.p || span_compare(name, last) > 0) &&
			    (!(a->options.given & OPT_SET) ||
			     set_has(a->set.p, (uint8_t)name.p[0])) &&
			    (!least || span_compare(name, span_of(least->name)) < 0))
				least = b;
		}
		if (!least || n == 16)
			break;
		last = span_of(least->name);
		p = write_bin(p, last.p, last.n);
		n++;
	}
	(void)write_array32(count_at, n);
	return write_bool(write_text(p, "more"), n == 16);
}

void store_run(struct sim_store *s, const struct asked *a, uint64_t generation, uint64_t identity,
	       struct store_answer *ret)
{
	struct store_bucket *b;
	char *p = ret->reply;
	uint64_t there = 0;

	ret->changed = false;
	ret->observed = 0;
	if (a->method == WIRE_BUCKETS) {
		ret->size = (uint32_t)(buckets_run(s, a, ret) - ret->reply);
		return;
	}
	b = bucket_of(s, a->bucket);
	ret->observed = b->lsn;
	switch (a->method) {
	case WIRE_CREATE:
	case WIRE_DROP:
		if (b->there == (a->method == WIRE_CREATE)) {
			p = write_bool(write_reply_head(p, a->msgid), false);
			break;
		}
		change(s, a, generation, identity, ret);
		return;
	case WIRE_COUNT:
		ret->observed = b->changed_lsn;
		for (uint32_t i = 0; i < b->keys; i++)
			there += b->key[i].there;
		p = b->there ? write_uint(write_reply_head(p, a->msgid), there)
			     : error(p, a, WIRE_E_NO_BUCKET);
		break;
	case WIRE_PUT:
	case WIRE_GET:
	case WIRE_DELETE:
		p = b->there ? key_run(s, b, a, generation, identity, ret)
			     : error(p, a, WIRE_E_NO_BUCKET);
		break;
	default:
		world_fail("a worker was given %s", wire_method_name((enum wire_method)a->method));
	}
	ret->size = (uint32_t)(p - ret->reply);
}
