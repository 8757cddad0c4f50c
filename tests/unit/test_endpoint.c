/* What is an endpoint, what is none, and what the one who wrote it is told. */
#include <errno.h>
#include <stdio.h>

#include "common/endpoint.h"
#include "tests/unit/lib/unit.h"

/* It is one for that use, and in full it is `want`. */
static void is(const char *text, enum endpoint_use use, const char *want)
{
	char full[ENDPOINT_MAX] = "";
	const char *why = "";
	int r = endpoint_check(text, use, full, &why);

	if (r < 0 || strcmp(want, full) != 0)
		(void)printf("# \"%s\" gives \"%s\" %s\n", text, full, why);
	EQ(0, r);
	EQ(0, strcmp(want, full));
	EQ(0, endpoint_check(text, use, NULL, &why));
}

/* It is none, and the reason begins so; what was there before stays. */
static void refused(const char *text, enum endpoint_use use, const char *want)
{
	char full[ENDPOINT_MAX] = "as it was";
	const char *why = "";
	int r = endpoint_check(text, use, full, &why);

	if (r == 0 || strncmp(want, why, strlen(want)) != 0)
		(void)printf("# \"%s\": %d \"%s\"\n", text, r, why);
	EQ(-EINVAL, r);
	EQ(0, strncmp(want, why, strlen(want)));
	EQ(0, strcmp("as it was", full));
}

static void both(const char *text, const char *want)
{
	is(text, ENDPOINT_CONNECT, want);
	is(text, ENDPOINT_BIND, want);
}

static void neither(const char *text, const char *why)
{
	refused(text, ENDPOINT_CONNECT, why);
	refused(text, ENDPOINT_BIND, why);
}

static void addresses_names_and_paths_are_endpoints(void)
{
	both("tcp://127.0.0.1:4040", "tcp://127.0.0.1:4040");
	both("tcp://255.255.255.255:65535", "tcp://255.255.255.255:65535");
	both("tcp://0.0.0.0:1", "tcp://0.0.0.0:1");
	both("tcp://[::1]:4040", "tcp://[::1]:4040");
	both("tcp://[fe80::1%eth0]:4040", "tcp://[fe80::1%eth0]:4040");
	both("tcp://[::ffff:10.0.0.1]:4040", "tcp://[::ffff:10.0.0.1]:4040");
	both("tcp://localhost:4040", "tcp://localhost:4040");
	both("tcp://a-1.example_2.org:4040", "tcp://a-1.example_2.org:4040");
	both("tcp://10.example:4040", "tcp://10.example:4040");
	both("tcp://eth0.100:4040", "tcp://eth0.100:4040");
	both("ipc:///run/pail/foo.sock", "ipc:///run/pail/foo.sock");
	both("ipc:///home/o'brien/my data/admin.sock", "ipc:///home/o'brien/my data/admin.sock");
	is("ipc://data/admin.sock", ENDPOINT_CONNECT, "ipc://data/admin.sock");
}

static void tcp_is_meant_where_nothing_is_said(void)
{
	char in_place[ENDPOINT_MAX] = "localhost:4040";
	const char *why = "";

	both("127.0.0.1:4040", "tcp://127.0.0.1:4040");
	both("[::1]:4040", "tcp://[::1]:4040");
	both("localhost:4040", "tcp://localhost:4040");
	is("*:0", ENDPOINT_BIND, "tcp://*:0");
	EQ(0, endpoint_check(in_place, ENDPOINT_CONNECT, in_place, &why));
	EQ(0, strcmp("tcp://localhost:4040", in_place));
}

static void only_who_binds_may_leave_it_open(void)
{
	is("tcp://127.0.0.1:0", ENDPOINT_BIND, "tcp://127.0.0.1:0");
	is("tcp://127.0.0.1:*", ENDPOINT_BIND, "tcp://127.0.0.1:*");
	is("tcp://*:4040", ENDPOINT_BIND, "tcp://*:4040");
	refused("tcp://127.0.0.1:0", ENDPOINT_CONNECT, "nothing can be reached on port 0");
	refused("tcp://127.0.0.1:*", ENDPOINT_CONNECT, "the port is no number");
	refused("tcp://*:4040", ENDPOINT_CONNECT, "* is every address");
	refused("ipc://data/admin.sock", ENDPOINT_BIND, "the path must be absolute");
}

static void the_port_is_a_port(void)
{
	neither("tcp://127.0.0.1:65536", "the port is above 65535");
	neither("tcp://127.0.0.1:99999", "the port is above 65535");
	neither("tcp://127.0.0.1:99999999999999999999999", "the port is above 65535");
	neither("tcp://127.0.0.1:-1", "the port is no number");
	neither("tcp://127.0.0.1:40x", "the port is no number");
	neither("tcp://127.0.0.1:", "the port is missing");
	neither("tcp://127.0.0.1", "the port is missing");
	neither("tcp://[::1]", "the port is missing");
	neither("127.0.0.1", "the port is missing");
	neither("localhost", "the port is missing");
	neither("nonsense", "the port is missing");
	neither("4040", "the host is missing");
	neither(":4040", "the host is missing");
	neither("tcp://:4040", "the host is missing");
	neither("tcp://", "the host is missing");
}

static void the_host_is_a_host(void)
{
	char name[300];
	char text[400];

	neither("tcp://256.1.1.1:4040", "a number of the IPv4 address is above 255");
	neither("tcp://1.1.1.999999999999:4040", "a number of the IPv4 address is above 255");
	neither("tcp://1.1.1:4040", "an IPv4 address has four numbers");
	neither("tcp://1.1.1.1.1:4040", "an IPv4 address has four numbers");
	neither("tcp://1..1.1:4040", "the IPv4 address has an empty number");
	neither("tcp://1.1.1.:4040", "the IPv4 address has an empty number");
	neither("tcp://127.0.0.01:4040", "a number of the IPv4 address begins with 0");
	neither("tcp://::1:4040", "there is more than one colon");
	neither("tcp://1.1.1.1:1:4040", "there is more than one colon");
	neither("tcp://[::1:4040", "what is in brackets is no IPv6 address");
	neither("tcp://[]:4040", "what is in brackets is no IPv6 address");
	neither("tcp://[127.0.0.1]:4040", "what is in brackets is no IPv6 address");
	neither("tcp://[::12345]:4040", "what is in brackets is no IPv6 address");
	neither("tcp://[fe80::1%]:4040", "what is in brackets is no IPv6 address");
	neither("tcp://a..b:4040", "the host's name has an empty part");
	neither("tcp://-a.b:4040", "a part of the host's name begins or ends with -");
	neither("tcp://a-.b:4040", "a part of the host's name begins or ends with -");
	neither("tcp://a/b:4040", "the host holds a character that no name has");
	neither("tcp://eth0;127.0.0.1:4040", "the host holds a character that no name has");
	neither("tcp://Z\xc3\xbcrich:4040", "the host holds a character that no name has");
	memset(name, 'a', sizeof(name));
	(void)snprintf(text, sizeof(text), "tcp://%.63s:1", name);
	both(text, text);
	(void)snprintf(text, sizeof(text), "tcp://%.64s:1", name);
	neither(text, "a part of the host's name has more than 63 characters");
	(void)snprintf(text, sizeof(text), "tcp://%.63s.%.63s.%.63s.%.62s:1", name, name, name,
		       name);
	neither(text, "the host's name has more than 253 characters");
	(void)snprintf(text, sizeof(text), "tcp://%.63s.%.63s.%.63s.%.61s:1", name, name, name,
		       name);
	neither(text, "it is too long");
}

static void the_path_is_that_of_a_socket(void)
{
	char name[108];
	char text[200];

	neither("ipc://", "the path is missing");
	neither("ipc://@abstract", ""); /* bind: not absolute; connect: no file */
	neither("ipc:///run/pail/", "the path is that of a folder");
	memset(name, 'a', sizeof(name));
	(void)snprintf(text, sizeof(text), "ipc:///%.106s", name);
	both(text, text);
	(void)snprintf(text, sizeof(text), "ipc:///%.107s", name);
	neither(text, "a socket's path may have 107 bytes");
}

static void the_rest_is_refused(void)
{
	neither("", "it is empty");
	neither("udp://127.0.0.1:4040", "only tcp:// and ipc:// are spoken");
	neither("TCP://127.0.0.1:4040", "only tcp:// and ipc:// are spoken");
	neither("inproc://here", "only tcp:// and ipc:// are spoken");
	neither("http://127.0.0.1:4040", "only tcp:// and ipc:// are spoken");
	neither("\"tcp://127.0.0.1:4040\"", "it holds a quote");
	neither("'tcp://127.0.0.1:4040'", "it holds a quote");
	neither("ipc:///run/\"pail\"", "it holds a quote");
	neither(" tcp://127.0.0.1:4040", "it holds a blank");
	neither("tcp://127.0.0.1 :4040", "it holds a blank");
	neither("tcp://127.0.0.1:4040 # here", "it holds a blank");
	neither("ipc:///run/pail.sock ", "it holds a blank");
	neither("tcp://127.0.0.1:4040\n", "it holds a control character");
	neither("ipc:///run/\x01", "it holds a control character");
}

UNIT_MAIN(T(addresses_names_and_paths_are_endpoints), T(tcp_is_meant_where_nothing_is_said),
	  T(only_who_binds_may_leave_it_open), T(the_port_is_a_port), T(the_host_is_a_host),
	  T(the_path_is_that_of_a_socket), T(the_rest_is_refused))
