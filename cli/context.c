/* context: names for where nodes are and which keys they take. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* What a change came to: an exit status, and why if it is not CLI_OK. */
struct change {
	struct cli *c;
	const char *name;
	struct contexts all;
	char why[1200];
};

static int usage(const char *what)
{
	return cli_usage(command_find("context"), "%s", what);
}

static int fail(const struct cli *c, int status, const char *why)
{
	(void)cli_fail(c, status == CLI_NOT_FOUND ? PAIL_NOT_FOUND : PAIL_BAD_ARGUMENT, why);
	return status;
}

/* ---- one at a time ---- */

static int not_found(struct change *x)
{
	(void)snprintf(x->why, sizeof(x->why), "there is no context \"%.80s\"", x->name);
	return CLI_NOT_FOUND;
}

/* A path from here on, wherever pail will be called.  False: it is too long. */
static bool absolute(const char *path, char *out, size_t size)
{
	char here[PATH_MAX] = "";
	int n;

	if (*path != '/' && !getcwd(here, sizeof(here)))
		return false;
	n = snprintf(out, size, "%s%s%s", here, *path == '/' ? "" : "/", path);
	return (size_t)n < size;
}

static int add(struct change *x)
{
	const struct cli *c = x->c;
	struct context *new = NULL;
	const char *bad = key_name_check(x->name);
	char key[PATH_MAX] = "";

	if (bad) {
		(void)snprintf(x->why, sizeof(x->why), "the name %s", bad);
		return CLI_USAGE;
	}
	if (contexts_find(&x->all, x->name)) {
		(void)snprintf(x->why, sizeof(x->why),
			       "there is a context \"%s\": `pail context remove %s` first", x->name,
			       x->name);
		return CLI_FAILED;
	}
	new = contexts_add(&x->all);
	if (!new) {
		(void)snprintf(x->why, sizeof(x->why), "there are %u contexts: no more",
			       CONTEXTS_MAX);
		return CLI_FAILED;
	}
	(void)snprintf(new->name, sizeof(new->name), "%s", x->name);
	bad = context_set(new, "endpoint", c->endpoint);
	if (!bad && c->key)
		bad = absolute(c->key, key, sizeof(key)) ? context_set(new, "key", key)
							 : "the key file's path is too long";
	if (!bad && c->node_key)
		bad = context_set(new, "node-key", c->node_key);
	if (!bad)
		return CLI_OK;
	(void)snprintf(x->why, sizeof(x->why), "--%s: %s",
		       !*new->endpoint        ? "endpoint"
		       : c->key && !*new->key ? "key"
					      : "node-key",
		       bad);
	return CLI_USAGE;
}

static int use(struct change *x)
{
	if (!contexts_find(&x->all, x->name))
		return not_found(x);
	(void)snprintf(x->all.current, sizeof(x->all.current), "%s", x->name);
	return CLI_OK;
}

static int forget(struct change *x)
{
	struct context *one = contexts_find(&x->all, x->name);

	if (!one)
		return not_found(x);
	contexts_remove(&x->all, one);
	return CLI_OK;
}

/* Read, change, write, while nobody else does. */
static int change(struct cli *c, int (*what)(struct change *x))
{
	struct change x = {.c = c, .name = c->arg[1]};
	char path[PATH_MAX];
	int lock;
	int r;

	if (!contexts_path(path, sizeof(path)))
		return fail(c, CLI_CONFIG, "neither XDG_CONFIG_HOME nor HOME names a folder");
	if (contexts_lock(path, &lock, x.why, sizeof(x.why)) < 0)
		return fail(c, CLI_FAILED, x.why);
	r = contexts_read(path, &x.all, x.why, sizeof(x.why)) < 0 ? CLI_CONFIG : what(&x);
	if (r == CLI_OK && contexts_write(path, &x.all, x.why, sizeof(x.why)) < 0)
		r = CLI_FAILED;
	contexts_free(&x.all);
	contexts_unlock(lock);
	return r == CLI_OK ? r : fail(c, r, x.why);
}

/* Said, since it may come to be right later. */
static void key_look(const struct cli *c)
{
	struct key_file k = {.servers = 0};
	char why[400];

	if (c->key && pair_read(c->key, &k, why, sizeof(why)) < 0)
		(void)fprintf(stderr, "pail: it is kept, but: %s\n", why);
	else if (c->key && !k.servers && !c->node_key)
		(void)fprintf(stderr, "pail: it is kept, but neither it nor its key file has the "
				      "node's public key\n");
	key_file_forget(&k);
}

/* ---- list ---- */

static void list_json(struct buf *b, const struct contexts *all)
{
	buf_text(b, "{\"contexts\":[");
	for (unsigned i = 0; i < all->count; i++) {
		const struct context *x = &all->context[i];
		const struct {
			const char *name, *value;
		} fields[] = {
			{"key",      x->key     },
                        {"node_key", x->node_key}
                };

		buf_text(b, i ? ",{" : "{");
		cli_json_field(b, "name", pail_str(x->name));
		buf_fmt(b, ",\"current\":%s,", !strcmp(all->current, x->name) ? "true" : "false");
		cli_json_field(b, "endpoint", pail_str(x->endpoint));
		for (unsigned k = 0; k < 2; k++) {
			buf_text(b, ",");
			if (*fields[k].value)
				cli_json_field(b, fields[k].name, pail_str(fields[k].value));
			else
				buf_fmt(b, "\"%s\":null", fields[k].name);
		}
		buf_text(b, "}");
	}
	buf_text(b, "]}\n");
}

static int wider(int width, const char *text)
{
	return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static void list_table(struct buf *b, const struct contexts *all)
{
	int name = 4;
	int endpoint = 8;
	int key = 3;

	for (unsigned i = 0; i < all->count; i++) {
		name = wider(name, all->context[i].name);
		endpoint = wider(endpoint, all->context[i].endpoint);
		key = wider(key, all->context[i].key);
	}
	buf_fmt(b, "  %-*s  %-*s  %-*s  %s\n", name, "name", endpoint, "endpoint", key, "key",
		"node's key");
	for (unsigned i = 0; i < all->count; i++) {
		const struct context *x = &all->context[i];

		buf_fmt(b, "%s %-*s  %-*s  %-*s  %s\n", strcmp(all->current, x->name) ? " " : "*",
			name, x->name, endpoint, x->endpoint, key, *x->key ? x->key : "-",
			*x->node_key ? x->node_key : "-");
	}
}

static int list(struct cli *c)
{
	struct contexts all = {0};
	char path[PATH_MAX];
	char why[1200];
	struct buf b;

	if (contexts_path(path, sizeof(path)) && contexts_read(path, &all, why, sizeof(why)) < 0)
		return fail(c, CLI_CONFIG, why);
	buf_init(&b);
	if (c->output == OUTPUT_JSON)
		list_json(&b, &all);
	else if (c->output == OUTPUT_RAW)
		for (unsigned i = 0; i < all.count; i++)
			buf_fmt(&b, "%s\n", all.context[i].name);
	else if (all.count)
		list_table(&b, &all);
	else
		buf_text(&b, "there are none\n");
	contexts_free(&all);
	return cli_buf_out(&b);
}

int run_context(struct cli *c)
{
	const char *action = c->arg[0];
	bool adds = !strcmp(action, "add");
	int r;

	if (!adds && strcmp(action, "use") != 0 && strcmp(action, "remove") != 0 &&
	    strcmp(action, "list") != 0)
		return usage("add, use, list or remove?");
	if (!adds && (c->endpoint || c->node_key))
		return usage("--endpoint and --node-key go with add");
	if (!strcmp(action, "list"))
		return c->args == 1 ? list(c) : usage("list takes nothing");
	if (c->args == 1)
		return usage("which one? give its NAME");
	if (!adds)
		return change(c, *action == 'u' ? use : forget);
	if (!c->endpoint)
		return usage("add takes --endpoint");
	r = change(c, add);
	if (r == CLI_OK)
		key_look(c);
	return r;
}
