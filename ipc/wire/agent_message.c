/* Messages between paild and pail-agent, over msgpack.h. */
#include "ipc/wire/agent_message.h"

#include <errno.h>

#include "ipc/wire/msgpack.h"

static const uint8_t elements[AGENT_MESSAGE_KIND_COUNT] = {
	[AGENT_MESSAGE_BEGIN] = 10,  [AGENT_MESSAGE_GET] = 3,   [AGENT_MESSAGE_CAS] = 6,
	[AGENT_MESSAGE_LIST] = 4,    [AGENT_MESSAGE_LIVE] = 3,  [AGENT_MESSAGE_FOLLOW] = 3,
	[AGENT_MESSAGE_CREATE] = 4,  [AGENT_MESSAGE_FLOOR] = 2, [AGENT_MESSAGE_VALUE] = 5,
	[AGENT_MESSAGE_OUTCOME] = 6, [AGENT_MESSAGE_ITEMS] = 5, [AGENT_MESSAGE_UNKNOWN] = 3,
	[AGENT_MESSAGE_CHANGED] = 5, [AGENT_MESSAGE_STATE] = 5,
};

const char *agent_state_name(enum agent_state s)
{
	static const char *const names[AGENT_STATE_COUNT] = {"up", "away", "set back",
							     "wrong cluster"};

	return s < AGENT_STATE_COUNT ? names[s] : "?";
}

/* ---- values ---- */

/* Step over one value, at most `depth` deep.  NULL: it is none.  It is whole, that is known. */
static const char *value_end(const char *p, unsigned depth)
{
	bool map = false;
	uint32_t n;

	switch (read_type(p)) {
	case TYPE_UINT:
		return read_uint(&p) <= INT64_MAX ? p : NULL;
	case TYPE_NIL:
	case TYPE_BOOL:
	case TYPE_INT:
	case TYPE_BYTES:
	case TYPE_FLOAT:
		return read_skip(p);
	case TYPE_MAP:
		map = true;
		break;
	case TYPE_ARRAY:
		break;
	default:
		return NULL;
	}
	if (!depth)
		return NULL;
	n = map ? read_map(&p) : read_array(&p);
	for (uint32_t i = 0; p && i < n; i++) {
		if (map && read_type(p) != TYPE_BYTES)
			return NULL;
		if (map)
			p = read_skip(p);
		p = value_end(p, depth - 1);
	}
	return p;
}

bool agent_value_sound(struct span v, bool nil)
{
	const char *end;

	if (!v.n || !read_whole(v.p, v.p + v.n, &end) || end != v.p + v.n)
		return false;
	return value_end(v.p, AGENT_MESSAGE_DEPTH) && (nil || read_type(v.p) != TYPE_NIL);
}

/* ---- reading: each steps over one element, or says that it is of another type ---- */

static uint64_t take_uint(const char **p, bool *bad)
{
	if (*bad || read_type(*p) != TYPE_UINT) {
		*bad = true;
		return 0;
	}
	return read_uint(p);
}

static bool take_bool(const char **p, bool *bad)
{
	if (*bad || read_type(*p) != TYPE_BOOL) {
		*bad = true;
		return false;
	}
	return read_bool(p);
}

static struct span take_text(const char **p, size_t least, size_t most, bool *bad)
{
	struct span s = {NULL, 0};

	if (*bad || read_type(*p) != TYPE_BYTES)
		*bad = true;
	else
		s = read_bytes(p);
	*bad |= s.n < least || s.n > most;
	return s;
}

static struct span take_key(const char **p, bool *bad)
{
	return take_text(p, 1, AGENT_MESSAGE_KEY_MAX, bad);
}

static struct span take_value(const char **p, bool nil, bool *bad)
{
	struct span v = {*p, 0};
	const char *end = *bad ? NULL : value_end(*p, AGENT_MESSAGE_DEPTH);

	if (!end || (!nil && read_type(*p) == TYPE_NIL)) {
		*bad = true;
		return v;
	}
	v.n = (size_t)(end - *p);
	*p = end;
	return v;
}

/* A flat array of `each` elements an item: a key, then a revision, then a value, as wanted. */
static struct span take_items(const char **p, bool revisions, bool values, uint32_t *ret_count,
			      bool *bad)
{
	uint32_t each = 1u + revisions + values;
	struct span s = {NULL, 0};
	uint32_t n;

	*ret_count = 0;
	if (*bad || read_type(*p) != TYPE_ARRAY) {
		*bad = true;
		return s;
	}
	n = read_array(p);
	s.p = *p;
	*bad = n % each != 0;
	for (uint32_t i = 0; !*bad && i < n; i += each) {
		(void)take_key(p, bad);
		if (revisions)
			(void)take_uint(p, bad);
		if (values)
			(void)take_value(p, revisions, bad);
	}
	s.n = (size_t)(*p - s.p);
	*ret_count = n;
	return s;
}

static void begin_read(const char *p, struct agent_message *m, bool *bad)
{
	m->key = take_key(&p, bad);
	if (*bad || read_type(p) != TYPE_ARRAY) {
		*bad = true;
		return;
	}
	m->endpoint_count = read_array(&p);
	if (!m->endpoint_count || m->endpoint_count > AGENT_MESSAGE_ENDPOINTS) {
		*bad = true;
		return;
	}
	for (uint32_t i = 0; i < m->endpoint_count; i++)
		m->endpoint[i] = take_text(&p, 1, AGENT_MESSAGE_PATH_MAX, bad);
	m->revision = take_uint(&p, bad);
	m->cluster = take_uint(&p, bad);
	m->ca = take_text(&p, 0, AGENT_MESSAGE_PATH_MAX, bad);
	m->cert = take_text(&p, 0, AGENT_MESSAGE_PATH_MAX, bad);
	m->cert_key = take_text(&p, 0, AGENT_MESSAGE_PATH_MAX, bad);
	m->user = take_text(&p, 0, AGENT_MESSAGE_PATH_MAX, bad);
	m->password = take_text(&p, 0, AGENT_MESSAGE_PATH_MAX, bad);
}

static void asked_read(const char *p, struct agent_message *m, bool *bad)
{
	switch (m->kind) {
	case AGENT_MESSAGE_BEGIN:
		begin_read(p, m, bad);
		return;
	case AGENT_MESSAGE_GET:
		m->id = take_uint(&p, bad);
		m->key = take_key(&p, bad);
		return;
	case AGENT_MESSAGE_CAS:
		m->id = take_uint(&p, bad);
		m->key = take_key(&p, bad);
		m->compared = take_uint(&p, bad);
		m->old = take_value(&p, true, bad);
		m->value = take_value(&p, false, bad);
		return;
	case AGENT_MESSAGE_LIST:
		m->id = take_uint(&p, bad);
		m->key = take_key(&p, bad);
		m->revision = take_uint(&p, bad);
		return;
	case AGENT_MESSAGE_LIVE:
		m->key = take_key(&p, bad);
		m->value = take_value(&p, false, bad);
		return;
	case AGENT_MESSAGE_FOLLOW:
		m->key = take_key(&p, bad);
		m->revision = take_uint(&p, bad);
		return;
	case AGENT_MESSAGE_CREATE:
		m->id = take_uint(&p, bad);
		m->guards = take_items(&p, true, false, &m->guard_count, bad);
		m->items = take_items(&p, false, true, &m->item_count, bad);
		*bad |= !m->item_count || m->item_count > 2 * AGENT_MESSAGE_CREATES ||
			m->guard_count > 2 * AGENT_MESSAGE_GUARDS;
		return;
	default:
		m->revision = take_uint(&p, bad);
	}
}

static void told_read(const char *p, struct agent_message *m, bool *bad)
{
	uint64_t state;

	switch (m->kind) {
	case AGENT_MESSAGE_VALUE:
	case AGENT_MESSAGE_OUTCOME:
		m->id = take_uint(&p, bad);
		m->done = m->kind == AGENT_MESSAGE_OUTCOME && take_bool(&p, bad);
		m->revision = take_uint(&p, bad);
		m->mod_revision = take_uint(&p, bad);
		m->value = take_value(&p, true, bad);
		return;
	case AGENT_MESSAGE_ITEMS:
		m->id = take_uint(&p, bad);
		m->more = take_bool(&p, bad);
		m->revision = take_uint(&p, bad);
		m->items = take_items(&p, true, true, &m->item_count, bad);
		return;
	case AGENT_MESSAGE_UNKNOWN:
		m->id = take_uint(&p, bad);
		m->text = take_text(&p, 0, AGENT_MESSAGE_TEXT_MAX, bad);
		return;
	case AGENT_MESSAGE_CHANGED:
		m->more = take_bool(&p, bad);
		m->revision = take_uint(&p, bad);
		m->age_ms = take_uint(&p, bad);
		m->items = take_items(&p, true, true, &m->item_count, bad);
		return;
	default:
		state = take_uint(&p, bad);
		*bad |= state >= AGENT_STATE_COUNT;
		m->state = *bad ? AGENT_AWAY : (enum agent_state)state;
		m->revision = take_uint(&p, bad);
		m->cluster = take_uint(&p, bad);
		m->text = take_text(&p, 0, AGENT_MESSAGE_TEXT_MAX, bad);
	}
}

int agent_message_read(const char *p, size_t n, struct agent_message *ret)
{
	const char *end = p + n;
	const char *behind;
	bool bad = false;
	uint32_t count;
	uint64_t kind;

	memset(ret, 0, sizeof(*ret));
	if (!n || n > AGENT_MESSAGE_MAX || !read_whole(p, end, &behind) || behind != end ||
	    read_type(p) != TYPE_ARRAY)
		return -EBADMSG;
	count = read_array(&p);
	if (!count)
		return -EBADMSG;
	kind = take_uint(&p, &bad);
	if (bad || kind >= AGENT_MESSAGE_KIND_COUNT || count != elements[kind])
		return -EBADMSG;
	ret->kind = (enum agent_message_kind)kind;
	if (kind < AGENT_MESSAGE_VALUE)
		asked_read(p, ret, &bad);
	else
		told_read(p, ret, &bad);
	return bad ? -EBADMSG : 0;
}

static bool item_next(struct span all, uint32_t count, const char **p, struct agent_item *ret)
{
	bool bad = !count || *p >= all.p + all.n;

	memset(ret, 0, sizeof(*ret));
	if (!bad)
		ret->key = take_key(p, &bad);
	return !bad;
}

bool agent_item_next(const struct agent_message *m, const char **p, struct agent_item *ret)
{
	bool bad = false;

	if (!item_next(m->items, m->item_count, p, ret))
		return false;
	if (m->kind != AGENT_MESSAGE_CREATE)
		ret->mod_revision = take_uint(p, &bad);
	ret->value = take_value(p, true, &bad);
	return !bad;
}

bool agent_guard_next(const struct agent_message *m, const char **p, struct agent_item *ret)
{
	bool bad = false;

	if (!item_next(m->guards, m->guard_count, p, ret))
		return false;
	ret->mod_revision = take_uint(p, &bad);
	return !bad;
}

/* ---- writing ---- */

static char *write_span(char *p, struct span s)
{
	return write_str(p, s.n ? s.p : "", s.n);
}

static char *write_raw(char *p, struct span s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

static char *write_value(char *p, struct span v)
{
	return v.n ? write_raw(p, v) : write_nil(p);
}

static char *write_items(char *p, struct span items, uint32_t count)
{
	return write_raw(write_array(p, count), items);
}

static struct span cut(struct span s)
{
	return (struct span){s.p, s.n < AGENT_MESSAGE_TEXT_MAX ? s.n : AGENT_MESSAGE_TEXT_MAX};
}

static char *asked_write(char *p, const struct agent_message *m)
{
	switch (m->kind) {
	case AGENT_MESSAGE_BEGIN:
		p = write_array(write_span(p, m->key), m->endpoint_count);
		for (uint32_t i = 0; i < m->endpoint_count; i++)
			p = write_span(p, m->endpoint[i]);
		p = write_uint(write_uint(p, m->revision), m->cluster);
		p = write_span(write_span(write_span(p, m->ca), m->cert), m->cert_key);
		return write_span(write_span(p, m->user), m->password);
	case AGENT_MESSAGE_GET:
		return write_span(write_uint(p, m->id), m->key);
	case AGENT_MESSAGE_CAS:
		p = write_uint(write_span(write_uint(p, m->id), m->key), m->compared);
		return write_value(write_value(p, m->old), m->value);
	case AGENT_MESSAGE_LIST:
		return write_uint(write_span(write_uint(p, m->id), m->key), m->revision);
	case AGENT_MESSAGE_LIVE:
		return write_value(write_span(p, m->key), m->value);
	case AGENT_MESSAGE_FOLLOW:
		return write_uint(write_span(p, m->key), m->revision);
	case AGENT_MESSAGE_CREATE:
		p = write_items(write_uint(p, m->id), m->guards, m->guard_count);
		return write_items(p, m->items, m->item_count);
	default:
		return write_uint(p, m->revision);
	}
}

static char *told_write(char *p, const struct agent_message *m)
{
	switch (m->kind) {
	case AGENT_MESSAGE_VALUE:
	case AGENT_MESSAGE_OUTCOME:
		p = write_uint(p, m->id);
		if (m->kind == AGENT_MESSAGE_OUTCOME)
			p = write_bool(p, m->done);
		return write_value(write_uint(write_uint(p, m->revision), m->mod_revision),
				   m->value);
	case AGENT_MESSAGE_ITEMS:
		p = write_uint(write_bool(write_uint(p, m->id), m->more), m->revision);
		return write_items(p, m->items, m->item_count);
	case AGENT_MESSAGE_UNKNOWN:
		return write_span(write_uint(p, m->id), cut(m->text));
	case AGENT_MESSAGE_CHANGED:
		p = write_uint(write_uint(write_bool(p, m->more), m->revision), m->age_ms);
		return write_items(p, m->items, m->item_count);
	default:
		p = write_uint(write_uint(write_uint(p, m->state), m->revision), m->cluster);
		return write_span(p, cut(m->text));
	}
}

/* Bytes at most. */
static size_t room_for(const struct agent_message *m)
{
	size_t n = 16 * CODEC_HEAD_MAX + m->key.n + m->old.n + m->value.n + m->items.n +
		   m->guards.n + cut(m->text).n;

	for (uint32_t i = 0; i < m->endpoint_count; i++)
		n += CODEC_HEAD_MAX + m->endpoint[i].n;
	return n + m->ca.n + m->cert.n + m->cert_key.n + m->user.n + m->password.n;
}

size_t agent_message_write(char *p, size_t room, const struct agent_message *m)
{
	char *begin = p;
	size_t n = room_for(m);

	if (n > room || n > AGENT_MESSAGE_MAX)
		return 0;
	p = write_uint(write_array(p, elements[m->kind]), m->kind);
	p = m->kind < AGENT_MESSAGE_VALUE ? asked_write(p, m) : told_write(p, m);
	return (size_t)(p - begin);
}
