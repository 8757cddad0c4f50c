/*
 * The file of clients: what is taken, what is refused and how it is said; and the answers that
 * follow from it, against judges that know nothing but the rules.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fault.h"
#include "coordinator/security/rights.h"
#include "tests/unit/lib/unit.h"

#define KEY_A "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_B "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

static const unsigned bits[] = {RIGHT_READ, RIGHT_WRITE, RIGHT_CREATE, RIGHT_CALL, RIGHT_ADMIN};
static const char *const words[] = {"read", "write", "create", "call", "admin"};

static struct rights *table;
static struct buf errors;
static unsigned errors_count;

/* As long as it says and no longer, so that a sanitizer sees what is read behind it. */
static int read_n(const char *text, size_t n)
{
	char *copy = malloc(n ? n : 1);
	int r;

	TRUE_(copy);
	memcpy(copy, text, n);
	rights_free(&table);
	buf_fini(&errors);
	r = rights_read(copy, n, "FILE", &table, &errors, &errors_count);
	free(copy); /* nothing of the table is in it */
	buf_add(&errors, "", 1);
	return r;
}

static int read_text(const char *text)
{
	return read_n(text, strlen(text));
}

static void end(void)
{
	rights_free(&table);
	buf_fini(&errors);
}

static const char *printed(const struct rights_client *c)
{
	static char text[2000];
	struct buf b;

	buf_init(&b);
	for (uint32_t i = 0; i < c->grants; i++) {
		if (i)
			buf_text(&b, " ");
		rights_print(&c->grant[i], &b);
	}
	(void)snprintf(text, sizeof(text), "%.*s", (int)b.len, b.data);
	buf_fini(&b);
	return text;
}

static unsigned of(const struct rights_client *c, const char *bucket)
{
	return rights_of(c, span_of(bucket));
}

/* ---- the file ---- */

static void clients_are_found_by_key(void)
{
	const struct rights_client *c;

	EQ(0, read_text("# who, \xc3\xa9\nshop " KEY_A
			"\tread:*  write:orders/*\n\n \t \n\tops\t" KEY_B " admin:* \t"));
	EQ(0, errors_count);
	EQ(2, rights_count(table));
	c = rights_at(table, 0);
	EQ(0, strcmp("shop", c->name));
	EQ(0, strcmp(KEY_A, c->key));
	EQ(2, c->line);
	EQ(0, strcmp("read:* write:orders/*", printed(c)));
	TRUE_(rights_find(table, span_of(KEY_A)) == c);
	c = rights_find(table, span_of(KEY_B));
	TRUE_(c == rights_at(table, 1));
	EQ(5, c->line);
	TRUE_(!rights_find(table, (struct span){KEY_A, KEY_TEXT - 1}));
	TRUE_(!rights_find(table, span_of(KEY_A "0")));
	TRUE_(!rights_find(table, span_of("0000000000000000000000000000000000000000")));
	TRUE_(!rights_find(table, span_of("")));
	end();
}

static void what_a_reload_changes_is_counted(void)
{
	static const struct {
		const char *from, *to;
		uint32_t added, removed, changed;
	} cases[] = {
		{"",			  "",			  0, 0, 0},
		{"",			  "a " KEY_A " read:*",        1, 0, 0},
		{"a " KEY_A " read:*",        "",                          0, 1, 0},
		{"a " KEY_A " read:* call:b", "a " KEY_A " call:b read:*", 0, 0, 0},
		{"a " KEY_A " read:*",        "b " KEY_A " read:*",        0, 0, 1},
		{"a " KEY_A " read:b",        "a " KEY_A " read:b*",       0, 0, 1},
		{"a " KEY_A " read:b",        "a " KEY_A " read:c",        0, 0, 1},
		{"a " KEY_A " read:b",        "a " KEY_A " write:b",       0, 0, 1},
		{"a " KEY_A " read:b",        "a " KEY_B " read:b",        1, 1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rights *from;
		struct rights_changes c;

		EQ(0, read_text(cases[i].from));
		from = table;
		table = NULL;
		EQ(0, read_text(cases[i].to));
		c = rights_compare(from, table);
		EQ(cases[i].added, c.added);
		EQ(cases[i].removed, c.removed);
		EQ(cases[i].changed, c.changed);
		rights_free(&from);
	}
	end();
}

static void no_client_is_no_error(void)
{
	static const char *const none[] = {"", "\n", "# nobody", "\n\n#x\n\t\n"};

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		EQ(0, read_text(none[i]));
		EQ(0, rights_count(table));
		TRUE_(!rights_find(table, span_of(KEY_A)));
	}
	rights_free(&table);
	EQ(0, rights_read(NULL, 0, "FILE", &table, &errors, &errors_count));
	EQ(0, rights_count(table));
	end();
}

struct written {
	const char *text;
	const char *again;
};

static void grants_are_written_as_they_are_read(void)
{
	static const struct written all[] = {
		{"read:*",                          "read:*"                         },
		{"write:b read:b read:* create:a*", "read:* create:a* read:b write:b"},
		{"read:b write:b read:b read:%62",  "read:b write:b"                 },
		{"read:a read:a* call:a*",          "read:a* call:a* read:a"         },
		{"read:%2a",                        "read:%2A"                       },
		{"read:%2A*",                       "read:%2A*"                      },
		{"read:%00%ff*",                    "read:%00%FF*"                   },
		{"read:a%20b%25%7f",                "read:a%20b%25%7F"               },
		{"read:a:b=c,\"#",                  "read:a:b=c,\"#"                 },
		{"admin:* call:*",                  "call:* admin:*"                 },
	};
	char line[400];

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		(void)snprintf(line, sizeof(line), "a " KEY_A " %s", all[i].text);
		EQ(0, read_text(line));
		EQ(0, strcmp(all[i].again, printed(rights_at(table, 0))));
	}
	end();
}

/* What is wrong with one line, to the letter. */
static void refused(const char *line, const char *why)
{
	char want[400];

	EQ(-EINVAL, read_text(line));
	TRUE_(!table);
	EQ(1, errors_count);
	(void)snprintf(want, sizeof(want), "FILE:1: %s", why);
	if (strncmp(want, errors.data, strlen(want)) != 0)
		(void)printf("# want %s\n# got  %s", want, errors.data);
	EQ(0, strncmp(want, errors.data, strlen(want)));
}

static void what_is_wrong_is_said(void)
{
	static const struct written rights[] = {
		{"",               "\"a\" has no right: leave the line out, or name one"                  },
		{"read",           "\"read\" is no right: one is written RIGHT:BUCKET"                    },
		{"read:* write",   "\"write\" is no right: one is written"                                },
		{"read:",          "\"read:\" names no bucket: * stands for all"                          },
		{"reed:*",         "\"reed:*\" is no right: those are read, write, create, call and admin"},
		{":*",             "\":*\" is no right: those are"                                        },
		{"READ:*",         "\"READ:*\" is no right: those are"                                    },
		{"read:a*b",       "\"read:a*b\" has a * before its end"                                  },
		{"read:**",        "\"read:**\" has a * before its end"                                   },
		{"read:%",         "\"read:%\" has a % in it that no two"                                 },
		{"read:%4",        "\"read:%4\" has a % in it that no two"                                },
		{"read:%4g",       "\"read:%4g\" has a % in it that no two"                               },
		{"read:%4*",       "\"read:%4*\" has a % in it that no two"                               },
		{"read:%%41",      "\"read:%%41\" has a % in it that no two"                              },
		{"read:%-1",       "\"read:%-1\" has a % in it that no two"                               },
		{"admin:a",        "\"admin:a\" is no right: admin is of the whole node"                  },
		{"admin:a*",       "\"admin:a*\" is no right: admin is of the whole node"                 },
		{"admin:%2A",      "\"admin:%2A\" is no right: admin is of the whole node"                },
		{"admin:",         "\"admin:\" names no bucket"                                           },
		{"read:a\x01",     "has the control character 0x01 in it, which is written %01"           },
		{"read:a\x7f",     "has the control character 0x7f in it, which is written %7F"           },
		{"read:\xc3\xa9",  "has the byte 0xc3 in it, which is no ASCII and is written %C3"        },
		{"read:*\r",       "has a carriage return in it: lines end with a newline"                },
		{"read:a " KEY_B,  "a key is no right: those are"                                         },
		{"read:a 0" KEY_B, "\"0D:)Q[IlAW!ahhC2ac:9*A}h…\" is no right"                          },
	};
	char line[400];

	for (unsigned i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
		(void)snprintf(line, sizeof(line), "a " KEY_A " %s", rights[i].text);
		refused(line, rights[i].again);
	}
	refused("a", "\"a\" is not followed by a key, 40 characters of Z85");
	refused("a read:*", "\"a\" is not followed by a key");
	refused("a " KEY_A "0 read:*", "\"a\" is not followed by a key");
	refused("a #000000000000000000000000000000000000000 read:*", "\"a\" is not followed");
	refused(KEY_A " a read:*", "begins with a key: a line is NAME PUBLIC RIGHT");
	refused("a,b " KEY_A " read:*", "the name \"a,b\" has one of ");
	refused("- " KEY_A " read:*", "the name \"-\" is nobody's");
	refused("0123456789012345678901234567890123456789012345678901234567890123 " KEY_A,
		"the name \"012345678901234567890123…\" is longer than 63 bytes");
	refused(" # x", "# begins a comment only as the first character");
	refused("# x\r", "has a carriage return in it");
	EQ(-EINVAL, read_n("a\0b", 3));
	TRUE_(strstr(errors.data, "FILE:1: has the control character 0x00"));
	end();
}

static void who_comes_twice_is_told_with_both_lines(void)
{
	EQ(-EINVAL, read_text("\na " KEY_A " read:*\n\na " KEY_B " read:*\nb " KEY_A " read:*\n"
			      "b " KEY_B " call:*"));
	EQ(2, errors_count);
	EQ(0, strcmp("FILE:4: \"a\" is in line 2 already\n"
		     "FILE:5: \"b\" has the key of \"a\" in line 2: each client has its own\n",
		     errors.data));
	end();
}

static void limits_are_held(void)
{
	char *text = malloc(2 * RIGHTS_LINE_MAX);
	size_t n;

	TRUE_(text);
	for (unsigned over = 0; over < 2; over++) { /* a line's bytes */
		memset(text, ' ', 2 * RIGHTS_LINE_MAX);
		memcpy(text, "a " KEY_A " read:*", strlen("a " KEY_A " read:*"));
		EQ(over ? -EINVAL : 0, read_n(text, RIGHTS_LINE_MAX + over));
		TRUE_(!over || strstr(errors.data, "FILE:1: is longer than 65536 bytes\n"));
	}
	for (unsigned over = 0; over < 2; over++) { /* rights of one client */
		n = (size_t)sprintf(text, "a " KEY_A);
		for (unsigned i = 0; i < RIGHTS_GRANTS_MAX + over; i++)
			n += (size_t)sprintf(text + n, " call:%u", i);
		EQ(over ? -EINVAL : 0, read_n(text, n));
		if (over)
			TRUE_(strstr(errors.data, "FILE:1: \"a\" has more than 256 rights\n"));
		else
			EQ(RIGHTS_GRANTS_MAX, rights_at(table, 0)->grants);
	}
	for (unsigned over = 0; over < 4; over++) { /* a bucket's name, whole or a beginning */
		n = (size_t)sprintf(text, "a " KEY_A " read:");
		for (unsigned i = 0; i < WIRE_BUCKET_MAX + over / 2; i++)
			n += (size_t)sprintf(text + n, "%%fF");
		if (over % 2)
			text[n++] = '*';
		EQ(over / 2 ? -EINVAL : 0, read_n(text, n));
		if (over / 2) {
			TRUE_(strstr(errors.data, "is of a bucket with more than 255 bytes"));
			continue;
		}
		EQ(WIRE_BUCKET_MAX, rights_at(table, 0)->grant[0].size);
		EQ(over % 2, rights_at(table, 0)->grant[0].prefix);
	}
	free(text);
	end();
}

static size_t client_line(char *out, unsigned i)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	char key[KEY_TEXT + 1];

	memset(key, '0', KEY_TEXT);
	key[KEY_TEXT] = '\0';
	for (unsigned k = 0, left = i; k < 4; k++, left /= 32)
		key[k * 5 + 4] = digits[left % 32];
	return (size_t)sprintf(out, "c%u %s read:%u\n", i, key, i);
}

static void all_of_many_clients_are_found(void)
{
	char *text = malloc((RIGHTS_CLIENTS_MAX + 1) * (size_t)80);
	size_t n = 0;

	TRUE_(text);
	for (unsigned i = 0; i < RIGHTS_CLIENTS_MAX; i++)
		n += client_line(text + n, i);
	EQ(0, read_n(text, n));
	EQ(RIGHTS_CLIENTS_MAX, rights_count(table));
	for (unsigned i = 0; i < RIGHTS_CLIENTS_MAX; i++) {
		char line[100];
		struct span name;
		struct span key;

		(void)client_line(line, i);
		name = (struct span){line, strcspn(line, " ")};
		key = (struct span){line + name.n + 1, KEY_TEXT};
		TRUE_(rights_find(table, key) == rights_at(table, i));
		SAME(name.p, name.n, rights_at(table, i)->name);
		EQ(i + 1, rights_at(table, i)->line);
	}
	n += client_line(text + n, RIGHTS_CLIENTS_MAX);
	n += (size_t)sprintf(text + n, "and more\n");
	EQ(-EINVAL, read_n(text, n));
	EQ(1, errors_count);
	TRUE_(strstr(errors.data, "FILE:65537: is one of more than 65536 clients"));
	/* A thousand mistakes: all are counted, some are told, in order. */
	for (unsigned i = 0; i < 1000; i++)
		text[i] = i % 2 ? '\n' : 'x';
	EQ(-EINVAL, read_n(text, 1000));
	EQ(500, errors_count);
	n = 0;
	for (const char *p = errors.data; (p = strchr(p, '\n')); p++)
		n++;
	EQ(RIGHTS_ERRORS_MAX, n);
	EQ(0, strncmp("FILE:1: ", errors.data, 8));
	TRUE_(strstr(errors.data, "\nFILE:100: "));
	free(text);
	end();
}

static void no_memory_leaves_nothing(void)
{
#ifdef PAIL_FAULTS
	static const char text[] = "a " KEY_A " read:* write:b\nb " KEY_B " call:*\n";
	char fault[60];
	int r = -ENOMEM;
	unsigned n = 0;

	while (r < 0 && n < 100) {
		(void)snprintf(fault, sizeof(fault), "rights.alloc=ENOMEM@%u", ++n);
		fault_set(fault, 0);
		r = read_text(text);
		fault_set(NULL, 0);
		EQ(r < 0 ? -ENOMEM : 0, r);
		EQ(r == 0, table != NULL);
		EQ(0, errors_count);
	}
	EQ(8, n); /* itself, the table, its three parts, two clients; and then it went well */
	EQ(2, rights_count(table));
	end();
#endif
}

/* ---- the answers ---- */

static void rights_are_those_of_all_that_covers(void)
{
	const struct rights_client *c;

	EQ(0, read_text("a " KEY_A " read:* write:orders/* create:orders call:o* admin:*"));
	c = rights_at(table, 0);
	EQ(RIGHT_READ | RIGHT_ADMIN, of(c, ""));
	EQ(RIGHT_READ, of(c, "n"));
	EQ(RIGHT_READ | RIGHT_CALL, of(c, "o"));
	EQ(RIGHT_READ | RIGHT_CALL | RIGHT_CREATE, of(c, "orders"));
	EQ(RIGHT_READ | RIGHT_CALL | RIGHT_WRITE, of(c, "orders/"));
	EQ(RIGHT_READ | RIGHT_CALL | RIGHT_WRITE, of(c, "orders/1"));
	EQ(RIGHT_READ | RIGHT_CALL, of(c, "orders0"));
	EQ(RIGHT_READ, of(c, "*"));
	EQ(0, read_text("a " KEY_A " read:%2A"));
	c = rights_at(table, 0);
	EQ(RIGHT_READ, of(c, "*"));
	EQ(0, of(c, "a"));
	EQ(0, of(c, ""));
	end();
}

static void what_is_lacking_is_explained(void)
{
	char out[1200];
	char long_name[WIRE_BUCKET_MAX];
	const struct rights_client *c;

	EQ(0, read_text("shop " KEY_A " read:*"));
	c = rights_at(table, 0);
	rights_explain(c, RIGHT_WRITE, span_of("orders"), out, sizeof(out));
	EQ(0, strcmp("\"shop\" lacks write on \"orders\"", out));
	rights_explain(c, RIGHT_CALL | RIGHT_WRITE, span_of("a\xff"), out, sizeof(out));
	EQ(0, strcmp("\"shop\" lacks write or call on \"a\\xff\"", out));
	rights_explain(c, RIGHT_CALL | RIGHT_WRITE | RIGHT_READ, (struct span){"\0", 1}, out,
		       sizeof(out));
	EQ(0, strcmp("\"shop\" lacks read, write or call on \"\\x00\"", out));
	rights_explain(c, RIGHT_ADMIN, span_of(""), out, sizeof(out));
	EQ(0, strcmp("\"shop\" lacks admin on \"*\"", out));
	rights_explain(c, RIGHT_ADMIN, span_of(""), out, 10);
	EQ(0, strcmp("\"shop\" la", out));
	memset(long_name, 0xff, sizeof(long_name));
	rights_explain(c, 31, (struct span){long_name, sizeof(long_name)}, out, sizeof(out));
	TRUE_(strstr(out, "lacks read, write, create, call or admin on \"\\xff"));
	EQ(0, strcmp("\\xff\"", out + strlen(out) - 5));
	end();
}

/* ---- against judges that are plain ---- */

#define GRANTS 12

struct name {
	size_t n;
	char bytes[WIRE_BUCKET_MAX];
};

struct plain {
	unsigned right; /* its place in `bits` */
	bool prefix;
	struct name name;
};

static uint64_t seed;
static struct plain plain[GRANTS];
static unsigned plain_count;

/* Mostly short, of few bytes, so that many begin alike; some as long as names can be. */
static struct name any_name(size_t least)
{
	static const char bytes[] = {'\0', '\xff', 'a', '*', '%', ' '};
	struct name name = {.n = 0};
	uint64_t kind = unit_random(&seed) % 16;

	if (kind == 0) {
		name.n = WIRE_BUCKET_MAX - unit_random(&seed) % 3;
		memset(name.bytes, unit_random(&seed) % 4 ? 0xff : 0, name.n);
		name.bytes[unit_random(&seed) % 3] = bytes[unit_random(&seed) % 3];
		name.bytes[name.n - 1] = bytes[unit_random(&seed) % 2];
		return name;
	}
	name.n = least + unit_random(&seed) % 5;
	for (size_t i = 0; i < name.n; i++)
		name.bytes[i] = bytes[unit_random(&seed) % (kind < 8 ? 3 : sizeof(bytes))];
	return name;
}

static bool plain_covers(const struct plain *p, const struct name *name)
{
	if (p->prefix ? name->n < p->name.n : name->n != p->name.n)
		return false;
	return memcmp(p->name.bytes, name->bytes, p->name.n) == 0;
}

static unsigned plain_of(const struct name *name)
{
	unsigned found = 0;

	for (unsigned i = 0; i < plain_count; i++) {
		bool all = plain[i].prefix && !plain[i].name.n;

		if (name->n ? bits[plain[i].right] != RIGHT_ADMIN && plain_covers(&plain[i], name)
			    : all)
			found |= bits[plain[i].right];
	}
	return found;
}

static const struct rights_client *any_client(void)
{
	char line[GRANTS * (WIRE_BUCKET_MAX * 3 + 20) + 100];
	size_t n = (size_t)sprintf(line, "a " KEY_A);

	plain_count = 1 + (unsigned)(unit_random(&seed) % GRANTS);
	for (unsigned i = 0; i < plain_count; i++) {
		struct plain *p = &plain[i];

		p->right = (unsigned)(unit_random(&seed) % 5);
		p->prefix = bits[p->right] == RIGHT_ADMIN || unit_random(&seed) % 2;
		p->name = any_name(!p->prefix);
		if (bits[p->right] == RIGHT_ADMIN || unit_random(&seed) % 20 == 0) {
			p->prefix = true;
			p->name.n = 0;
		}
		n += (size_t)sprintf(line + n, " %s:", words[p->right]);
		for (size_t k = 0; k < p->name.n; k++)
			if (p->name.bytes[k] == 'a')
				line[n++] = 'a';
			else
				n += (size_t)sprintf(line + n, "%%%02x",
						     (unsigned)(unsigned char)p->name.bytes[k]);
		if (p->prefix)
			line[n++] = '*';
	}
	EQ(0, read_n(line, n));
	return rights_at(table, 0);
}

static struct span span_name(const struct name *n)
{
	return (struct span){n->bytes, n->n};
}

static void every_right_on_any_bucket_is_as_the_rules_say(void)
{
	unsigned some = 0;

	seed = unit_seed();
	for (unsigned round = 0; round < 3000; round++) {
		const struct rights_client *c = any_client();

		for (unsigned i = 0; i < 30; i++) {
			struct name name = any_name(0);
			unsigned want;

			if (i < plain_count) { /* one that is named, or all but */
				name = plain[i].name;
				if (name.n && name.n < WIRE_BUCKET_MAX && unit_random(&seed) % 2)
					name.bytes[name.n++] = (char)(unit_random(&seed) % 3 - 1);
			}
			want = plain_of(&name);
			for (unsigned k = 0; k < 5; k++)
				EQ(want & bits[k], rights_of(c, span_name(&name)) & bits[k]);
			EQ(want, rights_of(c, span_name(&name)));
			some += want != 0;
		}
	}
	TRUE_(some > 10000);
	end();
}

static void what_is_printed_is_the_same_when_read(void)
{
	seed = unit_seed();
	for (unsigned round = 0; round < 2000; round++) {
		const struct rights_client *c = any_client();
		struct rights *before = table;
		const struct rights_client *again;
		struct buf b;

		buf_init(&b);
		buf_text(&b, "a " KEY_A);
		for (uint32_t i = 0; i < c->grants; i++) {
			buf_text(&b, " ");
			rights_print(&c->grant[i], &b);
		}
		table = NULL;
		EQ(0, read_n(b.data, b.len));
		again = rights_at(table, 0);
		EQ(c->grants, again->grants);
		for (uint32_t i = 0; i < c->grants; i++) {
			EQ(c->grant[i].right, again->grant[i].right);
			EQ(c->grant[i].prefix, again->grant[i].prefix);
			EQ(c->grant[i].size, again->grant[i].size);
			EQ(0, memcmp(c->grant[i].bucket, again->grant[i].bucket, c->grant[i].size));
		}
		rights_free(&before);
		buf_fini(&b);
	}
	end();
}

#define NAMES 60

static struct name names[NAMES];
static unsigned names_count;

static int name_compare(const void *a, const void *b)
{
	return span_compare(span_name(a), span_name(b));
}

/* Buckets that there are, in order; not all of them are the client's. */
static void any_buckets(void)
{
	unsigned kept = 0;

	names_count = (unsigned)(unit_random(&seed) % NAMES);
	for (unsigned i = 0; i < names_count; i++) {
		names[i] = any_name(1);
		if (unit_random(&seed) % 2 && plain[i % plain_count].name.n)
			names[i] = plain[i % plain_count].name;
	}
	qsort(names, names_count, sizeof(names[0]), name_compare);
	for (unsigned i = 0; i < names_count; i++)
		if (!kept || name_compare(&names[kept - 1], &names[i]))
			names[kept++] = names[i];
	names_count = kept;
}

/* The first that is there at or behind `from` and that the client may read, or NULL. */
static const struct name *plain_next(struct span from, bool past)
{
	for (unsigned i = 0; i < names_count; i++) {
		int order = span_compare(span_name(&names[i]), from);

		if ((past ? order > 0 : order >= 0) && (plain_of(&names[i]) & RIGHT_READ))
			return &names[i];
	}
	return NULL;
}

/* The least run of bytes behind all that begin so; false: there is none. */
static bool behind(struct span begin, struct name *ret)
{
	while (begin.n && begin.p[begin.n - 1] == '\xff')
		begin.n--;
	if (!begin.n)
		return false;
	ret->n = begin.n;
	memcpy(ret->bytes, begin.p, begin.n);
	ret->bytes[begin.n - 1]++;
	return true;
}

/* The last name that begins so. */
static struct name last(struct span begin)
{
	struct name name = {.n = WIRE_BUCKET_MAX};

	memset(name.bytes, 0xff, sizeof(name.bytes));
	memcpy(name.bytes, begin.p, begin.n);
	return name;
}

/*
 * A listing as a node makes it: run by run of names, each of which it looks up among those that
 * there are.  `by_last`: it leaves a run by its last name instead of the one behind all of it.
 */
static void list_all(const struct rights_client *c, bool by_last)
{
	const struct name *want = plain_next(span_of(""), false);
	struct name at = {.n = 0};
	bool past = false;
	struct span begin;
	unsigned runs = 0;
	bool one;

	while (rights_next_readable(c, span_name(&at), past, &begin, &one)) {
		TRUE_(++runs <= GRANTS);
		for (unsigned i = 0; i < names_count; i++) {
			struct span name = span_name(&names[i]);
			int order = span_compare(name, span_name(&at));

			if ((past ? order <= 0 : order < 0) ||
			    !(one ? span_equal(name, begin) : span_begins(name, begin)))
				continue;
			TRUE_(want == &names[i]);
			want = plain_next(name, true);
		}
		past = one || by_last;
		if (one) {
			at.n = begin.n;
			memcpy(at.bytes, begin.p, begin.n);
		} else if (by_last) {
			at = last(begin);
		} else if (!behind(begin, &at)) {
			break;
		}
	}
	TRUE_(!want);
}

static void listings_have_what_may_be_read_and_no_more(void)
{
	unsigned found = 0;

	seed = unit_seed();
	for (unsigned round = 0; round < 3000; round++) {
		const struct rights_client *c = any_client();

		any_buckets();
		list_all(c, false);
		list_all(c, true);
		for (unsigned i = 0; i < 30; i++) { /* from anywhere */
			struct name from = any_name(0);
			bool past = unit_random(&seed) % 2;
			const struct name *next = plain_next(span_name(&from), past);
			struct span begin = {NULL, 0};
			bool one;

			if (!rights_next_readable(c, span_name(&from), past, &begin, &one)) {
				TRUE_(!next);
				continue;
			}
			TRUE_(!next || span_compare(span_name(next), begin) >= 0);
			found += next != NULL;
		}
	}
	TRUE_(found > 1000);
	end();
}

static void the_next_readable_is_told(void)
{
	static char most[WIRE_BUCKET_MAX + 1];
	const struct rights_client *c;
	struct span begin;
	bool one;

	EQ(0, read_text("a " KEY_A " write:* read:b* read:bb read:d read:%FF* admin:*"));
	c = rights_at(table, 0);
	TRUE_(rights_next_readable(c, span_of(""), true, &begin, &one) && !one);
	SAME(begin.p, begin.n, "b");
	TRUE_(rights_next_readable(c, span_of("bz"), true, &begin, &one) && !one);
	SAME(begin.p, begin.n, "b");
	TRUE_(rights_next_readable(c, span_of("c"), false, &begin, &one) && one);
	SAME(begin.p, begin.n, "d");
	TRUE_(rights_next_readable(c, span_of("d"), false, &begin, &one) && one);
	TRUE_(rights_next_readable(c, span_of("d"), true, &begin, &one) && !one);
	SAME(begin.p, begin.n, "\xff");
	memset(most, 0xff, sizeof(most));
	TRUE_(rights_next_readable(c, (struct span){most, 255}, false, &begin, &one) && !one);
	TRUE_(!rights_next_readable(c, (struct span){most, 255}, true, &begin, &one));
	TRUE_(!rights_next_readable(c, (struct span){most, 256}, false, &begin, &one));
	most[254] = 0;
	TRUE_(rights_next_readable(c, (struct span){most, 255}, true, &begin, &one) && !one);
	TRUE_(rights_next_readable(c, (struct span){most, 256}, false, &begin, &one) && !one);
	EQ(0, read_text("a " KEY_A " read:*"));
	TRUE_(rights_next_readable(rights_at(table, 0), span_of(""), false, &begin, &one) && !one);
	EQ(0, begin.n);
	EQ(0, read_text("a " KEY_A " admin:* write:*"));
	TRUE_(!rights_next_readable(rights_at(table, 0), span_of(""), false, &begin, &one));
	end();
}

UNIT_MAIN(T(clients_are_found_by_key), T(what_a_reload_changes_is_counted),
	  T(no_client_is_no_error), T(grants_are_written_as_they_are_read),
	  T(what_is_wrong_is_said), T(who_comes_twice_is_told_with_both_lines), T(limits_are_held),
	  T(all_of_many_clients_are_found), T(no_memory_leaves_nothing),
	  T(rights_are_those_of_all_that_covers), T(what_is_lacking_is_explained),
	  T(every_right_on_any_bucket_is_as_the_rules_say),
	  T(what_is_printed_is_the_same_when_read), T(listings_have_what_may_be_read_and_no_more),
	  T(the_next_readable_is_told))
