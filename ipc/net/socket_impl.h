/* What the files of this folder that talk to ZeroMQ share. */
#ifndef PAIL_SOCKET_IMPL_H
#define PAIL_SOCKET_IMPL_H

#include "ipc/net/socket.h"

/* ZeroMQ's own context. */
void *socket_context_zmq(const struct socket_context *c);

#endif
