/* Values of the agreement as bytes. */
#include "coordinator/cluster/views.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "ipc/wire/msgpack.h"

static const char hex[] = "0123456789abcdef";

void views_id_write(char out[17], uint64_t id)
{
	for (unsigned i = 0; i < 16; i++)
		out[i] = hex[id >> (60 - 4 * i) & 15u];
	out[16] = '\0';
}

static int digit(char c)
{
	const char *at = c ? strchr(hex, c) : NULL;

	return at ? (int)(at - hex) : -1;
}

bool views_id_read(struct span text, uint64_t *ret)
{
	uint64_t id = 0;

	if (text.n != 16)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int d = digit(text.p[i]);

		if (d < 0)
			return false;
		id = id << 4 | (uint64_t)d;
	}
	*ret = id;
	return true;
}

/* ---- reading ---- */

/* The entry of that name in a map whose first one is at `p`; NULL: there is none. */
static const char *entry_find(const char *p, uint32_t n, const char *name)
{
	while (n--) {
		bool is = read_type(p) == TYPE_BYTES;

		if (is) {
			is = span_equal(read_bytes(&p), span_of(name));
		} else {
			p = read_skip(p);
		}
		if (is)
			return p;
		p = read_skip(p);
	}
	return NULL;
}

struct map {
	const char *p;
	uint32_t n;
	const char *why; /* of the first thing that was wrong */
};

static int map_begin(struct span v, struct map *m)
{
	const char *p = v.p;
	const char *end;

	m->why = "it is no map";
	if (!v.n || !read_whole(v.p, v.p + v.n, &end) || read_type(p) != TYPE_MAP)
		return -EBADMSG;
	m->n = read_map(&p);
	m->p = p;
	m->why = NULL;
	return 0;
}

static uint64_t map_number(struct map *m, const char *name, uint64_t least, uint64_t most,
			   const char *why)
{
	const char *p = entry_find(m->p, m->n, name);
	uint64_t v = 0;

	if (!p || !(read_type(p) == TYPE_UINT || read_type(p) == TYPE_INT) ||
	    !read_unsigned(&p, &v) || v < least || v > most) {
		m->why = m->why ? m->why : why;
		return least;
	}
	return v;
}

static void map_text(struct map *m, const char *name, char *out, size_t size, const char *why)
{
	const char *p = entry_find(m->p, m->n, name);
	struct span s = {"", 0};

	bool is = p && read_type(p) == TYPE_BYTES;

	if (is)
		s = read_bytes(&p);
	if (!is || s.n >= size || memchr(s.p, '\0', s.n)) {
		m->why = m->why ? m->why : why;
		s.n = 0;
	}
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static uint64_t map_id(struct map *m, const char *name, const char *why)
{
	const char *p = entry_find(m->p, m->n, name);
	uint64_t id = 0;

	if (!p || read_type(p) != TYPE_BYTES || !views_id_read(read_bytes(&p), &id))
		m->why = m->why ? m->why : why;
	return id;
}

/* False if there is none. */
static bool map_bool(struct map *m, const char *name, const char *why)
{
	const char *p = entry_find(m->p, m->n, name);

	if (p && read_type(p) != TYPE_BOOL) {
		m->why = m->why ? m->why : why;
		return false;
	}
	return p && read_bool(&p);
}

static bool member_read(const char **p, struct member *ret)
{
	uint64_t number;

	if (read_type(*p) != TYPE_ARRAY || read_array(p) != 2)
		return false;
	if (read_type(*p) != TYPE_UINT || !read_unsigned(p, &number) || !number ||
	    number >= REPLICA_NODES_MAX)
		return false;
	ret->node = (uint32_t)number;
	ret->zero = 0;
	return read_type(*p) == TYPE_BYTES && views_id_read(read_bytes(p), &ret->store);
}

static int done(const struct map *m, const char **ret_why)
{
	*ret_why = m->why;
	return m->why ? -EBADMSG : 0;
}

int views_config_read(struct span v, struct cluster_config *ret, const char **ret_why)
{
	struct map m;

	if (map_begin(v, &m) < 0)
		return done(&m, ret_why);
	memset(ret, 0, sizeof(*ret));
	(void)map_number(&m, "format", 1, VIEWS_FORMAT, "format: it is of another version of Pail");
	ret->id = map_id(&m, "id", "id: not 16 hexadecimal digits");
	if (!ret->id && !m.why)
		m.why = "id: 0 is none";
	ret->partitions = (uint32_t)map_number(&m, "partitions", 1, 4096, "partitions: 1 to 4096");
	if (!m.why && ret->partitions & (ret->partitions - 1))
		m.why = "partitions: no power of two";
	ret->factor =
		(uint32_t)map_number(&m, "factor", 1, REPLICA_MEMBERS_MAX - 1, "factor: 1 to 7");
	ret->min_copies = (uint32_t)map_number(&m, "min_copies", 1, ret->factor,
					       "min_copies: 1 to the factor");
	ret->lease_ms = (uint32_t)map_number(&m, "lease_ms", 100, 60000, "lease_ms: 100 to 60000");
	ret->drift_ppm =
		(uint32_t)map_number(&m, "drift_ppm", 0, 100000, "drift_ppm: at most 100000");
	return done(&m, ret_why);
}

int views_node_read(struct span v, struct cluster_node *ret, const char **ret_why)
{
	struct map m;
	char state[16];

	if (map_begin(v, &m) < 0)
		return done(&m, ret_why);
	memset(ret, 0, sizeof(*ret));
	ret->number =
		(uint32_t)map_number(&m, "number", 0, REPLICA_NODES_MAX - 1, "number: at most 255");
	ret->store = map_id(&m, "store", "store: not 16 hexadecimal digits");
	map_text(&m, "node", ret->node, sizeof(ret->node), "node: no endpoint");
	map_text(&m, "client", ret->client, sizeof(ret->client), "client: no endpoint");
	map_text(&m, "key", ret->key, sizeof(ret->key), "key: none");
	if (entry_find(m.p, m.n, "partitions"))
		ret->partitions =
			(uint32_t)map_number(&m, "partitions", 0, 4096, "partitions: at most 4096");
	ret->data = map_bool(&m, "data", "data: neither true nor false");
	ret->door = map_bool(&m, "door", "door: neither true nor false");
	map_text(&m, "state", state, sizeof(state), "state: member or leaving");
	ret->leaving = !strcmp(state, "leaving");
	if (!m.why && !ret->leaving && strcmp(state, "member") != 0)
		m.why = "state: member or leaving";
	return done(&m, ret_why);
}

static void isr_read(struct map *m, struct view *ret)
{
	const char *p = entry_find(m->p, m->n, "isr");
	uint32_t n = p && read_type(p) == TYPE_ARRAY ? read_array(&p) : 0;

	if (!n || n > REPLICA_MEMBERS_MAX) {
		m->why = "isr is no set of members";
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!member_read(&p, &ret->isr[i])) {
			m->why = "isr has what is no member";
			return;
		}
		for (uint32_t k = 0; k < i; k++)
			if (ret->isr[k].node == ret->isr[i].node) {
				m->why = "isr has a node twice";
				return;
			}
	}
	ret->isr_count = n;
}

static void frozen_read(struct map *m, struct view *ret)
{
	const char *p = entry_find(m->p, m->n, "frozen");

	if (!p || read_type(p) == TYPE_NIL)
		return;
	if (read_type(p) != TYPE_ARRAY || read_array(&p) != 3 || read_type(p) != TYPE_UINT ||
	    !read_unsigned(&p, &ret->frozen.term) || read_type(p) != TYPE_UINT ||
	    !read_unsigned(&p, &ret->frozen.sequence) || read_type(p) != TYPE_UINT ||
	    !read_unsigned(&p, &ret->frozen_commit))
		m->why = "frozen is no place";
}

int views_view_read(struct span v, struct view *ret, const char **ret_why)
{
	struct map m;
	const char *p;

	if (map_begin(v, &m) < 0)
		return done(&m, ret_why);
	memset(ret, 0, sizeof(*ret));
	ret->epoch = (uint32_t)map_number(&m, "epoch", 1, UINT32_MAX, "epoch: 1 or more");
	ret->by = map_id(&m, "by", "by: not 16 hexadecimal digits");
	p = entry_find(m.p, m.n, "primary");
	if (!p || !member_read(&p, &ret->primary))
		m.why = "primary is no member";
	isr_read(&m, ret);
	frozen_read(&m, ret);
	p = entry_find(m.p, m.n, "released");
	if (p && read_type(p) == TYPE_BOOL)
		ret->released = read_bool(&p);
	else
		m.why = "released is neither true nor false";
	if (!m.why && !view_has(ret, ret->primary))
		m.why = "its primary is not in its isr";
	return done(&m, ret_why);
}

/* ---- writing ---- */

static char *id_write(char *p, uint64_t id)
{
	char text[17];

	views_id_write(text, id);
	return write_text(p, text);
}

static char *number_write(char *p, const char *name, uint64_t n)
{
	return write_uint(write_text(p, name), n);
}

static char *member_write(char *p, struct member m)
{
	return id_write(write_uint(write_array(p, 2), m.node), m.store);
}

char *views_config_write(char *p, const struct cluster_config *c)
{
	p = write_map(p, 7);
	p = number_write(p, "drift_ppm", c->drift_ppm);
	p = number_write(p, "factor", c->factor);
	p = number_write(p, "format", VIEWS_FORMAT);
	p = id_write(write_text(p, "id"), c->id);
	p = number_write(p, "lease_ms", c->lease_ms);
	p = number_write(p, "min_copies", c->min_copies);
	return number_write(p, "partitions", c->partitions);
}

char *views_node_write(char *p, const struct cluster_node *n)
{
	p = write_map(p, n->door ? 9 : 8);
	p = write_text(write_text(p, "client"), n->client);
	p = write_bool(write_text(p, "data"), n->data);
	if (n->door)
		p = write_bool(write_text(p, "door"), true);
	p = write_text(write_text(p, "key"), n->key);
	p = write_text(write_text(p, "node"), n->node);
	p = number_write(p, "number", n->number);
	p = number_write(p, "partitions", n->partitions);
	p = write_text(write_text(p, "state"), n->leaving ? "leaving" : "member");
	return id_write(write_text(p, "store"), n->store);
}

char *views_view_write(char *p, const struct view *v)
{
	p = write_map(p, 6);
	p = id_write(write_text(p, "by"), v->by);
	p = number_write(p, "epoch", v->epoch);
	p = write_text(p, "frozen");
	if (v->frozen.term || v->frozen.sequence) {
		p = write_uint(write_uint(write_array(p, 3), v->frozen.term), v->frozen.sequence);
		p = write_uint(p, v->frozen_commit);
	} else {
		p = write_nil(p);
	}
	p = write_array(write_text(p, "isr"), v->isr_count);
	for (uint32_t i = 0; i < v->isr_count; i++)
		p = member_write(p, v->isr[i]);
	p = member_write(write_text(p, "primary"), v->primary);
	return write_bool(write_text(p, "released"), v->released);
}

/* ---- the target ---- */

char *views_target_write(char *p, const uint8_t *table, uint32_t partitions, uint32_t copies)
{
	size_t n = (size_t)partitions * copies;

	p = write_map(p, 3);
	p = number_write(p, "copies", copies);
	p = number_write(p, "plan", 0);
	p = write_text(p, "table");
	/* The head of a long text: its bytes are written here, two digits for each number. */
	*p++ = (char)0xda;
	*p++ = (char)(2 * n >> 8);
	*p++ = (char)(2 * n);
	check(2 * n <= UINT16_MAX);
	for (size_t i = 0; i < n; i++) {
		*p++ = hex[table[i] >> 4];
		*p++ = hex[table[i] & 15u];
	}
	return p;
}

int views_target_read(struct span v, uint32_t partitions, uint8_t *table, uint32_t *ret_copies,
		      const char **ret_why)
{
	struct map m;
	struct span text = {"", 0};
	const char *p;
	uint32_t copies;

	if (map_begin(v, &m) < 0)
		return done(&m, ret_why);
	copies = (uint32_t)map_number(&m, "copies", 1, REPLICA_MEMBERS_MAX, "copies: 1 to 8");
	p = entry_find(m.p, m.n, "table");
	if (p && read_type(p) == TYPE_BYTES)
		text = read_bytes(&p);
	if (text.n != 2ul * partitions * copies)
		m.why = "table has not a number for each copy";
	for (size_t i = 0; !m.why && i < text.n / 2; i++) {
		int high = digit(text.p[2 * i]);
		int low = digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0 || !(high | low))
			m.why = "table has what is no node's number";
		else
			table[i] = (uint8_t)(high << 4 | low);
		for (size_t k = i - i % copies; !m.why && k < i; k++)
			if (table[k] == table[i])
				m.why = "table has a node twice for a partition";
	}
	*ret_copies = copies;
	return done(&m, ret_why);
}

void views_table_make(const uint32_t *numbers, uint32_t count, uint32_t partitions, uint32_t factor,
		      uint8_t *table)
{
	check(factor <= count);
	for (uint32_t p = 0; p < partitions; p++) {
		/* The rest of the copies begin further on with each turn, so that who takes over
		 * from one node are all the others. */
		uint32_t turn = p / count % (count > 1 ? count - 1 : 1);

		table[p * factor] = (uint8_t)numbers[p % count];
		for (uint32_t i = 1; i < factor; i++)
			table[p * factor + i] =
				(uint8_t)numbers[(p + 1 + (turn + i - 1) % (count - 1)) % count];
	}
}
