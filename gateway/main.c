/* pail-gateway: options, start, exit statuses. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/key.h"
#include "gateway/http.h"
#include "gateway/loop.h"
#include "gateway/server.h"
#include "include/wire.h"

#define EXIT_USAGE    2
#define ENDPOINT_SIZE 64

static const char usage[] =
	"usage: pail-gateway [--node ENDPOINT --text HOST:PORT] [--http HOST:PORT --admin "
	"ENDPOINT]\n"
	"                    [--key FILE] [--node-key PUBLIC] [--connections N] [--line BYTES]\n"
	"\n"
	"Serves a text dialogue on TCP (CREATE, PUT, GET and DELETE, one command a line) as a "
	"client\n"
	"of a node, and over HTTP its figures and a page that shows how it is.  paild starts it "
	"by\n"
	"itself where gateway.text or metrics.http is set.\n"
	"\n"
	"  --node ENDPOINT    the node (default " WIRE_ENDPOINT_DEFAULT "), for --text\n"
	"  --text HOST:PORT   where to listen; port 0: any free one\n"
	"  --http HOST:PORT   where to listen for HTTP; port 0: any free one\n"
	"  --admin ENDPOINT   the node's admin socket (ipc://...), for --http\n"
	"  --key FILE         the key file to come with, at a node that asks for keys\n"
	"  --node-key PUBLIC  the node's key, if the key file names none (server = PUBLIC)\n"
	"  --connections N    of text at a time (default 4096)\n"
	"  --line BYTES       of the longest line (default 65536)\n"
	"  --ready-fd FD      write where it listens to this descriptor: text, HTTP (-: not)\n"
	"  --version, --help\n"
	"\n"
	"Signals: TERM and INT end it once what is in flight has been answered, or in 2 s; USR1: "
	"the\n"
	"node stops, text ends, HTTP goes on.\n"
	"Exit status: 0 ended, 1 failed, 2 wrong usage.\n";

struct choices {
	const char *node;
	const char *key; /* "": it comes without, whatever the environment says */
	const char *node_key;
	const char *http;
	const char *admin;
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
		{"http",        required_argument, NULL, 'H'},
		{"admin",       required_argument, NULL, 'a'},
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
		case 'H':
			x->http = optarg;
			break;
		case 'a':
			x->admin = optarg;
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
	if (ok && (x->config.listen || x->http) && !x->http == !x->admin && optind == argc)
		return -1;
	(void)fprintf(stderr, "pail-gateway: %s; try pail-gateway --help\n",
		      !ok || optind != argc ? "wrong option or value"
		      : x->http || x->admin ? "--http and --admin go together"
					    : "neither --text nor --http is given");
	return EXIT_USAGE;
}

/* All that there is of the gateway. */
struct gateway {
	struct event_base *base;
	struct loop_parts parts;
	char text[ENDPOINT_SIZE];
	char http[ENDPOINT_SIZE];
};

static void ready_tell(const struct choices *x, const struct gateway *g)
{
	const char *text = g->parts.text ? g->text : "-";
	const char *http = g->parts.http ? g->http : "-";
	char line[2 * ENDPOINT_SIZE + 2];
	int n;

	if (x->ready_fd < 0) {
		(void)printf("ready: gateway of %s listens on %s %s\n",
			     g->parts.text ? x->node : x->admin, text, http);
		(void)fflush(stdout);
		return;
	}
	n = snprintf(line, sizeof(line), "%s %s\n", text, http);
	if (write(x->ready_fd, line, (size_t)n) < 0)
		(void)fprintf(stderr, "pail-gateway: write to descriptor %d: %s\n", x->ready_fd,
			      strerror(errno));
	(void)close(x->ready_fd);
}

/* What `r` of listening on `where` means as an exit status; 0: it went well. */
static int listen_status(const char *where, const char *example, int r)
{
	if (r == 0)
		return 0;
	if (r == -EINVAL)
		(void)fprintf(stderr, "pail-gateway: listen on \"%s\": no address such as %s\n",
			      where, example);
	else
		(void)fprintf(stderr, "pail-gateway: listen on \"%s\": %s\n", where, strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : 1;
}

static int serve(const struct choices *x, struct gateway *g)
{
	struct loop_parts *p = &g->parts;
	int status = 0;

	g->base = event_base_new();
	if (!g->base)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	if (x->config.listen)
		status = listen_status(x->config.listen, "127.0.0.1:4042 or [::1]:4042",
				       server_new(&x->config, g->base, p->node, &p->text, g->text,
						  sizeof(g->text)));
	if (status == 0 && x->http)
		status = listen_status(
			x->http, "127.0.0.1:4043 or [::1]:4043",
			http_new(x->http, g->base, p->admin, &p->http, g->http, sizeof(g->http)));
	if (status == 0) {
		ready_tell(x, g);
		status = loop_run(g->base, p) < 0;
	}
	return status;
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

/* 0, or an exit status. */
static int node_open(const char *endpoint, const struct pail_options *o, struct pail **ret)
{
	int r;

	if (pail_endpoint_why(endpoint)) {
		(void)fprintf(stderr, "pail-gateway: \"%s\" is no endpoint: %s\n", endpoint,
			      pail_endpoint_why(endpoint));
		return EXIT_USAGE;
	}
	r = pail_open(endpoint, o, ret);
	if (r == PAIL_OK)
		return 0;
	(void)fprintf(stderr, "pail-gateway: node \"%s\": %s: %s\n", endpoint, pail_status_name(r),
		      pail_open_why());
	return 1;
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
	struct pail_options no_key = {.size = sizeof(no_key), .key_file = ""};
	struct gateway g = {.base = NULL};
	struct rlimit files;
	int r = options_read(argc, argv, &x);

	if (r >= 0)
		return r;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	o.key_file = x.key;
	o.node_key = names_node(x.key) ? NULL : x.node_key;
	r = x.config.listen ? node_open(x.node, &o, &g.parts.node) : 0;
	if (r == 0 && x.http)
		r = node_open(x.admin, &no_key, &g.parts.admin);
	if (r == 0)
		r = serve(&x, &g);
	http_free(&g.parts.http);
	server_free(&g.parts.text);
	pail_close(&g.parts.admin);
	pail_close(&g.parts.node);
	if (g.base)
		event_base_free(g.base);
	return r;
}
