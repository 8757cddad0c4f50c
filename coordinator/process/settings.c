/* From files, environment and flags to a configuration. */
#include "coordinator/process/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/process/datadir.h"
#include "coordinator/routing/table.h"
#include "coordinator/process/shares.h"

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
	shares_settle(*ret, flags.dev);
	conf_check(*ret);
	datadir_look(*ret, flags.shows);
	r = route_table_make(*ret, &routes);
	route_table_fini(&routes);
	return r;
}
