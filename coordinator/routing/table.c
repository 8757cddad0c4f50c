/* Parsing and looking up routes. */
#include "coordinator/routing/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/partition.h"

/* One end of a range: a printable character, or 0xNN.  Steps over it. */
static bool byte_parse(const char **p, uint8_t *ret)
{
	const char *s = *p;
	char hex[3] = {0, 0, 0};

	if (s[0] == '0' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
	    isxdigit((unsigned char)s[3])) {
		memcpy(hex, s + 2, 2);
		*ret = (uint8_t)strtoul(hex, NULL, 16);
		*p += 4;
		return true;
	}
	if (!isgraph((unsigned char)s[0]))
		return false;
	*ret = (uint8_t)s[0];
	*p += 1;
	return true;
}

static bool range_parse(const char *s, struct route *r)
{
	if (!strcmp(s, "*")) {
		r->low = 0;
		r->high = 255;
		return true;
	}
	if (!byte_parse(&s, &r->low))
		return false;
	r->high = r->low;
	if (*s == '-') {
		s++;
		if (!byte_parse(&s, &r->high))
			return false;
	}
	return !*s && r->low <= r->high;
}

static void route_error(struct conf *c, const struct conf_pair *p, const char *what)
{
	c->error_count++;
	buf_fmt(&c->errors, "%s: %s\n", p->origin, what);
}

/* Does an earlier entry say where the very same names go? */
static bool route_again(struct conf *c, const struct conf_pair *p, const struct route *first,
			const struct route *r)
{
	char text[CONF_ORIGIN_MAX + 100];

	for (const struct route *e = first; e < r; e++) {
		if (!e->node || e->low != r->low || e->high != r->high)
			continue;
		(void)snprintf(text, sizeof(text),
			       "\"%.20s\" is routed already, to %.60s in %.200s", p->key, e->node,
			       c->routes.pair[e - first].origin);
		route_error(c, p, text);
		return true;
	}
	return false;
}

static void route_make(struct conf *c, const struct conf_pair *p, const struct route *first,
		       struct route *r)
{
	char text[400];

	(void)snprintf(r->entry, sizeof(r->entry), "%.15s", p->key);
	r->node = p->value;
	if (!range_parse(p->key, r)) {
		(void)snprintf(
			text, sizeof(text),
			"\"%.60s\" is no range: a byte such as a or 0x1f, two with - between "
			"them, or *",
			p->key);
		route_error(c, p, text);
		r->node = NULL;
		return;
	}
	if (route_again(c, p, first, r))
		return;
	if (!strcmp(p->value, CONF_RING)) {
		r->target.kind = TARGET_RING;
		if (!conf_in_cluster(c) && !c->incomplete)
			route_error(c, p,
				    "route to the cluster (" CONF_RING
				    "), but this node belongs to none: cluster.name is not set");
		return;
	}
	if (!strcmp(p->value, conf_text(c, CONF_node_name))) {
		if (conf_number(c, CONF_node_role) == ROLE_ROUTER)
			route_error(c, p,
				    "route to this node, whose role is router: it stores nothing");
		else if (conf_in_cluster(c) &&
			 conf_number(c, CONF_storage_partitions) > PARTITIONS_MAX / 2)
			route_error(
				c, p,
				"route to this node, which is one of a cluster: beside more than "
				"2048 partitions (storage.partitions) it has no place for buckets "
				"of its own");
		return;
	}
	r->target.kind = TARGET_PEER;
	for (r->target.peer = 0; r->target.peer < c->peers.count; r->target.peer++)
		if (!strcmp(c->peers.pair[r->target.peer].key, p->value)) {
			if (conf_asks_only(&c->peers.pair[r->target.peer]))
				route_error(c, p, "route to a peer that only asks (NAME = -)");
			return;
		}
	if (c->incomplete)
		return; /* it may be in the file that could not be read */
	(void)snprintf(text, sizeof(text),
		       "route to \"%.60s\", which is neither this node (%.63s) nor in [peers]",
		       p->value, conf_text(c, CONF_node_name));
	route_error(c, p, text);
}

int route_table_make(struct conf *c, struct route_table *ret)
{
	ret->count = c->routes.count ? c->routes.count : 1;
	ret->route = calloc(ret->count, sizeof(*ret->route));
	if (!ret->route)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->routes.count; i++)
		route_make(c, &c->routes.pair[i], ret->route, &ret->route[i]);
	if (!c->routes.count && conf_number(c, CONF_node_role) == ROLE_ROUTER && !c->incomplete) {
		c->error_count++;
		buf_fmt(&c->errors, "%s: node.role = router, but there are no [routes] to go by\n",
			c->value[CONF_node_role].origin);
	}
	if (!c->routes.count && conf_in_cluster(c) && !c->incomplete) {
		c->error_count++;
		buf_fmt(&c->errors,
			"%s: cluster.name = %s, but there are no [routes] that lead to it, such as "
			"* = " CONF_RING "\n",
			c->value[CONF_cluster_name].origin, conf_text(c, CONF_cluster_name));
	}
	if (!c->routes.count)
		ret->route[0] = (struct route){
			0, 255, {TARGET_SELF, 0},
                          "*", conf_text(c, CONF_node_name)
                };
	for (unsigned b = 0; b < 256; b++) {
		ret->of_byte[b] = ROUTE_NONE;
		for (uint32_t i = ret->count; i-- > 0;)
			if (b >= ret->route[i].low && b <= ret->route[i].high)
				ret->of_byte[b] = (uint16_t)i;
	}
	return 0;
}

void route_table_fini(struct route_table *r)
{
	free(r->route);
	r->route = NULL;
	r->count = 0;
}

void route_table_explain(const struct route_table *r, struct span bucket, char *out, size_t size)
{
	struct buf b;
	char name[1024];

	buf_init(&b);
	buf_fmt(&b, "could not find entry for \"%s\" in table [",
		buf_printable(name, sizeof(name), bucket.p, bucket.n));
	for (uint32_t i = 0; i < r->count; i++)
		buf_fmt(&b, "%s%s = %s", i ? ", " : "", r->route[i].entry, r->route[i].node);
	buf_text(&b, "]");
	(void)snprintf(out, size, "%.*s", (int)b.len, b.data ? b.data : "");
	buf_fini(&b);
}
