/* Hashes, buffers, JSON, configuration, routes, data folders. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/hash.h"
#include "common/json.h"
#include "coordinator/process/datadir.h"
#include "coordinator/routing/table.h"
#include "tests/unit/lib/unit.h"
#include "common/size.h"

static void crc32c_has_its_known_values(void)
{
	char zeros[32] = {0};
	char data[1000];
	uint64_t s = unit_seed();

	EQ(0xe3069283u, crc32c(0, "123456789", 9)); /* RFC 3720 and every catalogue */
	EQ(0x8a9136aau, crc32c(0, zeros, 32));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)unit_random(&s);
	for (size_t n = 0; n < sizeof(data); n += 7) {
		EQ(crc32c_table(5, data, n), crc32c(5, data, n));
		EQ(crc32c(0, data, sizeof(data)),
		   crc32c(crc32c(0, data, n), data + n, sizeof(data) - n));
	}
}

static void placement_never_changes(void)
{
	/* Which worker owns which bucket is in data folders: these values are for ever. */
	EQ((long long)0x670527f1beaf13fdull, (long long)hash64(0, "", 0));
	EQ((long long)0x6568d31b2c97a0deull, (long long)hash64(0, "fruit", 5));
	EQ((long long)0x59c07b63f1bf969dull, (long long)hash64(0, "a longer bucket's name", 22));
}

static void json_escapes_what_it_must(void)
{
	struct buf b;

	buf_init(&b);
	json_string(&b, (struct span){"a\"\\\n\xc3\xa9\xff\x00", 8});
	SAME(b.data, b.len, "\"a\\\"\\\\\\u000a\xc3\xa9\\u00ff\\u0000\"");
	TRUE_(json_is_text((struct span){"\xc3\xa9", 2}));
	TRUE_(!json_is_text((struct span){"\xc3", 1}));
	TRUE_(!json_is_text((struct span){"\xed\xa0\x80", 3}));
	b.len = 0;
	json_base64(&b, (struct span){"\xff\xfe", 2});
	SAME(b.data, b.len, "\"//4=\"");
	buf_fini(&b);
}

static void sizes_are_parsed(void)
{
	uint64_t n;

	TRUE_(size_parse("0", &n) && n == 0);
	TRUE_(size_parse("64K", &n) && n == 65536);
	TRUE_(size_parse("8m", &n) && n == 8u << 20);
	TRUE_(size_parse("1T", &n) && n == 1ull << 40);
	TRUE_(!size_parse("", &n));
	TRUE_(!size_parse("8MB", &n));
	TRUE_(!size_parse("-1", &n));
	TRUE_(!size_parse("99999999999999999999", &n));
	TRUE_(!size_parse("99999999999T", &n));
}

static char *file(const char *name, const char *text)
{
	static char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", unit_folder(), name);
	f = fopen(path, "w");
	TRUE_(f);
	(void)fputs(text, f);
	(void)fclose(f);
	return path;
}

static bool has(const struct conf *c, const char *text)
{
	char *all = strndup(c->errors.data ? c->errors.data : "", c->errors.len);
	bool yes = strstr(all, text) != NULL;

	if (!yes)
		(void)printf("# not found: \"%s\" in:\n%s", text, all);
	free(all);
	return yes;
}

static struct conf *conf_of(const char *text)
{
	struct conf *c = NULL;

	EQ(0, conf_new(&c));
	conf_read_file(c, file("test.conf", text));
	conf_check(c);
	return c;
}

static void a_file_is_read(void)
{
	struct conf *c =
		conf_of("# comment\n[node]\nname = foo\ndata=/x\n[limits]\n"
			"value = 1M\n[peers]\nbar = tcp://h:1\n[routes]\na-m = foo\n* = bar\n");

	EQ(0, c->error_count);
	EQ(0, strcmp("foo", conf_text(c, CONF_node_name)));
	EQ(1 << 20, conf_number(c, CONF_limits_value));
	EQ(2, c->routes.count);
	TRUE_(strstr(c->value[CONF_node_name].origin, "test.conf:3"));
	conf_free(&c);
}

static void every_mistake_is_named_with_its_line(void)
{
	struct conf *c =
		conf_of("lost = 1\n[node]\ndata = /x\nnmae = foo\nworkers = many\nname = n\n"
			"name = o\nrole = king\n[limits]\nvalue = 900M\njunk\n[nodes]\nx = 1\n"
			"[peers]\na = h:1\na = h:2\n");

	EQ(9, c->error_count);
	TRUE_(has(c, "test.conf:1: \"lost\" stands before any [section]"));
	TRUE_(has(c, "test.conf:4: unknown setting node.nmae, did you mean node.name?"));
	TRUE_(has(c, "test.conf:5: node.workers = \"many\" is not a number"));
	TRUE_(has(c, "test.conf:7: node.name was set already in line 6"));
	TRUE_(has(c, "test.conf:8: node.role = \"king\" is not all, router or storage"));
	TRUE_(has(c, "test.conf:10: limits.value = 900M is out of range"));
	TRUE_(has(c, "test.conf:11: neither [section] nor key = value"));
	TRUE_(has(c, "test.conf:13: unknown section [nodes]"));
	TRUE_(has(c, "test.conf:16: peer \"a\" is there already"));
	conf_free(&c);
}

static void settings_are_checked_against_each_other(void)
{
	struct conf *c = conf_of("[node]\ndata = /x\n[limits]\nvalue = 8M\nmessage = 15M\n");

	EQ(1, c->error_count);
	TRUE_(has(c, "limits.message = 15M must be at least twice limits.value = 8M"));
	conf_free(&c);
}

static void the_environment_wins_and_flags_win_over_it(void)
{
	struct conf *c = NULL;

	EQ(0, setenv("PAIL_NODE_NAME", "env", 1));
	EQ(0, setenv("PAIL_LIMITS_VALUE", "2M", 1));
	EQ(0, setenv("PAIL_PORT", "4999", 1));
	EQ(0, conf_new(&c));
	conf_read_file(
		c, file("env.conf", "[node]\nname = file\ndata = /x\nclient = tcp://0.0.0.0:1\n"));
	conf_read_environment(c);
	conf_set(c, "node.name", "flag", "--set");
	conf_set(c, "security.open", "yes", "--set");
	conf_check(c);
	EQ(0, c->error_count);
	EQ(0, strcmp("flag", conf_text(c, CONF_node_name)));
	EQ(2 << 20, conf_number(c, CONF_limits_value));
	EQ(0, strcmp("tcp://0.0.0.0:4999", conf_text(c, CONF_node_client)));
	EQ(0, strcmp("PAIL_PORT", c->value[CONF_node_client].origin));
	EQ(0, unsetenv("PAIL_NODE_NAME"));
	EQ(0, unsetenv("PAIL_LIMITS_VALUE"));
	EQ(0, setenv("PAIL_PORT", "70000", 1));
	conf_read_environment(c);
	TRUE_(has(c, "PAIL_PORT: \"70000\" is no port"));
	EQ(0, unsetenv("PAIL_PORT"));
	conf_free(&c);
}

static void includes_and_their_circles(void)
{
	struct conf *c = NULL;
	char path[256];

	(void)file("part.conf", "[limits]\nvalue = 1M\n");
	c = conf_of("include = part.conf\n[node]\ndata = /x\n");
	EQ(0, c->error_count);
	EQ(1 << 20, conf_number(c, CONF_limits_value));
	conf_free(&c);
	(void)snprintf(path, sizeof(path), "include = %s/test.conf\n", unit_folder());
	c = conf_of(path);
	TRUE_(has(c, "files include each other more than 8 deep"));
	conf_free(&c);
}

static void route_table_match_first_and_explain_misses(void)
{
	struct conf *c =
		conf_of("[node]\nname = foo\ndata = /x\n[peers]\nbar = tcp://h:1\n[routes]\n"
			"a-m = foo\nn-z = bar\nm-n = bar\n0x00-0x1f = foo\n");
	struct route_table r;
	char text[400];

	EQ(0, route_table_make(c, &r));
	EQ(0, c->error_count);
	EQ(TARGET_SELF, route_table_find(&r, 'h')->target.kind);
	EQ(TARGET_SELF, route_table_find(&r, 'm')->target.kind);
	EQ(TARGET_PEER, route_table_find(&r, 'w')->target.kind);
	EQ(TARGET_SELF, route_table_find(&r, 0x1f)->target.kind);
	TRUE_(!route_table_find(&r, 0x20));
	route_table_explain(&r, (struct span){"\x00\xff", 2}, text, sizeof(text));
	EQ(0, strcmp("could not find entry for \"\\x00\\xff\" in table [a-m = foo, n-z = bar, "
		     "m-n = bar, 0x00-0x1f = foo]",
		     text));
	route_table_fini(&r);
	conf_free(&c);
	c = conf_of("[node]\ndata = /x\n[routes]\nz-a = pail\naa = pail\na = nobody\n");
	EQ(0, route_table_make(c, &r));
	EQ(3, c->error_count);
	TRUE_(has(c, "test.conf:4: \"z-a\" is no range"));
	TRUE_(has(c, "test.conf:6: route to \"nobody\", which is neither this node"));
	route_table_fini(&r);
	conf_free(&c);
}

static void what_a_running_node_cannot_change_stays(void)
{
	struct conf *old = conf_of("[node]\ndata = /x\nworkers = 2\n[limits]\nunread = 1M\n");
	struct conf *new = conf_of("[node]\ndata = /x\nworkers = 3\n[limits]\nunread = 2M\n");
	struct buf kept;
	struct buf changed;

	buf_init(&kept);
	buf_init(&changed);
	EQ(1, conf_keep(new, old, &kept));
	EQ(2, conf_number(new, CONF_node_workers));
	EQ(1, conf_differences(new, old, &changed));
	EQ(2 << 20, conf_number(new, CONF_limits_unread));
	buf_add(&kept, "", 1);
	buf_add(&changed, "", 1);
	EQ(0, strcmp("node.workers = 3 (was 2)\n", kept.data));
	EQ(0, strcmp("limits.unread = 2M (was 1M)\n", changed.data));
	buf_fini(&kept);
	buf_fini(&changed);
	conf_free(&old);
	conf_free(&new);
}

static void roles_and_peers_are_checked(void)
{
	struct conf *c = conf_of("[node]\nname = foo\nrole = router\n[routes]\na-z = foo\n");
	struct route_table r;

	EQ(0, route_table_make(c, &r));
	TRUE_(has(c, "whose role is router: it stores nothing"));
	route_table_fini(&r);
	conf_free(&c);
	c = conf_of("[node]\nrole = router\n");
	EQ(0, route_table_make(c, &r));
	TRUE_(has(c, "there are no [routes] to go by"));
	route_table_fini(&r);
	conf_free(&c);
	c = conf_of("[node]\nname = foo\ndata = /x\n[peers]\nfoo = tcp://h:1\nbar = udp://h:1\n");
	TRUE_(has(c, "peer \"foo\" is this node itself"));
	TRUE_(has(c, "peer bar = udp://h:1: "));
	conf_free(&c);
}

static void a_data_folder_has_one_node_and_one_shape(void)
{
	char dir[200];
	char why[512];
	struct datadir_shape x = {.workers = 3};
	int a;
	int b;

	(void)snprintf(dir, sizeof(dir), "%s/deep/data", unit_folder());
	EQ(0, datadir_take(dir, &x, &a, why, sizeof(why)));
	EQ(3, x.workers);
	EQ(-EWOULDBLOCK, datadir_take(dir, &x, &b, why, sizeof(why)));
	TRUE_(strstr(why, "in use by another node, pid "));
	(void)close(a);
	x.workers = 2;
	EQ(-EINVAL, datadir_take(dir, &x, &a, why, sizeof(why)));
	TRUE_(strstr(why, "was made for 3 workers, node.workers says 2"));
	x.workers = 0;
	EQ(0, datadir_take(dir, &x, &a, why, sizeof(why)));
	EQ(3, x.workers);
	(void)close(a);
}

UNIT_MAIN(T(crc32c_has_its_known_values), T(placement_never_changes), T(json_escapes_what_it_must),
	  T(sizes_are_parsed), T(a_file_is_read), T(every_mistake_is_named_with_its_line),
	  T(settings_are_checked_against_each_other), T(the_environment_wins_and_flags_win_over_it),
	  T(includes_and_their_circles), T(route_table_match_first_and_explain_misses),
	  T(what_a_running_node_cannot_change_stays), T(roles_and_peers_are_checked),
	  T(a_data_folder_has_one_node_and_one_shape))
