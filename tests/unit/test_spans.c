/* Where two logs part, by their terms. */
#include "replica/spans.h"
#include "tests/unit/lib/unit.h"

static struct spans logs(const struct span_term *at, uint32_t n)
{
	struct spans s = {0};

	for (uint32_t i = 0; i < n; i++)
		spans_append(&s, at[i].term, at[i].first, at[i].last - at[i].first + 1);
	return s;
}

#define LOG(...)                                      \
	logs((const struct span_term[]){__VA_ARGS__}, \
	     sizeof((const struct span_term[]){__VA_ARGS__}) / sizeof(struct span_term))

static void place(uint64_t term, uint64_t sequence, struct place got)
{
	EQ(term, got.term);
	EQ(sequence, got.sequence);
}

static void a_log_without_records_holds_only_its_beginning(void)
{
	struct spans s = {0};
	struct place p;

	place(0, 0, spans_last(&s));
	TRUE_(spans_hold(&s, (struct place){0, 0}));
	TRUE_(!spans_hold(&s, (struct place){0, 1}));
	TRUE_(!spans_hold(&s, (struct place){1, 0}));
	TRUE_(spans_at(&s, 0, &p));
	place(0, 0, p);
	TRUE_(!spans_at(&s, 1, &p));
	place(0, 0, spans_common(&s, NULL, 0));
}

static void records_of_a_term_are_one_span(void)
{
	struct spans s = {0};
	struct place p;

	spans_append(&s, 7, 1, 3);
	spans_append(&s, 7, 4, 1);
	spans_append(&s, 9, 5, 2);
	EQ(2, s.count);
	place(9, 6, spans_last(&s));
	TRUE_(spans_hold(&s, (struct place){7, 4}));
	TRUE_(!spans_hold(&s, (struct place){7, 5}));
	TRUE_(spans_hold(&s, (struct place){9, 5}));
	TRUE_(!spans_hold(&s, (struct place){9, 4}));
	TRUE_(!spans_hold(&s, (struct place){8, 5}));
	TRUE_(spans_at(&s, 4, &p));
	place(7, 4, p);
	TRUE_(spans_at(&s, 5, &p));
	place(9, 5, p);
	TRUE_(!spans_at(&s, 7, &p));
}

static void records_from_before_there_were_copies_are_of_term_0(void)
{
	struct spans s = LOG({0, 1, 100}, {65536, 101, 101});
	struct place p;

	TRUE_(spans_hold(&s, (struct place){0, 100}));
	TRUE_(!spans_hold(&s, (struct place){0, 101}));
	TRUE_(spans_at(&s, 100, &p));
	place(0, 100, p);
}

static void a_cut_takes_whole_terms_and_ends_of_terms(void)
{
	struct spans s = LOG({1, 1, 4}, {2, 5, 8}, {3, 9, 9});

	spans_cut(&s, 9);
	place(3, 9, spans_last(&s));
	spans_cut(&s, 8);
	place(2, 8, spans_last(&s));
	spans_cut(&s, 5);
	place(2, 5, spans_last(&s));
	spans_cut(&s, 4);
	place(1, 4, spans_last(&s));
	spans_cut(&s, 0);
	place(0, 0, spans_last(&s));
}

static void the_oldest_terms_are_forgotten(void)
{
	struct spans s = {0};
	struct place p;

	for (uint64_t i = 1; i <= SPANS_MAX + 10; i++)
		spans_append(&s, i, i, 1);
	EQ(SPANS_MAX, s.count);
	TRUE_(!spans_hold(&s, (struct place){10, 10}));
	TRUE_(spans_hold(&s, (struct place){11, 11}));
	TRUE_(!spans_at(&s, 10, &p));
	place(SPANS_MAX + 10, SPANS_MAX + 10, spans_last(&s));
}

static void two_logs_agree_up_to_the_newest_place_that_both_have(void)
{
	struct spans a = LOG({1, 1, 10}, {3, 11, 20});
	struct spans b = LOG({1, 1, 12});
	struct spans c = LOG({1, 1, 10}, {2, 11, 15});
	struct spans d = LOG({1, 1, 10}, {3, 11, 14}, {4, 15, 30});

	place(1, 10, spans_common(&a, b.at, b.count));
	place(1, 10, spans_common(&b, a.at, a.count));
	place(1, 10, spans_common(&a, c.at, c.count));
	place(3, 14, spans_common(&a, d.at, d.count));
	place(3, 14, spans_common(&d, a.at, a.count));
	place(3, 20, spans_common(&a, a.at, a.count));
	place(0, 0, spans_common(&a, NULL, 0));
}

/* Only the newest of the other log are told; where nothing is in common, it begins anew. */
static void of_the_other_log_only_the_newest_terms_are_known(void)
{
	struct spans a = LOG({1, 1, 10}, {9, 11, 20});
	struct spans b = LOG({1, 1, 10}, {3, 11, 11}, {4, 12, 12});

	place(0, 0, spans_common(&a, &b.at[1], 2));
	place(1, 10, spans_common(&a, &b.at[0], 3));
}

/* Against logs that are kept record by record. */
static void random_logs_part_where_their_records_do(void)
{
	uint64_t seed = unit_seed();

	for (int round = 0; round < 20000; round++) {
		uint64_t terms[2][12] = {{0}};
		struct spans s[2] = {{0}, {0}};
		uint32_t n[2];
		uint32_t same = (uint32_t)(unit_random(&seed) % 8);
		uint64_t base = 1;
		uint32_t agree = 0;

		for (int k = 0; k < 2; k++)
			n[k] = same + (uint32_t)(unit_random(&seed) % 5);
		for (uint32_t i = 0; i < same; i++) {
			base += unit_random(&seed) % 2;
			terms[0][i] = terms[1][i] = base;
		}
		for (int k = 0; k < 2; k++) {
			/* After they part no term is in both: a term is one primary's. */
			uint64_t t = base + 1;

			for (uint32_t i = same; i < n[k]; i++) {
				t += unit_random(&seed) % 2;
				terms[k][i] = t * 2 + (uint64_t)k;
			}
			for (uint32_t i = 0; i < n[k]; i++)
				spans_append(&s[k], terms[k][i], i + 1, 1);
		}
		while (agree < n[0] && agree < n[1] && terms[0][agree] == terms[1][agree])
			agree++;
		EQ(agree, spans_common(&s[0], s[1].at, s[1].count).sequence);
		EQ(agree, spans_common(&s[1], s[0].at, s[0].count).sequence);
		for (uint32_t i = 0; i < n[0]; i++) {
			struct place p = {terms[0][i], i + 1};

			EQ(i < agree, spans_hold(&s[1], p));
		}
	}
}

UNIT_MAIN(T(a_log_without_records_holds_only_its_beginning), T(records_of_a_term_are_one_span),
	  T(records_from_before_there_were_copies_are_of_term_0),
	  T(a_cut_takes_whole_terms_and_ends_of_terms), T(the_oldest_terms_are_forgotten),
	  T(two_logs_agree_up_to_the_newest_place_that_both_have),
	  T(of_the_other_log_only_the_newest_terms_are_known),
	  T(random_logs_part_where_their_records_do))
