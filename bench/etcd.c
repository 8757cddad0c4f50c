/*
 * Puts to etcd as its own clients make them: gRPC in HTTP/2, many requests in flight on each connection, so that
 * the protocol is not what is measured.
 *
 *	etcd HOST:PORT[,HOST:PORT...] CONNECTIONS IN_FLIGHT SECONDS [KEYS [VALUE_BYTES]]
 *
 * Connections go to the members in turn.  Prints puts/s and the median and 99th percentile of a put's time in us.
 * A put counts when its reply has come with a message in it; one that ends without is an error, and said.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define IN_FLIGHT_MAX   4096 /* a connection; a power of two */
#define FRAME_HEAD      9u
#define OUT_MAX         (1u << 20)
#define IN_MAX          (1u << 17)
#define LATENCIES       (1u << 22)

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
#define END_STREAM  1u
#define ACK         1u
#define END_HEADERS 4u

struct connection {
	int fd;
	uint32_t next; /* stream id: odd */
	unsigned open;
	int64_t window; /* bytes of data that may be sent */
	uint8_t answered[IN_FLIGHT_MAX];
	uint64_t begun[IN_FLIGHT_MAX];
	uint8_t *out;
	size_t out_len, out_sent;
	uint8_t *in;
	size_t in_len;
};

static struct connection connections[CONNECTIONS_MAX];
static uint8_t headers[256];
static size_t headers_len;
static uint32_t *latencies;
static uint64_t done, failed;
static unsigned in_flight, key_count = 100000, value_bytes = 100;
static uint8_t value[1 << 16];
static uint64_t seed = 88172645463325252u;

static _Noreturn void give_up(const char *what)
{
	(void)fprintf(stderr, "etcd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* ---- bytes ---- */

static size_t text(uint8_t *to, const char *s)
{
	size_t n = strlen(s);

	to[0] = (uint8_t)n;
	memcpy(to + 1, s, n);
	return n + 1;
}

/* The same for each request; nothing of it goes into the peer's table (HPACK, RFC 7541). */
static void headers_make(void)
{
	uint8_t *p = headers;

	*p++ = 0x83; /* :method POST */
	*p++ = 0x86; /* :scheme http */
	*p++ = 0x04; /* :path */
	p += text(p, "/etcdserverpb.KV/Put");
	*p++ = 0x01; /* :authority */
	p += text(p, "etcd");
	*p++ = 0x0f; /* content-type */
	*p++ = 0x10;
	p += text(p, "application/grpc");
	*p++ = 0x00;
	p += text(p, "te");
	p += text(p, "trailers");
	headers_len = (size_t)(p - headers);
}

static uint8_t *room(struct connection *c, size_t n)
{
	if (c->out_len + n > OUT_MAX) {
		(void)fprintf(stderr, "etcd: the member does not read\n");
		exit(1);
	}
	c->out_len += n;
	return c->out + c->out_len - n;
}

static void frame(struct connection *c, unsigned type, unsigned flags, uint32_t stream,
		  const void *body, size_t n)
{
	uint8_t *p = room(c, FRAME_HEAD + n);

	p[0] = (uint8_t)(n >> 16);
	p[1] = (uint8_t)(n >> 8);
	p[2] = (uint8_t)n;
	p[3] = (uint8_t)type;
	p[4] = (uint8_t)flags;
	for (unsigned i = 0; i < 4; i++)
		p[5 + i] = (uint8_t)(stream >> (24 - 8 * i));
	memcpy(p + FRAME_HEAD, body, n);
}

static size_t varint(uint8_t *to, uint64_t n)
{
	size_t k = 0;

	for (; n >= 0x80; n >>= 7)
		to[k++] = (uint8_t)(n | 0x80);
	to[k++] = (uint8_t)n;
	return k;
}

/* A message of gRPC, with PutRequest{key, value} in it. */
static size_t put_make(uint8_t *to)
{
	char key[32];
	int n = snprintf(key, sizeof(key), "bench/%08u", (unsigned)(any() % key_count));
	uint8_t *p = to + 5;
	size_t len;

	*p++ = 0x0a;
	p += varint(p, (uint64_t)n);
	memcpy(p, key, (size_t)n);
	p += n;
	*p++ = 0x12;
	p += varint(p, value_bytes);
	memcpy(p, value, value_bytes);
	p += value_bytes;
	len = (size_t)(p - to) - 5;
	to[0] = 0;
	for (unsigned i = 0; i < 4; i++)
		to[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	return len + 5;
}

/* ---- a connection ---- */

static void connect_to(struct connection *c, const char *endpoint)
{
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	static const uint8_t wide[4] = {0x7f, 0xfe, 0xff,
					0xff}; /* all that a window may hold: what comes is small */
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *a = NULL;
	char host[256];
	char *port;
	int yes = 1;

	(void)snprintf(host, sizeof(host), "%s", endpoint);
	port = strrchr(host, ':');
	if (!port) {
		(void)fprintf(stderr, "etcd: %s is no HOST:PORT\n", endpoint);
		exit(2);
	}
	*port++ = '\0';
	if (getaddrinfo(host, port, &hints, &a) != 0)
		give_up(endpoint);
	c->fd = socket(a->ai_family, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, a->ai_addr, a->ai_addrlen) < 0)
		give_up(endpoint);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	freeaddrinfo(a);
	c->out = malloc(OUT_MAX);
	c->in = malloc(IN_MAX);
	if (!c->out || !c->in)
		give_up("memory");
	c->next = 1;
	c->window = 65535;
	memcpy(room(c, sizeof(preface) - 1), preface, sizeof(preface) - 1);
	frame(c, SETTINGS, 0, 0, "", 0);
	frame(c, WINDOW_UPDATE, 0, 0, wide, 4);
}

static void fill(struct connection *c)
{
	uint8_t message[sizeof(value) + 128];
	uint64_t now = now_us();

	while (c->open < in_flight && c->window >= (int64_t)value_bytes + 64 &&
	       c->out_len < OUT_MAX / 2) {
		size_t n = put_make(message);
		unsigned slot = (c->next >> 1) & (IN_FLIGHT_MAX - 1);

		/* Replies may come in any order: the slot of one that lags is not free yet. */
		if (c->begun[slot])
			break;
		frame(c, HEADERS, END_HEADERS, c->next, headers, headers_len);
		frame(c, DATA, END_STREAM, c->next, message, n);
		c->window -= (int64_t)n;
		c->begun[slot] = now;
		c->answered[slot] = 0;
		c->next += 2;
		c->open++;
	}
}

static void send_out(struct connection *c)
{
	ssize_t n;

	if (c->out_sent == c->out_len)
		return;
	n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		give_up("send");
	c->out_sent += n > 0 ? (size_t)n : 0;
	if (c->out_sent == c->out_len) {
		c->out_sent = c->out_len = 0;
	} else if (c->out_sent > OUT_MAX / 4) {
		memmove(c->out, c->out + c->out_sent, c->out_len - c->out_sent);
		c->out_len -= c->out_sent;
		c->out_sent = 0;
	}
}

static void end_stream(struct connection *c, uint32_t stream)
{
	unsigned slot = (stream >> 1) & (IN_FLIGHT_MAX - 1);

	if (!c->begun[slot])
		return;
	if (c->answered[slot])
		latencies[done++ & (LATENCIES - 1)] = (uint32_t)(now_us() - c->begun[slot]);
	else
		failed++;
	c->begun[slot] = 0;
	c->open--;
}

static uint32_t number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void take_frame(struct connection *c, unsigned type, unsigned flags, uint32_t stream,
		       const uint8_t *body, size_t n)
{
	switch (type) {
	case DATA:
		if (n > 0)
			c->answered[(stream >> 1) & (IN_FLIGHT_MAX - 1)] = 1;
		if (flags & END_STREAM)
			end_stream(c, stream);
		break;
	case HEADERS:
		if (flags & END_STREAM)
			end_stream(c, stream);
		break;
	case RST_STREAM:
		c->answered[(stream >> 1) & (IN_FLIGHT_MAX - 1)] = 0;
		end_stream(c, stream);
		break;
	case SETTINGS:
		if (!(flags & ACK))
			frame(c, SETTINGS, ACK, 0, "", 0);
		break;
	case PING:
		if (!(flags & ACK))
			frame(c, PING, ACK, 0, body, n);
		break;
	case WINDOW_UPDATE:
		if (stream == 0 && n == 4)
			c->window += number(body) & 0x7fffffffu;
		break;
	case GOAWAY:
		(void)fprintf(stderr, "etcd: the member has closed a connection\n");
		exit(1);
	default:
		break;
	}
}

static void take(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, MSG_DONTWAIT);
	size_t at = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN))
		give_up("receive");
	c->in_len += n > 0 ? (size_t)n : 0;
	while (c->in_len - at >= FRAME_HEAD) {
		const uint8_t *p = c->in + at;
		size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (c->in_len - at < FRAME_HEAD + len)
			break;
		take_frame(c, p[3], p[4], number(p + 5) & 0x7fffffffu, p + FRAME_HEAD, len);
		at += FRAME_HEAD + len;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

static int less(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void run(unsigned n, uint64_t end)
{
	struct pollfd polled[CONNECTIONS_MAX];

	while (now_us() < end) {
		for (unsigned i = 0; i < n; i++) {
			fill(&connections[i]);
			send_out(&connections[i]);
			polled[i] = (struct pollfd){
				.fd = connections[i].fd,
				.events = connections[i].out_len ? POLLIN | POLLOUT : POLLIN,
			};
		}
		if (poll(polled, n, 100) < 0 && errno != EINTR)
			give_up("poll");
		for (unsigned i = 0; i < n; i++)
			if (polled[i].revents)
				take(&connections[i]);
	}
}

int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	unsigned seconds = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
	char *endpoints[16];
	unsigned count = 0;
	uint64_t begin;
	uint64_t kept;
	double passed;

	in_flight = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	key_count = argc > 5 ? (unsigned)atoi(argv[5]) : key_count;
	value_bytes = argc > 6 ? (unsigned)atoi(argv[6]) : value_bytes;
	if (argc < 5 || n < 1 || n > CONNECTIONS_MAX || in_flight < 1 ||
	    in_flight > IN_FLIGHT_MAX || seconds < 1 || key_count < 1 ||
	    value_bytes > sizeof(value) / 2) {
		(void)fprintf(stderr, "usage: etcd HOST:PORT[,HOST:PORT...] CONNECTIONS IN_FLIGHT "
				      "SECONDS [KEYS [VALUE_BYTES]]\n");
		return 2;
	}
	for (char *p = strtok(argv[1], ","); p && count < 16; p = strtok(NULL, ","))
		endpoints[count++] = p;
	latencies = calloc(LATENCIES, sizeof(*latencies));
	if (!latencies || !count)
		give_up("memory");
	memset(value, 'v', sizeof(value));
	headers_make();
	for (unsigned i = 0; i < n; i++)
		connect_to(&connections[i], endpoints[i % count]);
	run(n, now_us() + 500000); /* until all is in motion */
	if (failed) {
		(void)fprintf(stderr, "etcd: %llu puts were refused\n", (unsigned long long)failed);
		return 1;
	}
	done = 0;
	begin = now_us();
	run(n, begin + seconds * 1000000ull);
	passed = (double)(now_us() - begin) / 1e6;
	kept = done < LATENCIES ? done : LATENCIES;
	if (failed || !done) {
		(void)fprintf(stderr, "etcd: %llu puts were refused, %llu done\n",
			      (unsigned long long)failed, (unsigned long long)done);
		return 1;
	}
	qsort(latencies, kept, sizeof(*latencies), less);
	(void)printf("%.0f puts/s, p50 %u us, p99 %u us\n", (double)done / passed,
		     latencies[kept / 2], latencies[kept * 99 / 100]);
	return 0;
}
