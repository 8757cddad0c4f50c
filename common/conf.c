/* Reading, checking and printing the configuration. */
#include "common/conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096u
#define INCLUDE_DEPTH  8u
#define ERRORS_MAX     100u

enum conf_type { TEXT, NUMBER, SIZE, ROLE, LEVEL };

static const struct conf_row {
	const char *section;
	const char *key;
	enum conf_type type;
	const char *standard;
	uint64_t least;
	uint64_t most;
	const char *unit;
	bool reload;
	const char *help;
} rows[CONF_KEY_COUNT] = {
#define X(section, key, type, standard, least, most, unit, reload, help) \
	{#section, #key, type, standard, least, most, unit, reload, help},
	CONF_KEYS(X)
#undef X
};

static const char *const role_names[] = {"all", "router", "storage", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

static void conf_error(struct conf *c, const char *origin, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void conf_error(struct conf *c, const char *origin, const char *fmt, ...)
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

static void value_set(struct conf *c, enum conf_key k, const char *text, const char *origin)
{
	const struct conf_row *row = &rows[k];
	struct conf_value *v = &c->value[k];
	uint64_t n = 0;
	bool ok = true;
	const char *want = "";

	switch (row->type) {
	case TEXT:
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
			conf_error(c, origin, "%s.%s = %s is out of range: %llu to %llu %s",
				   row->section, row->key, text, (unsigned long long)row->least,
				   (unsigned long long)row->most, row->unit);
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
	(void)snprintf(v->text, sizeof(v->text), "%s", text);
	(void)snprintf(v->origin, sizeof(v->origin), "%s", origin);
}

/* ---- names ---- */

/* How many letters must change to make b of a: Levenshtein's distance, for suggestions. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strlen(b);

	if (n >= 63)
		return 99;
	for (unsigned i = 0; i <= n; i++)
		row[i] = i;
	for (size_t i = 0; a[i]; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t k = 0; k < n; k++) {
			unsigned above = row[k + 1];
			unsigned change = corner + (a[i] != b[k]);
			unsigned best = above < row[k] ? above + 1 : row[k] + 1;

			row[k + 1] = change < best ? change : best;
			corner = above;
		}
	}
	return row[n];
}

static void unknown_key(struct conf *c, const char *section, const char *key, const char *origin)
{
	const struct conf_row *best = NULL;
	unsigned least = 4;
	bool known = false;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		unsigned d = distance(key, rows[i].key) +
			     (strcmp(section, rows[i].section) != 0 ? 1 : 0);

		known |= !strcmp(section, rows[i].section);
		if (d < least) {
			least = d;
			best = &rows[i];
		}
	}
	if (best)
		conf_error(c, origin, "unknown setting %s.%s, did you mean %s.%s?", section, key,
			   best->section, best->key);
	else if (!known)
		conf_error(c, origin, "unknown section [%s]", section);
	else
		conf_error(c, origin, "unknown setting %s.%s", section, key);
}

static int key_find(const char *section, const char *key)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++)
		if (!strcmp(rows[i].section, section) && !strcmp(rows[i].key, key))
			return i;
	return -1;
}

static void pair_add(struct conf *c, struct conf_pairs *p, const char *key, const char *value,
		     const char *origin)
{
	struct conf_pair *x;

	if (p->count == CONF_PAIRS_MAX) {
		conf_error(c, origin, "more than %u entries", CONF_PAIRS_MAX);
		return;
	}
	if (strlen(key) >= sizeof(x->key) || strlen(value) >= sizeof(x->value) || !*value) {
		conf_error(c, origin, "entry \"%.40s\" is %s", key, *value ? "too long" : "empty");
		return;
	}
	x = realloc(p->pair, (p->count + 1) * sizeof(*x));
	if (!x) {
		c->errors.failed = true;
		return;
	}
	p->pair = x;
	x += p->count++;
	(void)snprintf(x->key, sizeof(x->key), "%s", key);
	(void)snprintf(x->value, sizeof(x->value), "%s", value);
	(void)snprintf(x->origin, sizeof(x->origin), "%s", origin);
}

static void entry_set(struct conf *c, const char *section, const char *key, const char *value,
		      const char *origin)
{
	int k;

	if (!strcmp(section, "routes")) {
		pair_add(c, &c->routes, key, value, origin);
		return;
	}
	if (!strcmp(section, "peers")) {
		for (uint32_t i = 0; i < c->peers.count; i++)
			if (!strcmp(c->peers.pair[i].key, key)) {
				conf_error(c, origin, "peer \"%s\" is there already, from %s", key,
					   c->peers.pair[i].origin);
				return;
			}
		pair_add(c, &c->peers, key, value, origin);
		return;
	}
	k = key_find(section, key);
	if (k < 0)
		unknown_key(c, section, key, origin);
	else
		value_set(c, (enum conf_key)k, value, origin);
}

void conf_set(struct conf *c, const char *name, const char *value, const char *origin)
{
	char section[64];
	const char *dot = strchr(name, '.');

	if (!dot || (size_t)(dot - name) >= sizeof(section)) {
		conf_error(c, origin, "\"%.60s\" is not of the form section.key", name);
		return;
	}
	memcpy(section, name, (size_t)(dot - name));
	section[dot - name] = '\0';
	entry_set(c, section, dot + 1, value, origin);
}

/* ---- files ---- */

static char *trim(char *s)
{
	char *e = s + strlen(s);

	while (isspace((unsigned char)*s))
		s++;
	while (e > s && isspace((unsigned char)e[-1]))
		*--e = '\0';
	return s;
}

/* Cut a comment: a # at the begin of the line or behind a blank. */
static void comment_cut(char *s)
{
	for (char *p = s; *p; p++)
		if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			return;
		}
}

struct reading {
	struct conf *c;
	const char *path;
	unsigned depth;
	char section[64];
	int seen_line[CONF_KEY_COUNT]; /* a key twice in one file is a mistake */
};

static void read_one(struct conf *c, const char *path, unsigned depth);

static void read_include(struct reading *r, const char *value, const char *origin)
{
	char path[1024];
	const char *slash = strrchr(r->path, '/');

	if (r->depth >= INCLUDE_DEPTH) {
		conf_error(r->c, origin, "files include each other more than %u deep",
			   INCLUDE_DEPTH);
		return;
	}
	if (value[0] == '/' || !slash)
		(void)snprintf(path, sizeof(path), "%s", value);
	else
		(void)snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - r->path), r->path,
			       value);
	read_one(r->c, path, r->depth + 1);
}

static void read_line(struct reading *r, char *line, int number)
{
	char origin[CONF_ORIGIN_MAX];
	char *key;
	char *value;
	int k;

	(void)snprintf(origin, sizeof(origin), "%.300s:%d", r->path, number);
	comment_cut(line);
	key = trim(line);
	if (!*key)
		return;
	if (*key == '[') {
		char *end = strchr(key, ']');

		if (!end || end[1] || (size_t)(end - key) > sizeof(r->section)) {
			conf_error(r->c, origin, "a section is written [name]");
			return;
		}
		*end = '\0';
		(void)snprintf(r->section, sizeof(r->section), "%s", trim(key + 1));
		return;
	}
	value = strchr(key, '=');
	if (!value) {
		conf_error(r->c, origin, "neither [section] nor key = value: \"%.60s\"", key);
		return;
	}
	*value++ = '\0';
	key = trim(key);
	value = trim(value);
	if (!r->section[0]) {
		if (!strcmp(key, "include"))
			read_include(r, value, origin);
		else
			conf_error(r->c, origin, "\"%.60s\" stands before any [section]", key);
		return;
	}
	k = key_find(r->section, key);
	if (k >= 0 && r->seen_line[k]) {
		conf_error(r->c, origin, "%s.%s was set already in line %d", r->section, key,
			   r->seen_line[k]);
		return;
	}
	if (k >= 0)
		r->seen_line[k] = number;
	entry_set(r->c, r->section, key, value, origin);
}

static void read_one(struct conf *c, const char *path, unsigned depth)
{
	struct reading r = {.c = c, .path = path, .depth = depth};
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(path, "re");
	int number = 0;

	if (!f) {
		conf_error(c, path, "cannot open: %s", strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(line);

		number++;
		if (n + 1 == sizeof(line) && line[n - 1] != '\n') {
			char origin[CONF_ORIGIN_MAX];

			(void)snprintf(origin, sizeof(origin), "%.300s:%d", path, number);
			conf_error(c, origin, "line longer than %u bytes", LINE_MAX_BYTES - 2);
			break;
		}
		read_line(&r, line, number);
	}
	if (ferror(f))
		conf_error(c, path, "cannot read: %s", strerror(errno));
	(void)fclose(f);
}

static int is_conf(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".conf");
}

void conf_read_file(struct conf *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[900];
	char file[1200];
	struct dirent **names = NULL;
	int n;

	read_one(c, path, 0);
	(void)snprintf(dir, sizeof(dir), "%.*sconf.d", slash ? (int)(slash + 1 - path) : 0, path);
	n = scandir(dir, &names, is_conf, alphasort);
	for (int i = 0; i < n; i++) {
		(void)snprintf(file, sizeof(file), "%s/%.255s", dir, names[i]->d_name);
		read_one(c, file, 0);
		free(names[i]);
	}
	free(names);
}

/* ---- environment ---- */

static void port_set(struct conf *c, const char *port)
{
	struct conf_value *v = &c->value[CONF_node_client];
	const char *colon = strrchr(v->text, ':');
	char text[CONF_TEXT_MAX];
	char *end;
	unsigned long n = strtoul(port, &end, 10);

	if (!isdigit((unsigned char)*port) || *end || n > 65535) {
		conf_error(c, "PAIL_PORT", "\"%.20s\" is no port: 0 to 65535", port);
		return;
	}
	if (strncmp(v->text, "tcp://", 6) != 0 || !colon) {
		conf_error(c, "PAIL_PORT", "node.client = %.60s has no port to change", v->text);
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s:%lu", (int)(colon - v->text), v->text, n);
	value_set(c, CONF_node_client, text, "PAIL_PORT");
}

void conf_read_environment(struct conf *c)
{
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		char name[96];
		const char *value;

		(void)snprintf(name, sizeof(name), "PAIL_%s_%s", rows[i].section, rows[i].key);
		for (char *p = name; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		value = getenv(name);
		if (value)
			value_set(c, (enum conf_key)i, value, name);
	}
	if (getenv("PAIL_PORT"))
		port_set(c, getenv("PAIL_PORT"));
}

/* ---- whole ---- */

int conf_new(struct conf **ret)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	buf_init(&c->errors);
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		value_set(c, (enum conf_key)i, rows[i].standard, "default");
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
	free(c);
	*cp = NULL;
}

void conf_check(struct conf *c)
{
	const struct conf_value *v = c->value;

	if (v[CONF_limits_message].number < 2 * v[CONF_limits_value].number)
		conf_error(c, v[CONF_limits_message].origin,
			   "limits.message = %s must be at least twice limits.value = %s",
			   v[CONF_limits_message].text, v[CONF_limits_value].text);
	if (strstr(v[CONF_node_name].text, "=") || strchr(v[CONF_node_name].text, ' '))
		conf_error(c, v[CONF_node_name].origin,
			   "node.name = \"%s\" has a blank or =", v[CONF_node_name].text);
	if (!v[CONF_node_data].text[0] && v[CONF_node_role].number != ROLE_ROUTER)
		conf_error(c, v[CONF_node_data].origin,
			   "node.data is not set: where shall the data lie? (or use --dev)");
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		if (!strcmp(p->key, v[CONF_node_name].text))
			conf_error(c, p->origin, "peer \"%.60s\" is this node itself", p->key);
		else if (strlen(p->key) > 63)
			conf_error(c, p->origin, "peer \"%.60s...\" is longer than 63 bytes",
				   p->key);
		else if (!strstr(p->value, "://"))
			conf_error(c, p->origin,
				   "peer %.60s = \"%.60s\" is no endpoint such as tcp://HOST:4041",
				   p->key, p->value);
	}
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

static unsigned compare(struct conf *c, const struct conf *old, bool reload, struct buf *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (rows[i].reload != reload || !strcmp(c->value[i].text, old->value[i].text))
			continue;
		n++;
		buf_fmt(out, "%s.%s = %s (was %s)\n", rows[i].section, rows[i].key,
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

void conf_print(const struct conf *c, struct buf *out)
{
	const char *section = "";

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (strcmp(section, rows[i].section) != 0) {
			section = rows[i].section;
			buf_fmt(out, "%s[%s]\n", i ? "\n" : "", section);
		}
		buf_fmt(out, "%s = %s  # %s\n", rows[i].key, c->value[i].text, c->value[i].origin);
	}
	for (int k = 0; k < 2; k++) {
		const struct conf_pairs *p = k ? &c->routes : &c->peers;

		if (p->count)
			buf_fmt(out, "\n[%s]\n", k ? "routes" : "peers");
		for (uint32_t i = 0; i < p->count; i++)
			buf_fmt(out, "%s = %s  # %s\n", p->pair[i].key, p->pair[i].value,
				p->pair[i].origin);
	}
}

void conf_describe(struct buf *out)
{
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		buf_fmt(out, "  %s.%-*s %s (default %s)%s\n", rows[i].section,
			(int)(26 - strlen(rows[i].section)), rows[i].key, rows[i].help,
			*rows[i].standard ? rows[i].standard : "none",
			rows[i].reload ? " [reload]" : "");
}
