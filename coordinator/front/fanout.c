/*
 * Questions to everybody at once: `buckets`.  Each worker lists its own, sorted, and each node of
 * the routing table what it and those behind it serve; the lists are merged.  Who cannot be asked
 * is an error, never a shorter list.
 *
 * What is listed is what could be reached by asking here: workers and peers are asked only for
 * names whose first byte the table sends to them.  So no name comes twice, leftovers that nobody
 * reaches any more stay out, and a node asks on only where its table splits what it was asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/cluster/cluster.h"
#include "ipc/wire/names.h"
#include "ipc/wire/reply.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/fanout.h"
#include "coordinator/security/rights.h"
#include "coordinator/peers/client.h"

#define FANOUTS_MAX   1024u
#define REQUEST_SPARE 256u /* bytes that a request of our making is longer than the client's */
#define STREAMS_MAX   (64u + 512u)
#define CLIENT_MAX    32u         /* for one client at a time: each is work for every worker */
#define KEPT_MAX      (64u << 20) /* bytes of parts; a fan-out that is alone may keep more */

struct part {
	char *reply;
	size_t size;
};

struct fanout {
	uint64_t generation; /* 0: free */
	struct reply_to reply_to;
	uint64_t msgid;
	uint64_t limit;
	uint32_t left; /* replies awaited */
	uint32_t parts;
	bool failed;       /* an error has been answered */
	struct part *part; /* room for every worker and peer */
};

struct fanouts {
	struct fanout fanout[FANOUTS_MAX];
	uint32_t count;
	uint64_t kept; /* bytes of parts */
	uint64_t generation;
	uint32_t hint;
};

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

void fanouts_free(struct fanouts **fp)
{
	if (!*fp)
		return;
	for (uint32_t i = 0; i < FANOUTS_MAX; i++) {
		parts_free(*fp, &(*fp)->fanout[i]);
		free((*fp)->fanout[i].part);
	}
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

static struct fanout *fanout_new(struct front *front, struct reply_to o, uint32_t *ret_index)
{
	struct fanouts *s = front->fanouts;

	if (many(front, o))
		return NULL;
	for (uint32_t k = 0; k < FANOUTS_MAX; k++) {
		uint32_t i = (s->hint + k) % FANOUTS_MAX;
		struct fanout *f = &s->fanout[i];

		if (f->generation || f->left)
			continue;
		f->part = calloc(front->supervisor->count + front->peers->count + 1,
				 sizeof(*f->part));
		if (!f->part)
			return NULL;
		s->hint = i + 1;
		s->count++;
		f->generation = ++s->generation;
		*ret_index = i;
		return f;
	}
	return NULL;
}

/* ---- asking ---- */

static void fanout_fail(struct front *front, struct fanout *f, enum wire_error e, const char *text)
{
	if (!f->failed)
		reply_error(front->sink, f->reply_to, f->msgid, true, e, text);
	f->failed = true;
	parts_free(front->fanouts, f);
}

static void fanout_finish(struct front *front, struct fanout *f);

/* Which first bytes go to each: `self`, and the peers by their place in the configuration. */
struct shares {
	char self[CODEC_SET_BYTES];
	uint32_t self_count;
	bool cluster; /* or to the cluster */
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
			s->cluster = true;
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

/* The client's question, for the bytes in `set`, as the item for requests of our own. */
static struct item *question(struct message *m, const struct item *it, const struct options *o,
			     const char *set, char *data)
{
	struct item *q = &m->routed.item[WIRE_REQUESTS_MAX];
	struct options own = {.given = OPT_LIMIT | OPT_PREFIX | OPT_SET |
				       (o->given & (OPT_AFTER | OPT_NAMES)),
			      .limit = o->limit};
	char *p = write_request_head(data, it->msgid, WIRE_BUCKETS, 1);

	p = write_map(p, 3u + !!(own.given & OPT_AFTER) + !!(own.given & OPT_NAMES));
	p = write_uint(write_text(p, "limit"), o->limit);
	own.prefix = option_write(&p, "prefix", o->prefix);
	if (own.given & OPT_AFTER)
		own.after = option_write(&p, "after", o->after);
	if (own.given & OPT_NAMES)
		own.names = option_write(&p, "names", o->names);
	own.set = option_write(&p, "set", (struct span){set, CODEC_SET_BYTES});
	*q = *it;
	q->data = data;
	q->size = (uint32_t)(p - data);
	q->next = ITEM_NONE;
	q->bucket = q->key = q->value = (struct span){NULL, 0};
	q->partition = 0;
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

/* Nobody here knows who has what of the cluster. */
static void cluster_refuses(struct front *front, struct fanout *f)
{
	char text[160];

	cluster_explain(front->node->conf, text, sizeof(text));
	fanout_fail(front, f, WIRE_E_NODE_DOWN, text);
}

static void workers_ask(struct front *front, struct message *m, struct fanout *f,
			struct reply_to self, const struct item *q)
{
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

void fanout_buckets(struct front *front, struct message *m, struct reply_to o,
		    const struct item *it)
{
	static struct shares shares;
	struct fanout *f;
	struct options options = {.limit = WIRE_SCAN_LIMIT};
	struct reply_to self;
	uint32_t index;
	struct buf names;
	char *data;

	if (it->options)
		options = *it->options;
	names_restrict(m, &options, &names);
	data = names.failed ? NULL : malloc(it->size + names.len + REQUEST_SPARE);
	f = data ? fanout_new(front, o, &index) : NULL;
	if (!f) {
		buf_fini(&names);
		free(data);
		reply_error(front->sink, o, it->msgid, true, WIRE_E_BUSY,
			    "this node's queue is full: try again later");
		return;
	}
	f->reply_to = o;
	f->msgid = it->msgid;
	f->limit = options.limit;
	f->failed = false;
	f->left = 1; /* ours, until everybody has been asked */
	self = (struct reply_to){reply_to_id(REPLY_TO_FANOUT, index), 0, f->generation};
	shares_make(front, m, &options, &shares);
	if (shares.cluster)
		cluster_refuses(front, f);
	if (shares.self_count && !f->failed)
		workers_ask(front, m, f, self, question(m, it, &options, shares.self, data));
	for (uint32_t i = 0; i < front->node->conf->peers.count && !f->failed; i++)
		if (shares.asked[i]) {
			const struct item *x = question(m, it, &options, shares.peer[i], data);

			f->left++;
			peer_client_items(front->peers, front->peers->of_conf[i], &m->routed, self,
					  (uint32_t)(x - m->routed.item));
		}
	buf_fini(&names);
	free(data);
	if (!--f->left)
		fanout_finish(front, f);
}

/* ---- merging ---- */

struct stream {
	const char *p;
	uint32_t left;
	bool more;
	struct span name; /* the next one, if left */
};

static void stream_next(struct stream *s)
{
	s->left--;
	if (s->left)
		s->name = read_bytes(&s->p);
}

/* The list in a worker's reply `{items: […], more: bool}`. */
static void stream_open(struct stream *s, const struct part *part)
{
	struct reply r;
	const char *p;

	memset(s, 0, sizeof(*s));
	if (reply_walk(part->reply, part->reply + part->size, &r) < 0)
		return;
	p = r.result;
	(void)read_map(&p);
	p = read_skip(p); /* "items" */
	s->p = p;
	p = read_skip(p);
	p = read_skip(p); /* "more" */
	s->more = read_bool(&p);
	s->left = read_array(&s->p) + 1;
	stream_next(s);
}

/*
 * The stream with the smallest name.  NULL: all are at their ends, or one is that could have gone
 * on
 * (*ret_more): what the others hold may lie behind what it did not send.
 */
static struct stream *stream_least(struct stream *s, uint32_t n, bool *ret_more)
{
	struct stream *least = NULL;

	for (uint32_t i = 0; i < n; i++) {
		if (!s[i].left) {
			*ret_more |= s[i].more;
			continue;
		}
		if (!least || span_compare(s[i].name, least->name) < 0)
			least = &s[i];
	}
	return *ret_more ? NULL : least;
}

static void merge(struct fanout *f, struct buf *out)
{
	struct stream stream[STREAMS_MAX];
	struct stream *s;
	uint64_t count = 0;
	bool more = false;
	size_t count_at;
	char *p = buf_room(out, 64);

	for (uint32_t i = 0; i < f->parts; i++)
		stream_open(&stream[i], &f->part[i]);
	if (!p)
		return;
	p = write_map(write_reply_head(p, f->msgid), 2);
	p = write_text(p, "items");
	count_at = (size_t)(p - out->data);
	out->len = (size_t)(write_array32(p, 0) - out->data);
	while ((s = stream_least(stream, f->parts, &more))) {
		if (count == f->limit || out->len > WIRE_SCAN_BYTES_MAX) {
			more = true;
			break;
		}
		p = buf_room(out, s->name.n + CODEC_HEAD_MAX);
		if (!p)
			return;
		out->len = (size_t)(write_bin(p, s->name.p, s->name.n) - out->data);
		count++;
		stream_next(s);
	}
	p = buf_room(out, 16);
	if (!p)
		return;
	(void)write_array32(out->data + count_at, (uint32_t)count);
	out->len = (size_t)(write_bool(write_text(p, "more"), more) - out->data);
}

static void fanout_finish(struct front *front, struct fanout *f)
{
	const char *over = reply_over(front->sink, f->reply_to);
	struct buf out;

	buf_init(&out);
	if (over)
		fanout_fail(front, f, WIRE_E_BUSY, over);
	if (!f->failed) {
		merge(f, &out);
		if (out.failed)
			fanout_fail(front, f, WIRE_E_INTERNAL, "no memory");
		else
			reply_send(front->sink, f->reply_to, out.data, out.len);
	}
	buf_fini(&out);
	parts_free(front->fanouts, f);
	free(f->part);
	f->part = NULL;
	f->generation = 0;
	front->fanouts->count--;
}

/* Is this a list as workers and nodes make it? */
static bool list_sane(const struct reply *r)
{
	const char *p = r->result;
	uint32_t n;

	if (read_type(p) != TYPE_MAP || read_map(&p) != 2 || read_type(p) != TYPE_BYTES)
		return false;
	p = read_skip(p);
	if (read_type(p) != TYPE_ARRAY)
		return false;
	n = read_array(&p);
	for (uint32_t i = 0; i < n; i++) {
		struct span name = {NULL, 0};

		if (read_type(p) != TYPE_BYTES)
			return false;
		name = read_bytes(&p);
		if (!name.n || name.n > WIRE_BUCKET_MAX)
			return false;
	}
	p = read_skip(p);
	return read_type(p) == TYPE_BOOL;
}

static bool part_keep(struct fanouts *s, struct fanout *f, const char *reply, size_t n)
{
	struct part *part = &f->part[f->parts];

	part->reply = malloc(n);
	if (!part->reply)
		return false;
	memcpy(part->reply, reply, n);
	part->size = n;
	s->kept += n;
	f->parts++;
	return true;
}

void fanout_reply(struct front *front, struct reply_to o, const char *reply, size_t n)
{
	struct fanouts *s = front->fanouts;
	struct fanout *f = &s->fanout[reply_to_index(o)];
	struct reply r;
	bool whole;

	if (f->generation != o.generation)
		return;
	f->left--;
	whole = reply_walk(reply, reply + n, &r) == 0;
	if (!f->failed && whole && r.code.p) {
		f->failed = true; /* the first error is the answer: it names the msgid already */
		parts_free(s, f);
		reply_send(front->sink, f->reply_to, reply, n);
	}
	if (!f->failed && (!whole || !list_sane(&r)))
		fanout_fail(front, f, WIRE_E_INTERNAL, "a node sent a list of another shape");
	if (!f->failed && s->kept + n > KEPT_MAX && s->count > 1)
		fanout_fail(front, f, WIRE_E_BUSY,
			    "lists of too many buckets are being made: try again later");
	if (!f->failed && !part_keep(s, f, reply, n))
		fanout_fail(front, f, WIRE_E_INTERNAL, "no memory");
	if (!f->left)
		fanout_finish(front, f);
}
