/* Whom listeners let in that no setting has made. */
#include "coordinator/process/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/endpoint.h"

/* The socket's address as an endpoint; an unknown one is nobody's, and so not this machine's. */
static void endpoint_of(int fd, char *out, size_t size)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	const struct sockaddr_in *four = (const struct sockaddr_in *)&a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a;
	char host[INET6_ADDRSTRLEN] = "";

	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		(void)snprintf(out, size, "an unknown address (%s)", strerror(errno));
	else if (a.ss_family == AF_UNIX)
		(void)snprintf(out, size, "ipc://");
	else if (a.ss_family == AF_INET && inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)))
		(void)snprintf(out, size, "tcp://%s:%u", host, ntohs(four->sin_port));
	else if (a.ss_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)))
		(void)snprintf(out, size, "tcp://[%s]:%u", host, ntohs(six->sin6_port));
	else
		(void)snprintf(out, size, "an address of family %d", a.ss_family);
}

static bool may_be_open(const struct conf *c)
{
	return *conf_text(c, CONF_security_key) || conf_number(c, CONF_security_open);
}

static int given_check(int fd, const char *whom, char *why, size_t why_size)
{
	char endpoint[128];

	if (!fd)
		return 0;
	endpoint_of(fd, endpoint, sizeof(endpoint));
	if (endpoint_is_local(endpoint))
		return 0;
	(void)snprintf(
		why, why_size,
		"the service manager's socket for %s listens on %s, beyond this machine: let "
		"it listen on 127.0.0.1 (ListenStream=), or %s",
		whom, endpoint, conf_open_hint);
	return -EACCES;
}

int listeners_check(const struct conf *c, int client_fd, int node_fd, char *why, size_t why_size)
{
	bool clients = conf_number(c, CONF_node_role) != ROLE_STORAGE;
	int r = 0;

	if (may_be_open(c))
		return 0;
	if (clients)
		r = given_check(client_fd, "clients", why, why_size);
	return r < 0 ? r : given_check(node_fd, "nodes", why, why_size);
}

int listeners_keep_check(const struct conf *c, const struct conf *old, const char *client,
			 const char *node, char *why, size_t why_size)
{
	bool clients = !*client || endpoint_is_local(client);

	if (may_be_open(c) || may_be_open(old) || (clients && (!*node || endpoint_is_local(node))))
		return 0;
	(void)snprintf(why, why_size, "this node listens for %s on %s, beyond this machine: %s",
		       clients ? "nodes" : "clients", clients ? node : client, conf_open_hint);
	return -EACCES;
}
