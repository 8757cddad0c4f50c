/* An hour of figures: what is made of the difference of two answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/history.h"
#include "tests/unit/lib/unit.h"

/* An answer to `metrics`, as far as the history looks at it. */
struct canned {
	uint64_t started;
	uint64_t puts[2]; /* that took 100 us, and 10 ms */
	uint64_t gets;    /* that took 100 us */
	uint64_t log[2];  /* bytes of two workers */
	uint64_t checkpoints_us;
};

static void name(struct pail_args *a, const char *s)
{
	(void)pail_args_name(a, pail_str(s));
}

static void text(struct pail_args *a, const char *s)
{
	(void)pail_args_bytes(a, pail_str(s));
}

static void number(struct pail_args *a, uint64_t n)
{
	(void)pail_args_integer(a, (int64_t)n);
}

static void family(struct pail_args *a, const char *family_name)
{
	(void)pail_args_map(a);
	name(a, "name");
	text(a, family_name);
	name(a, "samples");
	(void)pail_args_list(a);
}

static void family_end(struct pail_args *a)
{
	(void)pail_args_end(a);
	(void)pail_args_end(a);
}

/* A sample whose one label is `label`; its value follows. */
static void sample(struct pail_args *a, const char *label, const char *value)
{
	(void)pail_args_list(a);
	(void)pail_args_map(a);
	if (label) {
		name(a, label);
		text(a, value);
	}
	(void)pail_args_end(a);
}

static void plain(struct pail_args *a, const char *label, const char *value, uint64_t n)
{
	sample(a, label, value);
	number(a, n);
	(void)pail_args_end(a);
}

static void durations(struct pail_args *a, const char *method, const uint64_t *counts, int n)
{
	static const uint64_t uppers[] = {103, 10239};

	sample(a, "method", method);
	(void)pail_args_map(a);
	name(a, "buckets");
	(void)pail_args_list(a);
	for (int i = 0; i < n; i++) {
		(void)pail_args_list(a);
		number(a, uppers[i]);
		number(a, counts[i]);
		(void)pail_args_end(a);
	}
	(void)pail_args_end(a);
	(void)pail_args_end(a);
	(void)pail_args_end(a);
}

/* What is in `h` behind it, as JSON without what is always the same; the caller frees it. */
static char *rows(const struct history *h, uint64_t since)
{
	struct buf b;
	char *at;

	buf_init(&b);
	history_json(h, since, &b);
	buf_add(&b, "", 1);
	TRUE_(!b.failed);
	at = strstr(b.data, "\"samples\":");
	TRUE_(at);
	at = strdup(at + strlen("\"samples\":"));
	buf_fini(&b);
	return at;
}

static void add(struct history *h, const struct canned *c, uint64_t ms)
{
	struct pail_args *a = NULL;
	struct pail_value all;

	EQ(PAIL_OK, pail_args_new(&a));
	(void)pail_args_map(a);
	name(a, "families");
	(void)pail_args_list(a);
	family(a, "pail_start_time_seconds");
	plain(a, NULL, NULL, c->started);
	family_end(a);
	family(a, "pail_request_duration_seconds");
	durations(a, "put", c->puts, 2);
	durations(a, "get", &c->gets, 1);
	durations(a, "status", c->puts, 2); /* neither a read nor a write */
	family_end(a);
	family(a, "pail_log_written_bytes_total");
	plain(a, "worker", "0", c->log[0]);
	plain(a, "worker", "1", c->log[1]);
	family_end(a);
	family(a, "pail_checkpoint_seconds_total");
	plain(a, "worker", "0", c->checkpoints_us);
	family_end(a);
	(void)pail_args_end(a);
	(void)pail_args_end(a);
	TRUE_(pail_args_packed(a).data);
	all = (struct pail_value){pail_args_packed(a).data};
	history_add(h, pail_value_item(all, 0), ms, 1000000 + ms);
	pail_args_free(&a);
}

#define ROWS(want, h, since)                  \
	do {                                  \
		char *r_ = rows(h, since);    \
		if (strcmp(r_, want) != 0)    \
			printf("# %s\n", r_); \
		SAME(r_, strlen(r_), want);   \
		free(r_);                     \
	} while (0)

static void two_answers_make_a_sample(void)
{
	struct history *h = history_new();
	struct canned c = {
		.started = 7, .puts = {1000, 0},
                     .gets = 50
        };

	TRUE_(h);
	add(h, &c, 1000);
	ROWS("[]}", h, 0);
	c.puts[0] += 490;
	c.puts[1] += 10;
	c.gets += 100;
	c.log[0] += 5000;
	c.log[1] += 10000;
	c.checkpoints_us += 500000;
	add(h, &c, 6000);
	/* 98 of 100 puts are fast: the middle of [96, 103], and of [9216, 10239] */
	ROWS("[[1006000,20.0,100.0,99,99,99,9727,3000,0.0,0.1000]]}", h, 0);
	add(h, &c, 11000);
	ROWS("[[1011000,0.0,0.0,null,null,null,null,0,0.0,0.0000]]}", h, 1006000);
	history_free(&h);
}

static void a_node_that_begins_anew_makes_no_sample(void)
{
	struct history *h = history_new();
	struct canned c = {
		.started = 7, .puts = {1000, 0}
        };

	add(h, &c, 1000);
	c.started = 8; /* told by its start, though it has counted more already */
	c.puts[0] = 5000;
	add(h, &c, 6000);
	ROWS("[]}", h, 0);
	c.puts[0] = 10; /* and by what it counts */
	add(h, &c, 11000);
	ROWS("[]}", h, 0);
	c.puts[0] = 20;
	add(h, &c, 16000);
	ROWS("[[1016000,0.0,2.0,null,null,99,99,0,0.0,0.0000]]}", h, 0);
	history_free(&h);
}

static void a_worker_that_begins_anew_takes_nothing_away(void)
{
	struct history *h = history_new();
	struct canned c = {
		.started = 7, .log = {100000, 100000}
        };

	add(h, &c, 1000);
	c.log[0] = 10;
	c.log[1] += 5000;
	add(h, &c, 6000);
	ROWS("[[1006000,0.0,0.0,null,null,null,null,1000,0.0,0.0000]]}", h, 0);
	history_free(&h);
}

static void an_hour_is_kept(void)
{
	struct history *h = history_new();
	struct canned c = {.started = 7};
	char *all;
	unsigned n = 0;

	for (uint64_t i = 0; i <= HISTORY_SAMPLES + 5; i++)
		add(h, &c, 5000 * (i + 1));
	all = rows(h, 0);
	for (const char *p = all + 1; (p = strchr(p, '[')); p++)
		n++;
	EQ(HISTORY_SAMPLES, n);
	free(all);
	all = rows(h, 1000000 + 5000 * (HISTORY_SAMPLES + 5ull));
	SAME(all, strlen(all), "[[4630000,0.0,0.0,null,null,null,null,0,0.0,0.0000]]}");
	free(all);
	history_free(&h);
}

static void what_is_no_answer_harms_nothing(void)
{
	struct history *h = history_new();

	history_add(h, (struct pail_value){NULL}, 1000, 1000);
	history_add(h, (struct pail_value){"\xc0"}, 2000, 2000);
	history_add(h,
		    (struct pail_value){"\x81\xa8"
					"families\x91\xc0"},
		    3000, 3000);
	history_free(&h);
}

UNIT_MAIN(T(two_answers_make_a_sample), T(a_node_that_begins_anew_makes_no_sample),
	  T(a_worker_that_begins_anew_takes_nothing_away), T(an_hour_is_kept),
	  T(what_is_no_answer_harms_nothing))
