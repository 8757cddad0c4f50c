/* A copy that is the primary. */
#include <string.h>

#include "common/check.h"
#include "replica/copy.h"
#include "replica/copy_impl.h"

static uint64_t last_of(const struct copy *c)
{
	return spans_last(&c->spans).sequence;
}

/* ---- members ---- */

void primary_members(struct copy *c, const struct parcel_order *o, uint64_t now_ms)
{
	struct copy_member old[REPLICA_MEMBERS_MAX];
	uint32_t n = c->count;

	memcpy(old, c->members, sizeof(old));
	memset(c->members, 0, sizeof(c->members));
	c->count = o->count;
	for (uint32_t i = 0; i < o->count; i++) {
		struct copy_member *m = &c->members[i];

		m->id = o->member[i].id;
		m->next = last_of(c);
		m->progress_ms = now_ms;
		m->after = c->stamp;
		for (uint32_t k = 0; k < n; k++) {
			if (!member_is(old[k].id, m->id))
				continue;
			*m = old[k];
			if (o->member[i].flags & ~m->flags & MEMBER_NEEDED) {
				m->told_caught = false;
				m->progress_ms = now_ms;
			}
		}
		m->flags = o->member[i].flags;
	}
}

static struct copy_member *member_find(struct copy *c, struct member id)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (RULE(SID) ? member_is(c->members[i].id, id) : c->members[i].id.node == id.node)
			return &c->members[i];
	return NULL;
}

/* ---- leading ---- */

void primary_lead(struct copy *c, uint64_t now_ms)
{
	struct place end = spans_last(&c->spans);
	int64_t lsn = c->ops->term_append(c->arg, c, c->lead);

	if (lsn < 0)
		return;
	c->lsn = (uint64_t)lsn;
	c->term = term_after(c, c->lead);
	c->lead = 0;
	c->role = COPY_PRIMARY;
	c->floor = end.sequence + 1;
	spans_append(&c->spans, c->term, c->floor, 1);
	c->stopped = c->held = false;
	c->told_floor = c->told_drained = false;
	c->quiet_ms = now_ms;
	for (uint32_t i = 0; i < c->count; i++) {
		c->members[i] = (struct copy_member){
			.id = c->members[i].id,
			.flags = c->members[i].flags,
			.next = end.sequence,
			.progress_ms = now_ms,
			.after = c->stamp,
		};
	}
	copy_report(c, REPORT_LEADING, (struct place){c->term, c->floor}, NULL, 0);
	if (c->too_few)
		copy_report(c, REPORT_HELD, end, NULL, 0);
	for (uint32_t i = 0; i < c->count; i++)
		c->ops->ship(c->arg, c, i, true);
	primary_advance(c);
}

void primary_drained(struct copy *c)
{
	if (c->role != COPY_PRIMARY || !c->stopped || c->told_drained || c->commit < last_of(c))
		return;
	c->told_drained = true;
	copy_report(c, REPORT_DRAINED, spans_last(&c->spans), NULL, 0);
}

void primary_advance(struct copy *c)
{
	uint64_t to = c->synced;

	for (uint32_t i = 0; i < c->count; i++)
		if ((c->members[i].flags & MEMBER_NEEDED) && c->members[i].acked < to)
			to = c->members[i].acked;
	if (to <= c->commit)
		return;
	c->commit = to;
	copy_tell_commit(c);
	if (c->commit >= c->floor && !c->told_floor) {
		c->told_floor = true;
		copy_report(c, REPORT_FLOOR, (struct place){c->term, c->floor}, NULL, 0);
	}
	primary_drained(c);
}

void copy_written(struct copy *c, uint64_t first, uint32_t count, uint64_t lsn, uint64_t now_ms)
{
	uint64_t last = last_of(c);

	check(c->role == COPY_PRIMARY);
	spans_append(&c->spans, c->term, first, count);
	/* Deposed, it acknowledges these too, when they are on its disk. */
	c->lsn = lsn;
	c->quiet_ms = now_ms;
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->members[i].acked >= last)
			c->members[i].progress_ms = now_ms;
		c->ops->ship(c->arg, c, i, false);
	}
}

/* ---- what members say ---- */

static void learner_look(struct copy *c, struct copy_member *m, uint64_t now_ms)
{
	bool has = m->acked >= c->commit && m->acked && !m->full && !(m->anew && RULE(LATEACK));

	if (!(m->flags & MEMBER_LEARNER) || c->commit < c->floor || (RULE(CAUGHT) && !has))
		return;
	if (m->flags & MEMBER_NEEDED) {
		/* Nothing that it has not is committed since it is needed. */
		if (m->told_caught)
			return;
		m->told_caught = true;
		copy_report(c, REPORT_CAUGHT, (struct place){c->term, m->acked}, &m->id, 0);
		return;
	}
	if (RULE(CAUGHT) && now_ms - m->heard_ms > COPY_NEAR_MS)
		return;
	if (m->told_ms && now_ms - m->told_ms < COPY_TOLD_MS)
		return;
	m->told_ms = now_ms;
	copy_report(c, REPORT_NEAR, (struct place){c->term, m->acked}, &m->id, 0);
}

static void have_take(struct copy *c, struct copy_member *m, uint64_t to, uint64_t now_ms)
{
	uint64_t last = last_of(c);
	struct member id = m->id;

	if (to > last || (m->anew && RULE(LATEACK)))
		return;
	m->known = true;
	if (m->full)
		m->told_ms = 0;
	m->full = false;
	if (to > m->acked) {
		m->acked = to;
		m->acked_stamp = m->stamp;
		m->progress_ms = now_ms;
	}
	if (m->next < to)
		m->next = to;
	primary_advance(c);
	learner_look(c, m, now_ms);
	m = member_find(c, id);
	if (m && m->next < last)
		c->ops->ship(c->arg, c, (uint32_t)(m - c->members), false);
}

static void back_take(struct copy *c, struct copy_member *m, const struct parcel_ack *p)
{
	const struct span_term *told = (const struct span_term *)(const void *)(p + 1);
	struct place at = spans_common(&c->spans, told, p->spans);

	if (at.sequence < m->acked) {
		/* It answers something that was sent after it had said that it has more. */
		if (p->stamp > m->acked_stamp) {
			m->anew = true;
			copy_report(c, REPORT_DAMAGED, (struct place){c->term, m->acked}, &m->id,
				    0);
			return;
		}
		at.sequence = m->acked;
	}
	m->known = true;
	/* All that was sent behind what it lacks is refused: one answer to that is enough. */
	if (p->stamp <= m->back_stamp)
		return;
	m->back_stamp = m->stamp;
	m->next = at.sequence;
	c->ops->ship(c->arg, c, (uint32_t)(m - c->members), true);
}

/* It knows to be committed what differs from what is here. */
static void damaged_take(struct copy *c, struct copy_member *m, struct place at)
{
	if (spans_hold(&c->spans, at) || !(m->flags & MEMBER_NEEDED)) {
		m->anew = true;
		copy_report(c, REPORT_DAMAGED, at, &m->id, m->id.node);
		return;
	}
	c->damaged = true;
	copy_report(c, REPORT_DAMAGED, at, &c->self, m->id.node);
}

/* A member that counts has acknowledged something once, and has lost it. */
static void broken_take(struct copy *c, struct copy_member *m)
{
	m->anew = true;
	if (m->flags & MEMBER_NEEDED)
		copy_report(c, REPORT_DAMAGED, (struct place){c->term, m->acked}, &m->id, 0);
}

void copy_ack(struct copy *c, const struct parcel_ack *p, uint64_t now_ms)
{
	struct copy_member *m;

	if (p->kind == ACK_REFUSED) {
		copy_hear(c, p->at.term);
		return;
	}
	if (c->role != COPY_PRIMARY || (RULE(ACKTERM) && p->term != c->term))
		return;
	m = member_find(c, p->from);
	if (!m || (p->stamp <= m->after && RULE(LATEACK)))
		return;
	m->heard_ms = now_ms;
	switch (p->kind) {
	case ACK_HAVE:
		have_take(c, m, p->at.sequence, now_ms);
		break;
	case ACK_BACK:
		back_take(c, m, p);
		break;
	case ACK_FULL:
		if (!m->full)
			m->told_ms = 0;
		m->full = true;
		break;
	case ACK_DAMAGED:
		damaged_take(c, m, p->at);
		break;
	case ACK_BROKEN:
		broken_take(c, m);
		break;
	default:
		break;
	}
}

/* ---- sending ---- */

bool copy_append_head(struct copy *c, uint32_t i, uint64_t from, struct parcel_append *ret)
{
	struct copy_member *m = &c->members[i];
	struct place prev;
	struct place commit = {0, 0};

	check(i < c->count && c->role == COPY_PRIMARY);
	if (!spans_at(&c->spans, from, &prev))
		return false;
	/* What it has not got yet it could not place. */
	m->commit_told = c->commit < from || !RULE(COMMITPLACE) ? c->commit : from;
	(void)spans_at(&c->spans, m->commit_told, &commit);
	*ret = (struct parcel_append){
		.head = {sizeof(*ret), PARCEL_APPEND, (uint16_t)c->partition, m->id.node, 0},
		.from = c->self,
		.term = c->term,
		.prev = prev,
		.commit = commit,
		.stamp = m->stamp = ++c->stamp,
	};
	return true;
}

void copy_sent(struct copy *c, uint32_t i, uint64_t to, uint64_t now_ms)
{
	check(i < c->count && to <= last_of(c));
	c->members[i].next = to;
	c->members[i].sent_ms = now_ms;
}

static void lasting_tell(struct copy *c, struct copy_member *m, uint64_t now_ms)
{
	bool waits = m->acked < last_of(c);

	if (m->told_ms && now_ms - m->told_ms < COPY_TOLD_MS)
		return;
	if (m->full)
		copy_report(c, REPORT_MEMBER_FULL, (struct place){c->term, m->acked}, &m->id, 0);
	else if ((m->flags & MEMBER_NEEDED) && waits && now_ms - m->progress_ms > COPY_STUCK_MS)
		copy_report(c, REPORT_STUCK, (struct place){c->term, m->acked}, &m->id, 0);
	else
		return;
	m->told_ms = now_ms;
}

void primary_tick(struct copy *c, uint64_t now_ms)
{
	uint64_t last = last_of(c);

	for (uint32_t i = 0; i < c->count; i++) {
		struct copy_member *m = &c->members[i];
		uint64_t idle = now_ms - m->sent_ms;
		uint64_t probe = m->flags & MEMBER_LEARNER ? COPY_PROBE_MS : COPY_IDLE_MS;
		bool quiet = now_ms - c->quiet_ms >= COPY_COMMIT_MS;

		if (!m->anew && ((m->acked < last && idle >= COPY_AGAIN_MS) || idle >= probe ||
				 (quiet && m->commit_told < c->commit && m->acked >= last)))
			c->ops->ship(c->arg, c, i, true);
		lasting_tell(c, m, now_ms);
		learner_look(c, m, now_ms);
	}
}
