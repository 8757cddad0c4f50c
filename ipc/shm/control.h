/*
 * The control socket between coordinator and worker: a SOCK_SEQPACKET pair with one small typed
 * message a packet.  Its end is a message too: a worker that reads end of file finishes and exits,
 * whether it was asked to or the coordinator is no more.
 */
#ifndef PAIL_CONTROL_H
#define PAIL_CONTROL_H

#include <stddef.h>
#include <stdint.h>

enum control_type {
	CONTROL_READY = 1, /* worker: serving from now on */
	CONTROL_STOP,      /* coordinator: finish what is in the ring, checkpoint, say goodbye */

	/* Planned handoff: the coordinator and the worker that serves, */
	CONTROL_HOLD,   /* coordinator: begin no checkpoint from now on */
	CONTROL_HELD,   /* worker: the last one has ended, the log stays as it is but for its end */
	CONTROL_UNHELD, /* worker: it cannot wait any longer, and checkpoints again */
	CONTROL_RESUME, /* coordinator: go on as if nothing had been asked */
	CONTROL_LEAVE, /* coordinator: stop behind the request you are at, sync, let go of the store
			*/
	CONTROL_LEFT, /* worker: goodbye; nothing of the segment or the store is touched any more */
	/* and the one that follows it. */
	CONTROL_CAUGHT_UP, /* successor: it has read the log nearly to its end */
	CONTROL_GO,        /* coordinator: the other has left: take over, then say CONTROL_READY */

	CONTROL_FUNCTIONS, /* coordinator: the modules from now on; their descriptor comes with it
			    */
	CONTROL_TYPE_END
};

/* Make the pair: [0] the coordinator's, [1] the worker's.  Both close on exec, not blocking. */
int control_pair(int ret_fd[2]);

/* Send one message.  0 or negative errno (-EPIPE: the other side is gone). */
int control_send(int fd, enum control_type type);

/* The same with a descriptor, which the other side gets one of its own for. */
int control_send_fd(int fd, enum control_type type, int passed);

/* Receive one.  Its type, 0 (none is there now), -EPIPE (end), -EBADMSG, or negative errno. */
int control_receive(int fd);
/* The same; *ret_fd is the descriptor that came with it, the caller's, or -1. */
int control_receive_fd(int fd, int *ret_fd);

#endif
