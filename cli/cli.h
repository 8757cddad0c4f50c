/* What the commands of `pail` share. */
#ifndef PAIL_CLI_H
#define PAIL_CLI_H

#include <stdbool.h>

#include "common/buf.h"
#include "include/pail.h"

/* Exit statuses, as --help documents them. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_UNREACHABLE = 4,
	CLI_UNKNOWN = 5, /* timeout: the outcome is not known */
	CLI_CONFLICT = 8,
	CLI_CONFIG = 78
};

enum cli_output { OUTPUT_DEFAULT, OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_RAW };

/* The connection of a shell, kept from command to command. */
struct session {
	struct pail *p; /* NULL: none yet */
	char node[300]; /* whose it is */
};

/* A command line, parsed: what all commands take, and what some do. */
struct cli {
	const char *node;
	const char *config;      /* of the node whose admin socket is meant, or NULL */
	struct session *session; /* in a shell */
	enum cli_output output;
	struct pail_request q; /* its options */
	int status;            /* what the last call came to, enum pail_status */
	bool all;              /* worker: every one of them */
	bool wait;             /* upgrade: until the new program serves */
	const char *arg[4];    /* what is no option */
	int args;
	/* bench */
	unsigned clients, in_flight, batch, buckets;
	unsigned long long keys, requests, rate, value_bytes;
	unsigned read_percent, seconds;
	bool load;
	bool keep;
	unsigned long long seed;
	const char *bucket;
};

struct command {
	const char *name;
	const char *args;    /* as usage writes them */
	const char *summary; /* one line */
	const char *help;    /* more lines */
	const char *options; /* long options it takes beside the common ones, space-separated */
	int least, most;     /* arguments */
	int (*run)(struct cli *c);
};

extern const struct command commands[];

/* The defaults, with the environment's. */
void cli_init(struct cli *c);
/* Parse a command line into *c and run it.  Returns the exit status. */
int cli_run(int argc, char **argv, struct cli *c);

/*
 * Connect as the command line says; in a shell it is the session's connection.  CLI_OK, or an exit
 * status with the reason said.  The other gives it back.
 */
int cli_connect(struct cli *c, struct pail **ret);
void cli_disconnect(struct cli *c, struct pail **p);

/* Say why a call failed, in the form that was asked for; returns its exit status. */
int cli_fail(const struct cli *c, int status, const char *why);

/* Call `m` with c->q.  CLI_OK with *ret the caller's, or an exit status with the reason said. */
int cli_ask(struct cli *c, enum pail_method m, struct pail_result **ret);

/* Write a buffer to stdout and free it.  CLI_OK or CLI_FAILED. */
int cli_buf_out(struct buf *b);

/* Write all of it to stdout.  False: it cannot be written, which has been said. */
bool cli_write(const void *data, size_t n);

/* Whether to use colour on stdout. */
bool cli_colour(void);

int run_create(struct cli *c);
int run_drop(struct cli *c);
int run_buckets(struct cli *c);
int run_put(struct cli *c);
int run_get(struct cli *c);
int run_delete(struct cli *c);
int run_scan(struct cli *c);
int run_count(struct cli *c);
int run_route(struct cli *c);
int run_status(struct cli *c);
int run_ping(struct cli *c);
int run_reload(struct cli *c);
int run_worker(struct cli *c);
int run_upgrade(struct cli *c);
int run_shell(struct cli *c);
int run_bench(struct cli *c);

#endif
