/*
 * What a function costs beside the bucket's own work: an empty one, a counter on a bucket that is
 * one variable, one that takes and gives a map, a loop of 10,000 rounds, and a call in a new
 * sandbox.  In time of the processor, so that what else the machine does matters less.
 *
 *	functions [TIMES]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "functions/functions.h"

static char value[64] = "0";
static size_t value_len = 1;

static enum functions_done get(void *arg, struct span key, struct functions_item *ret,
			       struct functions_error *e)
{
	(void)arg;
	(void)key;
	(void)e;
	ret->value = (struct span){value, value_len};
	ret->version = 1;
	return FUNCTIONS_DONE;
}

static enum functions_done put(void *arg, struct span key, struct span v, uint64_t ttl_ms,
			       const struct functions_condition *c, struct functions_item *ret,
			       struct functions_error *e)
{
	(void)arg;
	(void)key;
	(void)ttl_ms;
	(void)c;
	(void)e;
	value_len = v.n < sizeof(value) ? v.n : sizeof(value);
	memcpy(value, v.p, value_len);
	ret->version = 2;
	return FUNCTIONS_DONE;
}

static const struct functions_ops ops = {.get = get, .put = put};

static const char source[] = "local M = {}\n"
			     "function M.empty() end\n"
			     "function M.counter(bucket)\n"
			     "	local n = math.tointeger(tonumber(bucket:get('n') or '0')) + 1\n"
			     "	bucket:put('n', tostring(n))\n"
			     "	return n\n"
			     "end\n"
			     "function M.map(bucket, a) a.b = a.b + 1 return a end\n"
			     "function M.loop() for i = 1, 10000 do end end\n"
			     "function M.endless() while true do end end\n"
			     "return M\n";

static double cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(struct functions *f, const char *function, const char *args, unsigned times)
{
	static char room[4096];
	struct functions_reply r = {.result = room, .result_size = sizeof(room)};
	const struct functions_request q = {.module = span_of("m"),
					    .function = span_of(function),
					    .bucket = span_of("b"),
					    .args = args,
					    .ops = &ops};
	double best = 1e18;

	for (int round = 0; round < 5; round++) {
		double start = cpu_ns();
		double ns;

		for (unsigned i = 0; i < times; i++)
			if (functions_call(f, &q, &r) != FUNCTIONS_OK) {
				(void)fprintf(stderr, "functions: %s\n", r.why);
				exit(1);
			}
		ns = (cpu_ns() - start) / times;
		best = ns < best ? ns : best;
	}
	(void)printf("%-8s %8.0f ns\n", function, best);
}

/* A sandbox thrown away by a call that ran too long, and the call after it. */
static void measure_new(struct functions *f)
{
	static char room[64];
	struct functions_reply r = {.result = room, .result_size = sizeof(room)};
	struct functions_request q = {
		.module = span_of("m"), .bucket = span_of("b"), .args = "\x90", .ops = &ops};
	double best = 1e18;

	for (int round = 0; round < 20; round++) {
		double start;

		q.function = span_of("endless");
		(void)functions_call(f, &q, &r);
		q.function = span_of("empty");
		start = cpu_ns();
		(void)functions_call(f, &q, &r);
		start = cpu_ns() - start;
		best = start < best ? start : best;
	}
	(void)printf("%-8s %8.0f ns\n", "new", best);
}

int main(int argc, char **argv)
{
	const struct functions_config c = {
		.node = "bench", .time_ms = 1000, .memory_bytes = 64u << 20, .value_max = 8u << 20};
	struct functions_config hasty = c;
	const struct functions_source s = {
		"m", {source, sizeof(source) - 1}
        };
	unsigned times = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200000;
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	hasty.time_ms = 1;
	if (functions_new(&c, &s, 1, &f, why, sizeof(why)) < 0) {
		(void)fprintf(stderr, "functions: %s\n", why);
		return 1;
	}
	measure(f, "empty", "\x90", times);
	measure(f, "counter", "\x90", times);
	measure(f, "map",
		"\x91\x82\xa1"
		"a\x01\xa1"
		"b\x02",
		times);
	measure(f, "loop", "\x90", times / 100 + 1);
	functions_free(&f);
	if (functions_new(&hasty, &s, 1, &f, why, sizeof(why)) < 0)
		return 1;
	measure_new(f);
	functions_free(&f);
	return 0;
}
