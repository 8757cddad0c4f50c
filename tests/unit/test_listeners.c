/* Listening sockets that a node is given: whom they let in is seen by what they are bound to. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "coordinator/process/listeners.h"
#include "tests/unit/lib/unit.h"

static struct conf *conf_of(const char *key, const char *value)
{
	struct conf *c = NULL;

	EQ(0, conf_new(&c));
	if (key)
		conf_set(c, key, value, "test");
	return c;
}

static int tcp(const char *host)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	int v6 = strchr(host, ':') != NULL;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int no = 0;

	TRUE_(fd > 0);
	EQ(1, inet_pton(v6 ? AF_INET6 : AF_INET, host,
			v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr));
	if (v6) {
		EQ(0, setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no)));
		EQ(0, bind(fd, (struct sockaddr *)&six, sizeof(six)));
	} else {
		EQ(0, bind(fd, (struct sockaddr *)&four, sizeof(four)));
	}
	return fd;
}

/* As the socket for clients and as that for nodes: 0, or -EACCES with words. */
static void given(int fd, int want)
{
	struct conf *c = conf_of(NULL, NULL);
	struct conf *open = conf_of("security.open", "yes");
	struct conf *keys = conf_of("security.key", "/k");
	struct conf *store = conf_of("node.role", "storage");
	char why[512] = "";

	EQ(want, listeners_check(c, fd, 0, why, sizeof(why)));
	EQ(want < 0, strstr(why, "socket for clients listens on ") != NULL);
	EQ(want < 0, strstr(why, conf_open_hint) != NULL);
	EQ(want, listeners_check(c, 0, fd, why, sizeof(why)));
	EQ(want < 0, strstr(why, "socket for nodes listens on ") != NULL);
	EQ(0, listeners_check(open, fd, fd, why, sizeof(why)));
	EQ(0, listeners_check(keys, fd, fd, why, sizeof(why)));
	EQ(0, listeners_check(store, fd, 0, why, sizeof(why))); /* it serves no clients */
	EQ(want, listeners_check(store, 0, fd, why, sizeof(why)));
	conf_free(&c);
	conf_free(&open);
	conf_free(&keys);
	conf_free(&store);
	EQ(0, close(fd));
}

static void given_sockets_are_judged_by_their_address(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char why[512];
	struct conf *c = conf_of(NULL, NULL);

	given(tcp("127.0.0.1"), 0);
	given(tcp("127.8.8.8"), 0);
	given(tcp("::1"), 0);
	given(tcp("::ffff:127.0.0.1"), 0);
	given(tcp("0.0.0.0"), -EACCES);
	given(tcp("::"), -EACCES);
	given(tcp("::ffff:0.0.0.0"), -EACCES);
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", unit_folder());
	EQ(0, bind(fd, (struct sockaddr *)&un, sizeof(un)));
	given(fd, 0);
	EQ(0, listeners_check(c, 0, 0, why, sizeof(why)));
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	given(fd, -EACCES); /* what it is is not known */
	conf_free(&c);
}

/* A running node goes on where it listens, if it or the new settings say that it may. */
static void a_program_takes_over_what_may_be(void)
{
	static const char away[] = "tcp://0.0.0.0:4040";
	static const char here[] = "tcp://127.0.0.1:4040";
	struct conf *none = conf_of(NULL, NULL);
	struct conf *open = conf_of("security.open", "yes");
	struct conf *keys = conf_of("security.key", "/k");
	char why[512] = "";

	EQ(0, listeners_keep_check(none, none, here, "", why, sizeof(why)));
	EQ(0, listeners_keep_check(none, none, "", here, why, sizeof(why)));
	EQ(0, listeners_keep_check(none, none, "", "", why, sizeof(why)));
	EQ(-EACCES, listeners_keep_check(none, none, away, here, why, sizeof(why)));
	TRUE_(strstr(why, "listens for clients on tcp://0.0.0.0:4040, beyond this machine: set "));
	EQ(-EACCES, listeners_keep_check(none, none, here, away, why, sizeof(why)));
	TRUE_(strstr(why, "listens for nodes on tcp://0.0.0.0:4040, beyond this machine: set "));
	EQ(0, listeners_keep_check(open, none, away, away, why, sizeof(why)));
	EQ(0, listeners_keep_check(none, open, away, away, why, sizeof(why)));
	EQ(0, listeners_keep_check(keys, keys, away, away, why, sizeof(why)));
	conf_free(&none);
	conf_free(&open);
	conf_free(&keys);
}

UNIT_MAIN(T(given_sockets_are_judged_by_their_address), T(a_program_takes_over_what_may_be))
