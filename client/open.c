/*
 * Opening: where to, with which keys, and what becomes of the handshake.
 *
 * A handshake tells more than that nobody answers: our key is not let in, one of the two asks for
 * keys and the other does not, or the other has closed in the midst of it, as a node does whose key
 * is not the one that we believe.  So a new connection is watched until it is through its handshake.
 * ZeroMQ makes none behind the first two of these, and tries the same key again behind the third:
 * the library makes a new one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/failover.h"
#include "client/identity.h"
#include "common/clock.h"
#include "ipc/net/curve.h"
#include "ipc/net/resolve.h"

#define CONNECT_MS 2000u
#define BATCH      256u
#define ADDRESS_MS 250u /* for each address of a name at first */
#define NAP_MS     20
#define RENAME_MS  50u   /* within pail_dispatch: an event loop waits meanwhile */
#define RETRY_MS   100u  /* when no new connection can be made, or no key of the node's fits */
#define REFUSED_MS 1000u /* when our key is not let in, or none is asked for */

static _Thread_local char open_why[sizeof(((struct pail *)0)->why)];

const char *pail_open_why(void)
{
	return open_why;
}

static int open_fail(int status, const char *why)
{
	(void)snprintf(open_why, sizeof(open_why), "%s", why);
	return status;
}

int pail_key_new(char *ret_public, char *ret_secret)
{
	_Static_assert(PAIL_KEY_SIZE == KEY_TEXT + 1, "a key's text");
	return curve_pair(ret_public, ret_secret) < 0 ? PAIL_INTERNAL : PAIL_OK;
}

/* ---- where to ---- */

/*
 * Of several addresses of a name, take the first where somebody listens: `localhost` may be ::1 and
 * 127.0.0.1.  Waits at most so long for the name, and for each address.  0, or nobody listens yet.
 */
static int target_find(struct pail *p, unsigned name_ms, unsigned address_ms)
{
	struct addresses a;
	int r = resolve(p->endpoint, name_ms, &a);

	if (r < 0)
		return r;
	if (a.count == 1) {
		(void)snprintf(p->target, sizeof(p->target), "%s", p->endpoint);
		return 0;
	}
	r = resolve_probe(&a, address_ms);
	if (r >= 0)
		(void)snprintf(p->target, sizeof(p->target), "%s", a.endpoint[r]);
	return r < 0 ? r : 0;
}

/* For pail_open: as long as a node may still come up there. */
static int target_await(struct pail *p, uint64_t end_ms)
{
	int r;

	do {
		r = target_find(p, p->options.connect_ms, ADDRESS_MS);
		if (r != -ECONNREFUSED)
			return r;
		(void)poll(NULL, 0, NAP_MS);
	} while (clock_ms() < end_ms);
	return r;
}

/* ---- connections ---- */

static int connection_new(struct pail *p, const char *endpoint, bool once, struct socket **ret)
{
	struct socket_keys k;
	struct socket_options o = {.linger_ms = 0, .once = once, .watched = p->proving};

	if (p->key) {
		k = (struct socket_keys){.public = p->key->public,
					 .secret = p->key->secret,
					 .server = p->key->server[p->server]};
		o.keys = &k;
	}
	return socket_connect(p->context, endpoint, &o, ret);
}

int reconnect(struct pail *p)
{
	char why[sizeof(p->why)] = "the node went away without a reply";
	struct socket *fresh = NULL;
	int r;

	if (p->connection)
		(void)target_find(p, RENAME_MS, RENAME_MS); /* else the one that it was */
	if (p->end != SOCKET_NOTHING) {
		handshake_why(p, p->end, p->target);
		(void)snprintf(why, sizeof(why), "%s", p->why);
	}
	p->proving = p->key || !p->connection;
	r = connection_new(p, p->target, false, &fresh);
	if (r < 0) {
		p->retry_ms = p->now_ms + RETRY_MS;
		return r;
	}
	socket_close(&p->link);
	p->link = fresh;
	p->connection++;
	p->on_wire = 0;
	p->goaway = false;
	p->unheard = 0;
	p->lost = false;
	p->noted = false;
	p->end = SOCKET_NOTHING;
	/*
	 * A node knows a connection, and can tell it to go away, only once something has come from
	 * it; and it may be another one now, with other limits.
	 */
	if (p->connection > 1)
		note_send(p);
	/* What was on the old connection is answered no more. */
	slots_abandon(p, false, PAIL_TIMEOUT, why);
	return 0;
}

void prove(struct pail *p)
{
	for (enum socket_event e; p->proving && (e = socket_event(p->link)) != SOCKET_NOTHING;) {
		if (e == SOCKET_OPEN) {
			p->proving = p->broken = false;
			p->end = SOCKET_NOTHING;
			socket_unwatch(p->link);
			return;
		}
		if (e != SOCKET_BROKEN) {
			p->end = e;
			p->retry_ms = p->now_ms + REFUSED_MS;
			continue;
		}
		if (p->key && p->key->servers > 1 && p->end != e) {
			p->server = (p->server + 1) % p->key->servers;
			p->retry_ms = p->now_ms + (p->server ? 0 : RETRY_MS);
			p->end = e;
		}
		p->broken = true;
	}
}

int link_open(const char *endpoint, const struct pail *owner, unsigned server, struct pail **ret)
{
	struct pail *p = client_new(&owner->options);
	int r;

	if (!p)
		return -ENOMEM;
	p->is_link = true;
	p->connection = 1;
	p->key = owner->key;
	p->server = server;
	r = context_take(&p->context);
	if (r == 0)
		r = connection_new(p, endpoint, true, &p->link);
	if (r < 0)
		pail_close(&p);
	*ret = p;
	return r;
}

void handshake_why(struct pail *p, enum socket_event end, const char *endpoint)
{
	const struct key_file *k = p->key;
	char what[300] = "";

	if (end == SOCKET_REFUSED && k)
		(void)snprintf(what, sizeof(what),
			       "the node does not know this key: its file of clients needs a line "
			       "with %s %s",
			       k->name, k->public);
	else if (end == SOCKET_UNLIKE)
		(void)snprintf(
			what, sizeof(what), "%s",
			k ? "the node has no keys: it is asked without a key file"
			  : "the node asks for keys, and no key file is given (by PAIL_KEY or "
			    "a context, say)");
	else if (end == SOCKET_BROKEN)
		(void)snprintf(
			what, sizeof(what),
			"who listens there has closed in the midst of the handshake: it %s, "
			"or is no node",
			k ? "has another key than the one given as the node's, or has no keys"
			  : "asks for keys, and no key file is given (by PAIL_KEY or a "
			    "context, say)");
	if (*what)
		(void)snprintf(p->why, sizeof(p->why), "\"%.1200s\": %s", endpoint, what);
	else
		(void)snprintf(p->why, sizeof(p->why),
			       "no node answers at \"%.1200s\": is one running there?", endpoint);
}

/* ---- opening ---- */

static int open_status(int r)
{
	return r == -EINVAL || r == -EPROTONOSUPPORT || r == -ENODEV ? PAIL_BAD_ARGUMENT
	       : r == -ENOMEM                                        ? PAIL_NO_MEMORY
								     : PAIL_UNREACHABLE;
}

static void options_default(struct pail_options *o)
{
	if (!o->connect_ms)
		o->connect_ms = CONNECT_MS;
	if (!o->timeout_ms)
		o->timeout_ms = WIRE_TIMEOUT_MS;
	if (!o->batch)
		o->batch = BATCH;
	if (o->batch > WIRE_REQUESTS_MAX)
		o->batch = WIRE_REQUESTS_MAX;
	o->key_file = o->node_key = o->context = NULL; /* they are the program's */
}

/* Wait for what comes, at most until `end_ms`. */
static void prove_await(struct pail *p, uint64_t end_ms)
{
	struct pollfd d[] = {
		{.fd = socket_event_fd(p->link), .events = POLLIN},
		{.fd = socket_fd(p->link),       .events = POLLIN},
	};
	uint64_t now = clock_ms();
	uint64_t wake = p->end == SOCKET_BROKEN && p->retry_ms < end_ms ? p->retry_ms : end_ms;

	if (wake > now)
		(void)poll(d, 2, (int)(wake - now));
	p->now_ms = clock_ms();
	prove(p);
	if (p->proving && p->end == SOCKET_BROKEN && p->now_ms >= p->retry_ms)
		(void)reconnect(p);
}

/* One connection, with nothing sent twice. */
static int open_plain(struct pail *p, const char *endpoint)
{
	uint64_t end_ms = p->now_ms + p->options.connect_ms;
	struct pail_request q = {.size = sizeof(q), .method = PAIL_HELLO};
	struct pail_result *result = NULL;
	int r;

	(void)snprintf(p->endpoint, sizeof(p->endpoint), "%s", endpoint);
	handshake_why(p, SOCKET_NOTHING, endpoint);
	r = target_await(p, end_ms);
	if (r == 0)
		r = context_take(&p->context);
	if (r == 0)
		r = reconnect(p);
	if (r < 0)
		return open_status(r);
	while (p->proving && !is_final(p->end) && clock_ms() < end_ms)
		prove_await(p, end_ms);
	if (p->proving) {
		handshake_why(p, p->broken ? SOCKET_BROKEN : p->end, endpoint);
		return p->end == SOCKET_REFUSED ? PAIL_DENIED : PAIL_UNREACHABLE;
	}
	p->now_ms = clock_ms();
	q.timeout_ms = p->now_ms < end_ms ? (uint32_t)(end_ms - p->now_ms) : 1;
	r = pail_call(p, &q, &result);
	pail_result_free(&result);
	if (r == PAIL_TIMEOUT)
		handshake_why(p, SOCKET_NOTHING, endpoint);
	return r == PAIL_TIMEOUT ? PAIL_UNREACHABLE : r;
}

struct pail *client_new(const struct pail_options *options)
{
	struct pail *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->options = *options;
	options_default(&p->options);
	p->free_slot = NONE;
	p->due_ms = UINT64_MAX;
	p->message_max = WIRE_MESSAGE_MAX;
	p->now_ms = clock_ms();
	return p;
}

/* Connect as `i` says. */
static int open_as(const struct identity *i, const struct pail_options *o, struct pail **ret)
{
	struct endpoints e;
	struct key_file key = {.servers = 0};
	const char *bad = *i->endpoint ? endpoints_split(i->endpoint, &e)
				       : "none is given, and no context is in force that has one";
	char why[1200];
	int r;

	if (bad) {
		(void)snprintf(why, sizeof(why), "\"%.200s\" is no endpoint: %s", i->endpoint, bad);
		return open_fail(PAIL_BAD_ARGUMENT, why);
	}
	r = identity_keys(i, &key, why, sizeof(why));
	if (r != PAIL_OK)
		return open_fail(r, why);
	*ret = client_new(o);
	if (*ret && key.servers && ((*ret)->key = malloc(sizeof(key))))
		*(*ret)->key = key;
	if (!*ret || (key.servers && !(*ret)->key))
		r = PAIL_NO_MEMORY;
	key_file_forget(&key);
	if (r != PAIL_OK)
		return open_fail(r, "no memory");
	return e.count == 1 && !o->retry ? open_plain(*ret, e.endpoint[0])
					 : failover_open(*ret, &e);
}

int pail_open(const char *endpoint, const struct pail_options *options, struct pail **ret)
{
	struct pail_options o = {.size = sizeof(o)};
	struct identity *i;
	struct pail *p = NULL;
	char why[1200];
	int r;

	*ret = NULL;
	*open_why = '\0';
	if ((options && !struct_take(&o, sizeof(o), options)) || o.retry > 1)
		return open_fail(PAIL_BAD_ARGUMENT,
				 "the options' size is not set, `retry` is neither 0 nor 1, or "
				 "they have a field that this libpail does not know");
	i = malloc(sizeof(*i)); /* too large for a small stack */
	if (!i)
		return open_fail(PAIL_NO_MEMORY, "no memory");
	r = identity_find(endpoint, &o, i, why, sizeof(why));
	r = r == PAIL_OK ? open_as(i, &o, &p) : open_fail(r, why);
	free(i);
	if (r != PAIL_OK && p) {
		(void)open_fail(r, *p->why ? p->why : pail_status_name(r));
		pail_close(&p);
	}
	*ret = p;
	return r;
}
