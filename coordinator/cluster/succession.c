/*
 * What a node's membership leaves to the next program in its process, so that an upgrade is no restart:
 * the clerk's bytes, who the nodes are, the target, and the orders that waited for room.  The agent is
 * ended before; what was on its way to etcd is asked for again.
 *
 * The bytes are for this machine and this layout.  A program that has another takes none of them, and
 * begins as after a restart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/hash.h"
#include "common/log.h"
#include "coordinator/cluster/membership_impl.h"

#define SUCCESSION_VERSION 1u

struct succession {
	uint32_t crc; /* of all behind it */
	uint32_t version;
	uint32_t node_size; /* layouts, see above */
	uint32_t order_size;
	uint32_t partitions; /* of the folder */
	uint32_t workers;
	uint32_t nodes;
	uint32_t number;
	uint32_t copies; /* of the target; 0: there is none */
	uint32_t orders;
	uint64_t store;
	uint64_t etcd;
	uint64_t up;         /* a bit for each worker */
	uint64_t clerk_size; /* 0: it has not begun */
	struct cluster_config config;
};
/* Behind it: nodes, the target's numbers, orders (their workers follow from their partitions), the
 * clerk's bytes. */

static size_t table_size(const struct succession *h)
{
	return (size_t)h->partitions * h->copies;
}

static uint32_t crc_of(const char *bytes, size_t size)
{
	return crc32c(0, bytes + sizeof(uint32_t), size - sizeof(uint32_t));
}

/* ---- writing ---- */

static struct succession head_make(const struct membership *m)
{
	struct succession h;

	memset(&h, 0, sizeof(h)); /* what lies between its fields too */
	h.version = SUCCESSION_VERSION;
	h.node_size = sizeof(struct cluster_node);
	h.order_size = sizeof(struct parcel_order);
	h.partitions = m->parts.node->partitions;
	h.workers = m->parts.supervisor->count;
	h.nodes = m->nodes;
	h.number = m->number;
	h.copies = m->table ? m->copies : 0;
	h.store = m->store;
	h.etcd = m->etcd;
	h.config = m->config;
	for (uint32_t i = 0; i < h.workers; i++) {
		h.up |= (uint64_t)m->line[i].up << i;
		for (const struct waiting_order *o = m->line[i].first; o; o = o->next)
			h.orders++;
	}
	if (m->clerk)
		h.clerk_size = clerk_save(m->clerk, &h, 0);
	return h;
}

int succession_write(const struct membership *m, struct buf *b)
{
	struct succession h = head_make(m);
	char *clerk;

	buf_add(b, &h, sizeof(h));
	buf_add(b, m->node, m->nodes * sizeof(m->node[0]));
	if (h.copies)
		buf_add(b, m->table, table_size(&h));
	for (uint32_t i = 0; i < h.workers; i++)
		for (const struct waiting_order *o = m->line[i].first; o; o = o->next)
			buf_add(b, &o->order, sizeof(o->order));
	clerk = h.clerk_size ? malloc(h.clerk_size) : NULL;
	if (clerk) {
		check(clerk_save(m->clerk, clerk, h.clerk_size) == h.clerk_size);
		buf_add(b, clerk, h.clerk_size);
		free(clerk);
	}
	if (b->failed || (h.clerk_size && !clerk))
		return -ENOMEM;
	h.crc = crc_of(b->data, b->len);
	memcpy(b->data, &h.crc, sizeof(h.crc));
	return 0;
}

int membership_leave(struct membership *m, int *ret_fd)
{
	struct buf b;
	int fd = -1;
	int r;

	agent_free(&m->agent);
	buf_init(&b);
	r = succession_write(m, &b);
	if (r == 0 && (fd = memfd_create("pail-cluster", MFD_CLOEXEC)) < 0)
		r = -errno;
	for (size_t n = 0; r == 0 && n < b.len;) {
		ssize_t w = pwrite(fd, b.data + n, b.len - n, (off_t)n);

		if (w <= 0)
			r = w < 0 ? -errno : -EIO;
		else
			n += (size_t)w;
	}
	buf_fini(&b);
	if (r < 0 && fd >= 0)
		(void)close(fd);
	else if (r == 0)
		*ret_fd = fd;
	return r;
}

/* ---- reading ---- */

/* Is it whole, and this program's, node's and folder's?  Only then anything is taken. */
static int head_read(const struct membership *m, struct span in, struct succession *h)
{
	size_t rest;

	if (in.n < sizeof(*h))
		return -EBADMSG;
	memcpy(h, in.p, sizeof(*h));
	if (h->version != SUCCESSION_VERSION || h->node_size != sizeof(struct cluster_node) ||
	    h->order_size != sizeof(struct parcel_order))
		return -EPROTO;
	if (h->crc != crc_of(in.p, in.n) || h->nodes > CLUSTER_NODES_MAX ||
	    h->copies > REPLICA_MEMBERS_MAX || h->number >= REPLICA_NODES_MAX)
		return -EBADMSG;
	if (h->store != m->store || h->partitions != m->parts.node->partitions ||
	    h->workers != m->parts.supervisor->count)
		return -EPROTO;
	if (h->orders && !h->workers)
		return -EBADMSG;
	rest = in.n - sizeof(*h);
	return rest == h->nodes * sizeof(struct cluster_node) + table_size(h) +
				       h->orders * sizeof(struct parcel_order) + h->clerk_size
		       ? 0
		       : -EBADMSG;
}

static int nodes_read(struct membership *m, const struct succession *h, const char *at)
{
	memcpy(m->node, at, h->nodes * sizeof(m->node[0]));
	for (uint32_t i = 0; i < h->nodes; i++)
		if (m->node[i].number >= REPLICA_NODES_MAX)
			return -EBADMSG;
	m->nodes = h->nodes;
	for (uint32_t i = 0; i < h->nodes; i++)
		if (m->node[i].number)
			m->of_number[m->node[i].number] = i;
	m->number = h->number;
	m->config = h->config;
	m->etcd = h->etcd;
	return 0;
}

static int orders_read(struct membership *m, const struct succession *h, const char *at)
{
	for (uint32_t i = 0; i < h->orders; i++, at += sizeof(struct parcel_order)) {
		struct waiting_order *x = malloc(sizeof(*x));

		if (!x)
			return -ENOMEM;
		x->next = NULL;
		memcpy(&x->order, at, sizeof(x->order));
		order_wait(&m->line[x->order.head.partition % h->workers], x);
	}
	return 0;
}

static int clerk_read(struct membership *m, const struct succession *h, const char *at)
{
	int r;

	if (!h->clerk_size)
		return 0;
	if (m->config.partitions != h->partitions)
		return -EBADMSG;
	r = clerk_make(m);
	return r < 0 ? r : clerk_restore(m->clerk, at, h->clerk_size, m->now);
}

/* As if nothing had been read. */
static void forget(struct membership *m)
{
	clerk_free(&m->clerk);
	free(m->table);
	m->table = NULL;
	m->copies = m->nodes = m->number = 0;
	memset(&m->config, 0, sizeof(m->config));
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		m->of_number[i] = NODE_NONE;
	for (uint32_t i = 0; i < sizeof(m->line) / sizeof(m->line[0]); i++) {
		orders_drop(m, i);
		m->line[i].up = false;
	}
}

int succession_read(struct membership *m, struct span in)
{
	struct succession h;
	const char *at = in.p + sizeof(h);
	int r = head_read(m, in, &h);

	if (r < 0)
		return r;
	r = nodes_read(m, &h, at);
	at += h.nodes * sizeof(m->node[0]);
	if (r == 0 && h.copies) {
		m->table = malloc(table_size(&h));
		r = m->table ? 0 : -ENOMEM;
		m->copies = h.copies;
	}
	if (r == 0 && h.copies)
		memcpy(m->table, at, table_size(&h));
	at += table_size(&h);
	for (uint32_t i = 0; i < h.workers; i++) {
		m->line[i].up = h.up >> i & 1u;
		m->line[i].synced_at = m->now;
	}
	if (r == 0)
		r = orders_read(m, &h, at);
	at += h.orders * sizeof(struct parcel_order);
	if (r == 0)
		r = clerk_read(m, &h, at);
	if (r < 0)
		forget(m);
	return r;
}

int membership_resume(struct membership *m, int fd)
{
	off_t size = fd > 0 ? lseek(fd, 0, SEEK_END) : -1;
	char *bytes = size > 0 ? malloc((size_t)size) : NULL;
	int r = size <= 0 ? -ENODATA : !bytes ? -ENOMEM : 0;

	if (r == 0 && pread(fd, bytes, (size_t)size, 0) != size)
		r = -EIO;
	if (r == 0)
		r = succession_read(m, (struct span){bytes, (size_t)size});
	free(bytes);
	if (fd > 0)
		(void)close(fd);
	if (r == 0)
		links_make(m);
	else
		log_warn("cluster %s: the program before has left nothing to go on from (%s): this "
			 "upgrade is as a restart",
			 conf_text(m->parts.node->conf, CONF_cluster_name), strerror(-r));
	return r;
}
