#include "coordinator/peers/strangers.h"

#include <stdio.h>

bool stranger_stays(struct strangers *s, struct span name, uint64_t now_ms)
{
	struct stranger *x = &s->stranger[0];

	for (uint32_t i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *k = &s->stranger[i];

		if (k->last_ms && span_equal(name, span_of(k->name))) {
			x = k;
			break;
		}
		if (k->last_ms < x->last_ms)
			x = k;
	}
	if (!x->last_ms || !span_equal(name, span_of(x->name)) ||
	    now_ms - x->last_ms >= STRANGER_FORGET_MS) {
		(void)snprintf(x->name, sizeof(x->name), "%.*s", (int)name.n, name.p);
		x->first_ms = now_ms;
	}
	x->last_ms = now_ms;
	return now_ms - x->first_ms >= STRANGER_KNOWN_MS;
}
