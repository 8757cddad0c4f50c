/*
 * Key files: what is taken, what is refused and how it is said, and that secrets stay where they
 * are.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/key.h"
#include "tests/unit/lib/unit.h"

/* RFC 26's pair, and one with every sign of Z85 in it, = at its beginning. */
#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define SERVER "=#=#==#.-:+^!/*?&<>()[]{}@x%$#=0#==00000"

static char path[300];
static char why[600];

static const char *in_folder(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", unit_folder(), name);
	return path;
}

static void put(const char *name, const char *text, size_t n, mode_t mode)
{
	int fd;

	(void)unlink(in_folder(name));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	TRUE_(fd >= 0);
	EQ(n, write(fd, text, n));
	EQ(0, fchmod(fd, mode));
	(void)close(fd);
}

static int parse_n(const char *text, size_t n, struct key_file *k)
{
	/* As long as it says and no longer, so that a sanitizer sees what is read behind it. */
	char *copy = malloc(n ? n : 1);
	int r;

	memcpy(copy, text, n);
	memset(why, 0, sizeof(why));
	r = key_file_parse(copy, n, "FILE", k, why, sizeof(why));
	free(copy);
	return r;
}

static int parse(const char *text, struct key_file *k)
{
	return parse_n(text, strlen(text), k);
}

#define ALL "name = shop\npublic = " PUBLIC "\nsecret = " SECRET "\n"

static void same(const struct key_file *k, const char *name, unsigned servers)
{
	EQ(0, strcmp(name, k->name));
	EQ(0, strcmp(PUBLIC, k->public));
	EQ(0, strcmp(SECRET, k->secret));
	EQ(servers, k->servers);
	for (unsigned i = 0; i < servers; i++)
		EQ(0, strcmp(SERVER, k->server[i]));
}

static void a_key_is_forty_characters_of_thirty_two_bytes(void)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
				       "XYZ.-:+=^!/*?&<>()[]{}@%$#";
	char text[KEY_TEXT];
	unsigned known = 0;

	TRUE_(key_text_is(PUBLIC, 40));
	TRUE_(key_text_is(SECRET, 40));
	TRUE_(key_text_is(SERVER, 40));
	TRUE_(!key_text_is(PUBLIC, 39));
	TRUE_(!key_text_is(PUBLIC "0", 41));
	TRUE_(!key_text_is("", 0));
	for (unsigned at = 0; at < KEY_TEXT; at++) /* each byte, at each place */
		for (unsigned c = 0; c < 256; c++) {
			bool is = c && strchr(alphabet, (int)c);

			memset(text, '0', sizeof(text));
			text[at] = (char)c;
			/* Five that begin with one of the last two are more than 32 bits. */
			EQ(is && (at % 5 || (c != '$' && c != '#')), key_text_is(text, KEY_TEXT));
			known += is;
		}
	EQ(85 * KEY_TEXT, known);
	TRUE_(key_text_is("%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0", 40)); /* all bits set */
	TRUE_(!key_text_is("%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc1", 40));
	TRUE_(!key_text_is("%nSc1%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0", 40));
}

static void names_are_checked(void)
{
	static const char *const bad[] = {"-",   "a b",  "a\tb",  "\xc3\xa9", "a=b", "a#",
					  "a/b", "a\"b", "a\x7f", "*",        "a,b"};
	char name[66] = {0};

	EQ(0, strcmp("is empty", key_name_check("")));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		TRUE_(key_name_check(bad[i]));
	memset(name, 'x', 63);
	TRUE_(!key_name_check(name));
	name[63] = 'x';
	TRUE_(strstr(key_name_check(name), "longer than 63"));
	TRUE_(!key_name_check("shop"));
	TRUE_(!key_name_check("foo-1.eu:web_2@x"));
}

static void what_can_be_written_in_several_ways_is_read(void)
{
	static const char *const good[] = {
		ALL,
		"name=shop\npublic=" PUBLIC "\nsecret=" SECRET,
		"# a comment, \xc3\xa9\n\n \t \n  secret\t=\t" SECRET
		" \t\n#name = x\npublic =" PUBLIC "\nname   =   shop   ",
	};
	struct key_file k;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&k, 0xa5, sizeof(k));
		EQ(0, parse(good[i], &k));
		same(&k, "shop", 0);
	}
	EQ(0, parse(ALL "server=" SERVER,
		    &k)); /* its first = is that of the line, its second the key's */
	same(&k, "shop", 1);
	EQ(0, parse("server = " SERVER "\n" ALL "server =" SERVER "\n", &k));
	same(&k, "shop", 2);
}

struct bad {
	const char *text;
	const char *why;
};

static void what_is_wrong_is_said_by_line(void)
{
	static const struct bad bad[] = {
		{"",									"FILE: has no line `name = "                                },
		{"# nothing\n",							     "FILE: has no line `name = "                                },
		{"public = " PUBLIC "\nsecret = " SECRET,                                   "FILE: has no line `name = "                                },
		{"name = a\nsecret = " SECRET,                                              "FILE: has no line `public = "                              },
		{"name = a\npublic = " PUBLIC,                                              "FILE: has no line `secret = "                              },
		{ALL "name = shop",							 "FILE:4: name is in line 1 already"                         },
		{ALL "public = " PUBLIC,						    "FILE:4: public is in line 2 already"                       },
		{ALL "secret = " SECRET,						    "FILE:4: secret is in line 3 already"                       },
		{ALL "server=" SERVER "\nserver=" SERVER "\nserver=" SERVER,
		 "FILE:6: there are more than 2 lines of server"											},
		{"name =\n",								"FILE:1: the name is empty"                                 },
		{"name\n",								  "FILE:1: has no = in it: a line is WORD = VALUE"            },
		{"\nname = a b\n",							  "FILE:2: the name has a blank"                              },
		{"name = 0123456789012345678901234567890123456789012345678901234567890123",
		 "FILE:1: the name is longer than 63 bytes"											     },
		{"secret =\n",							      "FILE:1: secret is no key: 40 characters of Z85, here are 0"},
		{"secret = " SECRET "0",
		 "FILE:1: secret is no key: 40 characters of Z85, here are 41"                                                                          },
		{"public = 012345678901234567890123456789012345678~",
		 "FILE:1: public is no key: 40 "
		 "characters of Z85, here are 40 that are not, or too large a number"                                                                   },
		{"server = " SERVER " " SERVER,                                             "FILE:1: server is no key"                                  },
		{"Secret = " SECRET,							"FILE:1: a line is name, public, secret or server"          },
		{SERVER,								    "FILE:1: a line is name, public, secret or server"          },
		{"= " SECRET,							       "FILE:1: a line is name, public, secret or server"          },
		{" # x = 1",								"FILE:1: # begins a comment only as the first character"    },
		{"name = shop\r\n",							 "FILE:1: has a carriage return in it"                       },
		{"# comment\r\n",							   "FILE:1: has a carriage return in it"                       },
		{"name = a\x01\n",							  "FILE:1: has the control character 0x01 in it"              },
		{"name = a\x7f\n",							  "FILE:1: has the control character 0x7f in it"              },
	};
	struct key_file k;
	struct key_file before;

	memset(&k, 0x5a, sizeof(k));
	before = k;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EQ(-EINVAL, parse(bad[i].text, &k));
		if (strncmp(bad[i].why, why, strlen(bad[i].why)) != 0)
			(void)printf("# \"%s\" is not \"%s\"\n", why, bad[i].why);
		EQ(0, strncmp(bad[i].why, why, strlen(bad[i].why)));
		EQ(0, memcmp(&before, &k, sizeof(k)));
	}
	EQ(-EINVAL, parse_n("name = a\0b\n", 11, &k));
	TRUE_(strstr(why, "FILE:1: has the control character 0x00"));
	EQ(-EINVAL, parse_n(ALL "\0", sizeof(ALL), &k));
	TRUE_(strstr(why, "FILE:4: has the control character 0x00"));
}

/* A secret in the wrong place, cut, or doubled: whatever is said, it is not said with it. */
static void nothing_of_a_secret_is_ever_said(void)
{
	uint64_t s = unit_seed();
	char text[sizeof(ALL) + 3];
	struct key_file k;
	unsigned refused = 0;

	for (unsigned round = 0; round < 20000; round++) {
		size_t n = sizeof(ALL) - 1;
		unsigned changes = 1 + (unsigned)(unit_random(&s) % 3);

		memcpy(text, ALL, n);
		while (changes--) {
			size_t at = unit_random(&s) % n;
			static const char any[] = "= \n#\r\tx~%";

			if (unit_random(&s) % 2)
				text[at] = any[unit_random(&s) % (sizeof(any) - 1)];
			else
				memmove(text + at, text + at + 1, --n - at);
		}
		if (parse_n(text, n, &k) == 0)
			continue;
		refused++;
		TRUE_(*why);
		for (size_t i = 0; i + 6 < sizeof(SECRET); i++) {
			char part[7] = {0};

			memcpy(part, &SECRET[i], 6);
			TRUE_(!strstr(why, part));
		}
	}
	TRUE_(refused > 10000);
}

static int read_at(const char *where, struct key_file *k)
{
	memset(why, 0, sizeof(why));
	return key_file_read(where, k, why, sizeof(why));
}

static int read_mode(mode_t mode, struct key_file *k)
{
	put("mode.key", ALL, sizeof(ALL) - 1, mode);
	return read_at(path, k);
}

static void what_others_may_use_is_refused(void)
{
	static const mode_t bad[] = {0604, 0602, 0640, 0620, 0660, 0644, 0666, 0601, 0610, 0440};
	struct key_file k;
	char want[700];

	EQ(0, unsetenv("CREDENTIALS_DIRECTORY"));
	EQ(0, read_mode(0600, &k));
	same(&k, "shop", 0);
	EQ(0, read_mode(0400, &k));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EQ(-EACCES, read_mode(bad[i], &k));
		(void)snprintf(want, sizeof(want),
			       "%s: others than its owner may use it (mode %04o): chmod 600 %s",
			       path, (unsigned)bad[i], path);
		EQ(0, strcmp(want, why));
	}
}

/* Below $CREDENTIALS_DIRECTORY the group may read and do no more, and nowhere else. */
static void credentials_may_be_read_by_their_group(void)
{
	char folder[300];
	struct key_file k;

	(void)snprintf(folder, sizeof(folder), "%s", in_folder("credentials"));
	EQ(0, mkdir(folder, 0700));
	EQ(0, mkdir(in_folder("credentials2"), 0700));
	EQ(0, setenv("CREDENTIALS_DIRECTORY", folder, 1));
	put("credentials/foo.key", ALL, sizeof(ALL) - 1, 0440);
	EQ(0, read_at(path, &k));
	same(&k, "shop", 0);
	EQ(0, symlink("credentials/foo.key", in_folder("link.key"))); /* a link to it is it */
	EQ(0, read_at(path, &k));
	put("credentials/foo.key", ALL, sizeof(ALL) - 1, 0460);
	EQ(-EACCES, read_at(path, &k));
	put("credentials/foo.key", ALL, sizeof(ALL) - 1, 0444);
	EQ(-EACCES, read_at(path, &k));
	put("credentials2/foo.key", ALL, sizeof(ALL) - 1, 0440);
	EQ(-EACCES, read_at(path, &k));
	put("other.key", ALL, sizeof(ALL) - 1, 0440);
	EQ(-EACCES, read_at(in_folder("credentials/../other.key"), &k));
	EQ(0,
	   symlink("../other.key", in_folder("credentials/out.key"))); /* a link out of it is out */
	EQ(-EACCES, read_at(path, &k));
	EQ(0, setenv("CREDENTIALS_DIRECTORY", "", 1));
	EQ(-EACCES, read_at(in_folder("other.key"), &k));
	EQ(0, setenv("CREDENTIALS_DIRECTORY", "/", 1));
	EQ(-EACCES, read_at(in_folder("other.key"), &k));
	EQ(0, unsetenv("CREDENTIALS_DIRECTORY"));
}

static void what_is_no_plain_file_is_refused_at_once(void)
{
	static char large[KEY_FILE_MAX + 1];
	struct key_file k;

	EQ(-ENOENT, read_at(in_folder("nowhere.key"), &k));
	TRUE_(strstr(why, "nowhere.key: cannot open it: No such file"));
	EQ(-EMEDIUMTYPE, read_at(unit_folder(), &k));
	TRUE_(strstr(why, ": is a folder"));
	EQ(0, mkfifo(in_folder("pipe.key"), 0600));
	(void)alarm(60); /* nobody writes into it */
	EQ(-EMEDIUMTYPE, read_at(path, &k));
	TRUE_(strstr(why, "pipe.key: is no plain file"));
	EQ(-EMEDIUMTYPE, read_at("/dev/null", &k));
	memset(large, '\n', sizeof(large));
	memcpy(large, ALL, sizeof(ALL) - 1);
	put("large.key", large, KEY_FILE_MAX, 0600);
	EQ(0, read_at(path, &k));
	same(&k, "shop", 0);
	put("large.key", large, KEY_FILE_MAX + 1, 0600);
	EQ(-EFBIG, read_at(path, &k));
	TRUE_(strstr(why, "large.key: longer than 4096 bytes"));
	put("empty.key", "", 0, 0600);
	EQ(-EINVAL, read_at(path, &k));
	TRUE_(strstr(why, "empty.key: has no line `name"));
}

static struct key_file shop(unsigned servers)
{
	struct key_file k = {
		.name = "shop", .public = PUBLIC, .secret = SECRET, .servers = servers};

	for (unsigned i = 0; i < servers; i++)
		memcpy(k.server[i], SERVER, KEY_TEXT + 1);
	return k;
}

static int write_to(const char *where, const struct key_file *k)
{
	memset(why, 0, sizeof(why));
	return key_file_write(where, k, why, sizeof(why));
}

static void what_is_written_is_read_again(void)
{
	static const mode_t masks[] = {0, 022, 077, 0277, 0777};
	struct key_file k;
	struct key_file got;
	struct stat st;

	for (unsigned i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t before = umask(masks[i]);
		int r;

		k = shop(i % 3);
		(void)unlink(in_folder("new.key"));
		r = write_to(path, &k);
		(void)umask(before);
		EQ(0, r);
		EQ(0, stat(path, &st));
		EQ(0600, st.st_mode & 07777);
		EQ(0, read_at(path, &got));
		same(&got, "shop", i % 3);
	}
	k = shop(0);
	memset(k.name, 'n', KEY_NAME_MAX);
	EQ(0, write_to(in_folder("long.key"), &k));
	EQ(0, read_at(path, &got));
	same(&got, k.name, 0);
}

static void nothing_is_written_over(void)
{
	struct key_file k = shop(1);
	struct stat st;

	put("old.key", "text", 4, 0644);
	EQ(-EEXIST, write_to(path, &k));
	TRUE_(strstr(why, "old.key: is there already"));
	EQ(0, stat(path, &st));
	EQ(4, st.st_size);
	EQ(0644, st.st_mode & 07777);
	EQ(0, symlink("nowhere2.key", in_folder("dangling.key")));
	EQ(-EEXIST, write_to(path, &k));
	EQ(0, lstat(path, &st)); /* and the link is still there */
	EQ(-1, access(in_folder("nowhere2.key"), F_OK));
	EQ(-ENOENT, write_to(in_folder("no/folder.key"), &k));
	TRUE_(strstr(why, "no/folder.key: cannot write it: No such file"));
}

static void what_cannot_be_written_leaves_nothing(void)
{
	struct key_file k = shop(2);
	struct rlimit limit;
	struct rlimit small;

	EQ(0, getrlimit(RLIMIT_FSIZE, &limit));
	small = (struct rlimit){20, limit.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	EQ(0, setrlimit(RLIMIT_FSIZE, &small)); /* some of it goes to the disk, then no more */
	EQ(-EFBIG, write_to(in_folder("full.key"), &k));
	EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	TRUE_(strstr(why, "full.key: cannot write it: "));
	EQ(-1, access(path, F_OK));
#ifdef PAIL_FAULTS
	fault_set("key.sync=ENOSPC", 0);
	EQ(-ENOSPC, write_to(path, &k));
	fault_set(NULL, 0);
	EQ(-1, access(path, F_OK));
#endif
	k.name[0] = '\0';
	EQ(-EINVAL, write_to(path, &k));
	TRUE_(strstr(why, "the name is empty"));
	EQ(-1, access(path, F_OK));
	k = shop(2);
	k.secret[0] = '\0';
	EQ(-EINVAL, write_to(path, &k));
	EQ(-1, access(path, F_OK));
	k = shop(2);
	EQ(0, write_to(path, &k));
}

static void a_secret_is_forgotten(void)
{
	static const char zero[KEY_TEXT + 1];
	struct key_file k = shop(1);

	key_file_forget(&k);
	EQ(0, memcmp(zero, k.secret, sizeof(zero)));
	EQ(0, strcmp(PUBLIC, k.public));
	EQ(0, strcmp("shop", k.name));
}

UNIT_MAIN(T(a_key_is_forty_characters_of_thirty_two_bytes), T(names_are_checked),
	  T(what_can_be_written_in_several_ways_is_read), T(what_is_wrong_is_said_by_line),
	  T(nothing_of_a_secret_is_ever_said), T(what_others_may_use_is_refused),
	  T(credentials_may_be_read_by_their_group), T(what_is_no_plain_file_is_refused_at_once),
	  T(what_is_written_is_read_again), T(nothing_is_written_over),
	  T(what_cannot_be_written_leaves_nothing), T(a_secret_is_forgotten))
