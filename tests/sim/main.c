/*
 * Several nodes in one process, on a simulated clock, links and worker processes: hundreds of
 * histories of routed requests in a minute, each of which a seed says.
 *
 *	sim [--list] [--seed N [--trace]] [--runs N] [--from N] [--seconds N] [SCENARIO...]
 *
 * Without --seed: --runs of each scenario with the seeds from --from on, the first of them twice to
 * see that it goes the same way again, and then others by chance, for --seconds in all.  A line for
 * each scenario; a failure names its seed and the command that shows what happened.
 */
#include <ftw.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "common/check.h"
#include "tests/sim/client.h"
#include "tests/sim/history.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/process.h"
#include "tests/sim/system.h"
#include "tests/sim/world.h"

#define WARM_US  (1000 * WORLD_MS)  /* until links are up */
#define LOAD_US  (3000 * WORLD_MS)  /* of requests and faults */
#define DRAIN_US (20000 * WORLD_MS) /* for the rest: more than any request and any link needs */
#define STEP_US  (100 * WORLD_MS)

struct scenario {
	const char *name;
	struct faults faults;
	uint32_t nodes; /* at most */
};

static const struct scenario scenarios[] = {
	{"calm",              {.cuts = false},                      3},
	{"cuts",              {.cuts = true},                       3},
	{"delays",            {.delays = true},                     3},
	{"worker_kills",      {.strains = true, .kills = true},     3},
	{"node_restarts",     {.restarts = true},                   3},
	{"reloads_of_routes", {.strains = true, .reloads = true},   3},
	{"everything",        {true, true, true, true, true, true}, 3},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static char folder[64];
static FILE *out;
static const char *program;
static const char *running;

/* ---- one run ---- */

static bool quiet(char *why, size_t size)
{
	for (uint32_t i = 0; i < cluster.nodes; i++) {
		if (!cluster.node[i].coord) {
			(void)snprintf(why, size, "%s is down", cluster.node[i].name);
			return false;
		}
		if (!node_quiet(&cluster.node[i], why, size))
			return false;
	}
	(void)snprintf(why, size, "%u requests are not answered", clients_wait());
	return !clients_wait();
}

static struct client_habits habits_choose(void)
{
	struct client_habits h = {
		.pause_us = world_between(8, 60) * WORLD_MS,
		.flight_max = (uint32_t)world_between(1, 24),
		.requests_max = (uint32_t)world_between(1, 5),
		.short_percent = world_chance(70) ? 5 : 30,
		.large_percent = world_chance(50) ? 0 : 80,
		.bytes = SIM_BYTES,
		.buckets = (uint32_t)world_between(1, 2),
	};

	if (world_chance(50)) { /* all want the same few things, and quickly */
		h.bytes = (uint32_t)world_between(1, 2);
		h.buckets = 1;
		h.pause_us = world_between(2, 15) * WORLD_MS;
	}
	if (world_chance(15)) /* rings are filled and emptied, however slow their workers are */
		h.short_percent = 100;
	return h;
}

static void run_load(const struct scenario *s)
{
	const struct client_habits habits = habits_choose();
	uint64_t end;
	char why[500];

	world_run(world.now_us + WARM_US);
	clients_open(&habits);
	nemesis_open(&s->faults);
	world_run(world.now_us + LOAD_US);
	nemesis_end();
	clients_hush();
	end = world.now_us + DRAIN_US;
	while (!world.failed && !quiet(why, sizeof(why)) && world.now_us < end)
		world_run(world.now_us + STEP_US);
	if (!world.failed && !quiet(why, sizeof(why)))
		world_fail("not quiet at the end: %s", why);
	if (!world.failed)
		history_check();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* What a run finds is what it has made itself: a folder draws its id when it is new. */
static void folder_clear(void)
{
	(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	check(mkdir(folder, 0700) == 0);
}

/* Returns the hash of all that happened. */
static uint64_t run(const struct scenario *s, uint64_t seed, bool trace)
{
	running = s->name;
	folder_clear();
	system_simulates(true);
	world_open(seed, trace);
	net_open();
	system_open();
	history_open();
	links_open(&s->faults);
	nodes_open(folder, (uint32_t)world_between(2, s->nodes));
	nemesis_tables();
	for (uint32_t i = 0; i < cluster.nodes; i++)
		node_start(&cluster.node[i]);
	run_load(s);
	nodes_close();
	clients_close();
	net_close();
	system_close();
	world_close();
	system_simulates(false);
	return world.hash;
}

/* ---- many ---- */

static struct {
	bool list;
	bool trace;
	bool seeded;
	uint64_t seed;
	uint64_t from;    /* the first seed */
	uint64_t runs;    /* that are always the same, of each scenario */
	uint64_t seconds; /* for others, of all scenarios together */
	char **names;
	int count; /* of scenarios that are named; 0: all */
} wish = {.from = 1, .runs = 6, .seconds = 4};

static struct {
	uint64_t runs;
	uint64_t requests;
	uint64_t events;
} total;

static void blame(const char *scenario, uint64_t seed, const char *what)
{
	(void)fprintf(out, "# %s, seed %llu: %s\n# %s --seed %llu --trace %s\n", scenario,
		      (unsigned long long)seed, what, program, (unsigned long long)seed, scenario);
}

static bool run_one(const struct scenario *s, uint64_t seed)
{
	(void)run(s, seed, wish.trace);
	total.runs++;
	total.requests += history_count();
	total.events += world.events;
	if (world.failed)
		blame(s->name, seed, world.failure);
	return !world.failed;
}

/* A seed is all that a run depends on. */
static bool run_twice(const struct scenario *s, uint64_t seed)
{
	uint64_t hash;

	if (!run_one(s, seed))
		return false;
	hash = world.hash;
	if (!run_one(s, seed))
		return false;
	if (world.hash != hash)
		blame(s->name, seed, "the second time it went another way");
	return world.hash == hash;
}

static bool run_many(const struct scenario *s, uint64_t until_ms, uint64_t *fresh)
{
	bool good = run_twice(s, wish.from);

	for (uint64_t i = 1; i < wish.runs && good; i++)
		good = run_one(s, wish.from + i);
	do
		good = good && (!wish.seconds || run_one(s, ++*fresh));
	while (good && system_real_ms() < until_ms);
	return good;
}

static void blame_running(void)
{
	blame(running, world.seed, "it ended badly");
	(void)fprintf(out, "not ok %s\n", running);
	(void)fflush(out);
}

static void aborted(int number)
{
	blame_running();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static bool is_wished(const char *name)
{
	for (int i = 0; i < wish.count; i++)
		if (!strcmp(name, wish.names[i]))
			return true;
	return !wish.count;
}

static int scenarios_run(void)
{
	uint64_t fresh = wish.seconds ? system_real_random() >> 16 : 0;
	uint64_t begun_ms = system_real_ms();
	uint64_t chosen = 0;
	uint64_t done = 0;
	uint64_t ms;
	int status = 0;

	for (size_t i = 0; i < SCENARIOS; i++)
		chosen += is_wished(scenarios[i].name);
	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *s = &scenarios[i];
		bool good;

		if (!is_wished(s->name))
			continue;
		done++;
		good = wish.seeded ? run_one(s, wish.seed)
				   : run_many(s, system_real_ms() + wish.seconds * 1000 / chosen,
					      &fresh);
		(void)fprintf(out, "%s %s\n", good ? "ok" : "not ok", s->name);
		status |= !good;
	}
	ms = system_real_ms() - begun_ms;
	(void)fprintf(out, "# %llu runs of %llu requests and %llu events: %llu a minute\n",
		      (unsigned long long)total.runs, (unsigned long long)total.requests,
		      (unsigned long long)total.events,
		      (unsigned long long)(total.runs * 60000 / (ms ? ms : 1)));
	return done ? status : 2;
}

static int usage(void)
{
	(void)fprintf(stderr,
		      "usage: %s [--list] [--seed N [--trace]] [--runs N] [--from N] [--seconds N] "
		      "[SCENARIO]...\n",
		      program);
	return 2;
}

static bool options_read(int argc, char **argv)
{
	static const struct option options[] = {
		{"list",    no_argument,       NULL, 'l'},
		{"trace",   no_argument,       NULL, 't'},
		{"seed",    required_argument, NULL, 's'},
		{"runs",    required_argument, NULL, 'r'},
		{"from",    required_argument, NULL, 'b'},
		{"seconds", required_argument, NULL, 'f'},
		{NULL,      0,                 NULL, 0  },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (o == 'l')
			wish.list = true;
		else if (o == 't')
			wish.trace = true;
		else if (o == 's')
			wish.seed = n;
		else if (o == 'r')
			wish.runs = n;
		else if (o == 'b')
			wish.from = n;
		else if (o == 'f')
			wish.seconds = n;
		else
			return false;
		wish.seeded |= o == 's';
	}
	wish.names = argv + optind;
	wish.count = argc - optind;
	return true;
}

int main(int argc, char **argv)
{
	int status;

	program = argv[0];
	if (!options_read(argc, argv))
		return usage();
	if (wish.list) {
		for (size_t i = 0; i < SCENARIOS; i++)
			(void)printf("%s\n", scenarios[i].name);
		return 0;
	}
	/* Tables that stay mostly empty come zeroed from the kernel, and are not written first. */
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	/* What nodes print when they are ready goes nowhere. */
	out = fdopen(dup(STDOUT_FILENO), "w");
	check(out && freopen("/dev/null", "w", stdout));
	(void)setvbuf(out, NULL, _IOLBF, 0);
	(void)signal(SIGABRT, aborted);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_set_death_callback(blame_running);
#else
	(void)signal(SIGSEGV, aborted);
#endif
	(void)snprintf(folder, sizeof(folder), "/tmp/pail-sim-XXXXXX");
	check(mkdtemp(folder));
	status = scenarios_run();
	(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return status == 2 ? usage() : status;
}
