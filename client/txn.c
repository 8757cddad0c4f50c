/*
 * Transactions, built an entry at a time: each is checked and encoded when it is added, so that what
 * is sent is only copied together.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"

#define BYTES_MAX  (1u << 30)         /* of all entries: no node takes a message of half as much */
#define VALUE_MAX  (UINT32_MAX / 16u) /* bytes of a value: likewise */
#define ENTRY_HEAD 128u /* bytes of an entry besides its keys and value, and of an options' map */

enum list { LIST_IF, LIST_THEN, LIST_ELSE, LIST_COUNT };

static const char *const list_names[LIST_COUNT] = {"if", "then", "else"};

_Static_assert(LIST_THEN == PAIL_THEN + 1 && LIST_ELSE == PAIL_ELSE + 1, "a branch is a list");

struct pail_txn {
	struct {
		struct buf entries; /* encoded, back to back */
		uint32_t count;
	} list[LIST_COUNT];
	int status; /* of the first addition that was refused; PAIL_OK: none was */
	char why[160];
};

int pail_txn_new(struct pail_txn **ret)
{
	struct pail_txn *t = calloc(1, sizeof(*t));

	*ret = t;
	if (!t)
		return PAIL_NO_MEMORY;
	for (int l = 0; l < LIST_COUNT; l++)
		buf_init(&t->list[l].entries);
	return PAIL_OK;
}

void pail_txn_free(struct pail_txn **tp)
{
	struct pail_txn *t = *tp;

	for (int l = 0; t && l < LIST_COUNT; l++)
		buf_fini(&t->list[l].entries);
	free(t);
	*tp = NULL;
}

void pail_txn_clear(struct pail_txn *t)
{
	for (int l = 0; l < LIST_COUNT; l++) {
		t->list[l].entries.len = 0;
		t->list[l].entries.failed = false;
		t->list[l].count = 0;
	}
	t->status = PAIL_OK;
	t->why[0] = '\0';
}

const char *pail_txn_why(const struct pail_txn *t)
{
	return t->why;
}

size_t pail_txn_entries(const struct pail_txn *t)
{
	size_t n = 0;

	for (int l = 0; l < LIST_COUNT; l++)
		n += t->list[l].count;
	return n;
}

/* ---- adding ---- */

/* An entry on its way into its list. */
struct entry {
	struct pail_txn *t;
	enum list list;
	bool ok;  /* not refused so far */
	char *at; /* where it is written, once there is room */
};

/* Refuse what is being added, and with it the transaction. */
__attribute__((format(printf, 3, 4))) static void refuse(struct entry *e, int status,
							 const char *format, ...)
{
	struct pail_txn *t = e->t;
	va_list ap;
	int n;

	e->ok = false;
	if (t->status != PAIL_OK)
		return;
	t->status = status;
	n = snprintf(t->why, sizeof(t->why), "%s[%u]: ", list_names[e->list],
		     t->list[e->list].count);
	va_start(ap, format);
	(void)vsnprintf(t->why + n, sizeof(t->why) - (size_t)n, format, ap);
	va_end(ap);
}

/* Room for an entry that carries so many bytes, which have been checked. */
static void room(struct entry *e, size_t n)
{
	struct pail_txn *t = e->t;
	size_t sum = n + ENTRY_HEAD;

	if (!e->ok)
		return;
	for (int l = 0; l < LIST_COUNT; l++)
		sum += t->list[l].entries.len;
	if (sum > BYTES_MAX) {
		refuse(e, PAIL_TOO_LARGE, "the transaction is larger than any node takes");
		return;
	}
	e->at = buf_room(&t->list[e->list].entries, n + ENTRY_HEAD);
	if (!e->at)
		refuse(e, PAIL_NO_MEMORY, "no memory");
}

static struct entry entry_begin(struct pail_txn *t, enum list list)
{
	struct entry e = {.t = t, .list = list, .ok = t->status == PAIL_OK};

	if (e.ok && pail_txn_entries(t) == WIRE_TXN_ENTRIES_MAX)
		refuse(&e, PAIL_TOO_LARGE, "it has %u entries, which is the most",
		       WIRE_TXN_ENTRIES_MAX);
	return e;
}

/* An operation of that branch; another one than the two must not become a list of conditions. */
static struct entry branch_begin(struct pail_txn *t, enum pail_branch branch)
{
	bool is_one = branch == PAIL_THEN || branch == PAIL_ELSE;
	struct entry e = entry_begin(t, is_one ? (enum list)(branch + 1) : LIST_THEN);

	if (!is_one)
		refuse(&e, PAIL_BAD_ARGUMENT, "there is no such branch");
	return e;
}

static int entry_end(struct entry *e)
{
	struct buf *b = &e->t->list[e->list].entries;

	if (!e->ok)
		return e->t->status;
	b->len = (size_t)(e->at - b->data);
	e->t->list[e->list].count++;
	return PAIL_OK;
}

static void key_check(struct entry *e, struct pail_bytes key)
{
	if (!e->ok)
		return;
	if (!key.data || !key.size)
		refuse(e, PAIL_BAD_ARGUMENT, "the key is empty, it must be 1 to %u bytes",
		       WIRE_KEY_MAX);
	else if (key.size > WIRE_KEY_MAX)
		refuse(e, PAIL_TOO_LARGE, "the key has %zu bytes, the limit is %u", key.size,
		       WIRE_KEY_MAX);
}

static void value_check(struct entry *e, struct pail_bytes value)
{
	if (!e->ok)
		return;
	if (!value.data && value.size)
		refuse(e, PAIL_BAD_ARGUMENT, "a value of %zu bytes without data", value.size);
	else if (value.size > VALUE_MAX)
		refuse(e, PAIL_TOO_LARGE, "a value of %zu bytes, which is more than any node takes",
		       value.size);
}

static char *bytes(char *p, struct pail_bytes b)
{
	return write_bin(p, b.data, b.size);
}

/* ---- conditions ---- */

/* The head of a condition: what is compared, and how. */
static void condition(struct entry *e, struct pail_bytes key, const char *what,
		      enum pail_relation relation, size_t n)
{
	static const char *const relations[] = {"=", "!=", "<", ">"};

	key_check(e, key);
	if (e->ok && (unsigned)relation >= sizeof(relations) / sizeof(relations[0]))
		refuse(e, PAIL_BAD_ARGUMENT, "there is no such relation");
	room(e, key.size + n);
	if (!e->ok)
		return;
	e->at = write_text(bytes(write_array(e->at, 4), key), what);
	e->at = write_text(e->at, relations[relation]);
}

int pail_txn_if_version(struct pail_txn *t, struct pail_bytes key, enum pail_relation relation,
			uint64_t version)
{
	struct entry e = entry_begin(t, LIST_IF);

	condition(&e, key, "version", relation, 0);
	if (e.ok)
		e.at = write_uint(e.at, version);
	return entry_end(&e);
}

int pail_txn_if_value(struct pail_txn *t, struct pail_bytes key, enum pail_relation relation,
		      struct pail_bytes value)
{
	struct entry e = entry_begin(t, LIST_IF);

	value_check(&e, value);
	condition(&e, key, "value", relation, value.size);
	if (e.ok)
		e.at = bytes(e.at, value);
	return entry_end(&e);
}

/* ---- operations ---- */

/* An operation of `count` elements, the first its name, the second (if it has a key) that. */
static struct entry op_begin(struct pail_txn *t, enum pail_branch branch, const char *name,
			     uint32_t count, struct pail_bytes key, struct pail_bytes value)
{
	struct entry e = branch_begin(t, branch);

	if (count > 1)
		key_check(&e, key);
	value_check(&e, value);
	room(&e, key.size + value.size);
	if (!e.ok)
		return e;
	e.at = write_text(write_array(e.at, count), name);
	if (count > 1)
		e.at = bytes(e.at, key);
	return e;
}

static const struct pail_bytes none;

static void ttl_write(struct entry *e, uint64_t ttl_ms)
{
	if (e->ok && ttl_ms)
		e->at = write_uint(write_text(write_map(e->at, 1), "ttl"), ttl_ms);
}

int pail_txn_put(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key,
		 struct pail_bytes value, uint64_t ttl_ms)
{
	struct entry e = op_begin(t, branch, "put", ttl_ms ? 4 : 3, key, value);

	if (e.ok)
		e.at = bytes(e.at, value);
	ttl_write(&e, ttl_ms);
	return entry_end(&e);
}

int pail_txn_touch(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key,
		   uint64_t ttl_ms)
{
	struct entry e = op_begin(t, branch, "touch", ttl_ms ? 3 : 2, key, none);

	ttl_write(&e, ttl_ms);
	return entry_end(&e);
}

int pail_txn_delete(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key)
{
	struct entry e = op_begin(t, branch, "delete", 2, key, none);

	return entry_end(&e);
}

int pail_txn_get(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key)
{
	struct entry e = op_begin(t, branch, "get", 2, key, none);

	return entry_end(&e);
}

int pail_txn_count(struct pail_txn *t, enum pail_branch branch)
{
	struct entry e = op_begin(t, branch, "count", 1, none, none);

	return entry_end(&e);
}

int pail_txn_scan(struct pail_txn *t, enum pail_branch branch, const struct pail_request *range)
{
	struct entry e = branch_begin(t, branch);
	struct pail_request q = {.size = sizeof(q)};
	const char *why = "";
	uint32_t count;
	char *map;
	int r;

	if (range && !struct_take(&q, sizeof(q), range))
		q.size = 0; /* refused by it */
	q.method = PAIL_SCAN;
	r = request_refuse(&q, &why);
	if (e.ok && r != PAIL_OK)
		refuse(&e, r, "%s", why);
	else if (e.ok && q.limit > WIRE_SCAN_LIMIT_MAX)
		refuse(&e, PAIL_BAD_ARGUMENT, "a limit of %u, it must be 1 to %u", q.limit,
		       WIRE_SCAN_LIMIT_MAX);
	room(&e, e.ok ? q.prefix.size + q.from.size + q.to.size + q.after.size : 0);
	if (!e.ok)
		return entry_end(&e);
	map = write_text(write_array(e.at, 2), "scan");
	e.at = options_write(map + 1, &q, WIRE_TIMEOUT_MS, &count); /* no timeout of its own */
	(void)write_map(map, count);
	return entry_end(&e);
}

/* ---- sending ---- */

int txn_refuse(const struct pail_txn *t, const char **ret_why)
{
	if (!t) {
		*ret_why = "txn: the request names no transaction";
		return PAIL_BAD_ARGUMENT;
	}
	*ret_why = t->why;
	return t->status;
}

size_t txn_size(const struct pail_txn *t)
{
	size_t n = 0;

	for (int l = 0; l < LIST_COUNT; l++)
		n += t->list[l].entries.len;
	return n;
}

char *txn_write(char *p, const struct pail_txn *t, uint32_t *count)
{
	for (int l = 0; l < LIST_COUNT; l++) {
		const struct buf *b = &t->list[l].entries;

		if (!t->list[l].count)
			continue;
		p = write_array(write_text(p, list_names[l]), t->list[l].count);
		memcpy(p, b->data, b->len);
		p += b->len;
		++*count;
	}
	return p;
}
