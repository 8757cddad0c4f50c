/*
 * The configuration: an INI file with drop-ins, under environment variables, under flags.  Read by
 * the coordinator alone, whole, into a new struct: all errors are reported, each with file and
 * line, and nothing is used unless everything is right.
 *
 *	file        `[section]`, `key = value`, `#` begins a comment as the first character of a
 *	            line; `include = FILE` before the first section, taken from the folder of the
 *	            file that says so; then the files conf.d/NAME.conf beside it
 *	environment PAIL_<SECTION>_<KEY>, and PAIL_PORT for the port in node.client alone
 *	flags       --set section.key=value and the programs' own
 *
 * A relative path in a file is taken from the folder of the configuration file, wherever one
 * stands; in the environment and in flags, from where one stands.
 */
#ifndef PAIL_CONFIG_H
#define PAIL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config/keys.h"
#include "common/key.h"
#include "common/partition.h"

#define CONF_TEXT_MAX    1024u
#define CONF_ORIGIN_MAX  320u
#define CONF_PAIRS_MAX   512u /* routes, and peers */
#define CONF_PUBLICS_MAX 2u   /* keys of a peer */

enum conf_role { ROLE_ALL, ROLE_ROUTER, ROLE_STORAGE };

/* A line of [routes] or [peers]. */
struct conf_pair {
	char key[256];
	char value[256]; /* a node; an endpoint or - */
	char origin[CONF_ORIGIN_MAX];
	/*
	 * A peer's public keys in Z85.  Two while a node's key is being changed, the one in use and the
	 * one that is to follow, in any order.
	 */
	char public[CONF_PUBLICS_MAX][KEY_TEXT + 1];
	unsigned publics;
};

/* A peer of which only requests come, and to which none go: NAME = - */
static inline bool conf_asks_only(const struct conf_pair *peer)
{
	return peer->value[0] == '-' && !peer->value[1];
}

/* Do both lines say the same, wherever they stand? */
bool conf_pair_same(const struct conf_pair *a, const struct conf_pair *b);
/* As it is written: KEY = VALUE, and public keys. */
void conf_pair_print(const struct conf_pair *x, struct buf *out);

struct conf_pairs {
	struct conf_pair *pair;
	uint32_t count;
};

enum conf_key {
#define X(section, key, ...) CONF_##section##_##key,
	CONF_KEYS(X)
#undef X
		CONF_KEY_COUNT
};

struct conf_value {
	char text[CONF_TEXT_MAX]; /* as written; a path from a file from where we stand */
	uint64_t number;          /* NUMBER, SIZE in bytes, ROLE, LEVEL, YES_NO */
	char origin[CONF_ORIGIN_MAX];
};

struct conf {
	struct conf_value value[CONF_KEY_COUNT];
	struct conf_pairs routes;
	struct conf_pairs peers;
	struct buf errors; /* one line each */
	uint32_t error_count;
	struct buf warnings; /* likewise: what is wrong but no error */
	bool incomplete;     /* a file could not be read: what is not set may be set there */
	char folder[900];    /* while files are read: where relative paths begin, with a / */
};

/* All defaults.  0 or -ENOMEM. */
int conf_new(struct conf **ret);
void conf_free(struct conf **c);

/* Read a file and its drop-ins over what is there.  Errors are added to c->errors. */
void conf_read_file(struct conf *c, const char *path);
/* The environment of this process. */
void conf_read_environment(struct conf *c);
/* One setting, `section.key` and its value, from `origin`. */
void conf_set(struct conf *c, const char *name, const char *value, const char *origin);
/* Say what is wrong with what `origin` says. */
void conf_error(struct conf *c, const char *origin, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Checks across settings, once all have been read. */
void conf_check(struct conf *c);
/*
 * What a setting is in this place, with the reason for it: a default that depends on the machine,
 * or a value that is raised to what it must be.
 */
void conf_settle(struct conf *c, enum conf_key k, uint64_t number, const char *why);
/* Is it what the list says, set by nobody? */
bool conf_is_default(const struct conf *c, enum conf_key k);
/*
 * Before `c` takes the place of `old` in a running node: values that differ but cannot change there
 * are set back to the old ones, each is named in a line of `out`.  Returns how many.  That a node
 * gets keys, or is to go on without, is an error, and so is another cluster: they cannot be taken
 * in part.
 */
unsigned conf_keep(struct conf *c, const struct conf *old, struct buf *out);
/* A line in `out` for each value that differs.  Returns how many. */
unsigned conf_differences(const struct conf *c, const struct conf *old, struct buf *out);

/* What to do where a node would let anybody in. */
extern const char conf_open_hint[];

/* What [routes] calls the cluster; so no node is called that. */
#define CONF_RING     "ring"
#define CONF_ETCD_MAX 9u /* URLs */

/* Is there to be a port for other nodes? */
bool conf_wants_nodes(const struct conf *c);
/* Where operators reach the node: node.admin, or the socket in its folder; "" if there is neither.
 */
void conf_admin(const struct conf *c, char *out, size_t size);

/* The whole configuration as a file, above each value its origin. */
void conf_print(const struct conf *c, struct buf *out);
/* The keys, their defaults and what they mean, for --help. */
void conf_describe(struct buf *out);

static inline const char *conf_text(const struct conf *c, enum conf_key k)
{
	return c->value[k].text;
}

static inline uint64_t conf_number(const struct conf *c, enum conf_key k)
{
	return c->value[k].number;
}

/* Does the node belong to a cluster? */
static inline bool conf_in_cluster(const struct conf *c)
{
	return c->value[CONF_cluster_name].text[0] != '\0';
}

#endif
