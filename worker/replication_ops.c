/* What a copy has done: to the store, and to the rings. */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "worker/replication_impl.h"
#include "worker/loop.h"

static struct replication *replication_of(void *arg)
{
	return arg;
}

static struct line *line_for(struct replication *c, const struct copy *k)
{
	struct line *l = line_of(c, k->partition);

	check(l && &l->copy == k);
	return l;
}

/* Errors after which the store is not what it was. */
static int64_t store_failed(struct replication *c, int error)
{
	if (error == -EIO || error == -ENOMEM || error == -EBADMSG)
		worker_fail(c->w, error, store_why(c->w->store));
	return error;
}

struct tail_to {
	struct replication *c;
	struct line *l;
};

static void tail_add(void *arg, const struct log_entry *e)
{
	const struct tail_to *x = arg;

	if (!e->count) /* it says something of a request, and is no other's */
		return;
	recent_add(x->c->recent, &x->c->line[0].recent, sizeof(struct line),
		   line_number(x->c, x->l), e);
}

static int64_t term_append(void *arg, const struct copy *k, uint64_t term)
{
	struct replication *c = replication_of(arg);
	struct line *l = line_for(c, k);
	struct span view = {c->by_count ? (const char *)c->by : "", c->by_count * sizeof(*c->by)};
	uint64_t sequence;
	int r;

	if ((term & 0xffffu) != (c->life & 0xffffu)) /* of another life: its orders are void */
		return -ESTALE;
	/* What is not committed others may lack, and it need not be in the log's files any more. */
	recent_clear(&l->recent);
	store_tail_each(c->w->store, k->partition, tail_add, &(struct tail_to){c, l});
	l->written_count = 0;
	r = store_lead(c->w->store, k->partition, term, view, &sequence);
	l->written_count = 0; /* the copy knows of this one */
	if (r < 0)
		return store_failed(c, r);
	check(sequence == spans_last(&k->spans).sequence + 1);
	log_term_note(c, k->partition, term);
	return (int64_t)store_lsn(c->w->store);
}

static int64_t entry_append(void *arg, const struct copy *k, const struct parcel_entry *e)
{
	struct replication *c = replication_of(arg);
	struct line *l = line_for(c, k);
	uint64_t lsn;
	int r = store_follow_append(c->w->store, (struct span){(const char *)e, e->size}, &lsn);

	if (r == -ENOSPC)
		c->backups_full = true;
	if (r == -EIO || r == -ENOMEM)
		return store_failed(c, r);
	if (r < 0)
		return r;
	l->waits_sync = true;
	log_term_note(c, k->partition, e->term);
	return (int64_t)lsn;
}

static int64_t cut(void *arg, const struct copy *k, uint64_t sequence)
{
	struct replication *c = replication_of(arg);
	uint64_t lsn;
	int r = store_cut(c->w->store, k->partition, sequence, &lsn);

	/* Done, but it had taken effect here: replication_over sees to that. */
	if (r == -EINPROGRESS)
		r = 0;
	if (r == -EIO || r == -ENOMEM)
		return store_failed(c, r);
	return r < 0 ? r : (int64_t)lsn;
}

static void commit(void *arg, const struct copy *k, uint64_t sequence)
{
	struct replication *c = replication_of(arg);
	int r = store_commit(c->w->store, k->partition, sequence);

	if (r < 0)
		worker_fail(c->w, r, store_why(c->w->store));
}

static void ship(void *arg, struct copy *k, uint32_t i, bool again)
{
	struct replication *c = replication_of(arg);

	ship_want(c, line_for(c, k), i, again);
}

static void ack(void *arg, const struct copy *k, uint32_t node, const struct parcel_ack *a,
		const struct span_term *spans, uint64_t lsn)
{
	struct replication *c = replication_of(arg);
	uint32_t n = (uint32_t)(sizeof(*a) + a->spans * sizeof(*spans));
	enum segment_ring which = lsn > store_synced(c->w->store) ? RING_DURABLE : RING_IMMEDIATE;
	struct parcel_ack *p = (struct parcel_ack *)(void *)worker_parcel(c->w, which, n);

	(void)k;
	if (!p) /* this worker is ending */
		return;
	*p = *a;
	p->head.size = n;
	p->head.node = node;
	if (a->spans)
		memcpy(p + 1, spans, a->spans * sizeof(*spans));
}

static void report(void *arg, const struct copy *k, const struct parcel_report *r)
{
	struct replication *c = replication_of(arg);
	struct ring *ring = &c->w->segment->ship;
	void *p = c->late.len ? NULL : ring_reserve(ring, sizeof(*r));

	(void)k;
	if (p) {
		memcpy(p, r, sizeof(*r));
		ring_commit(ring, sizeof(*r));
		return;
	}
	p = buf_room(&c->late, sizeof(*r));
	if (!p) {
		worker_fail(c->w, -ENOMEM, "no memory for a report");
		return;
	}
	memcpy(p, r, sizeof(*r));
	c->late.len += sizeof(*r);
}

void reports_again(struct replication *c)
{
	struct ring *ring = &c->w->segment->ship;
	size_t at = 0;

	for (; at < c->late.len; at += sizeof(struct parcel_report)) {
		void *p = ring_reserve(ring, sizeof(struct parcel_report));

		if (!p)
			break;
		memcpy(p, c->late.data + at, sizeof(struct parcel_report));
		ring_commit(ring, sizeof(struct parcel_report));
	}
	if (at && at < c->late.len)
		memmove(c->late.data, c->late.data + at, c->late.len - at);
	c->late.len -= at;
}

/* Replies that wait are judged with the next step. */
static void deposed(void *arg, struct copy *k)
{
	struct replication *c = replication_of(arg);
	struct line *l = line_for(c, k);

	check(!l->written_count);
	recent_clear(&l->recent);
	l->alone = false;
	ship_members(c, l);
	store_follow(c->w->store, k->partition);
}

const struct copy_ops replication_ops = {term_append, entry_append, cut,    commit,
					 ship,        ack,          report, deposed};
