/* paild: options, configuration, start, exit statuses. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/coord.h"

#define EXIT_USAGE  2
#define EXIT_CONFIG 78
#define FRAME_KEPT  (4 << 20) /* bytes of the largest frame whose memory is kept */

static const char usage[] =
	"usage: paild --config FILE [--data DIR] [--port N] [--set SECTION.KEY=VALUE]...\n"
	"       paild --dev [--data DIR] [--port N] [--set SECTION.KEY=VALUE]...\n"
	"\n"
	"The node of a Pail: serves clients over ZeroMQ, supervises its workers.\n"
	"\n"
	"  --config FILE      read the configuration from FILE and conf.d/*.conf beside it\n"
	"  --dev              a single node that needs no file; without --data its data is\n"
	"                     in a temporary folder and goes when it stops\n"
	"  --data DIR         node.data\n"
	"  --port N           the port of node.client (0: any free one)\n"
	"  --set S.K=VALUE    any setting; wins over the environment, which wins over the file\n"
	"  --check-config     say everything that is wrong with the configuration, and exit\n"
	"  --print-config     print every setting and where it comes from, and exit\n"
	"  --version, --help\n"
	"\n"
	"Environment: PAIL_PORT, and PAIL_<SECTION>_<KEY> for every setting.\n"
	"Signals: TERM and INT stop the node in order; a second one at once.\n"
	"Exit status: 0 stopped, 1 failed, 2 wrong usage, 78 wrong configuration.\n"
	"\n"
	"Settings:\n";

struct choices {
	const char *config;
	bool dev;
	bool data_given;
	bool check;
	bool print;
};

static void help(void)
{
	struct buf b;

	buf_init(&b);
	conf_describe(&b);
	(void)printf("%s%.*s", usage, (int)b.len, b.data ? b.data : "");
	buf_fini(&b);
}

/* --set section.key=value */
static void set_option(struct conf *c, const char *arg)
{
	char name[128];
	const char *eq = strchr(arg, '=');

	if (!eq || (size_t)(eq - arg) >= sizeof(name)) {
		conf_set(c, arg, "", "--set");
		return;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)(eq - arg), arg);
	conf_set(c, name, eq + 1, "--set");
}

enum {
	OPT_CONFIG = 256,
	OPT_DEV,
	OPT_DATA,
	OPT_PORT,
	OPT_SET,
	OPT_CHECK,
	OPT_PRINT,
	OPT_VERSION,
	OPT_HELP
};

static const struct option long_options[] = {
	{"config",       required_argument, NULL, OPT_CONFIG },
	{"dev",          no_argument,       NULL, OPT_DEV    },
	{"data",         required_argument, NULL, OPT_DATA   },
	{"port",         required_argument, NULL, OPT_PORT   },
	{"set",          required_argument, NULL, OPT_SET    },
	{"check-config", no_argument,       NULL, OPT_CHECK  },
	{"print-config", no_argument,       NULL, OPT_PRINT  },
	{"version",      no_argument,       NULL, OPT_VERSION},
	{"help",         no_argument,       NULL, OPT_HELP   },
	{NULL,           0,                 NULL, 0          },
};

/* First pass: what decides how to go on.  Returns -1, or an exit status. */
static int options_first(int argc, char **argv, struct choices *x)
{
	int o;

	while ((o = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (o) {
		case OPT_CONFIG:
			x->config = optarg;
			break;
		case OPT_DEV:
			x->dev = true;
			break;
		case OPT_DATA:
			x->data_given = true;
			break;
		case OPT_CHECK:
			x->check = true;
			break;
		case OPT_PRINT:
			x->print = true;
			break;
		case OPT_VERSION:
			(void)printf("paild %s\n", WIRE_VERSION);
			return 0;
		case OPT_HELP:
			help();
			return 0;
		case '?':
			(void)fprintf(stderr, "try paild --help\n");
			return EXIT_USAGE;
		default:
			break;
		}
	}
	if (optind < argc || (!x->config && !x->dev)) {
		(void)fprintf(stderr, "paild: %s\n%s",
			      optind < argc ? "unexpected argument"
					    : "neither --config nor --dev is given",
			      "try paild --help\n");
		return EXIT_USAGE;
	}
	return -1;
}

/* Second pass: flags over everything else. */
static void options_second(int argc, char **argv, struct conf *c)
{
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		char text[64];

		switch (o) {
		case OPT_DATA:
			conf_set(c, "node.data", optarg, "--data");
			break;
		case OPT_PORT:
			(void)snprintf(text, sizeof(text), "tcp://127.0.0.1:%.20s", optarg);
			conf_set(c, "node.client", text, "--port");
			break;
		case OPT_SET:
			set_option(c, optarg);
			break;
		default:
			break;
		}
	}
}

static int temporary_make(struct conf *c)
{
	const char *base = getenv("TMPDIR");
	char dir[600];

	(void)snprintf(dir, sizeof(dir), "%.500s/pail-dev-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir)) {
		log_error("make a temporary folder in \"%s\"", dir);
		return 1;
	}
	conf_set(c, "node.data", dir, "--dev");
	return 0;
}

static int serve(struct conf *conf, bool temporary)
{
	static struct coord coord;
	struct rlimit files;
	char role[80];
	int r;

	(void)snprintf(role, sizeof(role), "pail %.63s", conf_text(conf, CONF_node_name));
	log_init(role, (enum log_level)conf_number(conf, CONF_node_log));
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Frames come and go by the thousand: keep their memory instead of giving it back each
	 * time. */
	(void)mallopt(M_MMAP_THRESHOLD, FRAME_KEPT);
	(void)mallopt(M_TRIM_THRESHOLD, 2 * FRAME_KEPT);
	r = coord_open(&coord, conf, temporary);
	if (r == 0)
		r = coord_run(&coord);
	coord_close(&coord);
	return r;
}

static int errors_say(const struct conf *c)
{
	if (!c->error_count)
		return 0;
	(void)fprintf(stderr, "%.*s", (int)c->errors.len, c->errors.data ? c->errors.data : "");
	(void)fprintf(stderr, "paild: %u error%s in the configuration\n", c->error_count,
		      c->error_count == 1 ? "" : "s");
	return EXIT_CONFIG;
}

static int config_print(const struct conf *c)
{
	struct buf b;

	buf_init(&b);
	conf_print(c, &b);
	(void)printf("%.*s", (int)b.len, b.data ? b.data : "");
	buf_fini(&b);
	return 0;
}

int main(int argc, char **argv)
{
	struct choices x = {NULL, false, false, false, false};
	struct conf *conf = NULL;
	struct routes routes = {NULL, 0};
	bool temporary;
	int r = options_first(argc, argv, &x);

	if (r >= 0)
		return r;
	if (conf_new(&conf) < 0)
		return 1;
	if (x.config)
		conf_read_file(conf, x.config);
	conf_read_environment(conf);
	options_second(argc, argv, conf);
	temporary = x.dev && !conf_text(conf, CONF_node_data)[0];
	if (temporary && (x.check || x.print))
		conf_set(conf, "node.data", "(temporary)", "--dev");
	else if (temporary && !conf->error_count && temporary_make(conf) != 0)
		return 1;
	conf_check(conf);
	if (conf_number(conf, CONF_node_role) != ROLE_ALL) {
		conf->error_count++;
		buf_fmt(&conf->errors, "%s: node.role = %s: this version has role all only\n",
			conf->value[CONF_node_role].origin, conf_text(conf, CONF_node_role));
	}
	(void)routes_make(conf, &routes);
	routes_fini(&routes);
	r = errors_say(conf);
	if (r == 0 && x.check)
		(void)printf("configuration OK\n");
	else if (r == 0)
		r = x.print ? config_print(conf) : serve(conf, temporary);
	conf_free(&conf);
	return r;
}
