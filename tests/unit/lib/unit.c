/* The runner of unit tests. */
#include "tests/unit/lib/unit.h"

#include <CUnit/TestRun.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECONDS_MAX 240u

static char folder[64];
static uint64_t seed;

void unit_fail(const char *file, int line, const char *what, long long want, long long got)
{
	(void)printf("# %s:%d: %s is %lld, want %lld\n", file, line, what, got, want);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

const char *unit_folder(void)
{
	if (!*folder) {
		(void)snprintf(folder, sizeof(folder), "/tmp/pail-unit-XXXXXX");
		if (!mkdtemp(folder))
			abort();
	}
	return folder;
}

uint64_t unit_seed(void)
{
	const char *given = getenv("PAIL_SEED");

	if (given)
		seed = strtoull(given, NULL, 10);
	else if (!seed && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
	return seed;
}

uint64_t unit_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return 1;
	return argc < 2;
}

int unit_main(int argc, char **argv, const struct unit_test *tests)
{
	unsigned failed = 0;
	CU_pSuite suite;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (; tests->name; tests++)
			(void)printf("%s\n", tests->name);
		return 0;
	}
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	CU_set_error_action(CUEA_IGNORE);
	suite = CU_add_suite("unit", NULL, NULL);
	for (; tests->name; tests++) {
		CU_pTest t;

		if (!wanted(tests->name, argc, argv))
			continue;
		t = CU_add_test(suite, tests->name, tests->run);
		(void)alarm(SECONDS_MAX);
		(void)CU_run_test(suite, t);
		if (CU_get_number_of_failures()) {
			failed++;
			(void)printf("not ok %s%s", tests->name, seed ? "" : "\n");
			if (seed)
				(void)printf(" (PAIL_SEED=%llu)\n", (unsigned long long)seed);
		} else {
			(void)printf("ok %s\n", tests->name);
		}
	}
	CU_cleanup_registry();
	if (*folder)
		(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed != 0;
}
