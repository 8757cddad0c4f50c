#include "replica/copy.h"

#include <string.h>

#include "common/check.h"
#include "replica/copy_impl.h"

void copy_init(struct copy *c, uint32_t partition, struct member self, const struct spans *spans,
	       uint64_t commit, const struct copy_ops *ops, void *arg)
{
	uint64_t last = spans_last(spans).sequence;

	check(commit <= last);
	memset(c, 0, sizeof(*c));
	c->ops = ops;
	c->arg = arg;
	c->partition = partition;
	c->self = self;
	c->spans = *spans;
	c->seen = spans_last(spans).term;
	c->commit = c->told = commit;
	c->synced = last;
}

void copy_report(const struct copy *c, enum report_kind kind, struct place at,
		 const struct member *whom, uint32_t told_by)
{
	struct parcel_report r = {
		.head = {sizeof(r), PARCEL_REPORT, (uint16_t)c->partition, told_by, 0},
		.number = c->number,
		.commit = copy_is_frozen(c) ? c->frozen : c->commit,
		.kind = (uint32_t)kind,
		.at = at,
	};

	if (whom)
		r.member = *whom;
	c->ops->report(c->arg, c, &r);
}

void copy_tell_commit(struct copy *c)
{
	uint64_t to = copy_is_frozen(c) && c->frozen < c->commit ? c->frozen : c->commit;

	if (to <= c->told)
		return;
	c->told = to;
	c->ops->commit(c->arg, c, to);
}

void copy_depose(struct copy *c)
{
	if (c->role != COPY_PRIMARY)
		return;
	c->role = COPY_BACKUP;
	c->term = 0;
	c->match = 0;
	c->stopped = c->held = c->too_few = false;
	c->count = 0;
	c->ops->deposed(c->arg, c);
	copy_tell_commit(c);
}

void copy_hear(struct copy *c, uint64_t term)
{
	uint64_t seen = c->seen;

	if (term <= seen)
		return;
	c->seen = term;
	if (c->lead && term_epoch(term) > term_epoch(c->lead))
		c->lead = 0;
	if (c->role == COPY_PRIMARY && term_epoch(term) > term_epoch(c->term))
		copy_depose(c);
	if (term_epoch(term) > term_epoch(seen))
		copy_report(c, REPORT_SEEN, (struct place){term, 0}, NULL, 0);
}

/* ---- orders ---- */

/* Writes are refused while there are too few copies; replies that consult what only they have wait. */
static void few_set(struct copy *c, const struct parcel_order *o)
{
	bool few = o->flags & ORDER_TOO_FEW;

	if (few && !copy_is_frozen(c))
		c->frozen = o->frozen == ORDER_COMMIT_NOW ? c->commit : o->frozen;
	c->too_few = few;
}

static void view_order(struct copy *c, const struct parcel_order *o, uint64_t now_ms)
{
	uint32_t epoch = term_epoch(o->term);

	if (c->role == COPY_PRIMARY && epoch > term_epoch(c->term))
		copy_depose(c);
	if (c->lead && epoch > term_epoch(c->lead))
		c->lead = 0;
	if (o->term > c->seen)
		c->seen = o->term;
	if (c->role == COPY_NONE)
		c->role = COPY_BACKUP;
	c->may_append = o->may_append;
	c->keep = o->flags & ORDER_KEEP;
	if (c->lead && epoch == term_epoch(c->lead)) {
		few_set(c, o);
		primary_members(c, o, now_ms);
	}
	if (c->role != COPY_PRIMARY || epoch != term_epoch(c->term))
		return;
	few_set(c, o);
	primary_members(c, o, now_ms);
	copy_report(c, REPORT_COUNTED, (struct place){c->term, 0}, NULL, 0);
	primary_advance(c);
	copy_tell_commit(c);
}

static void lead_order(struct copy *c, const struct parcel_order *o, uint64_t now_ms)
{
	uint64_t last = spans_last(&c->spans).term;

	c->may_append = o->may_append;
	c->keep = o->flags & ORDER_KEEP;
	if (c->role == COPY_NONE)
		c->role = COPY_BACKUP;
	if (c->role == COPY_PRIMARY && c->term == o->term) {
		few_set(c, o);
		primary_members(c, o, now_ms);
		copy_report(c, REPORT_LEADING, (struct place){c->term, c->floor}, NULL, 0);
		return;
	}
	copy_damage_of(c, o->term);
	if (c->damaged || c->broken) {
		copy_report(c, REPORT_DAMAGED, copy_commit_place(c), &c->self, 0);
		return;
	}
	if (term_epoch(c->seen) > term_epoch(o->term) ||
	    (last >= o->term && RULE(LIFE) && RULE(NEWEPOCH))) {
		copy_report(c, REPORT_SEEN, (struct place){c->seen, 0}, NULL, 0);
		return;
	}
	copy_depose(c);
	if (o->term > c->seen)
		c->seen = o->term;
	c->lead = o->term;
	c->count = 0;
	few_set(c, o);
	primary_members(c, o, now_ms);
	primary_lead(c, now_ms);
}

static void hold_order(struct copy *c, uint32_t epoch)
{
	if (c->role == COPY_PRIMARY) {
		if (epoch != term_epoch(c->term))
			return;
		if (!copy_is_frozen(c))
			c->frozen = c->commit;
		c->held = true;
	}
	copy_report(c, REPORT_HELD, spans_last(&c->spans), NULL, 0);
}

/* Nothing is taken in, and nothing served. */
static void role_end(struct copy *c)
{
	copy_depose(c);
	c->role = COPY_NONE;
	c->lead = 0;
	c->may_append = false;
}

void copy_order(struct copy *c, const struct parcel_order *o, uint64_t now_ms)
{
	bool ours = c->role == COPY_PRIMARY && term_epoch(c->term) == term_epoch(o->term);

	check(o->count <= REPLICA_MEMBERS_MAX);
	c->number = o->number;
	if (o->flags & ORDER_ANEW) {
		role_end(c);
		ours = false;
	}
	switch ((enum order_kind)o->kind) {
	case ORDER_VIEW:
		view_order(c, o, now_ms);
		break;
	case ORDER_LEAD:
		lead_order(c, o, now_ms);
		break;
	case ORDER_STOP:
		if (!ours)
			break;
		c->stopped = true;
		c->told_drained = false;
		primary_drained(c);
		break;
	case ORDER_GO_ON:
		if (!ours)
			break;
		c->stopped = c->held = false;
		copy_tell_commit(c);
		break;
	case ORDER_HOLD:
		hold_order(c, term_epoch(o->term));
		break;
	case ORDER_FORGET:
		role_end(c);
		break;
	}
}

/* ---- its own log ---- */

void copy_synced(struct copy *c, uint64_t sequence)
{
	uint64_t last = spans_last(&c->spans).sequence;

	c->synced = sequence < last ? sequence : last;
	if (c->role == COPY_PRIMARY)
		primary_advance(c);
}

void copy_tick(struct copy *c, uint64_t now_ms)
{
	if (c->lead)
		primary_lead(c, now_ms);
	if (c->role == COPY_PRIMARY)
		primary_tick(c, now_ms);
}

/* ---- replies ---- */

/* The sequence that must be committed before the reply may be told. */
static uint64_t reply_needs(const struct copy *c, const struct copy_wait *w)
{
	uint64_t needs = w->observed;

	if (w->tells_state && !RULE(DIRTY))
		needs = 0;
	if (w->tells_state && RULE(FLOOR) && needs < c->floor)
		needs = c->floor;
	/*
	 * What the dead worker had shipped and this log lacks may yet be committed by a backup that
	 * takes over; when the new life's first record is committed, it cannot any more.
	 */
	if (w->begun_before && RULE(REFLOOR) && needs < c->floor)
		needs = c->floor;
	return needs;
}

static bool lease_holds(const struct copy *c, const struct copy_lease *lease, struct moment now)
{
	if (RULE(LEASEEPOCH) && lease->epoch != term_epoch(c->term))
		return false;
	return moment_holds(now, lease->until);
}

enum copy_verdict copy_judge(const struct copy *c, const struct copy_wait *w,
			     const struct copy_lease *lease, struct moment now)
{
	if (c->role != COPY_PRIMARY || c->term != w->term) {
		if (w->wrote || (RULE(STARTED) && w->begun_before))
			return COPY_TIMEOUT;
		return COPY_ELSEWHERE;
	}
	if (c->damaged || reply_needs(c, w) > (RULE(COPIES) ? c->commit : c->synced))
		return COPY_WAIT;
	if (copy_is_frozen(c) && w->clients > c->frozen)
		return COPY_WAIT;
	if (!w->tells_state || !RULE(LEASE) || (w->refuses && !RULE(REFUSAL)))
		return COPY_TELL;
	if (RULE(LATELOOK) && (now.boot_us < w->ran.boot_us || now.raw_us < w->ran.raw_us))
		return COPY_WAIT;
	return lease_holds(c, lease, now) ? COPY_TELL : COPY_WAIT;
}

bool copy_agrees(const struct copy *c)
{
	uint64_t last = spans_last(&c->spans).sequence;

	if (c->commit > last || c->synced > last || c->told > c->commit)
		return false;
	if (spans_last(&c->spans).term > c->seen)
		return false;
	if (c->role != COPY_PRIMARY)
		return c->match <= last;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->members[i].acked > last || c->members[i].next > last)
			return false;
	return c->floor && c->floor <= last && spans_last(&c->spans).term == c->term;
}
