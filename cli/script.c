/* Lines into a transaction. */
#include "cli/script.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "include/wire.h"

#define WORDS_MAX 24 /* a scan with all there is has 13 */

/* The words of a line that have not been taken yet. */
struct rest {
	struct script *s;
	char **word;
	char **end;
	int count;
};

static const char *const names[SCRIPT_KINDS] = {"put", "touch", "delete", "get", "scan", "count"};

const char *script_name(enum script_kind kind)
{
	return names[kind];
}

int script_init(struct script *s)
{
	memset(s, 0, sizeof(*s));
	s->branch = PAIL_THEN;
	return pail_txn_new(&s->txn) == PAIL_OK ? 0 : -ENOMEM;
}

void script_fini(struct script *s)
{
	pail_txn_free(&s->txn);
	free(s->op[0]);
	free(s->op[1]);
}

/* ---- words ---- */

__attribute__((format(printf, 2, 3))) static bool wrong(struct script *s, const char *format, ...)
{
	va_list ap;
	int n = snprintf(s->why, sizeof(s->why), "line %llu: ", (unsigned long long)s->line);

	va_start(ap, format);
	(void)vsnprintf(s->why + n, sizeof(s->why) - (size_t)n, format, ap);
	va_end(ap);
	return false;
}

static struct pail_bytes word_take(struct rest *r)
{
	struct pail_bytes b = {*r->word, (size_t)(*r->end - *r->word)};

	r->word++;
	r->end++;
	r->count--;
	return b;
}

static bool is(struct pail_bytes b, const char *s)
{
	return b.size == strlen(s) && !memcmp(b.data, s, b.size);
}

/* A word as a message can show it; `out` has 80 bytes. */
static const char *shown(struct pail_bytes b, char *out)
{
	return buf_printable(out, 80, b.data, b.size);
}

/* The next word is `name`: step over it. */
static bool take(struct rest *r, const char *name)
{
	if (!r->count || !is((struct pail_bytes){*r->word, (size_t)(*r->end - *r->word)}, name))
		return false;
	(void)word_take(r);
	return true;
}

/* A word of that kind, or false: the line is wrong. */
static bool want(struct rest *r, const char *what, struct pail_bytes *ret)
{
	if (!r->count)
		return wrong(r->s, "%s is missing", what);
	*ret = word_take(r);
	return true;
}

static bool number(struct rest *r, const char *what, uint64_t least, uint64_t most, uint64_t *ret)
{
	struct pail_bytes b = {NULL, 0};
	const char *digits;
	char *end;
	char out[80];

	if (!want(r, what, &b))
		return false;
	digits = b.data;
	errno = 0;
	*ret = strtoull(digits, &end, 10); /* a word ends in NUL */
	if (!b.size || *digits < '0' || *digits > '9' || end != digits + b.size || errno ||
	    *ret < least || *ret > most)
		return wrong(r->s, "%s is a number from %llu to %llu, and not \"%s\"", what,
			     (unsigned long long)least, (unsigned long long)most, shown(b, out));
	return true;
}

static bool no_more(struct rest *r)
{
	char out[80];

	return !r->count ||
	       wrong(r->s, "\"%s\" is too much here; words with blanks are put into quotes",
		     shown(word_take(r), out));
}

/* What libpail says to an addition. */
static bool added(struct script *s, int status)
{
	return status == PAIL_OK || wrong(s, "%s", pail_txn_why(s->txn));
}

/* ---- conditions ---- */

static bool condition(struct rest *r)
{
	static const char *const relations[] = {"=", "!=", "<", ">"};
	struct script *s = r->s;
	struct pail_bytes key = {NULL, 0};
	struct pail_bytes what = {NULL, 0};
	struct pail_bytes relation = {NULL, 0};
	struct pail_bytes value = {NULL, 0};
	uint64_t version = 0;
	char out[80];
	int i = 0;

	if (!want(r, "the key", &key) || !want(r, "version or value", &what) ||
	    !want(r, "the relation", &relation))
		return false;
	while (i < 4 && !is(relation, relations[i]))
		i++;
	if (i == 4)
		return wrong(s, "\"%s\" is no relation: =, !=, < or >", shown(relation, out));
	s->has_conditions = true;
	if (is(what, "version"))
		return number(r, "the version", 0, UINT64_MAX, &version) && no_more(r) &&
		       added(s, pail_txn_if_version(s->txn, key, (enum pail_relation)i, version));
	if (is(what, "value"))
		return want(r, "the value", &value) && no_more(r) &&
		       added(s, pail_txn_if_value(s->txn, key, (enum pail_relation)i, value));
	return wrong(s, "a condition is about version or value, and not \"%s\"", shown(what, out));
}

/* ---- operations ---- */

static bool note(struct script *s, struct script_op op)
{
	size_t *count = &s->count[s->branch];
	size_t *size = &s->size[s->branch];

	if (*count == *size) {
		size_t n = *size ? 2 * *size : 64;
		struct script_op *grown = realloc(s->op[s->branch], n * sizeof(*grown));

		if (!grown)
			return wrong(s, "no memory");
		s->op[s->branch] = grown;
		*size = n;
	}
	s->op[s->branch][(*count)++] = op;
	return true;
}

/* `ttl MS`, if it is there. */
static bool ttl_take(struct rest *r, uint64_t *ret)
{
	*ret = 0;
	return !take(r, "ttl") || number(r, "ttl", 1, UINT64_MAX, ret);
}

#define AT(member) offsetof(struct pail_request, member)

static const struct {
	const char *name;
	size_t place;
	bool is_flag; /* else bytes follow */
} scan_words[] = {
	{"prefix",    AT(prefix),    false},
        {"from",      AT(from),      false},
	{"to",        AT(to),        false},
        {"after",     AT(after),     false},
	{"reverse",   AT(reverse),   true },
        {"keys-only", AT(keys_only), true },
	{"ttl",       AT(with_ttl),  true },
};

#define SCAN_WORDS (sizeof(scan_words) / sizeof(scan_words[0]))

static bool scan_take(struct rest *r, struct pail_request *q)
{
	uint64_t limit = 0;
	char out[80];

	while (r->count) {
		size_t i = 0;

		if (take(r, "limit")) {
			if (!number(r, "the limit", 1, WIRE_SCAN_LIMIT_MAX, &limit))
				return false;
			continue;
		}
		while (i < SCAN_WORDS && !take(r, scan_words[i].name))
			i++;
		if (i == SCAN_WORDS)
			return wrong(r->s,
				     "a scan takes prefix, from, to, after, limit, reverse, "
				     "keys-only and ttl, and not \"%s\"",
				     shown(word_take(r), out));
		if (scan_words[i].is_flag)
			*(bool *)((char *)q + scan_words[i].place) = true;
		else if (!want(r, "a key, or the beginning of one,",
			       (struct pail_bytes *)(void *)((char *)q + scan_words[i].place)))
			return false;
	}
	q->limit = (uint32_t)limit;
	return true;
}

static bool op_add(struct rest *r, struct script_op op)
{
	struct script *s = r->s;
	struct pail_request q = {.size = sizeof(q)};
	struct pail_bytes value = {NULL, 0};
	uint64_t ttl_ms = 0;

	if (op.kind != SCRIPT_SCAN && op.kind != SCRIPT_COUNT && !want(r, "the key", &op.key))
		return false;
	if (op.kind == SCRIPT_PUT && !want(r, "the value", &value))
		return false;
	if ((op.kind == SCRIPT_PUT || op.kind == SCRIPT_TOUCH) && !ttl_take(r, &ttl_ms))
		return false;
	if (op.kind == SCRIPT_SCAN && !scan_take(r, &q))
		return false;
	if (!no_more(r))
		return false;
	op.with_ttl = q.with_ttl;
	op.keys_only = q.keys_only;
	switch (op.kind) {
	case SCRIPT_PUT:
		return added(s, pail_txn_put(s->txn, s->branch, op.key, value, ttl_ms)) &&
		       note(s, op);
	case SCRIPT_TOUCH:
		return added(s, pail_txn_touch(s->txn, s->branch, op.key, ttl_ms)) && note(s, op);
	case SCRIPT_DELETE:
		return added(s, pail_txn_delete(s->txn, s->branch, op.key)) && note(s, op);
	case SCRIPT_GET:
		return added(s, pail_txn_get(s->txn, s->branch, op.key)) && note(s, op);
	case SCRIPT_SCAN:
		return added(s, pail_txn_scan(s->txn, s->branch, &q)) && note(s, op);
	default:
		return added(s, pail_txn_count(s->txn, s->branch)) && note(s, op);
	}
}

bool script_line(struct script *s, char *line, size_t n)
{
	char *word[WORDS_MAX];
	char *end[WORDS_MAX];
	struct rest r = {s, word, end, 0};
	struct pail_bytes first;
	char out[80];

	s->line++;
	if (n && line[n - 1] == '\r')
		n--;
	r.count = cli_split(line, n, word, end, WORDS_MAX);
	if (r.count < 0)
		return wrong(s, "an open quote, or more than %d words", WORDS_MAX);
	if (!r.count)
		return true;
	first = word_take(&r);
	if (is(first, "if")) {
		if (s->has_else || s->count[PAIL_THEN])
			return wrong(s, "conditions come before all operations");
		return condition(&r);
	}
	if (is(first, "else")) {
		if (s->has_else)
			return wrong(s, "a second else");
		if (!s->has_conditions)
			return wrong(s, "else, and there is no if");
		s->has_else = true;
		s->branch = PAIL_ELSE;
		return no_more(&r);
	}
	for (int k = 0; k < SCRIPT_KINDS; k++)
		if (is(first, names[k]))
			return op_add(&r, (struct script_op){.kind = (enum script_kind)k});
	return wrong(s, "\"%s\" is none of if, put, touch, delete, get, scan, count, else",
		     shown(first, out));
}
