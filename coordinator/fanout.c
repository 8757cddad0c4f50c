/*
 * Questions to all workers at once: `buckets`.  Each worker lists its own, sorted; the lists are
 * merged.  A worker that cannot be asked is an error, never a shorter list.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "coordinator/coord.h"

#define FANOUTS_MAX 4096u

struct part {
	char *reply;
	size_t size;
};

struct fanout {
	uint64_t generation; /* 0: free */
	struct owner owner;
	uint64_t msgid;
	uint64_t limit;
	uint32_t left; /* replies awaited */
	uint32_t parts;
	bool failed; /* an error has been answered */
	struct part part[64];
};

struct fanouts {
	struct fanout fanout[FANOUTS_MAX];
	uint64_t generation;
	uint32_t hint;
};

int fanouts_new(struct fanouts **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void parts_free(struct fanout *f)
{
	for (uint32_t i = 0; i < f->parts; i++)
		free(f->part[i].reply);
	f->parts = 0;
}

void fanouts_free(struct fanouts **fp)
{
	if (!*fp)
		return;
	for (uint32_t i = 0; i < FANOUTS_MAX; i++)
		parts_free(&(*fp)->fanout[i]);
	free(*fp);
	*fp = NULL;
}

static struct fanout *fanout_new(struct fanouts *s, uint32_t *ret_index)
{
	for (uint32_t k = 0; k < FANOUTS_MAX; k++) {
		uint32_t i = (s->hint + k) % FANOUTS_MAX;

		if (!s->fanout[i].generation && !s->fanout[i].left) {
			s->hint = i + 1;
			s->fanout[i].generation = ++s->generation;
			*ret_index = i;
			return &s->fanout[i];
		}
	}
	return NULL;
}

void fanout_buckets(struct coord *c, struct owner o, const struct item *it)
{
	uint32_t index;
	struct fanout *f = fanout_new(c->fanouts, &index);
	struct request q;
	struct options options;
	const char *why;
	char text[128];
	struct owner self;

	if (!f) {
		dispatch_error(c, o, it->msgid, true, WIRE_E_BUSY,
			       "this node's queue is full: try again later");
		return;
	}
	(void)request_walk(it->data, it->data + it->size, &q, &why);
	(void)request_check(&q, &options, text, sizeof(text));
	f->owner = o;
	f->msgid = it->msgid;
	f->limit = options.limit;
	f->failed = false;
	f->left = 0;
	self = (struct owner){owner_id(OWNER_FANOUT, index), f->generation};
	for (uint32_t i = 0; i < c->super.count && !f->failed; i++) {
		int r = dispatch_one(c, &c->super.worker[i], self, it);

		if (r == 0) {
			f->left++;
			continue;
		}
		f->failed = true;
		if (r == -EAGAIN)
			dispatch_error(c, o, it->msgid, true, WIRE_E_BUSY,
				       "this node's queue is full: try again later");
		else
			dispatch_error(c, o, it->msgid, true, WIRE_E_INTERNAL,
				       "a worker has failed: not every bucket can be listed");
	}
	if (!f->left)
		f->generation = 0;
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
	struct stream stream[64];
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

static void fanout_finish(struct coord *c, struct fanout *f)
{
	struct buf out;

	buf_init(&out);
	if (!f->failed) {
		merge(f, &out);
		if (out.failed)
			dispatch_error(c, f->owner, f->msgid, true, WIRE_E_INTERNAL, "no memory");
		else
			clients_answer(c->clients, f->owner, out.data, out.len, 1, false);
	}
	buf_fini(&out);
	parts_free(f);
	f->generation = 0;
}

void fanout_reply(void *arg, struct owner o, const char *reply, size_t n)
{
	struct coord *c = arg;
	struct fanout *f = &c->fanouts->fanout[owner_index(o)];
	struct part *part = &f->part[f->parts];
	struct reply r;

	if (f->generation != o.generation)
		return;
	f->left--;
	if (!f->failed && (reply_walk(reply, reply + n, &r) < 0 || r.code.p)) {
		f->failed = true; /* the first error is the answer: it names the msgid already */
		clients_answer(c->clients, f->owner, reply, n, 1, false);
	}
	if (!f->failed) {
		part->reply = malloc(n);
		part->size = n;
		if (part->reply) {
			memcpy(part->reply, reply, n);
			f->parts++;
		} else {
			f->failed = true;
			dispatch_error(c, f->owner, f->msgid, true, WIRE_E_INTERNAL, "no memory");
		}
	}
	if (!f->left)
		fanout_finish(c, f);
}
