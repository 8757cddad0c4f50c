/* Messages between nodes: to bytes and back, and bytes that are none. */
#include <errno.h>
#include <stdlib.h>

#include "include/wire.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/peer_message.h"
#include "tests/unit/lib/unit.h"

static size_t put_batch(char *b)
{
	const struct span visited[2] = {
		{"foo", 3},
                {"bar", 3}
        };
	char *p = peer_message_batch(b, 77, 123456, visited, 2, span_of("baz"), 3);

	for (uint32_t i = 0; i < 3; i++)
		p = write_uint(p, 1000 + i);
	p = peer_message_bytes(p, 5);
	memcpy(p, "abcde", 5);
	return (size_t)(p + 5 - b);
}

static size_t put_replies(char *b)
{
	char *p = peer_message_replies(b, 78, 2);

	p = peer_message_index(peer_message_index(p, 3), 4095);
	p = peer_message_bytes(p, 2);
	memcpy(p, "xy", 2);
	return (size_t)(p + 2 - b);
}

static void a_batch_comes_back(void)
{
	char b[1024];
	size_t n = put_batch(b);
	struct peer_message h;
	const char *p;

	TRUE_(n <= peer_message_batch_room(3) + 5);
	EQ(0, peer_message_read(b, b + n, &h));
	EQ(PEER_MESSAGE_BATCH, h.kind);
	EQ(77, h.id);
	EQ(123456, h.stamp_ms);
	EQ(3, h.visited_count);
	SAME(h.visited[0].p, h.visited[0].n, "foo");
	SAME(h.visited[2].p, h.visited[2].n, "baz");
	EQ(3, h.count);
	p = h.times;
	EQ(1000, read_uint(&p));
	EQ(1001, read_uint(&p));
	SAME(h.bytes.p, h.bytes.n, "abcde");
	EQ(n, h.end - b);
}

static void replies_come_back(void)
{
	char b[256];
	size_t n = put_replies(b);
	struct peer_message h;

	TRUE_(n <= peer_message_replies_room(2) + 2);
	EQ(0, peer_message_read(b, b + n, &h));
	EQ(PEER_MESSAGE_REPLIES, h.kind);
	EQ(78, h.id);
	EQ(2, h.count);
	EQ(3, peer_message_index_at(h.indexes, 0));
	EQ(4095, peer_message_index_at(h.indexes, 1));
	SAME(h.bytes.p, h.bytes.n, "xy");
}

static void small_messages_come_back(void)
{
	const struct peer_message hello = {.stamp_ms = 5,
					   .node = span_of("foo"),
					   .version = span_of("1.2"),
					   .started = 9,
					   .epoch = 10};
	const struct peer_message welcome = {
		.node = span_of("bar"), .version = span_of("1.3"), .frame_max = 99};
	char b[PEER_MESSAGE_SMALL_MAX];
	struct peer_message h;

	EQ(0, peer_message_read(b, peer_message_hello(b, &hello), &h));
	EQ(PEER_MESSAGE_HELLO, h.kind);
	EQ(PEER_MESSAGE_PROTOCOL, h.protocol);
	EQ(5, h.stamp_ms);
	EQ(9, h.started);
	EQ(10, h.epoch);
	SAME(h.node.p, h.node.n, "foo");
	EQ(0, peer_message_read(b, peer_message_welcome(b, &welcome), &h));
	EQ(PEER_MESSAGE_WELCOME, h.kind);
	EQ(99, h.frame_max);
	EQ(0, peer_message_read(b, peer_message_goaway(b, "it stops", 250), &h));
	EQ(PEER_MESSAGE_GOAWAY, h.kind);
	EQ(250, h.hold_ms);
	SAME(h.text.p, h.text.n, "it stops");
	EQ(0, peer_message_read(b, peer_message_ping(b, 44), &h));
	EQ(44, h.stamp_ms);
	EQ(0, peer_message_read(b, peer_message_pong(b), &h));
	EQ(PEER_MESSAGE_PONG, h.kind);
}

static void truncations_are_refused(void)
{
	char b[1024];
	size_t (*const put[])(char *) = {put_batch, put_replies};

	for (size_t k = 0; k < 2; k++) {
		size_t n = put[k](b);

		for (size_t i = 0; i < n; i++) {
			char *copy =
				malloc(i ? i : 1); /* exact, so that ASan sees a step too far */
			struct peer_message h;

			memcpy(copy, b, i);
			EQ(-EBADMSG, peer_message_read(copy, copy + i, &h));
			free(copy);
		}
	}
}

static void what_is_none_is_refused(void)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\x90",				     1 }, /* no kind */
		{"\x91\x07",				 2 }, /* no such kind */
		{"\x92\x04\x01",                             3 }, /* a pong with something in it */
		{"\x92\x03\xa1x",                            4 }, /* a ping whose stamp is text */
		{"\x93\x02\xa1x\xc0",                        5 }, /* a goaway without a time */
		{"\x94\x06\x01\xc4\x00\xc4\x00",             7 }, /* no replies at all */
		{"\x94\x06\x01\xc4\x01x\xc4\x00",            8 }, /* half an index */
		{"\x96\x05\x01\x02\x90\x91\x01\xc4\x00",     9 }, /* a batch that has been nowhere */
		{"\x96\x05\x01\x02\x91\xa1x\x90\xc4\x00",    10}, /* a batch of nothing */
		{"\x96\x05\x01\x02\x91\xa0\x91\x01\xc4\x00", 11}, /* a node without a name */
		{"\xc0",				     1 },
	};
	struct peer_message h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EQ(-EBADMSG, peer_message_read(bad[i].bytes, bad[i].bytes + bad[i].n, &h));
}

static void flipped_bytes_never_crash(void)
{
	uint64_t seed = unit_seed();
	char b[1024];

	for (int round = 0; round < 20000; round++) {
		size_t n = round & 1 ? put_batch(b) : put_replies(b);
		char *copy = malloc(n);
		struct peer_message h;

		memcpy(copy, b, n);
		for (int k = 0; k < 3; k++)
			copy[unit_random(&seed) % n] = (char)unit_random(&seed);
		if (peer_message_read(copy, copy + n, &h) == 0) {
			TRUE_(h.end <= copy + n);
			if (h.kind == PEER_MESSAGE_BATCH || h.kind == PEER_MESSAGE_REPLIES)
				TRUE_(h.bytes.p + h.bytes.n <= copy + n &&
				      h.count <= WIRE_REQUESTS_MAX);
		}
		free(copy);
	}
}

UNIT_MAIN(T(a_batch_comes_back), T(replies_come_back), T(small_messages_come_back),
	  T(truncations_are_refused), T(what_is_none_is_refused), T(flipped_bytes_never_crash))
