/* Sorted lists of names into one. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/front/fanout_impl.h"

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

/* The list in a reply `{items: […], more: bool, …}`. */
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
 * on (*ret_more): what the others hold may lie behind what it did not send.
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

/* The names, up to the limit.  Returns whether there are more, *ret_count how many they are. */
static bool names_merge(const struct fanout *f, struct stream *stream, struct buf *out,
			uint64_t *ret_count)
{
	bool more = false;
	struct stream *s;

	while ((s = stream_least(stream, f->parts, &more))) {
		char *p;

		if (*ret_count == f->limit || out->len > WIRE_SCAN_BYTES_MAX)
			return true;
		p = buf_room(out, s->name.n + CODEC_HEAD_MAX);
		if (!p)
			return more;
		out->len = (size_t)(write_bin(p, s->name.p, s->name.n) - out->data);
		++*ret_count;
		stream_next(s);
	}
	return more;
}

void merge_parts(const struct fanout *f, struct span partitions, struct buf *out)
{
	struct stream *stream = calloc(f->parts + 1u, sizeof(*stream));
	char *p = buf_room(out, 64);
	uint64_t count = 0;
	size_t count_at;
	bool more;

	out->failed |= !stream;
	if (out->failed) {
		free(stream);
		return;
	}
	for (uint32_t i = 0; i < f->parts; i++)
		stream_open(&stream[i], &f->part[i]);
	p = write_map(write_reply_head(p, f->msgid), partitions.n ? 3 : 2);
	p = write_text(p, "items");
	count_at = (size_t)(p - out->data);
	out->len = (size_t)(write_array32(p, 0) - out->data);
	more = names_merge(f, stream, out, &count);
	free(stream);
	p = buf_room(out, 64 + partitions.n);
	if (!p)
		return;
	(void)write_array32(out->data + count_at, (uint32_t)count);
	p = write_bool(write_text(p, "more"), more);
	if (partitions.n)
		p = write_bin(write_text(p, "partitions"), partitions.p, partitions.n);
	out->len = (size_t)(p - out->data);
}

/* An array of names, `*p` behind it. */
static bool names_sane(const char **p)
{
	uint32_t n;

	if (read_type(*p) != TYPE_ARRAY)
		return false;
	n = read_array(p);
	for (uint32_t i = 0; i < n; i++) {
		struct span name = {NULL, 0};

		if (read_type(*p) != TYPE_BYTES)
			return false;
		name = read_bytes(p);
		if (!name.n || name.n > WIRE_BUCKET_MAX)
			return false;
	}
	return true;
}

bool merge_sane(const struct reply *r, struct span *ret_partitions)
{
	const char *p = r->result;
	uint32_t n;

	*ret_partitions = (struct span){NULL, 0};
	if (read_type(p) != TYPE_MAP)
		return false;
	n = read_map(&p);
	if ((n != 2 && n != 3) || read_type(p) != TYPE_BYTES)
		return false;
	p = read_skip(p);
	if (!names_sane(&p))
		return false;
	p = read_skip(p);
	if (read_type(p) != TYPE_BOOL)
		return false;
	p = read_skip(p);
	if (n == 2)
		return true;
	p = read_skip(p);
	if (read_type(p) != TYPE_BYTES)
		return false;
	*ret_partitions = read_bytes(&p);
	return true;
}
