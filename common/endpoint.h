/*
 * Endpoints as people write them: one check for configurations, commands and the library, so that a
 * mistake is told where it was written and not when a socket is made of it.  Pure: nothing is
 * resolved or opened.
 *
 *	tcp://HOST:PORT, or HOST:PORT    HOST an IPv4 address, an IPv6 address in brackets or a
 *	                                 name; to bind also an interface or * (every address of
 *	                                 the machine)
 *	ipc://PATH                       a socket file of this machine
 */
#ifndef PAIL_ENDPOINT_H
#define PAIL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#define ENDPOINT_MAX 256u /* bytes of an endpoint with its NUL */

enum endpoint_use {
	ENDPOINT_CONNECT, /* port 1 to 65535 */
	ENDPOINT_BIND     /* port 0 or * too: any free one; an ipc path must be absolute */
};

/*
 * Whether `text` is an endpoint for that use.  Returns 0 with the endpoint in full (tcp:// before
 * it if that was left out) in `ret` (ENDPOINT_MAX bytes, may be NULL, and may be `text`), or
 * -EINVAL with *ret_why, a constant text that says what is wrong: "the port is above 65535".
 */
int endpoint_check(const char *text, enum endpoint_use use, char *ret, const char **ret_why);

/*
 * Is only this machine able to reach it, or HOST:PORT, when it is listened on?  A socket file;
 * 127.0.0.0/8 and [::1], written in any way; localhost; the interface lo.
 */
bool endpoint_is_local(const char *endpoint);

#endif
