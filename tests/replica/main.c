/*
 * The protocol of copies (replica/) in a simulated cluster of five nodes that break in every way
 * that is known; see ring of tests in docs/testing.md.
 *
 *	replica_sim [--seeds N] [--from M] [--jobs J] [--off RULE,...] [--aim AIM,...|none] [--trace]
 *		[--no-cases] [--stop BAD]
 *	replica_sim --controls [--seeds N] [--only RULE,...] [--jobs J]
 *	replica_sim --case NAME --from SEED --trace
 *	replica_sim --list
 *
 * Seeds M .. M+N-1, and the directed cases.  A bad seed is run again with as few faults as still
 * make it bad, and the end of that run is told.  --controls: each rule is taken out, and must be
 * found out by its case or within N seeds.  Exit: 0 all well, 1 not.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "tests/replica/node.h"
#include "tests/replica/run.h"

#define JOBS_MAX   16u
#define BADS_MAX   8u
#define STIRS      6u /* other courses of a run with a fault less, to see it fail once more */
#define LINES_TOLD 80u

uint64_t replica_off;

struct bad {
	uint64_t seed;
	char what[160];
};

/* What a job has found; all of them are in one shared mapping. */
struct tally {
	uint64_t count[COUNT_END];
	double cpu_s;
	uint64_t bads;
	struct bad bad[BADS_MAX];
};

struct options {
	uint64_t seeds, from;
	uint32_t jobs, with;
	uint64_t stop;                   /* so many bad seeds are enough; 0: all */
	uint64_t only;                   /* controls of these rules */
	const struct directed *directed; /* this case alone */
	bool trace, controls, seeds_given, no_cases;
};

static const char *const rule_name[RULE_COUNT] = {
#define X(id, name, text) #name,
	REPLICA_RULES(X)
#undef X
};
static const char *const rule_text[RULE_COUNT] = {
#define X(id, name, text) text,
	REPLICA_RULES(X)
#undef X
};
static const struct plan whole;
static struct tally *tallies;
static volatile uint64_t *enough; /* bad seeds found, by all jobs */

static double seconds(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- many seeds ---- */

static void job(const struct options *o, uint32_t number)
{
	struct tally *t = &tallies[number];
	struct outcome out;
	double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);

	for (uint64_t i = number; i < o->seeds; i += o->jobs) {
		if (o->stop && *enough >= o->stop)
			break;
		run_seed(o->from + i, &whole, o->with, &out);
		for (uint32_t k = 0; k < COUNT_END; k++)
			t->count[k] += out.count[k];
		if (!out.bad)
			continue;
		__atomic_add_fetch(enough, 1, __ATOMIC_SEQ_CST);
		if (t->bads < BADS_MAX) {
			t->bad[t->bads].seed = o->from + i;
			memcpy(t->bad[t->bads].what, out.what, sizeof(out.what));
		}
		t->bads++;
	}
	t->cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
	nodes_free();
}

/* Returns how many seeds are bad; *first is one of them. */
static uint64_t seeds_run(const struct options *o, uint64_t sum[COUNT_END], struct bad *first)
{
	uint64_t bads = 0;
	bool ended_badly = false;

	memset(tallies, 0, JOBS_MAX * sizeof(*tallies));
	*enough = 0;
	if (o->jobs == 1) {
		job(o, 0);
	} else {
		pid_t child[JOBS_MAX];

		(void)fflush(stdout);
		for (uint32_t i = 0; i < o->jobs; i++) {
			child[i] = fork();
			check(child[i] >= 0);
			if (!child[i]) {
				job(o, i);
				_exit(0);
			}
		}
		for (uint32_t i = 0; i < o->jobs; i++) {
			int status;

			check(waitpid(child[i], &status, 0) == child[i]);
			ended_badly |= status != 0;
		}
	}
	memset(sum, 0, COUNT_END * sizeof(*sum));
	first->seed = UINT64_MAX;
	for (uint32_t i = 0; i < o->jobs; i++) {
		bads += tallies[i].bads;
		for (uint32_t k = 0; k < COUNT_END; k++)
			sum[k] += tallies[i].count[k];
		for (uint64_t k = 0; k < tallies[i].bads && k < BADS_MAX; k++)
			if (tallies[i].bad[k].seed < first->seed)
				*first = tallies[i].bad[k];
	}
	if (ended_badly) {
		(void)snprintf(first->what, sizeof(first->what), "a job ended badly");
		bads++;
	}
	return bads;
}

/* ---- a bad seed, with less ---- */

static bool still_bad(uint64_t seed, struct plan *p, uint32_t with)
{
	struct outcome out;

	for (p->jitter = 0; p->jitter < STIRS; p->jitter++) {
		run_seed(seed, p, with, &out);
		if (out.bad)
			return true;
	}
	return false;
}

static void shrink(uint64_t seed, uint32_t with)
{
	struct plan least = whole, p;
	struct outcome out;
	uint32_t left = 0;

	run_seed(seed, &least, with, &out);
	for (bool less = true; less;) {
		less = false;
		p = least;
		p.no_evil = true;
		if (!least.no_evil && still_bad(seed, &p, with)) {
			least = p;
			less = true;
		}
		for (uint32_t i = 0; i < out.faults; i++) {
			p = least;
			p.without |= 1ull << i;
			if (!(least.without >> i & 1u) && still_bad(seed, &p, with)) {
				least = p;
				less = true;
			}
		}
	}
	world.trace = true;
	run_seed(seed, &least, with, &out);
	world.trace = false;
	for (uint32_t i = 0; i < out.faults; i++)
		left += !(least.without >> i & 1u);
	printf("# seed %lu with %u of %u faults%s, course %u: %s\n", seed, left, out.faults,
	       least.no_evil ? "" : " and some at changes", least.jitter, out.what);
	trace_print(LINES_TOLD);
}

/* ---- directed cases ---- */

/* Returns how many of its runs are bad. */
static uint32_t directed_run(const struct directed *d, bool tell, char what[160])
{
	struct outcome out;
	uint32_t bads = 0;

	for (uint64_t seed = 1; seed <= d->runs; seed++) {
		run_directed(d, seed, &out);
		if (!out.bad)
			continue;
		if (!bads++ && what)
			memcpy(what, out.what, sizeof(out.what));
		if (!tell || bads > 1)
			continue;
		printf("# case %s, seed %lu: %s\n", d->name, seed, out.what);
		world.trace = true;
		run_directed(d, seed, &out);
		world.trace = false;
		trace_print(LINES_TOLD);
	}
	return bads;
}

static bool cases_run(void)
{
	bool ok = true;

	for (uint32_t i = 0; i < directed_count; i++) {
		uint32_t bads = directed_run(&directed[i], true, NULL);

		printf("%s case_%s: %s; %u of %u runs bad\n", bads ? "not ok" : "ok",
		       directed[i].name, directed[i].what, bads, directed[i].runs);
		ok &= !bads;
	}
	return ok;
}

/* ---- controls ---- */

/* Where a rule's absence shows soonest: aims, besides those that seeds choose. */
static uint32_t aims_for(enum replica_rule r)
{
	switch (r) {
	case RULE_MATCH:
		return 1u << AIM_HINT;
	case RULE_ACKTERM:
		return 1u << AIM_KILLACK;
	case RULE_STARTED:
		return 1u << AIM_LATEKILL | 1u << AIM_SLOWDISK;
	case RULE_REFLOOR:
		return 1u << AIM_LATEKILL | 1u << AIM_REFUSE | 1u << AIM_SLOWDISK;
	case RULE_LATELOOK:
	case RULE_LEASEEPOCH:
	case RULE_COUNTED:
		return 1u << AIM_STALL;
	case RULE_TOOFEW:
		return 1u << AIM_TIGHT;
	case RULE_LIFE:
		return 1u << AIM_SLOWDISK;
	default:
		return AIMS_BY_SEED;
	}
}

static bool control_run(const struct options *o, enum replica_rule r)
{
	struct options mine = *o;
	uint64_t sum[COUNT_END];
	struct bad first;
	char what[160];

	replica_off = 1ull << r;
	for (uint32_t i = 0; i < directed_count; i++) {
		uint32_t bads;

		if (directed[i].rule != r || !(bads = directed_run(&directed[i], false, what)))
			continue;
		printf("ok control_%s: case %s, %u of %u runs bad: %s\n", rule_name[r],
		       directed[i].name, bads, directed[i].runs, what);
		return true;
	}
	mine.stop = 1;
	mine.with = aims_for(r);
	if (seeds_run(&mine, sum, &first)) {
		printf("ok control_%s: seed %lu of %lu runs%s: %s\n", rule_name[r], first.seed,
		       sum[COUNT_RUNS], mine.with == AIMS_BY_SEED ? "" : ", aimed", first.what);
		return true;
	}
	if (r == RULE_FLOOR) {
		printf("ok control_floor: not found in %lu runs, and redundant: what a new "
		       "primary\n"
		       "# holds and an older one had told of is committed, since an answer waits "
		       "for\n"
		       "# commit; what it holds beyond is told only when it is committed, so "
		       "never\n"
		       "# before its term's first record, which all records of older terms "
		       "precede\n",
		       sum[COUNT_RUNS]);
		return true;
	}
	printf("not ok control_%s: not found in %lu runs (%s)\n", rule_name[r], sum[COUNT_RUNS],
	       rule_text[r]);
	return false;
}

static bool controls_run(const struct options *o)
{
	uint32_t missed = 0;

	for (uint32_t r = 0; r < RULE_COUNT; r++) {
		if (!(o->only >> r & 1u))
			continue;
		missed += !control_run(o, (enum replica_rule)r);
		(void)fflush(stdout);
	}
	replica_off = 0;
	if (missed)
		printf("%u rules were taken out and not missed\n", missed);
	return !missed;
}

/* ---- options ---- */

static uint64_t names_take(char *list, const char *const name[], uint32_t n, const char *what)
{
	uint64_t bits = 0;
	char *at;

	for (char *w = strtok_r(list, ",", &at); w; w = strtok_r(NULL, ",", &at)) {
		uint32_t i = 0;

		while (i < n && strcmp(name[i], w) != 0)
			i++;
		if (i == n) {
			(void)fprintf(stderr, "there is no %s \"%s\"\n", what, w);
			exit(2);
		}
		bits |= 1ull << i;
	}
	return bits;
}

static void list(void)
{
	for (uint32_t r = 0; r < RULE_COUNT; r++)
		printf("rule %-12s %s\n", rule_name[r], rule_text[r]);
#define X(id, name, text) printf("aim  %-12s %s\n", name, text);
	AIMS(X)
#undef X
	for (uint32_t i = 0; i < directed_count; i++)
		printf("case %-12s %s\n", directed[i].name, directed[i].what);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (!*text || *end) {
		(void)fprintf(stderr, "\"%s\" is not a number\n", text);
		exit(2);
	}
	return n;
}

static const struct directed *case_find(const char *name)
{
	for (uint32_t i = 0; i < directed_count; i++)
		if (!strcmp(directed[i].name, name))
			return &directed[i];
	(void)fprintf(stderr, "there is no case \"%s\"\n", name);
	exit(2);
}

static struct options options_take(int argc, char **argv)
{
	static const struct option known[] = {
		{"seeds",    required_argument, NULL, 's'},
		{"from",     required_argument, NULL, 'f'},
		{"jobs",     required_argument, NULL, 'j'},
		{"off",      required_argument, NULL, 'o'},
		{"aim",      required_argument, NULL, 'a'},
		{"only",     required_argument, NULL, 'y'},
		{"stop",     required_argument, NULL, 'p'},
		{"trace",    no_argument,       NULL, 't'},
		{"controls", no_argument,       NULL, 'c'},
		{"list",     no_argument,       NULL, 'l'},
		{"no-cases", no_argument,       NULL, 'n'},
		{"case",     required_argument, NULL, 'd'},
		{NULL,       0,                 NULL, 0  }
        };
	struct options o = {.from = 1, .jobs = 1, .with = AIMS_BY_SEED, .only = UINT64_MAX};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 's')
			o.seeds = number(optarg), o.seeds_given = true;
		else if (c == 'f')
			o.from = number(optarg);
		else if (c == 'j')
			o.jobs = (uint32_t)number(optarg);
		else if (c == 'o')
			replica_off = names_take(optarg, rule_name, RULE_COUNT, "rule");
		else if (c == 'y')
			o.only = names_take(optarg, rule_name, RULE_COUNT, "rule");
		else if (c == 'a')
			o.with = strcmp(optarg, "none")
					 ? (uint32_t)names_take(optarg, aim_name, AIM_COUNT, "aim")
					 : 0;
		else if (c == 'p')
			o.stop = number(optarg);
		else if (c == 'd')
			o.directed = case_find(optarg);
		else if (c == 't')
			o.trace = true;
		else if (c == 'n')
			o.no_cases = true;
		else if (c == 'c')
			o.controls = true;
		else if (c == 'l')
			list(), exit(0);
		else
			exit(2);
	}
	if (optind < argc || o.jobs < 1 || o.jobs > JOBS_MAX) {
		(void)fprintf(stderr, "usage: see the head of tests/replica/main.c\n");
		exit(2);
	}
	return o;
}

static void counts_print(const uint64_t sum[COUNT_END])
{
	printf("#");
	for (uint32_t i = 0; i < COUNT_END; i++)
		printf("%s %s %lu", i ? "," : "", count_name[i], sum[i]);
	printf("\n");
}

/* One seed, all of it told. */
static bool one_told(const struct options *o)
{
	struct outcome out;

	world.trace = world.trace_tell = true;
	if (o->directed)
		run_directed(o->directed, o->from, &out);
	else
		run_seed(o->from, &whole, o->with, &out);
	world.trace = world.trace_tell = false;
	counts_print(out.count);
	printf("%s seed %lu%s%s\n", out.bad ? "not ok" : "ok", o->from, out.bad ? ": " : "",
	       out.what);
	return !out.bad;
}

static bool many(const struct options *o)
{
	uint64_t sum[COUNT_END], bads;
	struct bad first;
	double begin = seconds(CLOCK_MONOTONIC), took, cpu_s = 0;

	bads = seeds_run(o, sum, &first);
	took = seconds(CLOCK_MONOTONIC) - begin;
	for (uint32_t i = 0; i < o->jobs; i++)
		cpu_s += tallies[i].cpu_s;
	counts_print(sum);
	printf("# %.1f s with %u jobs, %.0f runs a second of one core\n", took, o->jobs,
	       (double)sum[COUNT_RUNS] / cpu_s);
	for (uint32_t i = 0; i < o->jobs; i++)
		for (uint64_t k = 0; k < tallies[i].bads && k < BADS_MAX; k++)
			printf("# seed %lu: %s\n", tallies[i].bad[k].seed, tallies[i].bad[k].what);
	if (first.seed != UINT64_MAX)
		shrink(first.seed, o->with);
	printf("%s replica_seeds: %lu to %lu, %lu bad\n", bads ? "not ok" : "ok", o->from,
	       o->from + sum[COUNT_RUNS] - 1, bads);
	return !bads;
}

int main(int argc, char **argv)
{
	struct options o = options_take(argc, argv);
	size_t size = JOBS_MAX * sizeof(*tallies) + sizeof(*enough);
	bool ok;

	tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(tallies != MAP_FAILED);
	enough = (uint64_t *)(tallies + JOBS_MAX);
	if (!checker_holds()) {
		printf("not ok replica_checker\n");
		return 1;
	}
	if (!o.seeds_given)
		o.seeds = o.controls ? 20000 : 1000;
	if (o.controls)
		ok = controls_run(&o);
	else if (o.trace)
		ok = one_told(&o);
	else
		ok = many(&o) & (replica_off || o.no_cases ? true : cases_run());
	nodes_free();
	return ok ? 0 : 1;
}
