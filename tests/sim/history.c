/* The history, and what must hold of each request in it. */
#include "tests/sim/history.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/links.h"
#include "tests/sim/node.h"
#include "tests/sim/world.h"

#define ORDER_US (5000 * WORLD_MS) /* no request is answered later than that */

static struct ask *asks;
static uint32_t count;

void history_open(void)
{
	asks = world_alloc(HISTORY_MAX * sizeof(*asks));
	count = 0;
}

struct ask *history_new(uint64_t *ret_msgid)
{
	if (count == HISTORY_MAX)
		return NULL;
	*ret_msgid = count;
	return &asks[count++];
}

struct ask *history_of(uint64_t msgid)
{
	return msgid < count ? &asks[msgid] : NULL;
}

uint32_t history_count(void)
{
	return count;
}

const char *ask_text(const struct ask *a, char *out, size_t size)
{
	(void)snprintf(out, size,
		       "#%u client %u to %s: %s %s %s%s -> %s found=%d value=%llu version=%llu; "
		       "ran %u at %s, done %d",
		       (unsigned)(a - asks), a->client, a->node->name,
		       wire_method_name((enum wire_method)a->method), a->bucket, a->key,
		       a->if_absent     ? " if_absent"
		       : a->conditional ? " if_version"
					: "",
		       a->state == ASK_WAITS  ? "waits"
		       : a->state == ASK_LOST ? "lost"
		       : a->code              ? wire_error_name(a->code)
					      : "ok",
		       a->found, (unsigned long long)a->value, (unsigned long long)a->version,
		       a->ran, a->ran_at ? a->ran_at->name : "-", a->done);
	return out;
}

static void fail(const struct ask *a, const char *what)
{
	char text[400];

	world_fail("%s: %s", what, ask_text(a, text, sizeof(text)));
}

/* ---- replies ---- */

static void result_read(struct ask *a, const struct reply *r)
{
	const char *p = r->result;
	struct span value;

	switch (a->method) {
	case WIRE_GET:
		a->found = read_type(p) != TYPE_NIL;
		if (!a->found)
			return;
		(void)read_array(&p);
		value = read_bytes(&p);
		if (value.n == sizeof(a->value))
			memcpy(&a->value, value.p, sizeof(a->value));
		a->version = read_uint(&p);
		return;
	case WIRE_PUT:
	case WIRE_COUNT:
		a->version = read_uint(&p);
		return;
	case WIRE_CREATE:
	case WIRE_DROP:
	case WIRE_DELETE:
		a->found = read_bool(&p);
		return;
	case WIRE_ROUTE:
		(void)read_map(&p);
		(void)read_skip(p);
		p = read_skip(p);
		value = read_bytes(&p);
		(void)snprintf(a->text, sizeof(a->text), "%.*s", (int)value.n, value.p);
		return;
	default:
		return;
	}
}

void history_reply(uint32_t client, const struct reply *r)
{
	struct ask *a = r->msgid_known ? history_of(r->msgid) : NULL;
	const char *data = r->data;

	if (!a || a->client != client) {
		world_fail("client %u got a reply to what it never asked: msgid %llu", client,
			   (unsigned long long)r->msgid);
		return;
	}
	if (a->state != ASK_WAITS) {
		fail(a,
		     a->state == ASK_ANSWERED ? "a second reply" : "a reply on another connection");
		return;
	}
	a->state = ASK_ANSWERED;
	a->ended_us = world.now_us;
	if (r->code.p) {
		a->code = wire_error_find(r->code);
		(void)snprintf(a->text, sizeof(a->text), "%.*s", (int)r->text.n, r->text.p);
		if (a->code == WIRE_E_CONFLICT && data)
			a->version = read_uint(&data);
	} else {
		result_read(a, r);
	}
	world_note("client %u #%llu %s", client, (unsigned long long)r->msgid,
		   a->code ? wire_error_name(a->code) : "ok");
	links_check_reply(a);
}

void history_lost(uint64_t msgid)
{
	struct ask *a = history_of(msgid);

	a->state = ASK_LOST;
	a->ended_us = world.now_us;
	world_note("client %u #%llu lost", a->client, (unsigned long long)msgid);
}

/* ---- what workers do ---- */

/* Errors that say that it did not take effect. */
static bool says_not_run(const struct ask *a)
{
	return a->state == ASK_ANSWERED && a->code && a->code != WIRE_E_TIMEOUT &&
	       a->code != WIRE_E_INTERNAL;
}

static bool is_semantic(const struct ask *a)
{
	return a->code == WIRE_E_CONFLICT || a->code == WIRE_E_NO_BUCKET;
}

void history_ran(uint64_t msgid, struct sim_node *at, bool recovered)
{
	struct ask *a = history_of(msgid);

	if (!a) {
		world_fail("a worker was given what nobody asked: msgid %llu",
			   (unsigned long long)msgid);
		return;
	}
	world_note("%s runs #%llu", at->name, (unsigned long long)msgid);
	if (a->method == WIRE_BUCKETS)
		return;
	if (a->ran && a->ran_at != at)
		fail(a, "run at two nodes");
	if (says_not_run(a) && !is_semantic(a) && method_is(a->method, METHOD_WRITES))
		fail(a, "run after it was said not to be");
	if (!recovered && links_too_late(a))
		fail(a, "run when its time was long over");
	if (!links_may_run(a, at))
		fail(a, "run at a node whose table sends it elsewhere");
	a->ran++;
	a->ran_us = world.now_us;
	a->ran_at = at;
}

void history_done(uint64_t msgid, uint64_t version)
{
	struct ask *a = history_of(msgid);

	if (++a->done > 1)
		fail(a, "done twice");
	a->done_version = version;
}

void history_undone(uint64_t msgid)
{
	struct ask *a = history_of(msgid);

	a->done--;
	if (a->state == ASK_ANSWERED && !says_not_run(a) && a->code == WIRE_OK)
		fail(a, "told and then lost");
}

/* ---- at the end ---- */

static bool is_write(const struct ask *a)
{
	return method_is(a->method, METHOD_WRITES);
}

static void ask_check(const struct ask *a)
{
	bool told = a->state == ASK_ANSWERED && !a->code;

	if (a->state == ASK_WAITS)
		fail(a, "never answered, and its connection not lost");
	if (says_not_run(a) && a->done)
		fail(a, "said not to be done, and done");
	if (told && a->method == WIRE_PUT && (a->done != 1 || a->done_version != a->version))
		fail(a, "told to be done, and not done");
	if (told &&
	    (a->method == WIRE_DELETE || a->method == WIRE_CREATE || a->method == WIRE_DROP) &&
	    a->done != a->found)
		fail(a, "told to be done, and not done");
	if ((told || is_semantic(a)) && a->method != WIRE_BUCKETS && a->method != WIRE_ROUTE &&
	    a->method != WIRE_PING && !a->ran)
		fail(a, "answered, and never run");
}

/* Run by a worker, and its client was told so. */
static bool is_told(const struct ask *a)
{
	return a->state == ASK_ANSWERED && (!a->code || is_semantic(a)) &&
	       a->method != WIRE_BUCKETS && a->method != WIRE_ROUTE && a->method != WIRE_PING;
}

/* Has it to have its place in its bucket's order? */
static bool in_order(const struct ask *a)
{
	return is_told(a) || (is_write(a) && a->done); /* nobody was told, but it happened */
}

/*
 * One client's requests on one bucket are run in the order sent, also where a change of tables sent
 * the later one to another node.  (At one node the search for an order sees to it.)
 */
static void order_check(uint32_t i)
{
	const struct ask *a = &asks[i];
	char text[400];

	for (uint32_t k = i; k-- > 0 && asks[k].sent_us + ORDER_US > a->sent_us;) {
		const struct ask *b = &asks[k];

		if (b->client == a->client && !strcmp(b->bucket, a->bucket) && is_told(b) &&
		    b->ran_at != a->ran_at && b->ran_us > a->ran_us) {
			world_fail("overtaken by a later one, #%u: %s", i,
				   ask_text(b, text, sizeof(text)));
			return;
		}
	}
}

static bool same_object(const struct ask *a, const struct ask *b)
{
	return a->ran_at == b->ran_at && !strcmp(a->bucket, b->bucket);
}

void history_check(void)
{
	static const struct ask *one[HISTORY_MAX];
	bool *seen = world_alloc(HISTORY_MAX);
	const struct ask *bad;
	char text[400];

	for (uint32_t i = 0; i < count && !world.failed; i++)
		ask_check(&asks[i]);
	for (uint32_t i = 0; i < count && !world.failed; i++)
		if (is_told(&asks[i]))
			order_check(i);
	for (uint32_t i = 0; i < count && !world.failed; i++) {
		uint32_t n = 0;

		if (seen[i] || !in_order(&asks[i]))
			continue;
		for (uint32_t k = i; k < count; k++)
			if (!seen[k] && in_order(&asks[k]) && same_object(&asks[k], &asks[i])) {
				seen[k] = true;
				one[n++] = &asks[k];
			}
		if (!linear_check(one, n, &bad))
			world_fail("no order of the %u requests on %s at %s is right; behind all "
				   "others: %s",
				   n, asks[i].bucket, asks[i].ran_at->name,
				   ask_text(bad, text, sizeof(text)));
	}
}
