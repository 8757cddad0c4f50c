/* What the agent asks by itself: the prefix it follows, and the key that says that it is alive. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/value.h"
#include "common/clock.h"

#define FOLLOW_MS     250u
#define LEASE_SECONDS 10u
#define LIVE_MS       3000u

/* ---- follow ---- */

static void followed(struct call *c, const struct etcd_reply *r, const char *why)
{
	struct agent *a = c->arg;
	uint64_t now = clock_ms();

	(void)why;
	a->follow.next_ms = now + FOLLOW_MS;
	if (a->follow.changed)
		a->follow.next_ms = 0;
	if (!r || a->follow.changed)
		return; /* the state says it */
	tell_items(a,
		   &(struct agent_message){.kind = AGENT_MESSAGE_CHANGED,
					   .revision = r->revision,
					   .age_ms = now - c->asked_ms},
		   r);
	a->follow.since = r->revision;
}

void follow_set(struct agent *a, const struct agent_message *m)
{
	free(a->follow.prefix);
	a->follow.prefix = strndup(m->key.p, m->key.n);
	a->follow.since = m->revision;
	a->follow.changed = true;
	a->follow.next_ms = 0;
}

static void follow_tick(struct agent *a, uint64_t now_ms)
{
	struct follow *f = &a->follow;

	if (!f->prefix || f->call.path || now_ms < f->next_ms)
		return;
	f->changed = false;
	f->call.of = &a->calls;
	f->call.ended = followed;
	f->call.arg = a;
	call_start(&f->call, ETCD_RANGE, etcd_list(span_of(f->prefix), f->since), now_ms);
}

/* ---- live ---- */

static void granted(struct call *c, const struct etcd_reply *r, const char *why)
{
	struct live *l = c->arg;

	(void)why;
	l->lease = r ? r->lease : 0;
	l->written = false;
	l->next_ms = clock_ms() + (l->lease ? 0 : LIVE_MS);
}

static void written(struct call *c, const struct etcd_reply *r, const char *why)
{
	struct live *l = c->arg;

	(void)why;
	l->written = r && !l->changed;
	if (!r)
		l->lease = 0; /* it may be the lease that is gone */
	l->next_ms = clock_ms() + (r && l->changed ? 0 : LIVE_MS);
}

static void kept(struct call *c, const struct etcd_reply *r, const char *why)
{
	struct live *l = c->arg;

	(void)why;
	if (r && !r->ttl)
		l->lease = 0;
	l->next_ms = clock_ms() + (l->lease ? LIVE_MS : 0);
}

void live_set(struct agent *a, const struct agent_message *m)
{
	struct live *l = &a->live;

	free(l->key);
	free(l->value);
	l->key = strndup(m->key.p, m->key.n);
	l->value = value_to_json(m->value, &l->value_n);
	l->written = false;
	l->changed = true;
	l->next_ms = 0;
}

static void put(struct live *l, uint64_t now_ms)
{
	l->changed = false;
	call_start(&l->call, ETCD_PUT,
		   etcd_put(span_of(l->key), (struct span){l->value, l->value_n}, l->lease),
		   now_ms);
}

static void live_tick(struct agent *a, uint64_t now_ms)
{
	struct live *l = &a->live;

	if (!l->key || !l->value || l->call.path || now_ms < l->next_ms)
		return;
	l->call.of = &a->calls;
	l->call.arg = l;
	l->call.unordered = true; /* of leases, each member answers as it sees it */
	l->call.ended = !l->lease ? granted : l->written ? kept : written;
	if (!l->lease)
		call_start(&l->call, ETCD_GRANT, etcd_grant(LEASE_SECONDS), now_ms);
	else if (l->written)
		call_start(&l->call, ETCD_KEEPALIVE, etcd_keepalive(l->lease), now_ms);
	else
		put(l, now_ms);
}

uint64_t own_tick(struct agent *a, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	if (!a->begun)
		return next;
	follow_tick(a, now_ms);
	live_tick(a, now_ms);
	if (a->follow.prefix && !a->follow.call.path)
		next = a->follow.next_ms;
	if (a->live.key && !a->live.call.path && a->live.next_ms < next)
		next = a->live.next_ms;
	return next;
}

void own_fini(struct agent *a)
{
	free(a->follow.call.body);
	free(a->live.call.body);
	free(a->follow.prefix);
	free(a->live.key);
	free(a->live.value);
}
