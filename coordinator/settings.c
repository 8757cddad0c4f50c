/* From files, environment and flags to a configuration. */
#include "coordinator/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/folder.h"
#include "coordinator/routes.h"
#include "coordinator/shares.h"

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

/* Flags over everything else.  Returns whether --dev is among them. */
static bool flags_read(int argc, char **argv, struct conf *c)
{
	bool dev = false;
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", settings_options, NULL)) != -1) {
		char text[64];

		switch (o) {
		case OPT_DEV:
			dev = true;
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
	return dev;
}

/* A folder that is there already can be looked at before it is taken. */
static void folder_look(struct conf *c)
{
	const char *data = conf_text(c, CONF_node_data);
	char why[512];
	int r = *data ? folder_check(data, why, sizeof(why)) : 0;

	if (r < 0 && r != -ENOENT)
		conf_error(c, c->value[CONF_node_data].origin, "%s", why);
}

int settings_read(const struct settings_source *s, struct conf **ret)
{
	struct routes routes = {0};
	bool dev;
	int r = conf_new(ret);

	if (r < 0)
		return r;
	if (s->config)
		conf_read_file(*ret, s->config);
	conf_read_environment(*ret);
	dev = flags_read(s->argc, s->argv, *ret);
	if (s->data)
		conf_set(*ret, "node.data", s->data, "--dev");
	shares_settle(*ret, dev);
	conf_check(*ret);
	folder_look(*ret);
	r = routes_make(*ret, &routes);
	routes_fini(&routes);
	return r;
}
