/* Key files, in and out. */
#include "common/key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/file.h"
#include "common/span.h"

#define PATH_SHOWN 200 /* of a path in an error */

/* ---- what a key is, and a name ---- */

/* Each character at the place of its value. */
static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  ".-:+=^!/*?&<>()[]{}@%$#";

bool key_text_is(const char *text, size_t n)
{
	if (n != KEY_TEXT)
		return false;
	for (size_t i = 0; i < n; i += 5) {
		uint64_t word = 0;

		for (size_t k = i; k < i + 5; k++) {
			const char *at = text[k] ? strchr(z85, text[k]) : NULL;

			if (!at)
				return false;
			word = word * 85 + (uint64_t)(at - z85);
		}
		if (word > UINT32_MAX)
			return false;
	}
	return true;
}

const char *key_name_check(const char *name)
{
	size_t n = strlen(name);

	if (!n)
		return "is empty";
	if (n > KEY_NAME_MAX)
		return "is longer than 63 bytes";
	if (n == 1 && *name == '-')
		return "is nobody's";
	for (const char *p = name; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return "has a blank in it, or what is no printable ASCII";
		if (strchr("\"'`=#,[]*\\/", *p))
			return "has one of \" ' ` = # , [ ] * \\ / in it: names are written "
			       "without quotes";
	}
	return NULL;
}

/* ---- reading ---- */

struct reading {
	struct key_file key;
	unsigned name_line, public_line, secret_line; /* 0: not yet */
	const char *file;
	unsigned line;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reading *r, const char *fmt, ...)
{
	char reason[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	if (r->line)
		(void)snprintf(r->why, r->why_size, "%.*s:%u: %s", PATH_SHOWN, r->file, r->line,
			       reason);
	else
		(void)snprintf(r->why, r->why_size, "%.*s: %s", PATH_SHOWN, r->file, reason);
	return -EINVAL;
}

static struct span trimmed(struct span s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int once(struct reading *r, const char *word, unsigned *line)
{
	if (*line)
		return refuse(r, "%s is in line %u already", word, *line);
	*line = r->line;
	return 0;
}

static int take_name(struct reading *r, struct span value)
{
	char name[KEY_NAME_MAX + 2]; /* with the byte that makes it too long */
	const char *wrong;
	int e = once(r, "name", &r->name_line);

	if (e < 0)
		return e;
	(void)snprintf(name, sizeof(name), "%.*s", (int)value.n, value.p);
	wrong = key_name_check(name);
	if (wrong)
		return refuse(r, "the name %s", wrong);
	memcpy(r->key.name, name, strlen(name) + 1);
	return 0;
}

static int take_key(struct reading *r, const char *word, struct span value, char *ret)
{
	if (!key_text_is(value.p, value.n))
		return refuse(r, "%s is no key: %u characters of Z85, here are %zu%s", word,
			      KEY_TEXT, value.n,
			      value.n == KEY_TEXT ? " that are not, or too large a number" : "");
	memcpy(ret, value.p, KEY_TEXT);
	ret[KEY_TEXT] = '\0';
	return 0;
}

static int take(struct reading *r, struct span word, struct span value)
{
	int e;

	if (span_equal(word, span_of("name")))
		return take_name(r, value);
	if (span_equal(word, span_of("public"))) {
		e = once(r, "public", &r->public_line);
		return e < 0 ? e : take_key(r, "public", value, r->key.public);
	}
	if (span_equal(word, span_of("secret"))) {
		e = once(r, "secret", &r->secret_line);
		return e < 0 ? e : take_key(r, "secret", value, r->key.secret);
	}
	if (!span_equal(word, span_of("server")))
		return refuse(r, "a line is name, public, secret or server, =, and its value");
	if (r->key.servers == KEY_SERVERS_MAX)
		return refuse(r, "there are more than %u lines of server", KEY_SERVERS_MAX);
	return take_key(r, "server", value, r->key.server[r->key.servers++]);
}

static int take_line(struct reading *r, struct span line)
{
	struct span rest;
	const char *equals;

	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if (c == '\r')
			return refuse(r, "has a carriage return in it: lines end with a newline "
					 "and nothing else");
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return refuse(r, "has the control character 0x%02x in it", c);
	}
	if (line.n && *line.p == '#')
		return 0;
	rest = trimmed(line);
	if (!rest.n)
		return 0;
	if (*rest.p == '#')
		return refuse(r, "# begins a comment only as the first character of a line");
	equals = memchr(rest.p, '=', rest.n);
	if (!equals)
		return refuse(r, "has no = in it: a line is WORD = VALUE");
	return take(r, trimmed((struct span){rest.p, (size_t)(equals - rest.p)}),
		    trimmed((struct span){equals + 1, (size_t)(rest.p + rest.n - equals - 1)}));
}

static int lacking(struct reading *r, const char *word)
{
	r->line = 0;
	return refuse(r, "has no line `%s = …`", word);
}

int key_file_parse(const char *text, size_t n, const char *file, struct key_file *ret, char *why,
		   size_t why_size)
{
	struct reading r = {.file = file, .why = why, .why_size = why_size};
	int e = 0;

	for (size_t at = 0; e == 0 && at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t size = end ? (size_t)(end - text) - at : n - at;

		r.line++;
		e = take_line(&r, (struct span){text + at, size});
		at += size + 1;
	}
	if (e == 0 && !r.name_line)
		e = lacking(&r, "name");
	if (e == 0 && !r.public_line)
		e = lacking(&r, "public");
	if (e == 0 && !r.secret_line)
		e = lacking(&r, "secret");
	if (e == 0)
		*ret = r.key;
	key_file_forget(&r.key);
	return e;
}

/* Does it lie in the folder of systemd's credentials, links followed? */
static bool is_credential(const char *path)
{
	const char *said = getenv("CREDENTIALS_DIRECTORY");
	char folder[PATH_MAX];
	char real[PATH_MAX];
	size_t n;

	if (!said || *said != '/' || !realpath(said, folder) || !realpath(path, real))
		return false;
	n = strlen(folder);
	return n > 1 && !strncmp(real, folder, n) && real[n] == '/';
}

static int fail(int e, const char *path, const char *what, char *why, size_t why_size)
{
	(void)snprintf(why, why_size, "%.*s: %s: %s", PATH_SHOWN, path, what, strerror(-e));
	return e;
}

/* Is what was opened a file that nobody else can have read? */
static int judge(int fd, const char *path, char *why, size_t why_size)
{
	const mode_t others = S_IRWXG | S_IRWXO;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(-errno, path, "cannot look at it", why, why_size);
	if (!S_ISREG(st.st_mode)) {
		(void)snprintf(why, why_size, "%.*s: %s", PATH_SHOWN, path,
			       S_ISDIR(st.st_mode) ? "is a folder" : "is no plain file");
		return -EMEDIUMTYPE;
	}
	if (!(st.st_mode & others) || ((st.st_mode & others) == S_IRGRP && is_credential(path)))
		return 0;
	(void)snprintf(why, why_size,
		       "%.*s: others than its owner may use it (mode %04o): chmod 600 %.*s",
		       PATH_SHOWN, path, (unsigned)(st.st_mode & 07777), PATH_SHOWN, path);
	return -EACCES;
}

/* All of a file, into `text` of KEY_FILE_MAX + 1 bytes. */
static int read_all(int fd, const char *path, char *text, size_t *ret_n, char *why, size_t why_size)
{
	size_t n = 0;

	while (n <= KEY_FILE_MAX) {
		ssize_t k = read(fd, text + n, KEY_FILE_MAX + 1 - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return fail(-errno, path, "cannot read it", why, why_size);
		if (k == 0) {
			*ret_n = n;
			return 0;
		}
		n += (size_t)k;
	}
	(void)snprintf(why, why_size, "%.*s: longer than %u bytes, which no key file is",
		       PATH_SHOWN, path, KEY_FILE_MAX);
	return -EFBIG;
}

int key_file_read(const char *path, struct key_file *ret, char *why, size_t why_size)
{
	char text[KEY_FILE_MAX + 1];
	size_t n = 0;
	int r;
	/* Not to wait for who might write into a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail(-errno, path, "cannot open it", why, why_size);
	r = judge(fd, path, why, why_size);
	if (r == 0)
		r = read_all(fd, path, text, &n, why, why_size);
	if (r == 0)
		r = key_file_parse(text, n, path, ret, why, why_size);
	explicit_bzero(text, sizeof(text));
	(void)close(fd);
	return r;
}

/* ---- writing ---- */

static int write_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t k = write(fd, text, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		text += k;
		n -= (size_t)k;
	}
	return 0;
}

/* The folder that the name of a file is in. */
static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	if (!slash)
		return file_sync_dir(".");
	(void)snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
		       path);
	return file_sync_dir(folder);
}

static int write_new(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fchmod(fd, 0600) < 0 ? -errno : write_all(fd, text, n);
	if (r == 0)
		r = fault_at("key.sync");
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		r = sync_folder_of(path);
	if (r < 0)
		(void)unlink(path); /* it was not there before */
	return r;
}

int key_file_write(const char *path, const struct key_file *k, char *why, size_t why_size)
{
	char text[KEY_FILE_MAX];
	struct key_file again;
	size_t n;
	int r;

	n = (size_t)snprintf(text, sizeof(text), "name = %s\npublic = %s\nsecret = %s\n", k->name,
			     k->public, k->secret);
	for (unsigned i = 0; i < k->servers && i < KEY_SERVERS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "server = %s\n", k->server[i]);
	r = key_file_parse(text, n, path, &again, why, why_size);
	if (r == 0) {
		key_file_forget(&again);
		r = write_new(path, text, n);
		if (r == -EEXIST)
			(void)snprintf(why, why_size,
				       "%.*s: is there already: a key is not written over "
				       "anything",
				       PATH_SHOWN, path);
		else if (r < 0)
			(void)fail(r, path, "cannot write it", why, why_size);
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

void key_file_forget(struct key_file *k)
{
	explicit_bzero(k->secret, sizeof(k->secret));
}
