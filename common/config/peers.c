/*
 * Lines of [routes] and [peers].
 *
 *	NAME = ENDPOINT [PUBLIC [PUBLIC]]
 *	NAME = - [PUBLIC [PUBLIC]]
 *
 * A socket file's path may hold blanks, so keys are taken from the end of the line: whatever words
 * there are keys, the first word apart.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"
#include "common/endpoint.h"

#define VALUE_MAX 1200u

static void pair_add(struct conf *c, struct conf_pairs *p, const struct conf_pair *pair)
{
	struct conf_pair *x;

	if (p->count == CONF_PAIRS_MAX) {
		conf_error(c, pair->origin, "more than %u entries", CONF_PAIRS_MAX);
		return;
	}
	x = realloc(p->pair, (p->count + 1) * sizeof(*x));
	if (!x) {
		c->errors.failed = true;
		return;
	}
	p->pair = x;
	x[p->count++] = *pair;
}

static void pair_fill(struct conf_pair *x, const char *key, const char *value, const char *origin)
{
	(void)snprintf(x->key, sizeof(x->key), "%s", key);
	(void)snprintf(x->value, sizeof(x->value), "%s", value);
	(void)snprintf(x->origin, sizeof(x->origin), "%s", origin);
}

void conf_route_add(struct conf *c, const char *key, const char *value, const char *origin)
{
	struct conf_pair x = {.publics = 0};

	if (strlen(key) >= sizeof(x.key) || strlen(value) >= sizeof(x.value) || !*value) {
		conf_error(c, origin, "entry \"%.40s\" is %s", key, *value ? "too long" : "empty");
		return;
	}
	pair_fill(&x, key, value, origin);
	pair_add(c, &c->routes, &x);
}

/* ---- peers ---- */

/* The last word of many, cut off `s`.  NULL: there is but one. */
static char *last_word(char *s)
{
	char *e = s + strlen(s);
	char *word;

	while (e > s && !isspace((unsigned char)e[-1]))
		e--;
	word = e;
	while (e > s && isspace((unsigned char)e[-1]))
		*--e = '\0';
	return e > s ? word : NULL;
}

/* The keys at the end of `s`, cut off it; the first written is the first kept.  How many. */
static unsigned keys_take(char *s, struct conf_pair *x)
{
	char *word;
	unsigned n = 0;
	size_t len;

	while ((len = strlen(s)) > KEY_TEXT && key_text_is(s + len - KEY_TEXT, KEY_TEXT) &&
	       isspace((unsigned char)s[len - KEY_TEXT - 1]) && (word = last_word(s))) {
		memmove(x->public + 1, x->public, sizeof(x->public[0]));
		memcpy(x->public[0], word, KEY_TEXT);
		n++;
	}
	return n;
}

/*
 * The word behind the endpoint that is no key, *ret_n bytes; NULL: there is none.  In a path only what
 * looks like a comment.
 */
static const char *junk_find(const char *s, size_t *ret_n)
{
	static const char blanks[] = " \t\n\v\f\r";
	bool path = !strncmp(s, "ipc://", 6);

	for (;;) {
		s += strcspn(s, blanks);
		s += strspn(s, blanks);
		*ret_n = strcspn(s, blanks);
		if (!*ret_n)
			return NULL;
		if (!key_text_is(s, *ret_n) && (!path || *s == '#'))
			return s;
	}
}

static const char no_endpoint[] =
	"it is an endpoint such as tcp://HOST:4041, or - for a node that only asks";

void conf_peer_add(struct conf *c, const char *name, const char *value, const char *origin)
{
	struct conf_pair x = {.publics = 0};
	const char *why = conf_name_check(name);
	const char *junk;
	size_t junk_n;
	char text[VALUE_MAX];
	char whole[ENDPOINT_MAX] = "-";

	(void)snprintf(text, sizeof(text), "%s", value);
	x.publics = keys_take(text, &x);
	junk = junk_find(text, &junk_n);
	if (why)
		conf_error(c, origin, "peer \"%.70s\" %s", name, why);
	else if (strlen(value) >= sizeof(text))
		conf_error(c, origin, "peer %.60s = %.100s: it is too long", name, value);
	else if (junk && *junk == '#')
		conf_error(c, origin, "peer %.60s = %.200s: %s", name, value, conf_comment_hint);
	else if (junk)
		conf_error(c, origin,
			   "peer %.60s = %.200s: \"%.*s\" is no public key: 40 characters, as "
			   "`pail key new` prints it",
			   name, value, (int)(junk_n < 60 ? junk_n : 60), junk);
	else if (x.publics > CONF_PUBLICS_MAX)
		conf_error(c, origin,
			   "peer %.60s has %u public keys: it may have two, the one in use and "
			   "the one that is to follow",
			   name, x.publics);
	else if (strcmp(text, "-") != 0 && endpoint_check(text, ENDPOINT_CONNECT, whole, &why) < 0)
		conf_error(c, origin, "peer %.60s = %.100s: %s; %s", name, text, why, no_endpoint);
	else {
		pair_fill(&x, name, whole, origin);
		pair_add(c, &c->peers, &x);
	}
}

bool conf_pair_same(const struct conf_pair *a, const struct conf_pair *b)
{
	if (strcmp(a->key, b->key) != 0 || strcmp(a->value, b->value) != 0 ||
	    a->publics != b->publics)
		return false;
	for (unsigned i = 0; i < a->publics; i++)
		if (strcmp(a->public[i], b -> public[i]) != 0)
			return false;
	return true;
}

void conf_pair_print(const struct conf_pair *x, struct buf *out)
{
	buf_fmt(out, "%s = %s", x->key, x->value);
	for (unsigned i = 0; i < x->publics; i++)
		buf_fmt(out, " %s", x->public[i]);
}
