/* From files, environment and flags to a configuration. */
#include "coordinator/process/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/process/datadir.h"
#include "coordinator/routing/table.h"
#include "coordinator/process/shares.h"

#define DEV_HTTP "127.0.0.1:4043"

const struct option settings_options[] = {
	{"config",       required_argument, NULL, OPT_CONFIG   },
	{"dev",          no_argument,       NULL, OPT_DEV      },
	{"data",         required_argument, NULL, OPT_DATA     },
	{"port",         required_argument, NULL, OPT_PORT     },
	{"set",          required_argument, NULL, OPT_SET_VALUE},
	{"check-config", no_argument,       NULL, OPT_CHECK    },
	{"print-config", no_argument,       NULL, OPT_PRINT    },
	{"version",      no_argument,       NULL, OPT_VERSION  },
	{"help",         no_argument,       NULL, OPT_HELP     },
	{NULL,           0,                 NULL, 0            },
};

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

/* What flags say beside settings. */
struct flags {
	bool dev;
	bool port;
	bool shows; /* no node will run */
};

/* Flags over everything else. */
static struct flags flags_read(int argc, char **argv, struct conf *c)
{
	struct flags flags = {0};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", settings_options, NULL)) != -1) {
		char text[64];

		switch (o) {
		case OPT_DEV:
			flags.dev = true;
			break;
		case OPT_CHECK:
		case OPT_PRINT:
			flags.shows = true;
			break;
		case OPT_DATA:
			conf_set(c, "node.data", optarg, "--data");
			break;
		case OPT_PORT:
			flags.port = true;
			(void)snprintf(text, sizeof(text), "tcp://127.0.0.1:%.20s", optarg);
			conf_set(c, "node.client", text, "--port");
			break;
		case OPT_SET_VALUE:
			set_option(c, optarg);
			break;
		default:
			break;
		}
	}
	return flags;
}

/*
 * A folder that is there already can be looked at before it is taken.  Root looks at settings of
 * nodes that will run as another user: whose the folder is, is then seen at the start.
 */
static void datadir_look(struct conf *c, bool shows)
{
	const char *data = conf_text(c, CONF_node_data);
	char why[512];
	int r = *data ? datadir_check(data, why, sizeof(why)) : 0;

	if (r == -EPERM && shows && geteuid() == 0)
		return;
	if (r < 0 && r != -ENOENT)
		conf_error(c, c->value[CONF_node_data].origin, "%s", why);
}

/* The folder has `have` of them; a setting of 0 is as many as there are. */
static void number_keep(struct conf *c, enum conf_key k, const char *name, uint32_t have)
{
	uint64_t wanted = conf_number(c, k);
	char why[512];

	if (!wanted || wanted == have)
		return;
	datadir_explain(conf_text(c, CONF_node_data), name, have, wanted, why, sizeof(why));
	conf_error(c, c->value[k].origin, "%s", why);
}

/* What is fixed by a folder that is there already, or must fit together in a new one. */
static void shape_settle(struct conf *c)
{
	const char *data = conf_text(c, CONF_node_data);
	struct datadir_shape have;
	char why[512];
	char text[16];
	int r = *data ? datadir_shape(data, &have, why, sizeof(why)) : -ENOENT;

	if (r == -EINVAL || r == -EBADMSG)
		conf_error(c, c->value[CONF_node_data].origin, "%s", why);
	if (r == -ENOENT) {
		uint32_t n = datadir_workers(data, (uint32_t)conf_number(c, CONF_node_workers));

		/* A router's folder too: its role may change, its numbers cannot. */
		if (*data && conf_number(c, CONF_storage_partitions) < n)
			conf_error(c, c->value[CONF_storage_partitions].origin,
				   "storage.partitions = %s is less than the number of workers, "
				   "%u (node.workers): each must have one at least",
				   conf_text(c, CONF_storage_partitions), n);
	}
	if (r < 0)
		return;
	if (conf_is_default(c, CONF_storage_partitions)) {
		(void)snprintf(text, sizeof(text), "%u", have.partitions);
		conf_set(c, "storage.partitions", text, "default: the data folder's");
	}
	number_keep(c, CONF_node_workers, "node.workers", have.workers);
	number_keep(c, CONF_storage_partitions, "storage.partitions", have.partitions);
}

int settings_read(const struct settings_source *s, struct conf **ret)
{
	struct route_table routes = {0};
	struct flags flags;
	int r = conf_new(ret);

	if (r < 0)
		return r;
	if (s->config)
		conf_read_file(*ret, s->config);
	conf_read_environment(*ret);
	flags = flags_read(s->argc, s->argv, *ret);
	if (s->data)
		conf_set(*ret, "node.data", s->data, "--dev");
	/* With --port there may be others on this machine, and none knows of the others' ports. */
	if (flags.dev && !flags.port && conf_is_default(*ret, CONF_metrics_http))
		conf_set(*ret, "metrics.http", DEV_HTTP, "--dev");
	shape_settle(*ret);
	shares_settle(*ret, flags.dev);
	conf_check(*ret);
	datadir_look(*ret, flags.shows);
	r = route_table_make(*ret, &routes);
	route_table_fini(&routes);
	return r;
}
