/*
 * Questions to the door (ZAP, RFC 27) of whatever frames: nobody is let in but who asks in the right
 * form, at a domain there is, with a key that is known.
 */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>
#include <zmq.h>

#include "common/check.h"
#include "ipc/net/curve.h"
#include "ipc/net/socket_impl.h"

#define FRAMES 14u
#define LONG   600u

struct frame {
	size_t n;
	uint8_t bytes[LONG];
};

static bool asked; /* the last question got as far as to be judged */

static bool allows(void *arg, const char *domain, const char *key)
{
	(void)arg;
	asked = true;
	check(strlen(key) == KEY_TEXT);
	return !strcmp(domain, "clients") && key[0] < 'n';
}

static void *asker(struct door **ret)
{
	static struct socket_context *c;
	static struct door *d;
	static void *s;

	if (!s) {
		check(socket_context_new(&c) == 0 && door_open(c, allows, NULL, &d) == 0);
		s = zmq_socket(socket_context_zmq(c), ZMQ_DEALER);
		check(s && zmq_connect(s, "inproc://zeromq.zap.01") == 0);
	}
	*ret = d;
	return s;
}

/* What libzmq sends, with what the input has in some of its frames' places. */
static unsigned question_make(const uint8_t *p, const uint8_t *end, struct frame *f)
{
	static const struct {
		const char *p;
		size_t n;
	} sound[] = {
		{"",				 0 },
                {"1.0",                              3 },
		{"1",				1 },
                {"clients",                          7 },
		{"10.0.0.1",                         8 },
                {"",                                 0 },
		{"CURVE",			    5 },
                {"0123456789abcdef0123456789abcdef", 32}
        };
	unsigned count = 8;

	for (unsigned i = 0; i < count; i++) {
		f[i].n = sound[i].n;
		memcpy(f[i].bytes, sound[i].p, sound[i].n);
	}
	if (p < end)
		count = 1 + *p++ % FRAMES;
	for (unsigned i = 8; i < count; i++)
		f[i].n = 0;
	while (p + 2 <= end) {
		struct frame *x = &f[p[0] % count];
		size_t n = (size_t)p[1] * 3 % LONG;

		p += 2;
		n = n < (size_t)(end - p) ? n : (size_t)(end - p);
		memcpy(x->bytes, p, n);
		x->n = n;
		p += n;
	}
	return count;
}

static bool is(const struct frame *f, const char *text)
{
	return f->n == strlen(text) && !memcmp(f->bytes, text, f->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame f[FRAMES + 1];
	struct door *d;
	void *s = asker(&d);
	unsigned count = question_make(data, data + size, f);
	char status[16] = "";
	int more = 1;
	size_t n = sizeof(more);

	asked = false;
	for (unsigned i = 0; i < count; i++)
		check(zmq_send(s, f[i].bytes, f[i].n, i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
	check(door_answer(d, 16) == 1);
	for (unsigned i = 0; more; i++) {
		char bytes[LONG];
		int r = zmq_recv(s, bytes, sizeof(bytes), ZMQ_DONTWAIT);

		if (r < 0)
			break; /* it was none that could be answered */
		if (i == 3 && r < (int)sizeof(status))
			memcpy(status, bytes, (size_t)r);
		check(zmq_getsockopt(s, ZMQ_RCVMORE, &more, &n) == 0);
	}
	if (strcmp(status, "200") != 0)
		return 0;
	check(asked && count == 8 && is(&f[1], "1.0") && is(&f[3], "clients") &&
	      is(&f[6], "CURVE") && f[7].n == KEY_BYTES);
	return 0;
}
