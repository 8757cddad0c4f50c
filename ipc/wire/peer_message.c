/* Messages between nodes, over msgpack.h. */
#include "ipc/wire/peer_message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "include/wire.h"
#include "ipc/wire/msgpack.h"

#define INDEX_BYTES 2u

static const uint8_t elements[PEER_MESSAGE_KIND_COUNT] = {
	[PEER_MESSAGE_HELLO] = 7,   [PEER_MESSAGE_WELCOME] = 5, [PEER_MESSAGE_GOAWAY] = 3,
	[PEER_MESSAGE_PING] = 2,    [PEER_MESSAGE_PONG] = 1,    [PEER_MESSAGE_BATCH] = 6,
	[PEER_MESSAGE_REPLIES] = 4,
};

/* Each steps over one element, or says that it is of another type: then nothing else counts. */

static uint64_t take_uint(const char **p, bool *bad)
{
	if (*bad || read_type(*p) != TYPE_UINT) {
		*bad = true;
		return 0;
	}
	return read_uint(p);
}

static struct span take_bytes(const char **p, size_t most, bool *bad)
{
	struct span s = {NULL, 0};

	if (*bad || read_type(*p) != TYPE_BYTES)
		*bad = true;
	else
		s = read_bytes(p);
	*bad |= s.n > most;
	return s;
}

static uint32_t take_array(const char **p, uint32_t most, bool *bad)
{
	uint32_t n;

	if (*bad || read_type(*p) != TYPE_ARRAY) {
		*bad = true;
		return 0;
	}
	n = read_array(p);
	*bad |= n > most;
	return *bad ? 0 : n;
}

static struct span take_node(const char **p, bool *bad)
{
	struct span s = take_bytes(p, PEER_MESSAGE_NODE_MAX, bad);

	*bad |= !s.n;
	return s;
}

static void batch_read(const char *p, struct peer_message *h, bool *bad)
{
	h->id = take_uint(&p, bad);
	h->stamp_ms = take_uint(&p, bad);
	h->visited_count = take_array(&p, HOPS_MAX, bad);
	for (uint32_t i = 0; i < h->visited_count; i++)
		h->visited[i] = take_node(&p, bad);
	h->count = take_array(&p, WIRE_REQUESTS_MAX, bad);
	h->times = p;
	for (uint32_t i = 0; i < h->count; i++)
		(void)take_uint(&p, bad);
	h->bytes = take_bytes(&p, SIZE_MAX, bad);
	*bad |= !h->visited_count || !h->count;
}

static void replies_read(const char *p, struct peer_message *h, bool *bad)
{
	h->id = take_uint(&p, bad);
	h->indexes = take_bytes(&p, INDEX_BYTES * WIRE_REQUESTS_MAX, bad);
	h->bytes = take_bytes(&p, SIZE_MAX, bad);
	h->count = (uint32_t)(h->indexes.n / INDEX_BYTES);
	*bad |= !h->count || h->indexes.n % INDEX_BYTES;
}

static void body_read(const char *p, struct peer_message *h, bool *bad)
{
	switch (h->kind) {
	case PEER_MESSAGE_HELLO:
		h->stamp_ms = take_uint(&p, bad);
		h->protocol = take_uint(&p, bad);
		h->node = take_node(&p, bad);
		h->version = take_bytes(&p, PEER_MESSAGE_NODE_MAX, bad);
		h->started = take_uint(&p, bad);
		h->epoch = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_WELCOME:
		h->protocol = take_uint(&p, bad);
		h->node = take_node(&p, bad);
		h->version = take_bytes(&p, PEER_MESSAGE_NODE_MAX, bad);
		h->frame_max = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_GOAWAY:
		h->text = take_bytes(&p, PEER_MESSAGE_TEXT_MAX, bad);
		h->hold_ms = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_PING:
		h->stamp_ms = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_BATCH:
		batch_read(p, h, bad);
		return;
	case PEER_MESSAGE_REPLIES:
		replies_read(p, h, bad);
		return;
	default:
		return;
	}
}

int peer_message_read(const char *p, const char *end, struct peer_message *ret)
{
	bool bad = false;
	uint64_t kind;
	uint32_t n;

	if (p >= end || !read_whole(p, end, &ret->end) || read_type(p) != TYPE_ARRAY)
		return -EBADMSG;
	n = read_array(&p);
	if (!n)
		return -EBADMSG;
	kind = take_uint(&p, &bad);
	if (bad || kind >= PEER_MESSAGE_KIND_COUNT || n != elements[kind])
		return -EBADMSG;
	ret->kind = (enum peer_message_kind)kind;
	body_read(p, ret, &bad);
	return bad ? -EBADMSG : 0;
}

/* ---- writing ---- */

static char *head(char *p, enum peer_message_kind k)
{
	return write_uint(write_array(p, elements[k]), k);
}

static char *write_span(char *p, struct span s)
{
	return write_str(p, s.p, s.n);
}

char *peer_message_hello(char *p, const struct peer_message *h)
{
	p = write_uint(head(p, PEER_MESSAGE_HELLO), h->stamp_ms);
	p = write_span(write_uint(p, PEER_MESSAGE_PROTOCOL), h->node);
	p = write_span(p, h->version);
	return write_uint(write_uint(p, h->started), h->epoch);
}

char *peer_message_welcome(char *p, const struct peer_message *h)
{
	p = write_uint(head(p, PEER_MESSAGE_WELCOME), PEER_MESSAGE_PROTOCOL);
	p = write_span(write_span(p, h->node), h->version);
	return write_uint(p, h->frame_max);
}

char *peer_message_goaway(char *p, const char *text, uint64_t hold_ms)
{
	size_t n = strlen(text);

	p = write_str(head(p, PEER_MESSAGE_GOAWAY), text,
		      n < PEER_MESSAGE_TEXT_MAX ? n : PEER_MESSAGE_TEXT_MAX);
	return write_uint(p, hold_ms);
}

char *peer_message_ping(char *p, uint64_t stamp_ms)
{
	return write_uint(head(p, PEER_MESSAGE_PING), stamp_ms);
}

char *peer_message_pong(char *p)
{
	return head(p, PEER_MESSAGE_PONG);
}

size_t peer_message_batch_room(uint32_t count)
{
	return 6 * CODEC_HEAD_MAX + (HOPS_MAX + 1) * (PEER_MESSAGE_NODE_MAX + CODEC_HEAD_MAX) +
	       (size_t)count * CODEC_HEAD_MAX;
}

size_t peer_message_replies_room(uint32_t count)
{
	return 5 * CODEC_HEAD_MAX + (size_t)count * INDEX_BYTES;
}

char *peer_message_batch(char *p, uint64_t id, uint64_t stamp_ms, const struct span *visited,
			 uint32_t visited_count, struct span self, uint32_t count)
{
	p = write_uint(write_uint(head(p, PEER_MESSAGE_BATCH), id), stamp_ms);
	p = write_array(p, visited_count + 1);
	for (uint32_t i = 0; i < visited_count; i++)
		p = write_span(p, visited[i]);
	return write_array(write_span(p, self), count);
}

char *peer_message_replies(char *p, uint64_t id, uint32_t count)
{
	p = write_uint(head(p, PEER_MESSAGE_REPLIES), id);
	return write_bin_head(p, (size_t)count * INDEX_BYTES);
}

char *peer_message_index(char *p, uint32_t index)
{
	p[0] = (char)(index >> 8);
	p[1] = (char)(index & 0xff);
	return p + INDEX_BYTES;
}

char *peer_message_bytes(char *p, size_t n)
{
	return write_bin_head(p, n);
}

uint32_t peer_message_index_at(struct span indexes, uint32_t i)
{
	const uint8_t *p = (const uint8_t *)indexes.p + (size_t)i * INDEX_BYTES;

	return (uint32_t)p[0] << 8 | p[1];
}
