/* How much memory there is, by the files of machines of several kinds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/memory.h"
#include "tests/unit/lib/unit.h"

#define MIB (1024LL * 1024)

static char root[300];

static void machine(const char *name)
{
	(void)snprintf(root, sizeof(root), "%s/%s", unit_folder(), name);
	EQ(0, mkdir(root, 0700));
}

/* A file below the root, and the folders on the way there. */
static void file(const char *path, const char *text)
{
	char at[600];
	FILE *f;

	(void)snprintf(at, sizeof(at), "%s%s", root, path);
	for (char *p = at + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(at, 0700);
		*p = '/';
	}
	f = fopen(at, "w");
	TRUE_(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void ram_alone(void)
{
	machine("ram");
	file("/proc/meminfo", "MemTotal:        2048000 kB\nMemFree:  1 kB\n");
	EQ(2000 * MIB, memory_total_under(root));
	file("/proc/self/cgroup", "0::/\n");
	EQ(2000 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/memory.max", "max\n");
	EQ(2000 * MIB, memory_total_under(root));
}

static void the_least_limit_of_a_group_and_those_above(void)
{
	machine("v2");
	file("/proc/meminfo", "MemTotal:        2048000 kB\n");
	file("/proc/self/cgroup", "0::/system.slice/pail.service\n");
	file("/sys/fs/cgroup/system.slice/pail.service/memory.max", "1073741824\n");
	EQ(1024 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/system.slice/memory.max", "536870912\n");
	EQ(512 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/memory.max", "268435456\n");
	EQ(256 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/memory.max", "max\n");
	file("/sys/fs/cgroup/system.slice/memory.max", "max\n");
	file("/sys/fs/cgroup/system.slice/pail.service/memory.max", "9999999999999\n");
	EQ(2000 * MIB, memory_total_under(root));
}

static void version_one_and_both_at_once(void)
{
	machine("v1");
	file("/proc/meminfo", "MemTotal:        2048000 kB\n");
	file("/proc/self/cgroup",
	     "9:name=systemd:/\n5:cpu,cpuacct:/b\n4:hugetlb,memory:/a/b\n0::/\n");
	file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	EQ(2000 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "104857600\n"); /* another's */
	EQ(2000 * MIB, memory_total_under(root));
	file("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "209715200\n");
	EQ(200 * MIB, memory_total_under(root));
}

static void a_group_outside_of_the_namespace(void)
{
	machine("namespace");
	file("/proc/meminfo", "MemTotal:        2048000 kB\n");
	file("/proc/self/cgroup", "0::/../../other\n");
	file("/sys/fs/cgroup/memory.max", "419430400\n");
	EQ(400 * MIB, memory_total_under(root));
}

static void never_less_than_anything_could_work_with(void)
{
	machine("tiny");
	file("/proc/meminfo", "MemTotal:        2048000 kB\n");
	file("/proc/self/cgroup", "0::/\n");
	file("/sys/fs/cgroup/memory.max", "0\n");
	EQ(16 * MIB, memory_total_under(root));
}

static void the_environment_wins(void)
{
	EQ(0, setenv("PAIL_MEMORY", "3G", 1));
	EQ(3072 * MIB, memory_total_bytes());
	EQ(0, setenv("PAIL_MEMORY", "nonsense", 1));
	EQ((long long)memory_total_under(""), (long long)memory_total_bytes());
	EQ(0, unsetenv("PAIL_MEMORY"));
	TRUE_(memory_total_bytes() >= 64 * MIB); /* this machine, whatever it is */
}

UNIT_MAIN(T(ram_alone), T(the_least_limit_of_a_group_and_those_above),
	  T(version_one_and_both_at_once), T(a_group_outside_of_the_namespace),
	  T(never_less_than_anything_could_work_with), T(the_environment_wins))
