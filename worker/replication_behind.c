/*
 * Members that are behind what is in memory: a reader for each node walks the log's files, one pass
 * for all partitions of that node's that are behind, a bounded piece between two rounds.  When it
 * has come to what is in memory, the rest is sent from there.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "worker/replication_impl.h"
#include "worker/loop.h"

#define STEP_BYTES   (512u << 10) /* of a step, for each node */
#define STEP_RECORDS 4096u

/* The member on `node` of the line, if it is behind: its place among the members; or -1. */
static int behind_on(const struct line *l, uint32_t node)
{
	if (l->copy.role != COPY_PRIMARY)
		return -1;
	for (uint32_t i = 0; i < l->copy.count; i++)
		if (l->to[i].id.node == node && l->to[i].behind)
			return (int)i;
	return -1;
}

static void reader_close(struct replication *c, struct peer *p)
{
	c->readers -= p->reader ? 1 : 0;
	store_read_close(&p->reader);
	p->reopen = false;
	p->batch.len = 0;
}

static void reader_open(struct replication *c, uint32_t node)
{
	struct peer *p = &c->peer[node];
	struct store_want want[PARTITIONS_MAX];
	uint32_t n = 0;

	reader_close(c, p);
	for (uint32_t k = 0; k < c->lines; k++) {
		int i = behind_on(&c->line[k], node);

		if (i >= 0)
			want[n++] = (struct store_want){c->line[k].copy.partition,
							c->line[k].copy.members[i].next + 1};
	}
	if (!n)
		return;
	if (store_read_open(c->w->store, want, n, &p->reader) < 0)
		p->reader = NULL; /* no memory now: the next step tries again */
	else
		c->readers++;
}

/* What has been read goes out.  False: not now. */
static bool batch_send(struct replication *c, uint32_t node)
{
	struct peer *p = &c->peer[node];
	struct line *l = &c->line[p->line];
	uint32_t count = 0;
	int i;

	if (!p->batch.len)
		return true;
	i = behind_on(l, node);
	if (i < 0 || l->copy.members[i].next != p->from) { /* it is not what is wanted now */
		p->batch.len = 0;
		p->reopen = true;
		return true;
	}
	for (size_t at = 0; at < p->batch.len; count++)
		at += ((const struct log_entry *)(const void *)(p->batch.data + at))->size;
	if (!ship_parcel(c, l, (uint32_t)i, p->from, p->to, p->batch.data, p->batch.len, count) &&
	    !l->copy.members[i].anew)
		return false;
	p->batch.len = 0;
	/* The rest may be in memory by now. */
	if (recent_find(c->recent, &l->recent, p->to + 1) ||
	    p->to >= spans_last(&l->copy.spans).sequence) {
		behind_set(c, &l->to[i], false);
		ship_want(c, l, (uint32_t)i, false);
	}
	return true;
}

/* A record that was read joins the batch; another partition's waits for it to be sent. */
static void batch_add(struct replication *c, uint32_t node, const struct log_entry *e)
{
	struct peer *p = &c->peer[node];
	struct line *l = line_of(c, e->partition);
	int i = l ? behind_on(l, node) : -1;
	char *to;

	if (i < 0)
		return; /* not wanted any more */
	if (!p->batch.len) {
		if (e->sequence > l->copy.members[i].next + 1)
			p->reopen = true; /* it has gone back behind the reader */
		if (e->sequence != l->copy.members[i].next + 1)
			return;
		p->line = line_number(c, l);
		p->from = e->sequence - 1;
	}
	to = buf_room(&p->batch, e->size);
	if (!to) {
		p->batch.failed = false;
		p->reopen = true;
		return;
	}
	memcpy(to, e, e->size);
	p->batch.len += e->size;
	p->to = log_entry_last(e);
}

/* Does it follow the batch directly? */
static bool batch_takes(const struct replication *c, const struct peer *p,
			const struct log_entry *e)
{
	return !p->batch.len || (c->line[p->line].copy.partition == e->partition &&
				 e->sequence == p->to + 1 && p->batch.len < REPLICATION_PARCEL / 4);
}

static void node_step(struct replication *c, uint32_t node)
{
	struct peer *p = &c->peer[node];
	uint64_t bytes = 0;

	for (uint32_t n = 0; n < STEP_RECORDS && bytes < STEP_BYTES; n++) {
		struct log_record r;
		uint32_t partition;
		int e;

		if (p->flying >= REPLICATION_WINDOW) {
			p->pressed = true;
			break;
		}
		e = store_read_next(p->reader, &r, &partition);
		if (e == -ENODATA) {
			struct line *l = line_of(c, partition);
			int i = l ? behind_on(l, node) : -1;

			if (i >= 0)
				ship_lost(c, l, (uint32_t)i);
			continue;
		}
		if (e < 0) {
			worker_fail(c->w, e, store_why(c->w->store));
			return;
		}
		if (!e) /* all that is on disk */
			break;
		bytes += r.entry->size;
		if (!batch_takes(c, p, r.entry) && !batch_send(c, node)) {
			p->reopen = true; /* this record is read again */
			break;
		}
		batch_add(c, node, r.entry);
		if (p->reopen)
			break;
	}
	(void)batch_send(c, node);
}

void behind_step(struct replication *c)
{
	bool any[REPLICA_NODES_MAX] = {false};

	if (!c->behind && !c->readers)
		return;
	for (uint32_t n = 0; n < c->lines; n++)
		for (uint32_t i = 0; i < c->line[n].copy.count; i++)
			if (c->line[n].to[i].behind)
				any[c->line[n].to[i].id.node] = true;
	for (uint32_t node = 1; node < REPLICA_NODES_MAX && !c->ship_full; node++) {
		struct peer *p = &c->peer[node];

		if (!any[node]) {
			reader_close(c, p);
			continue;
		}
		if (p->batch.len && !batch_send(c, node))
			continue;
		if (!p->reader || p->reopen)
			reader_open(c, node);
		if (p->reader)
			node_step(c, node);
	}
}
