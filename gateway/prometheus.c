/*
 * The text formats of figures.  Histograms come in log-linear buckets of which only some hold
 * anything: series must be the same in every answer, so they are led together into bounds that
 * never change, one an octave.  Durations are counted in whole microseconds, rounded down: what is
 * in a bucket whose highest value is 2^k-1 took less than 2^k.
 */
#include "gateway/prometheus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OCTAVES 27u /* 1 us to 67 s */

static void escaped(struct buf *out, struct pail_bytes s, bool quotes)
{
	const char *p = s.data;

	for (size_t i = 0; i < s.size; i++) {
		if (p[i] == '\\')
			buf_text(out, "\\\\");
		else if (p[i] == '\n')
			buf_text(out, "\\n");
		else if (p[i] == '"' && quotes)
			buf_text(out, "\\\"");
		else
			buf_add(out, &p[i], 1);
	}
}

static void bytes(struct buf *out, struct pail_bytes s)
{
	if (s.size)
		buf_add(out, s.data, s.size);
}

static bool same(struct pail_bytes s, const char *word)
{
	return s.size == strlen(word) && !memcmp(s.data, word, s.size);
}

static bool ends(struct pail_bytes s, const char *end)
{
	size_t n = strlen(end);

	return s.size >= n && !memcmp((const char *)s.data + s.size - n, end, n);
}

/* v / scale; exact where scale is a power of ten, as it is. */
static void scaled(struct buf *out, uint64_t v, uint64_t scale)
{
	unsigned digits = 0;
	char fraction[24];
	int n;

	for (uint64_t s = scale; s > 1 && s % 10 == 0; s /= 10)
		digits++;
	if (scale <= 1 || v % scale == 0) {
		buf_fmt(out, "%" PRIu64, scale ? v / scale : v);
		return;
	}
	n = snprintf(fraction, sizeof(fraction), "%0*" PRIu64, (int)digits, v % scale);
	while (n > 1 && fraction[n - 1] == '0')
		n--;
	buf_fmt(out, "%" PRIu64 ".%.*s", v / scale, n, fraction);
}

static void value(struct buf *out, struct pail_value v, uint64_t scale)
{
	int64_t n = pail_value_integer(v);

	if (n < 0)
		buf_text(out, "-");
	scaled(out, n < 0 ? 0 - (uint64_t)n : pail_value_number(v), scale);
}

/* {a="b",...}; `le` one more, if it is not NULL. */
static void labels(struct buf *out, struct pail_value all, const char *le)
{
	const char *separator = "{";

	for (size_t i = 0; i < pail_value_count(all); i++) {
		buf_text(out, separator);
		bytes(out, pail_value_bytes(pail_value_name(all, i)));
		buf_text(out, "=\"");
		escaped(out, pail_value_bytes(pail_value_item(all, i)), true);
		buf_text(out, "\"");
		separator = ",";
	}
	if (le)
		buf_fmt(out, "%sle=\"%s\"", separator, le);
	if (le || *separator == ',')
		buf_text(out, "}");
}

static void bucket(struct buf *out, struct pail_bytes name, struct pail_value all, const char *le,
		   uint64_t count)
{
	bytes(out, name);
	buf_text(out, "_bucket");
	labels(out, all, le);
	buf_fmt(out, " %" PRIu64 "\n", count);
}

static void histogram(struct buf *out, struct pail_bytes name, struct pail_value all,
		      struct pail_value h, uint64_t scale)
{
	struct pail_value buckets = pail_value_field(h, "buckets");
	uint64_t count = pail_value_number(pail_value_field(h, "count"));
	size_t n = pail_value_count(buckets);
	size_t at = 0;
	uint64_t sum = 0;

	for (unsigned k = 0; k < OCTAVES; k++) {
		struct buf le;

		while (at < n) {
			struct pail_value b = pail_value_item(buckets, at);

			if (pail_value_number(pail_value_item(b, 0)) >= (uint64_t)1 << k)
				break;
			sum += pail_value_number(pail_value_item(b, 1));
			at++;
		}
		buf_init(&le);
		scaled(&le, (uint64_t)1 << k, scale);
		if (!strchr(le.data ? le.data : "", '.') && le.data)
			buf_text(&le, ".0"); /* as OpenMetrics writes bounds */
		buf_add(&le, "", 1);
		if (le.failed)
			out->failed = true;
		else
			bucket(out, name, all, le.data, sum);
		buf_fini(&le);
	}
	bucket(out, name, all, "+Inf", count);
	bytes(out, name);
	buf_text(out, "_sum");
	labels(out, all, NULL);
	buf_text(out, " ");
	scaled(out, pail_value_number(pail_value_field(h, "sum")), scale);
	buf_text(out, "\n");
	bytes(out, name);
	buf_text(out, "_count");
	labels(out, all, NULL);
	buf_fmt(out, " %" PRIu64 "\n", count);
}

static void family(struct buf *out, struct pail_value f, bool openmetrics)
{
	struct pail_bytes name = pail_value_bytes(pail_value_field(f, "name"));
	struct pail_bytes kind = pail_value_bytes(pail_value_field(f, "kind"));
	struct pail_bytes unit = pail_value_bytes(pail_value_field(f, "unit"));
	struct pail_bytes base = name;
	struct pail_value samples = pail_value_field(f, "samples");
	uint64_t scale = pail_value_number(pail_value_field(f, "scale"));
	size_t n = pail_value_count(samples);

	if (!n || !name.size)
		return;
	/* a family of counters is called without the end that its series have */
	if (openmetrics && same(kind, "counter") && ends(name, "_total"))
		base.size -= strlen("_total");
	buf_text(out, "# HELP ");
	bytes(out, base);
	buf_text(out, " ");
	escaped(out, pail_value_bytes(pail_value_field(f, "help")), openmetrics);
	buf_text(out, "\n# TYPE ");
	bytes(out, base);
	buf_text(out, " ");
	bytes(out, kind);
	buf_text(out, "\n");
	/* a unit must be the end of the name */
	if (openmetrics && unit.size && base.size > unit.size + 1 &&
	    !memcmp((const char *)base.data + base.size - unit.size, unit.data, unit.size) &&
	    ((const char *)base.data)[base.size - unit.size - 1] == '_') {
		buf_text(out, "# UNIT ");
		bytes(out, base);
		buf_text(out, " ");
		bytes(out, unit);
		buf_text(out, "\n");
	}
	for (size_t i = 0; i < n; i++) {
		struct pail_value one = pail_value_item(samples, i);
		struct pail_value all = pail_value_item(one, 0);
		struct pail_value v = pail_value_item(one, 1);

		if (same(kind, "histogram")) {
			histogram(out, name, all, v, scale);
			continue;
		}
		bytes(out, name);
		labels(out, all, NULL);
		buf_text(out, " ");
		value(out, v, scale);
		buf_text(out, "\n");
	}
}

void prometheus_write(struct pail_value metrics, bool openmetrics, struct buf *out)
{
	struct pail_value all = pail_value_field(metrics, "families");
	size_t n = pail_value_count(all);

	for (size_t i = 0; i < n; i++)
		family(out, pail_value_item(all, i), openmetrics);
	if (openmetrics)
		buf_text(out, "# EOF\n");
}
