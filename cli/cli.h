/* What the commands of `pail` share. */
#ifndef PAIL_CLI_H
#define PAIL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/identity.h"
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

#define CLI_ARGS_MAX 256                  /* more than any function takes */
#define CLI_NODE_MAX CONTEXT_ENDPOINT_MAX /* bytes of a list of endpoints */

enum cli_output { OUTPUT_DEFAULT, OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_RAW };

/* A shell's: where its commands go unless they say otherwise, and the connection they share. */
struct session {
	struct identity whom;
	const char *context; /* what --context of the shell itself said, or NULL */
	struct pail *p;      /* NULL: none yet */
	struct identity of;  /* whose it is */
	bool retry;          /* whether it sends again */
};

/*
 * The words of a line.  Any byte may be in them: each ends at its `end`, and with a NUL there,
 * which is not of it.
 */
struct words {
	int count;
	char *const *word;
	char *const *end;
};

/* A command line, parsed: what all commands take, and what some do. */
struct cli {
	const char *node;        /* as the line says, or NULL */
	const char *config;      /* of the node whose admin socket is meant, or NULL */
	bool admin;              /* `node` is an admin socket */
	const char *key;         /* as the line says, or NULL */
	const char *context;     /* likewise */
	struct identity whom;    /* what follows from all that, the environment and contexts */
	struct session *session; /* in a shell */
	struct words words;      /* what arg and the options' values are parts of */
	enum cli_output output;
	struct pail_request q; /* its options */
	int status;            /* what the last call came to, enum pail_status */
	bool hex;              /* keys and bounds are hexadecimal digits */
	bool escapes;          /* \xNN in names, keys, values and bounds is a byte */
	bool all;              /* no limit; worker: every one of them */
	bool follow;           /* events: go on */
	bool once;             /* top */
	unsigned interval;     /* top: seconds; 0: not said */
	bool wait;             /* upgrade: until the new program serves */
	bool retry;            /* what has no outcome is sent again */
	bool no_retry;
	bool raw; /* call: the arguments are strings as they are typed */
	/* What is no option, and the same by --hex and --escapes. */
	const char *arg[CLI_ARGS_MAX];
	struct pail_bytes bytes[CLI_ARGS_MAX];
	int args;
	/* export, import */
	const char *file;     /* key: too */
	struct pail_bytes as; /* the bucket's name at its new place, or data NULL */
	bool replace;
	bool resume;
	/* cluster */
	unsigned factor, min_copies;
	const char *keep_node;
	bool off;
	/* context, key */
	const char *endpoint;
	const char *node_key;
	/* bench */
	unsigned clients, in_flight, batch, buckets;
	unsigned long long keys, requests, rate, value_bytes;
	unsigned read_percent, seconds;
	bool load;
	bool keep;
	unsigned long long seed;
	const char *bucket;
};

/*
 * ---- the tables ----
 *
 * Whatever tells of commands is made from these: parser, --help, completion, manual pages.
 */

struct command {
	const char *name;
	const char *args;    /* as usage writes them */
	const char *summary; /* one line */
	const char *help;    /* more lines, or "" */
	const char *options; /* long options it takes beside the common ones, space-separated */
	int least, most;     /* arguments */
	int (*run)(struct cli *c);
};

enum option_kind {
	OPTION_FLAG,       /* a bool */
	OPTION_UNSIGNED,   /* a number into an unsigned */
	OPTION_LONG,       /* a number into 64 bits */
	OPTION_IF_VERSION, /* a number into q.if_version */
	OPTION_TEXT,
	OPTION_BYTES, /* text that --hex and --escapes are for */
	OPTION_NODE,  /* an endpoint */
	OPTION_FORM,  /* of the output */
	OPTION_HELP,
	OPTION_VERSION
};

struct option_row {
	const char *name;
	char letter;           /* 0: there is no short form */
	const char *only;      /* the command whose it is, or NULL: all that name it, or all */
	bool common;           /* of all commands */
	const char *value;     /* what its value is called; NULL: it takes none */
	uint64_t least, most;  /* of a number */
	const char *otherwise; /* what holds without it, or NULL */
	const char *help;      /* one line */
	enum option_kind kind;
	size_t place; /* of what it sets in struct cli */
};

struct exit_status {
	int status;
	const char *meaning;
};

/* The last of each has no name (meaning). */
extern const struct command commands[];
extern const struct option_row option_rows[];
extern const struct exit_status exit_statuses[];

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);
/* The command that was meant by that name, or NULL. */
const struct command *command_near(const char *name);
/* Does the command (NULL: none yet) take the option of that row? */
bool option_is_of(const struct option_row *o, const struct command *command);
/* An option as help writes it: "--limit N", and what its value may be, into `range`. */
void option_usage(const struct option_row *o, char *usage, size_t usage_size, char *range,
		  size_t range_size);

/* ---- running ---- */

/* The defaults, with the environment's. */
void cli_init(struct cli *c);
/* Parse the words behind the program's name into *c and run them.  Returns the exit status. */
int cli_run(struct words w, struct cli *c);

/*
 * Parse options and arguments.  -1 with *command: run it; *command NULL: there was none.  Else the
 * exit status: there is nothing to run.
 */
int cli_parse(struct cli *c, const struct command **command);
/* Say what is wrong with a line; returns CLI_USAGE. */
int cli_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Help on one command, or (NULL) on all. */
int cli_help(const struct command *command);

/* A hexadecimal digit's value, or -1. */
int cli_digit(char c);
/*
 * Undo escapes in place: \xNN is that byte, a backslash and anything else is that.  Returns how
 * many bytes are left.
 */
size_t cli_unescape(char *s, size_t n);

/*
 * Split a line of `n` bytes in place, and the one behind them: blanks part words, quotes of either
 * kind hold them together; outside of single quotes \xNN is the byte NN, and a backslash takes the
 * next byte as it is; what begins with # is for people.  Any byte can be in a word, so each has an
 * end.  Returns how many there are, or -1: a quote is open, or there are more than `most`.
 */
int cli_split(char *line, size_t n, char **word, char **end, int most);

/*
 * What people write for an endpoint into what ZeroMQ takes: HOST:PORT gets its tcp://.  A list of
 * them, with commas between, stays as it is.  False: `why` says what is wrong with it.  `out` may
 * be NULL.
 */
bool cli_endpoint(const char *text, char *out, size_t size, char *why, size_t why_size);

/* Find out c->whom.  CLI_OK, or an exit status with the reason said. */
int cli_whom(struct cli *c);
/* pail_open to c->whom. */
int cli_open(const struct cli *c, struct pail_options *o, struct pail **ret);

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

/* The same on a connection: as pail_call and pail_why, but ^C ends the wait where cli_catch holds.
 */
int cli_call(struct pail *p, const struct pail_request *q, struct pail_result **ret);
const char *cli_why(const struct pail *p);

/* From now on (true) ^C only sets what cli_interrupted tells, until the other. */
void cli_catch(bool on);
bool cli_interrupted(void);

/* All of stdin, behind what is in `b`.  False: it cannot be read, or is more than 256 MiB; said. */
bool cli_stdin(struct buf *b, const char *what);

/* Write a buffer to stdout and free it.  CLI_OK or CLI_FAILED. */
int cli_buf_out(struct buf *b);

/* Write all of it to stdout.  False: it cannot be written, which has been said. */
bool cli_write(const void *data, size_t n);

/* "name":"text", or "name_base64":"..." for what is no text. */
void cli_json_field(struct buf *b, const char *name, struct pail_bytes v);

/* What of an item is shown. */
struct cli_shown {
	bool buckets; /* its key is a bucket's name, and all there is of it */
	bool keys_only;
	bool ttl;
};

/* An item as a JSON object, and as a line: key, tab, value, tab, ttl. */
void cli_item_json(struct buf *b, const struct pail_item *i, struct cli_shown show);
void cli_item_raw(struct buf *b, const struct pail_item *i, struct cli_shown show);

/*
 * Append bytes as people can read them: text as it is, other bytes as \xNN, a backslash twice; at
 * most `columns`, then dots.  Returns how many columns that takes.
 */
size_t cli_text(struct buf *b, struct pail_bytes v, size_t columns);

/* Whether to use colour on stdout. */
bool cli_colour(void);

/* ---- export and import ---- */

/* One line of progress on stderr, if that is a terminal, now and then; the last one stays. */
void cli_progress(bool last, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether what failed so may go well a little later. */
bool cli_passes(int status);
/* A tenth of a second. */
void cli_nap(void);

/* ---- commands ---- */

int run_create(struct cli *c);
int run_drop(struct cli *c);
int run_buckets(struct cli *c);
int run_put(struct cli *c);
int run_get(struct cli *c);
int run_head(struct cli *c);
int run_touch(struct cli *c);
int run_delete(struct cli *c);
int run_scan(struct cli *c);
int run_count(struct cli *c);
int run_txn(struct cli *c);
int run_call(struct cli *c);
int run_functions(struct cli *c);
int run_export(struct cli *c);
int run_import(struct cli *c);
int run_route(struct cli *c);
int run_status(struct cli *c);
int run_top(struct cli *c);
int run_events(struct cli *c);
int run_ping(struct cli *c);
int run_whoami(struct cli *c);
int run_key(struct cli *c);
int run_context(struct cli *c);
int run_reload(struct cli *c);
int run_worker(struct cli *c);
int run_cluster(struct cli *c);
int run_upgrade(struct cli *c);
int run_shell(struct cli *c);
int run_bench(struct cli *c);
int run_help(struct cli *c);

#endif
