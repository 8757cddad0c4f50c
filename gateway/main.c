/* pail-gateway: options, start, exit statuses. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/key.h"
#include "gateway/server.h"
#include "include/wire.h"

#define EXIT_USAGE    2
#define ENDPOINT_SIZE 64

static const char usage[] =
	"usage: pail-gateway --node ENDPOINT --text HOST:PORT [--key FILE]\n"
	"                    [--node-key PUBLIC] [--connections N] [--line BYTES]\n"
	"\n"
	"Serves a text dialogue on TCP (CREATE, PUT, GET and DELETE, one command a line) as a "
	"client\n"
	"of a node.  paild starts it by itself where gateway.text is set.\n"
	"\n"
	"  --node ENDPOINT    the node (default " WIRE_ENDPOINT_DEFAULT ")\n"
	"  --text HOST:PORT   where to listen; port 0: any free one\n"
	"  --key FILE         the key file to come with, at a node that asks for keys\n"
	"  --node-key PUBLIC  the node's key, if the key file names none (server = PUBLIC)\n"
	"  --connections N    at a time (default 4096)\n"
	"  --line BYTES       of the longest line (default 65536)\n"
	"  --ready-fd FD      write where it listens to this descriptor\n"
	"  --version, --help\n"
	"\n"
	"Signals: TERM and INT end it once what is in flight has been answered, or in 2 s.\n"
	"Exit status: 0 ended, 1 failed, 2 wrong usage.\n";

struct choices {
	const char *node;
	const char *key; /* "": it comes without, whatever the environment says */
	const char *node_key;
	struct server_config config;
	int ready_fd;
};

static bool number(const char *s, unsigned long most, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *ret <= most;
}

/* -1, or an exit status. */
static int options_read(int argc, char **argv, struct choices *x)
{
	static const struct option options[] = {
		{"node",        required_argument, NULL, 'n'},
		{"text",        required_argument, NULL, 't'},
		{"key",         required_argument, NULL, 'k'},
		{"node-key",    required_argument, NULL, 'K'},
		{"connections", required_argument, NULL, 'c'},
		{"line",        required_argument, NULL, 'l'},
		{"ready-fd",    required_argument, NULL, 'r'},
		{"version",     no_argument,       NULL, 'v'},
		{"help",        no_argument,       NULL, 'h'},
		{NULL,          0,                 NULL, 0  },
	};
	unsigned long n = 0;
	bool ok = true;
	int o;

	while (ok && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'n':
			x->node = optarg;
			break;
		case 't':
			x->config.listen = optarg;
			break;
		case 'k':
			x->key = optarg;
			break;
		case 'K':
			x->node_key = optarg;
			break;
		case 'c':
			ok = number(optarg, 1000000, &n) && n;
			x->config.connections = (unsigned)n;
			break;
		case 'l':
			ok = number(optarg, 1ul << 26, &n) && n;
			x->config.line_max = n;
			break;
		case 'r':
			ok = number(optarg, 1000000, &n);
			x->ready_fd = (int)n;
			break;
		case 'v':
			(void)printf("pail-gateway %s\n", WIRE_VERSION);
			return 0;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		default:
			ok = false;
		}
	}
	if (ok && x->config.listen && optind == argc)
		return -1;
	(void)fprintf(stderr, "pail-gateway: %s; try pail-gateway --help\n",
		      ok && !x->config.listen ? "--text is not given" : "wrong option or value");
	return EXIT_USAGE;
}

static int serve(const struct choices *x, struct pail *node)
{
	struct server *s;
	char bound[ENDPOINT_SIZE] = "";
	int r = server_new(&x->config, node, &s, bound, sizeof(bound));

	if (r < 0) {
		(void)fprintf(stderr, "pail-gateway: listen on \"%s\": %s\n", x->config.listen,
			      r == -EINVAL ? "no address such as 127.0.0.1:4042 or [::1]:4042"
					   : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : 1;
	}
	if (x->ready_fd >= 0) {
		char line[ENDPOINT_SIZE + 2];
		int n = snprintf(line, sizeof(line), "%s\n", bound);

		if (write(x->ready_fd, line, (size_t)n) < 0)
			(void)fprintf(stderr, "pail-gateway: write to descriptor %d: %s\n",
				      x->ready_fd, strerror(errno));
		(void)close(x->ready_fd);
	} else {
		(void)printf("ready: gateway of %s listens on %s\n", x->node, bound);
		(void)fflush(stdout);
	}
	server_run(s);
	server_free(&s);
	return 0;
}

/* Does the key file say which key the node has?  It may have two, while the node's is changed. */
static bool names_node(const char *path)
{
	struct key_file k;
	char why[300];
	bool names = *path && key_file_read(path, &k, why, sizeof(why)) == 0 && k.servers;

	key_file_forget(&k);
	return names;
}

int main(int argc, char **argv)
{
	struct choices x = {
		.node = WIRE_ENDPOINT_DEFAULT,
		.key = "",
		.config = {.connections = 4096, .line_max = 65536},
		.ready_fd = -1
        };
	struct pail_options o = {.size = sizeof(o)};
	struct rlimit files;
	struct pail *node = NULL;
	int r = options_read(argc, argv, &x);

	if (r >= 0)
		return r;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (pail_endpoint_why(x.node)) {
		(void)fprintf(stderr, "pail-gateway: \"%s\" is no endpoint: %s\n", x.node,
			      pail_endpoint_why(x.node));
		return EXIT_USAGE;
	}
	o.key_file = x.key;
	o.node_key = names_node(x.key) ? NULL : x.node_key;
	r = pail_open(x.node, &o, &node);
	if (r != PAIL_OK) {
		(void)fprintf(stderr, "pail-gateway: node \"%s\": %s: %s\n", x.node,
			      pail_status_name(r), pail_open_why());
		return 1;
	}
	r = serve(&x, node);
	pail_close(&node);
	return r;
}
