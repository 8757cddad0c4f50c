/* Where settings come from: files and the environment; and the names that they have there. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"
#include "common/size.h"

#define LINE_MAX_BYTES 4096u
#define INCLUDE_DEPTH  8u
#define WARNINGS_MAX   20u

/* ---- names ---- */

static unsigned least_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * How many slips make b of a: a letter more, fewer, another, or two that have changed places.  99:
 * too long to be compared.
 */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][64];
	size_t n = strlen(b);
	unsigned *before = row[0];
	unsigned *above = row[1];
	unsigned *here = row[2];

	if (n >= 63 || strlen(a) >= 63)
		return 99;
	for (unsigned k = 0; k <= n; k++)
		above[k] = k;
	for (unsigned i = 0; a[i]; i++) {
		unsigned *spare = before;

		here[0] = i + 1;
		for (unsigned k = 0; k < n; k++) {
			here[k + 1] = least_of(above[k] + (a[i] != b[k]),
					       least_of(above[k + 1], here[k]) + 1);
			if (i && k && a[i] == b[k - 1] && a[i - 1] == b[k])
				here[k + 1] = least_of(here[k + 1], before[k - 1] + 1);
		}
		before = above;
		above = here;
		here = spare;
	}
	return above[n];
}

/* As many slips as a word of that length may have and still be known: one in three letters. */
static unsigned slips_max(const char *word)
{
	size_t n = strlen(word);

	return n < 3 ? 0 : n < 6 ? 1 : (unsigned)(n / 3);
}

/* The setting that was meant, if one is near: a slip in its name or section, or the right name in
 * another section. */
static const struct conf_row *meant(const char *section, const char *key)
{
	const struct conf_row *best = NULL;
	unsigned least = 99;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_row *row = &conf_rows[i];
		unsigned d = distance(key, row->key);
		unsigned ds = distance(section, row->section);

		if (d > slips_max(key) || (d && ds > slips_max(section)))
			continue;
		if (d + ds < least) {
			least = d + ds;
			best = row;
		}
	}
	return best;
}

static const char *section_meant(const char *section)
{
	static const char *const others[] = {"peers", "routes"};

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		if (distance(section, conf_rows[i].section) <= slips_max(section))
			return conf_rows[i].section;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (distance(section, others[i]) <= slips_max(section))
			return others[i];
	return NULL;
}

static bool section_known(const char *section)
{
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		if (!strcmp(section, conf_rows[i].section))
			return true;
	return false;
}

static void unknown_key(struct conf *c, const char *section, const char *key, const char *origin)
{
	const struct conf_row *row = meant(section, key);
	const char *other = section_meant(section);

	if (row)
		conf_error(c, origin, "unknown setting %s.%s, did you mean %s.%s?", section, key,
			   row->section, row->key);
	else if (section_known(section))
		conf_error(c, origin, "unknown setting %s.%s", section, key);
	else if (other)
		conf_error(c, origin, "unknown section [%s], did you mean [%s]?", section, other);
	else
		conf_error(c, origin, "unknown section [%s]", section);
}

static int key_find(const char *section, const char *key)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++)
		if (!strcmp(conf_rows[i].section, section) && !strcmp(conf_rows[i].key, key))
			return i;
	return -1;
}

static void entry_set(struct conf *c, const char *section, const char *key, const char *value,
		      const char *origin)
{
	int k;

	if (!strcmp(section, "routes")) {
		conf_route_add(c, key, value, origin);
		return;
	}
	if (!strcmp(section, "peers")) {
		for (uint32_t i = 0; i < c->peers.count; i++)
			if (!strcmp(c->peers.pair[i].key, key)) {
				conf_error(c, origin, "peer \"%s\" is there already, from %s", key,
					   c->peers.pair[i].origin);
				return;
			}
		conf_peer_add(c, key, value, origin);
		return;
	}
	k = key_find(section, key);
	if (k < 0)
		unknown_key(c, section, key, origin);
	else
		conf_value_set(c, (enum conf_key)k, value, origin);
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

const char conf_comment_hint[] = "# begins a comment only as the first character of a line";

/*
 * A blank and a # in a setting: a comment at the end of a line, most likely, from when those were
 * comments.  To take it as a part of the value would be to make a data folder of that name.  (Peers
 * are looked at in peers.c: a public key has # in it.)
 */
static bool comment_like(const char *value)
{
	for (const char *p = value; *p; p++)
		if (*p == '#' && (p == value || isspace((unsigned char)p[-1])))
			return true;
	return false;
}

struct reading {
	struct conf *c;
	const char *path;
	unsigned depth;
	char section[64];
	int seen_line[CONF_KEY_COUNT]; /* a key twice in one file is a mistake */
};

static void read_one(struct conf *c, const char *path, unsigned depth, const char *whence);

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
	read_one(r->c, path, r->depth + 1, origin);
}

static void read_line(struct reading *r, char *line, int number)
{
	char origin[CONF_ORIGIN_MAX];
	char *key;
	char *value;
	int k;

	(void)snprintf(origin, sizeof(origin), "%.300s:%d", r->path, number);
	if (*line == '#')
		return;
	key = trim(line);
	if (!*key)
		return;
	if (*key == '#') {
		conf_error(r->c, origin, "%s", conf_comment_hint);
		return;
	}
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
	if (k >= 0 && comment_like(value)) {
		r->c->incomplete = true; /* it is set, only wrongly */
		conf_error(r->c, origin, "%s.%s = %.60s: %s", r->section, key, value,
			   conf_comment_hint);
		return;
	}
	if (k >= 0 && r->seen_line[k]) {
		conf_error(r->c, origin, "%s.%s was set already in line %d", r->section, key,
			   r->seen_line[k]);
		return;
	}
	if (k >= 0)
		r->seen_line[k] = number;
	entry_set(r->c, r->section, key, value, origin);
}

/* `whence`: where it is named, or the file itself. */
static void read_one(struct conf *c, const char *path, unsigned depth, const char *whence)
{
	struct reading r = {.c = c, .path = path, .depth = depth};
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(path, "re");
	int number = 0;

	if (!f) {
		c->incomplete = true;
		if (whence == path)
			conf_error(c, path, "cannot open: %s", strerror(errno));
		else
			conf_error(c, whence, "include = %s: cannot open: %s", path,
				   strerror(errno));
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
	if (ferror(f)) {
		c->incomplete = true;
		conf_error(c, whence, "cannot read \"%s\": %s", path, strerror(errno));
	}
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

	/* What they name by a relative path lies in the folder of the first of them. */
	(void)snprintf(c->folder, sizeof(c->folder), "%.*s", slash ? (int)(slash + 1 - path) : 0,
		       path);
	read_one(c, path, 0, path);
	(void)snprintf(dir, sizeof(dir), "%.800sconf.d", c->folder);
	n = scandir(dir, &names, is_conf, alphasort);
	for (int i = 0; i < n; i++) {
		(void)snprintf(file, sizeof(file), "%s/%.255s", dir, names[i]->d_name);
		read_one(c, file, 0, file);
		free(names[i]);
	}
	free(names);
	c->folder[0] = '\0';
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
	conf_value_set(c, CONF_node_client, text, "PAIL_PORT");
}

static void memory_check(struct conf *c)
{
	const char *said = getenv("PAIL_MEMORY");
	uint64_t n = 0;

	if (said && *said && (!size_parse(said, &n) || !n))
		conf_error(c, "PAIL_MEMORY", "\"%.20s\" is no size such as 512M or 2G", said);
}

/* Variables of other programs of Pail's, and of its tests. */
static bool variable_of_others(const char *name)
{
	static const char *const others[] = {
		"PAIL_PORT",    "PAIL_NODE",   "PAIL_MEMORY",    "PAIL_SEED", "PAIL_FAULT",
		"PAIL_HISTORY", "PAIL_RESUME", "PAIL_DEMO_PORT", "PAIL_KEY",  "PAIL_CONTEXT"};

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(name, others[i]))
			return true;
	return false;
}

static void variable_name(const struct conf_row *row, char *out, size_t size)
{
	(void)snprintf(out, size, "PAIL_%s_%s", row->section, row->key);
	for (char *p = out; *p; p++)
		*p = (char)toupper((unsigned char)*p);
}

/* PAIL_SOMETHING is taken for a setting by whoever set it, but it may also be another's. */
static void variable_unknown(struct conf *c, const char *name)
{
	const struct conf_row *best = NULL;
	char known[96];
	unsigned least = slips_max(name + 5) + 1;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		unsigned d;

		variable_name(&conf_rows[i], known, sizeof(known));
		d = distance(name, known);
		if (d < least) {
			least = d;
			best = &conf_rows[i];
		}
	}
	if (best)
		variable_name(best, known, sizeof(known));
	buf_fmt(&c->warnings, "%.100s is set but is no setting: it is ignored%s%s%s\n", name,
		best ? "; did you mean " : "", best ? known : "", best ? "?" : "");
}

void conf_read_environment(struct conf *c)
{
	unsigned unknown = 0;

	memory_check(c);
	for (char **e = environ; *e; e++) {
		char name[128];
		char known[96];
		size_t n = strcspn(*e, "=");
		unsigned i = 0;

		if (strncmp(*e, "PAIL_", 5) != 0 || !(*e)[n] || n >= sizeof(name))
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)n, *e);
		for (; i < CONF_KEY_COUNT; i++) {
			variable_name(&conf_rows[i], known, sizeof(known));
			if (!strcmp(name, known))
				break;
		}
		if (i < CONF_KEY_COUNT)
			conf_value_set(c, (enum conf_key)i, *e + n + 1, name);
		else if (!variable_of_others(name) && ++unknown <= WARNINGS_MAX)
			variable_unknown(c, name);
	}
	if (getenv("PAIL_PORT"))
		port_set(c, getenv("PAIL_PORT"));
}
