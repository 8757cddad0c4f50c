/* Listening on TCP. */
#include "gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/endpoint.h"

/* HOST:PORT, as libevent reads it, and port 0 too.  HOST must be an address. */
static bool address_parse(const char *text, struct sockaddr_storage *a, int *size)
{
	const char *colon = strrchr(text, ':');
	char host[128];
	const char *why;
	unsigned long port;

	if (strstr(text, "://") || endpoint_check(text, ENDPOINT_BIND, NULL, &why) < 0 ||
	    (size_t)(colon - text) >= sizeof(host))
		return false;
	port = strtoul(colon + 1, NULL, 10); /* or *: 0 */
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	*size = sizeof(*a);
	if (evutil_parse_sockaddr_port(host, (struct sockaddr *)a, size) < 0)
		return false;
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
	return true;
}

int listen_on(struct event_base *base, const char *address, int backlog,
	      evconnlistener_cb on_accept, void *arg, struct evconnlistener **ret, char *bound,
	      size_t size)
{
	struct sockaddr_storage a;
	int n;
	socklen_t k = sizeof(a);
	char host[INET6_ADDRSTRLEN] = "";
	unsigned port;

	*ret = NULL;
	if (!address_parse(address, &a, &n))
		return -EINVAL;
	*ret = evconnlistener_new_bind(base, on_accept, arg,
				       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
					       LEV_OPT_REUSEABLE,
				       backlog, (struct sockaddr *)&a, n);
	if (!*ret)
		return errno ? -errno : -EIO;
	if (getsockname(evconnlistener_get_fd(*ret), (struct sockaddr *)&a, &k) < 0)
		return -errno;
	if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;

		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		port = ntohs(v6->sin6_port);
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;

		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		port = ntohs(v4->sin_port);
	}
	(void)snprintf(bound, size, a.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
	return 0;
}
