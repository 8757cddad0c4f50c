/*
 * A question for all partitions of the cluster.  Each node is asked for those that it serves, as far
 * as is known here, and says which of them its list has; it lists only what it may tell under its
 * lease, as with any read.  What is missing from a list, or was with a node that does not answer any
 * more, is asked for again, where it is served by then, until all partitions are there, each in one
 * list, or the time is over.  So a list is whole however partitions move meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "coordinator/cluster/cluster.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/fanout_impl.h"
#include "coordinator/peers/client.h"

#define AGAIN_MS 50u /* between looks at what nobody serves, or questions for the same partitions */
#define SOON_MS  10u /* after a change: others follow it */

struct ask {
	struct peer *peer; /* NULL: a worker here */
	char *set;         /* of partitions; NULL: it is over */
};

struct covering {
	bool here; /* this node's workers only, once */
	uint32_t partitions;
	uint32_t bytes; /* of a set of them */
	uint32_t lacking;
	uint64_t due_ms;
	uint64_t again_ms;
	struct ask *ask;
	uint32_t asks;
	uint32_t room;
	char names[CODEC_SET_BYTES]; /* first bytes */
	char *done;                  /* partitions that are in some list */
	char todo[];                 /* that are to be asked for */
};

/* Who is to be asked for which. */
struct group {
	struct worker *worker;
	struct peer *peer;
	char *set;
};

struct groups {
	struct group *group;
	uint32_t count;
	bool failed;
};

void covering_free(struct covering **cp)
{
	if (!*cp)
		return;
	for (uint32_t i = 0; i < (*cp)->asks; i++)
		free((*cp)->ask[i].set);
	free((*cp)->ask);
	free(*cp);
	*cp = NULL;
}

bool covering_lacks(const struct fanout *f)
{
	return f->covering && f->covering->lacking;
}

struct span covering_told(const struct fanout *f)
{
	if (!f->covering || !(f->options.given & OPT_PARTITIONS))
		return (struct span){NULL, 0};
	return (struct span){f->covering->done, f->covering->bytes};
}

bool covering_open(const struct fanout *f, uint16_t ask)
{
	return f->covering && ask < f->covering->asks && f->covering->ask[ask].set;
}

/* ---- who serves what ---- */

static void group_add(struct groups *g, uint32_t bytes, struct worker *w, struct peer *p,
		      uint32_t partition)
{
	struct group *grown;
	uint32_t i = 0;

	while (i < g->count && (g->group[i].worker != w || g->group[i].peer != p))
		i++;
	if (i == g->count) {
		grown = realloc(g->group, (g->count + 1) * sizeof(*grown));
		g->failed |= !grown;
		if (!grown)
			return;
		g->group = grown;
		g->group[i] = (struct group){w, p, calloc(1, bytes)};
		g->failed |= !g->group[i].set;
		if (!g->group[i].set)
			return;
		g->count++;
	}
	set_add(g->group[i].set, partition);
}

/* Whoever serves what is to be asked for.  False: nobody here knows, or ever will. */
static bool groups_make(struct front *front, struct covering *c, struct groups *g)
{
	uint32_t workers = front->supervisor->count;
	struct peer *peer;

	for (uint32_t i = 0; i < c->partitions && !g->failed; i++) {
		if (!set_has(c->todo, i))
			continue;
		switch (membership_serves(front->membership, i, &peer)) {
		case SERVES_HERE:
			group_add(g, c->bytes, &front->supervisor->worker[i % workers], NULL, i);
			break;
		case SERVES_PEER:
			if (!c->here)
				group_add(g, c->bytes, NULL, peer, i);
			break;
		case SERVES_NEVER:
			return false;
		default:
			break;
		}
	}
	return true;
}

/* ---- asking ---- */

static void lack(struct covering *c, uint32_t partition)
{
	if (c->here || set_has(c->todo, partition))
		return; /* whoever has asked will see */
	set_add(c->todo, partition);
	c->lacking++;
}

static void lack_set(struct covering *c, const char *set)
{
	for (uint32_t i = 0; i < c->partitions; i++)
		if (set_has(set, i))
			lack(c, i);
}

static void ask_close(struct fanout *f, struct ask *a)
{
	free(a->set);
	a->set = NULL;
	f->left--;
}

/* Its number, the set being its own from now on; or ASK_NONE. */
static uint16_t ask_new(struct fanout *f, struct peer *p, char *set)
{
	struct covering *c = f->covering;
	uint32_t room = c->room ? 2 * c->room : 8;
	struct ask *grown;

	if (c->asks + 1 == ASK_NONE)
		return ASK_NONE;
	if (c->asks == c->room) {
		grown = realloc(c->ask, room * sizeof(*grown));
		if (!grown)
			return ASK_NONE;
		c->ask = grown;
		c->room = room;
	}
	c->ask[c->asks] = (struct ask){p, set};
	f->left++;
	return (uint16_t)c->asks++;
}

static void taken(struct covering *c, const char *set)
{
	for (uint32_t i = 0; i < c->partitions; i++)
		if (set_has(set, i)) {
			check(set_has(c->todo, i) && c->lacking);
			set_remove(c->todo, i);
			c->lacking--;
		}
}

static void ask_group(struct front *front, struct message *m, struct fanout *f, struct group *g)
{
	struct covering *c = f->covering;
	struct reply_to self = fanout_self(front, f);
	uint16_t ask = ask_new(f, g->peer, g->set);
	struct item *q;
	int r;

	if (ask == ASK_NONE) {
		fanout_fail(front, f, WIRE_E_BUSY, "no memory to ask all partitions");
		return;
	}
	taken(c, g->set);
	q = fanout_question(front, m, f, c->names, (struct span){g->set, c->bytes},
			    (uint32_t)(c->due_ms - front->node->now_ms), ask);
	g->set = NULL;
	if (!q) {
		fanout_fail(front, f, WIRE_E_BUSY, "no memory to ask all partitions");
		ask_close(f, &c->ask[ask]);
		return;
	}
	if (g->peer) { /* if it cannot, there is a reply at once */
		peer_client_items(front->peers, g->peer, &m->routed, self,
				  (uint32_t)(q - m->routed.item));
		return;
	}
	r = dispatch_one(front, m, g->worker, self, q);
	if (r == 0)
		return;
	if (r == -EAGAIN)
		fanout_fail(front, f, WIRE_E_BUSY, "this node's queue is full: try again later");
	lack_set(c, c->ask[ask].set);
	ask_close(f, &c->ask[ask]);
}

static void ask_all(struct front *front, struct message *m, struct fanout *f)
{
	struct covering *c = f->covering;
	struct groups g = {NULL, 0, false};
	char text[160];

	f->left++; /* ours: replies may come at once */
	c->again_ms = front->node->now_ms + AGAIN_MS;
	if (!front->membership || !groups_make(front, c, &g)) {
		cluster_explain(front->node->conf, text, sizeof(text));
		fanout_fail(front, f, WIRE_E_NODE_DOWN, text);
	} else if (g.failed) {
		fanout_fail(front, f, WIRE_E_BUSY, "no memory to ask all partitions");
	}
	for (uint32_t i = 0; i < g.count; i++) {
		if (!f->failed)
			ask_group(front, m, f, &g.group[i]);
		free(g.group[i].set);
	}
	free(g.group);
	f->left--;
}

void covering_begin(struct front *front, struct message *m, struct fanout *f, const char *set,
		    uint32_t timeout_ms, const char *here)
{
	uint32_t partitions = front->node->partitions;
	uint32_t bytes = set_bytes(partitions);
	struct covering *c = calloc(1, sizeof(*c) + 2ul * bytes);

	if (!c) {
		fanout_fail(front, f, WIRE_E_BUSY, "no memory to ask all partitions");
		return;
	}
	f->covering = c;
	front->fanouts->covering++;
	c->partitions = partitions;
	c->bytes = bytes;
	c->done = c->todo + bytes;
	c->due_ms = front->node->now_ms + timeout_ms;
	memcpy(c->names, set, sizeof(c->names));
	for (uint32_t i = 0; i < partitions; i++)
		if (!here || set_has(here, i))
			lack(c, i);
	c->here = here != NULL;
	ask_all(front, m, f);
	if (c->here) {
		memset(c->todo, 0, bytes);
		c->lacking = 0;
	}
}

/* ---- replies ---- */

/* Errors after which somebody else may answer, or the same one later. */
static bool may_ask_again(const struct reply *r)
{
	switch (wire_error_find(r->code)) {
	case WIRE_E_NODE_DOWN:
	case WIRE_E_TIMEOUT:
	case WIRE_E_EXPIRED:
		return true;
	default:
		return false;
	}
}

/* The list has `told` of what it was asked for.  False: it says what it was not. */
static bool covers(struct covering *c, const struct ask *a, struct span told)
{
	if (told.n != c->bytes)
		return false;
	for (uint32_t i = 0; i < c->bytes; i++)
		if ((uint8_t)told.p[i] & ~(uint8_t)a->set[i])
			return false;
	for (uint32_t i = 0; i < c->partitions; i++) {
		if (set_has(told.p, i)) {
			check(!set_has(c->done, i));
			set_add(c->done, i);
		} else if (set_has(a->set, i)) {
			lack(c, i);
		}
	}
	return true;
}

bool covering_reply(struct front *front, struct fanout *f, uint16_t ask, const struct reply *r)
{
	struct covering *c = f->covering;
	struct ask *a = &c->ask[ask];
	bool keep = false;
	struct span told;

	if (r->code.p) {
		if (may_ask_again(r))
			lack_set(c, a->set);
		else
			keep = true; /* it is the answer */
	} else if (!merge_sane(r, &told) || !covers(c, a, told)) {
		fanout_fail(front, f, WIRE_E_INTERNAL, "a node sent a list of another shape");
	} else {
		keep = true;
	}
	ask_close(f, a);
	return keep;
}

void covering_drop(struct fanout *f, uint16_t ask)
{
	ask_close(f, &f->covering->ask[ask]);
}

void fanout_elsewhere(struct front *front, struct reply_to o)
{
	struct fanout *f = &front->fanouts->fanout[reply_to_index(o)];

	if (f->generation != o.generation || !covering_open(f, (uint16_t)o.index))
		return;
	lack_set(f->covering, f->covering->ask[o.index].set);
	ask_close(f, &f->covering->ask[o.index]);
	fanout_look(front, f);
}

/* ---- going on ---- */

/* Is a partition served by somebody else than whom it was asked of?  A read may be asked for again. */
static bool has_moved(const struct front *front, const struct covering *c, const struct ask *a)
{
	struct peer *peer = NULL;

	for (uint32_t i = 0; i < c->partitions; i++) {
		enum membership_serves s;

		if (!set_has(a->set, i))
			continue;
		s = membership_serves(front->membership, i, &peer);
		if (a->peer ? s == SERVES_HERE || (s == SERVES_PEER && peer != a->peer) ||
				      membership_taken_over(front->membership, i, a->peer->name)
			    : s == SERVES_PEER)
			return true;
	}
	return false;
}

static void changes_look(struct front *front, struct fanout *f)
{
	struct covering *c = f->covering;

	for (uint32_t i = 0; i < c->asks; i++) {
		struct ask *a = &c->ask[i];

		if (!a->set || !has_moved(front, c, a))
			continue;
		lack_set(c, a->set);
		ask_close(f, a);
	}
	if (c->again_ms > front->node->now_ms + SOON_MS)
		c->again_ms = front->node->now_ms + SOON_MS;
}

/* Its time is over: which partition is missing? */
static void expire(struct front *front, struct fanout *f)
{
	struct covering *c = f->covering;
	const char *who = NULL;
	uint32_t missing = 0;
	uint32_t first = 0;
	char text[200];

	for (uint32_t i = 0; i < c->asks; i++) {
		if (!c->ask[i].set)
			continue;
		who = c->ask[i].peer ? c->ask[i].peer->name : "this one";
		lack_set(c, c->ask[i].set);
		ask_close(f, &c->ask[i]);
	}
	for (uint32_t i = c->partitions; i-- > 0;)
		if (set_has(c->todo, i)) {
			missing++;
			first = i;
		}
	(void)snprintf(
		text, sizeof(text),
		who ? "its time was over before all %u partitions were listed: %u and %u "
		      "others are missing, node \"%s\" has not answered"
		    : "its time was over before all %u partitions were listed: nobody serves "
		      "%u and %u others",
		c->partitions, first, missing ? missing - 1 : 0, who);
	fanout_fail(front, f, WIRE_E_EXPIRED, text);
}

uint64_t covering_step(struct front *front, struct fanout *f)
{
	struct covering *c = f->covering;
	uint64_t now_ms = front->node->now_ms;
	uint64_t next;

	f->left++;
	if (!c->here && !f->failed) {
		if (front->fanouts->changed)
			changes_look(front, f);
		if (c->due_ms <= now_ms || front_forsaken(front, f->reply_to)) {
			expire(front, f);
		} else if (c->lacking && c->again_ms <= now_ms) {
			front->message.reply_to = f->reply_to;
			front->message.routed.visited_count = 0;
			ask_all(front, &front->message, f);
		}
	}
	next = c->here || f->failed ? UINT64_MAX : c->due_ms;
	if (next != UINT64_MAX && c->lacking && c->again_ms < next)
		next = c->again_ms;
	f->left--;
	fanout_look(front, f);
	return next;
}
