/* Which folders are synced when a store is made: a name that is not on disk takes all behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/lib/store_fixture.h"

static char synced_paths[64][512];
static unsigned synced_count;

/* In place of the C library's, for everything that is linked into this program. */
int fsync(int fd)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, synced_paths[synced_count % 64], sizeof(synced_paths[0]) - 1);
	if (n > 0)
		synced_paths[synced_count++ % 64][n] = '\0';
	return (int)syscall(SYS_fsync, fd);
}

static bool was_synced(const char *path)
{
	for (unsigned i = 0; i < synced_count && i < 64; i++)
		if (!strcmp(synced_paths[i], path))
			return true;
	return false;
}

static void the_name_of_its_folder_is_on_disk_before_anything_is_written(void)
{
	fresh();
	for (int life = 0; life < 2; life++) { /* the first may have been killed before it did so */
		synced_count = 0;
		EQ(0, reopen());
		TRUE_(was_synced(unit_folder()));
		TRUE_(life || was_synced(dir));
		finish();
	}
}

UNIT_MAIN(T(the_name_of_its_folder_is_on_disk_before_anything_is_written))
