/* A packet from paild or from pail-agent: what is read is written again, and reads the same. */
#include <string.h>

#include "common/check.h"
#include "ipc/wire/agent_message.h"
#include "tests/fuzz/fuzz.h"

static void items_look(const struct agent_message *m)
{
	struct agent_item i;
	uint32_t items = 0;
	uint32_t guards = 0;
	const char *p = m->items.p;

	while (agent_item_next(m, &p, &i)) {
		items++;
		check(i.key.n && i.key.n <= AGENT_MESSAGE_KEY_MAX);
		check(agent_value_sound(i.value, true));
		(void)touch(i.key.p, i.key.n);
	}
	check(items * (m->kind == AGENT_MESSAGE_CREATE ? 2 : 3) == m->item_count);
	p = m->guards.p;
	while (agent_guard_next(m, &p, &i))
		guards++;
	check(guards * 2 == m->guard_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char again[2 * AGENT_MESSAGE_MAX];
	static char once[2 * AGENT_MESSAGE_MAX];
	struct agent_message m;
	struct agent_message n;
	size_t k;

	if (agent_message_read((const char *)data, size, &m) < 0)
		return 0;
	items_look(&m);
	(void)(touch(m.text.p, m.text.n) + touch(m.ca.p, m.ca.n) +
	       touch(m.password.p, m.password.n));
	k = agent_message_write(once, sizeof(once), &m);
	if (!k)
		return 0; /* as long as one may be, and shorter heads leave no room to spare */
	check(agent_message_read(once, k, &n) == 0 && n.kind == m.kind);
	items_look(&n);
	check(agent_message_write(again, sizeof(again), &n) == k && !memcmp(once, again, k));
	return 0;
}
