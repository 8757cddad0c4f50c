/* What an endpoint may look like. */
#include "common/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/span.h"

#define NAME_MAX_BYTES  253u /* RFC 1035: what fits 255 bytes with the lengths of its labels */
#define LABEL_MAX_BYTES 63u

static const char DIGITS[] = "0123456789";

/* Does `s` hold nothing but characters of `set`? */
static bool only(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr(set, s.p[i]))
			return false;
	return true;
}

/* Each check returns NULL, or what is wrong. */

static const char *port_check(struct span s, enum endpoint_use use)
{
	unsigned long port = 0;

	if (!s.n)
		return "the port is missing: tcp://HOST:PORT";
	if (use == ENDPOINT_BIND && s.n == 1 && *s.p == '*')
		return NULL;
	if (!only(s, DIGITS))
		return "the port is no number";
	for (size_t i = 0; i < s.n && port <= 65535; i++)
		port = 10 * port + (unsigned long)(s.p[i] - '0');
	if (port > 65535)
		return "the port is above 65535";
	return port || use == ENDPOINT_BIND ? NULL : "nothing can be reached on port 0";
}

/* Digits and dots are an IPv4 address, and nothing else. */
static const char *ipv4_check(struct span s)
{
	unsigned parts = 0;

	for (size_t i = 0; i <= s.n; i++) {
		size_t from = i;
		unsigned v = 0;

		while (i < s.n && s.p[i] != '.' && v <= 255)
			v = 10 * v + (unsigned)(s.p[i++] - '0');
		if (v > 255)
			return "a number of the IPv4 address is above 255";
		if (i == from)
			return "the IPv4 address has an empty number";
		if (s.p[from] == '0' && i - from > 1)
			return "a number of the IPv4 address begins with 0";
		parts++;
	}
	return parts == 4 ? NULL : "an IPv4 address has four numbers";
}

static const char *ipv6_check(struct span s)
{
	static const char wrong[] = "what is in brackets is no IPv6 address";
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;
	const char *scope = memchr(s.p, '%', s.n); /* fe80::1%eth0 */
	size_t n = scope ? (size_t)(scope - s.p) : s.n;

	if (n >= sizeof(text) || (scope && n + 1 == s.n))
		return wrong;
	memcpy(text, s.p, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &a) == 1 ? NULL : wrong;
}

/* Names of hosts, with the underscores that some networks give them, and of interfaces. */
static const char *name_check(struct span s)
{
	size_t label = 0;

	if (!only(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"))
		return "the host holds a character that no name has";
	if (s.n > NAME_MAX_BYTES)
		return "the host's name has more than 253 characters";
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '.') {
			label++;
			continue;
		}
		if (!label)
			return "the host's name has an empty part";
		if (label > LABEL_MAX_BYTES)
			return "a part of the host's name has more than 63 characters";
		if (s.p[i - label] == '-' || s.p[i - 1] == '-')
			return "a part of the host's name begins or ends with -";
		label = 0;
	}
	return NULL;
}

static const char *host_check(struct span s, enum endpoint_use use)
{
	if (!s.n)
		return "the host is missing: tcp://HOST:PORT";
	if (*s.p == '[')
		return s.n > 2 && s.p[s.n - 1] == ']' ? ipv6_check((struct span){s.p + 1, s.n - 2})
						      : "what is in brackets is no IPv6 address";
	if (memchr(s.p, ':', s.n))
		return "there is more than one colon: an IPv6 address is written in brackets";
	if (s.n == 1 && *s.p == '*')
		return use == ENDPOINT_BIND ? NULL : "* is every address: it cannot be reached";
	return only(s, "0123456789.") ? ipv4_check(s) : name_check(s);
}

static const char *tcp_check(struct span s, enum endpoint_use use)
{
	const char *colon = memrchr(s.p, ':', s.n);
	const char *why;

	if (!colon || s.p[s.n - 1] == ']')
		return only(s, DIGITS) ? "the host is missing: tcp://HOST:PORT"
				       : "the port is missing: tcp://HOST:PORT";
	why = host_check((struct span){s.p, (size_t)(colon - s.p)}, use);
	return why ? why
		   : port_check((struct span){colon + 1, (size_t)(s.p + s.n - colon - 1)}, use);
}

static const char *ipc_check(struct span s, enum endpoint_use use)
{
	if (!s.n)
		return "the path is missing: ipc:///PATH";
	if (*s.p != '/' && use == ENDPOINT_BIND)
		return "the path must be absolute: ipc:///PATH";
	if (*s.p == '@' || *s.p == '*')
		return "the socket must be a file: ipc:///PATH";
	if (s.p[s.n - 1] == '/')
		return "the path is that of a folder";
	if (s.n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return "a socket's path may have 107 bytes";
	return NULL;
}

/* What no endpoint holds.  A socket file's path may hold blanks: its folder may be named so. */
static const char *bytes_check(struct span s, bool ipc)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			return "it holds a quote";
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return "it holds a control character";
		if (s.p[i] == ' ' && (!ipc || i + 1 == s.n))
			return "it holds a blank";
		if (s.p[i] == '\'' && !ipc)
			return "it holds a quote";
	}
	return NULL;
}

int endpoint_check(const char *text, enum endpoint_use use, char *ret, const char **ret_why)
{
	static const struct span tcp = {"tcp://", 6};
	static const struct span ipc = {"ipc://", 6};
	struct span s = span_of(text);
	bool is_ipc = span_begins(s, ipc);
	bool is_tcp = span_begins(s, tcp);
	char full[ENDPOINT_MAX];
	const char *why;

	if (!s.n)
		why = "it is empty";
	else if ((why = bytes_check(s, is_ipc)))
		;
	else if (is_ipc)
		why = ipc_check((struct span){s.p + ipc.n, s.n - ipc.n}, use);
	else if (is_tcp)
		why = tcp_check((struct span){s.p + tcp.n, s.n - tcp.n}, use);
	else if (strstr(text, "://"))
		why = "only tcp:// and ipc:// are spoken";
	else
		why = tcp_check(s, use);
	if (!why && s.n + (is_ipc || is_tcp ? 0 : tcp.n) >= sizeof(full))
		why = "it is too long";
	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	if (!ret)
		return 0;
	(void)snprintf(full, sizeof(full), "%s%s", is_ipc || is_tcp ? "" : tcp.p, text);
	memcpy(ret, full, strlen(full) + 1);
	return 0;
}

static bool ipv6_is_local(struct span s)
{
	const char *scope = memchr(s.p, '%', s.n);
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];

	if (scope)
		s.n = (size_t)(scope - s.p);
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &a) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&a) || (IN6_IS_ADDR_V4MAPPED(&a) && a.s6_addr[12] == 127));
}

bool endpoint_is_local(const char *endpoint)
{
	const char *host = endpoint + (!strncmp(endpoint, "tcp://", 6) ? 6 : 0);
	const char *colon = strrchr(host, ':');
	struct span s = {host, colon ? (size_t)(colon - host) : 0};

	if (!strncmp(endpoint, "ipc://", 6))
		return true;
	if (s.n > 2 && *s.p == '[' && s.p[s.n - 1] == ']')
		return ipv6_is_local((struct span){s.p + 1, s.n - 2});
	if (only(s, "0123456789."))
		return s.n > 4 && !memcmp(s.p, "127.", 4) && !ipv4_check(s);
	return span_equal(s, span_of("localhost")) || span_equal(s, span_of("lo"));
}
