/* The node's figures: histograms, events, and how they go from one program to the next. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/node/figures.h"
#include "tests/unit/lib/unit.h"

/* Lowest value of a bucket. */
static uint64_t lower(uint32_t place)
{
	return place ? histogram_upper(place - 1) + 1 : 0;
}

static void each_value_is_in_the_bucket_that_says_so(void)
{
	uint64_t random = 12345;

	for (uint64_t v = 0; v < 100000; v++) {
		uint32_t place = histogram_place(v);

		TRUE_(place < HISTOGRAM_BUCKETS && lower(place) <= v &&
		      v <= histogram_upper(place));
	}
	for (unsigned shift = 0; shift < 64; shift++)
		for (int64_t d = -1; d <= 1; d++) {
			uint64_t v = ((uint64_t)1 << shift) + (uint64_t)d;
			uint32_t place = histogram_place(v);

			TRUE_(place < HISTOGRAM_BUCKETS);
			TRUE_(lower(place) <= v && v <= histogram_upper(place));
		}
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t v = unit_random(&random) >> (i % 64);
		uint32_t place = histogram_place(v);

		TRUE_(place < HISTOGRAM_BUCKETS);
		TRUE_(lower(place) <= v && v <= histogram_upper(place));
	}
	EQ(HISTOGRAM_BUCKETS - 1, histogram_place(UINT64_MAX));
}

/* The middle of a bucket is less than 7 % from all that is in it: up to 17 hours in microseconds. */
static void buckets_are_as_narrow_as_they_are_said_to_be(void)
{
	for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		double middle = ((double)lower(i) + (double)histogram_upper(i)) / 2;

		TRUE_(i == 0 || histogram_upper(i) > histogram_upper(i - 1));
		TRUE_(i < HISTOGRAM_EXACT ||
		      ((double)histogram_upper(i) - middle) / (double)lower(i) < 0.07);
	}
	TRUE_(histogram_upper(HISTOGRAM_BUCKETS - 2) > 17ull * 3600 * 1000000);
}

static struct figures *opened(int *ret_fd)
{
	struct figures *f;

	log_level_set((enum log_level)(LOG_ERROR + 1));
	EQ(0, figures_new(&f, ret_fd));
	return f;
}

static void requests_are_counted_by_method_and_error(void)
{
	int fd;
	struct figures *f = opened(&fd);

	figures_result(f, WIRE_PUT, WIRE_OK);
	figures_result(f, WIRE_PUT, WIRE_E_BUSY);
	figures_result(f, WIRE_PUT, WIRE_E_BUSY);
	figures_result(f, (unsigned)-1, WIRE_E_BAD_REQUEST); /* of no method */
	EQ(1, f->results[WIRE_PUT][WIRE_OK]);
	EQ(2, f->results[WIRE_PUT][WIRE_E_BUSY]);
	EQ(1, f->results[FIGURES_NO_METHOD][WIRE_E_BAD_REQUEST]);
	figures_duration(f, WIRE_GET, 100, 350);
	figures_duration(f, WIRE_GET, 350, 100); /* a clock that two processes read: it is 0 */
	EQ(250, f->duration[WIRE_GET].sum);
	EQ(1, f->duration[WIRE_GET].bucket[histogram_place(250)]);
	EQ(1, f->duration[WIRE_GET].bucket[0]);
	figures_result(NULL, WIRE_PUT, WIRE_OK); /* nobody counts */
	figures_free(&f);
	(void)close(fd);
}

static void the_last_events_are_kept(void)
{
	char text[400];
	int fd;
	struct figures *f = opened(&fd);

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 1; i <= EVENTS_KEPT + 10; i++)
		figures_event(f, EVENT_OF_RELOAD, EVENT_INFO, "", "number %u", i);
	EQ(EVENTS_KEPT + 10, f->events);
	for (uint64_t id = 11; id <= f->events; id++) {
		const struct event *e = &f->event[(id - 1) % EVENTS_KEPT];
		char want[32];

		EQ(id, e->id);
		(void)snprintf(want, sizeof(want), "number %u", (unsigned)id);
		TRUE_(!strcmp(want, e->text));
	}
	/* What is too long is cut, and ended. */
	figures_event(f, EVENT_OF_CLUSTER, EVENT_ERROR, text, "%s", text);
	EQ(sizeof(f->event[0].text) - 1, strlen(f->event[(f->events - 1) % EVENTS_KEPT].text));
	EQ(sizeof(f->event[0].subject) - 1,
	   strlen(f->event[(f->events - 1) % EVENTS_KEPT].subject));
	TRUE_(!strcmp("error", figures_event_level(&f->event[(f->events - 1) % EVENTS_KEPT])));
	figures_event(NULL, EVENT_OF_STOP, EVENT_INFO, "", "nobody keeps it");
	figures_free(&f);
	(void)close(fd);
}

static void the_next_program_goes_on_with_them(void)
{
	struct figures *next;
	int fd;
	struct figures *f = opened(&fd);

	f->cut_off_unread = 7;
	figures_event(f, EVENT_OF_START, EVENT_INFO, "", "it begins");
	EQ(0, figures_open(fd, &next));
	EQ(7, next->cut_off_unread);
	EQ(1, next->events);
	figures_event(next, EVENT_OF_UPGRADE, EVENT_INFO, "", "it goes on");
	EQ(2, f->events);
	figures_free(&next);
	/* Those of another layout are not taken. */
	f->size++;
	EQ(-EPROTO, figures_open(fd, &next));
	f->size--;
	f->magic++;
	EQ(-EPROTO, figures_open(fd, &next));
	figures_free(&f);
	EQ(0, ftruncate(fd, 100));
	EQ(-EPROTO, figures_open(fd, &next));
	TRUE_(!next);
	(void)close(fd);
}

UNIT_MAIN(T(each_value_is_in_the_bucket_that_says_so),
	  T(buckets_are_as_narrow_as_they_are_said_to_be),
	  T(requests_are_counted_by_method_and_error), T(the_last_events_are_kept),
	  T(the_next_program_goes_on_with_them))
