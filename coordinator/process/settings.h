/*
 * Where the configuration comes from: the command line, which names files and overrides them.  Read
 * at the start, and again at each reload.
 */
#ifndef PAIL_SETTINGS_H
#define PAIL_SETTINGS_H

#include <getopt.h>
#include <stdbool.h>

#include "common/config/config.h"

/* The options of paild, for getopt_long. */
enum {
	OPT_CONFIG = 256,
	OPT_DEV,
	OPT_DATA,
	OPT_PORT,
	OPT_SET_VALUE,
	OPT_CHECK,
	OPT_PRINT,
	OPT_VERSION,
	OPT_HELP
};
extern const struct option settings_options[];

struct settings_source {
	int argc;
	char **argv;
	const char *config; /* file, or NULL */
	const char *data;   /* the temporary folder that node.data is, or NULL */
};

/*
 * Read files, environment and flags, and check them all, the routing table too.  Returns 0 with
 * *ret the caller's, be there errors in it or not (ret->error_count); or -ENOMEM.
 */
int settings_read(const struct settings_source *s, struct conf **ret);

#endif
