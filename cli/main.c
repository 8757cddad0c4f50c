/* pail: the command line.  One table of commands, one parser of options. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/conf.h"
#include "include/wire.h"

static const char common_options[] =
	"  --node E       the node's endpoint (default $PAIL_NODE, or " WIRE_ENDPOINT_DEFAULT ")\n"
	"  --config FILE  the node that FILE configures, through its admin socket\n"
	"  --admin E      the same by the socket's endpoint\n"
	"  --timeout MS   give up after so long (default 5000)\n"
	"  -o FORM        table, json or raw\n"
	"  --help\n";

static const char statuses[] =
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 node unreachable,\n"
	"5 timeout: the outcome is unknown, 8 condition did not hold, 78 wrong configuration.\n";

enum {
	OPT_NODE = 256,
	OPT_CONFIG,
	OPT_ADMIN,
	OPT_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
	OPT_IF_ABSENT,
	OPT_IF_VERSION,
	OPT_TTL,
	OPT_PREFIX,
	OPT_AFTER,
	OPT_LIMIT,
	OPT_FROM,
	OPT_TO,
	OPT_REVERSE,
	OPT_KEYS_ONLY,
	OPT_LOCAL,
	OPT_CLIENTS,
	OPT_IN_FLIGHT,
	OPT_BATCH,
	OPT_KEYS,
	OPT_VALUE,
	OPT_READS,
	OPT_SECONDS,
	OPT_REQUESTS,
	OPT_LOAD,
	OPT_KEEP,
	OPT_BUCKET,
	OPT_SEED,
	OPT_BUCKETS,
	OPT_ALL,
	OPT_WAIT,
	OPT_RATE
};

static const struct option long_options[] = {
	{"node",       required_argument, NULL, OPT_NODE      },
	{"config",     required_argument, NULL, OPT_CONFIG    },
	{"admin",      required_argument, NULL, OPT_ADMIN     },
	{"timeout",    required_argument, NULL, OPT_TIMEOUT   },
	{"help",       no_argument,       NULL, OPT_HELP      },
	{"version",    no_argument,       NULL, OPT_VERSION   },
	{"output",     required_argument, NULL, 'o'           },
	{"if-absent",  no_argument,       NULL, OPT_IF_ABSENT },
	{"if-version", required_argument, NULL, OPT_IF_VERSION},
	{"ttl",        required_argument, NULL, OPT_TTL       },
	{"prefix",     required_argument, NULL, OPT_PREFIX    },
	{"after",      required_argument, NULL, OPT_AFTER     },
	{"limit",      required_argument, NULL, OPT_LIMIT     },
	{"from",       required_argument, NULL, OPT_FROM      },
	{"to",         required_argument, NULL, OPT_TO        },
	{"reverse",    no_argument,       NULL, OPT_REVERSE   },
	{"keys-only",  no_argument,       NULL, OPT_KEYS_ONLY },
	{"local",      no_argument,       NULL, OPT_LOCAL     },
	{"clients",    required_argument, NULL, OPT_CLIENTS   },
	{"in-flight",  required_argument, NULL, OPT_IN_FLIGHT },
	{"batch",      required_argument, NULL, OPT_BATCH     },
	{"keys",       required_argument, NULL, OPT_KEYS      },
	{"value",      required_argument, NULL, OPT_VALUE     },
	{"reads",      required_argument, NULL, OPT_READS     },
	{"seconds",    required_argument, NULL, OPT_SECONDS   },
	{"requests",   required_argument, NULL, OPT_REQUESTS  },
	{"load",       no_argument,       NULL, OPT_LOAD      },
	{"keep",       no_argument,       NULL, OPT_KEEP      },
	{"bucket",     required_argument, NULL, OPT_BUCKET    },
	{"seed",       required_argument, NULL, OPT_SEED      },
	{"buckets",    required_argument, NULL, OPT_BUCKETS   },
	{"all",        no_argument,       NULL, OPT_ALL       },
	{"wait",       no_argument,       NULL, OPT_WAIT      },
	{"rate",       required_argument, NULL, OPT_RATE      },
	{NULL,         0,                 NULL, 0             },
};

static void help_all(FILE *f)
{
	(void)fprintf(f, "usage: pail [--node ENDPOINT] COMMAND ...\n\nCommands:\n");
	for (const struct command *c = commands; c->name; c++) {
		char use[64];

		(void)snprintf(use, sizeof(use), "%s %s", c->name, c->args);
		(void)fprintf(f, "  %-26s %s\n", use, c->summary);
	}
	(void)fprintf(f, "\nOptions of all commands:\n%s\n`pail COMMAND --help` tells more.\n%s",
		      common_options, statuses);
}

static void help_one(const struct command *c)
{
	(void)printf("usage: pail %s%s%s [options]\n\n%s.\n\n%s%s\n%s", c->name,
		     *c->args ? " " : "", c->args, c->summary, c->help, common_options, statuses);
}

static int usage_error(const struct command *c, const char *what, const char *subject)
{
	(void)fprintf(stderr, "pail%s%s: %s%s%s; try pail %s%s--help\n", c ? " " : "",
		      c ? c->name : "", what, *subject ? ": " : "", subject, c ? c->name : "",
		      c ? " " : "");
	return CLI_USAGE;
}

static bool number(const char *s, unsigned long long least, unsigned long long most,
		   unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *ret >= least && *ret <= most;
}

static struct pail_bytes text(const char *s)
{
	return pail_str(s);
}

/* Does the command take this option? */
static bool takes(const struct command *c, const char *name)
{
	const char *p = c->options;
	size_t n = strlen(name);

	while ((p = strstr(p, name))) {
		if ((p == c->options || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
		p += n;
	}
	return !strcmp(name, "node") || !strcmp(name, "config") || !strcmp(name, "admin") ||
	       !strcmp(name, "timeout") || !strcmp(name, "help") || !strcmp(name, "output");
}

/* One option into *c.  False: its argument is wrong. */
static bool option_set(struct cli *c, int o, const char *arg)
{
	unsigned long long n = 0;

	switch (o) {
	case OPT_NODE:
	case OPT_ADMIN:
		c->node = arg;
		c->config = NULL;
		return true;
	case OPT_CONFIG:
		c->config = arg;
		return true;
	case OPT_TIMEOUT:
		if (!number(arg, 1, WIRE_TIMEOUT_MS_MAX, &n))
			return false;
		c->q.timeout_ms = (uint32_t)n;
		return true;
	case 'o':
		c->output = !strcmp(arg, "table")  ? OUTPUT_TABLE
			    : !strcmp(arg, "json") ? OUTPUT_JSON
			    : !strcmp(arg, "raw")  ? OUTPUT_RAW
						   : OUTPUT_DEFAULT;
		return c->output != OUTPUT_DEFAULT;
	case OPT_IF_ABSENT:
		c->q.if_absent = true;
		return true;
	case OPT_IF_VERSION:
		c->q.has_if_version = true;
		if (!number(arg, 0, UINT64_MAX, &n))
			return false;
		c->q.if_version = n;
		return true;
	case OPT_TTL:
		if (!number(arg, 1, UINT64_MAX, &n))
			return false;
		c->q.ttl_ms = n;
		return true;
	case OPT_PREFIX:
		c->q.prefix = text(arg);
		return true;
	case OPT_AFTER:
		c->q.after = text(arg);
		return true;
	case OPT_FROM:
		c->q.from = text(arg);
		return true;
	case OPT_TO:
		c->q.to = text(arg);
		return true;
	case OPT_REVERSE:
		c->q.reverse = true;
		return true;
	case OPT_KEYS_ONLY:
		c->q.keys_only = true;
		return true;
	case OPT_LOCAL:
		c->q.local = true;
		return true;
	case OPT_LIMIT:
		if (!number(arg, 1, WIRE_SCAN_LIMIT_MAX, &n))
			return false;
		c->q.limit = (uint32_t)n;
		return true;
	case OPT_ALL:
		c->all = true;
		return true;
	case OPT_WAIT:
		c->wait = true;
		return true;
	case OPT_LOAD:
		c->load = true;
		return true;
	case OPT_KEEP:
		c->keep = true;
		return true;
	case OPT_BUCKET:
		c->bucket = arg;
		return true;
	case OPT_KEYS:
		return number(arg, 1, 1000000000, &c->keys);
	case OPT_REQUESTS:
		return number(arg, 1, UINT64_MAX, &c->requests);
	case OPT_RATE:
		return number(arg, 1, 1000000000, &c->rate);
	case OPT_VALUE:
		return number(arg, 0, WIRE_VALUE_MAX, &c->value_bytes);
	case OPT_SEED:
		return number(arg, 0, UINT64_MAX, &c->seed);
	default:
		break;
	}
	if (!number(arg, o == OPT_READS ? 0 : 1, o == OPT_READS ? 100 : 1000000, &n))
		return false;
	switch (o) {
	case OPT_CLIENTS:
		c->clients = (unsigned)n;
		return n <= 1000;
	case OPT_IN_FLIGHT:
		c->in_flight = (unsigned)n;
		return true;
	case OPT_BATCH:
		c->batch = (unsigned)n;
		return n <= WIRE_REQUESTS_MAX;
	case OPT_BUCKETS:
		c->buckets = (unsigned)n;
		return n <= 1000;
	case OPT_READS:
		c->read_percent = (unsigned)n;
		return true;
	case OPT_SECONDS:
		c->seconds = (unsigned)n;
		return true;
	default:
		return false;
	}
}

static const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

void cli_init(struct cli *c)
{
	const char *node = getenv("PAIL_NODE");

	*c = (struct cli){.node = node && *node ? node : WIRE_ENDPOINT_DEFAULT,
			  .clients = 4,
			  .buckets = 1,
			  .in_flight = 256,
			  .batch = 16,
			  .keys = 100000,
			  .value_bytes = 100,
			  .read_percent = 50,
			  .seconds = 5,
			  .seed = 1,
			  .bucket = "bench"};
}

/* What is no option: the command, then its arguments.  CLI_OK, or an exit status. */
static int word_take(struct cli *c, const struct command **command, const char *word)
{
	if (!*command) {
		*command = command_find(word);
		return *command ? CLI_OK : usage_error(NULL, "unknown command", word);
	}
	if (c->args == (*command)->most)
		return usage_error(*command, "unexpected argument", word);
	c->arg[c->args++] = word;
	return CLI_OK;
}

/* All options and words.  -1, or an exit status: there is nothing to run. */
static int line_take(int argc, char **argv, struct cli *c, const struct command **command)
{
	int index = -1;
	int o;
	int r;

	optind = 0; /* from the start, also the second time */
	/* "-" in front: arguments come in their order, so that the command is known when its
	 * options do. */
	while ((o = getopt_long(argc, argv, "-o:", long_options, &index)) != -1) {
		if (o == 1) {
			r = word_take(c, command, optarg);
			if (r != CLI_OK)
				return r;
		} else if (o == OPT_HELP) {
			if (*command)
				help_one(*command);
			else
				help_all(stdout);
			return CLI_OK;
		} else if (o == OPT_VERSION) {
			(void)printf("pail %s\n", WIRE_VERSION);
			return CLI_OK;
		} else if (o == '?') {
			return usage_error(*command, "see above", "");
		} else if (o != 'o' && *command && !takes(*command, long_options[index].name)) {
			return usage_error(*command, "it takes no option",
					   long_options[index].name);
		} else if (!option_set(c, o, optarg)) {
			return usage_error(*command, "wrong value of an option",
					   optarg ? optarg : "");
		}
	}
	/* Behind "--" everything is an argument. */
	for (; optind < argc; optind++) {
		r = word_take(c, command, argv[optind]);
		if (r != CLI_OK)
			return r;
	}
	return -1;
}

/* The endpoint of the admin socket of the node that a file configures.  False: said why not. */
static bool config_node(struct cli *c)
{
	static char endpoint[300];
	struct conf *conf = NULL;
	const char *data;

	if (conf_new(&conf) < 0)
		return false;
	conf_read_file(conf, c->config);
	conf_read_environment(conf);
	data = conf_text(conf, CONF_node_data);
	/* What else is wrong with the file is the node's to say: `reload` asks it. */
	if (*conf_text(conf, CONF_node_admin))
		(void)snprintf(endpoint, sizeof(endpoint), "%.290s",
			       conf_text(conf, CONF_node_admin));
	else if (*data)
		(void)snprintf(endpoint, sizeof(endpoint), "ipc://%.250s/admin.sock", data);
	else if (conf->error_count)
		(void)fprintf(stderr, "%.*s", (int)conf->errors.len, conf->errors.data);
	else
		(void)fprintf(stderr, "pail: \"%s\" sets neither node.data nor node.admin\n",
			      c->config);
	c->node = endpoint;
	conf_free(&conf);
	return *endpoint;
}

int cli_run(int argc, char **argv, struct cli *c)
{
	const struct command *command = NULL;
	int r = line_take(argc, argv, c, &command);

	if (r >= 0)
		return r;
	if (!command) {
		help_all(stderr);
		return CLI_USAGE;
	}
	if (c->args < command->least)
		return usage_error(command, "it takes", command->args);
	if (c->config && !config_node(c))
		return CLI_CONFIG;
	return command->run(c);
}

int main(int argc, char **argv)
{
	struct cli c;

	cli_init(&c);
	return cli_run(argc, argv, &c);
}
