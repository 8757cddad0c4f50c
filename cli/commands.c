/* The tables of commands, options and exit statuses. */
#include "cli/cli.h"

#include <stdint.h>

#include "include/wire.h"

/* ---- commands ---- */

static const char put_help[] = "VALUE and KEY are taken as they are typed; behind -- they may "
			       "begin with -.  In a shell VALUE\n"
			       "must be given.\n";

static const char get_help[] = "In a shell and at a terminal a line end follows the value.\n";

static const char head_help[] = "With -o raw three words: bytes, version, and milliseconds or -.\n";

static const char touch_help[] = "Its value stays and is not written again; its version is a new "
				 "one.\n";

static const char scan_help[] =
	"It stops after --limit keys and says so on stderr, unless --all is given.  With --all "
	"one\n"
	"page after the other is asked for: each page is one moment, the whole is not.\n";

static const char buckets_help[] =
	"It stops after --limit names and says so on stderr, unless --all is given.\n";

static const char top_help[] =
	"Requests and their times between two looks, workers, links to other nodes, the last "
	"events.\n"
	"On a terminal until q or ^C; a node that goes away is waited for.  Into a pipe, or with\n"
	"--once, one look as text; with -o json the figures as an object a line, for ever without\n"
	"--once.\n"
	"\n"
	"Times are upper bounds of what they were counted in, at most an eighth too high.  reads "
	"are\n"
	"get, head, scan, count and buckets, writes put, delete, touch, create, drop, txn and "
	"call.\n";

static const char events_help[] =
	"Starts, stops, reloads, upgrades, workers that die or are replaced, links, the cluster,\n"
	"clients that were cut off: the last 256, oldest first.  With --follow on and on, over a\n"
	"restart of the node too, until ^C.  As JSON: an array, with --follow an object a line.\n";

static const char txn_help[] =
	"A script is lines, read from stdin or given as arguments.  All of it happens at one "
	"moment, "
	"or\n"
	"nothing does.  Conditions come first; if all hold, what follows is run, else what is "
	"behind\n"
	"`else`.  Later lines see what earlier ones did.\n\n"
	"  if KEY version REL N       REL is = != < or >; version 0: there is no such key\n"
	"  if KEY value REL VALUE     byte for byte; of a missing key only != holds\n"
	"  put KEY VALUE [ttl MS]     gone after MS milliseconds; without ttl it lives for ever\n"
	"  touch KEY [ttl MS]         the key lives on, for MS milliseconds or for ever\n"
	"  delete KEY\n"
	"  get KEY\n"
	"  scan [prefix P] [from F] [to T] [after A] [limit N] [reverse] [keys-only] [ttl]\n"
	"  count                      how many keys the bucket has\n"
	"  else                       what is behind it is run if a condition did not hold\n\n"
	"Words are parted by blanks; quotes of either kind hold them together; outside of single "
	"quotes\n"
	"\\xNN is the byte NN, and a backslash takes what follows as it is.  A line that begins "
	"with # "
	"is\n"
	"for people.  With -o raw the first line is true or false (whether the conditions held), "
	"then "
	"come\n"
	"the results: a version, - for a key that is not there, true or false for a delete, "
	"version, "
	"tab\n"
	"and value for a get, and for a scan the number of keys, then a line for each.\n\n"
	"  pail txn shop <<END\n"
	"  if stock version = 7\n"
	"  put stock 2\n"
	"  put \"sold to ann\" 1\n"
	"  else\n"
	"  get stock\n"
	"  END\n\n"
	"If the conditions did not hold the exit status is 8, with or without `else`.\n";

static const char call_help[] =
	"FUNCTION of MODULE runs on the node that serves the bucket, which need not exist, as one\n"
	"transaction; `pail functions` lists what there is.\n\n"
	"An ARGUMENT is a JSON value: 3, 2.5, true, null, \"text\", [1,2], {\"a\":1}.  One that "
	"cannot "
	"be\n"
	"(it begins with none of { [ \" - and digits, and is not true, false or null) is a string "
	"as it "
	"is\n"
	"typed; with --raw all are.  Arguments that begin with - come behind --.\n\n"
	"The result is shown as JSON.  Bytes that are no UTF-8 text come as base64 (RFC 4648): as\n"
	"{\"base64\":\"...\"}, and in a map under the name with _base64 behind it.  NaN and "
	"infinities "
	"are\n"
	"null.  With -o json it is the member result of an object, with -o raw a string is byte "
	"for\n"
	"byte what the function returned.\n\n"
	"  pail call shop counter add visits 1\n";

static const char functions_help[] = "Those that the asked node has accepted, and would run for "
				     "the buckets that it serves; nodes\n"
				     "that show the same digest have the same. Below them, whether "
				     "its peers do, as each has told\n"
				     "it last.\n";

static const char export_help[] =
	"Of one bucket, or of all that the node can reach, while it serves: each page (at most\n"
	"1 MiB) is one moment, the whole is not.  What is put, deleted or expires meanwhile may be "
	"in\n"
	"it or not.  Progress is shown on stderr if that is a terminal.\n\n"
	"Each line of the output is a JSON object:\n"
	"  {\"export\":{\"version\":1,\"scope\":S}}   the first: an export begins.  S: what it is "
	"of, by which\n"
	"                                          --resume knows whether it may go on with it\n"
	"  {\"bucket\":B}                            the keys behind it are of this bucket\n"
	"  {\"key\":K,\"value\":V,\"ttl\":MS}            a key; ttl: milliseconds it had left when "
	"it\n"
	"                                          was read, absent if it lives for ever\n"
	"  {\"end\":{\"buckets\":N,\"keys\":N,\"time\":T}} the last line: the output is whole; T: "
	"unix ms\n"
	"                                          of its begin\n"
	"B, K and V are strings of UTF-8 text.  Bytes that are none come as base64 (RFC 4648) in\n"
	"bucket_base64, key_base64 and value_base64 instead.  Versions are not exported: the keys "
	"get\n"
	"new ones where they are imported.\n\n"
	"An export that was cut short: --resume FILE goes on behind its last whole line, and "
	"appends\n"
	"to FILE.  To move a bucket to a node B that does not know A:\n"
	"  pail --node A export b | pail --node B import && pail --node A drop b\n"
	"Never so where B's table sends b to A: the import would find all of it there, and the\n"
	"drop remove the only copy.  operations.md tells how it moves with the tables.\n";

static const char import_help[] =
	"It reads what `pail export` writes (see `pail export --help`), makes the buckets that it\n"
	"names, and puts its keys.  A key that is there already, and not the same, is a conflict:\n"
	"nothing is overwritten without --replace.  So an import that was cut short can be begun\n"
	"again: what is there already is counted, not written.  A time to live counts on from the\n"
	"import.  The line without which the input is not whole, its last, must come: else it is "
	"an\n"
	"error, exit status 1, with all of the lines before it imported.\n"
	"Progress is shown on stderr if that is a terminal.\n";

static const char reload_help[] =
	"Routes, peers and the settings that --help of paild marks [reload] change at once, or, "
	"if\n"
	"anything is wrong, nothing does.  No request fails.  What needs a restart is named.\n";

static const char worker_help[] =
	"worker list           the workers, their states and figures\n"
	"worker restart [ID]   by the program on disk, without a pause; all of them, one after "
	"the\n"
	"                      other, without ID or with --all.  A successor that cannot start\n"
	"                      leaves the old one serving\n"
	"worker stop ID        requests for its buckets are busy until it is started\n"
	"worker start ID       one that is down or has failed\n";

static const char upgrade_help[] =
	"The configuration is read again with it.  Same process, same workers, same listening\n"
	"sockets; clients are told to connect again, and no request is lost.  A program or a\n"
	"configuration that is bad changes nothing.  Workers go on with the program they have:\n"
	"`pail worker restart` replaces it.\n";

static const char cluster_help[] =
	"cluster create NODE...  the first copies of all partitions, --factor of each, on these "
	"nodes.  Each\n"
	"                        runs, and has the cluster's name in its configuration.  Once "
	"begun and\n"
	"                        cut short it goes on when it is asked for again\n"
	"cluster status          whether all is well, and what each node has: partitions that it "
	"leads,\n"
	"                        copies, how many of them are in sync and how many are learning\n"
	"cluster drain NODE      the asked node, which is NODE, hands over all that it leads, and "
	"takes\n"
	"                        nothing over until --off, or until it is started anew\n";

static const char shell_help[] =
	"At a terminal lines can be edited, found again (^R) and completed (TAB); ^C leaves a "
	"line, or\n"
	"ends the wait for a command.  Words are parted by blanks; quotes of either kind hold "
	"them\n"
	"together; outside of single quotes \\xNN is the byte NN, and a backslash takes what "
	"follows as\n"
	"it is.  `node ENDPOINT` asks another node from then on; `exit` leaves.  From a pipe each\n"
	"command's result ends in a line end, and the exit status is that of the last one that "
	"failed.\n"
	"History: $PAIL_HISTORY, or ~/.pail_history.\n";

static const char whoami_help[] = "A node without keys knows nobody: all that reach it may "
				  "everything.  With -o raw a name, or\n"
				  "-, then the rights, a line each.\n";

static const char key_help[] =
	"key new NAME          a new pair for NAME into NAME.key, or --file, which nobody else "
	"may\n"
	"                      read; never over a file that is there.  Shows the line for the "
	"file\n"
	"                      of clients of the node, to be completed by what NAME may: RIGHT is\n"
	"                      read, write, create, call or admin, a colon, and a bucket, the\n"
	"                      beginning of one with * behind it, or *\n"
	"key show FILE         name and public key of a key file, never the secret one\n"
	"A client also needs the node's public key: by --node-key in its own key file, or in a\n"
	"context.\n";

static const char context_help[] =
	"context add NAME      a name for --endpoint, with --key and --node-key if the nodes "
	"there\n"
	"                      have keys\n"
	"context use NAME      taken from now on where no node is named\n"
	"context list          all of them, the one in use marked with *\n"
	"context remove NAME   forget it; its key file stays\n"
	"An option goes before the environment (PAIL_NODE, PAIL_KEY, PAIL_CONTEXT), and that "
	"before\n"
	"the context in use, which counts only where no node is named.  They are kept in\n"
	"$XDG_CONFIG_HOME/pail/contexts, or else in ~/.config/pail/contexts.\n";

static const char status_help[] =
	"For people: what is wrong, a sentence each, or that all is well; then the node, its "
	"workers,\n"
	"the other nodes, and the rest.  For programs (-o json): what the node said.\n";

static const char bench_help[] =
	"^C ends it early, with the figures so far.  It marks the buckets that it makes, and "
	"refuses\n"
	"others; those that it made are dropped at the end, also after ^C, without --keep.\n";

#define ADMIN " (with --config or --admin)"
#define RANGE "prefix after limit"
#define AGAIN "retry no-retry"

/* name, arguments, summary, help, options, fewest and most arguments, function */
#define COMMANDS(X)                                                                                \
	X(create, "BUCKET", "make a bucket", "", AGAIN " escapes", 1, 1)                           \
	X(drop, "BUCKET", "remove a bucket with all its keys", "", AGAIN " escapes", 1, 1)         \
	X(buckets, "", "list buckets", buckets_help, RANGE " all local hex escapes", 0, 0)         \
	X(put, "BUCKET KEY [VALUE]",                                                               \
	  "store a value; without VALUE it is read from stdin, byte for byte", put_help,           \
	  "if-absent if-version ttl " AGAIN " hex escapes", 2, 3)                                  \
	X(get, "BUCKET KEY", "write a value to stdout, byte for byte", get_help,                   \
	  AGAIN " hex escapes", 2, 2)                                                              \
	X(head, "BUCKET KEY", "a value's size and version, and what is left to live", head_help,   \
	  AGAIN " hex escapes", 2, 2)                                                              \
	X(touch, "BUCKET KEY", "a key lives on: for --ttl from now, or for ever", touch_help,      \
	  "if-version ttl " AGAIN " hex escapes", 2, 2)                                            \
	X(delete, "BUCKET KEY", "remove a key", "", "if-version " AGAIN " hex escapes", 2, 2)      \
	X(scan, "BUCKET", "list keys and values in order", scan_help,                              \
	  RANGE " all from to reverse keys-only ttl hex escapes", 1, 1)                            \
	X(count, "BUCKET", "how many keys a bucket has", "", AGAIN " escapes", 1, 1)               \
	X(txn, "BUCKET [LINE...]",                                                                 \
	  "several operations at one moment, or none: a script from stdin", txn_help,              \
	  AGAIN " escapes", 1, CLI_ARGS_MAX)                                                       \
	X(call, "BUCKET MODULE FUNCTION [ARGUMENT...]", "run a function where the bucket is",      \
	  call_help, "raw " AGAIN " escapes", 3, CLI_ARGS_MAX)                                     \
	X(export, "[BUCKET]", "write a bucket, or all, as lines of JSON", export_help,             \
	  "prefix local resume escapes", 0, 1)                                                     \
	X(import, "[FILE]", "put what was exported; without FILE from stdin", import_help,         \
	  "as replace escapes", 0, 1)                                                              \
	X(route, "BUCKET", "which node serves a bucket, and how it is reached", "", "escapes", 1,  \
	  1)                                                                                       \
	X(status, "", "how the node fares", status_help, "", 0, 0)                                 \
	X(top, "", "what the node does, as it does it", top_help, "once interval", 0, 0)           \
	X(events, "", "what has happened to the node", events_help, "follow limit", 0, 0)          \
	X(functions, "", "the functions that a node has" ADMIN, functions_help, "", 0, 0)          \
	X(reload, "", "have the node read its configuration again" ADMIN, reload_help, "", 0, 0)   \
	X(worker, "ACTION [ID]", "list, restart, stop or start workers" ADMIN, worker_help, "all", \
	  1, 2)                                                                                    \
	X(upgrade, "", "replace the coordinator by the program on disk" ADMIN, upgrade_help,       \
	  "wait", 0, 0)                                                                            \
	X(cluster, "ACTION [NODE...]", "create a cluster, look at it, drain a node of it" ADMIN,   \
	  cluster_help, "factor min-copies keep off", 1, CLI_ARGS_MAX)                             \
	X(shell, "", "commands line by line, with history and completion, or from a pipe",         \
	  shell_help, "", 0, 0)                                                                    \
	X(ping, "", "whether the node answers", "", "", 0, 0)                                      \
	X(whoami, "", "who the node takes this client for, and what it may", whoami_help, "", 0,   \
	  0)                                                                                       \
	X(key, "ACTION NAME", "make a pair of keys, or show whose one is", key_help,               \
	  "file node-key", 2, 2)                                                                   \
	X(context, "ACTION [NAME]", "names for nodes and the keys they take", context_help,        \
	  "endpoint node-key", 1, 2)                                                               \
	X(bench, "", "put a node under load and measure it", bench_help,                           \
	  "clients in-flight batch keys value reads seconds requests rate load keep bucket "       \
	  "buckets seed retry",                                                                    \
	  0, 0)                                                                                    \
	X(help, "[COMMAND]", "what commands there are, or what one does", "", "", 0, 1)

const struct command commands[] = {
#define X(name, args, summary, help, options, least, most) \
	{#name, args, summary, help, options, least, most, run_##name},
	COMMANDS(X)
#undef X
		{.name = NULL},
};

/* ---- options ---- */

#define AT(member) offsetof(struct cli, member)

/* A flag, a text, a number: all of what most rows have. */
#define FLAG(n, o, member, h)                                                             \
	{                                                                                 \
		.name = n, .only = o, .help = h, .kind = OPTION_FLAG, .place = AT(member) \
	}
#define TEXT(n, o, v, w, member, h)                                                               \
	{                                                                                         \
		.name = n, .only = o, .value = v, .otherwise = w, .help = h, .kind = OPTION_TEXT, \
		.place = AT(member)                                                               \
	}
#define TEXT_COMMON(n, v, w, member, h)                                           \
	{                                                                         \
		.name = n, .common = true, .value = v, .otherwise = w, .help = h, \
		.kind = OPTION_TEXT, .place = AT(member)                          \
	}
#define BYTES(n, o, v, w, member, h)                                                               \
	{                                                                                          \
		.name = n, .only = o, .value = v, .otherwise = w, .help = h, .kind = OPTION_BYTES, \
		.place = AT(member)                                                                \
	}
#define NUMBER(n, o, v, lo, hi, w, k, member, h)                                           \
	{                                                                                  \
		.name = n, .only = o, .value = v, .least = lo, .most = hi, .otherwise = w, \
		.help = h, .kind = k, .place = AT(member)                                  \
	}

/* clang-format off */
const struct option_row option_rows[] = {
	{.name = "node", .common = true, .value = "E", .otherwise = "$PAIL_NODE, the context's, or " WIRE_ENDPOINT_DEFAULT,
	 .help = "the node's endpoint, HOST:PORT; or several, with commas: tried in turn", .kind = OPTION_NODE, .place = AT(node)},
	{.name = "config", .common = true, .value = "FILE",
	 .help = "the node that FILE configures, through its admin socket", .kind = OPTION_TEXT, .place = AT(config)},
	{.name = "admin", .common = true, .value = "E",
	 .help = "the same by the socket's endpoint, ipc://PATH", .kind = OPTION_NODE, .place = AT(node)},
	TEXT_COMMON("key", "FILE", "$PAIL_KEY, or the context's", key, "the key file to come with"),
	TEXT_COMMON("context", "NAME", "$PAIL_CONTEXT, or the one in use", context, "the context: see pail context --help"),
	{.name = "timeout", .common = true, .value = "MS", .least = 1, .most = WIRE_TIMEOUT_MS_MAX, .otherwise = "5000",
	 .help = "give up after so long", .kind = OPTION_UNSIGNED, .place = AT(q.timeout_ms)},
	{.name = "output", .letter = 'o', .common = true, .value = "FORM",
	 .help = "table, json or raw", .kind = OPTION_FORM, .place = AT(output)},
	{.name = "help", .letter = 'h', .common = true, .help = "this; also `pail help COMMAND`", .kind = OPTION_HELP},
	{.name = "version", .letter = 'V', .common = true, .help = "the program's version", .kind = OPTION_VERSION},

	FLAG("if-absent", NULL, q.if_absent, "only if there is no such key"),
	NUMBER("if-version", NULL, "N", 0, UINT64_MAX, NULL, OPTION_IF_VERSION, q.if_version, "only if the key's version is N"),
	NUMBER("ttl", "put", "MS", 1, UINT64_MAX, "for ever", OPTION_LONG, q.ttl_ms, "gone after MS milliseconds"),
	NUMBER("ttl", "touch", "MS", 1, UINT64_MAX, "for ever", OPTION_LONG, q.ttl_ms, "gone after MS milliseconds"),
	FLAG("ttl", "scan", q.with_ttl, "show what each key has left to live"),
	BYTES("prefix", "export", "P", NULL, q.prefix, "only buckets whose names begin with P"),
	BYTES("prefix", NULL, "P", NULL, q.prefix, "only what begins with P"),
	BYTES("after", NULL, "A", NULL, q.after, "only what comes behind A: the last one of the page before"),
	NUMBER("limit", "events", "N", 1, 256, "all that are kept", OPTION_UNSIGNED, q.limit, "the newest N"),
	NUMBER("limit", NULL, "N", 1, WIRE_SCAN_LIMIT_MAX, "100", OPTION_UNSIGNED, q.limit, "at most so many"),
	FLAG("all", "worker", all, "restart: every worker"),
	FLAG("all", NULL, all, "all there are, page by page (then --limit is a page's)"),
	BYTES("from", NULL, "F", NULL, q.from, "from this key on"),
	BYTES("to", NULL, "T", NULL, q.to, "up to this key, without it"),
	FLAG("reverse", NULL, q.reverse, "from the last to the first"),
	FLAG("keys-only", NULL, q.keys_only, "no values"),
	FLAG("local", NULL, q.local, "of the asked node alone"),
	{.name = "hex", .letter = 'x', .help = "keys and bounds are hexadecimal digits, two a byte", .kind = OPTION_FLAG,
	 .place = AT(hex)},
	{.name = "escapes", .letter = 'e', .help = "in names, keys, values and bounds \\xNN is the byte NN, \\\\ a backslash",
	 .kind = OPTION_FLAG, .place = AT(escapes)},
	FLAG("retry", "bench", retry, "writes in sessions, and all is sent again that has no outcome yet"),
	FLAG("retry", NULL, retry, "send again what has no outcome yet, until the time is over: of writes the default"),
	FLAG("no-retry", NULL, no_retry, "send nothing twice"),
	FLAG("raw", "call", raw, "arguments are strings as they are typed"),
	NUMBER("factor", NULL, "N", 1, 8, NULL, OPTION_UNSIGNED, factor, "create: copies of each partition"),
	NUMBER("min-copies", NULL, "N", 1, 8, "1 of one or two, else 2", OPTION_UNSIGNED, min_copies,
	       "create: writes are refused while fewer copies are in sync"),
	TEXT("keep", "cluster", "NODE", NULL, keep_node, "create: what NODE has is kept, the others learn it"),
	FLAG("off", NULL, off, "drain: NODE may lead again"),
	FLAG("follow", NULL, follow, "go on with those that come"),
	FLAG("once", NULL, once, "one look, and the end"),
	NUMBER("interval", NULL, "S", 1, 3600, "2, with --once 1", OPTION_UNSIGNED, interval, "seconds between looks"),
	FLAG("wait", NULL, wait, "until the new one serves"),

	TEXT("resume", NULL, "FILE", NULL, file, "go on with FILE, an export that was cut short"),
	BYTES("as", NULL, "BUCKET", NULL, as, "import one bucket under this name"),
	FLAG("replace", NULL, replace, "overwrite keys that are there with another value"),

	TEXT("endpoint", NULL, "E", NULL, endpoint, "where the nodes are: HOST:PORT, or several with commas"),
	TEXT("node-key", "key", "KEY", NULL, node_key, "new: the public key of the node that it is for"),
	TEXT("node-key", NULL, "KEY", NULL, node_key, "the nodes' public key; two, with a comma between, while it changes"),
	TEXT("file", NULL, "FILE", "NAME.key", file, "new: where to"),

	NUMBER("clients", NULL, "N", 1, 1000, "4", OPTION_UNSIGNED, clients, "connections"),
	NUMBER("in-flight", NULL, "N", 1, 1000000, "256", OPTION_UNSIGNED, in_flight, "requests in flight, each client"),
	NUMBER("batch", NULL, "N", 1, WIRE_REQUESTS_MAX, "16", OPTION_UNSIGNED, batch, "requests a frame"),
	NUMBER("keys", NULL, "N", 1, 1000000000, "100000", OPTION_LONG, keys, "key space"),
	NUMBER("value", NULL, "N", 0, WIRE_VALUE_MAX, "100", OPTION_LONG, value_bytes, "bytes of a value"),
	NUMBER("reads", NULL, "P", 0, 100, "50", OPTION_UNSIGNED, read_percent, "percent of gets, the rest durable puts"),
	NUMBER("seconds", NULL, "S", 1, 1000000, "5", OPTION_UNSIGNED, seconds, "how long"),
	NUMBER("requests", NULL, "N", 1, UINT64_MAX, NULL, OPTION_LONG, requests, "how many, instead of how long"),
	NUMBER("rate", NULL, "N", 1, 1000000000, "as many as can be", OPTION_LONG, rate,
	       "requests a second, all clients together"),
	FLAG("load", NULL, load, "first put every key once, in order"),
	FLAG("keep", "bench", keep, "leave the buckets"),
	TEXT("bucket", NULL, "B", "bench", bucket, "which bucket"),
	NUMBER("buckets", NULL, "N", 1, 1000, "1: B", OPTION_UNSIGNED, buckets, "spread the keys over N of them, B0 and following"),
	NUMBER("seed", NULL, "N", 0, UINT64_MAX, "1", OPTION_LONG, seed, "of the random keys"),
	{.name = NULL},
};
/* clang-format on */

const struct exit_status exit_statuses[] = {
	{CLI_OK,          "done"						   },
	{CLI_FAILED,      "failed"						 },
	{CLI_USAGE,       "wrong usage"					    },
	{CLI_NOT_FOUND,   "not found"					      },
	{CLI_UNREACHABLE, "node unreachable"                                       },
	{CLI_UNKNOWN,     "timeout, or a fault of the node: the outcome is unknown"},
	{CLI_CONFLICT,    "condition did not hold"                                 },
	{CLI_CONFIG,      "wrong configuration"                                    },
	{0,	       NULL						     },
};
