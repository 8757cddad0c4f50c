/* What goes on over a re-exec of the coordinator. */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "common/hash.h"
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

#define SAVE_VERSION 3u

struct save_head {
	uint64_t crc; /* of all behind it */
	uint32_t version;
	uint32_t part_size; /* its layout is this program's alone: another one's is not read */
	uint32_t worker_size;
	uint32_t partitions;
	uint32_t workers;
	uint32_t nodes;
	struct member self;
	uint64_t revision;
	uint64_t answered;
	uint64_t number;
	uint32_t set_back;
	uint32_t draining;
	uint32_t leaving;
	uint32_t zero;
};

struct save_node {
	uint32_t number;
	uint32_t zero;
	uint64_t store;
	struct moment heard;
};

static size_t save_size(uint32_t partitions, uint32_t workers, uint32_t nodes)
{
	return sizeof(struct save_head) + nodes * sizeof(struct save_node) +
	       workers * sizeof(struct worker) + partitions * sizeof(struct part);
}

static uint64_t save_crc(const void *bytes, size_t size)
{
	return crc32c(0, (const char *)bytes + sizeof(uint64_t), size - sizeof(uint64_t));
}

size_t clerk_save(const struct clerk *c, void *out, size_t size)
{
	struct save_head h = {
		.version = SAVE_VERSION,
		.part_size = sizeof(struct part),
		.worker_size = sizeof(struct worker),
		.partitions = c->config.partitions,
		.workers = c->config.workers,
		.self = c->config.self,
		.revision = c->revision,
		.answered = c->answered,
		.number = c->number,
		.set_back = c->set_back,
		.draining = c->draining,
		.leaving = c->leaving,
	};
	char *at = (char *)out + sizeof(h);
	size_t total;

	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		h.nodes += c->nodes[i] != NULL;
	total = save_size(h.partitions, h.workers, h.nodes);
	if (size < total)
		return total;
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
		struct save_node n = {i, 0, 0, MOMENT_BEFORE};

		if (!c->nodes[i])
			continue;
		n.store = c->nodes[i]->store;
		n.heard = c->nodes[i]->heard;
		memcpy(at, &n, sizeof(n));
		at += sizeof(n);
	}
	memcpy(at, c->workers, h.workers * sizeof(struct worker));
	at += h.workers * sizeof(struct worker);
	memcpy(at, c->parts, h.partitions * sizeof(struct part));
	memcpy(out, &h, sizeof(h));
	h.crc = save_crc(out, total);
	memcpy(out, &h, sizeof(h));
	return total;
}

static int save_check(const struct clerk *c, const void *in, size_t size, struct save_head *h)
{
	if (size < sizeof(*h))
		return -EBADMSG;
	memcpy(h, in, sizeof(*h));
	if (h->crc != save_crc(in, size))
		return -EBADMSG;
	if (h->version != SAVE_VERSION || h->part_size != sizeof(struct part) ||
	    h->worker_size != sizeof(struct worker) || h->partitions != c->config.partitions ||
	    h->workers != c->config.workers || !member_is(h->self, c->config.self))
		return -EPROTO;
	return size == save_size(h->partitions, h->workers, h->nodes) ? 0 : -EBADMSG;
}

int clerk_restore(struct clerk *c, const void *in, size_t size, struct moment now)
{
	const char *at = (const char *)in + sizeof(struct save_head);
	struct save_head h;
	int err = save_check(c, in, size, &h);

	if (err)
		return err;
	for (uint32_t i = 0; i < h.nodes; i++, at += sizeof(struct save_node)) {
		struct save_node n;
		struct node *x;

		memcpy(&n, at, sizeof(n));
		x = node_get(c, n.number);
		if (!x)
			return -ENOMEM;
		x->store = n.store;
		x->heard = n.heard;
	}
	memcpy(c->workers, at, h.workers * sizeof(struct worker));
	at += h.workers * sizeof(struct worker);
	memcpy(c->parts, at, h.partitions * sizeof(struct part));
	c->revision = h.revision;
	c->answered = h.answered;
	c->number = h.number;
	c->set_back = h.set_back;
	c->draining = h.draining;
	c->leaving = h.leaving;
	c->beat_now = true;
	c->woken = now; /* grants have not been heard meanwhile */
	for (uint32_t i = 0; i < h.partitions; i++) {
		/* Rounds are counted anew; a lease goes on, whoever granted it. */
		c->parts[i].claim_round = 1;
		c->parts[i].asked = now;
		c->parts[i].stale = c->parts[i].repeat = true;
	}
	return 0;
}
