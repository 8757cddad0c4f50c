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
	char *p = peer_message_batch(b, PEER_MESSAGE_BATCH, 77, 123456, 0, visited, 2,
				     span_of("baz"), 3);

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
	const struct peer_message hello = {
		.stamp_ms = 5,
		.versions = {2, 300},
		.node = span_of("foo"),
		.version = span_of("1.2"),
		.started = 9,
		.epoch = 10
        };
	const struct peer_message welcome = {
		.protocol = 7, .node = span_of("bar"), .version = span_of("1.3"), .frame_max = 99};
	char b[PEER_MESSAGE_SMALL_MAX];
	struct peer_message h;

	EQ(0, peer_message_read(b, peer_message_hello(b, &hello), &h));
	EQ(PEER_MESSAGE_HELLO, h.kind);
	EQ(2, h.versions.min);
	EQ(300, h.versions.max);
	EQ(5, h.stamp_ms);
	EQ(9, h.started);
	EQ(10, h.epoch);
	SAME(h.node.p, h.node.n, "foo");
	EQ(0, peer_message_read(b, peer_message_welcome(b, &welcome), &h));
	EQ(PEER_MESSAGE_WELCOME, h.kind);
	EQ(7, h.protocol);
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

/* ---- hello and welcome: what nodes of any versions must be able to read ---- */

#define HELLO              \
	"\x05\x02\x03\xa3" \
	"foo"              \
	"\xa5"             \
	"0.1.0"            \
	"\x09\x0a"

/* A hello with `more` as its last element. */
static size_t put_hello(char *b, const char *more, size_t n)
{
	memcpy(b, "\x99\x00" HELLO, 17);
	memcpy(b + 17, more, n);
	return 17 + n;
}

/* As docs/protocol.md has them: other programs are written by that page. */
static void a_hello_is_those_bytes(void)
{
	const struct peer_message hello = {
		.stamp_ms = 5,
		.versions = {2, 3},
		.node = span_of("foo"),
		.version = span_of("0.1.0"),
		.started = 9,
		.epoch = 10
        };
	const struct peer_message welcome = {.protocol = 2,
					     .node = span_of("bar"),
					     .version = span_of("0.1.0"),
					     .frame_max = 1000};
	static const char greeting[] = "\x96\x01\x02\xa3"
				       "bar"
				       "\xa5"
				       "0.1.0"
				       "\xcd\x03\xe8\x80";
	char want[64];
	char b[PEER_MESSAGE_SMALL_MAX];
	size_t n = put_hello(want, "\x80", 1);

	EQ(n, peer_message_hello(b, &hello) - b);
	EQ(0, memcmp(want, b, n));
	EQ(sizeof(greeting) - 1, peer_message_welcome(b, &welcome) - b);
	EQ(0, memcmp(greeting, b, sizeof(greeting) - 1));
}

static void the_highest_common_version_is_agreed_on(void)
{
	static const struct {
		struct peer_versions a, b;
		uint64_t agreed;
	} row[] = {
		{{2, 2},          {2, 2},                   2         },
                {{2, 4},          {3, 5},                   4         },
		{{1, 9},          {3, 5},                   5         },
                {{2, 4},          {4, 6},                   4         },
		{{2, 3},          {4, 6},                   0         },
                {{1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}, UINT64_MAX},
		{{2, 2},          {0, 0},                   0         }, /* of before ranges */
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		EQ(row[i].agreed, peer_versions_agree(row[i].a, row[i].b));
		EQ(row[i].agreed, peer_versions_agree(row[i].b, row[i].a));
	}
}

static void what_a_hello_has_more_is_passed_over(void)
{
	static const char more[] = "\x83"
				   "\xa3"
				   "one"
				   "\xc3"
				   "\xc4\x03"
				   "two"
				   "\x92\x81\x01\x02\xc0"
				   "\xa5"
				   "three"
				   "\xcb\x00\x00\x00\x00\x00\x00\x00\x00";
	char b[256];
	size_t n = put_hello(b, more, sizeof(more) - 1);
	struct peer_message h;

	EQ(0, peer_message_read(b, b + n, &h));
	EQ(2, h.versions.min);
	EQ(3, h.versions.max);
	SAME(h.node.p, h.node.n, "foo");
	EQ(10, h.epoch);
	EQ(n, h.end - b);
}

/* Each with its node's digest in `more`, whatever else is there. */
static void a_greeting_tells_which_functions_its_node_has(void)
{
	struct peer_message m = {
		.stamp_ms = 5,
		.versions = {2, 3},
		.protocol = 2,
		.node = span_of("foo"),
		.version = span_of("0.1.0"),
		.started = 9,
		.epoch = 10,
		.frame_max = 1000,
		.functions = span_of("0123456789abcdef"),
	};
	static const char more[] = "\x81\xa9"
				   "functions\xb0"
				   "0123456789abcdef";
	static const char among[] = "\x83\xa3"
				    "one\xc3\xc4\x09"
				    "functions\xc4\x10"
				    "0123456789abcdef\xa3"
				    "two\x90";
	char want[128];
	char b[PEER_MESSAGE_SMALL_MAX];
	size_t n = put_hello(want, more, sizeof(more) - 1);
	char *end = peer_message_hello(b, &m);
	struct peer_message h;

	EQ(n, end - b);
	EQ(0, memcmp(want, b, n));
	EQ(0, peer_message_read(b, end, &h));
	SAME(h.functions.p, h.functions.n, "0123456789abcdef");
	end = peer_message_welcome(b, &m);
	EQ(0, memcmp(more, end - sizeof(more) + 1, sizeof(more) - 1));
	EQ(0, peer_message_read(b, end, &h));
	EQ(PEER_MESSAGE_WELCOME, h.kind);
	SAME(h.functions.p, h.functions.n, "0123456789abcdef");
	n = put_hello(b, among, sizeof(among) - 1);
	EQ(0, peer_message_read(b, b + n, &h));
	SAME(h.functions.p, h.functions.n, "0123456789abcdef");
	m.functions.n = 0;
	EQ(0, peer_message_read(b, peer_message_welcome(b, &m), &h));
	EQ(0, h.functions.n);
	EQ(0, peer_message_read(b, peer_message_hello(b, &m), &h));
	EQ(0, h.functions.n);
}

/* Another version's: the greeting counts, that entry does not. */
static void what_is_no_digest_is_passed_over(void)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\xc0",				 1 },
		{"\x07",				 1 },
		{"\xcf\x01\x02\x03\x04\x05\x06\x07\x08", 9 },
		{"\x91\xa1k",                            3 },
		{"\x81\xa1k\xb0"
		 "0123456789abcdef",    20},
		{"\xa0",				 1 },
		{"\xaf"
		 "0123456789abcde",     16},
		{"\xb1"
		 "0123456789abcdef0",   18},
		{"\xb0"
		 "0123456789ABCDEF",    17},
		{"\xb0"
		 "0123456789abcde\n",   17},
		{"\xb0"
		 "0123456789abcde\0",   17},
	};
	char more[64] = "\x81\xa9"
			"functions";
	char b[256];
	struct peer_message h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n;

		memcpy(more + 11, bad[i].bytes, bad[i].n);
		n = put_hello(b, more, 11 + bad[i].n);
		EQ(0, peer_message_read(b, b + n, &h));
		EQ(10, h.epoch);
		EQ(n, h.end - b);
		EQ(0, h.functions.n);
	}
}

/* What is no map of different texts is refused, and said why. */
static void a_hello_that_ends_in_no_map_is_none(void)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *why;
	} bad[] = {
		{"\x01",                       1, "no map"},
		{"\xc0",                       1, "no map"},
		{"\x90",                       1, "no map"},
		{"\x81\x01\x02",               3, "texts" },
		{"\x81\xa0\x02",               3, "texts" }, /* an empty one */
		{"\x82\xa1k\x01\xa1k\x02",     7, "texts" }, /* one twice */
		{"\x82\xa1k\x01\xc4\x01k\x02", 8, "texts" }, /* as bin: the same */
		{"\x81\x81\x01\x02\xa1k",      6, "texts" },
	};
	char b[256];
	struct peer_message h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n = put_hello(b, bad[i].bytes, bad[i].n);

		EQ(-EBADMSG, peer_message_read(b, b + n, &h));
		TRUE_(strstr(h.why, bad[i].why));
	}
}

/* A map of `count` entries with keys of `key` bytes and values of `value`, behind a hello. */
static size_t put_large(char *b, uint32_t count, size_t key, size_t value)
{
	char *p = b + put_hello(b, "", 0);
	char text[256];

	memset(text, 'k', sizeof(text));
	p = write_map(p, count);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(text, &i, sizeof(i));
		p = write_str(p, text, key);
		p = write_bin_head(p, value);
		memset(p, 0, value);
		p += value;
	}
	return (size_t)(p - b);
}

static void a_hello_is_bounded(void)
{
	static char b[1 << 20];
	struct peer_message h;
	size_t n = put_large(b, 32, 64, 8);

	EQ(0, peer_message_read(b, b + n, &h));
	n = put_large(b, 33, 8, 1);
	EQ(-EBADMSG, peer_message_read(b, b + n, &h));
	TRUE_(strstr(h.why, "32 entries"));
	n = put_large(b, 1, 65, 1);
	EQ(-EBADMSG, peer_message_read(b, b + n, &h));
	n = put_large(b, 1, 8, 4096 - 17 - 1 - 9 - 3);
	EQ(4096, n);
	EQ(0, peer_message_read(b, b + n, &h));
	n = put_large(b, 1, 8, 4096 - 17 - 1 - 9 - 3 + 1);
	EQ(-EBADMSG, peer_message_read(b, b + n, &h));
	TRUE_(strstr(h.why, "4096 bytes"));
	n = put_large(b, 60000, 8, 1);
	EQ(-EBADMSG, peer_message_read(b, b + n, &h));
}

static void a_hello_needs_a_range(void)
{
	static const char *const bad[] = {"\x00\x00", "\x00\x02", "\x03\x02"};
	char b[64];
	struct peer_message h;

	for (size_t i = 0; i < 3; i++) {
		size_t n = put_hello(b, "\x80", 1);

		memcpy(b + 3, bad[i], 2);
		EQ(-EBADMSG, peer_message_read(b, b + n, &h));
		TRUE_(strstr(h.why, "no range"));
	}
	(void)put_hello(b, "\x80", 1);
	b[3] = '\xc3'; /* a boolean */
	EQ(-EBADMSG, peer_message_read(b, b + 18, &h));
	TRUE_(strstr(h.why, "types"));
}

/* So that it can be told which node must be upgraded. */
static void a_hello_of_before_ranges_can_be_read(void)
{
	static const char old[] = "\x97\x00\x05\x01\xa3"
				  "foo"
				  "\xa5"
				  "0.1.0"
				  "\x09\x0a";
	struct peer_message h;

	EQ(0, peer_message_read(old, old + sizeof(old) - 1, &h));
	EQ(PEER_MESSAGE_HELLO, h.kind);
	EQ(0, h.versions.min);
	EQ(0, h.versions.max);
	SAME(h.node.p, h.node.n, "foo");
	SAME(h.version.p, h.version.n, "0.1.0");
	EQ(10, h.epoch);
}

static void hellos_cut_or_flipped_never_crash(void)
{
	uint64_t seed = unit_seed();
	static const char more[] = "\x82"
				   "\xa3"
				   "one"
				   "\xc3"
				   "\xc4\x03"
				   "two"
				   "\x92\x81\x01\x02\xc0";
	char b[256];
	size_t n = put_hello(b, more, sizeof(more) - 1);

	for (uint32_t round = 0; round < 20000; round++) {
		size_t size = round < n ? round : n;
		char *copy = malloc(size ? size : 1);
		struct peer_message h;

		memcpy(copy, b, size);
		for (int k = 0; round >= n && k < 3; k++)
			copy[unit_random(&seed) % size] = (char)unit_random(&seed);
		if (peer_message_read(copy, copy + size, &h) == 0) {
			TRUE_(round >= n && h.end <= copy + size);
			if (h.kind == PEER_MESSAGE_HELLO)
				TRUE_(h.node.n && h.node.p + h.node.n <= copy + size &&
				      h.versions.min <= h.versions.max);
		} else {
			TRUE_(h.why && *h.why);
		}
		free(copy);
	}
}

UNIT_MAIN(T(a_batch_comes_back), T(replies_come_back), T(small_messages_come_back),
	  T(truncations_are_refused), T(what_is_none_is_refused), T(flipped_bytes_never_crash),
	  T(a_hello_is_those_bytes), T(the_highest_common_version_is_agreed_on),
	  T(what_a_hello_has_more_is_passed_over), T(a_greeting_tells_which_functions_its_node_has),
	  T(what_is_no_digest_is_passed_over), T(a_hello_that_ends_in_no_map_is_none),
	  T(a_hello_is_bounded), T(a_hello_needs_a_range), T(a_hello_of_before_ranges_can_be_read),
	  T(hellos_cut_or_flipped_never_crash))
