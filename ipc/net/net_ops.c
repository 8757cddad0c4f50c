/* ZeroMQ's sockets as a table. */
#include "ipc/net/net_ops.h"

const struct net_ops net_zmq = {
	.connect = socket_connect,
	.close = socket_close,
	.event = socket_event,
	.maybe_readable = socket_maybe_readable,
	.ready = socket_ready,
	.receive = socket_receive,
	.message_key = socket_message_key,
	.send = socket_send,
	.reply = socket_reply,
};
