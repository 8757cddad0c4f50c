/* Requests and replies: every shape, every truncation, hostile bytes. */
#include <errno.h>
#include <stdlib.h>

#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

static char *put_request(char *p)
{
	p = write_request_head(p, 300, WIRE_PUT, 4);
	p = write_bin(p, "fruit", 5);
	p = write_text(p, "apple");
	p = write_bin(p, "red", 3);
	p = write_map(p, 2);
	p = write_uint(write_text(p, "ttl"), 1000);
	return write_uint(write_text(p, "timeout"), 70);
}

static void a_request_is_walked(void)
{
	char b[256];
	char *end = put_request(b);
	struct request q;
	struct options o;
	struct span s;
	const char *why;
	char text[200];

	EQ(0, request_walk(b, end, &q, &why));
	EQ(300, q.msgid);
	EQ(WIRE_PUT, q.method);
	EQ(4, q.param_count);
	TRUE_(q.end == end);
	SAME(q.bucket.p, q.bucket.n, "fruit");
	EQ(0, request_bytes(&q, 1, &s));
	SAME(s.p, s.n, "apple");
	EQ(WIRE_OK, request_check(&q, &o, text, sizeof(text)));
	EQ(OPT_TTL | OPT_TIMEOUT, o.given);
	EQ(1000, o.ttl_ms);
	EQ(70, o.timeout_ms);
	EQ(100, o.limit);
}

static void every_truncation_is_refused(void)
{
	char b[256];
	size_t n = (size_t)(put_request(b) - b);

	for (size_t i = 0; i < n; i++) {
		/* A copy of the exact size, so that a read behind it is found by ASan. */
		char *copy = malloc(i ? i : 1);
		struct request q;
		const char *why;

		memcpy(copy, b, i);
		EQ(-EBADMSG, request_walk(copy, copy + i, &q, &why));
		free(copy);
	}
}

static void counts_that_overflow_are_refused(void)
{
	/* An array or map that says it has 2^32-1 elements: a counter of 32 bits would wrap. */
	static const char *const bad[] = {
		"\xdd\xff\xff\xff\xff",
		"\xdf\xff\xff\xff\xff",
		"\xdf\x80\x00\x00\x00",
		"\x94\x00\x01\xa3get\xdd\xff\xff\xff\xff",
		"\x94\x00\x01\xa3get\xdf\x7f\xff\xff\xff",
		"\xc6\xff\xff\xff\xff",
		"\xc9\xff\xff\xff\xff\x01",
		"\xc1",
	};
	static const size_t size[] = {5, 5, 5, 12, 12, 5, 6, 1};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *copy = malloc(size[i]);
		struct request q;
		struct reply r;
		const char *why;

		memcpy(copy, bad[i], size[i]);
		EQ(-EBADMSG, request_walk(copy, copy + size[i], &q, &why));
		EQ(-EBADMSG, reply_walk(copy, copy + size[i], &r));
		free(copy);
	}
}

static void bad_requests_keep_their_msgid(void)
{
	static const char no_params[] = "\x93\x00\x07\xa3get";
	static const char bad_method[] = "\x94\x00\x07\x05\x90";
	static const char bad_id[] = "\x94\x00\xa1x\xa3get\x90";
	struct request q;
	const char *why;

	EQ(-EBADMSG, request_walk(no_params, no_params + 7, &q, &why));
	TRUE_(q.msgid_known);
	EQ(7, q.msgid);
	EQ(-EBADMSG, request_walk(bad_method, bad_method + 5, &q, &why));
	EQ(7, q.msgid);
	EQ(-EBADMSG, request_walk(bad_id, bad_id + 9, &q, &why));
	EQ(0, q.msgid_known);
}

static void integers_may_be_encoded_as_signed(void)
{
	/* Some libraries write every integer as one of the signed forms. */
	static const char wide[] = "\x94\xd0\x00\xd3\0\0\0\0\0\0\0\x07\xa4ping\x90";
	static const char negative[] = "\x94\xd0\x00\xd0\xff\xa4ping\x90";
	struct request q;
	const char *why;

	EQ(0, request_walk(wide, wide + sizeof(wide) - 1, &q, &why));
	EQ(7, q.msgid);
	EQ(WIRE_PING, q.method);
	EQ(-EBADMSG, request_walk(negative, negative + sizeof(negative) - 1, &q, &why));
	EQ(0, q.msgid_known);
}

static void random_bytes_never_crash(void)
{
	uint64_t s = unit_seed();

	for (int round = 0; round < 200000; round++) {
		size_t n = unit_random(&s) % 40;
		char *b = malloc(n ? n : 1);
		struct request q;
		struct options o;
		struct reply r;
		const char *why;
		char text[200];

		for (size_t i = 0; i < n; i++)
			b[i] = (char)unit_random(&s);
		if (n > 2 && unit_random(&s) % 2)
			memcpy(b, "\x94\x00\x01", 3);
		if (n > 8 && unit_random(&s) % 2)
			memcpy(b + 3, "\xa4scan", 5);
		if (request_walk(b, b + n, &q, &why) == 0 && q.method >= 0)
			(void)request_check(&q, &o, text, sizeof(text));
		(void)reply_walk(b, b + n, &r);
		free(b);
	}
}

static enum wire_error check_of(const char *option, uint64_t v)
{
	char b[256];
	char *p = write_bin(write_request_head(b, 1, WIRE_SCAN, 2), "b", 1);
	struct request q;
	struct options o;
	const char *why;
	char text[200];

	p = write_uint(write_text(write_map(p, 1), option), v);
	EQ(0, request_walk(b, p, &q, &why));
	return request_check(&q, &o, text, sizeof(text));
}

static void options_are_checked(void)
{
	EQ(WIRE_E_BAD_ARGUMENT, check_of("limit", 0));
	EQ(WIRE_OK, check_of("limit", 1));
	EQ(WIRE_OK, check_of("limit", 10000));
	EQ(WIRE_E_BAD_ARGUMENT, check_of("limit", 10001));
	EQ(WIRE_E_BAD_ARGUMENT, check_of("reverse", 1));
	EQ(WIRE_E_BAD_ARGUMENT, check_of("nonsense", 1));
	EQ(WIRE_E_BAD_ARGUMENT, check_of("ttl", 1)); /* of put, not of scan */
}

static void replies_are_walked(void)
{
	char b[WIRE_REPLY_ERROR_MAX];
	char *end = write_value_reply(b, 9, (struct span){"v", 1}, 77);
	struct reply r;
	const char *p;

	EQ(0, reply_walk(b, end, &r));
	EQ(9, r.msgid);
	TRUE_(!r.code.p);
	p = r.result;
	EQ(2, read_array(&p));
	EQ(1, read_bytes(&p).n);
	EQ(77, read_uint(&p));
	end = write_error(b, 0, false, WIRE_E_NO_ROUTE, "there is none");
	EQ(0, reply_walk(b, end, &r));
	EQ(0, r.msgid_known);
	EQ(WIRE_E_NO_ROUTE, wire_error_find(r.code));
	SAME(r.text.p, r.text.n, "there is none");
}

static void errors_may_carry_data(void)
{
	char b[WIRE_REPLY_ERROR_MAX];
	static const char one[] = "\x94\x01\x09\x91\xa1g\xc0";
	static const char three[] = "\x94\x01\x09\x93\xa1g\xa1h\xc0\xc0";
	static const char four[] = "\x94\x01\x09\x94\xa1g\xa1h\xc0\xc0\xc0";
	char *end = write_conflict(b, 9, UINT64_MAX);
	struct reply r;
	const char *p;

	EQ(0, reply_walk(b, end, &r));
	EQ(WIRE_E_CONFLICT, wire_error_find(r.code));
	SAME(r.text.p, r.text.n, "the version is 18446744073709551615 now");
	p = r.data;
	EQ(TYPE_UINT, read_type(p));
	EQ((long long)UINT64_MAX, (long long)read_uint(&p));
	EQ(TYPE_NIL, read_type(r.result));
	TRUE_(read_skip(r.result) == end);
	end = write_error(b, 9, true, WIRE_E_CONFLICT, "the version is 12 now");
	EQ(0, reply_walk(b, end, &r));
	TRUE_(!r.data);
	EQ(0, reply_walk(three, three + 10, &r));
	EQ(TYPE_NIL, read_type(r.data));
	EQ(-EBADMSG, reply_walk(four, four + 11, &r));
	EQ(-EBADMSG, reply_walk(one, one + 7, &r));
}

static void error_texts_are_cut_to_the_limit(void)
{
	char b[WIRE_REPLY_ERROR_MAX];
	char text[5000];
	struct reply r;
	char *end;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	end = write_error(b, UINT64_MAX, true, WIRE_E_UNKNOWN_METHOD, text);
	TRUE_(end <= b + sizeof(b));
	EQ(0, reply_walk(b, end, &r));
	TRUE_(r.text.n > 1000);
}

/* All forms of one number of elements or bytes, short and long, are the same to a reader. */
static void short_and_long_forms_are_read_alike(void)
{
	static const char *const heads[] = {"\x93",     "\xdc\0\3",    "\xdd\0\0\0\3", "\xa3",
					    "\xd9\3",   "\xda\0\3",    "\xdb\0\0\0\3", "\xc4\3",
					    "\xc5\0\3", "\xc6\0\0\0\3"};
	static const uint8_t size[] = {1, 3, 5, 1, 2, 3, 5, 2, 3, 5};

	for (size_t i = 0; i < sizeof(size); i++) {
		char b[16] = {0};
		const char *p = b;
		const char *next;

		memcpy(b, heads[i], size[i]);
		memcpy(b + size[i], "\1\2\3", 3);
		TRUE_(read_whole(b, b + sizeof(b), &next));
		EQ(size[i] + 3, next - b);
		EQ(size[i] + 3, read_skip(b) - b);
		EQ(i < 3 ? TYPE_ARRAY : TYPE_BYTES, read_type(p));
		if (i < 3) {
			EQ(3, read_array(&p));
			EQ(size[i], p - b);
		} else {
			struct span v = read_bytes(&p);

			SAME(v.p, v.n, "\1\2\3");
			EQ(size[i] + 3, p - b);
		}
	}
}

static void every_first_byte_has_its_type(void)
{
	static const struct {
		uint8_t last;
		uint8_t type;
	} upto[] = {
		{0x7f, TYPE_UINT },
                {0x8f, TYPE_MAP  },
                {0x9f, TYPE_ARRAY},
                {0xbf, TYPE_BYTES},
		{0xc0, TYPE_NIL  },
                {0xc1, TYPE_OTHER},
                {0xc3, TYPE_BOOL },
                {0xc6, TYPE_BYTES},
		{0xc9, TYPE_OTHER},
                {0xcb, TYPE_FLOAT},
                {0xcf, TYPE_UINT },
                {0xd3, TYPE_INT  },
		{0xd8, TYPE_OTHER},
                {0xdb, TYPE_BYTES},
                {0xdd, TYPE_ARRAY},
                {0xdf, TYPE_MAP  },
		{0xff, TYPE_INT  }
        };
	unsigned row = 0;

	for (unsigned c = 0; c < 256; c++) {
		char b = (char)c;

		EQ(upto[row].type, read_type(&b));
		row += c == upto[row].last;
	}
}

UNIT_MAIN(T(short_and_long_forms_are_read_alike), T(every_first_byte_has_its_type),
	  T(a_request_is_walked), T(every_truncation_is_refused),
	  T(counts_that_overflow_are_refused), T(bad_requests_keep_their_msgid),
	  T(integers_may_be_encoded_as_signed), T(random_bytes_never_crash), T(options_are_checked),
	  T(replies_are_walked), T(errors_may_carry_data), T(error_texts_are_cut_to_the_limit))
