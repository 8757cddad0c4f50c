/* Keys and open doors in configurations: every rule with its corners, and what the error says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config/config.h"
#include "common/endpoint.h"
#include "tests/unit/lib/unit.h"

#define K1     "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define K2     "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define K3     "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define K4     "=#[abcdefghijklmnopqrstuvwxyz0123456789A" /* as no section or value begins */
#define K5     "[=#abcdefghijklmnopqrstuvwxyz0123456789A"
#define NO_KEY "########################################"

static struct conf *read_text(const char *name, const char *text)
{
	char path[300];
	struct conf *c = NULL;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", unit_folder(), name);
	f = fopen(path, "w");
	TRUE_(f);
	(void)fputs(text, f);
	(void)fclose(f);
	EQ(0, conf_new(&c));
	conf_read_file(c, path);
	return c;
}

/* A node's settings, and what is under test behind them. */
static struct conf *read_node(const char *more)
{
	static char text[4096];

	(void)snprintf(text, sizeof(text), "[node]\nname = foo\ndata = /x\n%s", more);
	return read_text("t.conf", text);
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

/* So many errors, `why` among them, and the same where a warning is. */
static void says(const char *more, unsigned errors, const char *why)
{
	struct conf *c = read_node(more);

	conf_check(c);
	if (errors != c->error_count)
		(void)printf("# of:\n%s", more);
	EQ(errors, c->error_count);
	TRUE_(in(errors ? &c->errors : &c->warnings, why));
	conf_free(&c);
}

static void wrong(const char *more, const char *why)
{
	says(more, 1, why);
}

static void right(const char *more)
{
	struct conf *c = read_node(more);

	conf_check(c);
	if (c->error_count || c->warnings.len)
		(void)printf("# of:\n%s%.*s%.*s", more, (int)c->errors.len, c->errors.data,
			     (int)c->warnings.len, c->warnings.data);
	EQ(0, c->error_count);
	EQ(0, c->warnings.len);
	conf_free(&c);
}

/* ---- who may listen where ---- */

static const char *const local[] = {"tcp://127.0.0.1:4050",
				    "tcp://127.0.0.1:0",
				    "127.0.0.1:4050",
				    "tcp://127.255.255.254:1",
				    "tcp://[::1]:4050",
				    "tcp://[0:0:0:0:0:0:0:1]:4050",
				    "tcp://[::1%lo]:4050",
				    "tcp://[::ffff:127.0.0.1]:1",
				    "tcp://[::ffff:7f01:203]:1",
				    "tcp://localhost:4050",
				    "tcp://lo:4050",
				    "ipc:///run/pail/x.sock",
				    "ipc:///run/my pail/a.sock"};
static const char *const open_to_all[] = {"tcp://*:4050",
					  "*:4050",
					  "tcp://0.0.0.0:4050",
					  "tcp://[::]:4050",
					  "tcp://10.0.0.1:4050",
					  "tcp://128.0.0.1:4050",
					  "tcp://126.255.255.255:4050",
					  "tcp://12.7.0.1:4050",
					  "tcp://[::2]:4050",
					  "tcp://[fe80::1%lo]:4050",
					  "tcp://[::127.0.0.1]:4050",
					  "tcp://[::ffff:126.0.0.1]:4050",
					  "tcp://[::ffff:0.0.0.0]:4050",
					  "tcp://[fd00::1]:4050",
					  "tcp://eth0:4050",
					  "tcp://lo0:4050",
					  "tcp://localhost.example.org:4050",
					  "tcp://local:4050",
					  "tcp://node.example.org:0"};

#define N(list) (sizeof(list) / sizeof((list)[0]))

static void loopback_is_told_from_other_addresses(void)
{
	for (unsigned i = 0; i < N(local); i++)
		EQ(1, endpoint_is_local(local[i]));
	for (unsigned i = 0; i < N(open_to_all); i++)
		EQ(0, endpoint_is_local(open_to_all[i]));
	EQ(0, endpoint_is_local(""));
	EQ(0, endpoint_is_local("tcp://:1"));
	EQ(0, endpoint_is_local("tcp://[]:1"));
}

static void without_keys_ports_are_this_machines_unless_that_is_said(void)
{
	static const char *const ports[] = {"client", "peer"};
	char text[400];
	char want[400];

	for (unsigned p = 0; p < N(ports); p++) {
		for (unsigned i = 0; i < N(local); i++) {
			(void)snprintf(text, sizeof(text), "%s = %s\n", ports[p], local[i]);
			right(text);
		}
		for (unsigned i = 0; i < N(open_to_all); i++) {
			const char *full = strstr(open_to_all[i], "://") ? "" : "tcp://";

			(void)snprintf(text, sizeof(text), "%s = %s\n", ports[p], open_to_all[i]);
			(void)snprintf(want, sizeof(want),
				       "t.conf:4: node.%s = %s%s listens beyond this machine: set "
				       "security.key and security.clients, or write security.open "
				       "= yes if everybody who reaches it may do everything\n",
				       ports[p], full, open_to_all[i]);
			wrong(text, want);
			(void)snprintf(text, sizeof(text), "%s = %s\n[security]\nopen = no\n",
				       ports[p], open_to_all[i]);
			wrong(text, want);
			(void)snprintf(text, sizeof(text), "%s = %s\n[security]\nopen = yes\n",
				       ports[p], open_to_all[i]);
			right(text);
			(void)snprintf(text, sizeof(text),
				       "%s = %s\n[security]\nkey = k\nclients = c\n", ports[p],
				       open_to_all[i]);
			right(text);
		}
	}
	says("client = tcp://*:1\npeer = tcp://*:2\n", 2, "t.conf:5: node.peer = tcp://*:2 ");
}

static void a_port_that_is_not_listened_on_may_be_anywhere(void)
{
	right("role = storage\nclient = tcp://0.0.0.0:4040\n");
	wrong("role = storage\npeer = tcp://0.0.0.0:4041\n", "node.peer");
	wrong("role = router\nclient = tcp://0.0.0.0:4040\n", "node.client");
}

static void the_gateway_is_this_machines_with_keys_or_without(void)
{
	static const char why[] = "gateway.text = 10.0.0.1:4042 listens beyond this machine: the "
				  "gateway knows its clients by nothing";

	right("[gateway]\ntext = 127.0.0.1:4042\n");
	right("[gateway]\ntext = [::1]:4042\n");
	wrong("[gateway]\ntext = 10.0.0.1:4042\n", why);
	wrong("[gateway]\ntext = 0.0.0.0:4042\n", "gateway.text = 0.0.0.0:4042 listens");
	wrong("[gateway]\ntext = [::]:4042\n", "gateway.text = [::]:4042 listens");
	wrong("[security]\nkey = k\nclients = c\n[gateway]\ntext = 10.0.0.1:4042\nkey = g\n", why);
	right("[gateway]\ntext = 10.0.0.1:4042\n[security]\nopen = yes\n");
	right("[security]\nkey = k\nclients = c\nopen = yes\n[gateway]\ntext = 10.0.0.1:4042\n"
	      "key = g\n");
	wrong("[security]\nkey = k\nclients = c\n[gateway]\ntext = 127.0.0.1:4042\n",
	      "t.conf:8: gateway.text is set, and with security.key the gateway needs a pair of "
	      "keys of its own: set gateway.key");
	right("[security]\nkey = k\nclients = c\n[gateway]\nkey = g\n");
	wrong("[gateway]\ntext = 127.0.0.1:4042\nkey = /g\n",
	      "gateway.key = /g is for a node with keys: security.key is not set");
}

static void keys_and_clients_go_together(void)
{
	right("[security]\nkey = k\nclients = c\n");
	wrong("[security]\nclients = /c\n",
	      "t.conf:5: security.clients = /c is for a node with keys: security.key is not set");
	says("[security]\nkey = k\n", 0, "t.conf:5: security.key is set without security.clients");
	right("role = storage\n[security]\nkey = k\n");
	wrong("[security]\nkey = \"k\"\n", "without quotes");
	wrong("[security]\nkey = k # mine\n", "# begins a comment only as the first character");
	wrong("[security]\nkeys = k\n",
	      "unknown setting security.keys, did you mean security.key?");
	wrong("[secruity]\nopen = yes\n", "did you mean security.open?");
}

static void open_is_yes_or_no(void)
{
	static const char *const wrongs[] = {"Yes", "true", "1", "on", "y", "", "yes no"};
	char text[100];

	right("[security]\nopen = yes\n");
	right("[security]\nopen = no\n");
	for (unsigned i = 0; i < N(wrongs); i++) {
		(void)snprintf(text, sizeof(text), "[security]\nopen = %s\n", wrongs[i]);
		wrong(text, "\" is not yes or no");
	}
}

static void a_file_that_cannot_be_read_is_the_only_error(void)
{
	struct conf *c = read_text("t.conf", "include = keys.inc\n[node]\ndata = /x\n"
					     "client = tcp://*:1\n[security]\nclients = c\n"
					     "[peers]\nbar = - " K1 "\n");

	conf_check(c);
	EQ(1, c->error_count);
	TRUE_(in(&c->errors, "keys.inc: cannot open"));
	conf_free(&c);
}

static void any_source_may_open_it(void)
{
	static const char text[] = "[node]\ndata = /x\nclient = tcp://0.0.0.0:1\n";
	struct conf *c = read_text("t.conf", text);

	EQ(0, setenv("PAIL_SECURITY_OPEN", "yes", 1));
	conf_read_environment(c);
	conf_check(c);
	EQ(0, c->error_count);
	EQ(0, strcmp("PAIL_SECURITY_OPEN", c->value[CONF_security_open].origin));
	conf_free(&c);
	c = read_text("t.conf", text);
	conf_read_environment(c);
	conf_set(c, "security.open", "no", "--set");
	conf_check(c);
	EQ(1, c->error_count); /* flags win */
	EQ(0, unsetenv("PAIL_SECURITY_OPEN"));
	conf_free(&c);
	c = read_text("t.conf", text);
	conf_set(c, "security.open", "yes", "--set");
	conf_check(c);
	EQ(0, c->error_count);
	conf_free(&c);
	EQ(0, setenv("PAIL_PORT", "4999", 1)); /* changes the port alone */
	EQ(0, setenv("PAIL_KEY", "x.key", 1)); /* of the command line's */
	c = read_text("t.conf", text);
	conf_read_environment(c);
	conf_check(c);
	EQ(1, c->error_count);
	TRUE_(in(&c->errors, "PAIL_PORT: node.client = tcp://0.0.0.0:4999 listens"));
	EQ(0, c->warnings.len);
	EQ(0, unsetenv("PAIL_PORT"));
	EQ(0, unsetenv("PAIL_KEY"));
	conf_free(&c);
}

/* ---- peers ---- */

#define WITH_KEYS "[security]\nkey = k\nclients = c\n[peers]\n"

static void peer_is(const char *line, const char *value, const char *one, const char *two)
{
	char text[600];
	struct conf *c;
	const struct conf_pair *p;

	(void)snprintf(text, sizeof(text), "%s%s\n", *one ? WITH_KEYS : "[peers]\n", line);
	right(text);
	c = read_node(text);
	EQ(1, c->peers.count);
	p = c->peers.pair;
	EQ(0, strcmp("bar", p->key));
	EQ(0, strcmp(value, p->value));
	EQ(!!*one + !!*two, p->publics);
	EQ(0, strcmp(one, p->public[0]));
	EQ(0, strcmp(two, p->public[1]));
	conf_free(&c);
}

static void peers_have_keys(void)
{
	peer_is("bar = tcp://h:1", "tcp://h:1", "", "");
	peer_is("bar = -", "-", "", "");
	peer_is("bar = tcp://h:1 " K1, "tcp://h:1", K1, "");
	peer_is("bar = h:1 \t " K1, "tcp://h:1", K1, "");
	peer_is("bar=tcp://h:1 " K1 "  " K2 " ", "tcp://h:1", K1, K2);
	peer_is("bar = - " K1, "-", K1, "");
	peer_is("bar = - " K2 " " K1, "-", K2, K1);
	peer_is("bar = tcp://h:1 " K4, "tcp://h:1", K4, "");
	peer_is("bar = tcp://h:1 " K5 " " K4, "tcp://h:1", K5, K4);
	peer_is("bar = - " K4 " " K5, "-", K4, K5);
	peer_is("bar = ipc:///run/my pail/a.sock", "ipc:///run/my pail/a.sock", "", "");
	peer_is("bar = ipc:///run/my pail/a.sock " K3, "ipc:///run/my pail/a.sock", K3, "");
	/* An endpoint of a key's length, whose characters are all a key's too. */
	peer_is("bar = tcp://node-bar.internal.example.org:4041",
		"tcp://node-bar.internal.example.org:4041", "", "");
}

static void peers_lines_that_say_too_much(void)
{
	wrong(WITH_KEYS "bar = tcp://h:1 " K1 " " K2 " " K3,
	      "t.conf:8: peer bar has 3 public keys: it may have two");
	wrong(WITH_KEYS "bar = tcp://h:1 abc", "\"abc\" is no public key: 40 characters");
	wrong(WITH_KEYS "bar = tcp://h:1 " K1 "0", "is no public key");
	wrong(WITH_KEYS "bar = tcp://h:1 abc " K1, "\"abc\" is no public key");
	wrong(WITH_KEYS "bar = tcp://h:1 ~"
			"q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
	      "is no public key");
	/* Five characters of Z85 are no more than 32 bits: no key begins with #. */
	wrong(WITH_KEYS "bar = tcp://h:1 " NO_KEY,
	      "# begins a comment only as the first character of a line");
	wrong("[peers]\nbar = tcp://h:4041 # comment", "# begins a comment only as the first");
	wrong("[peers]\nbar = - # comment", "# begins a comment only as the first");
	wrong("[peers]\nbar = tcp://h:4041 #", "# begins a comment only as the first");
	wrong("[peers]\nbar = ipc:///run/a.sock # comment", "# begins a comment only as the first");
	wrong(WITH_KEYS "bar = tcp://h:4041 # " K1, "# begins a comment only as the first");
	wrong(WITH_KEYS "bar = tcp://h:4041 " K1 " # " K2, "# begins a comment only as the first");
	wrong(WITH_KEYS "bar = tcp://h:4041 " K1 " #bar's", "# begins a comment only as the first");
	wrong(WITH_KEYS "bar = ipc:///a b/c " K1 " # bar's key",
	      "# begins a comment only as the f");
	wrong(WITH_KEYS "bar = tcp://h:1 " K1 " abc def", "\"abc\" is no public key");
	wrong(WITH_KEYS "bar = " K1, "it is an endpoint such as");
	wrong(WITH_KEYS "bar = " K1 " " K2, "it is an endpoint such as");
	wrong("[peers]\nbar =", "it is empty");
}

static void each_peer_has_a_key_or_none_has(void)
{
	wrong(WITH_KEYS "bar = tcp://h:1\n",
	      "t.conf:8: peer bar = tcp://h:1 has no public key: with security.key each needs "
	      "one, written behind it: bar = tcp://h:1 PUBLIC");
	wrong(WITH_KEYS "bar = -\nbaz = - " K1, "peer bar = - has no public key");
	wrong("[peers]\nbar = tcp://h:1 " K1 "\nbaz = -\n",
	      "t.conf:5: peer bar has a public key, but this node has none: set security.key");
	wrong("[peers]\nbar = - " K1, "set security.key");
	wrong("[security]\nopen = yes\n[peers]\nbar = - " K1, "set security.key");
}

static void a_key_is_one_peers(void)
{
	right(WITH_KEYS "bar = - " K1 " " K2 "\nbaz = - " K3);
	wrong(WITH_KEYS "bar = - " K1 "\nbaz = - " K1,
	      "t.conf:9: peer baz: the public key " K1 " is that of bar already, from ");
	wrong(WITH_KEYS "bar = - " K1 " " K2 "\nbaz = - " K3 " " K2, "is that of bar already");
	wrong(WITH_KEYS "bar = - " K1 " " K1, "peer bar: the public key " K1 " is that of bar");
	says(WITH_KEYS "bar = - " K1 " " K2 "\nbaz = - " K2 " " K1, 2, "is that of bar already");
}

static void what_is_printed_reads_back(void)
{
	struct conf *c = read_node("[security]\nkey = /k\nclients = /c\nopen = yes\n[gateway]\n"
				   "key = /g\n[peers]\nbar = h:1 " K4 " " K5 "\nbaz = - " K1 "\n"
				   "quux = ipc:///a b/c " K2 "\n");
	struct conf *again;
	struct buf out;

	buf_init(&out);
	conf_print(c, &out);
	buf_add(&out, "", 1);
	again = read_text("again.conf", out.data);
	conf_check(again);
	EQ(0, again->error_count);
	for (unsigned k = 0; k < CONF_KEY_COUNT; k++)
		EQ(0, strcmp(c->value[k].text, again->value[k].text));
	EQ(3, again->peers.count);
	for (unsigned i = 0; i < 3; i++)
		EQ(1, conf_pair_same(&c->peers.pair[i], &again->peers.pair[i]));
	again->peers.pair[0].public[1][0] = '0';
	EQ(0, conf_pair_same(&c->peers.pair[0], &again->peers.pair[0]));
	again->peers.pair[2].publics = 0;
	EQ(0, conf_pair_same(&c->peers.pair[2], &again->peers.pair[2]));
	buf_fini(&out);
	conf_free(&c);
	conf_free(&again);
}

/* ---- in a running node ---- */

static void keeps(const char *before, const char *now, unsigned errors, const char *why)
{
	struct conf *old = read_node(before);
	struct conf *new = read_node(now);
	struct buf out;

	conf_check(old);
	conf_check(new);
	EQ(0, old->error_count);
	EQ(0, new->error_count);
	buf_init(&out);
	(void)conf_keep(new, old, &out);
	EQ(errors, new->error_count);
	TRUE_(in(errors ? &new->errors : &out, why));
	EQ(0, strcmp(conf_text(old, CONF_security_key), conf_text(new, CONF_security_key)));
	EQ(conf_number(old, CONF_security_open), conf_number(new, CONF_security_open));
	EQ(0, strcmp(conf_text(old, CONF_node_client), conf_text(new, CONF_node_client)));
	buf_fini(&out);
	conf_free(&old);
	conf_free(&new);
}

static void a_running_node_gets_no_keys_and_loses_none(void)
{
	static const char keys[] = "[security]\nkey = /k\nclients = /c\n";

	keeps("", keys, 1, "t.conf:5: security.key = /k: this node runs without keys, only a");
	keeps(keys, "", 1, "t.conf:5: security.key = /k is gone: this node runs with keys, only");
	keeps(keys, "[security]\nkey = /l\nclients = /d\n", 0, "security.key = /l (was /k)\n");
	keeps("", "[security]\nopen = yes\n", 0, "security.open = yes (was no)\n");
	keeps("client = tcp://0.0.0.0:4040\n[security]\nopen = yes\n", "", 0,
	      "security.open = no (was yes)\n");
}

UNIT_MAIN(T(loopback_is_told_from_other_addresses),
	  T(without_keys_ports_are_this_machines_unless_that_is_said),
	  T(a_port_that_is_not_listened_on_may_be_anywhere),
	  T(the_gateway_is_this_machines_with_keys_or_without), T(keys_and_clients_go_together),
	  T(open_is_yes_or_no), T(a_file_that_cannot_be_read_is_the_only_error),
	  T(any_source_may_open_it), T(peers_have_keys), T(peers_lines_that_say_too_much),
	  T(each_peer_has_a_key_or_none_has), T(a_key_is_one_peers), T(what_is_printed_reads_back),
	  T(a_running_node_gets_no_keys_and_loses_none))
