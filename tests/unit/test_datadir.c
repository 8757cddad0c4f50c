/* A data folder's shape: what its file `format` says, and who is refused by it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/partition.h"
#include "coordinator/process/datadir.h"
#include "tests/unit/lib/unit.h"

static char dir[200];
static char why[512];

static int take(uint32_t workers, uint32_t partitions, struct datadir_shape *ret)
{
	int fd = -1;
	int r;

	*ret = (struct datadir_shape){.workers = workers, .partitions = partitions};
	r = datadir_take(dir, ret, &fd, why, sizeof(why));
	if (r == 0)
		(void)close(fd);
	return r;
}

static void name(const char *n)
{
	(void)snprintf(dir, sizeof(dir), "%.150s/%s", unit_folder(), n);
}

static void put(const char *text, size_t n)
{
	char path[300];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/format", dir);
	f = fopen(path, "w");
	TRUE_(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static size_t get(char *text, size_t size)
{
	char path[300];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/format", dir);
	f = fopen(path, "r");
	TRUE_(f);
	n = fread(text, 1, size, f);
	(void)fclose(f);
	return n;
}

static void a_new_folder_has_its_numbers_and_a_name_of_its_own(void)
{
	struct datadir_shape a;
	struct datadir_shape b;
	struct datadir_shape c;
	struct conf *conf;

	name("a");
	EQ(-ENOENT, datadir_shape(dir, &a, why, sizeof(why)));
	EQ(0, take(3, 512, &a));
	EQ(3, a.workers);
	EQ(512, a.partitions);
	EQ(32, strlen(a.store));
	EQ(32, strspn(a.store, "0123456789abcdef"));
	name("b");
	EQ(0, take(3, 0, &b));
	EQ(PARTITIONS_DEFAULT, b.partitions);
	TRUE_(strcmp(a.store, b.store) != 0);
	EQ(0, datadir_shape(dir, &c, why, sizeof(why)));
	EQ(0, memcmp(&b, &c, sizeof(b)));
	EQ(0, take(0, 0, &c));
	EQ(0, memcmp(&b, &c, sizeof(b)));
	EQ(0, conf_new(&conf));
	EQ(PARTITIONS_DEFAULT, conf_number(conf, CONF_storage_partitions));
	conf_free(&conf);
	name("few");
	EQ(-EINVAL, take(3, 2, &a));
	EQ(-ENOENT, datadir_shape(dir, &a, why, sizeof(why)));
}

static void its_numbers_do_not_change(void)
{
	struct datadir_shape x;

	name("numbers");
	EQ(0, take(2, 64, &x));
	EQ(-EINVAL, take(2, 128, &x));
	TRUE_(strstr(why, "was made for 64 partitions, storage.partitions says 128: "));
	TRUE_(strstr(why, "pail export >FILE") && strstr(why, "`pail import FILE`"));
	EQ(-EINVAL, take(4, 64, &x));
	TRUE_(strstr(why, "was made for 2 workers, node.workers says 4: "));
	EQ(0, take(2, 64, &x));
	EQ(0, take(0, 64, &x));
	EQ(0, take(2, 0, &x));
	EQ(64, x.partitions);
}

static void older_and_later_versions_are_told_apart(void)
{
	static const char old[] = "pail 1\nworkers 2\n";
	static const char later[] = "pail 3\nanything\n";
	struct datadir_shape x;

	name("versions");
	EQ(0, take(2, 64, &x));
	put(old, strlen(old));
	EQ(-EINVAL, take(0, 0, &x));
	TRUE_(strstr(why, "was made by an older version of Pail"));
	TRUE_(strstr(why, "`pail export >FILE`") && strstr(why, "`pail import FILE`"));
	put(later, strlen(later));
	EQ(-EBADMSG, take(0, 0, &x));
	TRUE_(strstr(why, "was made by a later version of Pail"));
}

static void the_longest_path_leaves_room_for_the_whole_sentence(void)
{
	char deep[1000];
	char tail[] = "`pail import FILE`";

	memset(deep, 'x', sizeof(deep));
	deep[999] = '\0';
	datadir_explain(deep, "storage.partitions", 4096, 4096, why, sizeof(why));
	EQ(0, strcmp(why + strlen(why) - strlen(tail), tail));
}

static void a_damaged_one_is_never_taken(void)
{
	char whole[200];
	char text[201];
	size_t n;
	struct datadir_shape x;

	name("damaged");
	EQ(0, take(2, 64, &x));
	n = get(whole, sizeof(whole));
	for (size_t cut = 0; cut < n; cut++) {
		put(whole, cut);
		EQ(-EBADMSG, take(0, 0, &x));
		TRUE_(strstr(why, "/format\" is damaged"));
	}
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			int r;

			memcpy(text, whole, n);
			text[i] = (char)(text[i] ^ (1 << bit));
			put(text, n);
			r = take(0, 0, &x);
			/* "pail 0" to "pail 9" are versions, as they may be */
			TRUE_(r == -EBADMSG || (i == 5 && r == -EINVAL));
		}
	for (size_t i = 0; i <= n; i++) { /* a byte more anywhere */
		memcpy(text, whole, i);
		text[i] = ' ';
		memcpy(text + i + 1, whole + i, n - i);
		put(text, n + 1);
		EQ(-EBADMSG, take(0, 0, &x));
	}
	put(whole, n);
	EQ(0, take(2, 64, &x));
}

static void a_number_changed_by_hand_is_damage(void)
{
	char text[200];
	struct datadir_shape x;
	size_t n;
	char *p;

	name("hand");
	EQ(0, take(2, 64, &x));
	n = get(text, sizeof(text) - 1);
	text[n] = '\0';
	p = strstr(text, "workers 2");
	TRUE_(p);
	p[8] = '4';
	put(text, n);
	EQ(-EBADMSG, take(0, 0, &x));
}

/* What a node that was killed had just forked is gone in a moment; a node is not. */
static void a_lock_that_is_let_go_is_waited_for(void)
{
	struct datadir_shape x = {.workers = 2, .partitions = 64};
	char byte;
	int go[2];
	int fd;
	pid_t pid;

	name("held");
	EQ(0, datadir_take(dir, &x, &fd, why, sizeof(why)));
	EQ(0, pipe(go));
	pid = fork();
	if (!pid) { /* it has the lock from its parent, until it has heard and a moment more */
		(void)close(go[1]);
		(void)!read(go[0], &byte, 1);
		(void)usleep(100000);
		_exit(0);
	}
	(void)close(fd);
	EQ(-EWOULDBLOCK, take(2, 64, &x));
	(void)close(go[0]);
	(void)close(go[1]);
	EQ(0, take(2, 64, &x));
	EQ(pid, waitpid(pid, NULL, 0));
}

UNIT_MAIN(T(a_new_folder_has_its_numbers_and_a_name_of_its_own), T(its_numbers_do_not_change),
	  T(older_and_later_versions_are_told_apart),
	  T(the_longest_path_leaves_room_for_the_whole_sentence), T(a_damaged_one_is_never_taken),
	  T(a_number_changed_by_hand_is_damage), T(a_lock_that_is_let_go_is_waited_for))
