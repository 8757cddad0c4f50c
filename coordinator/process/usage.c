/* proc(5): /proc/PID/stat and /proc/PID/fd. */
#include "coordinator/process/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELDS_BEFORE_TIMES 11 /* between the name's parenthesis and utime: state to cmajflt */

static uint64_t files_count(pid_t pid)
{
	char path[64];
	uint64_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return 0;
	for (const struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

int usage_read(pid_t pid, struct usage *ret)
{
	unsigned long long ticks[2];
	unsigned long long pages;
	char text[1024];
	char path[64];
	char *at;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	text[n] = '\0';
	at = strrchr(text, ')'); /* any byte may be in the name before it */
	for (unsigned i = 0; at && i < FIELDS_BEFORE_TIMES + 1; i++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u %llu", &ticks[0],
			  &ticks[1], &pages) != 3)
		return -EBADMSG;
	ret->cpu_us = (ticks[0] + ticks[1]) * (1000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	ret->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	ret->files = files_count(pid);
	return 0;
}
