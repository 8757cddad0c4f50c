/* Reading the folder of modules, and having it checked by a program that knows the language. */
#include "coordinator/process/functions_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/workers/spawn.h"
#include "ipc/shm/segment.h"

#define SUFFIX    ".lua"
#define NAME_MAX_ (MODULES_NAME_SIZE - 6u) /* 50, as functions/functions.h has it */

_Static_assert(NAME_MAX_ == 50, "bytes of a module's name");

/* What has been read, and where errors go. */
struct folder {
	struct conf *conf;
	const char *dir;
	int fd;
	uint32_t count;
	uint64_t bytes;
	struct modules_source source[MODULES_MAX];
	char *text[MODULES_MAX]; /* of each, to be freed */
};

static int wrong(struct folder *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct folder *f, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_error(f->conf, f->conf->value[CONF_functions_dir].origin, "functions.dir = %.200s: %s",
		   f->dir, text);
	return -EINVAL;
}

/* ---- reading ---- */

static bool name_is_fine(const char *s, size_t n)
{
	return n && n <= NAME_MAX_ &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

/* Names that end in .lua and do not begin with a dot, as editors' own files do. */
static int is_module(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n >= sizeof(SUFFIX) - 1 &&
	       !strcmp(d->d_name + n - (sizeof(SUFFIX) - 1), SUFFIX);
}

static int text_read(struct folder *f, const char *name, int fd)
{
	struct modules_source *s = &f->source[f->count];
	struct stat before;
	struct stat after;
	ssize_t n = 0;
	char *p;

	if (fstat(fd, &before) < 0)
		return wrong(f, "%s: %s", name, strerror(errno));
	if (!S_ISREG(before.st_mode))
		return wrong(f, "%s: it is no file", name);
	if ((uint64_t)before.st_size > MODULES_BYTES_MAX - f->bytes)
		return wrong(f, "%s: with it the modules have more than %u bytes", name,
			     MODULES_BYTES_MAX);
	p = malloc((size_t)before.st_size + 1);
	if (!p)
		return wrong(f, "%s: no memory", name);
	f->text[f->count] = p;
	while (s->text.n <= (size_t)before.st_size &&
	       (n = read(fd, p + s->text.n, (size_t)before.st_size + 1 - s->text.n)) > 0)
		s->text.n += (size_t)n;
	if (n < 0 || fstat(fd, &after) < 0)
		return wrong(f, "%s: read it: %s", name, strerror(errno));
	if (s->text.n != (size_t)before.st_size || after.st_size != before.st_size ||
	    after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
	    after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
		return wrong(f, "%s: it has changed while it was read: try again", name);
	s->text.p = p;
	f->bytes += s->text.n;
	return 0;
}

static int module_read(struct folder *f, const char *name)
{
	size_t n = strlen(name) - (sizeof(SUFFIX) - 1);
	int fd;
	int r;

	if (f->count == MODULES_MAX)
		return wrong(f, "there are more than %u modules in it", MODULES_MAX);
	if (!strcmp(name, "node" SUFFIX))
		return wrong(f, "%s: the module `node` is built in: take another name", name);
	f->source[f->count] = (struct modules_source){
		.text = {"", 0}
        };
	(void)snprintf(f->source[f->count].name, sizeof(f->source[0].name), "%.*s", (int)n, name);
	if (!name_is_fine(f->source[f->count].name, n))
		return wrong(f, "%.100s: a module's name is 1 to %u letters, digits and _", name,
			     NAME_MAX_);
	/* Not to wait for the other end of a pipe. */
	fd = openat(f->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return wrong(f, "%s: %s", name,
			     errno == ELOOP ? "it is a link: modules are files of their own"
					    : strerror(errno));
	r = text_read(f, name, fd);
	(void)close(fd);
	f->count++; /* also for the text to be freed */
	return r;
}

static int names_compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int folder_read(struct folder *f)
{
	struct dirent **name = NULL;
	int n;
	int r = 0;

	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->fd < 0)
		return wrong(f, "%s", strerror(errno));
	n = scandirat(f->fd, ".", &name, is_module, names_compare);
	if (n < 0)
		r = wrong(f, "read it: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = module_read(f, name[i]->d_name);
		free(name[i]);
	}
	free(name);
	(void)close(f->fd);
	return r;
}

/* ---- the check ---- */

/* All that it says, until it ends.  0, or -ETIMEDOUT, or negative errno. */
static int output_read(int fd, unsigned limit_ms, struct buf *out)
{
	const uint64_t until = clock_ms() + limit_ms;

	for (;;) {
		uint64_t now = clock_ms();
		struct pollfd p = {fd, POLLIN, 0};
		char *room = buf_room(out, 4096);
		ssize_t n;

		if (!room || out->len > 2u * MODULES_LIST_MAX)
			return -ENOMEM;
		if (now >= until || poll(&p, 1, (int)(until - now)) == 0)
			return -ETIMEDOUT;
		n = read(fd, room, 4096);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		out->len += n > 0 ? (size_t)n : 0;
	}
}

static int check_judge(struct folder *f, int r, unsigned limit_ms, const siginfo_t *info,
		       const struct buf *out)
{
	if (r == -ETIMEDOUT)
		return wrong(f, "the modules are not loaded after %u ms", limit_ms);
	if (r < 0)
		return wrong(f, "check the modules: %s", strerror(-r));
	if (info->si_code == CLD_EXITED && info->si_status == 0)
		return 0;
	if (info->si_code == CLD_EXITED && out->len)
		return wrong(f, "%.*s", (int)(out->len < 350 ? out->len : 350), out->data);
	return wrong(f, "check the modules: pail-worker ended with %s %d",
		     info->si_code == CLD_EXITED ? "exit status" : "signal", info->si_status);
}

/* Have the set loaded once, by another process: what it finds in `out`. */
static int check_run(struct folder *f, const struct modules *m, unsigned limit_ms, struct buf *out)
{
	siginfo_t info = {0};
	struct spawned child;
	char path[1100];
	int end[2];
	int r = spawn_find("pail-worker", path, sizeof(path));

	if (r < 0)
		return wrong(f, "pail-worker is not beside paild, nor in ../libexec/pail");
	if (pipe2(end, O_CLOEXEC) < 0)
		return wrong(f, "check the modules: %s", strerror(errno));
	r = spawn_worker(path, "--check-functions",
			 (const int[FD_COUNT]){end[1], end[1], end[1], end[1], m->fd}, &child);
	(void)close(end[1]);
	if (r == 0) {
		r = output_read(end[0], limit_ms, out);
		if (r < 0)
			(void)kill(child.pid, SIGKILL);
		(void)waitid(P_PIDFD, (id_t)child.pidfd, &info, WEXITED);
		(void)close(child.pidfd);
	}
	(void)close(end[0]);
	return check_judge(f, r, limit_ms, &info, out);
}

static int set_make(struct folder *f, uint64_t generation, unsigned limit_ms, struct modules **ret)
{
	const struct conf *c = f->conf;
	struct modules_limits limits = {
		.memory_bytes = conf_number(c, CONF_functions_memory),
		.value_max = conf_number(c, CONF_limits_value),
		.time_ms = (uint32_t)conf_number(c, CONF_functions_time_ms),
	};
	struct modules *m = NULL;
	struct buf list;
	int r;

	buf_init(&list);
	(void)snprintf(limits.node, sizeof(limits.node), "%.63s", conf_text(c, CONF_node_name));
	r = modules_make(&limits, generation, f->source, f->count, (struct span){"", 0}, &m);
	if (r == 0 && f->count) {
		r = check_run(f, m, limit_ms, &list);
		modules_free(&m);
		if (r < 0)
			goto out;
		r = modules_make(&limits, generation, f->source, f->count,
				 (struct span){list.data, list.len}, &m);
	}
	if (r < 0)
		r = wrong(f, "%s",
			  r == -E2BIG ? "the names of the modules' functions are too many"
				      : strerror(-r));
	else
		*ret = m;
out:
	buf_fini(&list);
	return r;
}

int functions_folder_accept(struct conf *c, uint64_t generation, unsigned limit_ms,
			    struct modules **ret)
{
	struct folder *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return -ENOMEM;
	f->conf = c;
	f->dir = conf_text(c, CONF_functions_dir);
	if (*f->dir)
		r = folder_read(f);
	if (r == 0)
		r = set_make(f, generation, limit_ms, ret);
	for (uint32_t i = 0; i < f->count; i++)
		free(f->text[i]);
	free(f);
	return r;
}
