/* Files of ours: what is opened, and what is refused because somebody could have put it there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/unit/lib/unit.h"

static char path[2][300];
static char why[256];

static void names(const char *a, const char *b)
{
	(void)snprintf(path[0], sizeof(path[0]), "%s/%s", unit_folder(), a);
	(void)snprintf(path[1], sizeof(path[1]), "%s/%s", unit_folder(), b);
}

static int written(const char *name)
{
	int fd = file_open(name, O_RDWR | O_CREAT | O_TRUNC, 0640);

	if (fd < 0)
		return fd;
	EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EQ(4, write(fd, "text", 4));
	(void)close(fd);
	return 0;
}

static long long size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) < 0 ? -errno : (long long)st.st_size;
}

static void what_is_no_plain_file_of_ours_is_not_opened(void)
{
	names("plain", "other");
	EQ(-ENOENT, file_check(path[0]));
	EQ(-ENOENT, file_open(path[0], O_RDWR, 0));
	EQ(0, written(path[0]));
	EQ(0, file_check(path[0]));
	EQ(0, symlink(path[0], path[1]));
	EQ(-ELOOP, file_check(path[1]));
	EQ(-ELOOP, written(path[1]));
	EQ(0, unlink(path[1]));
	EQ(0, link(path[0], path[1]));
	for (int i = 0; i < 2; i++) { /* both are names of one file */
		EQ(-EMLINK, file_check(path[i]));
		EQ(-EMLINK, written(path[i]));
	}
	EQ(4, size_of(path[0])); /* it was not truncated before it was looked at */
	EQ(0, unlink(path[1]));
	EQ(0, written(path[0]));
	EQ(0, mkfifo(path[1], 0600));
	EQ(-EMEDIUMTYPE, file_check(path[1]));
	EQ(-EMEDIUMTYPE, file_open(path[1], O_RDONLY, 0)); /* and nobody waits for a writer */
	EQ(0, unlink(path[1]));
	EQ(0, symlink("nowhere", path[1]));
	EQ(-ELOOP, written(path[1]));
	TRUE_(strstr(file_reason(-ELOOP), "symbolic link"));
	EQ(0, strcmp(strerror(ENOENT), file_reason(-ENOENT)));
}

static void a_folder_must_be_ours_alone(void)
{
	names("folder", "link");
	EQ(-ENOENT, file_check_folder(path[0], why, sizeof(why)));
	EQ(0, mkdir(path[0], 0750));
	EQ(0, file_check_folder(path[0], why, sizeof(why)));
	EQ(0, symlink(path[0], path[1]));
	EQ(-ELOOP, file_check_folder(path[1], why, sizeof(why)));
	EQ(0, chmod(path[0], 01777)); /* sticky folders are for guests */
	EQ(-EACCES, file_check_folder(path[0], why, sizeof(why)));
	EQ(0, chmod(path[0], 0770));
	EQ(-EACCES, file_check_folder(path[0], why, sizeof(why)));
	TRUE_(strstr(why, "/folder\" (mode 0770): chmod go-w it"));
	EQ(0, chmod(path[0], 0750));
	if (geteuid() == 0) { /* who is not root cannot make another's */
		EQ(0, chown(path[0], 12345, (gid_t)-1));
		EQ(-EPERM, file_check_folder(path[0], why, sizeof(why)));
		TRUE_(strstr(why, "belongs to user 12345"));
	}
	EQ(0, rmdir(path[0]));
	EQ(0, unlink(path[1]));
	EQ(0, written(path[0]));
	EQ(-ENOTDIR, file_check_folder(path[0], why, sizeof(why)));
}

UNIT_MAIN(T(what_is_no_plain_file_of_ours_is_not_opened), T(a_folder_must_be_ours_alone))
