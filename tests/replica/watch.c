/*
 * What must be true whatever clients see: one record at each place that is committed, by whatever
 * primary, and nobody applies another; nobody leads while another may still answer reads; what is
 * told is on as many disks as it must be.
 */
#include <string.h>

#include "replica/rules.h"
#include "tests/replica/node.h"

#define PLACES_MAX 8192u

static uint64_t chosen[PARTITIONS][PLACES_MAX]; /* ids of records, by sequence */
static uint64_t chosen_count[PARTITIONS];

void watch_begin(void)
{
	memset(chosen_count, 0, sizeof(chosen_count));
}

void watch_commit(struct part *p, uint64_t sequence)
{
	uint64_t *is = chosen[p->partition], *known = &chosen_count[p->partition];
	uint32_t n = p->node->number;

	if (sequence > p->last) {
		violate("node %u commits %lu of p%u and has %lu", n, sequence, p->partition,
			p->last);
		return;
	}
	for (; p->checked < sequence; p->checked++) {
		uint64_t s = p->checked + 1, id = p->log[s].record->id;

		if (s <= *known && is[s] != id) {
			violate("two records committed at %lu of p%u, the second by node %u", s,
				p->partition, n);
			return;
		}
		if (s <= *known)
			continue;
		if (p->copy.role != COPY_PRIMARY) {
			violate("node %u applies %lu of p%u, which no primary has committed", n, s,
				p->partition);
			return;
		}
		if (s >= PLACES_MAX) {
			violate("the run is longer than the checks take");
			return;
		}
		is[s] = id;
		*known = s;
	}
}

/* Can this node still answer reads as the primary of its term? */
static bool leased(const struct node *n, uint32_t partition)
{
	const struct copy *c = &n->part[partition].copy;
	const struct copy_lease *l = &n->lease[partition];

	return n->up && n->ready && n->paused_until[WORKER] <= world.now &&
	       c->role == COPY_PRIMARY && !c->stopped && c->commit >= c->floor &&
	       l->epoch == term_epoch(c->term) && moment_holds(node_clock(n), l->until);
}

void watch_lead(const struct node *n, uint32_t partition, uint64_t term)
{
	for (uint32_t i = 1; i <= NODES; i++) {
		const struct node *other = &node[i];

		if (other != n && term_epoch(other->part[partition].copy.term) < term_epoch(term) &&
		    leased(other, partition))
			violate("two leases of p%u: node %u leads, node %u still serves", partition,
				n->number, i);
	}
}

/* On how many disks is the record that has this sequence in p's log? */
static uint32_t disks_with(const struct part *p, uint64_t sequence)
{
	uint64_t id = p->log[sequence].record->id;
	uint32_t found = 0;

	for (uint32_t i = 1; i <= NODES; i++) {
		const struct disk *d = &node[i].disk;

		for (uint32_t k = d->synced; k; k--) {
			if (d->op[k - 1].record && d->op[k - 1].record->id == id) {
				found++;
				break;
			}
		}
	}
	return found;
}

void watch_told(const struct node *n, const struct slot *s, struct moment judged)
{
	struct moment now = node_clock(n);
	const struct part *p = &n->part[s->request.partition];

	if (s->wait.clients && s->wait.clients <= p->last && setup.min_copies > 1 &&
	    !world.count[COUNT_WIPES]) {
		const struct record *r = p->log[s->wait.clients].record;

		if (r->request && disks_with(p, s->wait.clients) < setup.min_copies)
			violate("node %u tells of %lu of p%u, which lies on fewer than %u disks",
				n->number, s->wait.clients, s->request.partition, setup.min_copies);
	}
	/* It may be told later than it was right: then another may serve by now. */
	if (!s->wait.tells_state || judged.boot_us != now.boot_us || judged.raw_us != now.raw_us)
		return;
	if (RULE(LEASE) && (!s->wait.refuses || RULE(REFUSAL)) &&
	    n->lease[s->request.partition].epoch != term_epoch(s->wait.term))
		violate("node %u tells state of p%u in %lx by a lease of epoch %u", n->number,
			s->request.partition, s->wait.term, n->lease[s->request.partition].epoch);
	for (uint32_t i = 1; i <= NODES; i++) {
		const struct node *other = &node[i];
		const struct copy *c = &other->part[s->request.partition].copy;

		if (other != n && other->up && other->ready && c->role == COPY_PRIMARY &&
		    term_epoch(c->term) > term_epoch(s->wait.term) && c->commit > c->floor)
			violate("node %u tells state of p%u while node %u serves in %lx", n->number,
				s->request.partition, i, c->term);
	}
}
