/* Where a program connects to, and as whom. */
#include "client/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/net/curve.h"

#define MESSAGE(...) ((void)snprintf(why, why_size, __VA_ARGS__), PAIL_BAD_ARGUMENT)

/* What an environment variable says; NULL: nothing. */
static const char *variable(const char *name)
{
	const char *v = secure_getenv(name);

	return v && *v ? v : NULL;
}

/*
 * The context in force.  `named`: a name that somebody gave, else it is the current one, if there
 * is one.
 */
static int context_find(const char *named, struct identity *ret, struct context *x, char *why,
			size_t why_size)
{
	char path[PATH_MAX];
	struct contexts all = {0};
	const struct context *found;
	int r = PAIL_OK;

	*x = (struct context){0};
	if (!contexts_path(path, sizeof(path)))
		return named ? MESSAGE("there is no context \"%s\": neither HOME nor "
				       "XDG_CONFIG_HOME says where they are",
				       named)
			     : PAIL_OK;
	if (contexts_read(path, &all, why, why_size) < 0)
		return PAIL_BAD_ARGUMENT;
	found = named || *all.current ? contexts_find(&all, named ? named : all.current) : NULL;
	if (found) {
		*x = *found;
		(void)snprintf(ret->context, sizeof(ret->context), "%s", found->name);
	} else if (named) {
		r = MESSAGE("there is no context \"%.80s\" in \"%s\": `pail context list` shows "
			    "those there are",
			    named, path);
	}
	contexts_free(&all);
	return r;
}

/* Which key file it is; "": none. */
static const char *key_file_of(const struct pail_options *o, const struct context *x)
{
	const char *v = variable("PAIL_KEY");

	if (o->key_file)
		return o->key_file;
	if (o->context && (*x->key || !*x->node_key))
		return x->key; /* a context without any key is one of nodes without keys */
	return v ? v : x->key;
}

int identity_find(const char *endpoint, const struct pail_options *o, struct identity *ret,
		  char *why, size_t why_size)
{
	const char *named = o->context ? o->context : variable("PAIL_CONTEXT");
	const char *key_file;
	struct context x = {.name = ""};
	int r = PAIL_OK;

	*ret = (struct identity){.endpoint = ""};
	if (endpoint && o->key_file && !*o->key_file && !o->context)
		named = NULL; /* told to go without keys: nothing of one is asked for */
	if (named || !endpoint)
		r = context_find(named, ret, &x, why, why_size);
	if (r != PAIL_OK)
		return r;
	if (!endpoint)
		endpoint = x.endpoint;
	key_file = key_file_of(o, &x);
	if (strlen(endpoint) >= sizeof(ret->endpoint))
		return MESSAGE("the list of endpoints is too long");
	if (strlen(key_file) >= sizeof(ret->key_file))
		return MESSAGE("the key file's path is too long");
	(void)snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", endpoint);
	(void)snprintf(ret->key_file, sizeof(ret->key_file), "%s", key_file);
	if (!*key_file && o->key_file)
		return PAIL_OK; /* told to go without keys */
	if (o->node_key && strlen(o->node_key) >= sizeof(ret->node_key))
		return MESSAGE("the node's key is too long: it is 40 characters");
	(void)snprintf(ret->node_key, sizeof(ret->node_key), "%s",
		       o->node_key ? o->node_key : x.node_key);
	return PAIL_OK;
}

int pair_read(const char *path, struct key_file *ret, char *why, size_t why_size)
{
	char public[KEY_TEXT + 1];
	int r = key_file_read(path, ret, why, why_size);

	if (r == 0)
		r = curve_public(ret->secret, public);
	else
		return r;
	if (r == 0 && strcmp(public, ret->public) != 0) {
		r = -EINVAL;
		(void)snprintf(why, why_size, "%s: public is not the key that belongs to secret",
			       path);
	} else if (r < 0) {
		(void)snprintf(why, why_size, "%s: %s", path,
			       r == -ENOTSUP ? "this libzmq was built without CURVE"
					     : "secret is no key");
	}
	if (r < 0)
		key_file_forget(ret);
	return r;
}

int identity_keys(const struct identity *i, struct key_file *ret, char *why, size_t why_size)
{
	const char *bad;

	*ret = (struct key_file){.servers = 0};
	if (!*i->key_file)
		return *i->node_key ? MESSAGE("the node's key is given, and no key file to go "
					      "with it")
				    : PAIL_OK;
	if (pair_read(i->key_file, ret, why, why_size) < 0)
		return PAIL_BAD_ARGUMENT;
	bad = *i->node_key ? node_keys_read(i->node_key, ret) : NULL;
	if (bad)
		(void)snprintf(why, why_size, "the node's key, \"%.100s\": %s", i->node_key, bad);
	else if (!ret->servers)
		(void)snprintf(why, why_size,
			       "%.3000s: it names no node that is to be believed: it needs a line "
			       "server = PUBLIC with the node's key, or give that key with it",
			       i->key_file);
	if (bad || !ret->servers) {
		key_file_forget(ret);
		ret->servers = 0;
		return PAIL_BAD_ARGUMENT;
	}
	return PAIL_OK;
}
