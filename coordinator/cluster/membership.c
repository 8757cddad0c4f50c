/* A node's membership: its beginning, its rounds, its end. */
#include "coordinator/cluster/membership.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/cluster/membership_impl.h"

#define TICK_MS   25u
#define PAUSED_MS 500u /* between two looks: this process stood still */

static uint64_t read_us(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void moments_read(struct membership *m)
{
	m->now = (struct moment){read_us(CLOCK_BOOTTIME), read_us(CLOCK_MONOTONIC_RAW)};
}

void key_of(const struct membership *m, const char *what, char *out, size_t size)
{
	(void)snprintf(out, size, "%s%s", m->prefix, what);
}

/* They have their roles from a clerk of which nothing is known: they are to begin anew, too. */
static void workers_end(const struct membership *m)
{
	for (uint32_t i = 0; i < m->parts.supervisor->count; i++)
		if (m->parts.supervisor->worker[i].pid > 0)
			(void)kill(m->parts.supervisor->worker[i].pid, SIGKILL);
}

int membership_new(const struct membership_parts *parts, struct membership **ret)
{
	const struct conf *conf = parts->node->conf;
	struct membership *m = calloc(1, sizeof(*m));
	int r;

	*ret = m;
	if (!m)
		return -ENOMEM;
	m->parts = *parts;
	m->ops = (struct cluster_ops){create_begin, figures_status, drain_begin, m};
	(void)snprintf(m->prefix, sizeof(m->prefix), "/pail/%.63s/",
		       conf_text(conf, CONF_cluster_name));
	if (*parts->node->store)
		check(views_id_read((struct span){parts->node->store, 16}, &m->store));
	check(m->store || is_door(m));
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
		m->of_number[i] = NODE_NONE;
		buf_init(&m->out[i].appends);
		buf_init(&m->out[i].acks);
	}
	check(parts->supervisor->count <= sizeof(m->line) / sizeof(m->line[0]));
	moments_read(m);
	actions_open(m);
	r = memory_read(m);
	m->kept_etcd = m->etcd;
	if (r == 0 && parts->resumed && membership_resume(m, parts->left_fd) < 0)
		workers_end(m);
	if (r == 0)
		r = agreement_open(m);
	if (r < 0)
		membership_free(ret);
	return r;
}

void membership_free(struct membership **mp)
{
	struct membership *m = *mp;

	if (!m)
		return;
	notes_tell(m, UINT64_MAX);
	if (m->parts.security)
		security_find(m->parts.security, NULL);
	agent_free(&m->agent);
	clerk_free(&m->clerk);
	for (uint32_t i = 0; i < sizeof(m->line) / sizeof(m->line[0]); i++)
		orders_drop(m, i);
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
		buf_fini(&m->out[i].appends);
		buf_fini(&m->out[i].acks);
	}
	free(m->table);
	free(m->asked);
	free(m->asked_known);
	free(m->creation.table);
	free(m);
	*mp = NULL;
}

const struct cluster_ops *membership_ops(struct membership *m)
{
	return &m->ops;
}

/* ---- rounds ---- */

void membership_fds(const struct membership *m, int ret[MEMBERSHIP_FDS])
{
	ret[0] = agent_fd(m->agent);
	ret[1] = agent_pidfd(m->agent);
}

void membership_look(struct membership *m)
{
	moments_read(m);
	agent_look(m->agent, m->parts.node->now_ms);
}

/*
 * A worker that gets nowhere: what it has submitted is more than what is on disk, for long, or it does
 * not beat.  Time during which this process did not look is not held against it.
 */
static void syncs_look(struct membership *m)
{
	/* A call may take as long as it may. */
	uint64_t call_us = conf_number(m->parts.node->conf, CONF_functions_time_ms) * 1000u;
	bool paused = m->now.boot_us - m->looked_us > PAUSED_MS * 1000u;

	m->looked_us = m->now.boot_us;
	for (uint32_t i = 0; i < m->parts.supervisor->count; i++) {
		struct worker_status *s = m->parts.supervisor->worker[i].queue.segment->status;
		struct worker_line *l = &m->line[i];
		uint64_t submitted = status_get(&s->submitted);
		uint64_t synced = status_get(&s->synced);
		uint64_t beat = status_get(&s->heartbeat_ms);

		if (!l->up)
			continue;
		if (paused || synced != l->synced || submitted <= synced)
			l->synced_at = m->now;
		if (paused || beat != l->beat)
			l->beat_at =
				(struct moment){m->now.boot_us + call_us, m->now.raw_us + call_us};
		l->synced = synced;
		l->beat = beat;
		clerk_worker_sync(m->clerk, i,
				  l->beat_at.boot_us < l->synced_at.boot_us ? l->beat_at
									    : l->synced_at);
	}
}

uint64_t membership_tick(struct membership *m)
{
	uint64_t now_ms = m->parts.node->now_ms;
	uint64_t next = agent_tick(m->agent, now_ms);

	moments_read(m);
	agreement_tick(m);
	create_tick(m);
	if (m->clerk) {
		for (uint32_t i = 0; i < m->parts.supervisor->count; i++)
			orders_flush(m, i);
		syncs_look(m);
		clerk_wall(m->clerk, clock_wall_ms(), m->now);
		clerk_tick(m->clerk, m->now);
		drain_tick(m);
		membership_flush(m);
	}
	memory_tick(m);
	notes_tell(m, m->now.boot_us / 1000);
	return next < now_ms + TICK_MS ? next : now_ms + TICK_MS;
}

/* ---- workers ---- */

static void worker_tell(struct membership *m, struct worker *w)
{
	const struct segment *g = w->queue.segment;
	uint32_t workers = m->parts.supervisor->count;
	uint64_t seen[4096];
	uint32_t n = 0;

	for (uint32_t p = w->id; p < g->header->leases; p += workers)
		seen[n++] = atomic_load_explicit(&g->lease[p].log_term, memory_order_relaxed);
	orders_drop(m, w->id);
	clerk_worker_up(m->clerk, w->id,
			atomic_load_explicit(&g->status->life, memory_order_relaxed), seen, m->now);
	/* Behind these orders it serves; if they wait for room, orders_flush says so. */
	if (!m->line[w->id].first)
		arrive_complete(&w->queue);
}

void membership_worker_up(struct membership *m, struct worker *w)
{
	moments_read(m);
	m->line[w->id].up = true;
	m->line[w->id].synced_at = m->now;
	m->line[w->id].beat = 0; /* it is looked at anew */
	if (m->clerk)
		worker_tell(m, w);
	else /* it has no role, and serves the node's own buckets at once */
		arrive_complete(&w->queue);
}

void membership_worker_down(struct membership *m, struct worker *w)
{
	moments_read(m);
	m->line[w->id].up = false;
	orders_drop(m, w->id);
	if (m->clerk)
		clerk_worker_down(m->clerk, w->id, m->now);
}

void membership_parcels(struct membership *m, const char *bytes, uint32_t n)
{
	moments_read(m);
	for (const char *p = bytes; p < bytes + n;) {
		const struct parcel *x = (const struct parcel *)(const void *)p;

		actions_parcel(m, x);
		p += x->size;
	}
}

/* ---- another program ---- */

const char *membership_hinders(const struct membership *m)
{
	return m->creation.step != CREATE_NONE ? "a cluster is being created"
	       : m->drain_asked                ? "what it leads is being handed over"
					       : NULL;
}

/* ---- where ---- */

enum membership_serves membership_serves(const struct membership *m, uint32_t partition,
					 struct peer **ret_peer)
{
	uint32_t number;

	if (!m->clerk) /* before all has been read, nobody can say that it is not so */
		return !m->listed || (m->config.id && takes_part(m)) ? SERVES_NOBODY : SERVES_NEVER;
	switch (clerk_serves(m->clerk, partition, &number)) {
	case CLERK_HERE:
		return SERVES_HERE;
	case CLERK_THERE:
		if (m->of_number[number] == NODE_NONE)
			return SERVES_NOBODY;
		*ret_peer = peers_named(m->parts.peers, m->node[m->of_number[number]].name);
		return *ret_peer && (*ret_peer)->state == PEER_UP ? SERVES_PEER : SERVES_NOBODY;
	default:
		return SERVES_NOBODY;
	}
}

bool membership_taken_over(const struct membership *m, uint32_t partition, const char *name)
{
	const struct view *v = m->clerk ? clerk_view_of(m->clerk, partition) : NULL;
	uint32_t i = v ? m->of_number[v->primary.node] : NODE_NONE;

	return i != NODE_NONE && !v->released && strcmp(m->node[i].name, name) != 0;
}

void membership_explain(const struct membership *m, char *out, size_t size)
{
	const char *name = conf_text(m->parts.node->conf, CONF_cluster_name);
	struct agent_status a;

	agent_status(m->agent, &a);
	if (!m->listed)
		(void)snprintf(out, size, "the agreement has not been read yet: %s: %.150s",
			       agent_state_name(a.state), a.text);
	else if (m->config_wrong)
		(void)snprintf(out, size, "the agreement's config of the cluster is wrong: %s",
			       m->config_wrong);
	else if (!m->config.id)
		(void)snprintf(
			out, size,
			"the cluster \"%.63s\" has not been created yet: pail cluster create",
			name);
	else if (m->unfit)
		(void)snprintf(out, size,
			       "the cluster \"%.63s\" has %u partitions, and this node%s "
			       "%u: it cannot take part",
			       name, m->config.partitions, m->store ? "'s folder" : "",
			       m->parts.node->partitions);
	else if (is_door(m))
		(void)snprintf(out, size,
			       "this node is about to be a door to the cluster \"%.63s\"", name);
	else
		(void)snprintf(out, size, "this node is not one of the cluster \"%.63s\"", name);
}

void membership_known(const struct membership *m, uint32_t partition, struct peer_place *ret)
{
	const struct view *v = m->clerk ? clerk_view_of(m->clerk, partition) : NULL;

	*ret = (struct peer_place){.partition = partition};
	if (!v)
		return;
	ret->epoch = (uint32_t)v->epoch;
	ret->revision = v->revision;
	ret->store = v->primary.store;
	ret->node = v->primary.node;
}

void membership_place(const struct membership *m, uint32_t partition, struct cluster_place *ret)
{
	const struct view *v = m->clerk ? clerk_view_of(m->clerk, partition) : NULL;
	uint32_t i;

	*ret = (struct cluster_place){.partition = partition};
	if (!v)
		return;
	ret->epoch = v->epoch;
	for (i = 0; i < v->isr_count && i < CLUSTER_COPIES_MAX; i++) {
		uint32_t k = m->of_number[v->isr[i].node];
		const char *name = k == NODE_NONE ? "?" : m->node[k].name;

		if (member_is(v->isr[i], v->primary) && ret->copies) {
			ret->copy[ret->copies++] = ret->copy[0];
			ret->copy[0] = name;
		} else {
			ret->copy[ret->copies++] = name;
		}
	}
}
