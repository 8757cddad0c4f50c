/* The file of contexts. */
#include "client/contexts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/failover.h"
#include "common/clock.h"
#include "common/file.h"

#define LINE_SIZE 8192u
#define LOCK_MS   5000u
#define NAP_MS    10

static const char blanks[] = " \t";

__attribute__((format(printf, 4, 5))) static int fail(int r, char *why, size_t size,
						      const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, size, format, ap);
	va_end(ap);
	return r;
}

bool contexts_path(char *out, size_t size)
{
	const char *config = secure_getenv("XDG_CONFIG_HOME");
	const char *home = secure_getenv("HOME");
	int n;

	if (config && *config == '/') /* another is to be ignored, says its specification */
		n = snprintf(out, size, "%s/pail/contexts", config);
	else if (home && *home == '/')
		n = snprintf(out, size, "%s/.config/pail/contexts", home);
	else
		return false;
	return (size_t)n < size;
}

/* ---- the list ---- */

void contexts_free(struct contexts *c)
{
	free(c->context);
	*c = (struct contexts){0};
}

struct context *contexts_find(const struct contexts *c, const char *name)
{
	for (unsigned i = 0; i < c->count; i++)
		if (!strcmp(c->context[i].name, name))
			return &c->context[i];
	return NULL;
}

struct context *contexts_add(struct contexts *c)
{
	struct context *x =
		c->count < CONTEXTS_MAX ? realloc(c->context, (c->count + 1) * sizeof(*x)) : NULL;

	if (!x)
		return NULL;
	c->context = x;
	x += c->count++;
	memset(x, 0, sizeof(*x));
	return x;
}

void contexts_remove(struct contexts *c, struct context *x)
{
	if (!strcmp(c->current, x->name))
		*c->current = '\0';
	c->count--;
	memmove(x, x + 1, (size_t)(c->context + c->count - x) * sizeof(*x));
}

const char *node_keys_read(const char *text, struct key_file *ret)
{
	static const char between[] = " \t,";
	unsigned n = 0;

	for (const char *p = text + strspn(text, between); *p; p += strspn(p, between)) {
		size_t size = strcspn(p, between);

		if (!key_text_is(p, size))
			return "it must be the node's public key, 40 characters of Z85";
		if (n == KEY_SERVERS_MAX)
			return "there are more than two keys";
		memcpy(ret->server[n], p, size);
		ret->server[n++][size] = '\0';
		p += size;
	}
	ret->servers = n;
	return n ? NULL : "it is empty";
}

/* Bytes that a line can hold, and gives back as they are. */
static const char *text_check(const char *value)
{
	size_t n = strlen(value);

	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return "there is a control character in it";
	return n && strchr(blanks, value[n - 1]) ? "a blank is at its end" : NULL;
}

const char *context_set(struct context *x, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} places[] = {
		{"endpoint", x->endpoint, sizeof(x->endpoint)},
		{"key",      x->key,      sizeof(x->key)     },
		{"node-key", x->node_key, sizeof(x->node_key)},
	};
	const char *bad = text_check(value);
	struct endpoints e;
	struct key_file k;

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]) && !bad; i++) {
		if (strcmp(key, places[i].key) != 0)
			continue;
		bad = *places[i].to                     ? "it is there twice"
		      : strlen(value) >= places[i].size ? "it is too long"
		      : places[i].to == x->endpoint     ? endpoints_split(value, &e)
		      : places[i].to == x->node_key     ? node_keys_read(value, &k)
		      : *value != '/'                   ? "it must be an absolute path"
							: NULL;
		if (!bad)
			(void)snprintf(places[i].to, places[i].size, "%s", value);
		return bad;
	}
	return bad ? bad : "it is nothing that a context has";
}

/* ---- reading ---- */

struct reading {
	const char *path;
	unsigned line;
	struct contexts *c;
	struct context *in; /* the section that is read; NULL: before the first */
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct reading *r, const char *format, ...)
{
	va_list ap;
	int n = snprintf(r->why, r->why_size, "%s:%u: ", r->path, r->line);

	va_start(ap, format);
	if (n >= 0 && (size_t)n < r->why_size)
		(void)vsnprintf(r->why + n, r->why_size - (size_t)n, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int section_take(struct reading *r, char *line)
{
	size_t n = strlen(line);
	const char *name = line + 1;
	const char *bad;

	if (line[n - 1] != ']')
		return wrong(r, "a section is [NAME]");
	line[n - 1] = '\0';
	bad = key_name_check(name);
	if (bad)
		return wrong(r, "the context's name %s", bad);
	if (contexts_find(r->c, name))
		return wrong(r, "context \"%s\" is there twice", name);
	r->in = contexts_add(r->c);
	if (!r->in)
		return wrong(r, "there are more than %u contexts", CONTEXTS_MAX);
	(void)snprintf(r->in->name, sizeof(r->in->name), "%s", name);
	return 0;
}

static int value_take(struct reading *r, const char *key, const char *value)
{
	const char *bad;

	if (r->in) {
		bad = context_set(r->in, key, value);
		return bad ? wrong(r, "%.60s = %.100s: %s", key, value, bad) : 0;
	}
	if (strcmp(key, "current") != 0)
		return wrong(r, "\"%.60s\" is nothing that comes before the first context", key);
	bad = *r->c->current ? "it is there twice" : key_name_check(value);
	if (bad)
		return wrong(r, "current = %.100s: %s", value, bad);
	(void)snprintf(r->c->current, sizeof(r->c->current), "%s", value);
	return 0;
}

static int line_take(struct reading *r, char *line)
{
	size_t n = strlen(line);
	char *value;

	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r' || strchr(blanks, line[n - 1])))
		line[--n] = '\0';
	if (*line == '#')
		return 0;
	line += strspn(line, blanks);
	if (!*line)
		return 0;
	if (*line == '[')
		return section_take(r, line);
	value = strchr(line, '=');
	if (!value)
		return wrong(r, "it is neither [NAME] nor KEY = VALUE");
	for (char *end = value; end > line && strchr(blanks, end[-1]); end--)
		end[-1] = '\0';
	*value++ = '\0';
	return value_take(r, line, value + strspn(value, blanks));
}

static int lines_take(struct reading *r, FILE *f)
{
	char line[LINE_SIZE];
	int e = 0;

	while (e == 0 && fgets(line, sizeof(line), f)) {
		r->line++;
		if (!strchr(line, '\n') && !feof(f))
			return wrong(r, "the line is too long");
		e = line_take(r, line);
	}
	if (e == 0 && ferror(f))
		return wrong(r, "%s", strerror(errno));
	for (unsigned i = 0; e == 0 && i < r->c->count; i++)
		if (!*r->c->context[i].endpoint)
			return fail(-EINVAL, r->why, r->why_size, "%s: [%s] has no endpoint",
				    r->path, r->c->context[i].name);
	if (e == 0 && *r->c->current && !contexts_find(r->c, r->c->current))
		return fail(-EINVAL, r->why, r->why_size, "%s: there is no [%s], which is current",
			    r->path, r->c->current);
	return e;
}

/* Only its user, or root, can have written it. */
static int owner_check(int fd, const char *path, char *why, size_t size)
{
	struct stat s;

	if (fstat(fd, &s) < 0)
		return fail(-errno, why, size, "look at \"%s\": %s", path, strerror(errno));
	if (!S_ISREG(s.st_mode))
		return fail(-EINVAL, why, size, "\"%s\" is no file", path);
	if ((s.st_uid && s.st_uid != geteuid()) || s.st_mode & (S_IWGRP | S_IWOTH))
		return fail(-EPERM, why, size,
			    "\"%s\" is another user's, or others may write to it: chown and "
			    "chmod 600 it",
			    path);
	return 0;
}

int contexts_read(const char *path, struct contexts *ret, char *why, size_t why_size)
{
	struct contexts c = {0};
	struct reading reading = {.path = path, .c = &c, .why = why, .why_size = why_size};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a pipe */
	FILE *f;
	int r;

	*ret = c;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : fail(-errno, why, why_size, "read \"%s\": %s", path,
				      strerror(errno));
	r = owner_check(fd, path, why, why_size);
	f = r == 0 ? fdopen(fd, "r") : NULL;
	if (!f) {
		(void)close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	r = lines_take(&reading, f);
	(void)fclose(f);
	if (r < 0)
		contexts_free(&c);
	*ret = c;
	return r;
}

/* ---- changing ---- */

/* The folder it is in, and the one above, which a new user may not have either. */
static int folders_make(const char *path, char *why, size_t size)
{
	char dir[PATH_MAX];
	char *end;
	int depth = 0;
	size_t at[2];

	(void)snprintf(dir, sizeof(dir), "%s", path);
	while (depth < 2 && (end = strrchr(dir, '/')) && end > dir) {
		*end = '\0';
		at[depth++] = (size_t)(end - dir);
	}
	while (depth-- > 0) {
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)at[depth], path);
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return fail(-errno, why, size, "make folder \"%s\": %s", dir,
				    strerror(errno));
	}
	return 0;
}

int contexts_lock(const char *path, int *ret_lock, char *why, size_t why_size)
{
	const struct timespec nap = {0, NAP_MS * 1000000};
	uint64_t end_ms = clock_ms() + LOCK_MS;
	char lock[PATH_MAX + 8];
	int r = folders_make(path, why, why_size);
	int fd;

	if (r < 0)
		return r;
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = file_open(lock, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return fail(fd, why, why_size, "open \"%s\": %s", lock, file_reason(fd));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		if (r != -EWOULDBLOCK || clock_ms() >= end_ms) {
			(void)close(fd);
			return fail(r, why, why_size, "lock \"%s\": %s", lock,
				    r == -EWOULDBLOCK ? "another pail is changing contexts"
						      : strerror(-r));
		}
		(void)nanosleep(&nap, NULL);
	}
	*ret_lock = fd;
	return 0;
}

void contexts_unlock(int lock)
{
	(void)close(lock);
}

static void contexts_print(FILE *f, const struct contexts *c)
{
	(void)fprintf(f, "# Where nodes are and which keys they take.  `pail context` writes this "
			 "file anew at each change.\n");
	if (*c->current)
		(void)fprintf(f, "current = %s\n", c->current);
	for (unsigned i = 0; i < c->count; i++) {
		const struct context *x = &c->context[i];

		(void)fprintf(f, "\n[%s]\nendpoint = %s\n", x->name, x->endpoint);
		if (*x->key)
			(void)fprintf(f, "key = %s\n", x->key);
		if (*x->node_key)
			(void)fprintf(f, "node-key = %s\n", x->node_key);
	}
}

/* The new file, on disk with all its bytes.  0 or negative errno. */
static int file_fill(const char *path, const struct contexts *c)
{
	int fd = file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int r;

	if (fd < 0)
		return fd;
	if (!f) {
		(void)close(fd);
		return -ENOMEM;
	}
	contexts_print(f, c);
	errno = EIO;
	r = fflush(f) || ferror(f) || fsync(fd) < 0 || fchmod(fd, 0600) < 0 ? -errno : 0;
	if (fclose(f) && r == 0)
		r = -errno;
	return r;
}

int contexts_write(const char *path, const struct contexts *c, char *why, size_t why_size)
{
	char temp[PATH_MAX + 8];
	char dir[PATH_MAX];
	int r = file_check(path); /* of a link the link would be replaced, not the file behind it */

	if (r < 0 && r != -ENOENT)
		return fail(r, why, why_size, "write \"%s\": %s", path, file_reason(r));
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	r = file_fill(temp, c);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r == 0)
		r = file_sync_dir(dir);
	else if (r != -ELOOP && r != -EMLINK && r != -EMEDIUMTYPE)
		(void)unlink(temp);
	return r < 0 ? fail(r, why, why_size, "write \"%s\": %s", path, file_reason(r)) : 0;
}
