/*
 * What paild asks for, and what it is told.  "done" is told of a compare-and-set only if the answer
 * shows the new value at its key, "not done" only if it shows something there that the comparison
 * cannot have matched.  An answer that shows neither contradicts itself, and nothing is known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/value.h"
#include "common/buf.h"

void asked_fini(struct asked *x)
{
	free(x->call.body);
	free(x->key);
	free(x->old);
	free(x->value);
	for (uint32_t i = 0; i < AGENT_MESSAGE_GUARDS; i++)
		free(x->guard[i]);
	memset(x, 0, sizeof(*x));
}

static struct span key_of(const struct asked *x)
{
	return (struct span){x->key, x->key_n};
}

static struct span shown(const struct etcd_item *i)
{
	return (struct span){i->value, i->n};
}

static void unknown(struct asked *x, const char *why)
{
	uint64_t id = x->id;
	struct agent *a = x->agent;
	char copy[AGENT_MESSAGE_TEXT_MAX + 1];

	(void)snprintf(copy, sizeof(copy), "%s", why);
	asked_fini(x);
	tell_unknown(a, id, copy);
}

static void contradiction(struct asked *x)
{
	x->call.of->distrusted = true;
	unknown(x, "etcd's answer contradicts itself, or is another request's");
}

/* What is there, or nothing: the answer to a get, or an outcome. */
static void tell_there(struct asked *x, bool done, uint64_t revision, const struct etcd_item *there)
{
	struct agent_message m = {.id = x->id, .done = done, .revision = revision};
	struct agent *a = x->agent;
	struct buf value;

	m.kind = x->kind == AGENT_MESSAGE_GET ? AGENT_MESSAGE_VALUE : AGENT_MESSAGE_OUTCOME;
	m.mod_revision = there ? there->mod_revision : 0;
	buf_init(&value);
	if (there)
		value_from_json(&value, there->value, there->n);
	m.value = (struct span){value.data, value.len};
	if (value.failed)
		unknown(x, "no memory");
	else
		asked_fini(x);
	if (!value.failed)
		tell(a, &m);
	buf_fini(&value);
}

static void get_ended(struct asked *x, const struct etcd_reply *r)
{
	const struct etcd_item *there = etcd_reply_find(r, key_of(x));

	if (r->item_count != (there ? 1 : 0))
		contradiction(x);
	else
		tell_there(x, false, r->revision, there);
}

static void list_ended(struct asked *x, const struct etcd_reply *r)
{
	struct agent *a = x->agent;
	struct agent_message m = {
		.kind = AGENT_MESSAGE_ITEMS, .id = x->id, .revision = r->revision};

	asked_fini(x);
	tell_items(a, &m, r);
}

static void cas_send(struct asked *x, uint64_t now_ms)
{
	call_start(&x->call, ETCD_TXN,
		   x->value ? etcd_cas(key_of(x), x->compared, (struct span){x->old, x->old_n},
				       (struct span){x->value, x->value_n})
			    : NULL,
		   now_ms);
}

/*
 * The revision is as compared, and yet it was not done: the value is written in another way, by hand
 * for instance, or it is another one, in an etcd that was set back.  What was refused has not been
 * done, so that it may be asked again with the bytes that are there.
 */
static void cas_value_differs(struct asked *x, const struct etcd_reply *r,
			      const struct etcd_item *there)
{
	if (!x->old || span_equal(shown(there), (struct span){x->old, x->old_n})) {
		contradiction(x);
		return;
	}
	if (x->raw || !value_same(shown(there), (struct span){x->old, x->old_n})) {
		tell_there(x, false, r->revision, there);
		return;
	}
	free(x->old);
	x->raw = true;
	x->old_n = there->n;
	x->old = malloc(there->n + 1);
	if (!x->old) {
		unknown(x, "no memory");
		return;
	}
	memcpy(x->old, there->value, there->n);
	cas_send(x, x->call.asked_ms);
}

static void cas_ended(struct asked *x, const struct etcd_reply *r)
{
	const struct etcd_item *there = etcd_reply_find(r, key_of(x));

	if (r->item_count != (there ? 1 : 0))
		contradiction(x);
	else if (!r->succeeded && there && there->mod_revision == x->compared)
		cas_value_differs(x, r, there);
	else if (!r->succeeded && (there || x->compared))
		tell_there(x, false, r->revision, there);
	else if (r->succeeded && there && there->mod_revision == r->revision &&
		 span_equal(shown(there), (struct span){x->value, x->value_n}))
		tell_there(x, true, r->revision, there);
	else
		contradiction(x);
}

static void create_ended(struct asked *x, const struct etcd_reply *r)
{
	const struct etcd_item *there = etcd_reply_find(r, key_of(x));

	if (r->succeeded) {
		if (there && r->item_count == 1 && there->mod_revision == r->revision &&
		    span_equal(shown(there), (struct span){x->value, x->value_n}))
			tell_there(x, true, r->revision, there);
		else
			contradiction(x);
		return;
	}
	for (uint32_t i = 0; i < x->guard_count; i++) {
		there = etcd_reply_find(r, (struct span){x->guard[i], x->guard_n[i]});
		if ((there ? there->mod_revision : 0) != x->guard_revision[i]) {
			tell_there(x, false, r->revision, there);
			return;
		}
	}
	contradiction(x);
}

static void asked_ended(struct call *c, const struct etcd_reply *r, const char *why)
{
	struct asked *x = c->arg;

	if (!r)
		unknown(x, why);
	else if (x->kind == AGENT_MESSAGE_GET)
		get_ended(x, r);
	else if (x->kind == AGENT_MESSAGE_CAS)
		cas_ended(x, r);
	else if (x->kind == AGENT_MESSAGE_LIST)
		list_ended(x, r);
	else
		create_ended(x, r);
}

static char *copy(struct span s, size_t *ret_n)
{
	char *p = malloc(s.n + 1);

	*ret_n = s.n;
	if (p)
		memcpy(p, s.p, s.n);
	return p;
}

/* The body of a create; what it shows is kept.  NULL: no memory, or no value that can be written. */
static char *create_body(struct asked *x, const struct agent_message *m)
{
	struct etcd_compared guards[AGENT_MESSAGE_GUARDS];
	struct etcd_put items[AGENT_MESSAGE_CREATES];
	struct agent_item i;
	const char *p = m->guards.p;
	size_t n = 0;
	bool ok = true;
	char *body;

	for (; ok && agent_guard_next(m, &p, &i); x->guard_count++) {
		uint32_t k = x->guard_count;

		x->guard[k] = copy(i.key, &x->guard_n[k]);
		x->guard_revision[k] = i.mod_revision;
		guards[k] = (struct etcd_compared){i.key, i.mod_revision};
		ok = x->guard[k] != NULL;
	}
	p = m->items.p;
	while (ok && agent_item_next(m, &p, &i)) {
		items[n].key = i.key;
		items[n].value = value_to_json(i.value, &items[n].n);
		ok = items[n++].value != NULL;
	}
	if (ok) {
		x->key = copy(items[n - 1].key, &x->key_n);
		x->value = copy((struct span){items[n - 1].value, items[n - 1].n}, &x->value_n);
		ok = x->key && x->value;
	}
	body = ok ? etcd_create(guards, x->guard_count, items, n) : NULL;
	while (n--)
		free(items[n].value);
	return body;
}

static void send_it(struct asked *x, const struct agent_message *m)
{
	if (m->kind == AGENT_MESSAGE_CREATE) {
		x->call.once = true;
		call_start(&x->call, ETCD_TXN, create_body(x, m), 0);
		return;
	}
	x->key = copy(m->key, &x->key_n);
	if (!x->key) {
		unknown(x, "no memory");
	} else if (m->kind == AGENT_MESSAGE_GET) {
		call_start(&x->call, ETCD_RANGE, etcd_get(m->key), 0);
	} else if (m->kind == AGENT_MESSAGE_LIST) {
		call_start(&x->call, ETCD_RANGE, etcd_list(m->key, m->revision), 0);
	} else {
		x->call.once = true;
		x->compared = m->compared;
		x->value = value_to_json(m->value, &x->value_n);
		if (x->compared && m->old.n && m->old.p[0] != (char)0xc0) {
			x->old = value_to_json(m->old, &x->old_n);
			if (!x->old) {
				unknown(x, "the value compared cannot be written");
				return;
			}
		}
		cas_send(x, 0);
	}
}

void asked_start(struct agent *a, const struct agent_message *m)
{
	struct asked *x = NULL;

	for (uint32_t i = 0; i < AGENT_REQUESTS_MAX && !x; i++)
		if (!a->asked[i].used)
			x = &a->asked[i];
	if (!x) {
		tell_unknown(a, m->id, "busy");
		return;
	}
	x->used = true;
	x->agent = a;
	x->kind = m->kind;
	x->id = m->id;
	x->call.of = &a->calls;
	x->call.arg = x;
	x->call.ended = asked_ended;
	send_it(x, m);
}
