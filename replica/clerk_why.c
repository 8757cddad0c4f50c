/* Why a partition has not all the copies that are wanted: for people. */
#include "common/check.h"
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

/* Of the primary itself: what keeps it from looking after its set. */
static const char *why_primary(const struct clerk *c, const struct part *p)
{
	if (!p->known)
		return "its view has not been read yet";
	if (is_behind(p))
		return "a later epoch was heard of, and its view has not been read";
	if (p->damaged)
		return "the primary has not what is committed";
	if (!c->workers[p->number % c->config.workers].up)
		return "the primary's worker is down";
	if (!p->life_number)
		return "the primary's worker was told nothing yet";
	if (!p->lead_number)
		return "it waits until it may lead";
	if (!p->leading)
		return "its worker has not said that it leads";
	if (c->set_back)
		return "the agreement was set back";
	if (p->change.kind)
		return "a change of its view is on its way";
	if (p->stopped || p->switch_to.node)
		return "it is being handed over";
	return NULL;
}

static const char *why_partner(const struct clerk *c, const struct part *p, const struct partner *x,
			       struct moment now)
{
	const struct node *n = c->nodes[x->id.node];

	if (n && n->leaving)
		return "that node is about to stop";
	if (x->damaged)
		return "that copy has not what it acknowledged";
	if (!lately(now, x->granted, CLERK_SHRINK_MS))
		return "that node does not grant the lease";
	if (lately(now, x->full, LATELY_MS))
		return "that copy is full";
	if (p->extra.node)
		return !p->counted  ? "the primary's worker does not count it yet"
		       : !p->caught ? "it counts, and has not all that is committed"
				    : "it is about to be asked for";
	if (!lately(now, x->near, NEAR_MS))
		return "that copy has not all that is committed yet";
	return is_fresh(p, now) ? "it is about to be asked for"
				: "the agreement has not answered lately";
}

const char *clerk_leaves(const struct clerk *c, uint32_t node)
{
	const struct node *n = node < REPLICA_NODES_MAX ? c->nodes[node] : NULL;
	bool self = node == c->config.self.node;

	if (self ? c->leaving : n && n->leaving)
		return "leaving";
	return (self ? c->draining : n && n->draining) ? "draining" : NULL;
}

const char *clerk_why(const struct clerk *c, uint32_t partition, uint32_t i, struct moment now,
		      uint32_t *ret_node)
{
	const struct part *p = &c->parts[partition];
	const char *why;

	check(partition < c->config.partitions);
	if (!is_primary(c, p))
		return NULL;
	why = why_primary(c, p);
	for (uint32_t k = 0; k < p->targets; k++) {
		const struct partner *x = NULL;
		bool in = false;

		for (uint32_t j = 0; j < p->view.isr_count; j++)
			in = in || p->view.isr[j].node == p->target[k];
		if (in || i--)
			continue;
		*ret_node = p->target[k];
		for (uint32_t j = 0; j < p->partners; j++)
			if (p->partner[j].id.node == p->target[k])
				x = &p->partner[j];
		return why ? why : x ? why_partner(c, p, x, now) : "that node has no folder known";
	}
	if (why && !i && !p->leading) {
		*ret_node = c->config.self.node;
		return why;
	}
	return NULL;
}
