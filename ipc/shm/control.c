/* Control messages over a socket pair. */
#include "ipc/shm/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control_message {
	uint32_t type;
};

int control_pair(int ret_fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fd) < 0)
		return -errno;
	return 0;
}

/* A message and, if `passed` is one, a descriptor. */
static int message_send(int fd, enum control_type type, int passed)
{
	struct control_message m = {type};
	struct iovec v = {&m, sizeof(m)};
	union {
		struct cmsghdr head; /* for its alignment */
		char bytes[CMSG_SPACE(sizeof(int))];
	} room = {0};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	ssize_t n;

	if (passed >= 0) {
		h.msg_control = room.bytes;
		h.msg_controllen = sizeof(room.bytes);
		room.head.cmsg_level = SOL_SOCKET;
		room.head.cmsg_type = SCM_RIGHTS;
		room.head.cmsg_len = CMSG_LEN(sizeof(passed));
		memcpy(CMSG_DATA(&room.head), &passed, sizeof(passed));
	}
	do
		n = sendmsg(fd, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return n == sizeof(m) ? 0 : -EIO;
}

int control_send(int fd, enum control_type type)
{
	return message_send(fd, type, -1);
}

int control_send_fd(int fd, enum control_type type, int passed)
{
	return message_send(fd, type, passed);
}

/* The descriptor that came with a message, or -1. */
static int passed_with(struct msghdr *h)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(h);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int control_receive_fd(int fd, int *ret_fd)
{
	struct control_message m;
	struct iovec v = {&m, sizeof(m)};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room;
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = room.bytes,
			   .msg_controllen = sizeof(room.bytes)};
	ssize_t n;

	*ret_fd = -1;
	do
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	*ret_fd = passed_with(&h);
	if (n == sizeof(m) && m.type && m.type < CONTROL_TYPE_END)
		return (int)m.type;
	if (*ret_fd >= 0)
		(void)close(*ret_fd);
	*ret_fd = -1;
	return -EBADMSG;
}

int control_receive(int fd)
{
	int passed;
	int m = control_receive_fd(fd, &passed);

	if (passed >= 0)
		(void)close(passed);
	return m;
}
