/* What a txn, a call and a session's requests may look like, and what is said of those that may not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipc/wire/request.h"
#include "ipc/wire/txn.h"
#include "tests/unit/lib/unit.h"

#define ROOM (32u << 20)

static char *room;
static char *at; /* the request is written here */
static char why[400];
static struct options found;
static struct request walked;

static void begin(enum wire_method m, uint32_t params)
{
	if (!room)
		room = malloc(ROOM);
	at = write_request_head(room, 1, m, params);
	at = write_bin(at, "b", 1);
}

/* Checked as a node does: at the door, and again by the one that runs it, where the limit counts.
 * A copy of the exact size, so that a read behind it is found by ASan. */
static enum wire_error checked(uint64_t value_max)
{
	static char *copy;
	const size_t n = (size_t)(at - room);
	struct request_parts parts;
	const char *bad;
	enum wire_error e;

	free(copy);
	copy = malloc(n);
	memcpy(copy, room, n);
	why[0] = '\0';
	memset(&found, 0xa5, sizeof(found)); /* what is not written is not zero by luck */
	EQ(0, request_walk(copy, copy + n, &walked, &bad));
	e = request_check(&walked, &found, why, sizeof(why));
	if (e == WIRE_OK)
		e = request_parts(&walked, &found, value_max, &parts, why, sizeof(why));
	return e;
}

#define GOOD() EQ(WIRE_OK, checked(WIRE_VALUE_MAX))
#define BAD(code, text)                                            \
	do {                                                       \
		EQ(WIRE_E_##code, checked(WIRE_VALUE_MAX));        \
		if (strcmp(why, text) != 0)                        \
			printf("\"%s\", not \"%s\"\n", why, text); \
		TRUE_(strcmp(why, text) == 0);                     \
	} while (0)

/* Short forms: what is written, as MessagePack. */
static void text(const char *s)
{
	at = write_text(at, s);
}

static void list(uint32_t n)
{
	at = write_array(at, n);
}

static void map(uint32_t n)
{
	at = write_map(at, n);
}

static void number(uint64_t n)
{
	at = write_uint(at, n);
}

static void raw(const char *bytes, size_t n)
{
	memcpy(at, bytes, n);
	at += n;
}

/* A txn with one list of one element, which is to be written behind it. */
static void one(const char *name)
{
	begin(WIRE_TXN, 2);
	map(1);
	text(name);
	list(1);
}

static void a_txn_may_leave_out_everything(void)
{
	begin(WIRE_TXN, 1);
	GOOD();
	EQ(0, found.ops);
	TRUE_(!found.writes && !found.reads && !found.large);
	TRUE_(!found.part[0].p && !found.part[1].p && !found.part[2].p);
	begin(WIRE_TXN, 2);
	map(0);
	GOOD();
	EQ(0, found.ops);
	begin(WIRE_TXN, 2);
	map(3);
	text("else"), list(0), text("if"), list(0), text("then"), list(0);
	GOOD();
	EQ(0, found.ops);
	EQ(1, found.part[0].n);
	TRUE_(!found.writes && !found.reads);
}

static void a_list_that_will_not_run_counts_too(void)
{
	one("else");
	list(2), text("delete"), text("k");
	GOOD();
	EQ(1, found.ops);
	TRUE_(found.writes && !found.reads && !found.large);
	TRUE_(!found.part[0].p && !found.part[1].p);
	EQ(11, found.part[2].n);
	begin(WIRE_TXN, 2);
	map(2);
	text("then"), list(1), list(2), text("get"), text("k");
	text("else"), list(1), list(1), text("put");
	BAD(BAD_ARGUMENT, "txn: else[0]: put takes 2 to 3 parameters, got 0");
}

/* Each operation alone, and what is known of it. */
static void each_operation_is_known(void)
{
	static const struct {
		const char *name;
		unsigned elements; /* of them, key and value */
		bool writes, reads, large;
	} row[] = {
		{"put",    3, true,  false, false},
                {"touch",  2, true,  false, false},
		{"delete", 2, true,  false, false},
                {"get",    2, false, true,  true },
		{"scan",   1, false, true,  true },
                {"count",  1, false, true,  false},
	};

	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		for (unsigned n = 0; n < 5; n++) {
			one("then");
			list(n);
			if (n)
				text(row[i].name);
			for (unsigned k = 1; k < n; k++)
				text("k");
			if (n != row[i].elements) {
				EQ(WIRE_E_BAD_ARGUMENT, checked(WIRE_VALUE_MAX));
				TRUE_(strncmp(why, "txn: then[0]", 12) == 0);
				continue;
			}
			GOOD();
			EQ(row[i].writes, found.writes);
			EQ(row[i].reads, found.reads);
			EQ(row[i].large, found.large);
		}
	}
	one("then");
	list(2), text("drop"), text("k");
	BAD(BAD_ARGUMENT, "txn: then[0] must begin with put, touch, delete, get, scan or count");
	one("then");
	list(2), text("gets"), text("k");
	BAD(BAD_ARGUMENT, "txn: then[0] must begin with put, touch, delete, get, scan or count");
	one("then");
	list(2), number(7), text("k");
	BAD(BAD_ARGUMENT, "txn: then[0] must begin with put, touch, delete, get, scan or count");
	one("then");
	text("get");
	BAD(BAD_ARGUMENT, "txn: then[0] must be an array [operation, …]");
	one("then");
	map(1), text("get"), text("k");
	BAD(BAD_ARGUMENT, "txn: then[0] must be an array [operation, …]");
}

static void names_are_str_or_bin(void)
{
	begin(WIRE_TXN, 2);
	map(2);
	at = write_bin(at, "if", 2);
	list(1), list(4), text("k");
	at = write_bin(write_bin(at, "value", 5), "!=", 2);
	text("v");
	at = write_bin(at, "then", 4);
	list(1), list(3);
	at = write_bin(at, "touch", 5);
	at = write_bin(at, "k", 1);
	map(1);
	at = write_bin(at, "ttl", 3);
	number(5);
	GOOD();
	EQ(2, found.ops);
	TRUE_(found.writes && found.reads && !found.large);
}

static void options_of_operations_are_checked(void)
{
	one("then");
	list(4), text("put"), text("k"), text("v"), map(1), text("ttl"), number(0);
	BAD(BAD_ARGUMENT, "txn: then[0].ttl must be 1 to 18446744073709551615");
	one("then");
	list(4), text("put"), text("k"), text("v"), map(1), text("ttl"), text("5");
	BAD(BAD_ARGUMENT, "txn: then[0].ttl must be an unsigned integer");
	one("then");
	list(4), text("put"), text("k"), text("v"), map(2), text("ttl"), number(1), text("ttl"),
		number(1);
	BAD(BAD_ARGUMENT, "txn: then[0].ttl is given twice");
	one("then");
	list(4), text("put"), text("k"), text("v"), map(1), text("if_version"), number(1);
	BAD(BAD_ARGUMENT, "txn: then[0]: unknown option \"if_version\"");
	one("then");
	list(4), text("put"), text("k"), text("v"), map(1), text("timeout"), number(1);
	BAD(BAD_ARGUMENT, "txn: then[0]: unknown option \"timeout\"");
	one("then");
	list(4), text("put"), text("k"), text("v"), list(0);
	BAD(BAD_ARGUMENT, "txn: then[0]: its last element, options, must be a map");
	one("then");
	list(4), text("put"), text("k"), text("v"), map(1), number(1), number(1);
	BAD(BAD_ARGUMENT, "txn: then[0]: an option's name must be str or bin");
	one("else");
	list(2), text("scan"), map(1), text("limit"), number(10001);
	BAD(BAD_ARGUMENT, "txn: else[0].limit must be 1 to 10000");
	one("else");
	list(2), text("scan"), map(1), text("ttl"), number(1);
	BAD(BAD_ARGUMENT, "txn: else[0].ttl must be true or false");
	one("else");
	list(2), text("scan"), map(1), text("session"), text("0123456789abcdef");
	BAD(BAD_ARGUMENT, "txn: else[0]: unknown option \"session\"");
}

static void what_a_scan_is_told_is_read(void)
{
	struct txn_list l;
	struct txn_op op;

	begin(WIRE_TXN, 2);
	map(1);
	text("then");
	list(3);
	list(2), text("scan"), map(8);
	text("keys_only"), at = write_bool(at, true);
	text("reverse"), at = write_bool(at, false);
	text("ttl"), at = write_bool(at, true);
	text("limit"), number(10000);
	text("prefix"), text("p"), text("from"), text("pa"), text("to"), text("pz"), text("after"),
		text("pb");
	list(1), text("scan");
	list(4), text("put"), text("k"), text("v"), map(1), text("ttl"), number(UINT64_MAX);
	GOOD();
	txn_list_begin(&l, "then", found.part[1]);
	EQ(3, l.left);
	EQ(WIRE_OK, txn_op_next(&l, UINT64_MAX, &op, NULL, 0));
	EQ(TXN_SCAN, op.kind);
	TRUE_(op.options.keys_only && !op.options.reverse && op.options.with_ttl);
	EQ(10000, op.options.limit);
	SAME(op.options.prefix.p, op.options.prefix.n, "p");
	SAME(op.options.after.p, op.options.after.n, "pb");
	EQ(OPT_RANGE | OPT_FROM | OPT_TO | OPT_REVERSE | OPT_KEYS_ONLY | OPT_WITH_TTL,
	   op.options.given);
	EQ(WIRE_OK, txn_op_next(&l, UINT64_MAX, &op, NULL, 0));
	EQ(100, op.options.limit);
	EQ(0, op.options.given);
	EQ(WIRE_OK, txn_op_next(&l, UINT64_MAX, &op, NULL, 0));
	EQ(TXN_PUT, op.kind);
	SAME(op.key.p, op.key.n, "k");
	SAME(op.value.p, op.value.n, "v");
	TRUE_(op.options.ttl_ms == UINT64_MAX);
	EQ(0, l.left);
}

static void condition(const char *what, const char *relation)
{
	one("if");
	list(4), text("k"), text(what), text(relation);
}

static void conditions_are_checked(void)
{
	static const char *const relations[] = {"=", "!=", "<", ">"};
	struct txn_condition c;
	struct txn_list l;

	for (unsigned i = 0; i < 4; i++) {
		condition("version", relations[i]);
		number(UINT64_MAX);
		GOOD();
		TRUE_(found.reads && !found.writes && !found.large);
		txn_list_begin(&l, "if", found.part[0]);
		EQ(WIRE_OK, txn_condition_next(&l, UINT64_MAX, &c, NULL, 0));
		EQ(i, c.relation);
		TRUE_(!c.is_value && c.version == UINT64_MAX);
		SAME(c.key.p, c.key.n, "k");
		condition("value", relations[i]);
		text("");
		GOOD();
		txn_list_begin(&l, "if", found.part[0]);
		EQ(WIRE_OK, txn_condition_next(&l, UINT64_MAX, &c, NULL, 0));
		EQ(i, c.relation);
		TRUE_(c.is_value && !c.value.n);
	}
	condition("version", "==");
	number(1);
	BAD(BAD_ARGUMENT, "txn: if[0] must compare by \"=\", \"!=\", \"<\" or \">\"");
	condition("version", "");
	number(1);
	BAD(BAD_ARGUMENT, "txn: if[0] must compare by \"=\", \"!=\", \"<\" or \">\"");
	condition("size", "=");
	number(1);
	BAD(BAD_ARGUMENT, "txn: if[0] must be about \"version\" or \"value\"");
	condition("version", "=");
	text("1");
	BAD(BAD_ARGUMENT, "txn: if[0].version must be an unsigned integer");
	condition("version", "=");
	raw("\xff", 1); /* -1 */
	BAD(BAD_ARGUMENT, "txn: if[0].version must be an unsigned integer");
	condition("value", "=");
	number(1);
	BAD(BAD_ARGUMENT, "txn: if[0].value must be str or bin");
	one("if");
	list(3), text("k"), text("version"), text("=");
	BAD(BAD_ARGUMENT, "txn: if[0] must be [key, \"version\" or \"value\", relation, what]");
	one("if");
	list(5), text("k"), text("version"), text("="), number(1), number(1);
	BAD(BAD_ARGUMENT, "txn: if[0] must be [key, \"version\" or \"value\", relation, what]");
	one("if");
	number(1);
	BAD(BAD_ARGUMENT, "txn: if[0] must be [key, \"version\" or \"value\", relation, what]");
	one("if");
	list(4), number(1), text("version"), text("="), number(1);
	BAD(BAD_ARGUMENT, "txn: if[0].key must be str or bin");
	one("if");
	list(2), text("get"), text("k");
	BAD(BAD_ARGUMENT, "txn: if[0] must be [key, \"version\" or \"value\", relation, what]");
}

static void the_place_is_the_one_that_is_wrong(void)
{
	begin(WIRE_TXN, 2);
	map(1);
	text("then");
	list(5);
	for (int i = 0; i < 5; i++) {
		list(2), text("get");
		if (i == 3)
			text("");
		else
			text("k");
	}
	BAD(BAD_ARGUMENT, "txn: then[3].key is empty, it must be 1 to 480 bytes");
	begin(WIRE_TXN, 2);
	map(2); /* what is wrong with a condition is said first, wherever it stands */
	text("then"), list(1), list(0);
	text("if"), list(2), list(4), text("k"), text("value"), text(">"), text("v"), number(3);
	BAD(BAD_ARGUMENT, "txn: if[1] must be [key, \"version\" or \"value\", relation, what]");
}

static void the_map_of_lists_is_checked(void)
{
	begin(WIRE_TXN, 2);
	map(1), text("then"), map(0);
	BAD(BAD_ARGUMENT, "txn: option \"then\" must be an array");
	begin(WIRE_TXN, 2);
	map(1), text("if"), at = write_nil(at);
	BAD(BAD_ARGUMENT, "txn: option \"if\" must be an array");
	begin(WIRE_TXN, 2);
	map(2), text("else"), list(0), text("else"), list(0);
	BAD(BAD_ARGUMENT, "txn: option \"else\" is given twice");
	begin(WIRE_TXN, 2);
	map(1), text("els"), list(0);
	BAD(BAD_ARGUMENT, "txn: unknown option \"els\"");
	begin(WIRE_TXN, 2);
	list(0);
	BAD(BAD_ARGUMENT, "txn: the last parameter, options, must be a map");
	begin(WIRE_TXN, 3);
	map(0), map(0);
	BAD(BAD_ARGUMENT, "txn: takes 1 to 2 parameters, got 3");
	begin(WIRE_PUT, 4);
	text("k"), text("v"), map(1), text("then"), list(0);
	BAD(BAD_ARGUMENT, "put: unknown option \"then\"");
}

/* `count` operations over the lists, a third each. */
static void many(uint32_t count)
{
	static const char *const names[] = {"if", "then", "else"};

	begin(WIRE_TXN, 2);
	map(3);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t n = count / 3 + (i < count % 3);

		text(names[i]);
		list(n);
		while (n--)
			if (i)
				list(2), text("delete"), text("k");
			else
				list(4), text("k"), text("version"), text(">"), number(0);
	}
}

static void entries_are_counted_over_all_lists(void)
{
	many(4096);
	GOOD();
	EQ(4096, found.ops);
	many(4097);
	BAD(TOO_LARGE, "txn: if, then and else have 4097 entries, the limit is 4096");
	one("then"); /* a head that says more than is there never gets so far */
	at -= 1;
	raw("\xdd\xff\xff\xff\xff", 5);
	EQ(-EBADMSG, request_walk(room, at, &walked, &(const char *){NULL}));
}

static void bytes(uint32_t n)
{
	at = write_bin_head(at, n);
	memset(at, 'x', n);
	at += n;
}

static void keys_and_values_have_limits(void)
{
	one("then");
	list(2), text("get"), bytes(480);
	GOOD();
	one("then");
	list(2), text("get"), bytes(481);
	BAD(TOO_LARGE, "txn: then[0].key has 481 bytes, the limit is 480");
	one("if");
	list(4), bytes(481), text("version"), text("="), number(1);
	BAD(TOO_LARGE, "txn: if[0].key has 481 bytes, the limit is 480");
	one("then");
	list(3), text("put"), text("k"), bytes(WIRE_VALUE_MAX);
	GOOD();
	EQ(WIRE_VALUE_MAX, found.largest);
	one("then");
	list(3), text("put"), text("k"), bytes(WIRE_VALUE_MAX + 1);
	BAD(TOO_LARGE, "txn: then[0].value has 8388609 bytes, the limit is 8388608");
	one("if");
	list(4), text("k"), text("value"), text("="), bytes(WIRE_VALUE_MAX + 1);
	BAD(TOO_LARGE, "txn: if[0].value has 8388609 bytes, the limit is 8388608");
	/* Of a node that takes less: the one that runs it says so. */
	begin(WIRE_TXN, 2);
	map(1), text("else"), list(2), list(3), text("put"), text("k"), bytes(1000);
	list(3), text("put"), text("k"), bytes(1001);
	EQ(WIRE_E_TOO_LARGE, checked(1000));
	TRUE_(strcmp(why, "txn: else[1].value has 1001 bytes, the limit is 1000") == 0);
	EQ(WIRE_OK, checked(1001));
}

/* ---- call ---- */

static void call_head(uint32_t params)
{
	begin(WIRE_CALL, params);
	text("module"), text("function");
}

static void a_call_is_taken_apart(void)
{
	call_head(5);
	list(3), text("a"), number(7), list(2), at = write_nil(at), map(1), number(3), text("x");
	map(1), text("timeout"), number(70);
	GOOD();
	SAME(found.part[0].p, found.part[0].n, "module");
	SAME(found.part[1].p, found.part[1].n, "function");
	EQ(10, found.part[2].n);
	EQ(0x93, (uint8_t)*found.part[2].p);
	TRUE_(found.writes && found.reads && found.large);
	EQ(70, found.timeout_ms);
	call_head(4);
	list(0);
	GOOD();
	EQ(1, found.part[2].n);
}

static void names_of_functions_are_checked(void)
{
	begin(WIRE_CALL, 4);
	number(1), text("f"), list(0);
	BAD(BAD_ARGUMENT, "call: module must be str or bin");
	begin(WIRE_CALL, 4);
	text("m"), list(0), list(0);
	BAD(BAD_ARGUMENT, "call: function must be str or bin");
	begin(WIRE_CALL, 4);
	text(""), text("f"), list(0);
	BAD(BAD_ARGUMENT, "call: module is empty, it must be 1 to 255 bytes");
	begin(WIRE_CALL, 4);
	text("m"), text(""), list(0);
	BAD(BAD_ARGUMENT, "call: function is empty, it must be 1 to 255 bytes");
	begin(WIRE_CALL, 4);
	bytes(255), bytes(255), list(0);
	GOOD();
	begin(WIRE_CALL, 4);
	bytes(256), text("f"), list(0);
	BAD(TOO_LARGE, "call: module has 256 bytes, the limit is 255");
	begin(WIRE_CALL, 4);
	text("m"), bytes(256), list(0);
	BAD(TOO_LARGE, "call: function has 256 bytes, the limit is 255");
	begin(WIRE_CALL, 3);
	text("m"), text("f");
	BAD(BAD_ARGUMENT, "call: takes 4 to 5 parameters, got 3");
	call_head(4);
	map(0);
	BAD(BAD_ARGUMENT, "call: args must be an array");
	call_head(6);
	list(0), map(0), map(0);
	BAD(BAD_ARGUMENT, "call: takes 4 to 5 parameters, got 6");
}

/* An argument, the second one, of these bytes. */
static void argument(const char *p, size_t n)
{
	call_head(4);
	list(2), number(1), raw(p, n);
}

static void arguments_are_what_a_function_can_have(void)
{
	argument("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9);
	GOOD();
	argument("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9);
	BAD(BAD_ARGUMENT, "call: args[1] has an integer above 9223372036854775807");
	argument("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9);
	GOOD();
	argument("\xca\x7f\xc0\x00\x00", 5); /* NaN */
	GOOD();
	argument("\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18", 9);
	GOOD();
	argument("\xd4\x01\x00", 3);
	BAD(BAD_ARGUMENT, "call: args[1] has an extension type");
	argument("\xc7\x00\x05", 3);
	BAD(BAD_ARGUMENT, "call: args[1] has an extension type");
	argument("\x91\x81\xa1k\xd4\x01\x00", 7);
	BAD(BAD_ARGUMENT, "call: args[1] has an extension type");
	argument("\x84\xa1k\x01\xc4\x01l\x02\x05\x03\xff\x04", 12);
	GOOD();
	argument("\x81\xc0\x01", 3);
	BAD(BAD_ARGUMENT, "call: args[1] has a map key that is neither a string nor an integer");
	argument("\x81\xca\x00\x00\x00\x00\x01", 7);
	BAD(BAD_ARGUMENT, "call: args[1] has a map key that is neither a string nor an integer");
	argument("\x81\x90\x01", 3);
	BAD(BAD_ARGUMENT, "call: args[1] has a map key that is neither a string nor an integer");
	argument("\x81\xc3\x01", 3);
	BAD(BAD_ARGUMENT, "call: args[1] has a map key that is neither a string nor an integer");
	argument("\x81\xcf\x80\x00\x00\x00\x00\x00\x00\x00\x01", 11);
	BAD(BAD_ARGUMENT, "call: args[1] has an integer above 9223372036854775807");
	argument("\x81\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 11);
	BAD(BAD_ARGUMENT, "call: args[1] has an integer above 9223372036854775807");
}

static void arguments_are_only_so_deep(void)
{
	char deep[200];

	for (unsigned kind = 0; kind < 2; kind++)
		for (unsigned levels = 31; levels < 35; levels++) {
			size_t n = 0;

			for (unsigned i = 0; i < levels; i++) {
				deep[n++] = kind ? (char)0x81 : (char)0x91;
				if (kind)
					deep[n++] = 1;
			}
			deep[n++] = 5;
			argument(deep, n);
			if (levels <= 32)
				GOOD();
			else
				BAD(BAD_ARGUMENT, "call: args[1] has more than 32 arrays and maps "
						  "within each other");
		}
	/* One that would take the stack with it. */
	call_head(4);
	list(1);
	memset(at, 0x91, 10u << 20);
	at += 10u << 20;
	*at++ = 1;
	BAD(BAD_ARGUMENT, "call: args[0] has more than 32 arrays and maps within each other");
}

static void arguments_are_only_so_many(void)
{
	for (uint32_t n = 250; n < 252; n++) {
		call_head(4);
		list(n);
		for (uint32_t i = 0; i < n; i++)
			number(i);
		if (n == 250)
			GOOD();
		else
			BAD(TOO_LARGE, "call: args has 251 elements, the limit is 250");
	}
	call_head(4);
	list(1), list(1), bytes(1001);
	EQ(WIRE_E_TOO_LARGE, checked(1000));
	TRUE_(strcmp(why, "call: args[0] has a string of 1001 bytes, the limit is 1000") == 0);
	EQ(WIRE_OK, checked(1001));
}

/* ---- sessions ---- */

#define ID "0123456789abcdef"

static void session_and_seq_belong_together(void)
{
	static const enum wire_method method[] = {WIRE_CREATE, WIRE_DROP, WIRE_PUT, WIRE_DELETE,
						  WIRE_TOUCH,  WIRE_TXN,  WIRE_CALL};
	char want[100];

	for (unsigned i = 0; i < sizeof(method) / sizeof(method[0]); i++)
		for (unsigned given = 0; given < 8; given++) {
			const struct method *m = &wire_methods[method[i]];

			begin(method[i], m->most);
			for (unsigned k = 1; k < m->most - 1u; k++)
				if (method[i] == WIRE_CALL && k == 3)
					list(0);
				else
					text("k");
			map((given & 1) + (given >> 1 & 1) + (given >> 2));
			if (given & 4)
				text("ack"), number(UINT64_MAX);
			if (given & 2)
				text("seq"), number(UINT64_MAX);
			if (given & 1)
				text("session"), text(ID);
			if (given == 0 || given == 3 || given == 7) {
				GOOD();
				EQ((given & 1 ? OPT_SESSION | OPT_SEQ : 0) |
					   (given & 4 ? OPT_ACK : 0),
				   found.given);
				if (given)
					TRUE_(found.seq == UINT64_MAX);
				continue;
			}
			(void)snprintf(want, sizeof(want), "%s: option \"%s\" needs option \"%s\"",
				       m->name,
				       given & 1   ? "session"
				       : given & 2 ? "seq"
						   : "ack",
				       given & 1 ? "seq" : "session");
			BAD(BAD_ARGUMENT, want);
		}
}

static void a_session_has_16_bytes(void)
{
	for (uint32_t n = 15; n < 18; n++) {
		begin(WIRE_CREATE, 2);
		map(2), text("session"), bytes(n), text("seq"), number(0);
		if (n == 16)
			GOOD();
		else
			BAD(BAD_ARGUMENT, "create: option \"session\" must be 16 bytes");
		for (int ack = 0; ack < 2; ack++) {
			begin(ack ? WIRE_ACK : WIRE_OUTCOME, 3);
			bytes(n), number(UINT64_MAX);
			if (n != 16) {
				BAD(BAD_ARGUMENT, ack ? "ack: session must be 16 bytes"
						      : "outcome: session must be 16 bytes");
				continue;
			}
			GOOD();
			EQ(OPT_SESSION | (ack ? OPT_ACK : OPT_SEQ), found.given);
			TRUE_(found.seq == (ack ? 0 : UINT64_MAX));
			TRUE_(found.ack == (ack ? UINT64_MAX : 0));
		}
	}
	begin(WIRE_CREATE, 2);
	map(2), text("session"), number(16), text("seq"), number(0);
	BAD(BAD_ARGUMENT, "create: option \"session\" must be str or bin");
	begin(WIRE_CREATE, 2);
	map(2), text("session"), text(ID), text("seq"), raw("\xff", 1);
	BAD(BAD_ARGUMENT, "create: option \"seq\" must be an unsigned integer");
	begin(WIRE_OUTCOME, 3);
	text(ID), text("1");
	BAD(BAD_ARGUMENT, "outcome: seq must be an unsigned integer");
	begin(WIRE_ACK, 3);
	text(ID), at = write_nil(at);
	BAD(BAD_ARGUMENT, "ack: n must be an unsigned integer");
	begin(WIRE_OUTCOME, 4);
	text(ID), number(1), map(1), text("timeout"), number(5);
	GOOD();
	EQ(5, found.timeout_ms);
	begin(WIRE_OUTCOME, 4);
	text(ID), number(1), map(1), text("ack"), number(5);
	BAD(BAD_ARGUMENT, "outcome: unknown option \"ack\"");
}

static void what_reads_takes_no_session(void)
{
	static const enum wire_method method[] = {WIRE_GET, WIRE_HEAD, WIRE_SCAN, WIRE_COUNT};
	char want[100];

	for (unsigned i = 0; i < sizeof(method) / sizeof(method[0]); i++) {
		const struct method *m = &wire_methods[method[i]];

		begin(method[i], m->most);
		for (unsigned k = 1; k < m->most - 1u; k++)
			text("k");
		map(2), text("session"), text(ID), text("seq"), number(1);
		(void)snprintf(want, sizeof(want), "%s: unknown option \"session\"", m->name);
		BAD(BAD_ARGUMENT, want);
	}
}

static void random_bytes_never_crash(void)
{
	uint64_t seed = unit_seed();
	size_t n;

	many(60);
	n = (size_t)(at - room);
	for (int round = 0; round < 200000; round++) {
		char copy[2048];
		struct request q;
		struct request_parts parts;
		struct options o;
		const char *bad;

		TRUE_(n < sizeof(copy));
		memcpy(copy, room, n);
		for (int k = 0; k < 3; k++)
			copy[unit_random(&seed) % n] = (char)unit_random(&seed);
		if (request_walk(copy, copy + n, &q, &bad) < 0 || q.method < 0)
			continue;
		if (request_check(&q, &o, why, sizeof(why)) == WIRE_OK)
			(void)request_parts(&q, &o, 1000, &parts, why, sizeof(why));
	}
}

UNIT_MAIN(T(a_txn_may_leave_out_everything), T(a_list_that_will_not_run_counts_too),
	  T(each_operation_is_known), T(names_are_str_or_bin), T(options_of_operations_are_checked),
	  T(what_a_scan_is_told_is_read), T(conditions_are_checked),
	  T(the_place_is_the_one_that_is_wrong), T(the_map_of_lists_is_checked),
	  T(entries_are_counted_over_all_lists), T(keys_and_values_have_limits),
	  T(a_call_is_taken_apart), T(names_of_functions_are_checked),
	  T(arguments_are_what_a_function_can_have), T(arguments_are_only_so_deep),
	  T(arguments_are_only_so_many), T(session_and_seq_belong_together),
	  T(a_session_has_16_bytes), T(what_reads_takes_no_session), T(random_bytes_never_crash))
