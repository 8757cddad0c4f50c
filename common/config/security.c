/* Keys and who needs them: whoever may reach a node without any may do everything. */
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"
#include "common/endpoint.h"

const char conf_open_hint[] =
	"set security.key and security.clients, or write security.open = yes if everybody who "
	"reaches it may do everything";

static bool serves_clients(const struct conf *c)
{
	return conf_number(c, CONF_node_role) != ROLE_STORAGE;
}

/* Not set, nor perhaps in a file that could not be read. */
static bool missing(const struct conf *c, enum conf_key k)
{
	return !*conf_text(c, k) && !c->incomplete;
}

static void listener_check(struct conf *c, enum conf_key k, const char *todo)
{
	const struct conf_value *v = &c->value[k];

	if (*v->text && !endpoint_is_local(v->text))
		conf_error(c, v->origin, "%s.%s = %s listens beyond this machine: %s",
			   conf_rows[k].section, conf_rows[k].key, v->text, todo);
}

/* Whoever wants to be open to all says so, aloud. */
static void listeners_check(struct conf *c)
{
	bool keys = *conf_text(c, CONF_security_key);

	if (conf_number(c, CONF_security_open) || c->incomplete)
		return;
	if (!keys && serves_clients(c))
		listener_check(c, CONF_node_client, conf_open_hint);
	if (!keys && conf_wants_nodes(c))
		listener_check(c, CONF_node_peer, conf_open_hint);
	listener_check(
		c, CONF_metrics_http,
		"it shows buckets' numbers, names of nodes and their fate to everybody who "
		"reaches it; write security.open = yes if that is meant, or put a server that "
		"asks who it is before it");
	listener_check(c, CONF_gateway_text,
		       "the gateway knows its clients by nothing; write security.open = yes if "
		       "everybody who reaches it may do what it may");
}

static void settings_check(struct conf *c)
{
	const struct conf_value *v = c->value;
	static const enum conf_key needy[] = {CONF_security_clients, CONF_gateway_key};

	for (unsigned i = 0; i < sizeof(needy) / sizeof(needy[0]); i++)
		if (*v[needy[i]].text && missing(c, CONF_security_key))
			conf_error(c, v[needy[i]].origin,
				   "%s.%s = %s is for a node with keys: security.key is not set",
				   conf_rows[needy[i]].section, conf_rows[needy[i]].key,
				   v[needy[i]].text);
	if (!*v[CONF_security_key].text)
		return;
	if (*v[CONF_gateway_text].text && missing(c, CONF_gateway_key))
		conf_error(c, v[CONF_gateway_text].origin,
			   "gateway.text is set, and with security.key the gateway needs a pair of "
			   "keys of its own: set gateway.key, and name it in security.clients");
	if (serves_clients(c) && missing(c, CONF_security_clients))
		buf_fmt(&c->warnings,
			"%s: security.key is set without security.clients: no client is let in\n",
			v[CONF_security_key].origin);
}

/* ---- peers ---- */

/* Is it another peer's before, or the same one's?  A key speaks for one name. */
static void key_once(struct conf *c, uint32_t i, unsigned k)
{
	const struct conf_pair *p = &c->peers.pair[i];

	for (uint32_t j = 0; j <= i; j++) {
		const struct conf_pair *other = &c->peers.pair[j];
		unsigned n = j == i ? k : other->publics;

		for (unsigned m = 0; m < n; m++)
			if (!strcmp(other->public[m], p -> public[k])) {
				conf_error(c, p->origin,
					   "peer %s: the public key %s is that of %s already, from "
					   "%s",
					   p->key, p->public[k], other -> key, other -> origin);
				return;
			}
	}
}

static void peers_check(struct conf *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		if (!p->publics && *conf_text(c, CONF_security_key))
			conf_error(c, p->origin,
				   "peer %s = %s has no public key: with security.key each needs "
				   "one, written behind it: %s = %s PUBLIC",
				   p->key, p->value, p->key, p->value);
		else if (p->publics && missing(c, CONF_security_key))
			conf_error(c, p->origin,
				   "peer %s has a public key, but this node has none: set "
				   "security.key",
				   p->key);
		for (unsigned k = 0; k < p->publics; k++)
			key_once(c, i, k);
	}
}

void conf_security_check(struct conf *c)
{
	listeners_check(c);
	settings_check(c);
	peers_check(c);
}
