/* What was appended, to the members that keep up: from memory into the ring, as far as windows are
 * open. */
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "worker/replication_impl.h"

#define RETAIN_MS 200u

void line_stir(struct replication *c, struct line *l)
{
	if (l->dirty)
		return;
	l->dirty = true;
	c->dirty[c->dirty_count++] = line_number(c, l);
}

void replication_append(struct replication *c, const struct log_record *r)
{
	const struct log_entry *e = r->entry;
	struct line *l = line_of(c, e->partition);

	check(l);
	l->waits_sync = true;
	line_stir(c, l);
	if (!e->count) /* it says something of this copy, or of a request, and is no other's */
		return;
	if (!l->written_count)
		l->written_first = e->sequence;
	check(l->written_first + l->written_count == e->sequence);
	l->written_count += e->count;
	recent_add(c->recent, &c->line[0].recent, sizeof(struct line), line_number(c, l), e);
}

void behind_set(struct replication *c, struct sending *s, bool on)
{
	if (s->behind == on)
		return;
	s->behind = on;
	if (on) {
		c->behind++;
		c->peer[s->id.node].reopen = true;
	} else {
		c->behind--;
	}
}

/* ---- windows ---- */

static void landed(struct replication *c, struct sending *s, uint64_t bytes)
{
	struct peer *p = &c->peer[s->id.node];

	check_slow(s->flying >= bytes && p->flying >= bytes);
	s->flying -= bytes;
	p->flying -= bytes;
}

static void all_landed(struct replication *c, struct sending *s)
{
	landed(c, s, s->flying);
	s->mark = s->mark_bytes = 0;
}

void ship_lost(struct replication *c, struct line *l, uint32_t i)
{
	copy_lost(&l->copy, i);
	all_landed(c, &l->to[i]);
	behind_set(c, &l->to[i], false);
	log_info("partition %u: node %u needs records that the log does not have any more",
		 l->copy.partition, l->to[i].id.node);
}

/* Nothing more goes to the node for now; one record does, whatever its size, if nothing flies. */
static bool window_shut(struct replication *c, const struct sending *s)
{
	struct peer *p = &c->peer[s->id.node];

	if (p->flying < REPLICATION_WINDOW)
		return false;
	p->pressed = true;
	return true;
}

/* Others of that node's may have waited for the same window. */
static void window_look(struct replication *c, uint32_t node)
{
	struct peer *p = &c->peer[node];

	if (!p->pressed || p->flying >= REPLICATION_WINDOW)
		return;
	p->pressed = false;
	for (uint32_t n = 0; n < c->lines; n++)
		for (uint32_t i = 0; i < c->line[n].copy.count; i++)
			if (c->line[n].to[i].id.node == node && c->line[n].to[i].want)
				line_stir(c, &c->line[n]);
}

void ship_acked(struct replication *c, struct line *l, uint32_t node)
{
	const struct copy *k = &l->copy;

	for (uint32_t i = 0; i < k->count; i++) {
		struct sending *s = &l->to[i];

		if (s->id.node != node)
			continue;
		lag_acked(c, s, k->members[i].acked);
		if (k->members[i].acked >= s->sent || k->members[i].anew) {
			all_landed(c, s);
		} else if (s->mark && k->members[i].acked >= s->mark) {
			landed(c, s, s->mark_bytes < s->flying ? s->mark_bytes : s->flying);
			s->mark = s->sent;
			s->mark_bytes = s->flying;
		}
	}
	window_look(c, node);
}

void ship_landed(struct replication *c, uint32_t node, uint64_t bytes)
{
	check_slow(c->peer[node].flying >= bytes);
	c->peer[node].flying -= bytes;
	window_look(c, node);
}

void ship_members(struct replication *c, struct line *l)
{
	const struct copy *k = &l->copy;
	uint32_t count = k->role == COPY_PRIMARY ? k->count : 0;
	struct sending old[REPLICA_MEMBERS_MAX];

	memcpy(old, l->to, sizeof(old));
	memset(l->to, 0, sizeof(l->to));
	for (uint32_t i = 0; i < count; i++) {
		l->to[i].id = k->members[i].id;
		for (uint32_t n = 0; n < REPLICA_MEMBERS_MAX; n++) {
			if (!old[n].id.node || !member_is(old[n].id, l->to[i].id))
				continue;
			l->to[i] = old[n];
			old[n].id.node = 0;
		}
	}
	for (uint32_t n = 0; n < REPLICA_MEMBERS_MAX; n++) {
		if (!old[n].id.node)
			continue;
		all_landed(c, &old[n]);
		behind_set(c, &old[n], false);
	}
}

void ship_want(struct replication *c, struct line *l, uint32_t i, bool again)
{
	const struct copy_member *m = &l->copy.members[i];
	struct sending *s = &l->to[i];

	if (!member_is(s->id, m->id)) /* the copy leads since a moment ago */
		ship_members(c, l);
	if (m->next < s->sent) { /* what flew is lost, or it wants other records */
		all_landed(c, s);
		s->sent = m->next;
		behind_set(c, s, false);
	}
	s->want = true;
	s->again |= again;
	line_stir(c, l);
}

/* ---- parcels ---- */

bool ship_parcel(struct replication *c, struct line *l, uint32_t i, uint64_t from, uint64_t to,
		 const char *entries, uint64_t bytes, uint32_t count)
{
	struct sending *s = &l->to[i];
	struct ring *ring = &c->w->segment->ship;
	struct parcel_append *p = ring_reserve(ring, sizeof(*p) + bytes);

	if (!p) {
		c->ship_full = true;
		return false;
	}
	if (!copy_append_head(&l->copy, i, from, p)) {
		ship_lost(c, l, i);
		return false;
	}
	p->count = count;
	p->bytes = (uint32_t)bytes;
	p->head.size = (uint32_t)(sizeof(*p) + bytes);
	if (bytes && entries != (const char *)(p + 1))
		memcpy(p + 1, entries, bytes);
	ring_commit(ring, sizeof(*p) + bytes);
	copy_sent(&l->copy, i, to, c->w->now_ms);
	s->again = false;
	s->sent = to;
	s->flying += bytes;
	c->peer[s->id.node].flying += bytes;
	if (!s->mark && bytes) {
		s->mark = to;
		s->mark_bytes = s->flying;
	}
	return true;
}

/* The entries from `e` on that make one parcel.  Returns their bytes. */
static uint64_t gather(struct replication *c, const struct line *l, const struct log_entry *e,
		       char *to, uint64_t room, uint32_t *ret_count, uint64_t *ret_last)
{
	uint64_t last = spans_last(&l->copy.spans).sequence;
	uint64_t n = 0;

	*ret_count = 0;
	for (; e && e->sequence <= last; e = recent_next(c->recent, e)) {
		if (n + e->size > room || (n && n + e->size > REPLICATION_PARCEL))
			break;
		if (to)
			memcpy(to + n, e, e->size);
		n += e->size;
		*ret_last = log_entry_last(e);
		++*ret_count;
	}
	return n;
}

/* One parcel out of memory.  False: there is no more to be sent now. */
static bool recent_send(struct replication *c, struct line *l, uint32_t i,
			const struct log_entry *e)
{
	struct ring *ring = &c->w->segment->ship;
	uint64_t space = ring_space(ring);
	uint64_t from = l->copy.members[i].next;
	struct parcel_append *p;
	uint64_t bytes;
	uint64_t last = 0;
	uint32_t count;

	if (space <= sizeof(*p)) {
		c->ship_full = true;
		return false;
	}
	bytes = gather(c, l, e, NULL, space - sizeof(*p), &count, &last);
	if (!bytes) {
		c->ship_full = true;
		return false;
	}
	/* In place: where ship_parcel puts its head. */
	p = ring_reserve(ring, sizeof(*p) + bytes);
	check(p);
	(void)gather(c, l, e, (char *)(p + 1), bytes, &count, &last);
	return ship_parcel(c, l, i, from, last, (char *)(p + 1), bytes, count);
}

/* To one member, as much as may be. */
static void member_send(struct replication *c, struct line *l, uint32_t i)
{
	struct sending *s = &l->to[i];
	const struct copy_member *m = &l->copy.members[i];

	while (s->want && !c->ship_full && !m->anew) {
		const struct log_entry *e;

		if (m->next >= spans_last(&l->copy.spans).sequence) {
			behind_set(c, s, false);
			if (!s->again || ship_parcel(c, l, i, m->next, m->next, NULL, 0, 0))
				s->want = false;
			continue;
		}
		e = recent_find(c->recent, &l->recent, m->next + 1);
		behind_set(c, s, !e);
		if ((s->behind || window_shut(c, s)) &&
		    (!s->again || ship_parcel(c, l, i, m->next, m->next, NULL, 0, 0)))
			return;
		if (!s->behind && !recent_send(c, l, i, e))
			return;
	}
}

static void written_tell(struct replication *c, struct line *l)
{
	uint64_t n = l->written_count;

	l->written_count = 0;
	if (n && l->copy.role == COPY_PRIMARY)
		copy_written(&l->copy, l->written_first, (uint32_t)n, store_lsn(c->w->store),
			     c->w->now_ms);
}

void ship_written(struct replication *c)
{
	for (uint32_t k = 0; k < c->dirty_count; k++)
		written_tell(c, &c->line[c->dirty[k]]);
}

void ship_step(struct replication *c)
{
	uint32_t n;

	ship_written(c);
	n = c->dirty_count;
	c->ship_full = false;
	/* Those for which the ring has no room now stay in the list. */
	for (uint32_t k = 0, to = 0; k < n; k++) {
		struct line *l = &c->line[c->dirty[k]];
		bool left = false;

		for (uint32_t i = 0; i < l->copy.count && l->copy.role == COPY_PRIMARY; i++) {
			member_send(c, l, i);
			left |= c->ship_full && l->to[i].want;
		}
		l->dirty = left;
		if (left)
			c->dirty[to++] = line_number(c, l);
		c->dirty_count = to + (n - k - 1);
	}
	behind_step(c);
}

/* ---- keeping the log for others ---- */

/* Or the record behind that sequence, if it is before. */
static uint64_t least_of(const struct replication *c, const struct line *l, uint64_t sequence,
			 uint64_t least)
{
	uint64_t lsn = store_lsn_before(c->w->store, l->copy.partition, sequence + 1);

	return lsn < least ? lsn : least;
}

/* From which lsn on the log must be kept for the partition's other copies. */
static uint64_t line_retain(struct replication *c, const struct line *l)
{
	const struct copy *k = &l->copy;
	uint64_t least = UINT64_MAX;
	uint64_t sequence;

	/* What its role will be is not known; or another one, which is away, may be led from here. */
	if (k->role == COPY_NONE || (k->role == COPY_BACKUP && k->keep))
		return 0;
	for (uint32_t i = 0; i < k->count && k->role == COPY_PRIMARY; i++)
		if (!k->members[i].anew)
			least = least_of(c, l, k->members[i].acked, least);
	if (teach_keeps(c, l, &sequence))
		least = least_of(c, l, sequence, least);
	return least;
}

void ship_retain(struct replication *c)
{
	uint64_t least = UINT64_MAX;

	if (c->w->now_ms - c->retained_ms < RETAIN_MS)
		return;
	c->retained_ms = c->w->now_ms;
	for (uint32_t n = 0; n < c->lines; n++) {
		uint64_t lsn = line_retain(c, &c->line[n]);

		least = lsn < least ? lsn : least;
	}
	store_retain(c->w->store, least);
}

void ship_free(struct replication *c)
{
	for (uint32_t n = 0; n < REPLICA_NODES_MAX; n++) {
		store_read_close(&c->peer[n].reader);
		buf_fini(&c->peer[n].batch);
	}
}
