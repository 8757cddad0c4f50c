/* The cluster that a node belongs to: its name, where its nodes agree, and how it is routed to. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"
#include "common/endpoint.h"

const char *conf_cluster_name_check(const char *name)
{
	if (*name == '.')
		return "it begins with a dot";
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return "it is made of letters, digits, dots, _ and - : it is a part of "
			       "etcd's keys";
	return NULL;
}

/* ---- where etcd is ---- */

/* One URL without blanks around it; a / behind the port is cut off.  NULL, or what is wrong. */
static const char *url_check(char *url)
{
	char *host = strstr(url, "://");
	char endpoint[ENDPOINT_MAX];
	const char *why = NULL;
	size_t n;

	if (!host)
		return "it is written http://HOST:PORT, or https://";
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return "etcd is reached by http:// or https://";
	host += 3;
	if (strchr(host, '@'))
		return "neither user nor password is written here";
	n = strcspn(host, "/");
	if (host[n] && host[n + 1])
		return "nothing is written behind the port";
	host[n] = '\0';
	if (n + sizeof("tcp://") > sizeof(endpoint))
		return "it is too long";
	if (!strchr(host, ':') || host[n - 1] == ']')
		return "the port is missing: etcd's is 2379";
	(void)snprintf(endpoint, sizeof(endpoint), "tcp://%s", host);
	return endpoint_check(endpoint, ENDPOINT_CONNECT, NULL, &why) < 0 ? why : NULL;
}

/* Is it in the list already? */
static bool url_again(const char *list, const char *url)
{
	size_t n = strlen(url);

	for (const char *p = list; *p; p += strcspn(p, ",")) {
		p += *p == ',';
		if (strcspn(p, ",") == n && !strncmp(p, url, n))
			return true;
	}
	return false;
}

const char *conf_urls_read(const char **text, char *out, size_t size)
{
	static const char blanks[] = " \t";
	const char *p = *text;
	const char *why = NULL;
	size_t len = 0;
	unsigned count = 0;

	out[0] = '\0';
	if (!*p)
		return NULL;
	for (;;) {
		size_t n;
		size_t whole;
		char url[CONF_TEXT_MAX];

		p += strspn(p, blanks);
		whole = n = strcspn(p, ",");
		while (n && strchr(blanks, p[n - 1]))
			n--;
		if (n >= sizeof(url) || len + n + 2 > size)
			return "it is too long";
		(void)snprintf(url, sizeof(url), "%.*s", (int)n, p);
		why = !n ? "a URL is missing before or behind a comma" : url_check(url);
		if (!why && url_again(out, url))
			why = "it is named twice";
		if (!why && ++count > CONF_ETCD_MAX)
			why = "it is one too many: nine at most";
		if (why) {
			if (n)
				(void)snprintf(out, size, "%.*s", (int)n, p);
			*text = n ? out : *text;
			return why;
		}
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? "," : "", url);
		p += whole;
		if (!*p)
			break;
		p++;
	}
	*text = out;
	return NULL;
}

/* ---- across settings ---- */

static bool routes_lead_there(const struct conf *c)
{
	for (uint32_t i = 0; i < c->routes.count; i++)
		if (!strcmp(c->routes.pair[i].value, CONF_RING))
			return true;
	return false;
}

/* Other nodes are told of node.peer as it stands there. */
static void peer_check(struct conf *c)
{
	const struct conf_value *v = &c->value[CONF_node_peer];
	const char *host = v->text + (!strncmp(v->text, "tcp://", 6) ? 6 : 0);
	const char *colon = strrchr(host, ':');

	if (colon && conf_any_host(host, (size_t)(colon - host)))
		conf_error(c, v->origin,
			   "node.peer = %s: the other nodes of the cluster are told this "
			   "address, so it must be one that they can reach",
			   v->text);
}

/* ---- who this node is to etcd ---- */

static bool is_set(const struct conf *c, enum conf_key k)
{
	return *c->value[k].text;
}

/* Two that make sense together only. */
static void both(struct conf *c, enum conf_key a, enum conf_key b)
{
	enum conf_key there = is_set(c, a) ? a : b;
	enum conf_key missing = is_set(c, a) ? b : a;

	if (is_set(c, a) != is_set(c, b) && !c->incomplete)
		conf_error(c, c->value[there].origin, "cluster.%s is set, but cluster.%s is not",
			   conf_rows[there].key, conf_rows[missing].key);
}

/* The first URL of the list that begins so; NULL: none does. */
static const char *url_of(const char *list, const char *scheme)
{
	for (const char *p = list; *p; p += strcspn(p, ",")) {
		p += *p == ',';
		if (!strncmp(p, scheme, strlen(scheme)))
			return p;
	}
	return NULL;
}

static bool is_near(const char *url)
{
	return !strncmp(url, "http://127.", 11) || !strncmp(url, "http://[::1]", 12) ||
	       !strncmp(url, "http://localhost:", 17);
}

static void etcd_check(struct conf *c)
{
	static const enum conf_key keys[] = {CONF_cluster_etcd,      CONF_cluster_etcd_ca,
					     CONF_cluster_etcd_cert, CONF_cluster_etcd_cert_key,
					     CONF_cluster_etcd_user, CONF_cluster_etcd_password};
	const char *plain = url_of(c->value[CONF_cluster_etcd].text, "http://");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !c->incomplete; i++)
		if (is_set(c, keys[i]) && !is_set(c, CONF_cluster_name))
			conf_error(c, c->value[keys[i]].origin,
				   "cluster.%s is set, but cluster.name is not",
				   conf_rows[keys[i]].key);
	both(c, CONF_cluster_etcd_cert, CONF_cluster_etcd_cert_key);
	both(c, CONF_cluster_etcd_user, CONF_cluster_etcd_password);
	for (size_t i = 1; i <= 2 && plain; i++)
		if (is_set(c, keys[i]))
			conf_error(c, c->value[keys[i]].origin,
				   "cluster.%s is for https, but cluster.etcd has %.*s",
				   conf_rows[keys[i]].key, (int)strcspn(plain, ","), plain);
	if (plain && is_set(c, CONF_cluster_etcd_password) && !is_near(plain))
		buf_fmt(&c->warnings,
			"%s: the password for etcd goes over the network as it is: %.*s is not "
			"https\n",
			c->value[CONF_cluster_etcd_password].origin, (int)strcspn(plain, ","),
			plain);
}

void conf_cluster_check(struct conf *c)
{
	const struct conf_value *name = &c->value[CONF_cluster_name];
	const struct conf_value *etcd = &c->value[CONF_cluster_etcd];

	if (*name->text && !*etcd->text && !c->incomplete)
		conf_error(c, name->origin,
			   "cluster.name = %s, but cluster.etcd is not set: where shall its nodes "
			   "agree?",
			   name->text);
	etcd_check(c);
	if (!conf_in_cluster(c))
		return;
	peer_check(c);
	if (!routes_lead_there(c) && !c->incomplete)
		buf_fmt(&c->warnings,
			"%s: cluster.name = %s, but no line of [routes] leads to it, such as * = "
			"%s\n",
			name->origin, name->text, CONF_RING);
}
