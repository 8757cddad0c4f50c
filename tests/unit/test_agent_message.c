/* Messages between paild and pail-agent: to bytes and back, and bytes that are none. */
#include <errno.h>
#include <stdlib.h>

#include "ipc/wire/agent_message.h"
#include "ipc/wire/msgpack.h"
#include "tests/unit/lib/unit.h"

#define HIGH (UINT64_MAX - 6)

static char view[64];
static char flat[256];
static char guards[64];

/* {"e": 7, "isr": [[1, "x"], -2], "none": nil} */
static struct span view_make(void)
{
	char *p = write_uint(write_text(write_map(view, 3), "e"), 7);

	p = write_text(write_uint(write_array(write_array(write_text(p, "isr"), 2), 2), 1), "x");
	p = write_nil(write_text(write_int(p, -2), "none"));
	return (struct span){view, (size_t)(p - view)};
}

static struct span items_make(bool revisions)
{
	char *p = write_text(flat, "/pail/demo/part/0000");

	p = revisions ? write_uint(p, 12) : p;
	p = write_bool(write_text(write_map(p, 1), "a"), true);
	p = write_text(p, "k2");
	p = revisions ? write_uint(p, HIGH) : p;
	p = write_text(p, "text");
	return (struct span){flat, (size_t)(p - flat)};
}

static struct agent_message sample(enum agent_message_kind kind)
{
	struct agent_message m = {.kind = kind,
				  .id = HIGH,
				  .key = span_of("/pail/demo/config"),
				  .revision = 1234567,
				  .compared = 99,
				  .mod_revision = 55,
				  .done = true,
				  .more = true,
				  .age_ms = 3,
				  .cluster = HIGH,
				  .state = AGENT_SET_BACK,
				  .text = span_of("why not"),
				  .endpoint_count = 2};
	char *p = write_uint(write_text(guards, "/pail/demo/creating"), 8);

	m.endpoint[0] = span_of("http://127.0.0.1:2379");
	m.endpoint[1] = span_of("https://b:2379");
	m.ca = span_of("/etc/ca.pem");
	m.user = span_of("pail");
	m.password = span_of("/etc/pw");
	m.value = m.old = view_make();
	m.items = items_make(kind != AGENT_MESSAGE_CREATE);
	m.item_count = kind == AGENT_MESSAGE_CREATE ? 4 : 6;
	m.guards = (struct span){guards, (size_t)(p - guards)};
	m.guard_count = 2;
	return m;
}

static void every_kind_comes_back(void)
{
	for (int k = 0; k < AGENT_MESSAGE_KIND_COUNT; k++) {
		struct agent_message m = sample((enum agent_message_kind)k);
		char a[1024];
		char b[1024];
		struct agent_message got;
		size_t n = agent_message_write(a, sizeof(a), &m);

		TRUE_(n > 0);
		EQ(0, agent_message_read(a, n, &got));
		EQ(k, got.kind);
		EQ(n, agent_message_write(b, sizeof(b), &got));
		EQ(0, memcmp(a, b, n));
	}
}

static void all_fields_are_told(void)
{
	struct agent_message m = sample(AGENT_MESSAGE_OUTCOME);
	struct agent_message got;
	char b[1024];

	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	TRUE_(got.id == HIGH && got.revision == 1234567 && got.mod_revision == 55 && got.done);
	TRUE_(span_equal(got.value, m.value));
	m = sample(AGENT_MESSAGE_CAS);
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	TRUE_(got.id == HIGH && got.compared == 99 && span_equal(got.key, m.key));
	TRUE_(span_equal(got.value, m.value) && span_equal(got.old, m.old));
	m = sample(AGENT_MESSAGE_BEGIN);
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	TRUE_(got.cluster == HIGH && got.revision == 1234567 && got.endpoint_count == 2);
	TRUE_(span_equal(got.endpoint[1], m.endpoint[1]) && span_equal(got.ca, m.ca));
	TRUE_(!got.cert.n && !got.cert_key.n && span_equal(got.user, m.user));
	TRUE_(span_equal(got.password, m.password));
	m = sample(AGENT_MESSAGE_STATE);
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	TRUE_(got.state == AGENT_SET_BACK && got.cluster == HIGH);
	SAME(got.text.p, got.text.n, "why not");
}

static void items_are_walked(void)
{
	struct agent_message m = sample(AGENT_MESSAGE_CHANGED);
	struct agent_message got;
	struct agent_item i;
	const char *p;
	char b[1024];

	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	TRUE_(got.more && got.age_ms == 3);
	p = got.items.p;
	TRUE_(agent_item_next(&got, &p, &i) && i.mod_revision == 12);
	SAME(i.key.p, i.key.n, "/pail/demo/part/0000");
	TRUE_(agent_item_next(&got, &p, &i) && i.mod_revision == HIGH && i.value.n == 5);
	TRUE_(!agent_item_next(&got, &p, &i));
	m = sample(AGENT_MESSAGE_CREATE);
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	p = got.items.p;
	TRUE_(agent_item_next(&got, &p, &i) && agent_item_next(&got, &p, &i));
	SAME(i.key.p, i.key.n, "k2");
	TRUE_(!agent_item_next(&got, &p, &i));
	p = got.guards.p;
	TRUE_(agent_guard_next(&got, &p, &i) && i.mod_revision == 8);
	TRUE_(!agent_guard_next(&got, &p, &i));
	m.items.n = m.item_count = 0;
	EQ(0, agent_message_write(b, 10, &m));
	EQ(-EBADMSG, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
}

static void what_is_cut_or_longer_is_none(void)
{
	for (int k = 0; k < AGENT_MESSAGE_KIND_COUNT; k++) {
		struct agent_message m = sample((enum agent_message_kind)k);
		struct agent_message got;
		char a[1024];
		size_t n = agent_message_write(a, sizeof(a), &m);

		for (size_t i = 0; i < n; i++) {
			char *exact = malloc(i + 1);

			memcpy(exact, a, i);
			EQ(-EBADMSG, agent_message_read(exact, i, &got));
			free(exact);
		}
		a[n] = 0;
		EQ(-EBADMSG, agent_message_read(a, n + 1, &got));
	}
}

static void values_have_a_form(void)
{
	char b[64];
	char *p = b;

	EQ(1, agent_value_sound(view_make(), false));
	for (unsigned i = 0; i < AGENT_MESSAGE_DEPTH; i++)
		p = write_array(p, 1);
	p = write_nil(p);
	EQ(1, agent_value_sound((struct span){b, (size_t)(p - b)}, false));
	p = write_nil(write_array(p - 1, 1));
	EQ(0, agent_value_sound((struct span){b, (size_t)(p - b)}, false));
	EQ(1, agent_value_sound((struct span){b, (size_t)(write_uint(b, INT64_MAX) - b)}, false));
	EQ(0, agent_value_sound((struct span){b, (size_t)(write_uint(b, 1ull << 63) - b)}, false));
	EQ(1, agent_value_sound((struct span){b, (size_t)(write_int(b, INT64_MIN) - b)}, false));
	EQ(1, agent_value_sound((struct span){"\xc0", 1}, true));
	EQ(0, agent_value_sound((struct span){"\xc0", 1}, false));
	EQ(0, agent_value_sound((struct span){"\xd4\x01\x02", 3}, false)); /* fixext */
	EQ(0, agent_value_sound((struct span){"\x81\x01\x02", 3}, false)); /* a number for a key */
	EQ(0, agent_value_sound((struct span){"\x01\x02", 2}, false));
	EQ(0, agent_value_sound((struct span){"", 0}, true));
}

static void limits_hold(void)
{
	struct agent_message m = sample(AGENT_MESSAGE_GET);
	struct agent_message got;
	static char key[AGENT_MESSAGE_MAX + 64];
	static char b[2 * AGENT_MESSAGE_MAX];

	memset(key, 'k', sizeof(key));
	m.key = (struct span){key, AGENT_MESSAGE_KEY_MAX};
	m.old = m.value = m.items = m.guards = (struct span){NULL, 0};
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	m.key.n++;
	EQ(-EBADMSG, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	m.key.n = 0;
	EQ(-EBADMSG, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	m.key.n = AGENT_MESSAGE_MAX;
	EQ(0, agent_message_write(b, sizeof(b), &m));
	m = sample(AGENT_MESSAGE_UNKNOWN);
	m.text = (struct span){key, 1000};
	EQ(0, agent_message_read(b, agent_message_write(b, sizeof(b), &m), &got));
	EQ(AGENT_MESSAGE_TEXT_MAX, got.text.n);
}

UNIT_MAIN(T(every_kind_comes_back), T(all_fields_are_told), T(items_are_walked),
	  T(what_is_cut_or_longer_is_none), T(values_have_a_form), T(limits_hold))
