/* The settings: their values, checks across them, printing. */
#include "common/conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf_impl.h"
#include "common/endpoint.h"

#define ERRORS_MAX 100u

const struct conf_row conf_rows[CONF_KEY_COUNT] = {
#define X(section, key, type, standard, least, most, unit, reload, help) \
	{#section, #key, type, standard, least, most, unit, reload, help},
	CONF_KEYS(X)
#undef X
};

static const char *const role_names[] = {"all", "router", "storage", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

void conf_error(struct conf *c, const char *origin, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (++c->error_count > ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_fmt(&c->errors, "%s: %s\n", origin, text);
}

/* ---- values ---- */

bool conf_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long v;
	const char *u;
	unsigned shift = 0;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		u = strchr(units, toupper((unsigned char)*end));
		if (!u || end[1])
			return false;
		shift = 10 * (unsigned)(u - units + 1);
	}
	if (v > UINT64_MAX >> shift)
		return false;
	*ret = (uint64_t)v << shift;
	return true;
}

static bool parse_name(const char *text, const char *const *names, uint64_t *ret)
{
	for (uint64_t i = 0; names[i]; i++)
		if (!strcmp(names[i], text)) {
			*ret = i;
			return true;
		}
	return false;
}

const char *conf_name_check(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > 63)
		return "is longer than 63 bytes";
	if (name[0] == '-' && !name[1])
		return "is nobody's";
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return "has a blank or a control character in it";
		if (strchr("\"'`=#,[]*\\", *p))
			return "has one of \" ' ` = # , [ ] * \\ in it: names are written without "
			       "quotes";
	}
	return NULL;
}

/* An endpoint in full, into `out`.  NULL, or what is wrong with it. */
static const char *endpoint_read(const struct conf *c, const char *text, char *out, size_t size)
{
	const char *why = NULL;
	char here[CONF_TEXT_MAX] = "";

	if (!strncmp(text, "ipc://", 6) && text[6] && text[6] != '/' && text[6] != '@') {
		if (c->folder[0] != '/' && !getcwd(here, sizeof(here) - 1))
			return strerror(errno);
		if (*here)
			(void)strcat(here, "/");
		(void)snprintf(out, size, "ipc://%s%s%s", here, c->folder, text + 6);
	} else {
		(void)snprintf(out, size, "%s", text);
	}
	return !*out || endpoint_check(out, ENDPOINT_BIND, out, &why) == 0 ? NULL : why;
}

/* HOST:PORT, HOST an address.  NULL, or what is wrong with it. */
static const char *address_check(const char *text)
{
	const char *why = NULL;
	const char *colon = strrchr(text, ':');
	char host[64];
	unsigned char bytes[16];

	if (!*text)
		return NULL;
	if (strstr(text, "://"))
		return "it is written HOST:PORT, without more";
	if (!colon)
		return "the host is missing: it is written HOST:PORT";
	if (endpoint_check(text, ENDPOINT_BIND, NULL, &why) < 0)
		return why;
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (*host == '[') {
		host[strcspn(host, "]")] = '\0';
		return inet_pton(AF_INET6, host + 1, bytes) == 1 ? NULL : "it is no address";
	}
	return inet_pton(AF_INET, host, bytes) == 1
		       ? NULL
		       : "the host must be an address, such as 127.0.0.1 or [::1]";
}

/* Texts of all kinds, *text as it is to be kept.  NULL, or what is wrong. */
static const char *text_read(const struct conf *c, enum conf_key k, const char **text, char *room,
			     size_t size)
{
	const char *why;

	switch (conf_rows[k].type) {
	case NAME:
		return conf_name_check(*text);
	case PATH:
		if (**text == '"' || **text == '\'')
			return "values are written without quotes";
		(void)snprintf(room, size, "%s%s", **text == '/' || !**text ? "" : c->folder,
			       *text);
		*text = room;
		return NULL;
	case ENDPOINT:
		if (k == CONF_node_admin && **text && strncmp(*text, "ipc://", 6) != 0)
			return "it must be a socket file, ipc://PATH: who may use it is told by "
			       "its "
			       "owner and mode";
		if (strlen(*text) >= ENDPOINT_MAX)
			return "it is too long";
		why = endpoint_read(c, *text, room, size);
		*text = room;
		return why;
	case ADDRESS:
		return address_check(*text);
	default:
		return NULL;
	}
}

void conf_value_set(struct conf *c, enum conf_key k, const char *text, const char *origin)
{
	const struct conf_row *row = &conf_rows[k];
	struct conf_value *v = &c->value[k];
	uint64_t n = 0;
	bool ok = true;
	const char *want = "";
	const char *why;
	char whole[4 * CONF_TEXT_MAX];

	switch (row->type) {
	case TEXT:
	case NAME:
	case PATH:
	case ENDPOINT:
	case ADDRESS:
		why = text_read(c, k, &text, whole, sizeof(whole));
		if (why) {
			conf_error(c, origin, "%s.%s = %.100s: %s", row->section, row->key, text,
				   why);
			return;
		}
		n = strlen(text);
		if (n < row->least || n > row->most) {
			conf_error(c, origin,
				   "%s.%s has %llu characters, it must have %llu to %llu",
				   row->section, row->key, (unsigned long long)n,
				   (unsigned long long)row->least, (unsigned long long)row->most);
			return;
		}
		break;
	case NUMBER:
	case SIZE:
		ok = conf_parse_size(text, &n) &&
		     (row->type == SIZE || isdigit((unsigned char)text[strlen(text) - 1]));
		want = row->type == SIZE ? "a size such as 64K, 8M or 1G" : "a number";
		if (ok && (n < row->least || n > row->most)) {
			conf_error(c, origin, "%s.%s = %s is out of range: %llu to %llu%s%s",
				   row->section, row->key, text, (unsigned long long)row->least,
				   (unsigned long long)row->most, *row->unit ? " " : "", row->unit);
			return;
		}
		break;
	case ROLE:
		ok = parse_name(text, role_names, &n);
		want = "all, router or storage";
		break;
	case LEVEL:
		ok = parse_name(text, level_names, &n);
		want = "debug, info, warn or error";
		break;
	}
	if (!ok) {
		conf_error(c, origin, "%s.%s = \"%s\" is not %s", row->section, row->key, text,
			   want);
		return;
	}
	v->number = n;
	(void)snprintf(v->text, sizeof(v->text), "%.*s", (int)sizeof(v->text) - 1, text);
	(void)snprintf(v->origin, sizeof(v->origin), "%s", origin);
}

/* ---- whole ---- */

int conf_new(struct conf **ret)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	buf_init(&c->errors);
	buf_init(&c->warnings);
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		conf_value_set(c, (enum conf_key)i, conf_rows[i].standard, "default");
	*ret = c;
	return 0;
}

void conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	if (!c)
		return;
	free(c->routes.pair);
	free(c->peers.pair);
	buf_fini(&c->errors);
	buf_fini(&c->warnings);
	free(c);
	*cp = NULL;
}

/* A size as people write it: in the largest unit that divides it. */
void conf_write_size(uint64_t n, char *out, size_t size)
{
	static const char units[] = "KMGT";
	unsigned u = 0;

	while (u < 4 && n && n % 1024 == 0) {
		n /= 1024;
		u++;
	}
	(void)snprintf(out, size, "%llu%.*s", (unsigned long long)n, u ? 1 : 0,
		       u ? &units[u - 1] : "");
}

void conf_settle(struct conf *c, enum conf_key k, uint64_t number, const char *why)
{
	struct conf_value *v = &c->value[k];

	v->number = number;
	conf_write_size(number, v->text, sizeof(v->text));
	(void)snprintf(v->origin, sizeof(v->origin), "%s", why);
}

bool conf_is_default(const struct conf *c, enum conf_key k)
{
	return !strcmp(c->value[k].origin, "default");
}

bool conf_wants_nodes(const struct conf *c)
{
	return c->peers.count || conf_number(c, CONF_node_role) == ROLE_STORAGE ||
	       !conf_is_default(c, CONF_node_peer);
}

static void peers_check(struct conf *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		if (!strcmp(p->key, conf_text(c, CONF_node_name)))
			conf_error(c, p->origin, "peer \"%.60s\" is this node itself", p->key);
		else if (!strcmp(p->value, conf_text(c, CONF_node_peer)))
			conf_error(c, p->origin, "peer %s = %s is this node's own node.peer",
				   p->key, p->value);
		for (uint32_t k = 0; k < i && !conf_asks_only(p); k++)
			if (!strcmp(p->value, c->peers.pair[k].value))
				conf_error(c, p->origin,
					   "peer %s = %s is where %s is already, from %s", p->key,
					   p->value, c->peers.pair[k].key, c->peers.pair[k].origin);
	}
}

static bool any_host(const char *host, size_t n)
{
	return (n == 1 && *host == '*') || (n == 7 && !memcmp(host, "0.0.0.0", 7)) ||
	       (n == 4 && !memcmp(host, "[::]", 4));
}

/* Can only one of two sockets listen?  `a` and `b`: endpoints, or HOST:PORT. */
static bool collide(const char *a, const char *b)
{
	const char *port[2];
	size_t n[2];

	if (!strcmp(a, b))
		return !strstr(a, ":0") && !strstr(a, ":*");
	a += !strncmp(a, "tcp://", 6) ? 6 : 0;
	b += !strncmp(b, "tcp://", 6) ? 6 : 0;
	port[0] = strrchr(a, ':');
	port[1] = strrchr(b, ':');
	if (!port[0] || !port[1] || strcmp(port[0], port[1]) != 0 || !strcmp(port[0], ":0") ||
	    !strcmp(port[0], ":*"))
		return false;
	n[0] = (size_t)(port[0] - a);
	n[1] = (size_t)(port[1] - b);
	return (n[0] == n[1] && !memcmp(a, b, n[0])) || any_host(a, n[0]) || any_host(b, n[1]);
}

/* Where this node listens, each at a place of its own. */
static void endpoints_check(struct conf *c)
{
	static const enum conf_key keys[] = {CONF_node_client, CONF_node_peer, CONF_node_admin,
					     CONF_gateway_text};
	bool used[] = {conf_number(c, CONF_node_role) != ROLE_STORAGE, conf_wants_nodes(c), true,
		       true};

	for (unsigned i = 0; i < 4; i++)
		for (unsigned k = i + 1; k < 4; k++) {
			const struct conf_value *a = &c->value[keys[i]];
			const struct conf_value *b = &c->value[keys[k]];

			if (!used[i] || !used[k] || !*a->text || !*b->text ||
			    !collide(a->text, b->text))
				continue;
			conf_error(c, strcmp(b->origin, "default") != 0 ? b->origin : a->origin,
				   "%s.%s = %s and %s.%s = %s are one place, only one can listen "
				   "there",
				   conf_rows[keys[i]].section, conf_rows[keys[i]].key, a->text,
				   conf_rows[keys[k]].section, conf_rows[keys[k]].key, b->text);
		}
}

void conf_check(struct conf *c)
{
	const struct conf_value *v = c->value;

	if (v[CONF_limits_message].number < 2 * v[CONF_limits_value].number)
		conf_error(c, v[CONF_limits_message].origin,
			   "limits.message = %s must be at least twice limits.value = %s",
			   v[CONF_limits_message].text, v[CONF_limits_value].text);
	if (!v[CONF_node_data].text[0] && v[CONF_node_role].number != ROLE_ROUTER && !c->incomplete)
		conf_error(c, v[CONF_node_data].origin,
			   "node.data is not set: where shall the data lie? (or use --dev)");
	peers_check(c);
	endpoints_check(c);
	if (v[CONF_gateway_text].text[0] && v[CONF_node_role].number == ROLE_STORAGE)
		conf_error(c, v[CONF_gateway_text].origin,
			   "gateway.text is set, but node.role = storage serves no clients");
	if (v[CONF_links_dead_ms].number < 2 * v[CONF_links_ping_ms].number)
		conf_error(c, v[CONF_links_dead_ms].origin,
			   "links.dead_ms = %s must be at least twice links.ping_ms = %s",
			   v[CONF_links_dead_ms].text, v[CONF_links_ping_ms].text);
	if (c->error_count > ERRORS_MAX)
		buf_fmt(&c->errors, "and %u more\n", c->error_count - ERRORS_MAX);
}

/* Set by nobody: it follows from the machine, and from other settings, which are named. */
static bool follows(const struct conf_value *v)
{
	return !strncmp(v->origin, "default", 7);
}

static unsigned compare(struct conf *c, const struct conf *old, bool reload, struct buf *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (conf_rows[i].reload != reload || !strcmp(c->value[i].text, old->value[i].text))
			continue;
		if (!reload && follows(&c->value[i]) && follows(&old->value[i])) {
			c->value[i] = old->value[i];
			continue;
		}
		n++;
		buf_fmt(out, "%s.%s = %s (was %s)\n", conf_rows[i].section, conf_rows[i].key,
			c->value[i].text, old->value[i].text);
		if (!reload)
			c->value[i] = old->value[i];
	}
	return n;
}

unsigned conf_keep(struct conf *c, const struct conf *old, struct buf *out)
{
	return compare(c, old, false, out);
}

unsigned conf_differences(const struct conf *c, const struct conf *old, struct buf *out)
{
	return compare((struct conf *)(uintptr_t)c, old, true, out);
}

void conf_admin(const struct conf *c, char *out, size_t size)
{
	const char *set = conf_text(c, CONF_node_admin);
	const char *data = conf_text(c, CONF_node_data);

	if (*set || !*data)
		(void)snprintf(out, size, "%s", set);
	else
		(void)snprintf(out, size, "ipc://%s/admin.sock", data);
}

void conf_print(const struct conf *c, struct buf *out)
{
	const char *section = "";

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (strcmp(section, conf_rows[i].section) != 0) {
			section = conf_rows[i].section;
			buf_fmt(out, "%s[%s]\n", i ? "\n" : "", section);
		}
		buf_fmt(out, "# %s\n%s = %s\n", c->value[i].origin, conf_rows[i].key,
			c->value[i].text);
	}
	for (int k = 0; k < 2; k++) {
		const struct conf_pairs *p = k ? &c->routes : &c->peers;

		if (p->count)
			buf_fmt(out, "\n[%s]\n", k ? "routes" : "peers");
		for (uint32_t i = 0; i < p->count; i++)
			buf_fmt(out, "# %s\n%s = %s\n", p->pair[i].origin, p->pair[i].key,
				p->pair[i].value);
	}
}

void conf_describe(struct buf *out)
{
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *standard = *row->standard ? row->standard : "none";

		buf_fmt(out, "  %s.%-*s %s", row->section, (int)(26 - strlen(row->section)),
			row->key, row->help);
		if (!strstr(row->help, "if not set:"))
			buf_fmt(out, " (default %s)", standard);
		buf_text(out, row->reload ? " [reload]\n" : "\n");
	}
}
