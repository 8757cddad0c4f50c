/* What limits default to on this machine, and what they must allow. */
#include "coordinator/process/shares.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/log_size.h"
#include "common/memory.h"
#include "common/size.h"
#include "coordinator/process/datadir.h"
#include "include/wire.h"

#define MIB           (1ull << 20)
#define CACHE_SHARE   4u            /* of the memory there is: one in so many */
#define LOG_SHARE     4u            /* likewise */
#define DISK_SHARE    10u           /* of the disk, which is base's most of all */
#define CACHE_SMALL   (256 * MIB)   /* of a node that shares the machine */
#define LOG_SMALL     (1024 * MIB)  /* likewise */
#define REQUEST_SPARE (64ull << 10) /* bytes of a request beside its value */
#define SIZE_TEXT     32u

uint64_t shares_request_max(const struct conf *c)
{
	return conf_number(c, CONF_limits_value) + REQUEST_SPARE;
}

uint64_t shares_group_max(const struct conf *c)
{
	return log_group_bytes(conf_number(c, CONF_limits_message),
			       conf_number(c, CONF_limits_result));
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The disk that a folder lies on, or would if it were made. */
static int disk_of(const char *dir, struct statvfs *ret)
{
	char path[1100];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s", dir);
	while (statvfs(path, ret) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return -errno;
		slash = strrchr(path, '/');
		if (!slash)
			return statvfs(".", ret) < 0 ? -errno : 0;
		slash[slash == path] = '\0';
		if (slash == path && statvfs(path, ret) < 0)
			return -errno;
	}
	return 0;
}

static void share_settle(struct conf *c, enum conf_key k, uint64_t number, const char *share,
			 uint64_t of)
{
	char text[SIZE_TEXT];
	char why[200];

	size_write(of / MIB * MIB, text, sizeof(text));
	(void)snprintf(why, sizeof(why), "default: %s of %s", share, text);
	conf_settle(c, k, number / MIB * MIB, why);
}

static void cache_settle(struct conf *c, bool small)
{
	uint64_t memory = memory_total_bytes();
	uint64_t share = most(memory / CACHE_SHARE, MIB);

	if (!conf_is_default(c, CONF_limits_cache))
		return;
	if (small && share > CACHE_SMALL)
		conf_settle(c, CONF_limits_cache, CACHE_SMALL, "default: small, with --dev");
	else
		share_settle(c, CONF_limits_cache, share, "a quarter of the memory", memory);
}

/* What the log of all workers must allow. */
static uint64_t log_least(const struct conf *c, uint64_t workers)
{
	return workers * log_size(conf_number(c, CONF_limits_value), shares_group_max(c),
				  conf_number(c, CONF_storage_segment), 0)
				 .limit_least;
}

static void log_default(struct conf *c, uint64_t workers, bool small)
{
	uint64_t memory = memory_total_bytes();
	uint64_t share = memory / LOG_SHARE;
	uint64_t need = log_least(c, workers);
	struct statvfs disk;
	uint64_t disk_bytes = UINT64_MAX;
	char why[200];

	if (disk_of(conf_text(c, CONF_node_data), &disk) == 0)
		disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
	if (small)
		share = least(share, LOG_SMALL);
	if (most(need, MIB) >= least(share, disk_bytes / DISK_SHARE)) {
		(void)snprintf(why, sizeof(why), "default: the least for %llu worker%s",
			       (unsigned long long)workers, workers == 1 ? "" : "s");
		conf_settle(c, CONF_limits_log, (need + MIB - 1) / MIB * MIB, why);
	} else if (disk_bytes / DISK_SHARE < share) {
		share_settle(c, CONF_limits_log, disk_bytes / DISK_SHARE, "a tenth of the disk",
			     disk_bytes);
	} else if (share == LOG_SMALL && small) {
		conf_settle(c, CONF_limits_log, LOG_SMALL, "default: small, with --dev");
	} else {
		share_settle(c, CONF_limits_log, share, "a quarter of the memory", memory);
	}
}

static void log_check(struct conf *c, uint64_t workers)
{
	uint64_t need = (log_least(c, workers) + 1023) / 1024 * 1024;
	char text[SIZE_TEXT];

	if (conf_number(c, CONF_limits_log) >= need)
		return;
	size_write(need, text, sizeof(text));
	conf_error(c, c->value[CONF_limits_log].origin,
		   "limits.log = %s is too little: it must be %s at least, for %llu worker%s with "
		   "%u files each that hold the largest value (limits.value = %s) and one that "
		   "holds the largest transaction (limits.message = %s)",
		   conf_text(c, CONF_limits_log), text, (unsigned long long)workers,
		   workers == 1 ? "" : "s", LOG_FILES_LEAST - 1, conf_text(c, CONF_limits_value),
		   conf_text(c, CONF_limits_message));
}

/* A setting that is less than what it must be is that. */
static void raise_to(struct conf *c, enum conf_key k, const char *name, uint64_t need,
		     const char *reason)
{
	char why[CONF_ORIGIN_MAX];

	if (conf_number(c, k) >= need)
		return;
	if (conf_is_default(c, k))
		(void)snprintf(why, sizeof(why), "default: %s", reason);
	else
		(void)snprintf(why, sizeof(why), "%.150s: %s = %.30s, raised: %s",
			       c->value[k].origin, name, conf_text(c, k), reason);
	conf_settle(c, k, need, why);
}

static struct log_size log_size_of(const struct conf *c, uint64_t workers)
{
	return log_size(conf_number(c, CONF_limits_value), shares_group_max(c),
			conf_number(c, CONF_storage_segment),
			conf_number(c, CONF_limits_log) / workers);
}

void shares_settle(struct conf *c, bool small)
{
	const char *data = conf_text(c, CONF_node_data);
	uint32_t workers = datadir_workers(data, (uint32_t)conf_number(c, CONF_node_workers));
	char reason[100];

	cache_settle(c, small);
	if (conf_number(c, CONF_node_role) == ROLE_ROUTER)
		workers = 1; /* it has none, and nothing to keep; what is set may stay set */
	if (conf_is_default(c, CONF_limits_log))
		log_default(c, workers, small);
	else if (conf_number(c, CONF_node_role) != ROLE_ROUTER)
		log_check(c, workers);
	(void)snprintf(reason, sizeof(reason), "six log files for each of %u worker%s", workers,
		       workers == 1 ? "" : "s");
	raise_to(c, CONF_storage_reserve, "storage.reserve",
		 workers * log_size_of(c, workers).reserve_bytes, reason);
}

int shares_disk(const struct conf *c, uint32_t workers, char *why, size_t why_size)
{
	const char *data = conf_text(c, CONF_node_data);
	struct log_size s = log_size_of(c, workers);
	uint64_t need = log_disk_least(&s, workers, conf_number(c, CONF_storage_reserve));
	struct statvfs disk;
	uint64_t room;
	char text[4][SIZE_TEXT];

	if (statvfs(data, &disk) < 0)
		return 0; /* whatever it is, the workers will say it better */
	room = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (room >= need)
		return 0;
	size_write(room / 1024 * 1024, text[0], SIZE_TEXT);
	size_write((need + MIB - 1) / MIB * MIB, text[1], SIZE_TEXT);
	size_write(s.file_bytes, text[2], SIZE_TEXT);
	size_write(conf_number(c, CONF_storage_reserve), text[3], SIZE_TEXT);
	(void)snprintf(why, why_size,
		       "data folder \"%.150s\" is on a disk with %s free, a new node needs %s: for "
		       "%u worker%s with log files of %s and storage.reserve = %s; make room, or "
		       "set node.workers, limits.log or limits.value lower",
		       data, text[0], text[1], workers, workers == 1 ? "" : "s", text[2], text[3]);
	return -ENOSPC;
}
