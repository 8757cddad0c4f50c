/* [cluster] in configurations: every rule with its corners, and what the error says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config/config.h"
#include "coordinator/routing/table.h"
#include "tests/unit/lib/unit.h"

#define DEMO "[cluster]\nname = demo\netcd = http://127.0.0.1:2379\n"
#define RING "[routes]\n* = ring\n"

static struct conf *read_text(const char *text)
{
	char path[300];
	struct conf *c = NULL;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/t.conf", unit_folder());
	f = fopen(path, "w");
	TRUE_(f);
	(void)fputs(text, f);
	(void)fclose(f);
	EQ(0, conf_new(&c));
	conf_read_file(c, path);
	return c;
}

/* A node's settings, and what is under test behind them, all checked. */
static struct conf *read_node(const char *more, struct route_table *routes)
{
	char text[8192];
	struct conf *c;

	(void)snprintf(text, sizeof(text), "[node]\nname = foo\ndata = /x\n%s", more);
	c = read_text(text);
	conf_check(c);
	EQ(0, route_table_make(c, routes));
	return c;
}

static bool in(const struct buf *b, const char *text)
{
	char *all = strndup(b->data ? b->data : "", b->len);
	bool yes = strstr(all, text) != NULL;

	if (!yes)
		(void)printf("# not found: \"%s\" in:\n%s", text, all);
	free(all);
	return yes;
}

/* So many errors, `why` among them, or, if there are none, among the warnings; "": none. */
static void says(const char *more, unsigned errors, const char *why)
{
	struct route_table routes;
	struct conf *c = read_node(more, &routes);

	if (errors != c->error_count)
		(void)printf("# %s->\n%.*s", more, (int)c->errors.len, c->errors.data);
	EQ(errors, c->error_count);
	TRUE_(in(errors ? &c->errors : &c->warnings, why));
	if (!errors && !*why)
		EQ(0, c->warnings.len);
	route_table_fini(&routes);
	conf_free(&c);
}

/* cluster.etcd = `list` is kept as `want`, or is an error that says it. */
static void etcd(const char *list, unsigned errors, const char *want)
{
	struct route_table routes;
	char more[4096];
	struct conf *c;

	(void)snprintf(more, sizeof(more),
		       "[cluster]\nname = demo\netcd = %s\n[routes]\n* = ring\n", list);
	if (errors) {
		says(more, errors + 1, want); /* and then it is not set */
		return;
	}
	c = read_node(more, &routes);
	EQ(0, c->error_count);
	EQ(0, strcmp(want, conf_text(c, CONF_cluster_etcd)));
	route_table_fini(&routes);
	conf_free(&c);
}

static void a_node_without_it_is_in_none(void)
{
	struct route_table routes;
	struct conf *c = read_node("", &routes);

	EQ(0, c->error_count);
	EQ(0, c->warnings.len);
	TRUE_(!conf_in_cluster(c));
	TRUE_(!conf_wants_nodes(c));
	EQ(TARGET_SELF, route_table_find(&routes, 'a')->target.kind);
	route_table_fini(&routes);
	conf_free(&c);
	c = read_node(DEMO "[routes]\n* = ring\n", &routes);
	EQ(0, c->error_count);
	EQ(0, c->warnings.len);
	TRUE_(conf_in_cluster(c));
	TRUE_(conf_wants_nodes(c));
	EQ(TARGET_RING, route_table_find(&routes, 'a')->target.kind);
	route_table_fini(&routes);
	conf_free(&c);
}

static void routes_lead_to_it_beside_others(void)
{
	struct route_table routes;
	struct conf *c = read_node(DEMO "[peers]\nbar = tcp://h:1\n[routes]\na-m = bar\nn-p = bar\n"
					"n-z = ring\n",
				   &routes);
	char text[200];

	EQ(0, c->error_count);
	EQ(0, c->warnings.len);
	EQ(TARGET_PEER, route_table_find(&routes, 'a')->target.kind);
	EQ(TARGET_PEER, route_table_find(&routes, 'n')->target.kind);
	EQ(TARGET_RING, route_table_find(&routes, 'q')->target.kind);
	EQ(0, strcmp("ring", route_table_find(&routes, 'z')->node));
	TRUE_(!route_table_find(&routes, '0'));
	route_table_explain(&routes, (struct span){"0", 1}, text, sizeof(text));
	EQ(0, strcmp("could not find entry for \"0\" in table [a-m = bar, n-p = bar, n-z = ring]",
		     text));
	route_table_fini(&routes);
	conf_free(&c);
	says(DEMO "[routes]\na-m = ring\na-m = foo\n", 1, "\"a-m\" is routed already, to ring in ");
	says(DEMO "role = x\n[routes]\n* = ring\n", 1, "unknown setting cluster.role");
}

static void routes_and_cluster_go_together(void)
{
	says("[routes]\na-m = foo\nn-z = ring\n", 1,
	     "t.conf:6: route to the cluster (ring), but this node belongs to none: cluster.name "
	     "is "
	     "not set\n");
	says(DEMO, 1,
	     "t.conf:5: cluster.name = demo, but there are no [routes] that lead to it, such as "
	     "* = ring\n");
	says(DEMO "[routes]\n* = foo\n", 0, "no line of [routes] leads to it");
	says(DEMO "[routes]\na-m = foo\nn-z = ring\n[storage]\npartitions = 2048\n", 0, "");
	says(DEMO "[routes]\na-m = foo\nn-z = ring\n[storage]\npartitions = 4096\n", 1,
	     "t.conf:8: route to this node, which is one of a cluster: beside more than 2048 "
	     "partitions");
	says("[routes]\n* = foo\n[storage]\npartitions = 4096\n", 0, "");
	says("role = router\n" DEMO RING, 0, "");
	says("role = router\n" DEMO "[routes]\na-m = foo\nn-z = ring\n", 1,
	     "t.conf:9: route to this node, whose role is router: it stores nothing");
	says("role = storage\n" DEMO "[routes]\n* = ring\n", 0, "");
}

static void name_and_etcd_go_together(void)
{
	says("[cluster]\nname = demo\n[routes]\n* = ring\n", 1,
	     "t.conf:5: cluster.name = demo, but cluster.etcd is not set");
	says("[cluster]\netcd = http://h:1\n", 1,
	     "t.conf:5: cluster.etcd is set, but cluster.name is not");
}

static void nobody_else_is_called_so(void)
{
	struct conf *c = read_text("[node]\nname = ring\ndata = /x\n[peers]\nring = tcp://h:1\n");

	EQ(2, c->error_count);
	TRUE_(in(&c->errors, "t.conf:2: node.name = ring: is what [routes] calls the cluster"));
	TRUE_(in(&c->errors, "t.conf:5: peer \"ring\" is what [routes] calls the cluster"));
	conf_free(&c);
	c = read_text("[node]\nname = rings\ndata = /x\n[peers]\nRing = tcp://h:1\n");
	EQ(0, c->error_count);
	conf_free(&c);
}

static void its_name_is_a_part_of_keys(void)
{
	static const struct {
		const char *name, *why;
	} bad[] = {
		{"a/b",      "it is made of letters"},
		{"a b",      "it is made of letters"},
		{"..",       "begins with a dot"    },
		{"\xc3\xa4", "it is made of letters"},
		{"a\"",      "it is made of letters"}
        };
	char more[300];
	char name[65];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(more, sizeof(more), "[cluster]\nname = %s\n", bad[i].name);
		says(more, 1, bad[i].why);
	}
	memset(name, 'n', 64);
	name[64] = '\0';
	(void)snprintf(more, sizeof(more), "[cluster]\nname = %s\n", name);
	says(more, 1, "cluster.name has 64 characters, it must have 0 to 63");
	(void)snprintf(more, sizeof(more), DEMO "[routes]\n* = ring\n[cluster]\n");
	says(more, 0, "");
}

static void etcds_urls_are_read(void)
{
	etcd("http://127.0.0.1:2379", 0, "http://127.0.0.1:2379");
	etcd("https://etcd-1.example:2379/ ,\thttp://[::1]:1", 0,
	     "https://etcd-1.example:2379,http://[::1]:1");
	etcd("http://h1:1,http://h2:1,http://h3:1,http://h4:1,http://h5:1,http://h6:1,http://h7:1,"
	     "http://h8:1,http://h9:65535",
	     0,
	     "http://h1:1,http://h2:1,http://h3:1,http://h4:1,http://h5:1,http://h6:1,http://h7:1,"
	     "http://h8:1,http://h9:65535");
	etcd("http://h1:1,http://h2:1,http://h3:1,http://h4:1,http://h5:1,http://h6:1,http://h7:1,"
	     "http://h8:1,http://h9:1,http://h10:1",
	     1, "t.conf:6: cluster.etcd = http://h10:1: it is one too many: nine at most");
	etcd("http://h:1,http://i:1,http://h:1", 1, "cluster.etcd = http://h:1: it is named twice");
	etcd("http://h:1,http://h:11", 0, "http://h:1,http://h:11");
}

static void what_is_no_url_is_told(void)
{
	etcd("127.0.0.1:2379", 1, "cluster.etcd = 127.0.0.1:2379: it is written http://HOST:PORT");
	etcd("tcp://h:1", 1, "etcd is reached by http:// or https://");
	etcd("HTTP://h:1", 1, "etcd is reached by http:// or https://");
	etcd("http://h", 1, "cluster.etcd = http://h: the port is missing: etcd's is 2379");
	etcd("http://[::1]", 1, "the port is missing");
	etcd("http://", 1, "the port is missing");
	etcd("http://:1", 1, "host");
	etcd("http://h:", 1, "the port is missing");
	etcd("http://h:0", 1, "port 0");
	etcd("http://h:65536", 1, "above 65535");
	etcd("http://h:2a", 1, "the port is no number");
	etcd("http://h:1/v3", 1, "nothing is written behind the port");
	etcd("http://u:p@h:1", 1, "neither user nor password");
	etcd("http://h:1,", 1, "a URL is missing before or behind a comma");
	etcd(",http://h:1", 1, "a URL is missing");
	etcd("http://h:1,,http://i:1", 1, "a URL is missing");
	etcd("http://h:1,nonsense,http://i:1", 1, "cluster.etcd = nonsense: it is written");
	etcd("http://h i:1", 1, "cluster.etcd = http://h i:1: ");
}

/* Long ones end in an error, never beyond a buffer. */
static void long_lists_are_refused(void)
{
	char list[3000];

	for (size_t n = 900; n < sizeof(list) - 1; n += 31) {
		struct route_table routes;
		char more[4096];
		struct conf *c;

		memset(list, 'h', n);
		list[n] = '\0';
		memcpy(list, "http://", 7);
		for (size_t i = 100; i < n - 3; i += 101)
			memcpy(list + i - 2, ":1,http://", 10);
		memcpy(list + n - 2, ":1", 2);
		(void)snprintf(more, sizeof(more), "[cluster]\nname = demo\netcd = %s\n", list);
		c = read_node(more, &routes);
		TRUE_(c->error_count || strlen(conf_text(c, CONF_cluster_etcd)) <= 1000);
		if (n > 1023)
			TRUE_(c->error_count);
		route_table_fini(&routes);
		conf_free(&c);
	}
}

static void others_are_told_an_address_that_they_can_reach(void)
{
	says("peer = tcp://*:4041\n[security]\nopen = yes\n" DEMO "[routes]\n* = ring\n", 1,
	     "t.conf:4: node.peer = tcp://*:4041: the other nodes of the cluster are told this");
	says("peer = tcp://0.0.0.0:4041\n[security]\nopen = yes\n" DEMO "[routes]\n* = ring\n", 1,
	     "node.peer = tcp://0.0.0.0:4041: the other");
	says("peer = tcp://[::]:4041\n[security]\nopen = yes\n" DEMO "[routes]\n* = ring\n", 1,
	     "node.peer = tcp://[::]:4041: the other");
	says("peer = tcp://10.0.0.1:4041\n[security]\nopen = yes\n" DEMO "[routes]\n* = ring\n", 0,
	     "");
	says("peer = tcp://0.0.0.0:4041\n[security]\nopen = yes\n", 0, "");
	/* it listens for nodes, so it is open or has keys */
	says("peer = tcp://10.0.0.1:4041\n" DEMO "[routes]\n* = ring\n", 1,
	     "node.peer = tcp://10.0.0.1:4041 listens beyond this machine");
}

static void keeps(const char *before, const char *after, unsigned errors, const char *why)
{
	struct route_table routes;
	struct conf *old = read_node(before, &routes);
	struct conf *new;
	struct buf kept;

	route_table_fini(&routes);
	new = read_node(after, &routes);
	route_table_fini(&routes);
	EQ(0, new->error_count);
	buf_init(&kept);
	(void)conf_keep(new, old, &kept);
	EQ(errors, new->error_count);
	TRUE_(in(errors ? &new->errors : &kept, why));
	buf_fini(&kept);
	conf_free(&old);
	conf_free(&new);
}

static void a_running_node_stays_where_it_is(void)
{
	keeps("", DEMO RING, 1,
	      "t.conf:5: cluster.name = demo: this node runs outside of any cluster, only a "
	      "restart takes it into one");
	keeps(DEMO RING, "", 1, "t.conf:5: cluster.name = : this node runs in the cluster demo");
	keeps(DEMO RING, "[cluster]\nname = other\netcd = http://h:1\n" RING, 1,
	      "t.conf:5: cluster.name = other: this node runs in the cluster demo, only a restart");
	keeps(DEMO RING, "[cluster]\nname = demo\netcd = http://h:1\n" RING, 0,
	      "cluster.etcd = http://h:1 (was http://127.0.0.1:2379)\n");
	keeps(DEMO RING, DEMO "[routes]\n* = bar\n[peers]\nbar = tcp://h:1\n", 0, "");
}

static void what_is_printed_reads_back(void)
{
	struct route_table routes;
	struct conf *c = read_node("[cluster]\nname = d.e-m_0\netcd = http://h:1 , http://i:2\n"
				   "[routes]\na-m = ring\n* = ring\n",
				   &routes);
	struct conf *again;
	struct buf out;

	buf_init(&out);
	conf_print(c, &out);
	buf_add(&out, "", 1);
	TRUE_(in(&out, "etcd = http://h:1,http://i:2\n"));
	again = read_text(out.data);
	EQ(0, again->error_count);
	EQ(0, strcmp("d.e-m_0", conf_text(again, CONF_cluster_name)));
	EQ(0, strcmp("http://h:1,http://i:2", conf_text(again, CONF_cluster_etcd)));
	EQ(2, again->routes.count);
	EQ(0, strcmp("ring", again->routes.pair[1].value));
	buf_fini(&out);
	route_table_fini(&routes);
	conf_free(&c);
	conf_free(&again);
}

#define TLS  "[cluster]\nname = demo\netcd = https://10.0.0.1:2379\n"
#define USER "etcd_user = pail\netcd_password = /p\n"

static void who_a_node_is_to_etcd_is_said_whole(void)
{
	says(TLS "etcd_ca = /ca\n" RING, 0, "");
	says(TLS "etcd_ca = /ca\netcd_cert = /c\netcd_cert_key = /k\n" USER RING, 0, "");
	says(TLS "etcd_cert = /c\n" RING, 1,
	     "t.conf:7: cluster.etcd_cert is set, but cluster.etcd_cert_key is not");
	says(TLS "etcd_cert_key = /c\n" RING, 1,
	     "t.conf:7: cluster.etcd_cert_key is set, but cluster.etcd_cert is not");
	says(TLS "etcd_user = pail\n" RING, 1,
	     "t.conf:7: cluster.etcd_user is set, but cluster.etcd_password is not");
	says(TLS "etcd_password = /p\n" RING, 1,
	     "t.conf:7: cluster.etcd_password is set, but cluster.etcd_user is not");
	says(DEMO "etcd_ca = /ca\n" RING, 1,
	     "t.conf:7: cluster.etcd_ca is for https, but cluster.etcd has http://127.0.0.1:2379");
	says("[cluster]\nname = demo\netcd = https://10.0.0.1:2379, http://10.0.0.2:2379, "
	     "https://10.0.0.3:2379\netcd_ca = /ca\n" RING,
	     1, "cluster.etcd_ca is for https, but cluster.etcd has http://10.0.0.2:2379\n");
	says(DEMO USER RING, 0, "");
	says("[cluster]\nname = demo\netcd = http://10.0.0.2:2379\n" USER RING, 0,
	     "t.conf:8: the password for etcd goes over the network as it is: "
	     "http://10.0.0.2:2379 is not https\n");
	says("[cluster]\netcd_user = pail\netcd_password = /p\n", 2,
	     "t.conf:5: cluster.etcd_user is set, but cluster.name is not");
}

UNIT_MAIN(T(who_a_node_is_to_etcd_is_said_whole), T(a_node_without_it_is_in_none),
	  T(routes_lead_to_it_beside_others), T(routes_and_cluster_go_together),
	  T(name_and_etcd_go_together), T(nobody_else_is_called_so), T(its_name_is_a_part_of_keys),
	  T(etcds_urls_are_read), T(what_is_no_url_is_told), T(long_lists_are_refused),
	  T(others_are_told_an_address_that_they_can_reach), T(a_running_node_stays_where_it_is),
	  T(what_is_printed_reads_back))
