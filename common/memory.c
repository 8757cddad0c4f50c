/* RAM from /proc/meminfo, limits from the control groups' files. */
#include "common/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/size.h"

#define LEAST (16u << 20) /* a limit below it is no limit that anything could work with */

static uint64_t ram(const char *root)
{
	char path[PATH_MAX];
	char line[256];
	unsigned long long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	f = fopen(path, "re");
	while (f && !kib && fgets(line, sizeof(line), f))
		(void)sscanf(line, "MemTotal: %llu kB", &kib);
	if (f)
		(void)fclose(f);
	if (kib)
		return kib * 1024;
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The number in a file; UINT64_MAX if there is none ("max", or no such file). */
static uint64_t number_in(const char *path)
{
	char text[64] = "";
	unsigned long long n;
	FILE *f = fopen(path, "re");
	bool read = f && fgets(text, sizeof(text), f) && sscanf(text, "%llu", &n) == 1;

	if (f)
		(void)fclose(f);
	return read ? n : UINT64_MAX;
}

/* The least limit of a group and all above it, up to where the hierarchy is mounted. */
static uint64_t group_limit(const char *mount, const char *group, const char *file)
{
	char path[PATH_MAX];
	uint64_t least = UINT64_MAX;
	size_t top = strlen(mount);
	size_t n;

	/* A group outside of the namespace is shown by way of "..": its files cannot be reached. */
	(void)snprintf(path, sizeof(path) - 64, "%s%s", mount, strstr(group, "/..") ? "" : group);
	for (n = strlen(path); n >= top; n--) {
		uint64_t limit;

		if (path[n] && path[n] != '/')
			continue;
		(void)snprintf(path + n, sizeof(path) - n, "/%s", file);
		limit = number_in(path);
		if (limit < least)
			least = limit;
		path[n] = '\0';
	}
	return least;
}

/* Is `name` among the words of a list with commas? */
static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);
	const char *at = list;

	while ((at = strstr(at, name))) {
		if ((at == list || at[-1] == ',') && (at[n] == ',' || !at[n]))
			return true;
		at += n;
	}
	return false;
}

/* A line of cgroup(7)'s /proc/PID/cgroup is number:controllers:group; version 2 names none. */
static uint64_t line_limit(const char *root, char *line)
{
	char mount[PATH_MAX];
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!group)
		return UINT64_MAX;
	*group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	controllers++;
	if (!*controllers) {
		(void)snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
		return group_limit(mount, group, "memory.max");
	}
	if (!listed(controllers, "memory"))
		return UINT64_MAX;
	(void)snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/memory", root);
	return group_limit(mount, group, "memory.limit_in_bytes");
}

uint64_t memory_total_under(const char *root)
{
	char path[PATH_MAX];
	char line[PATH_MAX];
	uint64_t least = ram(root);
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t limit = line_limit(root, line);

		if (limit < least)
			least = limit;
	}
	if (f)
		(void)fclose(f);
	return least < LEAST ? LEAST : least;
}

uint64_t memory_total_bytes(void)
{
	const char *said = getenv("PAIL_MEMORY");
	uint64_t n;

	if (said && size_parse(said, &n) && n)
		return n < LEAST ? LEAST : n;
	return memory_total_under("");
}
