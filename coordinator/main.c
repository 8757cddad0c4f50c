/* paild: options, configuration, start, exit statuses. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/cluster/cluster.h"
#include "coordinator/coord.h"
#include "coordinator/process/functions_folder.h"
#include "coordinator/security/security.h"
#include "coordinator/process/resume.h"
#include "coordinator/process/settings.h"

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
	"Environment: PAIL_PORT, and PAIL_<SECTION>_<KEY> for every setting.  PAIL_MEMORY (2G) is\n"
	"taken for the memory there is.\n"
	"\n"
	"A file has lines `key = value` under a line `[section]`; a line that begins with # is\n"
	"a comment.  Relative paths begin in its folder.  Beside the settings below there are:\n"
	"  include = FILE     before the first section: another file, read in this place\n"
	"  [peers]            NAME = ENDPOINT, a line for each other node: where it listens for\n"
	"                     nodes, or - for one that only asks; behind it, with security.key,\n"
	"                     its public key, and while that is being changed a second one.\n"
	"                     Only these may connect to this one\n"
	"  [routes]           RANGE = NODE: who has the buckets whose names begin so, the first\n"
	"                     that matches.  RANGE is a byte (a, 0x1f), two of them (a-m) or *;\n"
	"                     NODE is this node's name or a peer's, or ring: the cluster, with\n"
	"                     [cluster].  Without: all are this node's\n"
	"Those two change at a reload, as do settings marked so.\n"
	"\n"
	"Signals: TERM and INT stop the node in order, a second one at once; HUP reads the\n"
	"configuration again, as `pail reload` does.\n"
	"Exit status: 0 stopped, 1 failed, 2 wrong usage, 78 wrong configuration.\n"
	"\n"
	"Settings:\n";

struct choices {
	const char *config;
	bool dev;
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

/* First pass: what decides how to go on.  Returns -1, or an exit status. */
static int options_first(int argc, char **argv, struct choices *x)
{
	int o;

	while ((o = getopt_long(argc, argv, "", settings_options, NULL)) != -1) {
		switch (o) {
		case OPT_CONFIG:
			x->config = optarg;
			break;
		case OPT_DEV:
			x->dev = true;
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
		(void)fprintf(stderr, "paild: %s%s\ntry paild --help\n",
			      optind < argc ? "unexpected argument: "
					    : "neither --config nor --dev is given",
			      optind < argc ? argv[optind] : "");
		return EXIT_USAGE;
	}
	return -1;
}

static int temporary_make(char *dir, size_t size)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(dir, size, "%.500s/pail-dev-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir)) {
		log_error("make a temporary folder in \"%s\"", dir);
		return 1;
	}
	return 0;
}

static int serve(struct conf *conf, const struct settings_source *source,
		 const struct resume *resume)
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
	(void)prctl(PR_SET_NAME, "paild", 0, 0, 0); /* after an upgrade it is a number */
	r = coord_open(&coord, conf, source, source->data != NULL, resume);
	if (r == 0)
		r = coord_run(&coord);
	coord_close(&coord);
	return r;
}

static int errors_say(const struct conf *c, bool count)
{
	(void)fprintf(stderr, "%.*s", (int)c->warnings.len,
		      c->warnings.data ? c->warnings.data : "");
	if (!c->error_count)
		return 0;
	(void)fprintf(stderr, "%.*s", (int)c->errors.len, c->errors.data ? c->errors.data : "");
	if (count)
		(void)fprintf(stderr, "paild: %u error%s in the configuration\n", c->error_count,
			      c->error_count == 1 ? "" : "s");
	return EXIT_CONFIG;
}

/* Are the modules such as a node would take? */
static void functions_check(struct conf *conf)
{
	struct modules *m = NULL;

	(void)functions_folder_accept(conf, 1, FUNCTIONS_START_MS, &m);
	modules_free(&m);
}

/* Are the files of keys such as a node would take? */
static void security_check(struct conf *conf)
{
	struct security_files files;

	if (security_read(conf, &files) == 0)
		security_files_fini(&files);
	cluster_files_check(conf);
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

/*
 * Without a data folder --dev has a temporary one, which is made only if nothing else is wrong.
 * Returns -1, or an exit status.
 */
static int read_all(const struct choices *x, struct settings_source *s, struct conf **ret)
{
	static char dir[600];

	if (settings_read(s, ret) < 0)
		return 1;
	if (!x->dev || conf_text(*ret, CONF_node_data)[0])
		return -1;
	conf_free(ret);
	s->data = "(temporary)";
	if (settings_read(s, ret) < 0)
		return 1;
	if ((*ret)->error_count || x->check || x->print)
		return -1;
	if (temporary_make(dir, sizeof(dir)) != 0)
		return 1;
	conf_free(ret);
	s->data = dir;
	return settings_read(s, ret) < 0 ? 1 : -1;
}

enum going { FRESH, REHEARSAL, RESUMED, BAD };

/* Was this program started by the one before it, to take its place or to see whether it could? */
static enum going going_on(struct resume *x)
{
	const char *value = getenv(RESUME_VARIABLE);
	char why[256];
	bool check;

	if (!value)
		return FRESH;
	/* "check N" or "serve N" */
	check = !strncmp(value, "check ", 6);
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* they are for us alone */
	if (resume_read(atoi(value + 6), x, why, sizeof(why)) < 0) {
		(void)fprintf(stderr, "%s\n", why);
		return BAD;
	}
	(void)unsetenv(RESUME_VARIABLE);
	return check ? REHEARSAL : RESUMED;
}

int main(int argc, char **argv)
{
	struct choices x = {NULL, false, false, false};
	struct settings_source source = {argc, argv, NULL, NULL};
	static struct resume resume;
	struct conf *conf = NULL;
	enum going going;
	int r = options_first(argc, argv, &x);

	if (r >= 0)
		return r;
	going = going_on(&resume);
	if (going == BAD)
		return 1;
	source.config = x.config;
	source.data = resume.temporary ? resume.data : NULL;
	r = read_all(&x, &source, &conf);
	if (r < 0 && x.check)
		security_check(conf);
	if (r < 0 && x.check && !conf->error_count)
		functions_check(conf);
	if (r < 0)
		r = errors_say(conf, going != REHEARSAL);
	if (r == 0 && going == REHEARSAL)
		r = upgrade_rehearse(&resume, conf, security_check);
	else if (r == 0 && !x.check && !x.print)
		return serve(conf, &source, going == RESUMED ? &resume : NULL);
	else if (r == 0 && x.check)
		(void)printf("configuration OK\n");
	else if (r == 0)
		r = config_print(conf);
	conf_free(&conf);
	conf_free(&resume.conf);
	return r;
}
