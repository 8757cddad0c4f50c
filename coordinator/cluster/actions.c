/* What the clerk has done, and what comes from other nodes for it and for workers. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/cluster/membership_impl.h"

#define GATHERED_MAX (8u << 20) /* bytes for one node in one round: more is sent again later */
#define FRAME_TARGET (256u << 10)

static struct queue *queue_of(struct membership *m, uint32_t partition)
{
	return &m->parts.supervisor->worker[partition % m->parts.supervisor->count].queue;
}

static const char *name_of(const struct membership *m, uint32_t node)
{
	uint32_t i = node < REPLICA_NODES_MAX ? m->of_number[node] : NODE_NONE;

	return i == NODE_NONE ? NULL : m->node[i].name;
}

/* ---- beats and grants ---- */

_Static_assert(sizeof(struct claim) == sizeof(struct peer_claim), "one form");

static char *claims_write(char *p, const struct claim *x, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p = peer_message_claim(p,
				       &(struct peer_claim){x[i].partition, x[i].flags, x[i].term});
	return p;
}

static void beat(void *arg, uint32_t node, const struct beat *b)
{
	struct membership *m = arg;
	const char *name = name_of(m, node);
	struct peer *p = name ? peers_named(m->parts.logs, name) : NULL;
	const struct peer_message h = {.kind = PEER_MESSAGE_BEAT,
				       .incarnation = b->incarnation,
				       .store = b->store,
				       .round = b->round,
				       .revision = b->revision,
				       .wall_ms = b->wall_ms};
	char *data;
	char *end;

	if (!p)
		return;
	data = malloc(PEER_CLUSTER_ROOM + (size_t)b->count * PEER_CLAIM_BYTES);
	if (!data)
		return; /* the next one may get through */
	end = claims_write(peer_message_beat(data, &h, b->count), b->claims, b->count);
	(void)peer_send(m->parts.logs, p, data, (size_t)(end - data));
	free(data);
}

static void grant(void *arg, uint32_t node, const struct grant *g)
{
	struct membership *m = arg;
	const char *name = name_of(m, node);
	const struct peer_message h = {.kind = PEER_MESSAGE_GRANT,
				       .incarnation = g->incarnation,
				       .store = g->store,
				       .round = g->round,
				       .revision = g->revision,
				       .flags = g->flags,
				       .wall_ms = g->wall_ms};
	char *p = name ? peer_server_room(m->parts.peer_server, name,
					  PEER_CLUSTER_ROOM + (size_t)g->count * PEER_CLAIM_BYTES)
		       : NULL;

	if (!p)
		return;
	p = claims_write(peer_message_beat(p, &h, g->count), g->refused, g->count);
	peer_server_told(m->parts.peer_server, name, p);
}

static struct claim *claims_read(const struct peer_message *h, struct claim *out, uint32_t most,
				 uint32_t *ret_count)
{
	uint32_t n = peer_message_claims(h);

	*ret_count = n < most ? n : most;
	for (uint32_t i = 0; i < *ret_count; i++) {
		struct peer_claim x = peer_message_claim_at(h->bytes, i);

		out[i] = (struct claim){x.partition, x.flags, x.term};
	}
	return out;
}

static void beat_take(struct membership *m, uint32_t node, const struct peer_message *h)
{
	static uint64_t room[(sizeof(struct beat) + PEER_CLAIMS_MAX * sizeof(struct claim)) / 8];
	struct beat *x = (struct beat *)(void *)room;

	*x = (struct beat){.incarnation = h->incarnation,
			   .store = h->store,
			   .round = h->round,
			   .revision = h->revision,
			   .wall_ms = h->wall_ms};
	(void)claims_read(h, x->claims, PEER_CLAIMS_MAX, &x->count);
	clerk_beat(m->clerk, node, x, m->now);
}

/*
 * It refuses what this node claims though it knows nothing newer: it may not reach the agreement, and
 * is told what stands there.
 */
static void view_tell(struct membership *m, uint32_t node, const struct claim *refused)
{
	const struct view *v = clerk_view_of(m->clerk, refused->partition);
	struct parcel_view x = {
		.head = {sizeof(x), PARCEL_VIEW, (uint16_t)refused->partition, node, 0}
        };

	if (!v || v->primary.node != m->number || term_epoch(refused->term) > v->epoch)
		return;
	x.from = v->primary;
	x.revision = v->revision;
	x.by = v->by;
	x.epoch = v->epoch;
	x.released = v->released;
	x.frozen = v->frozen;
	x.frozen_commit = v->frozen_commit;
	x.count = v->isr_count;
	memcpy(x.isr, v->isr, sizeof(x.isr));
	actions_parcel(m, &x.head);
}

static void grant_take(struct membership *m, uint32_t node, const struct peer_message *h)
{
	static uint64_t room[(sizeof(struct grant) + PEER_CLAIMS_MAX * sizeof(struct claim)) / 8];
	struct grant *x = (struct grant *)(void *)room;

	*x = (struct grant){.incarnation = h->incarnation,
			    .store = h->store,
			    .round = h->round,
			    .revision = h->revision,
			    .wall_ms = h->wall_ms,
			    .flags = (uint32_t)h->flags};
	(void)claims_read(h, x->refused, PEER_CLAIMS_MAX, &x->count);
	for (uint32_t i = 0; i < x->count; i++)
		if (x->refused[i].partition < m->config.partitions)
			view_tell(m, node, &x->refused[i]);
	clerk_grant(m->clerk, node, x, m->now);
}

/* ---- parcels ---- */

/* The least of each kind that goes between nodes; behind the head is who sends it. */
static const uint32_t parcel_size[PARCEL_KIND_END] = {
	[PARCEL_APPEND] = sizeof(struct parcel_append),
	[PARCEL_ACK] = sizeof(struct parcel_ack),
	[PARCEL_PIECE] = sizeof(struct parcel_piece),
	[PARCEL_PIECED] = sizeof(struct parcel_pieced),
	[PARCEL_VIEW] = sizeof(struct parcel_view),
};
_Static_assert(offsetof(struct parcel_append, from) == sizeof(struct parcel) &&
		       offsetof(struct parcel_ack, from) == sizeof(struct parcel) &&
		       offsetof(struct parcel_piece, from) == sizeof(struct parcel) &&
		       offsetof(struct parcel_pieced, from) == sizeof(struct parcel) &&
		       offsetof(struct parcel_view, from) == sizeof(struct parcel),
	       "one place in all of them");

/* It is news, like a change that was noticed, and nothing rests on it. */
static void view_arrive(struct membership *m, const struct parcel_view *x)
{
	struct view v = {.revision = x->revision,
			 .epoch = x->epoch,
			 .isr_count = (uint32_t)x->count,
			 .primary = x->from,
			 .frozen = x->frozen,
			 .frozen_commit = x->frozen_commit,
			 .by = x->by,
			 .released = x->released != 0};

	if (x->count > REPLICA_MEMBERS_MAX || !x->revision)
		return;
	memcpy(v.isr, x->isr, sizeof(v.isr));
	for (uint32_t i = 0; i < v.isr_count; i++)
		if (!v.isr[i].node || v.isr[i].node >= REPLICA_NODES_MAX)
			return;
	clerk_view(m->clerk, x->head.partition, &v, false, 0, 0, m->now);
}

/* One from another node, for the worker that has the partition. */
static void parcel_arrive(struct membership *m, uint32_t node, const struct parcel *x)
{
	uint32_t w;

	if (x->kind >= PARCEL_KIND_END || !parcel_size[x->kind] || x->size < parcel_size[x->kind] ||
	    x->partition >= m->config.partitions)
		return;
	if (x->kind == PARCEL_VIEW) {
		if (((const struct parcel_view *)(const void *)x)->from.node == node)
			view_arrive(m, (const struct parcel_view *)(const void *)x);
		return;
	}
	if (is_door(m))
		return; /* it has no copy that this could be for */
	w = x->partition % m->parts.supervisor->count;
	/* Behind orders that wait nothing may overtake; what is dropped is sent again. */
	if (x->node != m->number || !x->size || !m->line[w].up || m->line[w].first)
		return;
	if (((const struct member *)(const void *)(x + 1))->node == node)
		(void)arrive_push(queue_of(m, x->partition), x, x->size);
}

/* The bytes lie anywhere: workers want them aligned. */
static void parcels_take(struct membership *m, uint32_t node, struct span bytes)
{
	static struct buf room;
	const char *p;

	room.len = 0;
	buf_add(&room, bytes.p, bytes.n);
	if (room.failed) {
		room.failed = false;
		return;
	}
	for (p = room.data; p < room.data + room.len;) {
		const struct parcel *x = (const struct parcel *)(const void *)p;

		parcel_arrive(m, node, x);
		p += x->size;
	}
}

static void message_take(struct membership *m, struct span name, const struct peer_message *h)
{
	const struct cluster_node *x = node_named(m, name);

	if (!x || !x->number || !m->clerk)
		return;
	moments_read(m);
	switch (h->kind) {
	case PEER_MESSAGE_BEAT:
		beat_take(m, x->number, h);
		break;
	case PEER_MESSAGE_GRANT:
		grant_take(m, x->number, h);
		break;
	case PEER_MESSAGE_APPEND:
	case PEER_MESSAGE_ACKS:
	case PEER_MESSAGE_NACKS:
		parcels_take(m, x->number, h->bytes);
		break;
	default:
		break;
	}
}

static void from_client(void *arg, const char *name, const struct peer_message *h)
{
	message_take(arg, span_of(name), h);
}

static void from_server(void *arg, struct peer *p, const struct peer_message *h)
{
	message_take(arg, span_of(p->name), h);
}

static bool knows(void *arg, struct span name)
{
	return node_named(arg, name) != NULL;
}

/* ---- keys ---- */

static bool is_peer(void *arg, struct span key, struct span name)
{
	const struct cluster_node *x = node_named(arg, name);

	return x && x->key[0] && span_equal(key, span_of(x->key));
}

static bool is_node(void *arg, struct span key)
{
	const struct membership *m = arg;

	for (uint32_t i = 0; i < m->nodes; i++)
		if (m->node[i].key[0] && span_equal(key, span_of(m->node[i].key)))
			return true;
	return false;
}

void actions_open(struct membership *m)
{
	m->found = (struct security_found){is_peer, is_node, m};
	if (m->parts.security)
		security_find(m->parts.security, &m->found);
	m->copies_events = (struct peer_copies){knows, from_client, m};
	peer_server_copies(m->parts.peer_server, &m->copies_events);
	m->parts.logs->on_message = from_server;
	m->parts.logs->arg = m;
}

void actions_parcel(struct membership *m, const struct parcel *x)
{
	struct outgoing_parcels *out = &m->out[x->node % REPLICA_NODES_MAX];
	bool answers = x->kind == PARCEL_ACK || x->kind == PARCEL_PIECED;
	struct buf *b = answers ? &out->acks : &out->appends;

	if (x->kind == PARCEL_REPORT) {
		if (m->clerk)
			clerk_report(m->clerk, (const struct parcel_report *)(const void *)x,
				     m->now);
		return;
	}
	if (x->kind == PARCEL_LAG) {
		figures_lag(m, x->node, ((const struct parcel_lag *)(const void *)x)->ms);
		return;
	}
	if (b->len + x->size > GATHERED_MAX && b->len)
		return; /* nothing of it is lost: it is sent again */
	buf_add(b, x, x->size);
	b->failed = false;
	if (b->len >= FRAME_TARGET)
		membership_flush(m);
}

static void appends_send(struct membership *m, const char *name, struct buf *b)
{
	struct peer *p = peers_named(m->parts.logs, name);
	char *data = p ? malloc(PEER_CLUSTER_ROOM + b->len) : NULL;
	char *at;

	if (!data)
		return;
	at = peer_message_parcels(data, PEER_MESSAGE_APPEND, 0, b->len);
	memcpy(at, b->data, b->len);
	(void)peer_send(m->parts.logs, p, data, (size_t)(at - data) + b->len);
	free(data);
}

static void acks_send(struct membership *m, const char *name, struct buf *b)
{
	char *p = peer_server_room(m->parts.peer_server, name, PEER_CLUSTER_ROOM + b->len);

	if (!p)
		return;
	p = peer_message_parcels(p, PEER_MESSAGE_ACKS, 0, b->len);
	memcpy(p, b->data, b->len);
	peer_server_told(m->parts.peer_server, name, p + b->len);
}

void membership_flush(struct membership *m)
{
	for (uint32_t i = 0; i < m->nodes; i++) {
		struct outgoing_parcels *out = &m->out[m->node[i].number];

		if (out->appends.len)
			appends_send(m, m->node[i].name, &out->appends);
		if (out->acks.len)
			acks_send(m, m->node[i].name, &out->acks);
		out->appends.len = 0;
		out->acks.len = 0;
	}
}

/* ---- the agreement ---- */

static void part_key(const struct membership *m, uint32_t partition, char *out, size_t size)
{
	char what[16];

	(void)snprintf(what, sizeof(what), "part/%04x", partition);
	key_of(m, what, out, size);
}

/*
 * Answers do not say which of several questions for one partition they are to: the least that was
 * known counts for all of them.
 */
static void view_asked(struct membership *m, uint32_t partition, uint64_t known)
{
	if (!m->asked[partition]++ || known < m->asked_known[partition])
		m->asked_known[partition] = known;
}

static void get(void *arg, uint32_t partition, uint64_t known)
{
	struct membership *m = arg;
	char key[PREFIX_MAX + 16];

	part_key(m, partition, key, sizeof(key));
	if (agent_get(m->agent, tag_make(ASKED_GET, partition), key) == 0) /* else: asked again */
		view_asked(m, partition, known);
}

static void cas(void *arg, uint32_t partition, uint64_t revision, uint64_t known,
		const struct view *v)
{
	struct membership *m = arg;
	char value[VIEWS_VALUE_MAX];
	char *end = views_view_write(value, v);
	char key[PREFIX_MAX + 16];

	part_key(m, partition, key, sizeof(key));
	if (agent_cas(m->agent, tag_make(ASKED_CAS, partition), key, revision,
		      (struct span){NULL, 0}, (struct span){value, (size_t)(end - value)}) == 0)
		view_asked(m, partition, known);
}

/* ---- orders ---- */

void orders_drop(struct membership *m, uint32_t worker)
{
	struct worker_line *l = &m->line[worker];
	struct waiting_order *next;

	for (struct waiting_order *o = l->first; o; o = next) {
		next = o->next;
		free(o);
	}
	l->first = l->last = NULL;
}

void orders_flush(struct membership *m, uint32_t worker)
{
	struct worker_line *l = &m->line[worker];
	struct queue *q = &m->parts.supervisor->worker[worker].queue;
	struct waiting_order *o;

	if (!l->first || !l->up)
		return;
	while ((o = l->first) && arrive_push(q, &o->order, o->order.head.size) == 0) {
		l->first = o->next;
		free(o);
	}
	if (l->first)
		return;
	l->last = NULL;
	arrive_complete(q);
}

void order_wait(struct worker_line *l, struct waiting_order *x)
{
	if (l->last)
		l->last->next = x;
	else
		l->first = x;
	l->last = x;
}

static void order(void *arg, uint32_t partition, struct parcel_order *o)
{
	struct membership *m = arg;
	struct worker_line *l = &m->line[partition % m->parts.supervisor->count];
	struct waiting_order *x;

	if (!l->first && arrive_push(queue_of(m, partition), o, o->head.size) == 0)
		return;
	x = malloc(sizeof(*x));
	check(x); /* an order that is lost would be worse than the end */
	x->next = NULL;
	x->order = *o;
	order_wait(l, x);
}

static void lease(void *arg, uint32_t partition, const struct copy_lease *l)
{
	struct membership *m = arg;

	lease_write(&queue_of(m, partition)->segment->lease[partition],
		    &(struct lease){l->epoch, l->until.boot_us, l->until.raw_us});
	queue_of(m, partition)->pushed = true; /* replies may have waited for it */
}

static void changed(void *arg, uint32_t partition)
{
	struct membership *m = arg;

	if (m->parts.changed)
		m->parts.changed(m->parts.arg, partition);
}

static void note(void *arg, uint32_t partition, const char *text)
{
	struct membership *m = arg;

	if (notes_add(&m->notes, partition, text, m->now.boot_us / 1000))
		return;
	notes_tell(m, UINT64_MAX);
	check(notes_add(&m->notes, partition, text, m->now.boot_us / 1000));
}

void notes_tell(struct membership *m, uint64_t now_ms)
{
	char line[NOTES_LINE_MAX];

	while (notes_take(&m->notes, now_ms, line))
		figures_event(m->parts.node->figures, EVENT_OF_CLUSTER, EVENT_INFO, "partitions",
			      "cluster %s: %s", conf_text(m->parts.node->conf, CONF_cluster_name),
			      line);
}

static uint64_t token(void *arg)
{
	uint64_t t;

	(void)arg;
	check(getrandom(&t, sizeof(t), 0) == sizeof(t));
	return t;
}

const struct clerk_ops actions = {beat, grant, get, cas, order, lease, changed, note, token};
