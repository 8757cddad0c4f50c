/*
 * The file of clients becomes a table.  Its clients stand in the order of the file; two tables of
 * hashes find them by name, for as long as it is read, and by key.
 */
#include "coordinator/security/rights.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/hash.h"
#include "coordinator/security/rights_impl.h"

#define SHOWN 24u /* bytes of a word in an error: too little to make out a secret key */

struct rights {
	struct rights_client *client;
	uint32_t count;
	uint32_t *by_key; /* a client's place in `client`, and one; 0: free */
	uint32_t mask;
};

/* ---- finding ---- */

static const char *text_of(const struct rights_client *c, bool by_key)
{
	return by_key ? c->key : c->name;
}

/*
 * Where the client with that name or key is in a table of hashes, or would be: at least half of it
 * is free.  Not seeded: whom it holds the operator has let in.
 */
static uint32_t *slot_of(const struct rights *r, uint32_t *table, bool by_key, struct span text)
{
	for (uint64_t h = hash64(0, text.p, text.n);; h++) {
		uint32_t *slot = &table[h & r->mask];

		if (!*slot || span_equal(span_of(text_of(&r->client[*slot - 1], by_key)), text))
			return slot;
	}
}

const struct rights_client *rights_find(const struct rights *r, struct span key)
{
	uint32_t slot = *slot_of(r, r->by_key, true, key);

	return slot ? &r->client[slot - 1] : NULL;
}

uint32_t rights_count(const struct rights *r)
{
	return r->count;
}

const struct rights_client *rights_at(const struct rights *r, uint32_t i)
{
	return &r->client[i];
}

/* ---- reading ---- */

struct reading {
	struct rights *rights;
	uint32_t *by_name;
	const char *file;
	unsigned line;
	struct buf *errors;
	unsigned errors_count;
	bool full; /* of clients: what follows is not read */
	struct grant grant[RIGHTS_GRANTS_MAX];
	char bytes[RIGHTS_LINE_MAX]; /* of the buckets of one line */
};

static void *allocate(size_t n, size_t size)
{
	return fault_at("rights.alloc") < 0 ? NULL : calloc(n ? n : 1, size);
}

__attribute__((format(printf, 2, 3))) static void refuse(struct reading *g, const char *fmt, ...)
{
	char reason[600];
	va_list ap;

	if (g->errors_count++ >= RIGHTS_ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	buf_fmt(g->errors, "%s:%u: %s\n", g->file, g->line, reason);
}

/* A word to be quoted, or what it looks like: keys may be secret ones that got here. */
static const char *shown(struct span word, char *out, size_t size)
{
	char text[SHOWN * 4 + 1];
	bool cut = word.n > SHOWN;

	if (key_text_is(word.p, word.n))
		return "a key";
	buf_printable(text, sizeof(text), word.p, cut ? SHOWN : word.n);
	(void)snprintf(out, size, "\"%s%s\"", text, cut ? "…" : "");
	return out;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span next_word(struct span *rest)
{
	struct span word;

	while (rest->n && is_blank(*rest->p)) {
		rest->p++;
		rest->n--;
	}
	word = (struct span){rest->p, 0};
	while (rest->n && !is_blank(*rest->p)) {
		rest->p++;
		rest->n--;
		word.n++;
	}
	return word;
}

/* Each of its bytes may be in a file of text; comments may be in any language. */
static bool line_clean(struct reading *g, struct span line)
{
	bool comment = line.n && *line.p == '#';

	if (line.n > RIGHTS_LINE_MAX) {
		refuse(g, "is longer than %u bytes", RIGHTS_LINE_MAX);
		return false;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if (c == '\r') {
			refuse(g, "has a carriage return in it: lines end with a newline and "
				  "nothing else");
			return false;
		}
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			refuse(g, "has the control character 0x%02x in it, which is written %%%02X",
			       c, c);
			return false;
		}
		if (c > 0x7f && !comment) {
			refuse(g,
			       "has the byte 0x%02x in it, which is no ASCII and is written "
			       "%%%02X",
			       c, c);
			return false;
		}
	}
	return true;
}

static struct rights_client *client_add(struct reading *g, struct span name_word, struct span key)
{
	struct rights *r = g->rights;
	char name[KEY_NAME_MAX + 2]; /* with the byte that makes it too long */
	char text[SHOWN * 4 + 10];
	struct rights_client *c;
	uint32_t *name_slot;
	uint32_t *key_slot;
	const char *wrong;

	if (key_text_is(name_word.p, name_word.n)) {
		refuse(g, "begins with a key: a line is NAME PUBLIC RIGHT…");
		return NULL;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)name_word.n, name_word.p);
	wrong = key_name_check(name);
	if (wrong) {
		refuse(g, "the name %s %s", shown(name_word, text, sizeof(text)), wrong);
		return NULL;
	}
	if (!key_text_is(key.p, key.n)) {
		refuse(g,
		       "%s is not followed by a key, %u characters of Z85: a line is NAME PUBLIC "
		       "RIGHT…",
		       shown(name_word, text, sizeof(text)), KEY_TEXT);
		return NULL;
	}
	name_slot = slot_of(r, g->by_name, false, span_of(name));
	if (*name_slot) {
		refuse(g, "\"%s\" is in line %u already", name, r->client[*name_slot - 1].line);
		return NULL;
	}
	key_slot = slot_of(r, r->by_key, true, key);
	if (*key_slot) {
		c = &r->client[*key_slot - 1];
		refuse(g, "\"%s\" has the key of \"%s\" in line %u: each client has its own", name,
		       c->name, c->line);
		return NULL;
	}
	if (r->count == RIGHTS_CLIENTS_MAX) {
		refuse(g, "is one of more than %u clients: what follows is not read",
		       RIGHTS_CLIENTS_MAX);
		g->full = true;
		return NULL;
	}
	c = &r->client[r->count];
	*name_slot = *key_slot = ++r->count;
	memcpy(c->name, name, strlen(name) + 1);
	memcpy(c->key, key.p, KEY_TEXT);
	c->line = g->line;
	return c;
}

/* The rights of a line into g->grant.  How many, or -1: that was an error. */
static int grants_read(struct reading *g, const char *name, struct span rest)
{
	char *bytes = g->bytes;
	int n = 0;

	for (struct span word = next_word(&rest); word.n; word = next_word(&rest)) {
		char text[SHOWN * 4 + 10];
		const char *wrong;

		if (n == (int)RIGHTS_GRANTS_MAX) {
			refuse(g, "\"%s\" has more than %u rights", name, RIGHTS_GRANTS_MAX);
			return -1;
		}
		wrong = grant_read(word, bytes, &g->grant[n]);
		if (wrong) {
			refuse(g, "%s %s", shown(word, text, sizeof(text)), wrong);
			return -1;
		}
		bytes += g->grant[n++].size;
	}
	if (!n) {
		refuse(g, "\"%s\" has no right: leave the line out, or name one", name);
		return -1;
	}
	return n;
}

/* Sorted, each once, in memory of their own.  0 or -ENOMEM. */
static int grants_keep(struct reading *g, uint32_t n, struct rights_client *c)
{
	size_t size = 0;
	uint32_t kept = 0;
	struct grant *own;
	char *bytes;

	qsort(g->grant, n, sizeof(g->grant[0]), grant_compare);
	for (uint32_t i = 0; i < n; i++) {
		if (kept && !grant_compare(&g->grant[kept - 1], &g->grant[i]))
			continue;
		g->grant[kept++] = g->grant[i];
		size += g->grant[i].size;
	}
	own = allocate(1, kept * sizeof(*own) + size);
	if (!own)
		return -ENOMEM;
	bytes = (char *)(own + kept);
	for (uint32_t i = 0; i < kept; i++) {
		own[i] = g->grant[i];
		own[i].bucket = bytes;
		memcpy(bytes, g->grant[i].bucket, own[i].size);
		bytes += own[i].size;
	}
	c->grant = own;
	c->grants = kept;
	return 0;
}

static int line_read(struct reading *g, struct span line)
{
	struct rights_client *c;
	struct span name;
	struct span key;
	int n;

	if (!line_clean(g, line) || (line.n && *line.p == '#'))
		return 0;
	name = next_word(&line);
	if (!name.n)
		return 0;
	if (*name.p == '#') {
		refuse(g, "# begins a comment only as the first character of a line");
		return 0;
	}
	key = next_word(&line);
	c = client_add(g, name, key);
	n = c ? grants_read(g, c->name, line) : -1;
	return n < 0 ? 0 : grants_keep(g, (uint32_t)n, c);
}

/* Room for as many clients as there are lines, and for their hashes: at least half are free. */
static int table_new(struct reading *g, const char *text, size_t n)
{
	struct rights *r = g->rights = allocate(1, sizeof(*r));
	size_t lines = 1;
	uint32_t slots = 8;

	if (!r)
		return -ENOMEM;
	for (size_t at = 0; at < n && lines < RIGHTS_CLIENTS_MAX; lines++) {
		const char *end = memchr(text + at, '\n', n - at);

		if (!end)
			break;
		at = (size_t)(end - text) + 1;
	}
	while (slots < 2 * lines)
		slots *= 2;
	r->mask = slots - 1;
	r->client = allocate(lines, sizeof(*r->client));
	r->by_key = allocate(slots, sizeof(*r->by_key));
	g->by_name = allocate(slots, sizeof(*g->by_name));
	return r->client && r->by_key && g->by_name ? 0 : -ENOMEM;
}

int rights_read(const char *text, size_t n, const char *file, struct rights **ret,
		struct buf *errors, unsigned *ret_count)
{
	struct reading *g = allocate(1, sizeof(*g));
	int e;

	*ret_count = 0;
	if (!g)
		return -ENOMEM;
	g->file = file;
	g->errors = errors;
	e = table_new(g, text, n);
	for (size_t at = 0; e == 0 && at < n && !g->full;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t size = end ? (size_t)(end - text) - at : n - at;

		g->line++;
		e = line_read(g, (struct span){text + at, size});
		at += size + 1;
	}
	*ret_count = g->errors_count;
	if (e == 0 && g->errors_count)
		e = errors->failed ? -ENOMEM : -EINVAL;
	if (e == 0)
		*ret = g->rights;
	else
		rights_free(&g->rights);
	free(g->by_name);
	free(g);
	return e;
}

void rights_free(struct rights **r)
{
	if (!*r)
		return;
	for (uint32_t i = 0; i < (*r)->count; i++)
		free((void *)(uintptr_t)(*r)->client[i].grant);
	free((*r)->client);
	free((*r)->by_key);
	free(*r);
	*r = NULL;
}
