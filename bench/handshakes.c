/*
 * Connections made: a socket connects, sends a ping, has its reply, and is closed; then the next
 * one, so many at a time.  One thread beside libzmq's.  Prints how many a second.
 *
 *	handshakes ENDPOINT [AT_A_TIME [SECONDS [KEY_FILE]]]
 *
 * With a key file each makes a CURVE handshake, and believes the first node that the file names.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/key.h"
#include "ipc/net/socket.h"
#include "ipc/wire/msgpack.h"

#define AT_A_TIME_MAX 500u
#define REPLY_MS      5000

static struct {
	const char *endpoint;
	struct socket_context *context;
	struct socket_options options;
} load;

_Noreturn static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "handshakes: %s: %s\n", what, why);
	exit(1);
}

static void sent(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static void begin(struct socket **s)
{
	const struct span nobody = {NULL, 0};
	char *ping = malloc(64);
	char *p = ping;
	int r = socket_connect(load.context, load.endpoint, &load.options, s);

	if (r < 0 || !ping)
		die(load.endpoint, ping ? socket_why(r) : "no memory");
	p = write_uint(write_uint(write_array(p, 4), 0), 1);
	p = write_array(write_str(p, "ping", 4), 0);
	r = socket_send(*s, nobody, false, ping, (size_t)(p - ping), sent, NULL);
	if (r < 0)
		die("send", socket_why(r));
}

/* Has its reply come? */
static bool answered(struct socket *s)
{
	struct socket_message *m;

	return socket_ready(s, NULL) && socket_receive(s, 4096, &m) == 0;
}

static uint64_t run(struct socket **s, unsigned n, uint64_t seconds)
{
	static struct pollfd poll_fd[AT_A_TIME_MAX];
	uint64_t end_ms = clock_ms() + 1000 * seconds;
	uint64_t done = 0;

	for (unsigned i = 0; i < n; i++)
		begin(&s[i]);
	while (clock_ms() < end_ms) {
		/* Looked at before it is waited for: libzmq wakes who has found nothing. */
		for (unsigned i = 0; i < n; i++) {
			for (; answered(s[i]); done++) {
				socket_close(&s[i]);
				begin(&s[i]);
			}
			poll_fd[i] = (struct pollfd){socket_fd(s[i]), POLLIN, 0};
		}
		if (poll(poll_fd, n, REPLY_MS) <= 0)
			die(load.endpoint, "nobody answers");
	}
	return done / seconds;
}

static unsigned number(int argc, char **argv, int i, unsigned otherwise, unsigned most)
{
	unsigned long n = i < argc ? strtoul(argv[i], NULL, 10) : otherwise;

	if (!n || n > most)
		die("usage", "handshakes ENDPOINT [AT_A_TIME [SECONDS [KEY_FILE]]]");
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static struct socket *s[AT_A_TIME_MAX];
	struct key_file own = {.servers = 0};
	struct socket_keys keys;
	char why[400];
	unsigned n = number(argc, argv, 2, 1, AT_A_TIME_MAX);
	unsigned seconds = number(argc, argv, 3, 5, 3600);

	if (argc < 2)
		die("usage", "handshakes ENDPOINT [AT_A_TIME [SECONDS [KEY_FILE]]]");
	load.endpoint = argv[1];
	if (argc > 4) {
		if (key_file_read(argv[4], &own, why, sizeof(why)) < 0)
			die("key file", why);
		if (!own.servers)
			die(argv[4], "it has no line server =");
		keys = (struct socket_keys){
			.public = own.public, .secret = own.secret, .server = own.server[0]};
		load.options.keys = &keys;
	}
	if (socket_context_new(&load.context) < 0)
		die("ZeroMQ", "cannot be started");
	(void)printf("%llu\n", (unsigned long long)run(s, n, seconds));
	for (unsigned i = 0; i < n; i++)
		socket_close(&s[i]);
	socket_context_free(&load.context);
	key_file_forget(&own);
	return 0;
}
