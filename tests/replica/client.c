#include "tests/replica/client.h"

#include <string.h>

#include "common/check.h"
#include "replica/rules.h"
#include "tests/replica/fault.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

#define CLIENTS_MAX 16u
#define AGAIN_US    (600 * MS)
#define ANSWERS_MAX 16384u
#define LAST        8u /* from this one on: clients of the end */

struct call {
	struct request request;
	struct reply reply;
	uint64_t begin, sent;
	uint32_t expect; /* PUT_IF: the value that has the version */
	uint32_t tries;
	bool open, answered;
};

struct client {
	uint32_t number, door, count, open;
	uint64_t serial;
	uint64_t lives;    /* of nodes and workers, when the batch was sent */
	uint64_t timer_at; /* when time is looked at next; NEVER */
	struct call call[BATCH_MAX];
	uint32_t value[PARTITIONS][KEYS]; /* as it saw them last */
	uint64_t version[PARTITIONS][KEYS];
	bool ended;
};

static struct client clients[CLIENTS_MAX];
static uint32_t values;
static struct {
	uint64_t at;
	bool writes;
} answers[ANSWERS_MAX];
static uint32_t answers_count;

static void step(void *who, uint64_t a, void *bytes);

/* ---- what was seen ---- */

static uint32_t object_of(uint32_t key)
{
	return key == KEY_ALONE ? OBJECT_ALONE : key == KEY_TTL ? OBJECT_TTL : OBJECT_PAIR;
}

static void remember(const struct call *c)
{
	const struct request *q = &c->request;
	const struct reply *r = c->answered ? &c->reply : NULL;
	uint32_t both = q->ask == ASK_GET_PAIR || q->ask == ASK_PUT_PAIR ? 3u : 1u;
	uint32_t shift = q->key == KEY_SECOND ? 1u : 0u;
	bool read = r && (r->kind == REPLY_FOUND || r->kind == REPLY_CONFLICT);
	struct step s = {.begin = c->begin, .end = r ? world.now : NEVER};

	if (r && (r->kind == REPLY_REFUSED || r->kind == REPLY_TOO_FEW))
		return;
	if (read || q->ask == ASK_PUT_IF)
		s.pre_mask = both << shift;
	if (!read && ask_writes(q->ask))
		s.post_mask = both << shift;
	for (uint32_t i = 0; i < 2; i++) {
		if (s.pre_mask >> (i + shift) & 1u)
			s.pre[i + shift] = read ? r->value[i] : c->expect;
		if (s.post_mask >> (i + shift) & 1u)
			s.post[i + shift] = q->value[i];
	}
	s.expired = q->key == KEY_TTL;
	history_add(q->partition, object_of(q->key), &s);
	if (r && r->kind == REPLY_DONE)
		history_version(q->partition, r->version[0], q->value[0], c->begin, world.now);
}

static void learn(struct client *c, const struct call *k)
{
	const struct request *q = &k->request;
	const struct reply *r = &k->reply;

	for (uint32_t i = 0; i < (q->ask == ASK_GET_PAIR || q->ask == ASK_PUT_PAIR ? 2u : 1u);
	     i++) {
		bool wrote = r->kind == REPLY_DONE;

		c->value[q->partition][q->key + i] = wrote ? q->value[i] : r->value[i];
		c->version[q->partition][q->key + i] = wrote ? r->version[0] + i : r->version[i];
	}
}

static uint64_t lives_now(void)
{
	return world.count[COUNT_KILLS] + world.count[COUNT_HANDOVERS] +
	       world.count[COUNT_CRASHES] + world.count[COUNT_WIPES];
}

/*
 * What goes together runs in order: a get does not see a later put, and sees an earlier one.  (After
 * a worker's death a get runs again, and may see a put behind it that is in the log.)
 */
static void order_check(const struct client *c)
{
	if (c->lives != lives_now())
		return;
	for (uint32_t j = 1; j < c->count; j++) {
		const struct call *b = &c->call[j];

		for (uint32_t i = 0; i < j; i++) {
			const struct call *a = &c->call[i];

			if (!a->answered || !b->answered || a->tries > 1 || b->tries > 1 ||
			    a->request.key != b->request.key)
				continue;
			if (a->request.ask == ASK_GET && a->reply.kind == REPLY_FOUND &&
			    ask_writes(b->request.ask) && a->reply.value[0] &&
			    a->reply.value[0] == b->request.value[0])
				violate("a get saw the put behind it");
			if (a->reply.kind == REPLY_DONE && b->request.ask == ASK_GET &&
			    b->reply.kind == REPLY_FOUND && b->request.key != KEY_TTL &&
			    b->reply.version[0] < a->reply.version[0])
				violate("a get did not see the put before it");
		}
	}
}

static void call_close(struct client *c, struct call *k)
{
	static const uint64_t pauses[] = {5 * MS, 30 * MS, 60 * MS, 150 * MS, 300 * MS};
	const struct reply *r = k->answered ? &k->reply : NULL;

	k->open = false;
	c->open--;
	TRACE("client %u p%u key %u ask %u value %u begun %.3f: %s %u, value %u version %lu",
	      c->number, k->request.partition, k->request.key, k->request.ask, k->request.value[0],
	      (double)k->begin / 1000, r ? "answer" : "unknown", r ? r->kind : 0,
	      r ? r->value[0] : 0, r ? r->version[0] : 0);
	remember(k);
	if (!r) {
		count(COUNT_UNKNOWN);
		c->door = 0;
	} else if (r->kind == REPLY_REFUSED || r->kind == REPLY_TOO_FEW) {
		count(r->kind == REPLY_REFUSED ? COUNT_REFUSED : COUNT_TOO_FEW);
	} else {
		count(COUNT_ANSWERED);
		check(answers_count < ANSWERS_MAX);
		answers[answers_count].at = world.now;
		answers[answers_count++].writes = r->kind == REPLY_DONE;
		learn(c, k);
	}
	if (c->number >= LAST && !c->ended &&
	    (!r || r->kind == REPLY_TOO_FEW || r->kind == REPLY_REFUSED))
		violate("no answer from p%u after the faults have ended (%s)", k->request.partition,
			!r                         ? "silence"
			: r->kind == REPLY_TOO_FEW ? "too few"
						   : "refused");
	if (c->open)
		return;
	order_check(c);
	if (!c->ended && c->number < LAST)
		world_after(chance_of(pauses), step, c, 0, NULL);
}

/* ---- sending ---- */

static void send(struct client *c, struct call *first, uint32_t n)
{
	uint32_t to = c->door && !chance_ppm(10 * PERCENT) ? c->door : 1 + chance_below(NODES);
	struct batch *b = take(sizeof(*b));

	b->count = n;
	for (uint32_t i = 0; i < n; i++) {
		struct request *q = &first[i].request;

		first[i].tries++;
		q->id = (uint64_t)c->number << 48 | c->serial << 16 |
			(uint64_t)(&first[i] - c->call) << 8 | (first[i].tries & 255);
		first[i].sent = world.now;
		b->request[i] = *q;
	}
	net_send(AT_CLIENTS, to, node_request, &node[to], LIFE_ANY, b);
}

static struct call *call_of(struct client *c, uint64_t id)
{
	struct call *k = &c->call[id >> 8 & 255];

	return k->open && k->request.id == id ? k : NULL;
}

static void retry(void *who, uint64_t id, void *bytes)
{
	struct client *c = who;
	struct call *k = call_of(c, id);

	(void)bytes;
	if (k && world.now < k->request.due)
		send(c, k, 1);
}

void client_reply(void *who, uint64_t a, void *bytes)
{
	struct reply r = *(struct reply *)bytes;
	struct client *c = &clients[r.client];
	struct call *k = call_of(c, r.id);

	(void)who;
	(void)a;
	give(bytes);
	if (!k)
		return;
	if (r.kind == REPLY_ELSEWHERE) {
		count(COUNT_ELSEWHERE);
		c->door = r.node;
		world_after(chance_range(15 * MS, 60 * MS), retry, c, r.id, NULL);
		return;
	}
	if (!c->door)
		c->door = r.node;
	k->reply = r;
	k->answered = r.kind != REPLY_TIMEOUT;
	call_close(c, k);
}

static void timer_set(struct client *c);

/* What is due is given up; what nobody has answered, and does nothing, is asked again. */
static void timer(void *who, uint64_t at, void *bytes)
{
	struct client *c = who;

	(void)bytes;
	if (at != c->timer_at)
		return; /* an earlier one has been set since */
	c->timer_at = NEVER;
	for (uint32_t i = 0; i < c->count; i++) {
		struct call *k = &c->call[i];

		if (!k->open)
			continue;
		if (world.now >= k->request.due) {
			call_close(c, k);
		} else if (world.now >= k->sent + AGAIN_US &&
			   (!ask_writes(k->request.ask) || !RULE(ONCE))) {
			c->door = 0;
			send(c, k, 1);
		}
	}
	if (c->open)
		timer_set(c);
}

static void timer_set(struct client *c)
{
	uint64_t due = c->call[0].request.due, at = world.now + AGAIN_US;

	if (at > due)
		at = due;
	if (c->timer_at <= at)
		return;
	c->timer_at = at;
	world_at(at, timer, c, at, NULL);
}

/* ---- asking ---- */

static void call_make(struct client *c, struct call *k, uint32_t partition)
{
	static const uint32_t keys[] = {KEY_ALONE, KEY_ALONE, KEY_ALONE,  KEY_ALONE,
					KEY_FIRST, KEY_FIRST, KEY_SECOND, KEY_TTL};
	static const uint64_t ttls[] = {100 * MS, 500 * MS, 2 * SEC, 8 * SEC};
	uint32_t key = chance_of(keys), r = chance_below(100);
	struct request *q = &k->request;

	*k = (struct call){.begin = world.now, .open = true};
	*q = (struct request){.client = c->number, .partition = partition, .key = key};
	if (key == KEY_FIRST && chance_ppm(70 * PERCENT))
		q->ask = r < 50 ? ASK_GET_PAIR : ASK_PUT_PAIR;
	else
		q->ask = r < 50 ? ASK_GET : r < 80 ? ASK_PUT : ASK_PUT_IF;
	q->version = c->version[partition][key];
	k->expect = c->value[partition][key];
	q->value[0] = ++values;
	if (q->ask == ASK_PUT_PAIR)
		q->value[1] = ++values;
	if (key == KEY_TTL)
		q->ttl_us = chance_of(ttls);
}

static void batch_send(struct client *c, uint32_t n, uint64_t wait)
{
	c->count = c->open = n;
	c->lives = lives_now();
	for (uint32_t i = 0; i < n; i++)
		c->call[i].request.due = world.now + wait;
	send(c, c->call, n);
	timer_set(c);
}

static void step(void *who, uint64_t a, void *bytes)
{
	static const uint64_t waits[] = {700 * MS, 1300 * MS, 2500 * MS};
	static const uint32_t sizes[] = {1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
	struct client *c = who;
	uint32_t partition = chance_ppm(65 * PERCENT) ? 0 : chance_below(PARTITIONS);
	uint32_t n = chance_of(sizes);

	(void)a;
	(void)bytes;
	if (c->ended)
		return;
	c->serial++;
	for (uint32_t i = 0; i < n; i++)
		call_make(c, &c->call[i], partition);
	batch_send(c, n, chance_of(waits));
}

void clients_begin(uint32_t n, uint64_t at)
{
	memset(clients, 0, sizeof(clients));
	values = answers_count = 0;
	check(n <= LAST);
	for (uint32_t i = 0; i < CLIENTS_MAX; i++)
		clients[i] = (struct client){.number = i, .timer_at = NEVER};
	for (uint32_t i = 0; i < n; i++)
		world_at(at + chance_range(0, 100 * MS), step, &clients[i], 0, NULL);
}

void clients_end(void)
{
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		clients[i].ended = true;
		for (uint32_t k = 0; k < clients[i].count; k++)
			if (clients[i].call[k].open)
				call_close(&clients[i], &clients[i].call[k]);
	}
}

void clients_last(void)
{
	for (uint32_t i = 0; i < 2 * PARTITIONS; i++) {
		struct client *c = &clients[LAST + i];
		struct call *k = &c->call[0];

		c->serial = 1;
		call_make(c, k, i / 2);
		k->request.key = KEY_ALONE;
		k->request.ttl_us = 0;
		k->request.ask = i % 2 ? ASK_PUT : ASK_GET;
		batch_send(c, 1, 1900 * MS);
	}
}

bool clients_wait(void)
{
	for (uint32_t i = LAST; i < CLIENTS_MAX; i++)
		if (clients[i].open)
			return true;
	return false;
}

void clients_answered(uint64_t since, uint64_t until, uint32_t *ret_writes, uint32_t *ret_reads)
{
	*ret_writes = *ret_reads = 0;
	for (uint32_t i = 0; i < answers_count; i++)
		if (answers[i].at >= since && answers[i].at < until)
			++*(answers[i].writes ? ret_writes : ret_reads);
}
