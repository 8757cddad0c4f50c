/* The files of keys, and whose keys they are. */
#include "coordinator/security/security.h"
#include "coordinator/security/found.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/node/node.h"

#define FILE_MAX_BYTES (64u << 20) /* of the clients' file: far more than RIGHTS_CLIENTS_MAX need */
#define REFUSED_MS     60000u      /* between warnings of those who are not let in */

struct security {
	const struct node *node;
	struct security_files files;
	struct door *door;
	const struct security_found *found;
	uint64_t refused;
	uint64_t refused_told; /* of them */
	uint64_t refused_ms;   /* not before */
	char refused_key[KEY_TEXT + 1];
	char refused_domain[16];
};

/* ---- reading ---- */

static void own_read(struct conf *c, struct key_file *own)
{
	const struct conf_value *v = &c->value[CONF_security_key];
	char public[KEY_TEXT + 1];
	char why[600];
	int r = key_file_read(v->text, own, why, sizeof(why));

	if (r < 0) {
		conf_error(c, v->origin, "security.key: %s", why);
		return;
	}
	r = curve_public(own->secret, public);
	if (r == -ENOTSUP)
		conf_error(c, v->origin,
			   "security.key is set, but the libzmq of this machine was built without "
			   "CURVE");
	else if (r < 0 || strcmp(public, own->public) != 0)
		conf_error(c, v->origin,
			   "security.key: %.300s: public is not the key that belongs to secret; "
			   "make a pair with: pail key new NAME",
			   v->text);
}

/* A regular file's bytes.  0, or negative errno. */
static int text_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	while (r == 0) {
		char *p = buf_room(out, 65536);
		ssize_t n = p ? read(fd, p, 65536) : 0;

		if (!p)
			r = -ENOMEM;
		else if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n == 0)
			break;
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len > FILE_MAX_BYTES)
			r = -EFBIG;
	}
	(void)close(fd);
	return r;
}

static int rights_load(struct conf *c, struct rights **ret)
{
	const struct conf_value *v = &c->value[CONF_security_clients];
	struct buf text;
	unsigned count = 0;
	int r;

	buf_init(&text);
	r = *v->text ? text_read(v->text, &text) : 0;
	if (r < 0)
		conf_error(c, v->origin, "security.clients = %.300s: cannot read it: %s", v->text,
			   strerror(-r));
	else
		r = rights_read(text.data ? text.data : "", text.len, v->text, ret, &c->errors,
				&count);
	c->error_count += count;
	buf_fini(&text);
	return r == -ENOMEM ? r : 0;
}

/* The node's own key is nobody else's: who has it cannot be told from the node. */
static void keys_check(struct conf *c, const struct security_files *f)
{
	const char *origin = c->value[CONF_security_clients].origin;
	const struct rights_client *self = rights_find(f->rights, span_of(f->own.public));

	if (self)
		conf_error(c, origin, "client \"%s\" has the key of this node itself", self->name);
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		for (unsigned k = 0; k < p->publics; k++)
			if (!strcmp(p->public[k], f -> own.public))
				conf_error(c, p->origin,
					   "peer \"%.63s\" has the key of this node itself",
					   p->key);
	}
}

/* The gateway reads its file itself, and comes as the client that the key says. */
static void gateway_read(struct conf *c, const struct security_files *f)
{
	const struct conf_value *v = &c->value[CONF_gateway_key];
	struct key_file key;
	char why[600];

	if (!*v->text)
		return;
	if (key_file_read(v->text, &key, why, sizeof(why)) < 0) {
		conf_error(c, v->origin, "gateway.key: %s", why);
		return;
	}
	if (!rights_find(f->rights, span_of(key.public)))
		buf_fmt(&c->warnings,
			"%s: gateway.key: the key of \"%s\" is not in security.clients: the node "
			"will not let the gateway in\n",
			v->origin, key.name);
	key_file_forget(&key);
}

int security_read(struct conf *c, struct security_files *ret)
{
	unsigned before = c->error_count;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!conf_text(c, CONF_security_key)[0])
		return 0;
	ret->on = true;
	own_read(c, &ret->own);
	r = rights_load(c, &ret->rights);
	if (r == 0 && c->error_count == before)
		keys_check(c, ret);
	if (r == 0 && c->error_count == before)
		gateway_read(c, ret);
	if (r < 0)
		security_files_fini(ret);
	return r;
}

void security_files_fini(struct security_files *f)
{
	rights_free(&f->rights);
	key_file_forget(&f->own);
	f->on = false;
}

/* ---- the tables ---- */

int security_new(const struct node *node, struct security_files *files, struct security **ret)
{
	struct security *s = calloc(1, sizeof(*s));

	*ret = s;
	if (!s)
		return -ENOMEM;
	s->node = node;
	s->files = *files;
	memset(files, 0, sizeof(*files));
	return 0;
}

void security_free(struct security **sp)
{
	struct security *s = *sp;

	if (!s)
		return;
	check(!s->door);
	security_files_fini(&s->files);
	free(s);
	*sp = NULL;
}

struct rights_changes security_swap(struct security *s, struct security_files *files)
{
	struct rights_changes changes = {0, 0, 0};
	struct rights *rights = files->rights;

	if (!s->files.on)
		return changes;
	changes = rights_compare(s->files.rights, rights);
	files->rights = s->files.rights;
	s->files.rights = rights;
	return changes;
}

bool security_on(const struct security *s)
{
	return s->files.on;
}

const struct key_file *security_own(const struct security *s)
{
	return s->files.on ? &s->files.own : NULL;
}

const struct rights_client *security_client(const struct security *s, struct span key)
{
	return s->files.on && key.n ? rights_find(s->files.rights, key) : NULL;
}

static bool pair_has(const struct conf_pair *p, struct span key)
{
	for (unsigned k = 0; k < p->publics; k++)
		if (span_equal(key, span_of(p->public[k])))
			return true;
	return false;
}

bool security_is_peer(const struct security *s, struct span key, struct span name)
{
	const struct conf_pairs *peers = &s->node->conf->peers;

	for (uint32_t i = 0; i < peers->count && s->files.on; i++)
		if (span_equal(name, span_of(peers->pair[i].key)))
			return pair_has(&peers->pair[i], key);
	return !s->files.on || (s->found && s->found->is_peer(s->found->arg, key, name));
}

bool security_is_node(const struct security *s, struct span key)
{
	const struct conf_pairs *peers = &s->node->conf->peers;

	for (uint32_t i = 0; i < peers->count && s->files.on; i++)
		if (pair_has(&peers->pair[i], key))
			return true;
	return !s->files.on || (s->found && s->found->is_node(s->found->arg, key));
}

void security_find(struct security *s, const struct security_found *found)
{
	s->found = found;
}

/* ---- the door ---- */

static const char *nodes_where(const struct security *s)
{
	return s->found ? "[peers], and registered for no node of the cluster" : "[peers]";
}

static void refused_tell(struct security *s)
{
	s->refused_ms = s->node->now_ms + REFUSED_MS;
	log_warn("%llu times somebody was not let in at the port for %s: the key %s is in no line "
		 "of %s",
		 (unsigned long long)(s->refused - s->refused_told), s->refused_domain,
		 s->refused_key,
		 !strcmp(s->refused_domain, SECURITY_NODES) ? nodes_where(s) : "security.clients");
	s->refused_told = s->refused;
}

static bool allows(void *arg, const char *domain, const char *key)
{
	struct security *s = arg;
	const struct span k = span_of(key);
	bool nodes = !strcmp(domain, SECURITY_NODES);

	if (nodes ? security_is_node(s, k)
		  : !strcmp(domain, SECURITY_CLIENTS) && security_client(s, k))
		return true;
	s->refused++;
	(void)snprintf(s->refused_key, sizeof(s->refused_key), "%s", key);
	(void)snprintf(s->refused_domain, sizeof(s->refused_domain), "%s",
		       nodes ? SECURITY_NODES : SECURITY_CLIENTS);
	if (s->node->now_ms >= s->refused_ms)
		refused_tell(s);
	return false;
}

int security_open_door(struct security *s, struct socket_context *c)
{
	return s->files.on ? door_open(c, allows, s, &s->door) : 0;
}

void security_close_door(struct security *s)
{
	if (s)
		door_close(&s->door);
}

struct door *security_door(const struct security *s)
{
	return s->door;
}

uint32_t security_clients(const struct security *s)
{
	return s->files.on ? rights_count(s->files.rights) : 0;
}

uint64_t security_refused(const struct security *s)
{
	return s->refused;
}

void security_tick(struct security *s)
{
	if (s->refused > s->refused_told && s->node->now_ms >= s->refused_ms)
		refused_tell(s);
}
