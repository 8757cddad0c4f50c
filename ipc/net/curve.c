/* Pairs of keys, and the handler of ZeroMQ's authentication protocol (RFC 27). */
#include "ipc/net/curve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "ipc/net/socket_impl.h"

#define DOOR         "inproc://zeromq.zap.01" /* where libzmq asks; the name is RFC 27's */
#define FRAMES_MAX   10u
#define FRAME_MAX    256u /* of those that count; an address may be longer, and does not */
#define DOMAIN_MAX   32u
#define FRAMES_ASKED 9u /* envelope's id and delimiter, then seven: see question_take */
#define VERSION      "1.0"

int curve_pair(char *ret_public, char *ret_secret)
{
	return zmq_curve_keypair(ret_public, ret_secret) < 0 ? -errno : 0;
}

int curve_public(const char *secret, char *ret_public)
{
	return zmq_curve_public(ret_public, secret) < 0 ? -errno : 0;
}

/* ---- the door ---- */

struct door {
	void *socket;
	int fd;
	door_allows *allows;
	void *arg;
};

/* One frame of a question; what is longer than FRAME_MAX is not kept. */
struct frame {
	size_t n;
	char bytes[FRAME_MAX];
};

int door_open(struct socket_context *c, door_allows *allows, void *arg, struct door **ret)
{
	struct door *d = calloc(1, sizeof(*d));
	int linger = 0;
	int unlimited = 0;
	size_t n = sizeof(d->fd);
	int r = 0;

	if (!d)
		return -ENOMEM;
	d->allows = allows;
	d->arg = arg;
	d->socket = zmq_socket(socket_context_zmq(c), ZMQ_ROUTER);
	if (!d->socket || zmq_setsockopt(d->socket, ZMQ_LINGER, &linger, sizeof(linger)) < 0 ||
	    /* A handshake asks once and waits; how many there may be is the listener's limit. */
	    zmq_setsockopt(d->socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) < 0 ||
	    zmq_setsockopt(d->socket, ZMQ_SNDHWM, &unlimited, sizeof(unlimited)) < 0 ||
	    zmq_getsockopt(d->socket, ZMQ_FD, &d->fd, &n) < 0 || zmq_bind(d->socket, DOOR) < 0)
		r = -errno;
	if (r < 0)
		door_close(&d);
	else
		*ret = d;
	return r;
}

void door_close(struct door **dp)
{
	struct door *d = *dp;

	if (!d)
		return;
	if (d->socket)
		(void)zmq_close(d->socket);
	free(d);
	*dp = NULL;
}

int door_fd(const struct door *d)
{
	return d->fd;
}

/* Receive a whole question.  The number of its frames, or negative errno. */
static int question_receive(struct door *d, struct frame *frame)
{
	unsigned count = 0;
	int more = 1;

	while (more) {
		struct frame surplus;
		struct frame *f = count < FRAMES_MAX ? &frame[count] : &surplus;
		size_t n = sizeof(more);
		int r = zmq_recv(d->socket, f->bytes, sizeof(f->bytes), ZMQ_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 || zmq_getsockopt(d->socket, ZMQ_RCVMORE, &more, &n) < 0)
			return -errno;
		f->n = (size_t)r;
		count += count < FRAMES_MAX;
	}
	return (int)count;
}

static bool frame_is(const struct frame *f, const char *text)
{
	return f->n == strlen(text) && !memcmp(f->bytes, text, f->n);
}

/*
 * May who asks come in?  The frames behind the envelope: version, request id, domain, address,
 * routing id, mechanism, and the mechanism's own, of which CURVE has the one, 32 bytes of key.
 */
static bool question_judge(const struct door *d, const struct frame *frame, int count,
			   char *ret_key)
{
	char domain[DOMAIN_MAX];

	if (count != (int)FRAMES_ASKED || !frame_is(&frame[2], VERSION) ||
	    !frame_is(&frame[7], "CURVE") || frame[8].n != KEY_BYTES || frame[4].n >= DOMAIN_MAX)
		return false;
	memcpy(domain, frame[4].bytes, frame[4].n);
	domain[frame[4].n] = '\0';
	return zmq_z85_encode(ret_key, (const uint8_t *)frame[8].bytes, KEY_BYTES) &&
	       d->allows(d->arg, domain, ret_key);
}

/* Version, request id, status, text, user id, metadata; who has gone meanwhile gets nothing. */
static void question_reply(struct door *d, const struct frame *frame, bool allowed, const char *key)
{
	const struct {
		const void *p;
		size_t n;
	} reply[] = {
		{frame[0].bytes,               frame[0].n            },
                {"",                           0                     },
		{VERSION,                      sizeof(VERSION) - 1   },
                {frame[3].bytes,               frame[3].n            },
		{allowed ? "200" : "400",      3                     },
                {allowed ? "OK" : "not known", allowed ? 2u : 9u     },
		{key,			  allowed ? KEY_TEXT : 0},
                {"",                           0                     },
	};
	const size_t count = sizeof(reply) / sizeof(reply[0]);

	for (size_t i = 0; i < count; i++)
		if (zmq_send(d->socket, reply[i].p, reply[i].n,
			     ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0)) < 0)
			return;
}

unsigned door_answer(struct door *d, unsigned most)
{
	struct frame frame[FRAMES_MAX];
	unsigned n = 0;

	while (n < most) {
		char key[KEY_TEXT + 1] = "";
		int count = question_receive(d, frame);

		if (count < 0)
			break;
		n++;
		/* One that is none cannot be answered; libzmq makes none such. */
		if (count >= 4 && frame[3].n <= FRAME_MAX)
			question_reply(d, frame, question_judge(d, frame, count, key), key);
	}
	return n;
}
