/*
 * One load, over plain sockets, for Pail and for Redis, so that neither side's client library is
 * measured: C connections, each one write of P requests, then their P replies, then again, as
 * redis-benchmark does it.  One thread.  Prints requests a second.
 *
 *	sockets pail|redis PORT put|get|session|counter|txn [CONNECTIONS [PIPELINE [SECONDS [KEYS]]]]
 *
 * put, get: 100-byte values.  session: a put that says who asks, so that it could be sent again
 * (Pail only).  counter: a function adds one to a counter (Redis: EVALSHA of a script that does the
 * same).  txn: four puts at one moment (Redis: MULTI, four SET, EXEC).  Buckets and script are made
 * first; the node needs the module `counter`.
 *
 * To Pail it speaks ZMTP 3 (rfc.zeromq.org/spec/23) with the NULL mechanism as a DEALER.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "ipc/wire/msgpack.h"

#define BUCKETS      16u
#define VALUE_BYTES  100u
#define REQUEST_MAX  1024u /* bytes of the longest request here */
#define PIPELINE_MAX 4096u
#define KEY_SIZE     40u
#define READ_BYTES   (4u << 20) /* more than all replies to one write */

enum workload { PUT, GET, SESSION, COUNTER, TXN, WORKLOADS };
static const char *const names[WORKLOADS] = {"put", "get", "session", "counter", "txn"};

struct conn {
	int fd;
	unsigned owed; /* replies */
	uint64_t seq;  /* of the session's next request */
	char session[16];
	char *in;
	size_t n;
};

static struct {
	bool redis;
	enum workload workload;
	unsigned port, pipeline, keys;
	char value[VALUE_BYTES];
	char sha[41];
	uint64_t random;
} load = {.random = 88172645463325252u};

_Noreturn static void die(const char *what)
{
	(void)fprintf(stderr, "sockets: %s%s%s\n", what, errno ? ": " : "",
		      errno ? strerror(errno) : "");
	exit(1);
}

/* Marsaglia's xorshift: which key is next. */
static uint64_t random_next(void)
{
	load.random ^= load.random << 13;
	load.random ^= load.random >> 7;
	load.random ^= load.random << 17;
	return load.random;
}

/* A counter's key holds a number, every other one a value. */
static void key_make(char key[KEY_SIZE])
{
	(void)snprintf(key, KEY_SIZE, "%s:%012llu", load.workload == COUNTER ? "sum" : "key",
		       (unsigned long long)(random_next() % load.keys));
}

static void send_all(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);

		if (r < 0)
			die("send");
		p += r;
		n -= (size_t)r;
	}
}

static void receive(struct conn *c)
{
	ssize_t r = recv(c->fd, c->in + c->n, READ_BYTES - c->n, 0);

	if (r <= 0)
		die(r ? "receive" : "the connection was closed");
	c->n += (size_t)r;
}

static void consume(struct conn *c, size_t n)
{
	memmove(c->in, c->in + n, c->n - n);
	c->n -= n;
}

/* ---- Pail ---- */

static char *text(char *p, const char *s)
{
	return write_str(p, s, strlen(s));
}

static char *one_put(char *p, const char *op, const char *bucket)
{
	char key[KEY_SIZE];

	key_make(key);
	if (op)
		p = text(write_array(p, 3), op);
	if (bucket)
		p = text(p, bucket);
	p = text(p, key);
	return write_bin(p, load.value, sizeof(load.value));
}

static char *pail_request(struct conn *c, char *p, uint64_t id)
{
	static const char *const methods[WORKLOADS] = {"put", "get", "put", "call", "txn"};
	char bucket[16];
	char key[KEY_SIZE];

	(void)snprintf(bucket, sizeof(bucket), "bench-%u", (unsigned)(random_next() % BUCKETS));
	key_make(key);
	p = write_uint(write_uint(write_array(p, 4), 0), id);
	p = text(p, methods[load.workload]);
	switch (load.workload) {
	case PUT:
		return one_put(write_array(p, 3), NULL, bucket);
	case GET:
		return text(text(write_array(p, 2), bucket), key);
	case SESSION:
		p = write_map(one_put(write_array(p, 4), NULL, bucket), 3);
		p = write_bin(text(p, "session"), c->session, sizeof(c->session));
		p = write_uint(text(p, "seq"), c->seq + id);
		return write_uint(text(p, "ack"), c->seq);
	case COUNTER:
		p = text(text(text(write_array(p, 4), bucket), "counter"), "add");
		return write_uint(text(write_array(p, 2), key), 1);
	default:
		p = write_map(text(write_array(p, 2), bucket), 1);
		p = write_array(text(p, "then"), 4);
		for (unsigned i = 0; i < 4; i++)
			p = one_put(p, "put", NULL);
		return p;
	}
}

/* `n` bytes that begin at p + 9, as one frame: where it begins. */
static char *frame(char *p, size_t n, size_t *ret_size)
{
	if (n < 256) {
		p[7] = 0;
		p[8] = (char)n;
		*ret_size = n + 2;
		return p + 7;
	}
	p[0] = 2; /* long */
	for (unsigned i = 0; i < 8; i++)
		p[1 + i] = (char)(n >> (56 - 8 * i));
	*ret_size = n + 9;
	return p;
}

/* A whole frame that has come in: its bytes, or a span without a pointer. */
static struct span frame_read(const struct conn *c, size_t *ret_size, bool *ret_command)
{
	const uint8_t *u = (const uint8_t *)c->in;
	uint64_t n = 0;
	size_t head = c->n && u[0] & 2 ? 9 : 2;

	if (c->n < head)
		return (struct span){NULL, 0};
	for (size_t i = 1; i < head; i++)
		n = n << 8 | u[i];
	if (n > READ_BYTES - head)
		die("a frame is too long");
	if (c->n - head < n)
		return (struct span){NULL, 0};
	*ret_command = u[0] & 4;
	*ret_size = head + n;
	return (struct span){c->in + head, n};
}

static void pail_reply(const char *p)
{
	(void)read_array(&p);
	p = read_skip(read_skip(p));
	if (read_type(p) != TYPE_NIL) {
		struct span code = (read_array(&p), read_bytes(&p));
		struct span why = read_bytes(&p);

		(void)fprintf(stderr, "sockets: %.*s: %.*s\n", (int)code.n, code.p, (int)why.n,
			      why.p);
		exit(1);
	}
}

/* Replies that are there; a copy of the last one's result into `last`, if that is not NULL. */
static unsigned pail_replies(struct conn *c, char *last, size_t last_size)
{
	unsigned count = 0;
	bool command = false;
	size_t size = 0;
	struct span f;

	while ((f = frame_read(c, &size, &command)).p) {
		const char *p = f.p;
		const char *next = p;

		for (; !command && p < f.p + f.n; p = next, count++) {
			if (!read_whole(p, f.p + f.n, &next))
				die("a reply is no MessagePack");
			pail_reply(p);
			if (last && (size_t)(next - p) <= last_size)
				memcpy(last, p, (size_t)(next - p));
		}
		consume(c, size);
	}
	return count;
}

static void pail_hello(struct conn *c)
{
	static const char ready[] = "\4\34\5READY\13Socket-Type\0\0\0\6DEALER";
	char greeting[64] = "\377\0\0\0\0\0\0\0\0\177\3\0NULL";
	size_t size = 0;
	bool command = false;

	greeting[9] = 0x7f;
	send_all(c, greeting, sizeof(greeting));
	send_all(c, ready, 2);
	send_all(c, ready + 2, sizeof(ready) - 3);
	while (c->n < sizeof(greeting))
		receive(c);
	consume(c, sizeof(greeting));
	while (!frame_read(c, &size, &command).p)
		receive(c);
	consume(c, size);
}

/* One request, waited for; the reply into `ret`. */
static void pail_ask(struct conn *c, const char *method, const char *bucket, char *ret, size_t n)
{
	char request[256];
	char *p = write_uint(write_uint(write_array(request + 9, 4), 0), 1);
	size_t size;

	p = write_array(text(p, method), bucket ? 1 : 0);
	if (bucket)
		p = text(p, bucket);
	p = frame(request, (size_t)(p - request) - 9, &size);
	send_all(c, p, size);
	do
		receive(c);
	while (!pail_replies(c, ret, n));
}

static void pail_begin(struct conn *c)
{
	char reply[64] = {0};

	if (load.workload != SESSION)
		return;
	pail_ask(c, "session", NULL, reply, sizeof(reply));
	const char *p = reply;

	(void)read_array(&p);
	p = read_skip(read_skip(read_skip(p)));
	struct span id = read_bytes(&p);

	if (id.n != sizeof(c->session))
		die("a session has 16 bytes");
	memcpy(c->session, id.p, id.n);
}

/* ---- Redis ---- */

static char *bulk(char *p, const char *s, size_t n)
{
	p += sprintf(p, "$%zu\r\n", n);
	memcpy(p, s, n);
	memcpy(p + n, "\r\n", 2);
	return p + n + 2;
}

static char *words(char *p, unsigned n)
{
	return p + sprintf(p, "*%u\r\n", n);
}

static char *word(char *p, const char *s)
{
	return bulk(p, s, strlen(s));
}

static char *redis_key(char *p)
{
	char key[KEY_SIZE];
	char whole[16 + KEY_SIZE];

	key_make(key);
	(void)snprintf(whole, sizeof(whole), "bench-%u:%s", (unsigned)(random_next() % BUCKETS),
		       key);
	return word(p, whole);
}

static char *redis_set(char *p)
{
	return bulk(redis_key(word(words(p, 3), "SET")), load.value, sizeof(load.value));
}

static char *redis_request(char *p)
{
	switch (load.workload) {
	case GET:
		return redis_key(word(words(p, 2), "GET"));
	case COUNTER:
		p = word(word(word(words(p, 5), "EVALSHA"), load.sha), "1");
		return word(redis_key(p), "1");
	case TXN:
		p = word(words(p, 1), "MULTI");
		for (unsigned i = 0; i < 4; i++)
			p = redis_set(p);
		return word(words(p, 1), "EXEC");
	default:
		return redis_set(p);
	}
}

/* Where the reply at `p` ends; NULL: it is not whole yet. */
static const char *redis_skip(const char *p, const char *end)
{
	const char *line = memchr(p, '\n', (size_t)(end - p));
	long n;

	if (!line)
		return NULL;
	n = strtol(p + 1, NULL, 10);
	if (*p == '-') {
		(void)fprintf(stderr, "sockets: redis: %.*s\n", (int)(line - p), p);
		exit(1);
	}
	if (*p == '$')
		return n < 0 ? line + 1 : end - line - 1 >= n + 2 ? line + 1 + n + 2 : NULL;
	p = *p == '*' ? line + 1 : NULL;
	if (!p)
		return line + 1;
	for (; p && n > 0; n--)
		p = p < end ? redis_skip(p, end) : NULL;
	return p;
}

static unsigned redis_replies(struct conn *c)
{
	const char *p = c->in;
	const char *end = c->in + c->n;
	const char *next;
	unsigned count = 0;

	while (p < end && (next = redis_skip(p, end))) {
		p = next;
		count++;
	}
	consume(c, (size_t)(p - c->in));
	return count;
}

static void redis_script(struct conn *c)
{
	static const char script[] =
		"local n = tonumber(redis.call('get', KEYS[1]) or '0') + tonumber(ARGV[1]) "
		"redis.call('set', KEYS[1], tostring(n)) return n";
	char request[512];
	char *p = word(word(word(words(request, 3), "SCRIPT"), "LOAD"), script);

	send_all(c, request, (size_t)(p - request));
	while (c->n < 47) /* $40, the digest, two line ends */
		receive(c);
	memcpy(load.sha, c->in + 5, 40);
	consume(c, c->n);
}

/* ---- the load ---- */

static void conn_open(struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->in = malloc(READ_BYTES);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!c->in || c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!load.redis)
		pail_hello(c);
}

static void conn_send(struct conn *c)
{
	static char out[PIPELINE_MAX * REQUEST_MAX];
	char *p = load.redis ? out : out + 9;
	char *begin = out;
	size_t size;

	for (uint64_t i = 0; i < load.pipeline; i++)
		p = load.redis ? redis_request(p) : pail_request(c, p, i);
	size = (size_t)(p - out);
	if (!load.redis)
		begin = frame(out, size - 9, &size);
	send_all(c, begin, size);
	c->seq += load.pipeline;
	c->owed = load.pipeline * (load.redis && load.workload == TXN ? 6 : 1);
}

static void prepare(struct conn *c)
{
	char bucket[16];

	for (unsigned i = 0; i < BUCKETS && !load.redis; i++) {
		(void)snprintf(bucket, sizeof(bucket), "bench-%u", i);
		pail_ask(c, "create", bucket, NULL, 0);
	}
	if (load.redis && load.workload == COUNTER)
		redis_script(c);
}

static uint64_t run(struct conn *conns, unsigned n, uint64_t seconds)
{
	int poll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t done = 0;
	uint64_t begin;

	for (unsigned i = 0; i < n; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};

		if (epoll_ctl(poll, EPOLL_CTL_ADD, conns[i].fd, &e) < 0)
			die("epoll");
		conn_send(&conns[i]);
	}
	begin = clock_ms();
	while (clock_ms() - begin < seconds * 1000) {
		struct epoll_event events[64];
		int ready = epoll_wait(poll, events, 64, 1000);

		if (ready <= 0)
			die("nothing has come for a second");
		for (int i = 0; i < ready; i++) {
			struct conn *c = events[i].data.ptr;
			unsigned got;

			receive(c);
			got = load.redis ? redis_replies(c) : pail_replies(c, NULL, 0);
			if (got > c->owed)
				die("more replies than requests");
			c->owed -= got;
			if (c->owed)
				continue;
			done += load.pipeline;
			conn_send(c);
		}
	}
	(void)close(poll);
	return done * 1000 / (clock_ms() - begin);
}

static unsigned number(int argc, char **argv, int i, unsigned otherwise, unsigned most)
{
	unsigned long n = i < argc ? strtoul(argv[i], NULL, 10) : otherwise;

	if (!n || n > most)
		die("usage: sockets pail|redis PORT put|get|session|counter|txn "
		    "[CONNECTIONS [PIPELINE [SECONDS [KEYS]]]]");
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	unsigned n = number(argc, argv, 4, 50, 1000);
	unsigned seconds = number(argc, argv, 6, 3, 3600);
	struct conn *conns = calloc(n, sizeof(*conns));

	load.redis = argc > 1 && !strcmp(argv[1], "redis");
	load.port = number(argc, argv, 2, 0, 65535);
	load.pipeline = number(argc, argv, 5, 16, PIPELINE_MAX);
	load.keys = number(argc, argv, 7, 100000, 1000000000);
	load.workload = WORKLOADS;
	for (unsigned i = 0; i < WORKLOADS && argc > 3; i++)
		if (!strcmp(argv[3], names[i]))
			load.workload = (enum workload)i;
	if (!conns || load.workload == WORKLOADS || (load.redis && load.workload == SESSION))
		(void)number(0, NULL, 0, 0, 0);
	memset(load.value, 'v', sizeof(load.value));
	for (unsigned i = 0; i < n; i++)
		conn_open(&conns[i]);
	prepare(&conns[0]);
	for (unsigned i = 0; i < n && !load.redis; i++)
		pail_begin(&conns[i]);
	(void)printf("%llu\n", (unsigned long long)run(conns, n, seconds));
	return 0;
}
