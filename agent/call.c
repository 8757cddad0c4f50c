/* Requests to etcd, endpoint by endpoint. */
#include "agent/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/clock.h"

static void call_try(struct call *c);

/* Set back is for good: only a program that is begun anew with what all nodes know goes on. */
static void state_set(struct calls *a, enum agent_state s, const char *why)
{
	if (a->state == AGENT_SET_BACK || (a->state == s && a->told))
		return;
	a->state = s;
	a->told = false;
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
}

static void finish(struct call *c, const struct etcd_reply *r, const char *why)
{
	c->path = NULL;
	free(c->body);
	c->body = NULL;
	c->ended(c, r, why);
}

static void fail(struct call *c)
{
	struct calls *a = c->of;

	if (!c->once || c->wrong)
		state_set(a, c->wrong ? AGENT_WRONG_CLUSTER : AGENT_AWAY, c->why);
	finish(c, NULL, c->why);
}

/* No answer from this endpoint; others then begin with the next one. */
static void next_endpoint(struct call *c, bool sent)
{
	struct calls *a = c->of;
	uint32_t at = (c->first + c->tried) % a->endpoint_count;

	if (a->current == at)
		a->current = (at + 1) % a->endpoint_count;
	c->tried++;
	if ((c->once && sent) || c->tried >= a->endpoint_count)
		fail(c);
	else
		call_try(c);
}

/* ---- tokens ---- */

static void login_ended(struct call *login, const struct etcd_reply *r, const char *why)
{
	struct calls *a = login->of;
	uint32_t n = a->parked_count;
	struct call *waiting[AGENT_REQUESTS_MAX + 8];

	memcpy(waiting, a->parked, n * sizeof(waiting[0]));
	a->parked_count = 0;
	a->login_number++;
	free(a->token);
	a->token = r && r->token ? strdup(r->token) : NULL;
	for (uint32_t i = 0; i < n; i++) {
		waiting[i]->parked = false;
		if (a->token) {
			call_try(waiting[i]);
			continue;
		}
		(void)snprintf(waiting[i]->why, sizeof(waiting[i]->why), "log in to etcd: %.150s",
			       r ? "no token" : why);
		fail(waiting[i]);
	}
}

static void park(struct call *c)
{
	struct calls *a = c->of;

	check(a->parked_count < sizeof(a->parked) / sizeof(a->parked[0]));
	c->parked = true;
	a->parked[a->parked_count++] = c;
	if (a->login.path)
		return;
	a->login.of = a;
	a->login.ended = login_ended;
	a->login.unordered = true;
	call_start(&a->login, ETCD_AUTHENTICATE, etcd_authenticate(a->user, a->password),
		   clock_ms());
}

/* ---- answers ---- */

static void refused(struct call *c, int status, const struct etcd_reply *r)
{
	struct calls *a = c->of;

	(void)snprintf(c->why, sizeof(c->why), "%s: HTTP %d: %.120s",
		       a->endpoint[(c->first + c->tried) % a->endpoint_count], status, r->error);
	/* The token is looked at before anything is done. */
	if (r->code == ETCD_UNAUTHENTICATED && a->user && !c->again && c != &a->login) {
		c->again = true;
		if (c->login_number == a->login_number) { /* else there is a newer one */
			free(a->token);
			a->token = NULL;
		}
		call_try(c);
		return;
	}
	next_endpoint(c, true);
}

/* A write that was done has a revision that nobody has seen before. */
static bool behind(const struct call *c, const struct etcd_reply *r)
{
	return !c->unordered && r->revision < c->floor + r->succeeded;
}

static void went_back(struct call *c, const struct etcd_reply *r, const char *endpoint)
{
	struct calls *a = c->of;

	(void)snprintf(c->why, sizeof(c->why),
		       "etcd has been set back: %s %s revision %llu, %llu was seen", endpoint,
		       r->succeeded ? "writes as" : "is at", (unsigned long long)r->revision,
		       (unsigned long long)c->floor);
	a->distrusted = true;
	if (c->fresh)
		state_set(a, AGENT_SET_BACK, c->why);
	a->doubtful = true;
	if (c->fresh || c->once)
		finish(c, NULL, c->why);
	else
		call_try(c);
}

static void answered(struct call *c, const struct etcd_reply *r)
{
	struct calls *a = c->of;
	const char *endpoint = a->endpoint[(c->first + c->tried) % a->endpoint_count];

	if (a->cluster && r->cluster != a->cluster) {
		c->wrong = a->distrusted = true;
		(void)snprintf(c->why, sizeof(c->why),
			       "%s: it is etcd cluster %llx, not %llx as before", endpoint,
			       (unsigned long long)r->cluster, (unsigned long long)a->cluster);
		next_endpoint(c, true);
		return;
	}
	if (behind(c, r)) {
		went_back(c, r, endpoint);
		return;
	}
	if (c->fresh && !c->unordered)
		a->doubtful = false;
	if (a->state == AGENT_SET_BACK) {
		finish(c, NULL, a->why);
		return;
	}
	a->cluster = r->cluster;
	a->current = (c->first + c->tried) % a->endpoint_count;
	if (!c->unordered && r->revision > a->highest)
		a->highest = r->revision;
	state_set(a, AGENT_UP, endpoint);
	finish(c, r, NULL);
}

static bool ended(void *arg, const struct http_result *h)
{
	struct call *c = arg;
	struct calls *a = c->of;
	const char *endpoint = a->endpoint[(c->first + c->tried) % a->endpoint_count];
	struct etcd_reply r = {0};
	int e;

	a->distrusted = false;
	e = h->status ? etcd_reply_read(h->body ? h->body : "", h->n, &r) : 0;

	if (!h->status) {
		(void)snprintf(c->why, sizeof(c->why), "%s: %.120s", endpoint, h->why);
		next_endpoint(c, h->sent);
	} else if (h->status != 200 || (e == 0 && !r.cluster)) {
		refused(c, h->status, &r);
	} else if (e < 0) {
		(void)snprintf(c->why, sizeof(c->why), "%s: what it answers is not etcd's",
			       endpoint);
		a->distrusted = true;
		next_endpoint(c, true);
	} else {
		answered(c, &r);
	}
	etcd_reply_fini(&r);
	return !a->distrusted;
}

static void call_try(struct call *c)
{
	struct calls *a = c->of;
	char url[AGENT_MESSAGE_PATH_MAX + 64];
	struct http_how how;
	char *body;

	if (a->user && !a->token && c != &a->login) {
		park(c);
		return;
	}
	(void)snprintf(url, sizeof(url), "%s%s",
		       a->endpoint[(c->first + c->tried) % a->endpoint_count], c->path);
	c->floor = a->highest;
	c->login_number = a->login_number;
	c->fresh = a->doubtful;
	c->asked_ms = clock_ms();
	how = (struct http_how){c == &a->login ? NULL : a->token, c->once, c->fresh};
	body = strdup(c->body);
	if (!body || http_post(a->http, url, body, &how, ended, c) < 0) {
		(void)snprintf(c->why, sizeof(c->why), "no memory");
		fail(c);
	}
}

void call_start(struct call *c, const char *path, char *body, uint64_t now_ms)
{
	check(!c->path);
	c->path = path;
	c->body = body;
	c->again = c->wrong = c->parked = false;
	c->first = c->of->current;
	c->tried = 0;
	c->asked_ms = now_ms;
	if (c->of->state == AGENT_SET_BACK) {
		finish(c, NULL, c->of->why);
	} else if (c->of->doubtful && c->once) {
		finish(c, NULL, "etcd may have been set back; the next read will tell");
	} else if (!body) {
		(void)snprintf(c->why, sizeof(c->why),
			       "no memory, or no value that can be written");
		finish(c, NULL, c->why);
	} else {
		call_try(c);
	}
}
