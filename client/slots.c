/* Requests in flight: who waits, and until when. */
#include <stdlib.h>

#include "client/client.h"

static int slots_grow(struct pail *p)
{
	uint32_t n = p->slots ? 2 * p->slots : 256;
	struct slot_in *s;

	if (n > 1u << SLOTS_BITS)
		return client_fail(p, PAIL_BUSY, "a million requests are in flight: await some");
	s = realloc(p->slot, n * sizeof(*s));
	if (!s)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	p->slot = s;
	for (uint32_t i = n; i-- > p->slots;) {
		memset(&s[i], 0, sizeof(s[i]));
		s[i].next = p->free_slot;
		p->free_slot = i;
	}
	p->slots = n;
	return PAIL_OK;
}

uint32_t slot_take(struct pail *p, int *ret_status)
{
	uint32_t i;

	*ret_status = p->free_slot == NONE ? slots_grow(p) : PAIL_OK;
	if (*ret_status != PAIL_OK)
		return NONE;
	i = p->free_slot;
	p->free_slot = p->slot[i].next;
	return i;
}

uint64_t slot_msgid(const struct pail *p, uint32_t i)
{
	return (uint64_t)p->slot[i].uses << SLOTS_BITS | i;
}

struct slot_in *slot_find(struct pail *p, uint64_t msgid)
{
	uint32_t i = (uint32_t)(msgid & ((1u << SLOTS_BITS) - 1));

	if (i >= p->slots || !p->slot[i].busy || p->slot[i].sent_on != p->connection ||
	    slot_msgid(p, i) != msgid)
		return NULL;
	return &p->slot[i];
}

void slot_finish(struct pail *p, struct slot_in *s, const struct pail_result *r)
{
	pail_done *done = s->done;
	void *arg = s->arg;

	p->in_flight--;
	p->on_wire -= s->sent_on == p->connection;
	s->busy = false;
	s->uses++;
	s->next = p->free_slot;
	p->free_slot = (uint32_t)(s - p->slot);
	done(arg, r);
}

void slot_fail(struct pail *p, struct slot_in *s, int status, const char *text)
{
	struct pail_result r;

	memset(&r, 0, sizeof(r));
	r.status = status;
	r.text = text;
	slot_finish(p, s, &r);
}

/* Callbacks may submit, which moves the array and adds requests with deadlines of their own. */
unsigned slots_expire(struct pail *p)
{
	uint64_t next = UINT64_MAX;
	unsigned n = 0;

	if (p->closed || p->now_ms < p->due_ms)
		return 0;
	p->due_ms = UINT64_MAX;
	for (uint32_t i = outbox_expire(p), after; i != NONE && !p->closed; i = after) {
		after = p->slot[i].next;
		n++;
		slot_fail(p, &p->slot[i], PAIL_EXPIRED, "its time was over before it was sent");
	}
	for (uint32_t i = 0; i < p->slots && !p->closed; i++) {
		struct slot_in *s = &p->slot[i];

		if (!s->busy)
			continue;
		if (s->deadline_ms > p->now_ms || !s->sent_on) {
			if (s->deadline_ms < next)
				next = s->deadline_ms;
			continue;
		}
		n++;
		p->lost = p->unheard > 0; /* what came since was behind it: the node is there */
		slot_fail(p, s, PAIL_TIMEOUT,
			  "no reply in time: it may or may not have taken effect");
	}
	if (next < p->due_ms)
		p->due_ms = next;
	return n;
}

void slots_abandon(struct pail *p, bool all, int status, const char *text)
{
	for (uint32_t i = 0; i < p->slots; i++) {
		struct slot_in *s = &p->slot[i];

		if (s->busy && (all || (s->sent_on && s->sent_on != p->connection)))
			slot_fail(p, s, status, text);
	}
}
