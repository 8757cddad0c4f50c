#include "tests/replica/agreement.h"

#include <stdio.h>
#include <string.h>

#include "tests/replica/fault.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

struct agreement agreement;

/* A question on its way, or its answer. */
struct asked {
	struct view view; /* the wanted one; then what is there */
	struct view all[PARTITIONS];
	uint64_t revision, known, header;
	uint32_t partition, inc;
	enum { GET, CAS, LIST, NOTICE } what;
};

void agreement_begin(void)
{
	memset(&agreement, 0, sizeof(agreement));
}

const char *view_text(const struct view *v)
{
	static char text[4][160];
	static uint32_t turn;
	char *t = text[turn++ % 4];
	int n = snprintf(t, 160, "r%lu e%u primary %u isr", v->revision, v->epoch, v->primary.node);

	for (uint32_t i = 0; i < v->isr_count; i++)
		n += snprintf(t + n, 160 - (size_t)n, " %u/%02lx", v->isr[i].node,
			      v->isr[i].store & 255);
	if (v->frozen.term)
		n += snprintf(t + n, 160 - (size_t)n, " frozen %lx:%lu", v->frozen.term,
			      v->frozen.sequence);
	(void)snprintf(t + n, 160 - (size_t)n, "%s", v->released ? " released" : "");
	return t;
}

static void answered(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;
	struct asked *a = bytes;

	if (!node_awake(n, COORDINATOR, inc, answered, bytes))
		return;
	agreement.store[n->number] = n->store; /* it registers when it first can */
	if (a->what == LIST) {
		for (uint32_t p = 0; p < PARTITIONS; p++)
			node_viewed(n, p, &a->all[p], true, a->known, a->header);
		node_listed(n, a->known, a->header);
	} else {
		node_viewed(n, a->partition, &a->view, a->what != NOTICE, a->known, a->header);
	}
	give(bytes);
}

static void change(const struct node *n, struct asked *a)
{
	struct view *v = &agreement.view[a->partition], old = *v;

	*v = a->view;
	v->revision = ++agreement.revision;
	count(COUNT_VIEWS);
	if (v->epoch == old.epoch)
		count(v->isr_count < old.isr_count ? COUNT_SHRINKS : COUNT_GROWS);
	else if (v->released && v->primary.node != n->number)
		count(COUNT_SWITCHES);
	else if (v->primary.node != old.primary.node)
		count(COUNT_TAKEOVERS);
	TRACE("agreement p%u: %s (by %u)", a->partition, view_text(v), n->number);
	for (uint32_t i = 1; i <= NODES; i++) {
		struct asked *told;

		if (i == n->number || chance_ppm(70 * PERCENT))
			continue;
		told = take(sizeof(*told));
		told->what = NOTICE; /* another node has told of it */
		told->view = *v;
		told->partition = a->partition;
		told->known = told->header = 0;
		net_send(n->number, i, answered, &node[i], node[i].inc[COORDINATOR], told);
	}
}

static void land(void *who, uint64_t arg, void *bytes)
{
	struct node *n = who;
	struct asked *a = bytes;
	uint64_t us;

	if (agreement.down_until > world.now) { /* no quorum: it waits, or is dropped */
		if (chance_ppm(50 * PERCENT)) {
			world_at(agreement.down_until + 5 * MS, land, who, arg, bytes);
			return;
		}
		agreement.on_way -= a->what == CAS;
		give(bytes);
		return;
	}
	if (a->what == CAS) {
		agreement.on_way--;
		if (agreement.view[a->partition].revision == a->revision)
			change(n, a);
	}
	if (net_is_cut(AT_AGREEMENT, n->number) || (net.lossy && chance_ppm(30 * PERCENT))) {
		give(bytes);
		return;
	}
	a->view = agreement.view[a->partition];
	a->header = agreement.revision;
	memcpy(a->all, agreement.view, sizeof(a->all));
	us = chance_ppm(5 * PERCENT) ? chance_range(50 * MS, 1500 * MS)
				     : chance_range(1 * MS, 5 * MS);
	world_after(world.calm ? chance_range(300, 1 * MS) : us, answered, n, a->inc, a);
}

static struct asked *ask(struct node *n, uint32_t partition, uint64_t known)
{
	struct asked *a = take(sizeof(*a));

	a->what = GET;
	a->partition = partition;
	a->inc = n->inc[COORDINATOR];
	a->known = known;
	return a;
}

static struct asked *ask_change(struct node *n, uint32_t partition, uint64_t revision,
				uint64_t known, const struct view *v)
{
	struct asked *a = ask(n, partition, known);

	a->what = CAS;
	a->revision = revision;
	a->view = *v;
	agreement.on_way++;
	return a;
}

static void send(struct node *n, struct asked *a)
{
	uint64_t us = chance_ppm(93 * PERCENT) ? chance_range(1 * MS, 8 * MS)
					       : chance_range(100 * MS, 3000 * MS);

	if (net_is_cut(n->number, AT_AGREEMENT) || (net.lossy && chance_ppm(30 * PERCENT))) {
		agreement.on_way -= a->what == CAS;
		give(a);
		return;
	}
	if (a->what == CAS && chance_ppm(agreement.evil_ppm))
		us = fault_evil(n, us);
	world_after(us, land, n, 0, a);
}

void agreement_get(struct node *n, uint32_t partition, uint64_t known)
{
	send(n, ask(n, partition, known));
}

void agreement_list(struct node *n, uint64_t known)
{
	struct asked *a = ask(n, 0, known);

	a->what = LIST;
	send(n, a);
}

void agreement_cas(struct node *n, uint32_t partition, uint64_t revision, uint64_t known,
		   const struct view *v)
{
	TRACE("node %u asks p%u: %s", n->number, partition, view_text(v));
	if (!agreement.asked || agreement.asked(n, partition, v))
		send(n, ask_change(n, partition, revision, known, v));
}

void agreement_cas_late(struct node *n, uint32_t partition, uint64_t revision, const struct view *v,
			uint64_t us)
{
	world_after(us, land, n, 0, ask_change(n, partition, revision, 0, v));
}
