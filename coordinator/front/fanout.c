/*
 * Questions to everybody at once: `buckets`.  Each worker lists its own, sorted, and each node of
 * the routing table what it and those behind it serve; the lists are merged.  Who cannot be asked
 * is an error, never a shorter list.
 *
 * What is listed is what could be reached by asking here: workers and peers are asked only for
 * names whose first byte the table sends to them.  So no name comes twice, leftovers that nobody
 * reaches any more stay out, and a node asks on only where its table splits what it was asked for.
 *
 * What the table leaves to the cluster is asked for by partition: covering.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "common/partition.h"
#include "coordinator/clients/outgoing.h"
#include "ipc/wire/names.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/fanout_impl.h"
#include "coordinator/security/rights.h"
#include "coordinator/peers/client.h"

#define REQUEST_SPARE (320u + CODEC_SET_BYTES) /* of a request of our making, beside its spans */
#define CLIENT_MAX    32u         /* for one client at a time: each is work for every worker */
#define KEPT_MAX      (64u << 20) /* bytes of parts; a fan-out that is alone may keep more */

int fanouts_new(struct fanouts **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void parts_free(struct fanouts *s, struct fanout *f)
{
	for (uint32_t i = 0; i < f->parts; i++) {
		s->kept -= f->part[i].size;
		free(f->part[i].reply);
	}
	f->parts = 0;
}

/* All that it has but its slot. */
static void fanout_empty(struct fanouts *s, struct fanout *f)
{
	parts_free(s, f);
	free(f->part);
	free(f->bytes);
	f->part = NULL;
	f->bytes = NULL;
	f->parts_room = 0;
	s->covering -= f->covering != NULL;
	covering_free(&f->covering);
}

void fanouts_free(struct fanouts **fp)
{
	if (!*fp)
		return;
	for (uint32_t i = 0; i < FANOUTS_MAX; i++)
		fanout_empty(*fp, &(*fp)->fanout[i]);
	buf_fini(&(*fp)->question);
	free(*fp);
	*fp = NULL;
}

/* Has its client as many as it may? */
static bool many(const struct front *front, struct reply_to o)
{
	const struct fanouts *s = front->fanouts;
	struct reply_to client = clients_of(front->clients, o);
	uint32_t n = 0;

	if (s->count < CLIENT_MAX || reply_to_kind(o) == REPLY_TO_SESSION)
		return false;
	for (uint32_t i = 0; i < FANOUTS_MAX; i++) {
		struct reply_to x = clients_of(front->clients, s->fanout[i].reply_to);

		n += s->fanout[i].generation && x.id == client.id &&
		     x.generation == client.generation;
	}
	return n >= CLIENT_MAX;
}

static struct fanout *fanout_new(struct front *front, struct reply_to o, const struct item *it)
{
	struct fanouts *s = front->fanouts;

	if (many(front, o))
		return NULL;
	for (uint32_t k = 0; k < FANOUTS_MAX; k++) {
		uint32_t i = (s->hint + k) % FANOUTS_MAX;
		struct fanout *f = &s->fanout[i];

		if (f->generation)
			continue;
		s->hint = i + 1;
		s->count++;
		*f = (struct fanout){.generation = ++s->generation,
				     .reply_to = o,
				     .msgid = it->msgid,
				     .options = {.limit = WIRE_SCAN_LIMIT}};
		if (it->options)
			f->options = *it->options;
		f->limit = f->options.limit;
		return f;
	}
	return NULL;
}

/* ---- asking ---- */

struct reply_to fanout_self(const struct front *front, const struct fanout *f)
{
	uint32_t i = (uint32_t)(f - front->fanouts->fanout);

	return (struct reply_to){reply_to_id(REPLY_TO_FANOUT, i), ASK_NONE, f->generation};
}

void fanout_fail(struct front *front, struct fanout *f, enum wire_error e, const char *text)
{
	if (!f->failed)
		reply_error(front->sink, f->reply_to, WIRE_BUCKETS, f->msgid, true, e, text);
	f->failed = true;
	parts_free(front->fanouts, f);
}

/* Which first bytes go to each: `self`, and the peers by their place in the configuration. */
struct shares {
	char self[CODEC_SET_BYTES];
	uint32_t self_count;
	char cluster[CODEC_SET_BYTES];
	bool covers; /* some go to the cluster */
	char peer[512][CODEC_SET_BYTES];
	bool asked[512];
};

static void shares_make(const struct front *front, const struct message *m, const struct options *o,
			struct shares *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned b = 0; b < 256; b++) {
		const struct route *r = route_table_find(front->routes, (uint8_t)b);
		char text[8];

		if (!r || ((o->given & OPT_SET) && !set_has(o->set.p, (uint8_t)b)) ||
		    (o->prefix.n && (uint8_t)o->prefix.p[0] != b))
			continue;
		if (r->target.kind == TARGET_SELF) {
			set_add(s->self, (uint8_t)b);
			s->self_count++;
		} else if (r->target.kind == TARGET_RING) {
			set_add(s->cluster, (uint8_t)b);
			s->covers = true;
		} else if (!o->local && !dispatch_loops(front, m, r->node, text, sizeof(text))) {
			/* what goes in a circle leads to no bucket */
			set_add(s->peer[r->target.peer], (uint8_t)b);
			s->asked[r->target.peer] = true;
		}
	}
}

/* The least name that is behind all that begin with `s`, in `room`; empty: there is none. */
static struct span names_behind(struct span s, char *room)
{
	while (s.n && (uint8_t)s.p[s.n - 1] == 0xff)
		s.n--;
	memcpy(room, s.p, s.n);
	if (s.n)
		room[s.n - 1] = (char)((uint8_t)s.p[s.n - 1] + 1);
	return (struct span){room, s.n};
}

/* Write `name: bytes`.  Returns where the bytes lie now. */
static struct span option_write(char **p, const char *name, struct span s)
{
	*p = write_bin(write_text(*p, name), s.p, s.n);
	return (struct span){*p - s.n, s.n};
}

/* Options that the client may have given, and that all are asked with. */
static char *range_write(char *p, const struct options *o, struct options *own)
{
	p = write_uint(write_text(p, "limit"), o->limit);
	own->prefix = option_write(&p, "prefix", o->prefix);
	if (own->given & OPT_AFTER)
		own->after = option_write(&p, "after", o->after);
	if (own->given & OPT_NAMES)
		own->names = option_write(&p, "names", o->names);
	return p;
}

struct item *fanout_question(struct front *front, struct message *m, struct fanout *f,
			     const char *set, struct span partitions, uint32_t timeout_ms,
			     uint16_t ask)
{
	const struct options *o = &f->options;
	struct item *q = &m->routed.item[WIRE_REQUESTS_MAX];
	struct buf *b = &front->fanouts->question;
	struct options own = {.given = OPT_LIMIT | OPT_PREFIX | OPT_SET |
				       (partitions.n ? OPT_PARTITIONS : 0u) |
				       (o->given & (OPT_AFTER | OPT_NAMES)),
			      .limit = o->limit};
	char *p;

	b->len = 0;
	p = buf_room(b, o->prefix.n + o->after.n + o->names.n + partitions.n + REQUEST_SPARE);
	if (!p) {
		b->failed = false;
		return NULL;
	}
	p = write_request_head(p, f->msgid, WIRE_BUCKETS, 1);
	p = write_map(p, 3u + !!(own.given & OPT_AFTER) + !!(own.given & OPT_NAMES) +
				 !!(own.given & OPT_PARTITIONS));
	p = range_write(p, o, &own);
	own.set = option_write(&p, "set", (struct span){set, CODEC_SET_BYTES});
	if (partitions.n)
		own.partitions = option_write(&p, "partitions", partitions);
	*q = (struct item){.data = b->data,
			   .size = (uint32_t)(p - b->data),
			   .timeout_ms = timeout_ms,
			   .next = ITEM_NONE,
			   .msgid = f->msgid,
			   .index = ask,
			   .method = WIRE_BUCKETS,
			   /* a worker takes it to be about own buckets, if there are others */
			   .partition = (uint16_t)(partitions.n ? 0 : front->node->own_first)};
	dispatch_options(m, q, &own);
	return q;
}

/* One that was stopped will be back: nothing has been done, and may be asked for again. */
static void worker_refuses(struct front *front, struct fanout *f, const struct worker *w)
{
	char text[400];

	if (w->state == WORKER_FAILED)
		(void)snprintf(text, sizeof(text),
			       "worker %u has failed, so not every bucket can be listed: %s", w->id,
			       w->reason);
	else
		(void)snprintf(text, sizeof(text),
			       "worker %u is stopped, so not every bucket can be listed: pail "
			       "worker start %u",
			       w->id, w->id);
	fanout_fail(front, f, w->state == WORKER_FAILED ? WIRE_E_INTERNAL : WIRE_E_BUSY, text);
}

static void workers_ask(struct front *front, struct message *m, struct fanout *f,
			const struct item *q)
{
	struct reply_to self = fanout_self(front, f);

	for (uint32_t i = 0; i < front->supervisor->count && !f->failed; i++) {
		int r = dispatch_one(front, m, &front->supervisor->worker[i], self, q);

		if (r == 0)
			f->left++;
		else if (r == -EAGAIN)
			fanout_fail(front, f, WIRE_E_BUSY,
				    "this node's queue is full: try again later");
		else
			worker_refuses(front, f, &front->supervisor->worker[i]);
	}
}

/*
 * A client is shown what it may read: those ranges of names are asked for, here and at other nodes,
 * which do not know the client.  `names` holds them.
 */
static void names_restrict(const struct message *m, struct options *o, struct buf *names)
{
	struct name_range r;
	struct span from = {"", 0};
	bool past = false;
	char last[WIRE_BUCKET_MAX];

	buf_init(names);
	if (!m->keys || (rights_of(m->who, (struct span){"", 0}) & RIGHT_READ))
		return;
	while (rights_next_readable(m->who, from, past, &r.begin, &r.one)) {
		char *p = buf_room(names, NAMES_RANGE_MAX);

		if (!p)
			return;
		names->len = (size_t)(names_write(p, &r) - names->data);
		past = r.one;
		from = r.one ? r.begin : names_behind(r.begin, last);
		if (!from.n)
			break;
	}
	o->given |= OPT_NAMES;
	o->names = names->len ? (struct span){names->data, names->len} : span_of("");
}

/* The bytes of its options are its own from now on: they are needed as long as it asks. */
static bool options_keep(struct fanout *f)
{
	struct span *const kept[] = {&f->options.prefix, &f->options.after, &f->options.names,
				     &f->options.set, &f->options.partitions};
	size_t n = 0;
	char *p;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		n += kept[i]->n;
	p = f->bytes = malloc(n + 1);
	for (size_t i = 0; p && i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (kept[i]->n)
			memcpy(p, kept[i]->p, kept[i]->n);
		kept[i]->p = p;
		p += kept[i]->n;
	}
	return p;
}

/* Those that the table sends to others, and those that are this node's own. */
static void table_ask(struct front *front, struct message *m, struct fanout *f,
		      const struct shares *s, uint32_t timeout_ms)
{
	const struct span none = {NULL, 0};
	const struct item *q;

	if (s->self_count) {
		q = fanout_question(front, m, f, s->self, none, timeout_ms, ASK_NONE);
		if (q)
			workers_ask(front, m, f, q);
		else
			fanout_fail(front, f, WIRE_E_BUSY, "no memory");
	}
	for (uint32_t i = 0; i < front->node->conf->peers.count && !f->failed; i++) {
		if (!s->asked[i])
			continue;
		q = fanout_question(front, m, f, s->peer[i], none, timeout_ms, ASK_NONE);
		if (!q) {
			fanout_fail(front, f, WIRE_E_BUSY, "no memory");
			return;
		}
		f->left++;
		peer_client_items(front->peers, front->peers->of_conf[i], &m->routed,
				  fanout_self(front, f), (uint32_t)(q - m->routed.item));
	}
}

/* Those of the cluster: all, but for another node only what it asks for, and here only what is here. */
static void cluster_ask(struct front *front, struct message *m, struct fanout *f,
			const struct shares *s, uint32_t timeout_ms)
{
	static char all[PARTITIONS_MAX / 8];

	memset(all, 0xff, sizeof(all));
	if (f->options.given & OPT_PARTITIONS)
		covering_begin(front, m, f, f->options.set.p, timeout_ms, f->options.partitions.p);
	else if (s->covers)
		covering_begin(front, m, f, s->cluster, timeout_ms, f->options.local ? all : NULL);
}

void fanout_buckets(struct front *front, struct message *m, struct reply_to o,
		    const struct item *it)
{
	static struct shares shares;
	struct fanout *f = fanout_new(front, o, it);
	uint32_t timeout_ms = it->timeout_ms;
	struct buf names;
	bool kept;

	if (!f) {
		reply_error(front->sink, o, it->method, it->msgid, true, WIRE_E_BUSY,
			    "this node's queue is full: try again later");
		return;
	}
	names_restrict(m, &f->options, &names);
	kept = !names.failed && options_keep(f);
	buf_fini(&names);
	f->left = 1; /* ours, until everybody has been asked */
	if (!kept) {
		fanout_fail(front, f, WIRE_E_BUSY, "no memory");
	} else {
		shares_make(front, m, &f->options, &shares);
		cluster_ask(front, m, f, &shares, timeout_ms);
		if (!f->failed && !(f->options.given & OPT_PARTITIONS))
			table_ask(front, m, f, &shares, timeout_ms);
	}
	f->left--;
	fanout_look(front, f);
}

/* ---- replies ---- */

static void fanout_finish(struct front *front, struct fanout *f)
{
	const char *over = f->failed ? NULL : reply_over(front->sink, f->reply_to);
	struct buf out;

	buf_init(&out);
	if (over)
		fanout_fail(front, f, WIRE_E_BUSY, over);
	if (!f->failed) {
		merge_parts(f, covering_told(f), &out);
		if (out.failed)
			fanout_fail(front, f, WIRE_E_INTERNAL, "no memory");
		else
			reply_send(front->sink, f->reply_to, out.data, out.len);
	}
	buf_fini(&out);
	fanout_empty(front->fanouts, f);
	f->generation = 0;
	front->fanouts->count--;
}

void fanout_look(struct front *front, struct fanout *f)
{
	if (!f->left && (f->failed || !covering_lacks(f)))
		fanout_finish(front, f);
}

static bool part_keep(struct fanouts *s, struct fanout *f, const char *reply, size_t n)
{
	uint32_t room = f->parts_room ? 2 * f->parts_room : 8;
	struct part *part;

	if (f->parts == f->parts_room) {
		part = realloc(f->part, room * sizeof(*part));
		if (!part)
			return false;
		f->part = part;
		f->parts_room = room;
	}
	part = &f->part[f->parts];
	part->reply = malloc(n);
	if (!part->reply)
		return false;
	memcpy(part->reply, reply, n);
	part->size = n;
	s->kept += n;
	f->parts++;
	return true;
}

/* An error, or a list. */
static void reply_take(struct front *front, struct fanout *f, const struct reply *r,
		       const char *reply, size_t n)
{
	struct fanouts *s = front->fanouts;
	struct span partitions;

	if (r->code.p) {
		f->failed = true; /* the first error is the answer: it names the msgid already */
		parts_free(s, f);
		reply_send(front->sink, f->reply_to, reply, n);
	} else if (!merge_sane(r, &partitions)) {
		fanout_fail(front, f, WIRE_E_INTERNAL, "a node sent a list of another shape");
	} else if (s->kept + n > KEPT_MAX && s->count > 1) {
		fanout_fail(front, f, WIRE_E_BUSY,
			    "lists of too many buckets are being made: try again later");
	} else if (!part_keep(s, f, reply, n)) {
		fanout_fail(front, f, WIRE_E_INTERNAL, "no memory");
	}
}

void fanout_reply(struct front *front, struct reply_to o, uint16_t ask, const char *reply, size_t n)
{
	struct fanout *f = &front->fanouts->fanout[reply_to_index(o)];
	struct reply r;
	bool keep = true;

	if (f->generation != o.generation || (ask != ASK_NONE && !covering_open(f, ask)))
		return; /* asked in vain, or somebody else was asked since */
	if (reply_walk(reply, reply + n, &r) != 0) {
		fanout_fail(front, f, WIRE_E_INTERNAL, "a node sent a list of another shape");
		keep = false;
	}
	f->left++;
	if (ask == ASK_NONE)
		f->left--;
	else if (keep)
		keep = covering_reply(front, f, ask, &r);
	else
		covering_drop(f, ask);
	if (keep && !f->failed)
		reply_take(front, f, &r, reply, n);
	f->left--;
	fanout_look(front, f);
}

/* ---- going on ---- */

void fanout_changed(struct front *front)
{
	front->fanouts->changed = true;
}

bool fanout_any(const struct front *front)
{
	return front->fanouts->count;
}

uint64_t fanout_step(struct front *front)
{
	struct fanouts *s = front->fanouts;
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; s->covering && i < FANOUTS_MAX; i++) {
		struct fanout *f = &s->fanout[i];
		uint64_t at = f->generation && f->covering ? covering_step(front, f) : UINT64_MAX;

		next = at < next ? at : next;
	}
	s->changed = false;
	return next;
}
