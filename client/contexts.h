/*
 * Contexts: names for where nodes are, which keys they have and which key file is used there, in a
 * file of the user's, $XDG_CONFIG_HOME/pail/contexts or else ~/.config/pail/contexts:
 *
 *	current = shop                  the one that is taken where none is named
 *
 *	[shop]
 *	endpoint = tcp://10.0.0.1:4040,tcp://10.0.0.2:4040
 *	key = /home/ann/shop.key        absolute; no such line: without keys
 *	node-key = rd!...               the nodes' public keys, two with a blank between at most; no
 *	                                such line: those that the key file names
 *
 * A line whose first character is # is a comment.  No secret is in it, but who can write it says
 * whom a program believes: it must be its user's (or root's), and nobody else may write to it.
 */
#ifndef PAIL_CONTEXTS_H
#define PAIL_CONTEXTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/key.h"

#define CONTEXTS_MAX         256u
#define CONTEXT_ENDPOINT_MAX 4352u /* 16 endpoints with commas between */
#define NODE_KEYS_MAX        (KEY_SERVERS_MAX * (KEY_TEXT + 1u))

struct context {
	char name[KEY_NAME_MAX + 1];
	char endpoint[CONTEXT_ENDPOINT_MAX];
	char key[PATH_MAX];           /* "": none */
	char node_key[NODE_KEYS_MAX]; /* "": none */
};

struct contexts {
	struct context *context;
	unsigned count;
	char current[KEY_NAME_MAX + 1]; /* "": none */
};

/* The file.  False: neither variable names a folder. */
bool contexts_path(char *out, size_t size);

/*
 * Read it; no file: there are none.  0, or negative errno with `why` naming file, line and reason.
 * contexts_free frees, also what zeros are.
 */
int contexts_read(const char *path, struct contexts *ret, char *why, size_t why_size);
void contexts_free(struct contexts *c);

/* NULL: there is no such context. */
struct context *contexts_find(const struct contexts *c, const char *name);
/* One more, all zero, at its end.  NULL: there are CONTEXTS_MAX, or no memory. */
struct context *contexts_add(struct contexts *c);
void contexts_remove(struct contexts *c, struct context *x);
/* Set what has that name in the file (endpoint, key, node-key).  NULL, or what is wrong with it. */
const char *context_set(struct context *x, const char *key, const char *value);

/*
 * Public keys of a node as they are typed, one or two with blanks or commas between, into those of
 * *ret.  NULL, or what is wrong.
 */
const char *node_keys_read(const char *text, struct key_file *ret);

/*
 * ---- changing it ----
 *
 * One at a time, whole or not at all: contexts_lock waits at most 5 s for another that does so
 * (-EAGAIN) and makes the folder (0700) if it is not there; then it is read, and written to a file
 * beside it that takes its place.  0, or negative errno with `why`.
 */
int contexts_lock(const char *path, int *ret_lock, char *why, size_t why_size);
int contexts_write(const char *path, const struct contexts *c, char *why, size_t why_size);
void contexts_unlock(int lock);

#endif
