/*
 * Pairs of keys, and who is let in.  libzmq lets anybody in whose handshake is sound if nobody
 * answers its questions (ZAP, RFC 27), so the door is made before the first listener, and each
 * listener with keys names a domain, without which it takes nobody.
 */
#ifndef PAIL_CURVE_H
#define PAIL_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/key.h"
#include "ipc/net/socket.h"

/* A new pair, each KEY_TEXT characters and a NUL.  0, or -ENOTSUP: libzmq was built without CURVE.
 */
int curve_pair(char *ret_public, char *ret_secret);
/* The public key of a secret one.  0, -EINVAL: it is none, or -ENOTSUP. */
int curve_public(const char *secret, char *ret_public);

/* Who decides: is the one with this public key (KEY_TEXT characters and a NUL) let in at `domain`? */
typedef bool door_allows(void *arg, const char *domain, const char *key);

struct door;

/*
 * Answer the handshakes of all sockets of a context, from now on.  Whom `allows` lets in has its
 * key as what socket_message_key tells.  0 or negative errno.
 */
int door_open(struct socket_context *c, door_allows *allows, void *arg, struct door **ret);
/* Before the context is freed. */
void door_close(struct door **d);
/* Becomes readable when somebody asks; edge-triggered: ask door_answer until it returns 0. */
int door_fd(const struct door *d);
/* Answer up to `most` who wait.  Returns how many there were. */
unsigned door_answer(struct door *d, unsigned most);

#endif
