/* pail top: what a node does, as it does it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/figures.h"
#include "cli/watch.h"
#include "common/clock.h"

#define INTERVAL_MS 2000u
#define ONCE_MS     1000u
#define EVENTS      5u
#define COLUMNS     80u
#define END_OF_TEXT 4 /* ^D */

struct top {
	struct watch watch;
	struct figures_moment moment[2];
	unsigned now; /* which of the two is the later one */
	struct pail_result *status;
	struct pail_result *events;
	uint64_t ms;        /* between the two */
	uint64_t passed_us; /* by the clock that does not jump */
	bool seen;          /* there is one before */
};

static struct pail_value field(struct pail_value v, const char *name)
{
	return pail_value_field(v, name);
}

static uint64_t number(struct pail_value v, const char *name)
{
	return pail_value_number(field(v, name));
}

static const struct figures_moment *now_of(const struct top *t)
{
	return &t->moment[t->now];
}

static const struct figures_moment *before_of(const struct top *t)
{
	return &t->moment[!t->now];
}

/* ---- asking ---- */

static void replace(struct pail_result **kept, struct pail_result *r)
{
	pail_result_free(kept);
	*kept = r;
}

/* All three, or what was known before stays. */
static int ask(struct pail *p, void *arg)
{
	struct top *t = arg;
	struct pail_result *m = NULL;
	struct pail_result *status = NULL;
	struct pail_result *events = NULL;
	uint64_t asked_us = clock_us();
	int r = pail_metrics(p, &m);

	if (r == PAIL_OK)
		r = pail_node_status(p, &status);
	if (r == PAIL_OK)
		r = pail_events(p, 0, EVENTS, &events);
	if (r == PAIL_OK) {
		t->now = !t->now;
		figures_read(pail_result_value(m), &t->moment[t->now]);
		t->ms = (asked_us - t->passed_us) / 1000;
		t->passed_us = asked_us;
		replace(&t->status, status);
		replace(&t->events, events);
	} else {
		pail_result_free(&status);
		pail_result_free(&events);
	}
	pail_result_free(&m);
	return r;
}

/* ---- numbers for people ---- */

#define TEXT_SIZE 24

static const char *amount(double n, char out[TEXT_SIZE])
{
	if (n < 9.95)
		(void)snprintf(out, TEXT_SIZE, "%.1f", n);
	else if (n < 99999.5)
		(void)snprintf(out, TEXT_SIZE, "%.0f", n);
	else if (n < 9999500)
		(void)snprintf(out, TEXT_SIZE, "%.0fk", n / 1e3);
	else
		(void)snprintf(out, TEXT_SIZE, "%.1fM", n / 1e6);
	return out;
}

static const char *bytes(double n, char out[TEXT_SIZE])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned u = 0;

	while (n >= 1023.5 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
		n /= 1024;
		u++;
	}
	(void)snprintf(out, TEXT_SIZE, u && n < 9.95 ? "%.1f %s" : "%.0f %s", n, unit[u]);
	return out;
}

static const char *micros(int64_t us, char out[TEXT_SIZE])
{
	if (us < 0)
		(void)snprintf(out, TEXT_SIZE, "-");
	else if (us < 1000)
		(void)snprintf(out, TEXT_SIZE, "%d us", (int)us);
	else if (us < 1000000)
		(void)snprintf(out, TEXT_SIZE, us < 10000 ? "%.2f ms" : "%.0f ms",
			       (double)us / 1e3);
	else
		(void)snprintf(out, TEXT_SIZE, "%.1f s", (double)us / 1e6);
	return out;
}

static const char *span(uint64_t ms, char out[TEXT_SIZE])
{
	uint64_t s = ms / 1000;

	if (s < 60)
		(void)snprintf(out, TEXT_SIZE, "%d s", (int)s);
	else if (s < 3600)
		(void)snprintf(out, TEXT_SIZE, "%d min %d s", (int)(s / 60), (int)(s % 60));
	else if (s < 86400)
		(void)snprintf(out, TEXT_SIZE, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
	else
		(void)snprintf(out, TEXT_SIZE, "%" PRIu64 " d %d h", s / 86400,
			       (int)(s / 3600 % 24));
	return out;
}

/* Part of a whole in percent, or "-". */
static const char *percent(double part, double whole, char out[TEXT_SIZE])
{
	if (whole > 0)
		(void)snprintf(out, TEXT_SIZE, "%.0f %%", 100 * part / whole);
	else
		(void)snprintf(out, TEXT_SIZE, "-");
	return out;
}

/* ---- the view ---- */

static void head_add(const struct top *t, struct buf *b)
{
	struct pail_value s = pail_result_value(t->status);
	char clock[WATCH_TIME];
	char up[TEXT_SIZE];

	buf_text(b, "node ");
	(void)cli_text(b, pail_value_bytes(field(s, "node")), 24);
	buf_text(b, " ");
	(void)cli_text(b, pail_value_bytes(field(s, "version")), 12);
	buf_text(b, ", ");
	(void)cli_text(b, pail_value_bytes(field(s, "state")), 10);
	buf_fmt(b, ", up %s, %s", span(number(s, "uptime_ms"), up),
		watch_time(now_of(t)->unix_ms, false, clock));
	if (t->watch.away_ms)
		buf_fmt(b, "; no answer for %s", span(clock_ms() - t->watch.away_ms, up));
	buf_text(b, "\n\n");
}

static void requests_add(const struct top *t, struct buf *b)
{
	static const char *const name[] = {"reads", "writes", "others"};
	const struct figures_moment *x = before_of(t);
	const struct figures_moment *y = now_of(t);
	char text[4][TEXT_SIZE];

	buf_text(b, "               per s        p50        p99      p99.9\n");
	for (unsigned i = 0; i < FIGURES_CLASSES; i++) {
		const struct histogram *p = &x->duration[i];
		const struct histogram *q = &y->duration[i];

		buf_fmt(b, "%-8s  %10s %10s %10s %10s\n", name[i],
			amount(figures_rate(x->requests[i], y->requests[i], t->ms), text[0]),
			micros(figures_quantile(p, q, 0.5), text[1]),
			micros(figures_quantile(p, q, 0.99), text[2]),
			micros(figures_quantile(p, q, 0.999), text[3]));
	}
	buf_fmt(b, "%-8s  %10s\n\n", "errors",
		amount(figures_rate(x->errors, y->errors, t->ms), text[0]));
}

/* A text of the node in a column of `width`. */
static void column(struct buf *b, struct pail_value v, unsigned width)
{
	size_t n = cli_text(b, pail_value_bytes(v), width);

	buf_fmt(b, "%*s", n < width ? (int)(width - n) : 0, "");
}

static void workers_add(const struct top *t, struct buf *b)
{
	struct pail_value workers = field(pail_result_value(t->status), "workers");
	const struct figures_moment *y = now_of(t);
	char text[7][TEXT_SIZE];

	if (!pail_value_count(workers))
		return;
	buf_text(b,
		 "worker  state     req/s   cpu   memory   hits  syncs/s    queue  checkpoint\n");
	for (size_t i = 0; i < pail_value_count(workers) && i < FIGURES_WORKERS; i++) {
		const struct worker_figures *p = &before_of(t)->worker[i];
		const struct worker_figures *q = &y->worker[i];
		uint64_t hits = q->hits - (p->hits <= q->hits ? p->hits : 0);
		uint64_t misses = q->misses - (p->misses <= q->misses ? p->misses : 0);

		buf_fmt(b, "%6u  ", (unsigned)i);
		column(b, field(pail_value_item(workers, i), "state"), 8);
		buf_fmt(b, " %6s %5s %8s %6s %8s %8s  %s\n",
			amount(figures_rate(p->requests, q->requests, t->ms), text[0]),
			percent(figures_rate(p->cpu_us, q->cpu_us, t->ms), 1e6, text[1]),
			bytes((double)q->resident_bytes, text[2]),
			percent((double)hits, (double)(hits + misses), text[3]),
			amount(figures_rate(p->syncs, q->syncs, t->ms), text[4]),
			bytes((double)q->queue_bytes, text[5]),
			!q->checkpoint_wall_ms || y->unix_ms < q->checkpoint_wall_ms
				? "none yet"
				: span(y->unix_ms - q->checkpoint_wall_ms, text[6]));
	}
	buf_text(b, "\n");
}

static void peers_add(const struct top *t, struct buf *b)
{
	struct pail_value peers = field(pail_result_value(t->status), "peers");
	const struct figures_moment *y = now_of(t);
	char text[2][TEXT_SIZE];

	if (!y->peers && !pail_value_count(peers))
		return;
	buf_text(b, "peer              link     round trip  in flight  forwarded/s\n");
	for (uint32_t i = 0; i < y->peers; i++) {
		const struct peer_figures *q = &y->peer[i];
		const struct peer_figures *p = NULL;

		for (uint32_t k = 0; k < before_of(t)->peers && !p; k++)
			if (!strcmp(before_of(t)->peer[k].name, q->name))
				p = &before_of(t)->peer[k];
		buf_fmt(b, "%-16.16s  %-7s  %10s  %9" PRIu64 "  %11s\n", q->name,
			q->up ? "up" : "down",
			q->round_trip_us ? micros((int64_t)q->round_trip_us, text[0]) : "-",
			q->in_flight,
			amount(figures_rate(p ? p->forwarded : q->forwarded, q->forwarded, t->ms),
			       text[1]));
	}
	buf_text(b, "\n");
}

static void totals_add(const struct top *t, struct buf *b)
{
	const struct figures_moment *x = before_of(t);
	const struct figures_moment *y = now_of(t);
	double log = 0;
	double written = 0;
	double base = 0;
	double map = 0;
	char text[6][TEXT_SIZE];

	for (uint32_t i = 0; i < y->workers; i++) {
		log += (double)y->worker[i].log_bytes;
		base += (double)y->worker[i].base_bytes;
		map += (double)y->worker[i].map_bytes;
		written += figures_rate(x->worker[i].log_written_bytes,
					y->worker[i].log_written_bytes, t->ms);
	}
	buf_fmt(b,
		"log %s, written %s/s; base %s of %s\nclients %" PRIu64
		", unread %s; coordinator %s\n\n",
		bytes(log, text[0]), bytes(written, text[1]), bytes(base, text[2]),
		bytes(map, text[3]), y->clients, bytes((double)y->unread_bytes, text[4]),
		percent(figures_rate(x->cpu_us, y->cpu_us, t->ms), 1e6, text[5]));
}

static void events_add(const struct top *t, struct buf *b)
{
	struct pail_value events = field(pail_result_value(t->events), "events");

	for (size_t i = 0; i < pail_value_count(events); i++) {
		struct pail_value e = pail_value_item(events, i);
		char clock[WATCH_TIME];

		buf_fmt(b, "%s  ", watch_time(number(e, "unix_ms"), false, clock));
		(void)cli_text(b, pail_value_bytes(field(e, "text")), COLUMNS - 13);
		buf_text(b, "\n");
	}
}

static void view(const struct top *t, struct buf *b)
{
	head_add(t, b);
	requests_add(t, b);
	workers_add(t, b);
	peers_add(t, b);
	totals_add(t, b);
	events_add(t, b);
}

/* ---- as JSON ---- */

static void class_json(const struct top *t, unsigned i, const char *name, struct buf *b)
{
	static const struct {
		const char *name;
		double q;
	} of[] = {
		{"p50_us",  0.5  },
                {"p99_us",  0.99 },
                {"p999_us", 0.999}
        };
	const struct figures_moment *x = before_of(t);
	const struct figures_moment *y = now_of(t);

	buf_fmt(b, "\"%s\":{\"per_s\":%.1f", name,
		figures_rate(x->requests[i], y->requests[i], t->ms));
	for (unsigned k = 0; k < 3; k++) {
		int64_t us = figures_quantile(&x->duration[i], &y->duration[i], of[k].q);

		if (us < 0)
			buf_fmt(b, ",\"%s\":null", of[k].name);
		else
			buf_fmt(b, ",\"%s\":%" PRId64, of[k].name, us);
	}
	buf_text(b, "}");
}

static void workers_json(const struct top *t, struct buf *b)
{
	struct pail_value workers = field(pail_result_value(t->status), "workers");

	buf_text(b, ",\"workers\":[");
	for (size_t i = 0; i < pail_value_count(workers) && i < FIGURES_WORKERS; i++) {
		const struct worker_figures *p = &before_of(t)->worker[i];
		const struct worker_figures *q = &now_of(t)->worker[i];

		buf_fmt(b, "%s{\"id\":%u,", i ? "," : "", (unsigned)i);
		cli_json_field(b, "state",
			       pail_value_bytes(field(pail_value_item(workers, i), "state")));
		buf_fmt(b,
			",\"requests_per_s\":%.1f,\"cpu\":%.3f,\"resident_bytes\":%" PRIu64
			",\"syncs_per_s\":%.1f,\"log_written_bytes_per_s\":%.0f,\"queue_bytes\":"
			"%" PRIu64 ",\"restarts\":%" PRIu64 ",\"last_checkpoint\":%" PRIu64 "}",
			figures_rate(p->requests, q->requests, t->ms),
			figures_rate(p->cpu_us, q->cpu_us, t->ms) / 1e6, q->resident_bytes,
			figures_rate(p->syncs, q->syncs, t->ms),
			figures_rate(p->log_written_bytes, q->log_written_bytes, t->ms),
			q->queue_bytes, q->restarts, q->checkpoint_wall_ms);
	}
	buf_text(b, "]");
}

static void peers_json(const struct top *t, struct buf *b)
{
	buf_text(b, ",\"peers\":[");
	for (uint32_t i = 0; i < now_of(t)->peers; i++) {
		const struct peer_figures *q = &now_of(t)->peer[i];

		buf_text(b, i ? ",{" : "{");
		cli_json_field(b, "name", pail_str(q->name));
		buf_fmt(b,
			",\"up\":%s,\"in_flight\":%" PRIu64 ",\"forwarded\":%" PRIu64
			",\"round_trip_us\":%" PRIu64 "}",
			q->up ? "true" : "false", q->in_flight, q->forwarded, q->round_trip_us);
	}
	buf_text(b, "]");
}

static void json(const struct top *t, struct buf *b)
{
	struct pail_value s = pail_result_value(t->status);
	const struct figures_moment *y = now_of(t);

	buf_text(b, "{");
	cli_json_field(b, "node", pail_value_bytes(field(s, "node")));
	buf_text(b, ",");
	cli_json_field(b, "state", pail_value_bytes(field(s, "state")));
	buf_fmt(b,
		",\"unix_ms\":%" PRIu64 ",\"interval_ms\":%" PRIu64
		",\"errors_per_s\":%.1f,\"clients\":%" PRIu64 ",",
		y->unix_ms, t->ms, figures_rate(before_of(t)->errors, y->errors, t->ms),
		y->clients);
	class_json(t, FIGURES_READS, "reads", b);
	buf_text(b, ",");
	class_json(t, FIGURES_WRITES, "writes", b);
	buf_text(b, ",");
	class_json(t, FIGURES_OTHERS, "others", b);
	workers_json(t, b);
	peers_json(t, b);
	buf_text(b, "}\n");
}

static bool is_json(const struct top *t)
{
	return t->watch.c->output == OUTPUT_JSON || t->watch.c->output == OUTPUT_RAW;
}

/* ---- the terminal ---- */

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static void nothing(int sig)
{
	(void)sig; /* it ends a wait, and the screen is drawn anew */
}

struct screen {
	struct termios before;
	struct sigaction term, winch;
	bool keys; /* single keys can be read */
	bool quit; /* one that ends it was */
};

static void screen_open(struct screen *s)
{
	struct sigaction a;
	struct termios now;

	memset(&a, 0, sizeof(a));
	a.sa_handler = end;
	ended = 0;
	(void)sigaction(SIGTERM, &a, &s->term);
	a.sa_handler = nothing;
	(void)sigaction(SIGWINCH, &a, &s->winch);
	s->keys = tcgetattr(STDIN_FILENO, &s->before) == 0;
	if (s->keys) {
		now = s->before;
		now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		s->keys = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
	}
	(void)cli_write("\033[?1049h\033[?25l", 14);
}

static void screen_close(struct screen *s)
{
	/* Also after ^C, when cli_write writes no more. */
	(void)!write(STDOUT_FILENO, "\033[?25h\033[?1049l", 14);
	if (s->keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	(void)sigaction(SIGTERM, &s->term, NULL);
	(void)sigaction(SIGWINCH, &s->winch, NULL);
}

/* As many lines as there is room for, each no longer than the screen is wide. */
static bool draw(const struct buf *b)
{
	struct winsize size = {.ws_row = 24, .ws_col = COLUMNS};
	const char *p = b->data;
	const char *last = b->data + b->len;
	struct buf out;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	buf_init(&out);
	buf_text(&out, "\033[H");
	for (unsigned i = 0; p < last && (!size.ws_row || i + 1 < size.ws_row); i++) {
		const char *eol = memchr(p, '\n', (size_t)(last - p));
		size_t n = (size_t)((eol ? eol : last) - p);

		buf_add(&out, p, size.ws_col && n > size.ws_col ? size.ws_col : n);
		buf_text(&out, "\033[K\n");
		p = eol ? eol + 1 : last;
	}
	buf_text(&out, "\033[J");
	return cli_buf_out(&out) == CLI_OK && fflush(stdout) == 0;
}

/* Has somebody had enough?  Keys that were read stay read. */
static bool quits(struct screen *s)
{
	char key[16];

	for (int n; s->keys && ioctl(STDIN_FILENO, FIONREAD, &n) == 0 && n > 0;) {
		ssize_t got = read(STDIN_FILENO, key, sizeof(key));

		s->quit |= got <= 0 || memchr(key, 'q', (size_t)got) ||
			   memchr(key, END_OF_TEXT, (size_t)got);
		if (got <= 0)
			break;
	}
	return s->quit || ended || cli_interrupted();
}

static bool put(const struct top *t, bool screen)
{
	struct buf b;
	bool ok;

	buf_init(&b);
	if (is_json(t))
		json(t, &b);
	else
		view(t, &b);
	if (!screen)
		return cli_buf_out(&b) == CLI_OK && fflush(stdout) == 0;
	ok = draw(&b);
	buf_fini(&b);
	return ok;
}

/* Until somebody has had enough of it. */
static int loop(struct top *t, uint64_t interval_ms, bool screen)
{
	struct screen s = {.keys = false};
	bool ok = true;
	int r = PAIL_OK;

	cli_catch(true);
	if (screen)
		screen_open(&s);
	while (ok && !quits(&s)) {
		uint64_t until_ms = clock_ms() + interval_ms;

		ok = !t->seen || put(t, screen);
		while (ok && clock_ms() < until_ms && !quits(&s)) {
			watch_wait(until_ms - clock_ms(), s.keys ? STDIN_FILENO : -1);
			ok = !screen || put(t, screen); /* its size may be another */
		}
		if (quits(&s))
			break;
		r = watch_ask(&t->watch, ask, t);
		if (r != PAIL_OK && r != PAIL_UNREACHABLE)
			break;
		t->seen |= r == PAIL_OK;
	}
	if (screen)
		screen_close(&s);
	cli_catch(false);
	return r == PAIL_OK || r == PAIL_UNREACHABLE
		       ? CLI_OK
		       : cli_fail(t->watch.c, r, t->watch.p ? pail_why(t->watch.p) : "");
}

static int once(struct top *t, uint64_t interval_ms)
{
	int r;

	watch_wait(interval_ms, -1);
	r = watch_ask(&t->watch, ask, t);
	if (r != PAIL_OK)
		return cli_fail(t->watch.c, r,
				t->watch.p ? pail_why(t->watch.p) : "the node does not answer");
	return put(t, false) ? CLI_OK : CLI_FAILED;
}

int run_top(struct cli *c)
{
	static struct top t;
	bool screen = !c->once && isatty(STDOUT_FILENO) && c->output != OUTPUT_JSON &&
		      c->output != OUTPUT_RAW;
	bool goes_on =
		screen || (!c->once && (c->output == OUTPUT_JSON || c->output == OUTPUT_RAW));
	int e;

	memset(&t, 0, sizeof(t));
	e = watch_open(&t.watch, c);
	if (e != CLI_OK)
		return e;
	c->status = watch_ask(&t.watch, ask, &t);
	if (c->status != PAIL_OK)
		e = cli_fail(c, c->status,
			     t.watch.p ? pail_why(t.watch.p) : "the node does not answer");
	else if (goes_on)
		e = loop(&t, c->interval ? 1000ull * c->interval : INTERVAL_MS, screen);
	else
		e = once(&t, c->interval ? 1000ull * c->interval : ONCE_MS);
	pail_result_free(&t.status);
	pail_result_free(&t.events);
	watch_close(&t.watch);
	return e;
}
