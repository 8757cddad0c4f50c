/* Descriptors that are left, and a reserve of them. */
#include "coordinator/clients/files.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/net/socket.h"

#define MARGIN 8u    /* so few left count as none */
#define NAP_MS 1000u /* between attempts to go on */

/* Any descriptor; one that needs no file, which might be missing. */
static int descriptor(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static void reserve_drop(struct files *f)
{
	while (f->reserved)
		(void)close(f->reserve[--f->reserved]);
}

/* False: there are not as many. */
static bool reserve_take(struct files *f)
{
	while (f->reserved < f->reserve_want) {
		int fd = descriptor();

		if (fd < 0)
			return false;
		f->reserve[f->reserved++] = fd;
	}
	return true;
}

void files_init(struct files *f)
{
	struct rlimit most;

	memset(f, 0, sizeof(*f));
	f->limit = getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < UINT32_MAX
			   ? (uint32_t)most.rlim_cur
			   : UINT32_MAX;
	f->reserve_want = f->limit / 8 < FILES_RESERVE ? f->limit / 8 : FILES_RESERVE;
	(void)reserve_take(f);
}

void files_fini(struct files *f)
{
	reserve_drop(f);
}

/* The kernel gives out the lowest number that is free, so that all below it are taken. */
static bool left(struct files *f)
{
	int fd = descriptor();

	f->used = fd < 0 ? f->limit : (uint32_t)fd;
	if (fd >= 0)
		(void)close(fd);
	return f->used + MARGIN < f->limit;
}

static void pause_links(struct socket *const *link, bool on)
{
	for (unsigned i = 0; i < FILES_LINKS; i++)
		if (link[i])
			(void)socket_pause(link[i], on); /* -ENOENT: it accepts nothing as it is */
}

/* Find out how, while there are descriptors. */
static void links_know(struct files *f, struct socket *const *link)
{
	for (unsigned i = 0; i < FILES_LINKS; i++)
		if (link[i] != f->known[i] && (!link[i] || socket_pause(link[i], false) == 0))
			f->known[i] = link[i];
}

static void pause_begin(struct files *f, struct socket *const *link, uint64_t now_ms)
{
	pause_links(link, true);
	reserve_drop(f);
	f->paused = true;
	f->pauses++;
	f->since_ms = now_ms;
	log_warn("all %u file descriptors are in use: no connection is accepted until some are "
		 "free; raise the limit: ulimit -n, or LimitNOFILE= of the unit",
		 f->limit);
}

void files_tick(struct files *f, struct socket *const link[FILES_LINKS], uint64_t now_ms)
{
	if (!f->paused) {
		if (!left(f))
			pause_begin(f, link, now_ms);
		else
			links_know(f, link);
		return;
	}
	if (now_ms - f->since_ms < NAP_MS)
		return;
	f->since_ms = now_ms;
	if (!reserve_take(f) || !left(f)) {
		reserve_drop(f);
		pause_links(link, true); /* a socket may be new */
		return;
	}
	f->paused = false;
	pause_links(link, false);
	log_info("file descriptors are free again: connections are accepted");
}
