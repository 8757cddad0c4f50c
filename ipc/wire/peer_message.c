/* Messages between nodes, over msgpack.h. */
#include "ipc/wire/peer_message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "include/wire.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/peer_message_impl.h"

#define OLD_HELLO_ELEMENTS 7u /* of programs before ranges of versions */
#define FUNCTIONS          "functions"
#define LINK               "link"
#define REVISION           "revision"

static const uint8_t elements[PEER_MESSAGE_KIND_COUNT] = {
	[PEER_MESSAGE_HELLO] = 9,     [PEER_MESSAGE_WELCOME] = 6, [PEER_MESSAGE_GOAWAY] = 3,
	[PEER_MESSAGE_PING] = 2,      [PEER_MESSAGE_PONG] = 1,    [PEER_MESSAGE_BATCH] = 6,
	[PEER_MESSAGE_REPLIES] = 4,   [PEER_MESSAGE_BEAT] = 8,    [PEER_MESSAGE_APPEND] = 3,
	[PEER_MESSAGE_GRANT] = 8,     [PEER_MESSAGE_ACKS] = 3,    [PEER_MESSAGE_NACKS] = 3,
	[PEER_MESSAGE_ELSEWHERE] = 4, [PEER_MESSAGE_BULK] = 3,    [PEER_MESSAGE_ROUTED] = 8,
};

uint64_t take_uint(const char **p, bool *bad)
{
	if (*bad || read_type(*p) != TYPE_UINT) {
		*bad = true;
		return 0;
	}
	return read_uint(p);
}

struct span take_bytes(const char **p, size_t most, bool *bad)
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

static bool key_is_new(const struct span *key, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (span_equal(key[i], key[n]))
			return false;
	return true;
}

/* Whether the value at `p` is a digest, which is then *ret. */
static bool digest_read(const char *p, struct span *ret)
{
	static const char digits[] = "0123456789abcdef";
	struct span s;

	if (read_type(p) != TYPE_BYTES)
		return false;
	s = read_bytes(&p);
	if (s.n != PEER_MESSAGE_DIGEST)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!memchr(digits, s.p[i], sizeof(digits) - 1))
			return false;
	*ret = s;
	return true;
}

/*
 * One entry.  A value that has not the form known here is another version's, and no reason not to
 * link.  But a connection for what is not known here must not be taken for one that is: it would
 * take that one's place.
 */
static bool more_entry(struct span key, const char *value, struct peer_message *h)
{
	bool bad = false;
	uint64_t n;

	if (span_equal(key, span_of(FUNCTIONS))) {
		(void)digest_read(value, &h->functions);
	} else if (span_equal(key, span_of(REVISION)) && read_type(value) == TYPE_UINT) {
		h->revision = read_uint(&value);
	} else if (span_equal(key, span_of(LINK)) && h->kind == PEER_MESSAGE_HELLO) {
		n = take_uint(&value, &bad);
		if (bad || n >= PEER_LINK_COUNT)
			return false;
		h->link = (enum peer_link)n;
	}
	return true;
}

/*
 * The map at the end of a hello or welcome: room for what versions have to say to each other.
 */
static void more_read(const char *p, struct peer_message *h, bool *bad)
{
	struct span key[PEER_MESSAGE_MORE_MAX];
	uint32_t n;

	if (*bad)
		return;
	*bad = true;
	h->why = "what ends it is no map";
	if (read_type(p) != TYPE_MAP)
		return;
	n = read_map(&p);
	h->why = "its map has more than 32 entries";
	if (n > PEER_MESSAGE_MORE_MAX)
		return;
	h->why = "its map's keys are not different texts of 1 to 64 bytes";
	for (uint32_t i = 0; i < n; i++) {
		bool no = false;

		key[i] = take_bytes(&p, PEER_MESSAGE_KEY_MAX, &no);
		if (no || !key[i].n || !key_is_new(key, i))
			return;
		if (!more_entry(key[i], p, h)) {
			h->why = "its connection is for what is not known here";
			return;
		}
		p = read_skip(p);
	}
	*bad = false;
}

/* From the node's name to the epoch, which stand alike in the hello of programs before ranges. */
static const char *sender_read(const char *p, struct peer_message *h, bool *bad)
{
	h->node = take_node(&p, bad);
	h->version = take_bytes(&p, PEER_MESSAGE_NODE_MAX, bad);
	h->started = take_uint(&p, bad);
	h->epoch = take_uint(&p, bad);
	return p;
}

static void hello_read(const char *p, struct peer_message *h, bool *bad)
{
	h->why = "a hello's elements are of other types";
	h->stamp_ms = take_uint(&p, bad);
	h->versions.min = take_uint(&p, bad);
	h->versions.max = take_uint(&p, bad);
	p = sender_read(p, h, bad);
	if (!*bad && (!h->versions.min || h->versions.min > h->versions.max)) {
		h->why = "a hello's versions are no range";
		*bad = true;
	}
	more_read(p, h, bad);
}

/* [0, stamp, protocol, node, version, started, epoch], so that it can be told whose it is. */
static void old_hello_read(const char *p, struct peer_message *h, bool *bad)
{
	h->why = "a hello's elements are of other types";
	h->stamp_ms = take_uint(&p, bad);
	(void)take_uint(&p, bad);
	h->versions = (struct peer_versions){0, 0};
	(void)sender_read(p, h, bad);
}

static void welcome_read(const char *p, struct peer_message *h, bool *bad)
{
	h->why = "a welcome's elements are of other types";
	h->protocol = take_uint(&p, bad);
	h->node = take_node(&p, bad);
	h->version = take_bytes(&p, PEER_MESSAGE_NODE_MAX, bad);
	h->frame_max = take_uint(&p, bad);
	more_read(p, h, bad);
}

static void batch_read(const char *p, struct peer_message *h, bool *bad)
{
	h->id = take_uint(&p, bad);
	h->stamp_ms = take_uint(&p, bad);
	h->given = h->kind == PEER_MESSAGE_ROUTED ? take_uint(&p, bad) : 0;
	h->visited_count = take_array(&p, HOPS_MAX, bad);
	for (uint32_t i = 0; i < h->visited_count; i++)
		h->visited[i] = take_node(&p, bad);
	h->count = take_array(&p, WIRE_REQUESTS_MAX, bad);
	h->times = p;
	for (uint32_t i = 0; i < h->count; i++)
		(void)take_uint(&p, bad);
	if (h->kind == PEER_MESSAGE_ROUTED) {
		*bad |= take_array(&p, WIRE_REQUESTS_MAX, bad) != h->count;
		h->epochs = p;
		for (uint32_t i = 0; i < h->count; i++)
			*bad |= take_uint(&p, bad) > UINT32_MAX;
	}
	h->bytes = take_bytes(&p, SIZE_MAX, bad);
	*bad |= !h->visited_count || !h->count;
}

void indexes_read(const char **p, struct peer_message *h, bool *bad)
{
	h->indexes = take_bytes(p, INDEX_BYTES * WIRE_REQUESTS_MAX, bad);
	h->count = (uint32_t)(h->indexes.n / INDEX_BYTES);
	*bad |= !h->count || h->indexes.n % INDEX_BYTES;
}

static void replies_read(const char *p, struct peer_message *h, bool *bad)
{
	h->id = take_uint(&p, bad);
	indexes_read(&p, h, bad);
	h->bytes = take_bytes(&p, SIZE_MAX, bad);
}

static void body_read(const char *p, struct peer_message *h, bool *bad)
{
	switch (h->kind) {
	case PEER_MESSAGE_HELLO:
		hello_read(p, h, bad);
		return;
	case PEER_MESSAGE_WELCOME:
		welcome_read(p, h, bad);
		return;
	case PEER_MESSAGE_GOAWAY:
		h->text = take_bytes(&p, PEER_MESSAGE_TEXT_MAX, bad);
		h->hold_ms = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_PING:
		h->stamp_ms = take_uint(&p, bad);
		return;
	case PEER_MESSAGE_BATCH:
	case PEER_MESSAGE_ROUTED:
		batch_read(p, h, bad);
		return;
	case PEER_MESSAGE_REPLIES:
		replies_read(p, h, bad);
		return;
	default:
		if (h->kind >= PEER_MESSAGE_BEAT)
			cluster_read(p, h, bad);
		return;
	}
}

int peer_message_read(const char *p, const char *end, struct peer_message *ret)
{
	const char *begin = p;
	bool bad = false;
	uint64_t kind;
	uint32_t n;

	ret->why = "it is no MessagePack array, or cut short";
	if (p >= end || !read_whole(p, end, &ret->end) || read_type(p) != TYPE_ARRAY)
		return -EBADMSG;
	ret->why = "it has no kind that is known, or not that kind's number of elements";
	n = read_array(&p);
	if (!n)
		return -EBADMSG;
	kind = take_uint(&p, &bad);
	if (bad || kind >= PEER_MESSAGE_KIND_COUNT)
		return -EBADMSG;
	ret->kind = (enum peer_message_kind)kind;
	ret->functions = (struct span){NULL, 0};
	ret->link = PEER_LINK_REQUESTS;
	ret->revision = 0;
	if (kind == PEER_MESSAGE_HELLO && n == OLD_HELLO_ELEMENTS) {
		old_hello_read(p, ret, &bad);
		return bad ? -EBADMSG : 0;
	}
	if (n != elements[kind])
		return -EBADMSG;
	if (kind <= PEER_MESSAGE_WELCOME && ret->end - begin > PEER_MESSAGE_GREET_MAX) {
		ret->why = "a hello or welcome of more than 4096 bytes";
		return -EBADMSG;
	}
	ret->why = "its elements are of other types or sizes";
	body_read(p, ret, &bad);
	return bad ? -EBADMSG : 0;
}

uint64_t peer_versions_agree(struct peer_versions a, struct peer_versions b)
{
	uint64_t max = a.max < b.max ? a.max : b.max;

	return max >= a.min && max >= b.min ? max : 0;
}

/* ---- writing ---- */

char *message_head(char *p, enum peer_message_kind k)
{
	return write_uint(write_array(p, elements[k]), k);
}

static char *write_span(char *p, struct span s)
{
	return write_str(p, s.p, s.n);
}

static char *more_write(char *p, const struct peer_message *h)
{
	p = write_map(p, (uint32_t)(!!h->functions.n + !!h->link + !!h->revision));
	if (h->functions.n)
		p = write_span(write_text(p, FUNCTIONS), h->functions);
	if (h->link)
		p = write_uint(write_text(p, LINK), h->link);
	if (h->revision)
		p = write_uint(write_text(p, REVISION), h->revision);
	return p;
}

char *peer_message_hello(char *p, const struct peer_message *h)
{
	p = write_uint(message_head(p, PEER_MESSAGE_HELLO), h->stamp_ms);
	p = write_uint(write_uint(p, h->versions.min), h->versions.max);
	p = write_span(write_span(p, h->node), h->version);
	return more_write(write_uint(write_uint(p, h->started), h->epoch), h);
}

char *peer_message_welcome(char *p, const struct peer_message *h)
{
	p = write_uint(message_head(p, PEER_MESSAGE_WELCOME), h->protocol);
	p = write_span(write_span(p, h->node), h->version);
	return more_write(write_uint(p, h->frame_max), h);
}

char *peer_message_goaway(char *p, const char *text, uint64_t hold_ms)
{
	size_t n = strlen(text);

	p = write_str(message_head(p, PEER_MESSAGE_GOAWAY), text,
		      n < PEER_MESSAGE_TEXT_MAX ? n : PEER_MESSAGE_TEXT_MAX);
	return write_uint(p, hold_ms);
}

char *peer_message_ping(char *p, uint64_t stamp_ms)
{
	return write_uint(message_head(p, PEER_MESSAGE_PING), stamp_ms);
}

char *peer_message_pong(char *p)
{
	return message_head(p, PEER_MESSAGE_PONG);
}

size_t peer_message_batch_room(uint32_t count)
{
	/* Array, kind, id, stamp, given, and the heads of four more: 48 bytes at most; and of each request
	 * its time and epoch, 5 bytes each at most. */
	return 6 * CODEC_HEAD_MAX + (HOPS_MAX + 1) * (PEER_MESSAGE_NODE_MAX + CODEC_HEAD_MAX) +
	       (size_t)count * CODEC_HEAD_MAX;
}

size_t peer_message_replies_room(uint32_t count)
{
	return 5 * CODEC_HEAD_MAX + (size_t)count * INDEX_BYTES;
}

char *peer_message_batch(char *p, enum peer_message_kind kind, uint64_t id, uint64_t stamp_ms,
			 uint64_t given, const struct span *visited, uint32_t visited_count,
			 struct span self, uint32_t count)
{
	p = write_uint(write_uint(message_head(p, kind), id), stamp_ms);
	if (kind == PEER_MESSAGE_ROUTED)
		p = write_uint(p, given);
	p = write_array(p, visited_count + 1);
	for (uint32_t i = 0; i < visited_count; i++)
		p = write_span(p, visited[i]);
	return write_array(write_span(p, self), count);
}

char *peer_message_epochs(char *p, uint32_t count)
{
	return write_array(p, count);
}

char *peer_message_replies(char *p, uint64_t id, uint32_t count)
{
	p = write_uint(message_head(p, PEER_MESSAGE_REPLIES), id);
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
