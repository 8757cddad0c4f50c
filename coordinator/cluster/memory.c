/*
 * What a node keeps of the agreement on its own disk, in `cluster` in its data folder: the highest
 * revision it has seen, so that an agreement that was set back is noticed, and whose it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/cluster/membership_impl.h"

#define KEEP_MS  1000u /* between two writes */
#define TEXT_MAX 160u

/* A door may have none: it changes nothing in the agreement, so it need not notice more than others. */
static bool has_folder(const struct membership *m)
{
	return *conf_text(m->parts.node->conf, CONF_node_data);
}

static void path_of(const struct membership *m, const char *end, char *out, size_t size)
{
	(void)snprintf(out, size, "%.900s/cluster%s",
		       conf_text(m->parts.node->conf, CONF_node_data), end);
}

int memory_read(struct membership *m)
{
	char path[1000];
	char text[TEXT_MAX] = "";
	int fd;
	ssize_t n;
	int end = 0;

	if (!has_folder(m))
		return 0;
	path_of(m, "", path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		(void)close(fd);
	if (n < 0 ||
	    sscanf(text, "pail-cluster 1\netcd %" SCNx64 "\nrevision %" SCNu64 "\nend\n%n",
		   &m->etcd, &m->kept_revision, &end) != 2 ||
	    end != n) {
		log_error("read \"%s\": %s", path, n < 0 ? strerror(errno) : "it is damaged");
		return n < 0 ? -errno : -EBADMSG;
	}
	return 0;
}

/* All of it, or what was there before. */
static int memory_write(const struct membership *m, uint64_t revision)
{
	char path[1000];
	char new[1000];
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text),
			 "pail-cluster 1\netcd %" PRIx64 "\nrevision %" PRIu64 "\nend\n", m->etcd,
			 revision);
	int fd;
	int r;

	path_of(m, "", path, sizeof(path));
	path_of(m, ".new", new, sizeof(new));
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	r = write(fd, text, (size_t)n) != n || fdatasync(fd) < 0 ? -EIO : 0;
	(void)close(fd);
	return r < 0 ? r : rename(new, path) < 0 ? -errno : 0;
}

void memory_tick(struct membership *m)
{
	uint64_t now_ms = m->parts.node->now_ms;
	uint64_t revision = m->clerk ? clerk_revision(m->clerk) : m->kept_revision;
	int r;

	if (!has_folder(m))
		return;
	if ((revision <= m->kept_revision && m->etcd == m->kept_etcd) || now_ms < m->keep_ms)
		return;
	m->keep_ms = now_ms + KEEP_MS;
	r = memory_write(m, revision);
	if (r < 0) {
		log_warn("keep the agreement's revision in %s/cluster: %s",
			 conf_text(m->parts.node->conf, CONF_node_data), strerror(-r));
		return;
	}
	m->kept_revision = revision;
	m->kept_etcd = m->etcd;
}
