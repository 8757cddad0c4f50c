/* What this folder's files share. */
#ifndef PAIL_CONFIG_IMPL_H
#define PAIL_CONFIG_IMPL_H

#include "common/config/config.h"

#define CONF_ERRORS_MAX 100u /* that are named; the others are counted */

enum conf_type {
	TEXT,
	NAME,
	CLUSTER,
	PATH,
	ENDPOINT,
	ADDRESS,
	URLS,
	NUMBER,
	SIZE,
	ROLE,
	LEVEL,
	YES_NO
};

/* A line of CONF_KEYS. */
struct conf_row {
	const char *section;
	const char *key;
	enum conf_type type;
	const char *standard;
	uint64_t least;
	uint64_t most;
	const char *unit;
	bool reload;
	const char *help;
};

extern const struct conf_row conf_rows[CONF_KEY_COUNT];

/* Check a value and take it. */
void conf_value_set(struct conf *c, enum conf_key k, const char *text, const char *origin);

/* Is it a node's name?  NULL, or what is wrong with it. */
const char *conf_name_check(const char *name);

/* Is it a cluster's name, or ""?  NULL, or what is wrong with it. */
const char *conf_cluster_name_check(const char *name);

/*
 * A list of etcd's URLs, as it is to be kept, into `out`, and *text points there.  NULL, or what is
 * wrong with one of them: then that one is what *text points to.
 */
const char *conf_urls_read(const char **text, char *out, size_t size);

extern const char conf_comment_hint[];

/* Does HOST mean every address of the machine? */
bool conf_any_host(const char *host, size_t n);

/* A line of [routes], a line of [peers]: checked and taken. */
void conf_route_add(struct conf *c, const char *key, const char *value, const char *origin);
void conf_peer_add(struct conf *c, const char *name, const char *value, const char *origin);

/* Whether the cluster, its agreement and the routes to it go together. */
void conf_cluster_check(struct conf *c);

/* Keys, and who may reach this node without them. */
void conf_security_check(struct conf *c);

#endif
