/* The settings and their values. */
#include "common/config/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config_impl.h"
#include "common/endpoint.h"
#include "common/size.h"

const struct conf_row conf_rows[CONF_KEY_COUNT] = {
#define X(section, key, type, standard, least, most, unit, reload, help) \
	{#section, #key, type, standard, least, most, unit, reload, help},
	CONF_KEYS(X)
#undef X
};

static const char *const role_names[] = {"all", "router", "storage", NULL};
static const char *const yes_no_names[] = {"no", "yes", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

void conf_error(struct conf *c, const char *origin, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (++c->error_count > CONF_ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_fmt(&c->errors, "%s: %s\n", origin, text);
}

/* ---- values ---- */

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
	if (!strcmp(name, CONF_RING))
		return "is what [routes] calls the cluster, no node is called that";
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
	case CLUSTER:
		return conf_cluster_name_check(*text);
	case URLS:
		return conf_urls_read(text, room, size);
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
	case CLUSTER:
	case PATH:
	case ENDPOINT:
	case ADDRESS:
	case URLS:
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
		ok = size_parse(text, &n) &&
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
	case YES_NO:
		ok = parse_name(text, yes_no_names, &n);
		want = "yes or no";
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

void conf_settle(struct conf *c, enum conf_key k, uint64_t number, const char *why)
{
	struct conf_value *v = &c->value[k];

	v->number = number;
	size_write(number, v->text, sizeof(v->text));
	(void)snprintf(v->origin, sizeof(v->origin), "%s", why);
}

bool conf_is_default(const struct conf *c, enum conf_key k)
{
	return !strcmp(c->value[k].origin, "default");
}

bool conf_wants_nodes(const struct conf *c)
{
	return c->peers.count || conf_in_cluster(c) ||
	       conf_number(c, CONF_node_role) == ROLE_STORAGE ||
	       !conf_is_default(c, CONF_node_peer);
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
