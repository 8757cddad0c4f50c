/*
 * Unit tests over CUnit: a program is a list of tests, each a sentence.
 *
 *	program [--list] [NAME...]
 *
 * runs those named (all, if none is), each with its own time limit, and
 * prints a line for each.  Checks abort the test by CUnit's own jump; they print both values.
 */
#ifndef PAIL_UNIT_H
#define PAIL_UNIT_H

#include <CUnit/CUnit.h>
#include <stdint.h>
#include <string.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/* clang-format off */
#define UNIT_MAIN(...)                                                                             \
	static const struct unit_test unit_tests[] = {__VA_ARGS__, {NULL, NULL}};                  \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return unit_main(argc, argv, unit_tests);                                          \
	}
#define T(f) {#f, f}
/* clang-format on */

int unit_main(int argc, char **argv, const struct unit_test *tests);

/* Say what was expected and what was found, and fail. */
void unit_fail(const char *file, int line, const char *what, long long want, long long got);

#define EQ(want, got)                                                \
	do {                                                         \
		long long w_ = (long long)(want);                    \
		long long g_ = (long long)(got);                     \
		if (w_ != g_) {                                      \
			unit_fail(__FILE__, __LINE__, #got, w_, g_); \
			CU_FAIL_FATAL(#got);                         \
		} else {                                             \
			CU_PASS(#got);                               \
		}                                                    \
	} while (0)
#define TRUE_(e)      EQ(1, !!(e))
#define SAME(a, n, s) TRUE_((n) == strlen(s) && memcmp(a, s, n) == 0)

/* A temporary folder of this test program, removed at its end. */
const char *unit_folder(void);

/* A seed for random tests: $PAIL_SEED, or a new one; printed if anything fails. */
uint64_t unit_seed(void);
uint64_t unit_random(uint64_t *state);

#endif
