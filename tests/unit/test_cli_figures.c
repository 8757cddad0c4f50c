/* What two looks at a node's figures say together. */
#include "cli/figures.h"
#include "tests/unit/lib/unit.h"

static struct histogram before;
static struct histogram now;

static void add(struct histogram *h, uint64_t v, uint64_t n)
{
	histogram_add(h, histogram_place(v), v, n);
}

static void begin(void)
{
	memset(&before, 0, sizeof(before));
	memset(&now, 0, sizeof(now));
}

static void quantiles_are_of_what_came_between(void)
{
	begin();
	EQ(-1, figures_quantile(&before, &now, 0.5));
	add(&before, 5, 1000);
	add(&now, 5, 1000);
	EQ(-1, figures_quantile(&before, &now, 0.99)); /* nothing new */
	add(&now, 10, 98);
	add(&now, 12, 1);
	add(&now, 1000000, 1);
	EQ(10, figures_quantile(&before, &now, 0));
	EQ(10, figures_quantile(&before, &now, 0.5));
	EQ(10, figures_quantile(&before, &now, 0.98));
	EQ(12, figures_quantile(&before, &now, 0.99));
	EQ(histogram_upper(histogram_place(1000000)), figures_quantile(&before, &now, 0.999));
	EQ(histogram_upper(histogram_place(1000000)), figures_quantile(&before, &now, 1));
}

/* At most an eighth too high, never too low. */
static void a_quantile_is_at_most_an_eighth_too_high(void)
{
	for (uint64_t v = 1; v < 100000000; v += v / 7 + 1) {
		int64_t q;

		begin();
		add(&now, v, 1);
		q = figures_quantile(&before, &now, 0.99);
		TRUE_((uint64_t)q >= v && (uint64_t)q <= v + v / 8);
	}
	begin();
	add(&now, UINT64_MAX, 1);
	EQ(INT64_MAX, figures_quantile(&before, &now, 0.5));
}

static void a_node_that_began_anew_gives_no_absurd_rates(void)
{
	TRUE_(figures_rate(10, 30, 2000) == 10);
	TRUE_(figures_rate(30, 30, 2000) == 0);
	TRUE_(figures_rate(1000000, 40, 2000) == 20); /* it counts from 0 again */
	TRUE_(figures_rate(0, 40, 0) == 0);           /* two looks in one moment */
	begin();
	add(&before, 100, 1000);
	add(&now, 200, 3);
	EQ(histogram_upper(histogram_place(200)), figures_quantile(&before, &now, 0.5));
}

UNIT_MAIN(T(quantiles_are_of_what_came_between), T(a_quantile_is_at_most_an_eighth_too_high),
	  T(a_node_that_began_anew_gives_no_absurd_rates))
