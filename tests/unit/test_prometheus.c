/* The text of figures, and the heads of requests for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http_head.h"
#include "gateway/prometheus.h"
#include "tests/unit/lib/unit.h"

static void name(struct pail_args *a, const char *s)
{
	(void)pail_args_name(a, pail_str(s));
}

static void pair(struct pail_args *a, const char *n, const char *s)
{
	name(a, n);
	(void)pail_args_bytes(a, pail_str(s));
}

/* An answer with one family, whose samples follow. */
static struct pail_args *begin(const char *family, const char *kind, const char *unit,
			       int64_t scale, const char *help)
{
	struct pail_args *a = NULL;

	EQ(PAIL_OK, pail_args_new(&a));
	(void)pail_args_map(a);
	name(a, "families");
	(void)pail_args_list(a);
	(void)pail_args_map(a);
	pair(a, "name", family);
	pair(a, "kind", kind);
	pair(a, "unit", unit);
	pair(a, "help", help);
	name(a, "scale");
	(void)pail_args_integer(a, scale);
	name(a, "samples");
	(void)pail_args_list(a);
	return a;
}

static void sample(struct pail_args *a, const char *label, const char *value)
{
	(void)pail_args_list(a);
	(void)pail_args_map(a);
	if (label)
		pair(a, label, value);
	(void)pail_args_end(a);
}

static void plain(struct pail_args *a, const char *label, const char *value, int64_t n)
{
	sample(a, label, value);
	(void)pail_args_integer(a, n);
	(void)pail_args_end(a);
}

/* As text; the caller frees it. */
static char *ended(struct pail_args *a, bool openmetrics)
{
	struct buf b;

	for (int i = 0; i < 4; i++)
		(void)pail_args_end(a);
	TRUE_(pail_args_packed(a).data);
	buf_init(&b);
	prometheus_write(pail_value_item((struct pail_value){pail_args_packed(a).data}, 0),
			 openmetrics, &b);
	buf_add(&b, "", 1);
	TRUE_(!b.failed);
	pail_args_free(&a);
	return b.data;
}

#define TEXT(want, a, openmetrics)                \
	do {                                      \
		char *t_ = ended(a, openmetrics); \
		if (strcmp(t_, want) != 0)        \
			printf("# %s\n", t_);     \
		SAME(t_, strlen(t_), want);       \
		free(t_);                         \
	} while (0)

static void counters_end_in_total(void)
{
	struct pail_args *a = begin("pail_x_total", "counter", "", 1, "Things.");

	plain(a, NULL, NULL, 5);
	TEXT("# HELP pail_x_total Things.\n# TYPE pail_x_total counter\npail_x_total 5\n", a,
	     false);
	a = begin("pail_x_seconds_total", "counter", "seconds", 1000000, "Time.");
	plain(a, "worker", "0", 1500000);
	TEXT("# HELP pail_x_seconds Time.\n# TYPE pail_x_seconds counter\n"
	     "# UNIT pail_x_seconds seconds\npail_x_seconds_total{worker=\"0\"} 1.5\n# EOF\n",
	     a, true);
}

static void what_is_special_is_escaped(void)
{
	struct pail_args *a = begin("pail_g", "gauge", "", 1, "a \\ b\nc \"d\"");

	plain(a, "peer", "x\"y\\z\n", 1);
	TEXT("# HELP pail_g a \\\\ b\\nc \"d\"\n# TYPE pail_g gauge\n"
	     "pail_g{peer=\"x\\\"y\\\\z\\n\"} 1\n",
	     a, false);
	a = begin("pail_g", "gauge", "", 1, "\"d\"");
	plain(a, NULL, NULL, 1);
	TEXT("# HELP pail_g \\\"d\\\"\n# TYPE pail_g gauge\npail_g 1\n# EOF\n", a, true);
}

static void numbers_are_exact(void)
{
	struct pail_args *a = begin("pail_g_seconds", "gauge", "seconds", 1000000, "T.");

	plain(a, "n", "0", 0);
	plain(a, "n", "1", 1);
	plain(a, "n", "2", 12345678);
	plain(a, "n", "3", -2500000);
	plain(a, "n", "4", INT64_MAX);
	TEXT("# HELP pail_g_seconds T.\n# TYPE pail_g_seconds gauge\npail_g_seconds{n=\"0\"} 0\n"
	     "pail_g_seconds{n=\"1\"} 0.000001\npail_g_seconds{n=\"2\"} 12.345678\n"
	     "pail_g_seconds{n=\"3\"} -2.5\npail_g_seconds{n=\"4\"} 9223372036854.775807\n",
	     a, false);
}

static void bucket(struct pail_args *a, int64_t upper, int64_t count)
{
	(void)pail_args_list(a);
	(void)pail_args_integer(a, upper);
	(void)pail_args_integer(a, count);
	(void)pail_args_end(a);
}

static void histograms_are_cumulative_with_bounds_that_stay(void)
{
	struct pail_args *a = begin("pail_d_seconds", "histogram", "seconds", 1000000, "D.");
	char *t;
	unsigned lines = 0;

	sample(a, "method", "put");
	(void)pail_args_map(a);
	name(a, "count");
	(void)pail_args_integer(a, 16);
	name(a, "sum");
	(void)pail_args_integer(a, 1234567);
	name(a, "buckets");
	(void)pail_args_list(a);
	bucket(a, 0, 1);
	bucket(a, 1023, 2);
	bucket(a, 1151, 4);
	bucket(a, INT64_MAX, 9);
	(void)pail_args_end(a);
	(void)pail_args_end(a);
	(void)pail_args_end(a);
	t = ended(a, false);
	for (const char *p = t; (p = strstr(p, "_bucket{method=\"put\",le=\"")); p++)
		lines++;
	EQ(28, lines);
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"0.000001\"} 1\n"));
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"0.000512\"} 1\n"));
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"0.001024\"} 3\n"));
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"0.002048\"} 7\n"));
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"67.108864\"} 7\n"));
	TRUE_(strstr(t, "pail_d_seconds_bucket{method=\"put\",le=\"+Inf\"} 16\n"
			"pail_d_seconds_sum{method=\"put\"} 1.234567\n"
			"pail_d_seconds_count{method=\"put\"} 16\n"));
	free(t);
}

static int head(const char *s, struct http_head *ret)
{
	return http_head_read(s, strlen(s), ret);
}

static void heads_are_read(void)
{
	struct http_head h;

	EQ(0, head("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", &h));
	SAME(h.path, strlen(h.path), "/metrics");
	TRUE_(h.keep && !h.head_only && !h.openmetrics);
	EQ(0, head("HEAD /status.json?a=1&since=123 HTTP/1.0\r\n\r\n", &h));
	SAME(h.path, strlen(h.path), "/status.json");
	EQ(123, h.since);
	TRUE_(!h.keep && h.head_only);
	EQ(0, head("GET / HTTP/1.1\r\nconnection: foo, Close\r\nContent-Length: 0\r\n\r\n", &h));
	TRUE_(!h.keep);
	EQ(0, head("GET / HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0,"
		   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\r\n",
		   &h));
	TRUE_(h.openmetrics);
	EQ(0, head("GET / HTTP/1.1\r\nAccept: application/openmetrics-text; q=0.0\r\n\r\n", &h));
	TRUE_(!h.openmetrics);
}

static void heads_that_are_none_are_refused(void)
{
	static const struct {
		int status;
		const char *head;
	} all[] = {
		{400, "\r\n\r\n"						      },
		{400, "GET\r\n\r\n"						   },
		{400, "GET /\r\n\r\n"						 },
		{400, "GET  HTTP/1.1\r\n\r\n"                                         },
		{400, "GET x HTTP/1.1\r\n\r\n"                                        },
		{400, "GET http://x/ HTTP/1.1\r\n\r\n"                                },
		{400, "GET / HTTP/1.1 x\r\n\r\n"                                      },
		{400, "GET / HTTP/1.1\r\nno colon\r\n\r\n"                            },
		{400, "GET / HTTP/1.1\r\nA : b\r\n\r\n"                               },
		{400, "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"                     },
		{400, "GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n"                          },
		{400, "GET / HTTP/1.1\r\nA: \x01\r\n\r\n"                             },
		{400, "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"                  },
		{400, "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"},
		{400, "GET /?since=x HTTP/1.1\r\n\r\n"                                },
		{405, "POST / HTTP/1.1\r\n\r\n"                                       },
		{405, "get / HTTP/1.1\r\n\r\n"                                        },
		{413, "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"                   },
		{413, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"          },
		{414, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
		      "HTTP/1.1\r\n\r\n"                         },
		{505, "GET / HTTP/2.0\r\n\r\n"                                        },
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		EQ(all[i].status, head(all[i].head, &h));
}

static void any_bytes_are_read(void)
{
	static const char start[] = "GET /status.json?since=1 HTTP/1.1\r\nAccept: "
				    "application/openmetrics-text;q=1\r\nConnection: a,b\r\n\r\n";
	uint64_t seed = unit_seed();
	struct http_head h;

	for (int i = 0; i < 20000; i++) {
		size_t n = unit_random(&seed) % sizeof(start);
		char *p = malloc(n + 1); /* its end is what ASan looks at */

		memcpy(p, start, n);
		for (int k = 0; n && k < 3; k++)
			p[unit_random(&seed) % n] = (char)unit_random(&seed);
		(void)http_head_read(p, n, &h);
		TRUE_(memchr(h.path, 0, sizeof(h.path)));
		free(p);
	}
}

UNIT_MAIN(T(counters_end_in_total), T(what_is_special_is_escaped), T(numbers_are_exact),
	  T(histograms_are_cumulative_with_bounds_that_stay), T(heads_are_read),
	  T(heads_that_are_none_are_refused), T(any_bytes_are_read))
