/* Sizes, counts, durations and dates, and lines that fit. */
#include <locale.h>
#include <stdlib.h>
#include <time.h>

#include "cli/human.h"
#include "common/buf.h"
#include "tests/unit/lib/unit.h"

static char out[HUMAN_MAX];

#define SAYS(want, got) EQ(0, strcmp(want, got))

static void sizes_have_the_largest_unit_that_fits(void)
{
	SAYS("0 B", human_bytes(0, out));
	SAYS("1023 B", human_bytes(1023, out));
	SAYS("1 KiB", human_bytes(1024, out));
	SAYS("1.5 KiB", human_bytes(1536, out));
	SAYS("9.9 KiB", human_bytes(10137, out));
	SAYS("10 KiB", human_bytes(10240, out));
	SAYS("1023 KiB", human_bytes((1u << 20) - 1024, out));
	SAYS("1 MiB", human_bytes((1u << 20) - 1, out)); /* and not 1024 KiB */
	SAYS("64 MiB", human_bytes(64u << 20, out));
	SAYS("16 EiB", human_bytes(UINT64_MAX, out));
}

static void counts_are_exact_while_they_are_short(void)
{
	SAYS("0", human_count(0, out));
	SAYS("99999", human_count(99999, out));
	SAYS("100 k", human_count(100000, out));
	SAYS("999 k", human_count(999499, out));
	SAYS("1 M", human_count(999500, out));
	SAYS("1.5 M", human_count(1549999, out));
	SAYS("3 M", human_count(3000000, out));
	SAYS("18 E", human_count(UINT64_MAX, out));
}

static void durations_have_two_units(void)
{
	SAYS("0 ms", human_ms(0, out));
	SAYS("999 ms", human_ms(999, out));
	SAYS("1 s", human_ms(1999, out));
	SAYS("59 s", human_ms(59999, out));
	SAYS("1 min", human_ms(60000, out));
	SAYS("5 min 12 s", human_ms(312000, out));
	SAYS("2 h", human_ms(7200000, out));
	SAYS("2 h", human_ms(7259000, out));
	SAYS("23 h 59 min", human_ms(86399999, out));
	SAYS("3 d 4 h", human_ms((3u * 24u + 4u) * 3600000u, out));
	TRUE_(strlen(human_ms(UINT64_MAX, out)) < HUMAN_MAX);
}

static void dates_are_local(void)
{
	(void)setenv("TZ", "UTC-2", 1);
	tzset();
	SAYS("1970-01-01 02:00:01", human_date(1999, out));
	SAYS("2026-11-27 00:05:13", human_date(1795730713000, out));
	(void)unsetenv("TZ");
	tzset();
}

static const char *wrapped(struct buf *b, const char *text, size_t at, size_t columns)
{
	b->len = 0;
	human_wrap(b, text, strlen(text), at, 2, columns);
	buf_add(b, "", 1);
	return b->data;
}

static void lines_break_at_blanks(void)
{
	struct buf b;

	(void)setlocale(LC_ALL, "C.UTF-8");
	buf_init(&b);
	SAYS("\n", wrapped(&b, "", 0, 10));
	SAYS("as it is\n", wrapped(&b, "as it is", 0, 8));
	SAYS("one two\n  three\n", wrapped(&b, "one two three", 0, 10));
	SAYS("one\n  two\n  three\n", wrapped(&b, "one two three", 5, 8));
	SAYS("abcdef\n  ghij\n", wrapped(&b, "abcdefghij", 0, 6));
	SAYS("a\n  b\n", wrapped(&b, "ab", 20, 3));
	SAYS("\303\244\303\244 \303\244\303\244\n  x\n",
	     wrapped(&b, "\303\244\303\244 \303\244\303\244 x", 0, 6));
	SAYS("\346\227\245\n  \346\234\254\n",
	     wrapped(&b, "\346\227\245\346\234\254", 0, 3)); /* two columns each */
	buf_fini(&b);
}

static const char *cell(struct buf *b, const char *text, size_t columns)
{
	b->len = 0;
	human_cell(b, (struct pail_bytes){text, strlen(text)}, columns);
	buf_add(b, "", 1);
	return b->data;
}

static void cells_are_as_wide_as_was_asked(void)
{
	struct buf b;

	(void)setlocale(LC_ALL, "C.UTF-8");
	buf_init(&b);
	SAYS("abc  ", cell(&b, "abc", 5));
	SAYS("abcde", cell(&b, "abcde", 5));
	SAYS("ab...", cell(&b, "abcdef", 5));
	SAYS("...  ", cell(&b, "\nabcde", 5));
	SAYS("     ", cell(&b, "", 5));
	SAYS("\303\244\303\244...",
	     cell(&b, "\303\244\303\244\303\244\303\244\303\244\303\244", 5));
	buf_fini(&b);
}

UNIT_MAIN(T(sizes_have_the_largest_unit_that_fits), T(counts_are_exact_while_they_are_short),
	  T(durations_have_two_units), T(dates_are_local), T(lines_break_at_blanks),
	  T(cells_are_as_wide_as_was_asked))
