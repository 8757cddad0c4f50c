/*
 * Where a program connects to, and as whom: what the options of pail_open, its environment and the
 * contexts of its user say together.  include/pail.h tells what goes before what, under "keys".
 */
#ifndef PAIL_IDENTITY_H
#define PAIL_IDENTITY_H

#include "client/contexts.h"
#include "include/pail.h"

struct identity {
	char context[KEY_NAME_MAX + 1];      /* the one in force; "": none */
	char endpoint[CONTEXT_ENDPOINT_MAX]; /* "": nobody says */
	char key_file[PATH_MAX];             /* "": none */
	char node_key[NODE_KEYS_MAX];        /* "": those of the key file */
};

/*
 * Find it out; of `o` only key_file, node_key and context count.  PAIL_OK, or PAIL_BAD_ARGUMENT
 * with `why`.  Key files are not looked into.
 */
int identity_find(const char *endpoint, const struct pail_options *o, struct identity *ret,
		  char *why, size_t why_size);

/* Read its keys, if it has any: ret->servers is 0 if not.  PAIL_OK, or PAIL_BAD_ARGUMENT with `why`. */
int identity_keys(const struct identity *i, struct key_file *ret, char *why, size_t why_size);

/* As key_file_read; and the pair must be one. */
int pair_read(const char *path, struct key_file *ret, char *why, size_t why_size);

#endif
