/* Messages between the nodes of a cluster: to bytes and back, and bytes that are none. */
#include <errno.h>
#include <stdlib.h>

#include "include/wire.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/peer_message.h"
#include "tests/unit/lib/unit.h"

#define ROOM 1024u

static const enum peer_message_kind carriers[] = {PEER_MESSAGE_APPEND, PEER_MESSAGE_ACKS,
						  PEER_MESSAGE_NACKS, PEER_MESSAGE_BULK};

static size_t put_beat(char *b, enum peer_message_kind kind, uint32_t count)
{
	const struct peer_message h = {.kind = kind,
				       .incarnation = UINT64_MAX,
				       .store = 0x0123456789abcdef,
				       .round = 77,
				       .revision = 1234,
				       .wall_ms = 1700000000000,
				       .flags = 3};
	char *p = peer_message_beat(b, &h, count);

	TRUE_((size_t)(p - b) <= PEER_CLUSTER_ROOM);
	for (uint32_t i = 0; i < count; i++) {
		const struct peer_claim x = {i * 3, i & 1, (uint64_t)i << 40};

		p = peer_message_claim(p, &x);
	}
	return (size_t)(p - b);
}

/* A parcel of `size` bytes. */
static char *put_parcel(char *p, uint32_t size)
{
	memset(p, (int)size, size);
	memcpy(p, &size, sizeof(size));
	return p + size;
}

static size_t put_parcels(char *b, enum peer_message_kind kind, const uint32_t *size,
			  uint32_t count)
{
	uint32_t n = 0;
	char *p;

	for (uint32_t i = 0; i < count; i++)
		n += size[i];
	p = peer_message_parcels(b, kind, 3, n);
	TRUE_((size_t)(p - b) <= PEER_CLUSTER_ROOM);
	for (uint32_t i = 0; i < count; i++)
		p = put_parcel(p, size[i]);
	return (size_t)(p - b);
}

static size_t put_elsewhere(char *b, uint32_t count, uint32_t places)
{
	char *p = peer_message_elsewhere(b, 9, count);

	for (uint32_t i = 0; i < count; i++)
		p = peer_message_index(p, 300 + i);
	p = peer_message_places(p, places);
	for (uint32_t i = 0; i < places; i++) {
		const struct peer_place x = {.partition = 4095 - i,
					     .epoch = UINT32_MAX,
					     .revision = 5 + i,
					     .store = UINT64_MAX,
					     .node = 255};

		p = peer_message_place(p, &x);
	}
	return (size_t)(p - b);
}

static size_t put_any(char *b, unsigned which)
{
	static const uint32_t size[] = {16, 80, 24};

	if (which < 4)
		return put_parcels(b, carriers[which], size, 3);
	if (which < 6)
		return put_beat(b, which == 4 ? PEER_MESSAGE_BEAT : PEER_MESSAGE_GRANT, 3);
	return put_elsewhere(b, 3, 2);
}

static void beats_and_grants_come_back(void)
{
	static const enum peer_message_kind kinds[] = {PEER_MESSAGE_BEAT, PEER_MESSAGE_GRANT};
	static const uint32_t counts[] = {0, 1, 256, PEER_CLAIMS_MAX};
	char *b = malloc(PEER_CLUSTER_ROOM + (size_t)PEER_CLAIMS_MAX * PEER_CLAIM_BYTES);
	struct peer_message h;

	for (size_t k = 0; k < 2; k++)
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			size_t n = put_beat(b, kinds[k], counts[c]);

			EQ(0, peer_message_read(b, b + n, &h));
			EQ(kinds[k], h.kind);
			EQ(n, h.end - b);
			TRUE_(h.incarnation == UINT64_MAX);
			EQ(0x0123456789abcdef, h.store);
			EQ(77, h.round);
			EQ(1234, h.revision);
			EQ(1700000000000, h.wall_ms);
			EQ(3, h.flags);
			EQ(counts[c], peer_message_claims(&h));
			for (uint32_t i = 0; i < counts[c]; i++) {
				struct peer_claim x = peer_message_claim_at(h.bytes, i);

				EQ(i * 3, x.partition);
				EQ(i & 1, x.flags);
				EQ((uint64_t)i << 40, x.term);
			}
		}
	free(b);
}

static void parcels_come_back(void)
{
	static const uint32_t size[] = {16, 80, 24};
	char b[ROOM];
	struct peer_message h;

	for (size_t k = 0; k < 4; k++)
		for (uint32_t count = 1; count <= 3; count++) {
			size_t n = put_parcels(b, carriers[k], size, count);
			const char *p;

			EQ(0, peer_message_read(b, b + n, &h));
			EQ(carriers[k], h.kind);
			EQ(3, h.worker);
			EQ(n, h.end - b);
			p = h.bytes.p;
			for (uint32_t i = 0; i < count; i++) {
				char want[80];

				(void)put_parcel(want, size[i]);
				EQ(0, memcmp(want, p, size[i]));
				p += size[i];
			}
			EQ(h.bytes.n, p - h.bytes.p);
		}
}

static void an_elsewhere_comes_back(void)
{
	char b[ROOM];
	size_t n = put_elsewhere(b, 5, 2);
	struct peer_message h;
	struct peer_place x;

	EQ(0, peer_message_read(b, b + n, &h));
	EQ(PEER_MESSAGE_ELSEWHERE, h.kind);
	EQ(9, h.id);
	EQ(5, h.count);
	EQ(304, peer_message_index_at(h.indexes, 4));
	EQ(2, peer_message_place_count(&h));
	x = peer_message_place_at(h.bytes, 1);
	EQ(4094, x.partition);
	EQ(UINT32_MAX, x.epoch);
	EQ(6, x.revision);
	TRUE_(x.store == UINT64_MAX);
	EQ(255, x.node);
	EQ(n, h.end - b);
}

static void numbers_of_kinds_are_the_pages(void)
{
	EQ(7, PEER_MESSAGE_BEAT);
	EQ(8, PEER_MESSAGE_APPEND);
	EQ(9, PEER_MESSAGE_GRANT);
	EQ(10, PEER_MESSAGE_ACKS);
	EQ(11, PEER_MESSAGE_NACKS);
	EQ(12, PEER_MESSAGE_ELSEWHERE);
	EQ(13, PEER_MESSAGE_BULK);
	EQ(14, PEER_MESSAGE_ROUTED);
}

/* Written by hand, so that it is known that the writer is not what is wrong. */
static void what_is_none_is_refused(void)
{
#define P16 "\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define BAD(s)                   \
	{                        \
		s, sizeof(s) - 1 \
	}
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		BAD("\x93\x08\x01\xc4\x00"),                   /* no parcel */
		BAD("\x93\x08\x01\xc4\x08\x10\0\0\0\0\0\0\0"), /* half a head */
		BAD("\x93\x08\x01\xc4\x11" P16 "x"),           /* and something behind */
		BAD("\x93\x08\xc0\xc4\x10" P16),               /* a worker that is none */
		BAD("\x92\x08\x01"),                           /* nothing there */
		BAD("\x94\x0a\x01\xc4\x10" P16 "\x01"),        /* too much */
		BAD("\x93\x0d\x01\x90"),                       /* an array */
		BAD("\x93\x0b\x01\xc4\x10\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* shorter than a head */
		BAD("\x93\x0b\x01\xc4\x10\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* of nothing */
		BAD("\x93\x0b\x01\xc4\x10\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* longer than it is */
		BAD("\x93\x0b\x01\xc4\x10\xf8\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"),
		BAD("\x93\x0b\x01\xc4\x14\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* odd */
		BAD("\x98\x07\x01\x02\x03\x04\x05\x00\xc4\x01x"), /* no whole claim */
		BAD("\x98\x09\x01\x02\x03\x04\x05\x00\xc0"),      /* none at all */
		BAD("\x98\x07\x01\x02\x03\x04\xa1x\x00\xc4\x00"), /* a wall clock that is text */
		BAD("\x96\x07\x01\x02\x03\x04\xc4\x00"),          /* without one */
		BAD("\x94\x0c\x01\xc4\x00\xc4\x00"),              /* of no request */
		BAD("\x94\x0c\x01\xc4\x02\0\0\xc4\x00"),          /* of no partition */
		BAD("\x94\x0c\x01\xc4\x01\0\xc4\x20" P16 P16),    /* half an index */
		BAD("\x94\x0c\x01\xc4\x02\0\0\xc4\x10" P16),      /* half a place */
		BAD("\x94\x0c\x01\xc4\x02\0\0\xc4\x40" P16 P16 P16 P16), /* more than requests */
		BAD("\x93\x0e\x01\xc4\x10" P16),                         /* no such kind */
	};
	static const char good[] = "\x94\x0c\x01\xc4\x02\0\0\xc4\x20" P16 P16;
	struct peer_message h;
	char *b = malloc(PEER_CLUSTER_ROOM + (size_t)(PEER_CLAIMS_MAX + 1) * PEER_CLAIM_BYTES);

	EQ(0, peer_message_read(good, good + sizeof(good) - 1, &h));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *copy = malloc(bad[i].n);

		memcpy(copy, bad[i].bytes, bad[i].n);
		EQ(-EBADMSG, peer_message_read(copy, copy + bad[i].n, &h));
		TRUE_(h.why && *h.why);
		free(copy);
	}
	EQ(-EBADMSG,
	   peer_message_read(b, b + put_beat(b, PEER_MESSAGE_BEAT, PEER_CLAIMS_MAX + 1), &h));
	free(b);
}

static void truncations_are_refused(void)
{
	char b[ROOM];

	for (unsigned k = 0; k < 7; k++) {
		size_t n = put_any(b, k);

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

static void flipped_bytes_never_crash(void)
{
	uint64_t seed = unit_seed();
	char b[ROOM];

	for (unsigned round = 0; round < 20000; round++) {
		size_t n = put_any(b, round % 7);
		char *copy = malloc(n);
		struct peer_message h;

		memcpy(copy, b, n);
		for (int k = 0; k < 3; k++)
			copy[unit_random(&seed) % n] = (char)unit_random(&seed);
		if (peer_message_read(copy, copy + n, &h) == 0) {
			TRUE_(h.end <= copy + n);
			if (h.kind >= PEER_MESSAGE_BEAT)
				TRUE_(h.bytes.p + h.bytes.n <= copy + n);
		}
		free(copy);
	}
}

/* ---- hello ---- */

static struct peer_message hello(enum peer_link link, uint64_t revision)
{
	return (struct peer_message){
		.versions = {2, 3},
		.node = span_of("a"),
		.version = span_of("1"),
		.started = 9,
		.epoch = 10,
		.functions = span_of("0123456789abcdef"),
		.link = link,
		.revision = revision
        };
}

static void a_hello_says_what_its_connection_is_for(void)
{
	char b[PEER_MESSAGE_SMALL_MAX];
	struct peer_message h;

	for (unsigned link = 0; link < PEER_LINK_COUNT; link++) {
		const struct peer_message m = hello((enum peer_link)link, link * 1000u);

		EQ(0, peer_message_read(b, peer_message_hello(b, &m), &h));
		EQ(link, h.link);
		EQ(link * 1000, h.revision);
		SAME(h.functions.p, h.functions.n, "0123456789abcdef");
		EQ(0, peer_message_read(b, peer_message_welcome(b, &m), &h));
		EQ(PEER_LINK_REQUESTS, h.link);
		EQ(link * 1000, h.revision);
	}
}

/* It would be taken for the one that requests come by, and take its place. */
static void a_connection_for_what_is_not_known_is_refused(void)
{
	static const struct {
		const char *value;
		size_t n;
	} bad[] = {
		{"\x03",         1},
                {"\xa1\x31",     2},
                {"\xc0",         1},
		{"\xff",         1},
                {"\x91\x01",     2},
                {"\xcd\x01\x00", 3}
        };
	char b[PEER_MESSAGE_SMALL_MAX];
	const struct peer_message m = {
		.versions = {2, 3},
                  .node = span_of("a"), .epoch = 1
        };
	size_t n = (size_t)(peer_message_hello(b, &m) - b) - 1; /* without its empty map */
	struct peer_message h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *p = b + n;

		p = write_text(write_map(p, 1), "link");
		memcpy(p, bad[i].value, bad[i].n);
		EQ(-EBADMSG, peer_message_read(b, p + bad[i].n, &h));
		TRUE_(strstr(h.why, "its connection is for what is not known here"));
		/* a revision of another form is another version's */
		p = write_text(write_map(b + n, 1), "revision");
		memcpy(p, bad[i].value, bad[i].n);
		EQ(0, peer_message_read(b, p + bad[i].n, &h));
	}
}

UNIT_MAIN(T(beats_and_grants_come_back), T(parcels_come_back), T(an_elsewhere_comes_back),
	  T(numbers_of_kinds_are_the_pages), T(what_is_none_is_refused), T(truncations_are_refused),
	  T(flipped_bytes_never_crash), T(a_hello_says_what_its_connection_is_for),
	  T(a_connection_for_what_is_not_known_is_refused))
