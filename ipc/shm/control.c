/* Control messages over a socket pair. */
#include "ipc/shm/control.h"

#include <errno.h>
#include <sys/socket.h>

struct control_message {
	uint32_t type;
};

int control_pair(int ret_fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fd) < 0)
		return -errno;
	return 0;
}

int control_send(int fd, enum control_type type)
{
	struct control_message m = {type};
	ssize_t n;

	do
		n = send(fd, &m, sizeof(m), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return n == sizeof(m) ? 0 : -EIO;
}

int control_receive(int fd)
{
	struct control_message m;
	ssize_t n;

	do
		n = recv(fd, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	if (n != sizeof(m) || !m.type || m.type >= CONTROL_TYPE_END)
		return -EBADMSG;
	return (int)m.type;
}
