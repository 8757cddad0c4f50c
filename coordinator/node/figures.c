/* Where the node's figures lie, and its events. */
#include "coordinator/node/figures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define FIGURES_MAGIC 0x3165727567696650ull /* raised with the layout */

static int figures_map(int fd, struct figures **ret)
{
	void *p = mmap(NULL, sizeof(**ret), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	*ret = p == MAP_FAILED ? NULL : p;
	return *ret ? 0 : -errno;
}

int figures_new(struct figures **ret, int *ret_fd)
{
	int fd = memfd_create("pail-figures", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	*ret = NULL;
	/* All of it is there from the first: a full machine is an error now and no SIGBUS later. */
	if (r == 0 && posix_fallocate(fd, 0, (off_t)sizeof(**ret)) != 0)
		r = -ENOMEM;
	if (r == 0)
		r = figures_map(fd, ret);
	if (r < 0) {
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	(*ret)->magic = FIGURES_MAGIC;
	(*ret)->size = sizeof(**ret);
	*ret_fd = fd;
	return 0;
}

int figures_open(int fd, struct figures **ret)
{
	struct stat st;
	int r;

	*ret = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(**ret))
		return -EPROTO;
	r = figures_map(fd, ret);
	if (r == 0 && ((*ret)->magic != FIGURES_MAGIC || (*ret)->size != sizeof(**ret))) {
		figures_free(ret);
		r = -EPROTO;
	}
	return r;
}

void figures_free(struct figures **f)
{
	if (*f)
		(void)munmap(*f, sizeof(**f));
	*f = NULL;
}

void figures_event(struct figures *f, enum event_kind kind, enum event_level level,
		   const char *subject, const char *format, ...)
{
	static const enum log_level of[] = {LOG_INFO, LOG_WARN, LOG_ERROR};
	char text[1024];
	struct event *e;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line(of[level], "%s", text);
	if (!f)
		return;
	e = &f->event[f->events % EVENTS_KEPT];
	e->id = ++f->events;
	e->wall_ms = clock_wall_ms();
	e->kind = (uint8_t)kind;
	e->level = (uint8_t)level;
	(void)snprintf(e->subject, sizeof(e->subject), "%.*s", (int)sizeof(e->subject) - 1,
		       subject);
	(void)snprintf(e->text, sizeof(e->text), "%.*s", (int)sizeof(e->text) - 1, text);
}

const char *figures_event_kind(const struct event *e)
{
	static const char *const name[] = {
#define X(id, name) #name,
		EVENT_KINDS(X)
#undef X
	};

	return e->kind < EVENT_OF_COUNT ? name[e->kind] : "other"; /* of a later version */
}

const char *figures_event_level(const struct event *e)
{
	return e->level == EVENT_INFO ? "info" : e->level == EVENT_WARNING ? "warning" : "error";
}
