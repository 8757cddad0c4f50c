/* Transactions and arguments as they are built: byte for byte, at their limits, and at random. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "common/json.h"
#include "tests/unit/lib/unit.h"

#define BIG (16u << 20)

/* The request of a transaction as bytes; in `big`. */
static char big[BIG];

static size_t packed(const struct pail_txn *t, uint32_t timeout_ms)
{
	struct pail_request q = {
		.size = sizeof(q), .method = PAIL_TXN, .bucket = pail_str("b"), .txn = t};
	const char *why = "";
	size_t n;

	EQ(PAIL_OK, request_refuse(&q, &why));
	TRUE_(request_size(&q) < BIG);
	n = (size_t)(request_write(big, 9, &q, timeout_ms) - big);
	TRUE_(n <= request_size(&q));
	return n;
}

static size_t call_packed(struct pail_bytes args)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_CALL, .bucket = pail_str("b")};
	const char *why = "";
	size_t n;

	q.module = pail_str("m");
	q.function = pail_str("f");
	q.args = args;
	EQ(PAIL_OK, request_refuse(&q, &why));
	n = (size_t)(request_write(big, 9, &q, WIRE_TIMEOUT_MS) - big);
	TRUE_(n <= request_size(&q));
	return n;
}

#define BYTES_ARE(n, want)                                       \
	do {                                                     \
		EQ(sizeof(want) - 1, n);                         \
		TRUE_(memcmp(big, want, sizeof(want) - 1) == 0); \
	} while (0)

static struct pail_txn *begin(void)
{
	struct pail_txn *t = NULL;

	EQ(PAIL_OK, pail_txn_new(&t));
	return t;
}

/* ---- transactions ---- */

static void every_entry_has_its_bytes(void)
{
	struct pail_request range = {.size = sizeof(range), .prefix = pail_str("p"), .limit = 5};
	struct pail_txn *t = begin();

	range.reverse = true;
	EQ(PAIL_OK, pail_txn_if_version(t, pail_str("k"), PAIL_EQUAL, 300));
	EQ(PAIL_OK, pail_txn_if_value(t, pail_str("k"), PAIL_NOT_EQUAL, pail_str("")));
	EQ(PAIL_OK, pail_txn_if_version(t, pail_str("k"), PAIL_LESS, UINT64_MAX));
	EQ(PAIL_OK, pail_txn_if_value(t, pail_str("k"), PAIL_GREATER, pail_str("v")));
	EQ(PAIL_OK, pail_txn_put(t, PAIL_THEN, pail_str("k"), pail_str("v"), 0));
	EQ(PAIL_OK, pail_txn_put(t, PAIL_THEN, pail_str("k"), (struct pail_bytes){NULL, 0}, 7));
	EQ(PAIL_OK, pail_txn_touch(t, PAIL_THEN, pail_str("k"), 0));
	EQ(PAIL_OK, pail_txn_touch(t, PAIL_THEN, pail_str("k"), 7));
	EQ(PAIL_OK, pail_txn_delete(t, PAIL_THEN, pail_str("k")));
	EQ(PAIL_OK, pail_txn_get(t, PAIL_ELSE, pail_str("k")));
	EQ(PAIL_OK, pail_txn_scan(t, PAIL_ELSE, &range));
	EQ(PAIL_OK, pail_txn_scan(t, PAIL_ELSE, NULL));
	EQ(PAIL_OK, pail_txn_count(t, PAIL_ELSE));
	EQ(13, pail_txn_entries(t));
	BYTES_ARE(packed(t, WIRE_TIMEOUT_MS),
		  "\x94\0\x09\xa3txn\x92\xc4\x01"
		  "b\x83"
		  "\xa2if\x94"
		  "\x94\xc4\x01k\xa7version\xa1=\xcd\x01\x2c"
		  "\x94\xc4\x01k\xa5value\xa2!=\xc4\0"
		  "\x94\xc4\x01k\xa7version\xa1<\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
		  "\x94\xc4\x01k\xa5value\xa1>\xc4\x01v"
		  "\xa4then\x95"
		  "\x93\xa3put\xc4\x01k\xc4\x01v"
		  "\x94\xa3put\xc4\x01k\xc4\0\x81\xa3ttl\x07"
		  "\x92\xa5touch\xc4\x01k"
		  "\x93\xa5touch\xc4\x01k\x81\xa3ttl\x07"
		  "\x92\xa6"
		  "delete\xc4\x01k"
		  "\xa4"
		  "else\x94"
		  "\x92\xa3get\xc4\x01k"
		  "\x92\xa4scan\x83\xa6prefix\xc4\x01p\xa5limit\x05\xa7reverse\xc3"
		  "\x92\xa4scan\x80"
		  "\x91\xa5"
		  "count");
	pail_txn_free(&t);
	TRUE_(!t);
	pail_txn_free(&t);
}

static void nothing_is_a_transaction_too_and_may_have_a_timeout(void)
{
	struct pail_txn *t = begin();

	BYTES_ARE(packed(t, WIRE_TIMEOUT_MS), "\x94\0\x09\xa3txn\x92\xc4\x01"
					      "b\x80");
	EQ(PAIL_OK, pail_txn_count(t, PAIL_THEN));
	BYTES_ARE(packed(t, 7), "\x94\0\x09\xa3txn\x92\xc4\x01"
				"b\x82\xa7timeout\x07\xa4then\x91\x91\xa5"
				"count");
	pail_txn_free(&t);
}

/* The first refusal stands: its place, its reason; what is added behind it is not. */
static void the_first_refusal_refuses_all(void)
{
	struct pail_txn *t = begin();
	struct pail_request q = {.size = sizeof(q), .method = PAIL_TXN, .txn = t};
	const char *why = "";

	EQ(PAIL_OK, pail_txn_get(t, PAIL_THEN, pail_str("k")));
	EQ(PAIL_OK, pail_txn_put(t, PAIL_ELSE, pail_str("k"), pail_str("v"), 0));
	EQ(0, strcmp("", pail_txn_why(t)));
	EQ(PAIL_BAD_ARGUMENT, pail_txn_put(t, PAIL_THEN, pail_str(""), pail_str("v"), 0));
	EQ(0, strcmp("then[1]: the key is empty, it must be 1 to 480 bytes", pail_txn_why(t)));
	EQ(PAIL_BAD_ARGUMENT, pail_txn_delete(t, PAIL_ELSE, pail_str("fine")));
	EQ(PAIL_BAD_ARGUMENT, pail_txn_count(t, (enum pail_branch)7));
	EQ(0, strcmp("then[1]: the key is empty, it must be 1 to 480 bytes", pail_txn_why(t)));
	EQ(2, pail_txn_entries(t));
	EQ(PAIL_BAD_ARGUMENT, request_refuse(&q, &why));
	TRUE_(why == pail_txn_why(t));
	pail_txn_clear(t);
	EQ(0, pail_txn_entries(t));
	EQ(PAIL_OK, pail_txn_count(t, PAIL_THEN));
	EQ(PAIL_OK, request_refuse(&q, &why));
	BYTES_ARE(packed(t, WIRE_TIMEOUT_MS), "\x94\0\x09\xa3txn\x92\xc4\x01"
					      "b\x81\xa4then\x91\x91\xa5"
					      "count");
	pail_txn_free(&t);
}

#define REFUSED(status, text, addition)               \
	do {                                          \
		struct pail_txn *t = begin();         \
		EQ(status, addition);                 \
		EQ(0, strcmp(text, pail_txn_why(t))); \
		EQ(0, pail_txn_entries(t));           \
		pail_txn_free(&t);                    \
	} while (0)

static void what_is_malformed_is_refused_when_it_is_added(void)
{
	static char key[481];
	struct pail_request range = {.size = sizeof(range), .limit = 10001};
	struct pail_request older = {.limit = 1};
	struct pail_request hollow = {
		.size = sizeof(hollow), .from = {NULL, 3}
        };
	struct pail_bytes most = {key, 480};
	struct pail_bytes more = {key, 481};
	struct pail_bytes none = {NULL, 3};
	struct pail_bytes huge = {key, (size_t)UINT32_MAX};
	struct pail_txn *fine = begin();

	EQ(PAIL_OK, pail_txn_get(fine, PAIL_THEN, most));
	pail_txn_free(&fine);
	REFUSED(PAIL_TOO_LARGE, "then[0]: the key has 481 bytes, the limit is 480",
		pail_txn_get(t, PAIL_THEN, more));
	REFUSED(PAIL_TOO_LARGE, "if[0]: the key has 481 bytes, the limit is 480",
		pail_txn_if_version(t, more, PAIL_EQUAL, 0));
	REFUSED(PAIL_BAD_ARGUMENT, "if[0]: the key is empty, it must be 1 to 480 bytes",
		pail_txn_if_value(t, none, PAIL_EQUAL, most));
	REFUSED(PAIL_BAD_ARGUMENT, "if[0]: there is no such relation",
		pail_txn_if_value(t, most, (enum pail_relation)4, most));
	REFUSED(PAIL_BAD_ARGUMENT, "if[0]: there is no such relation",
		pail_txn_if_version(t, most, (enum pail_relation) - 1, 1));
	REFUSED(PAIL_BAD_ARGUMENT, "then[0]: there is no such branch",
		pail_txn_count(t, (enum pail_branch)2));
	REFUSED(PAIL_BAD_ARGUMENT, "then[0]: there is no such branch",
		pail_txn_put(t, (enum pail_branch) - 1, most, most, 0));
	REFUSED(PAIL_BAD_ARGUMENT, "else[0]: a value of 3 bytes without data",
		pail_txn_put(t, PAIL_ELSE, most, none, 0));
	REFUSED(PAIL_TOO_LARGE,
		"then[0]: a value of 4294967295 bytes, which is more than any node takes",
		pail_txn_put(t, PAIL_THEN, most, huge, 0));
	REFUSED(PAIL_BAD_ARGUMENT, "then[0]: a limit of 10001, it must be 1 to 10000",
		pail_txn_scan(t, PAIL_THEN, &range));
	REFUSED(PAIL_BAD_ARGUMENT, "then[0]: bytes without data, or more than any node takes",
		pail_txn_scan(t, PAIL_THEN, &hollow));
	REFUSED(PAIL_BAD_ARGUMENT,
		"then[0]: a request's size is not set, or it has a field that this libpail, older "
		"than the program, does not know",
		pail_txn_scan(t, PAIL_THEN, &older));
}

static void entries_are_4096_at_most_in_all_lists_together(void)
{
	struct pail_txn *t = begin();

	for (unsigned i = 0; i < 4096; i++)
		EQ(PAIL_OK, i % 3 == 0   ? pail_txn_if_version(t, pail_str("k"), PAIL_EQUAL, i)
			    : i % 3 == 1 ? pail_txn_count(t, PAIL_THEN)
					 : pail_txn_get(t, PAIL_ELSE, pail_str("k")));
	TRUE_(packed(t, WIRE_TIMEOUT_MS) > 4096 * 5);
	EQ(PAIL_TOO_LARGE, pail_txn_count(t, PAIL_ELSE));
	EQ(0, strcmp("else[1365]: it has 4096 entries, which is the most", pail_txn_why(t)));
	EQ(4096, pail_txn_entries(t));
	pail_txn_free(&t);
}

/* What is read back of an entry: its name or key, and how many elements it has. */
static const char *lists_check(const char *p, const uint32_t *count, const uint64_t *sum)
{
	static const char *const names[] = {"if", "then", "else"};
	uint32_t lists = read_map(&p);

	for (int l = 0; l < 3; l++) {
		uint64_t got = 0;
		uint32_t n;

		if (!count[l])
			continue;
		EQ(1, lists-- > 0);
		TRUE_(span_equal(read_bytes(&p), span_of(names[l])));
		n = read_array(&p);
		EQ(count[l], n);
		while (n--) {
			const char *entry = p;

			for (uint32_t k = read_array(&p); k; k--) {
				got += read_type(p) == TYPE_BYTES && l >= 0;
				p = read_skip(p);
			}
			got += (uint64_t)(p - entry);
		}
		EQ(sum[l], got);
	}
	EQ(0, lists);
	return p;
}

/* Whatever is added in whatever order, the request is whole, and each list has what was added. */
static void random_transactions_are_whole(void)
{
	uint64_t state = unit_seed();
	struct pail_txn *t = begin();
	static char data[70000];

	for (unsigned round = 0; round < 300; round++) {
		uint32_t count[3] = {0};
		uint64_t sum[3] = {0};
		unsigned n = (unsigned)(unit_random(&state) % 40);
		const char *next;
		const char *p;
		size_t size;

		pail_txn_clear(t);
		for (unsigned i = 0; i < n; i++) {
			struct pail_bytes key = {data, 1 + unit_random(&state) % 480};
			struct pail_bytes value = {data,
						   unit_random(&state) % (i % 8 ? 300 : 70000)};
			int l = (int)(unit_random(&state) % 3);
			enum pail_branch branch = l == 2 ? PAIL_ELSE : PAIL_THEN;
			size_t key_bytes = 2u + (key.size > 255) + key.size;
			size_t value_bytes =
				(value.size > 65535 ? 5u : 2u + (value.size > 255)) + value.size;

			count[l]++;
			if (l == 0) { /* array, key, "value", "<", value */
				EQ(PAIL_OK, pail_txn_if_value(t, key, PAIL_LESS, value));
				sum[l] += 1 + key_bytes + 6 + 2 + value_bytes + 4;
			} else if (unit_random(&state) % 2) {
				EQ(PAIL_OK, pail_txn_put(t, branch, key, value, 0));
				sum[l] += 1 + 4 + key_bytes + value_bytes + 3;
			} else {
				EQ(PAIL_OK, pail_txn_delete(t, branch, key));
				sum[l] += 1 + 7 + key_bytes + 2;
			}
		}
		size = packed(t, WIRE_TIMEOUT_MS);
		TRUE_(read_whole(big, big + size, &next) && next == big + size);
		p = big + 7; /* [0, 9, "txn", */
		EQ(2, read_array(&p));
		TRUE_(span_equal(read_bytes(&p), span_of("b")));
		TRUE_(lists_check(p, count, sum) == big + size);
	}
	pail_txn_free(&t);
}

static void a_request_without_a_transaction_is_refused(void)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_TXN};
	const char *why = "";

	EQ(PAIL_BAD_ARGUMENT, request_refuse(&q, &why));
	EQ(0, strcmp("txn: the request names no transaction", why));
}

/* ---- arguments ---- */

static void arguments_have_their_bytes(void)
{
	struct pail_args *a = NULL;

	EQ(PAIL_OK, pail_args_new(&a));
	EQ(PAIL_OK, pail_args_nil(a));
	EQ(PAIL_OK, pail_args_bool(a, true));
	EQ(PAIL_OK, pail_args_integer(a, -1));
	EQ(PAIL_OK, pail_args_integer(a, INT64_MIN));
	EQ(PAIL_OK, pail_args_integer(a, 200));
	EQ(PAIL_OK, pail_args_float(a, 1.5));
	EQ(PAIL_OK, pail_args_bytes(a, pail_str("s")));
	EQ(PAIL_OK, pail_args_list(a));
	EQ(PAIL_OK, pail_args_end(a));
	EQ(PAIL_OK, pail_args_map(a));
	EQ(PAIL_OK, pail_args_name(a, pail_str("n")));
	EQ(PAIL_OK, pail_args_list(a));
	EQ(PAIL_OK, pail_args_integer(a, 1));
	EQ(PAIL_OK, pail_args_end(a));
	EQ(PAIL_OK, pail_args_name(a, (struct pail_bytes){NULL, 0}));
	EQ(PAIL_OK, pail_args_nil(a));
	EQ(PAIL_OK, pail_args_end(a));
	EQ(PAIL_OK, pail_args_bytes(a, (struct pail_bytes){NULL, 0}));
	BYTES_ARE(call_packed(pail_args_packed(a)),
		  "\x94\0\x09\xa4"
		  "call\x94\xc4\x01"
		  "b\xc4\x01m\xc4\x01"
		  "f"
		  "\x9a\xc0\xc3\xff\xd3\x80\0\0\0\0\0\0\0\xcc\xc8\xcb\x3f\xf8\0\0\0\0\0\0"
		  "\xc4\x01s\x90\x82\xa1n\x91\x01\xa0\xc0\xc4\0");
	pail_args_clear(a);
	BYTES_ARE(call_packed(pail_args_packed(a)), "\x94\0\x09\xa4"
						    "call\x94\xc4\x01"
						    "b\xc4\x01m\xc4\x01"
						    "f\x90");
	pail_args_free(&a);
	pail_args_free(&a);
	BYTES_ARE(call_packed((struct pail_bytes){NULL, 0}), "\x94\0\x09\xa4"
							     "call\x94\xc4\x01"
							     "b\xc4\x01m\xc4\x01"
							     "f\x90");
}

/* Heads of one, three and five bytes, within each other. */
static void heads_grow_with_what_is_in_them(void)
{
	static const unsigned sizes[] = {0, 1, 15, 16, 65535, 65536};
	struct pail_args *a = NULL;

	EQ(PAIL_OK, pail_args_new(&a));
	for (size_t i = 0; i < 6; i++)
		for (int is_map = 0; is_map < 2; is_map++) {
			struct pail_bytes b;
			const char *p;
			const char *next;

			pail_args_clear(a);
			(void)pail_args_list(a);
			(void)pail_args_bytes(a, pail_str("before"));
			(void)(is_map ? pail_args_map(a) : pail_args_list(a));
			for (unsigned k = 0; k < sizes[i]; k++) {
				if (is_map)
					(void)pail_args_name(a, pail_str("x"));
				(void)pail_args_integer(a, k % 100);
			}
			(void)pail_args_end(a);
			(void)pail_args_bytes(a, pail_str("behind"));
			EQ(PAIL_OK, pail_args_end(a));
			b = pail_args_packed(a);
			p = b.data;
			TRUE_(read_whole(p, p + b.size, &next) && next == p + b.size);
			EQ(1, read_array(&p));
			EQ(3, read_array(&p));
			TRUE_(span_equal(read_bytes(&p), span_of("before")));
			EQ(is_map ? TYPE_MAP : TYPE_ARRAY, read_type(p));
			EQ(sizes[i], is_map ? read_map(&p) : read_array(&p));
			for (unsigned k = 0; k < sizes[i]; k++) {
				if (is_map)
					TRUE_(span_equal(read_bytes(&p), span_of("x")));
				if (read_uint(&p) != k % 100)
					EQ(k, -1);
			}
			TRUE_(span_equal(read_bytes(&p), span_of("behind")));
		}
	pail_args_free(&a);
}

/* Heads that grow one behind the other, wherever the end of the memory is just then. */
static void many_ends_in_a_row_have_room(void)
{
	struct pail_args *a = NULL;

	for (size_t pad = 0; pad < 600; pad++) {
		struct pail_bytes b;
		const char *next;

		EQ(PAIL_OK, pail_args_new(&a)); /* with memory of its own: ASan sees its end */
		(void)pail_args_bytes(a, (struct pail_bytes){big, pad});
		for (int i = 0; i < 8; i++) {
			(void)pail_args_list(a);
			for (int k = 0; k < 16; k++)
				(void)pail_args_nil(a);
		}
		(void)pail_args_float(a, 1.5);
		for (int i = 0; i < 8; i++)
			EQ(PAIL_OK, pail_args_end(a));
		b = pail_args_packed(a);
		TRUE_(read_whole(b.data, (const char *)b.data + b.size, &next));
		TRUE_(next == (const char *)b.data + b.size);
		pail_args_free(&a);
	}
}

static void args_refuse(int status, const char *why, int (*build)(struct pail_args *a))
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_CALL};
	struct pail_args *a = NULL;
	const char *said = "";

	EQ(PAIL_OK, pail_args_new(&a));
	EQ(status, build(a));
	q.args = pail_args_packed(a);
	EQ(PAIL_BAD_ARGUMENT, request_refuse(&q, &said));
	EQ(0, strcmp(why, pail_args_why(a)));
	EQ(status == PAIL_OK ? PAIL_BAD_ARGUMENT : status, pail_args_nil(a));
	pail_args_clear(a);
	q.args = pail_args_packed(a);
	EQ(PAIL_OK, request_refuse(&q, &said));
	pail_args_free(&a);
}

static int value_without_name(struct pail_args *a)
{
	(void)pail_args_map(a);
	return pail_args_nil(a);
}

static int list_without_name(struct pail_args *a)
{
	(void)pail_args_map(a);
	return pail_args_list(a);
}

static int name_outside(struct pail_args *a)
{
	(void)pail_args_list(a);
	return pail_args_name(a, pail_str("n"));
}

static int name_twice(struct pail_args *a)
{
	(void)pail_args_map(a);
	(void)pail_args_name(a, pail_str("n"));
	return pail_args_name(a, pail_str("n"));
}

static int end_behind_a_name(struct pail_args *a)
{
	(void)pail_args_map(a);
	(void)pail_args_name(a, pail_str("n"));
	return pail_args_end(a);
}

static int end_of_nothing(struct pail_args *a)
{
	return pail_args_end(a);
}

static int left_open(struct pail_args *a)
{
	return pail_args_list(a);
}

static int hollow(struct pail_args *a)
{
	return pail_args_bytes(a, (struct pail_bytes){NULL, 1});
}

static int too_deep(struct pail_args *a)
{
	for (int i = 0; i < 32; i++)
		EQ(PAIL_OK, pail_args_list(a));
	return pail_args_list(a);
}

static int too_large(struct pail_args *a)
{
	return pail_args_bytes(a, (struct pail_bytes){big, (size_t)(1u << 30) + 1});
}

static void arguments_that_are_no_array_are_refused(void)
{
	static const struct pail_bytes wrong[] = {
		{"\x91",     1},
                {"\x90\x90", 2},
                {"\x80",     1},
                {"\x01",     1},
		{"",         0},
                {"\xc1",     1},
                {NULL,       5}
        };
	struct pail_request q = {.size = sizeof(q), .method = PAIL_CALL};
	const char *why = "";

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		q.args = wrong[i];
		EQ(PAIL_BAD_ARGUMENT, request_refuse(&q, &why));
	}
	args_refuse(PAIL_BAD_ARGUMENT, "a value in a map without a name before it",
		    value_without_name);
	args_refuse(PAIL_BAD_ARGUMENT, "a value in a map without a name before it",
		    list_without_name);
	args_refuse(PAIL_BAD_ARGUMENT, "a name outside of a map", name_outside);
	args_refuse(PAIL_BAD_ARGUMENT, "a name behind a name: its value is missing", name_twice);
	args_refuse(PAIL_BAD_ARGUMENT, "a map ends behind a name: its value is missing",
		    end_behind_a_name);
	args_refuse(PAIL_BAD_ARGUMENT, "an end, and no list or map is open", end_of_nothing);
	args_refuse(PAIL_OK, "a list or a map has not been ended", left_open);
	args_refuse(PAIL_BAD_ARGUMENT, "bytes without data", hollow);
	args_refuse(PAIL_BAD_ARGUMENT, "more than 32 lists and maps within each other", too_deep);
	args_refuse(PAIL_TOO_LARGE, "the arguments are larger than any node takes", too_large);
}

/* ---- results ---- */

static void floats_and_negative_numbers_are_values(void)
{
	static const struct {
		const char *bytes;
		enum pail_type type;
		uint64_t number;
		int64_t integer;
		double number_float;
		const char *json;
	} values[] = {
		{"\x05",				 PAIL_VALUE_NUMBER, 5,          5,         5,         "5"     },
		{"\xff",				 PAIL_VALUE_NUMBER, 0,          -1,        -1,        "-1"    },
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", PAIL_VALUE_NUMBER, UINT64_MAX, 0,         0x1p64,
		 "18446744073709551615"									       },
		{"\xd3\x80\0\0\0\0\0\0\0",               PAIL_VALUE_NUMBER, 0,          INT64_MIN, -0x1p63,
		 "-9223372036854775808"									       },
		{"\xcb\x3f\xf8\0\0\0\0\0\0",             PAIL_VALUE_FLOAT,  0,          0,         1.5,       "1.5"   },
		{"\xcb\x40\0\0\0\0\0\0\0",               PAIL_VALUE_FLOAT,  0,          0,         2,         "2.0"   },
		{"\xcb\xc0\x08\0\0\0\0\0\0",             PAIL_VALUE_FLOAT,  0,          0,         -3,        "-3.0"  },
		{"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", PAIL_VALUE_FLOAT,  0,          0,         0.1,       "0.1"   },
		{"\xcb\x3f\xd3\x33\x33\x33\x33\x33\x34", PAIL_VALUE_FLOAT,  0,          0,         0.1 + 0.2,
		 "0.30000000000000004"										},
		{"\xcb\x7e\x37\xe4\x3c\x88\0\x75\x9c",   PAIL_VALUE_FLOAT,  0,          0,         1e300,     "1e+300"},
		{"\xca\x3f\xc0\0\0",                     PAIL_VALUE_FLOAT,  0,          0,         1.5,       "1.5"   },
		{"\xcb\x7f\xf0\0\0\0\0\0\0",             PAIL_VALUE_FLOAT,  0,          0,         INFINITY,  "null"  },
		{"\xcb\x7f\xf8\0\0\0\0\0\0",             PAIL_VALUE_FLOAT,  0,          0,         0,         "null"  },
	};
	char json[64];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct pail_value v = {values[i].bytes};
		double d = pail_value_float(v);

		EQ(values[i].type, pail_value_type(v));
		EQ(values[i].number, pail_value_number(v));
		EQ(values[i].integer, pail_value_integer(v));
		TRUE_(d != d || d == values[i].number_float);
		EQ(strlen(values[i].json), pail_value_json(v, json, sizeof(json)));
		EQ(0, strcmp(values[i].json, json));
	}
	TRUE_(pail_value_float((struct pail_value){NULL}) == 0);
	EQ(0, pail_value_integer((struct pail_value){NULL}));
}

/* A reply's result, read and copied, as callers get it; NULL: it has another shape. */
static struct pail_result *result_of(int method, const char *bytes, size_t n)
{
	char *exact = malloc(n); /* so that a read behind it is found */
	struct reply r = {.result = exact};
	struct pail_result result;
	struct pail_result *copy = NULL;
	struct buf items;
	struct buf json;

	memcpy(exact, bytes, n);
	buf_init(&items);
	buf_init(&json);
	if (result_read(method, &r, &result, &items, &json))
		copy = result_copy(&result);
	buf_fini(&items);
	buf_fini(&json);
	free(exact);
	return copy;
}

#define RESULT(method, bytes) result_of(method, bytes, sizeof(bytes) - 1)

static void results_of_operations_come_one_by_one(void)
{
	struct pail_result *r = RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x97"
						 "\x07"
						 "\xc0"
						 "\xc2"
						 "\xc3"
						 "\x92\xc4\x01v\x08"
						 "\x09"
						 "\x82\xa5items\x92\x93\xc4\x01"
						 "a\xc4\x01x\x01\x94\xc4\x01"
						 "b\xc0\x02\xc0\xa4more\xc3");
	struct pail_op op = {.size = sizeof(op)};
	struct pail_item item;

	TRUE_(r && r->yes && r->status == PAIL_OK);
	EQ(7, r->op_count);
	TRUE_(pail_result_op(r, 0, &op) && op.yes);
	EQ(7, op.number);
	TRUE_(pail_result_op(r, 1, &op) && !op.yes && !op.number && !op.value.data);
	TRUE_(pail_result_op(r, 2, &op) && !op.yes);
	TRUE_(pail_result_op(r, 3, &op) && op.yes);
	TRUE_(pail_result_op(r, 4, &op) && op.yes);
	SAME(op.value.data, op.value.size, "v");
	EQ(8, op.number);
	TRUE_(pail_result_op(r, 6, &op));
	EQ(2, op.item_count);
	TRUE_(op.more);
	TRUE_(pail_op_item(&op, &item));
	SAME(item.key.data, item.key.size, "a");
	SAME(item.value.data, item.value.size, "x");
	EQ(1, item.version);
	TRUE_(pail_op_item(&op, &item));
	SAME(item.key.data, item.key.size, "b");
	TRUE_(!item.value.data && !pail_op_item(&op, &item));
	TRUE_(pail_result_op(r, 5, &op)); /* in any order, and nothing of the one before is left */
	EQ(9, op.number);
	TRUE_(!op.item_count && !op.more && !pail_op_item(&op, &item));
	TRUE_(!pail_result_op(r, 7, &op) && op.size == sizeof(op));
	EQ(PAIL_VALUE_MAP, pail_value_type(pail_result_value(r)));
	pail_result_free(&r);
	r = RESULT(WIRE_TXN, "\x82\xa7results\x90\xa2ok\xc2");
	TRUE_(r && !r->yes && !r->op_count && !pail_result_op(r, 0, &op));
	pail_result_free(&r);
}

/* A program that is older or newer than the library: what both know is filled in. */
static void operations_of_programs_of_another_age(void)
{
	struct pail_result *r = RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x91\x07");
	struct pail_op older = {.size = offsetof(struct pail_op, value)};
	struct {
		struct pail_op op;
		uint64_t later;
	} newer = {.op.size = sizeof(newer), .later = 5};

	older.item_count = 77;
	TRUE_(pail_result_op(r, 0, &older));
	EQ(7, older.number);
	EQ(77, older.item_count);
	EQ(offsetof(struct pail_op, value), older.size);
	TRUE_(pail_result_op(r, 0, &newer.op));
	EQ(7, newer.op.number);
	EQ(0, newer.later);
	older.size = 0;
	TRUE_(!pail_result_op(r, 0, &older));
	pail_result_free(&r);
}

static void results_of_another_shape_are_refused(void)
{
	TRUE_(!RESULT(WIRE_TXN, "\xc0"));
	TRUE_(!RESULT(WIRE_TXN, "\x80"));
	TRUE_(!RESULT(WIRE_TXN, "\x81\xa2ok\xc3"));
	TRUE_(!RESULT(WIRE_TXN, "\x82\xa2ok\x01\xa7results\x90"));
	TRUE_(!RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x80"));
	TRUE_(!RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x91\x91\x01"));
	TRUE_(!RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x91\xa1x"));
	TRUE_(!RESULT(WIRE_TXN, "\x82\xa2ok\xc3\xa7results\x91\x81\xa5items\x90"));
	TRUE_(!RESULT(WIRE_TXN,
		      "\x82\xa2ok\xc3\xa7results\x91\x82\xa5items\x91\x92\x01\x02\xa4more\xc2"));
}

static void a_function_may_return_anything(void)
{
	static char deep[40];
	struct pail_result *r = RESULT(WIRE_CALL, "\x82\xa1"
						  "a\x92\x01\xcb\x3f\xf8\0\0\0\0\0\0\xa1"
						  "b\xc4\x02\xff\0");
	struct pail_value v;

	TRUE_(r && !r->json);
	EQ(20, r->map_size);
	v = pail_value_field(pail_result_value(r), "a");
	EQ(1, pail_value_number(pail_value_item(v, 0)));
	TRUE_(pail_value_float(pail_value_item(v, 1)) == 1.5);
	v = pail_value_field(pail_result_value(r), "b");
	EQ(2, pail_value_bytes(v).size);
	pail_result_free(&r);
	r = RESULT(WIRE_CALL, "\xc0");
	TRUE_(r && r->map_size == 1 && r->status == PAIL_OK);
	EQ(PAIL_VALUE_NIL, pail_value_type(pail_result_value(r)));
	pail_result_free(&r);
	memset(deep, 0x91, sizeof(deep));
	deep[32] = 1;
	r = result_of(WIRE_CALL, deep, 33);
	TRUE_(r != NULL);
	pail_result_free(&r);
	deep[32] = (char)0x91;
	deep[33] = 1;
	TRUE_(!result_of(WIRE_CALL, deep, 34));
}

UNIT_MAIN(T(every_entry_has_its_bytes), T(nothing_is_a_transaction_too_and_may_have_a_timeout),
	  T(the_first_refusal_refuses_all), T(what_is_malformed_is_refused_when_it_is_added),
	  T(entries_are_4096_at_most_in_all_lists_together), T(random_transactions_are_whole),
	  T(a_request_without_a_transaction_is_refused), T(arguments_have_their_bytes),
	  T(heads_grow_with_what_is_in_them), T(many_ends_in_a_row_have_room),
	  T(arguments_that_are_no_array_are_refused), T(floats_and_negative_numbers_are_values),
	  T(results_of_operations_come_one_by_one), T(operations_of_programs_of_another_age),
	  T(results_of_another_shape_are_refused), T(a_function_may_return_anything))
