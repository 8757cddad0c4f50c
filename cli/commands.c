/* The table of commands. */
#include <stddef.h>

#include "cli/cli.h"

#define RANGE_HELP                                                                     \
	"  --prefix P     only what begins with P\n"                                   \
	"  --after A      only what comes behind A: the last one of the page before\n" \
	"  --limit N      at most so many (1 to 10000, default 100)\n"

static const char buckets_help[] = RANGE_HELP "  --local        of the asked node alone\n";

static const char put_help[] = "  --if-absent    only if there is no such key\n"
			       "  --if-version N only if the key's version is N\n"
			       "  --ttl MS       gone after MS milliseconds\n";

static const char delete_help[] = "  --if-version N only if the key's version is N\n";

static const char scan_help[] = RANGE_HELP "  --from F       from this key on\n"
					   "  --to T         up to this key, without it\n"
					   "  --reverse      from the last to the first\n"
					   "  --keys-only    no values\n";

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
	"worker start ID       one that is down or has failed\n\n"
	"  --all          restart: every worker\n";

static const char upgrade_help[] =
	"The configuration is read again with it.  Same process, same workers, same listening\n"
	"sockets; clients are told to connect again, and no request is lost.  A program or a\n"
	"configuration that is bad changes nothing.  Workers go on with the program they have:\n"
	"`pail worker restart` replaces it.\n\n"
	"  --wait         until the new one serves\n";

static const char bench_help[] =
	"  --clients N    connections (default 4)\n"
	"  --in-flight N  requests in flight, each client (default 256)\n"
	"  --batch N      requests a frame (default 16)\n"
	"  --keys N       key space (default 100000)\n"
	"  --value N      bytes of a value (default 100)\n"
	"  --reads P      percent of gets, the rest durable puts (default 50)\n"
	"  --seconds S    how long (default 5)\n"
	"  --requests N   how many, instead of how long\n"
	"  --rate N       requests a second, all clients together (default: as many as can be)\n"
	"  --load         first put every key once, in order\n"
	"  --keep         leave the bucket; else it is dropped at the end if bench made it\n"
	"  --bucket B     which bucket (default bench)\n"
	"  --buckets N    spread the keys over N of them, B0 and following (default 1: B)\n"
	"  --seed N       of the random keys (default 1)\n";

static const char bench_options[] =
	"clients in-flight batch keys value reads seconds requests rate "
	"load keep bucket buckets seed";

#define ADMIN " (with --config or --admin)"

/* name, arguments, summary, help, options, fewest and most arguments, function */
#define COMMANDS(X)                                                                                \
	X(create, "BUCKET", "make a bucket", "", "", 1, 1)                                         \
	X(drop, "BUCKET", "remove a bucket with all its keys", "", "", 1, 1)                       \
	X(buckets, "", "list buckets", buckets_help, "prefix after limit local", 0, 0)             \
	X(put, "BUCKET KEY [VALUE]",                                                               \
	  "store a value; without VALUE it is read from stdin, byte for byte", put_help,           \
	  "if-absent if-version ttl", 2, 3)                                                        \
	X(get, "BUCKET KEY",                                                                       \
	  "write a value to stdout, byte for byte (a terminal gets a line end)", "", "", 2, 2)     \
	X(delete, "BUCKET KEY", "remove a key", delete_help, "if-version", 2, 2)                   \
	X(scan, "BUCKET", "list keys and values in order", scan_help,                              \
	  "prefix after limit from to reverse keys-only", 1, 1)                                    \
	X(count, "BUCKET", "how many keys a bucket has", "", "", 1, 1)                             \
	X(route, "BUCKET", "which node serves a bucket, and how it is reached", "", "", 1, 1)      \
	X(status, "", "how the node fares", "", "", 0, 0)                                          \
	X(reload, "", "have the node read its configuration again" ADMIN, reload_help, "", 0, 0)   \
	X(worker, "ACTION [ID]", "list, restart, stop or start workers" ADMIN, worker_help, "all", \
	  1, 2)                                                                                    \
	X(upgrade, "", "replace the coordinator by the program on disk" ADMIN, upgrade_help,       \
	  "wait", 0, 0)                                                                            \
	X(shell, "", "commands line by line, with history and completion, or from a pipe", "", "", \
	  0, 0)                                                                                    \
	X(ping, "", "whether the node answers", "", "", 0, 0)                                      \
	X(bench, "", "put a node under load and measure it", bench_help, bench_options, 0, 0)

const struct command commands[] = {
#define X(name, args, summary, help, options, least, most) \
	{#name, args, summary, help, options, least, most, run_##name},
	COMMANDS(X)
#undef X
		{.name = NULL},
};
