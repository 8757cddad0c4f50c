/* Handing over all that this node leads: an operator's question, and the end of the node. */
#include "coordinator/cluster/membership_impl.h"
#include "ipc/wire/reply.h"

#define DRAIN_MS 5000u /* an operator waits so long; it goes on after that */

static void drain_answer(struct membership *m, uint32_t leading)
{
	char reply[64];
	char *p = write_map(write_reply_head(reply, m->drain_msgid), 1);

	p = write_uint(write_text(p, "leading"), leading);
	m->drain_asked = false;
	reply_send(m->parts.sink, m->drain_to, reply, (size_t)(p - reply));
}

static uint32_t leading(const struct membership *m)
{
	struct clerk_figures f;

	clerk_figures(m->clerk, m->now, &f);
	return f.leading;
}

void drain_begin(void *arg, struct reply_to o, uint64_t msgid, bool on)
{
	struct membership *m = arg;

	if (is_door(m)) {
		reply_error(m->parts.sink, o, WIRE_CLUSTER_DRAIN, msgid, true, WIRE_E_BAD_ARGUMENT,
			    "this node has no workers (node.role = router): it leads nothing that "
			    "could be handed over");
		return;
	}
	if (!m->clerk) {
		reply_error(m->parts.sink, o, WIRE_CLUSTER_DRAIN, msgid, true, WIRE_E_NODE_DOWN,
			    "this node does not take part in the cluster yet: it leads nothing");
		return;
	}
	moments_read(m);
	if (m->drain_asked) /* the one before is told how far it has come */
		drain_answer(m, leading(m));
	clerk_drain(m->clerk, on, m->now);
	m->drain_asked = true;
	m->drain_to = o;
	m->drain_msgid = msgid;
	m->drain_due_ms = m->parts.node->now_ms + DRAIN_MS;
	if (!on)
		drain_answer(m, leading(m));
	m->parts.node->changed = true;
}

void drain_tick(struct membership *m)
{
	uint32_t n;

	if (!m->drain_asked)
		return;
	n = leading(m);
	if (!n || m->parts.node->now_ms >= m->drain_due_ms)
		drain_answer(m, n);
}

bool membership_drain(struct membership *m)
{
	struct clerk_figures f;

	if (!m->clerk)
		return true;
	moments_read(m);
	if (!m->leaving)
		clerk_leave(m->clerk, m->now);
	m->leaving = true;
	clerk_figures(m->clerk, m->now, &f);
	return !f.copies;
}
