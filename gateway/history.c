/* Differences of figures, kept for an hour. */
#include "gateway/history.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/histogram.h"

#define WORKERS_MOST 256u

enum kind { READS, WRITES, KINDS, NEITHER = KINDS };

/* What each worker counts. */
enum count {
	LOG_BYTES,
	SYNCS,
	CHECKPOINTS, /* time in them */
	COUNTS
};

static const char *const count_names[COUNTS] = {
	[LOG_BYTES] = "pail_log_written_bytes_total",
	[SYNCS] = "pail_log_syncs_total",
	[CHECKPOINTS] = "pail_checkpoint_seconds_total",
};

struct totals {
	uint64_t started; /* when the node began, as it says */
	uint64_t requests[KINDS][HISTOGRAM_BUCKETS];
	uint64_t counts[COUNTS][WORKERS_MOST];
	bool known[COUNTS][WORKERS_MOST];
};

struct sample {
	uint64_t unix_ms;
	double rate[KINDS];
	uint64_t p50[KINDS]; /* microseconds; nothing was asked: `rate` is 0 */
	uint64_t p99[KINDS];
	double counts[COUNTS]; /* a second */
};

struct history {
	struct totals last;
	uint64_t last_ms; /* 0: there is none */
	struct sample samples[HISTORY_SAMPLES];
	unsigned first;
	unsigned count;
};

struct history *history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void history_free(struct history **h)
{
	free(*h);
	*h = NULL;
}

static bool same(struct pail_bytes s, const char *word)
{
	return s.size == strlen(word) && !memcmp(s.data, word, s.size);
}

static enum kind kind_of(struct pail_bytes method)
{
	static const char *const names[KINDS][8] = {
		[READS] = {"get",     "head", "scan",  "count", "buckets"},
		[WRITES] = { "put", "delete", "create", "drop",   "touch",    "txn", "call"},
	};

	for (enum kind k = READS; k < KINDS; k++)
		for (int i = 0; i < 8 && names[k][i]; i++)
			if (same(method, names[k][i]))
				return k;
	return NEITHER;
}

static void requests_take(struct pail_value samples, struct totals *t)
{
	for (size_t i = 0; i < pail_value_count(samples); i++) {
		struct pail_value s = pail_value_item(samples, i);
		enum kind k = kind_of(
			pail_value_bytes(pail_value_field(pail_value_item(s, 0), "method")));
		struct pail_value b = pail_value_field(pail_value_item(s, 1), "buckets");

		for (size_t j = 0; k != NEITHER && j < pail_value_count(b); j++) {
			struct pail_value one = pail_value_item(b, j);
			uint64_t upper = pail_value_number(pail_value_item(one, 0));

			t->requests[k][histogram_place(upper)] +=
				pail_value_number(pail_value_item(one, 1));
		}
	}
}

static void counts_take(struct pail_value samples, enum count c, struct totals *t)
{
	for (size_t i = 0; i < pail_value_count(samples); i++) {
		struct pail_value s = pail_value_item(samples, i);
		struct pail_bytes name =
			pail_value_bytes(pail_value_field(pail_value_item(s, 0), "worker"));
		unsigned long w = 0;

		for (size_t j = 0; j < name.size && w < WORKERS_MOST; j++)
			w = 10 * w + (unsigned)(((const char *)name.data)[j] - '0') % 10;
		if (!name.size || w >= WORKERS_MOST)
			continue;
		t->counts[c][w] = pail_value_number(pail_value_item(s, 1));
		t->known[c][w] = true;
	}
}

static void totals_take(struct pail_value metrics, struct totals *t)
{
	struct pail_value all = pail_value_field(metrics, "families");
	size_t n = pail_value_count(all);

	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < n; i++) {
		struct pail_value f = pail_value_item(all, i);
		struct pail_bytes name = pail_value_bytes(pail_value_field(f, "name"));
		struct pail_value samples = pail_value_field(f, "samples");

		if (same(name, "pail_start_time_seconds"))
			t->started =
				pail_value_number(pail_value_item(pail_value_item(samples, 0), 1));
		if (same(name, "pail_request_duration_seconds"))
			requests_take(samples, t);
		for (enum count c = 0; c < COUNTS; c++)
			if (same(name, count_names[c]))
				counts_take(samples, c, t);
	}
}

/* The middle of the bucket in which the part `of_100` of them all ends. */
static uint64_t part(const uint64_t *n, uint64_t all, unsigned of_100)
{
	uint64_t sum = 0;
	uint32_t i = 0;
	uint64_t low, high;

	while (i < HISTOGRAM_BUCKETS - 1 && (sum += n[i]) * 100 < all * of_100)
		i++;
	low = i ? histogram_upper(i - 1) + 1 : 0;
	high = i < HISTOGRAM_BUCKETS - 1 ? histogram_upper(i) : low;
	return low + (high - low) / 2;
}

/* False: the node has begun anew. */
static bool requests_differ(const struct totals *now, const struct totals *last, double seconds,
			    struct sample *s)
{
	for (enum kind k = READS; k < KINDS; k++) {
		uint64_t n[HISTOGRAM_BUCKETS];
		uint64_t all = 0;

		for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
			if (now->requests[k][i] < last->requests[k][i])
				return false;
			n[i] = now->requests[k][i] - last->requests[k][i];
			all += n[i];
		}
		s->rate[k] = (double)all / seconds;
		s->p50[k] = all ? part(n, all, 50) : 0;
		s->p99[k] = all ? part(n, all, 99) : 0;
	}
	return true;
}

/* A worker that is new, or counts less than before, has begun anew: what it did since then counts
 * the next time. */
static void counts_differ(const struct totals *now, const struct totals *last, double seconds,
			  struct sample *s)
{
	for (enum count c = 0; c < COUNTS; c++) {
		uint64_t all = 0;

		for (unsigned w = 0; w < WORKERS_MOST; w++)
			if (now->known[c][w] && last->known[c][w] &&
			    now->counts[c][w] >= last->counts[c][w])
				all += now->counts[c][w] - last->counts[c][w];
		s->counts[c] = (double)all / seconds;
	}
	s->counts[CHECKPOINTS] /= 1e6; /* they are told in microseconds */
}

void history_add(struct history *h, struct pail_value metrics, uint64_t now_ms, uint64_t unix_ms)
{
	struct totals *now = malloc(sizeof(*now));
	struct sample s = {.unix_ms = unix_ms};

	if (!now)
		return; /* the next one tells of both */
	totals_take(metrics, now);
	if (h->last_ms && now_ms > h->last_ms && now->started == h->last.started) {
		double seconds = (double)(now_ms - h->last_ms) / 1000;

		if (requests_differ(now, &h->last, seconds, &s)) {
			counts_differ(now, &h->last, seconds, &s);
			h->samples[(h->first + h->count) % HISTORY_SAMPLES] = s;
			if (h->count < HISTORY_SAMPLES)
				h->count++;
			else
				h->first = (h->first + 1) % HISTORY_SAMPLES;
		}
	}
	h->last = *now;
	h->last_ms = now_ms;
	free(now);
}

static void latency(struct buf *out, double rate, uint64_t us)
{
	if (rate > 0)
		buf_fmt(out, ",%" PRIu64, us);
	else
		buf_text(out, ",null");
}

void history_json(const struct history *h, uint64_t since_ms, struct buf *out)
{
	const char *separator = "";

	buf_fmt(out,
		"{\"every_ms\":%u,\"fields\":[\"unix_ms\",\"reads_s\",\"writes_s\",\"read_p50_us\","
		"\"read_p99_us\",\"write_p50_us\",\"write_p99_us\",\"log_bytes_s\",\"syncs_s\","
		"\"checkpoint_share\"],\"samples\":[",
		HISTORY_EVERY_MS);
	for (unsigned i = 0; i < h->count; i++) {
		const struct sample *s = &h->samples[(h->first + i) % HISTORY_SAMPLES];

		if (s->unix_ms <= since_ms)
			continue;
		buf_fmt(out, "%s[%" PRIu64 ",%.1f,%.1f", separator, s->unix_ms, s->rate[READS],
			s->rate[WRITES]);
		for (enum kind k = READS; k < KINDS; k++) {
			latency(out, s->rate[k], s->p50[k]);
			latency(out, s->rate[k], s->p99[k]);
		}
		buf_fmt(out, ",%.0f,%.1f,%.4f]", s->counts[LOG_BYTES], s->counts[SYNCS],
			s->counts[CHECKPOINTS]);
		separator = ",";
	}
	buf_text(out, "]}");
}
