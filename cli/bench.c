/*
 * pail bench: a load generator.  Each client is a connection of its own; each keeps `in flight`
 * requests going, packed `batch` to a frame.  All run in one thread, as the node they measure
 * shares the machine.  Latency is from a request's submission to its callback, in a histogram of
 * 1/16 octave.
 */
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/clock.h"

#define HISTOGRAM   1024u
#define CLIENTS_MAX 1000u
#define BUCKETS_MAX 1000u
#define LOOK_US     20000u
#define PACE_US     1000u
#define NAME_BYTES  50       /* of --bucket */
#define LEAVE_US    2000000u /* after ^C, for the replies still awaited */

/* The mark in a bucket of bench's making. */
#define MARK       "made by"
#define MARK_VALUE "pail bench"

struct bench;

/* A request in flight: what its callback needs. */
struct flight {
	struct bench *b;
	struct lane *lane;
	uint64_t sent_us;
};

struct lane {
	struct pail *p;
	struct flight *flight;
	unsigned *idle; /* indexes of flights that may be sent */
	unsigned idles;
};

struct bench {
	const struct cli *c;
	struct lane lane[CLIENTS_MAX];
	struct pail_bytes bucket[BUCKETS_MAX];
	char name[BUCKETS_MAX][64];
	bool created[BUCKETS_MAX];
	char *value;
	uint64_t random;
	uint64_t sent;
	uint64_t done;
	uint64_t found;
	uint64_t failed;
	uint64_t next_key; /* while loading */
	uint64_t limit;    /* requests to send; 0: until the time is over */
	uint64_t until_ms;
	uint64_t begin_us;
	uint64_t now_us;
	uint64_t leave_us; /* after ^C: until when replies are awaited */
	bool loading;
	char error[256];
	uint64_t histogram[HISTOGRAM];
	uint64_t longest_us;
};

static uint64_t random_next(struct bench *b)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = b->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- latency ---- */

static unsigned bin_of(uint64_t us)
{
	unsigned octave;

	if (us < 16)
		return (unsigned)us;
	octave = 63u - (unsigned)__builtin_clzll(us);
	return (octave - 3) * 16 + (unsigned)(us >> (octave - 4) & 15);
}

static uint64_t bin_top(unsigned bin)
{
	unsigned octave = bin / 16 + 3;

	return bin < 16 ? bin : ((uint64_t)(16 + bin % 16 + 1) << (octave - 4)) - 1;
}

static uint64_t percentile(const struct bench *b, double share)
{
	uint64_t want = (uint64_t)((double)b->done * share);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM; i++) {
		seen += b->histogram[i];
		if (seen > want) /* no more than there was: a bin is wider than what is in it */
			return bin_top(i) < b->longest_us ? bin_top(i) : b->longest_us;
	}
	return 0;
}

/* ---- load ---- */

static void flight_done(void *arg, const struct pail_result *r)
{
	struct flight *f = arg;
	struct bench *b = f->b;
	unsigned bin = bin_of(b->now_us - f->sent_us);

	if (b->now_us - f->sent_us > b->longest_us)
		b->longest_us = b->now_us - f->sent_us;
	b->done++;
	b->found += r->status == PAIL_OK;
	if (r->status != PAIL_OK && r->status != PAIL_NOT_FOUND) {
		if (!b->failed++)
			(void)snprintf(b->error, sizeof(b->error), "%s: %s",
				       pail_status_name(r->status), r->text);
	}
	b->histogram[bin < HISTOGRAM ? bin : HISTOGRAM - 1]++;
	f->lane->idle[f->lane->idles++] = (unsigned)(f - f->lane->flight);
}

/* With a rate: when the next request is to be sent. */
static uint64_t due_us(const struct bench *b)
{
	return b->begin_us + (uint64_t)((double)b->sent * 1e6 / (double)b->c->rate);
}

/* Is there anything left to be sent? */
static bool more(const struct bench *b)
{
	if (cli_interrupted())
		return false;
	if (b->loading)
		return b->next_key < b->c->keys;
	if (b->limit)
		return b->sent < b->limit;
	return b->now_us / 1000 < b->until_ms;
}

static bool may_send(const struct bench *b)
{
	if (b->c->rate && !b->loading && due_us(b) > b->now_us)
		return false;
	return more(b);
}

/* "key:" and twelve digits. */
static void key_write(char *key, uint64_t n)
{
	memcpy(key, "key:", 4);
	for (int i = 15; i >= 4; i--, n /= 10)
		key[i] = (char)('0' + n % 10);
}

/* It was not sent after all.  That the library holds enough for now is no failure. */
static void take_back(struct bench *b, struct lane *l, int status)
{
	l->idles++;
	b->sent--;
	b->next_key -= b->loading;
	if (status != PAIL_BUSY && !b->failed++)
		(void)snprintf(b->error, sizeof(b->error), "%s: %s", pail_status_name(status),
			       pail_why(l->p));
}

/* A status of pail_submit. */
static int send_one(struct bench *b, struct lane *l)
{
	struct flight *f = &l->flight[l->idle[l->idles - 1]];
	struct pail_request q;
	char key[16];
	uint64_t x = b->loading ? b->next_key++ : random_next(b);
	uint64_t n;
	int r;

	memset(&q, 0, sizeof(q));
	q.size = sizeof(q);
	n = b->loading ? x : (uint64_t)(((x >> 32) * b->c->keys) >> 32);
	key_write(key, n);
	q.method = !b->loading && (x & 0xffff) * 100 < (uint64_t)b->c->read_percent << 16
			   ? PAIL_GET
			   : PAIL_PUT;
	q.bucket = b->bucket[n % b->c->buckets];
	q.key = (struct pail_bytes){key, sizeof(key)};
	q.value = (struct pail_bytes){b->value, b->c->value_bytes};
	q.timeout_ms = b->c->q.timeout_ms;
	l->idles--;
	/* With a rate, a request that is sent late has waited: that counts too. */
	f->sent_us = b->c->rate && !b->loading ? due_us(b) : b->now_us;
	b->sent++;
	r = pail_submit(l->p, &q, flight_done, f);
	if (r != PAIL_OK)
		take_back(b, l, r);
	return r;
}

/*
 * Fill up a client whose idle requests make a whole frame, or all of them if it has nothing in
 * flight: frames stay as full as they were asked to be.
 */
static bool lane_fill(struct bench *b, struct lane *l)
{
	unsigned frame = b->c->batch < b->c->in_flight ? b->c->batch : b->c->in_flight;

	while (l->idles >= frame && may_send(b))
		for (unsigned i = 0; i < frame && may_send(b); i++) {
			int r = send_one(b, l);

			if (r != PAIL_OK)
				return r == PAIL_BUSY;
		}
	return true;
}

static void progress(const struct bench *b, uint64_t begin_us, const char *what)
{
	static uint64_t last;
	double seconds = (double)(b->now_us - begin_us) / 1e6;

	if (b->now_us - last < 200000 || !isatty(STDERR_FILENO))
		return;
	last = b->now_us;
	(void)fprintf(stderr, "\r%s: %llu requests, %.0f/s, %llu failed   ", what,
		      (unsigned long long)b->done, (double)b->done / seconds,
		      (unsigned long long)b->failed);
}

static bool busy(struct bench *b)
{
	if (cli_interrupted() && !b->leave_us)
		b->leave_us = b->now_us + LEAVE_US;
	if (b->leave_us && b->now_us > b->leave_us)
		return false;
	for (unsigned i = 0; i < b->c->clients; i++)
		if (pail_in_flight(b->lane[i].p))
			return true;
	return false;
}

/* Send and receive on one connection until there is nothing more to receive. */
static bool lane_run(struct bench *b, struct lane *l)
{
	do {
		b->now_us = clock_us();
		if (!lane_fill(b, l))
			return false;
		b->now_us = clock_us(); /* to fill a million takes its time */
	} while (pail_dispatch(l->p));
	return true;
}

/* Run until there is nothing more to send and all replies are in.  Returns microseconds. */
static uint64_t run(struct bench *b, const char *what)
{
	struct pollfd f[CLIENTS_MAX];
	uint64_t begin = clock_us();
	uint64_t looked = begin; /* when all were looked at, readable or not: for their deadlines */
	uint64_t look_us = b->c->rate ? PACE_US : LOOK_US;
	unsigned n = b->c->clients;

	b->now_us = begin;
	b->begin_us = begin;
	for (unsigned i = 0; i < n; i++)
		f[i].revents = POLLIN; /* to begin with, all are looked at */
	do {
		bool stale = b->now_us - looked > look_us;

		looked = stale ? b->now_us : looked;
		for (unsigned i = 0; i < n; i++) {
			if ((f[i].revents || stale) && !lane_run(b, &b->lane[i]))
				return clock_us() - begin;
			f[i] = (struct pollfd){pail_fd(b->lane[i].p), POLLIN, 0};
		}
		(void)poll(f, n, (int)(look_us / 1000));
		b->now_us = clock_us();
		progress(b, begin, what);
	} while (more(b) || busy(b));
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%60s\r", "");
	return clock_us() - begin;
}

static int report(struct bench *b, uint64_t us, const char *what)
{
	double rate = (double)b->done * 1e6 / (double)(us ? us : 1);
	unsigned long long p50 = percentile(b, 0.5);
	unsigned long long p99 = percentile(b, 0.99);
	unsigned long long p999 = percentile(b, 0.999);
	const struct cli *c = b->c;

	if (c->output == OUTPUT_JSON)
		(void)printf("{\"phase\":\"%s\",\"clients\":%u,\"in_flight\":%u,\"batch\":%u,"
			     "\"keys\":%llu,\"value\":%llu,\"reads\":%u,\"seed\":%llu,"
			     "\"requests\":%llu,\"found\":%llu,\"failed\":%llu,\"seconds\":%.3f,"
			     "\"per_second\":%.0f,\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,"
			     "\"max_us\":%llu}\n",
			     what, c->clients, c->in_flight, c->batch, c->keys, c->value_bytes,
			     c->read_percent, c->seed, (unsigned long long)b->done,
			     (unsigned long long)b->found, (unsigned long long)b->failed,
			     (double)us / 1e6, rate, p50, p99, p999,
			     (unsigned long long)b->longest_us);
	else
		(void)printf("%s: %llu requests in %.2f s: %.0f/s, p50 %.2f ms, p99 %.2f ms, "
			     "p99.9 %.2f ms, max %.2f ms, %llu failed\n",
			     what, (unsigned long long)b->done, (double)us / 1e6, rate,
			     (double)p50 / 1e3, (double)p99 / 1e3, (double)p999 / 1e3,
			     (double)b->longest_us / 1e3, (unsigned long long)b->failed);
	if (b->failed) {
		(void)fprintf(stderr, "pail bench: first failure: %s\n", b->error);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static void reset(struct bench *b)
{
	b->sent = 0;
	b->done = 0;
	b->found = 0;
	b->failed = 0;
	b->longest_us = 0;
	memset(b->histogram, 0, sizeof(b->histogram));
}

static int lanes_open(struct bench *b)
{
	struct cli c = *b->c;

	c.session = NULL; /* each lane has a connection of its own, also in a shell */
	for (unsigned i = 0; i < c.clients; i++) {
		struct lane *l = &b->lane[i];
		int r = cli_connect(&c, &l->p);

		if (r != CLI_OK)
			return r;
		l->flight = calloc(c.in_flight, sizeof(*l->flight));
		l->idle = calloc(c.in_flight, sizeof(*l->idle));
		if (!l->flight || !l->idle)
			return cli_fail(&c, PAIL_NO_MEMORY, "no memory");
		for (unsigned k = 0; k < c.in_flight; k++) {
			l->flight[k].b = b;
			l->flight[k].lane = l;
			l->idle[l->idles++] = k;
		}
	}
	return CLI_OK;
}

static void lanes_close(struct bench *b)
{
	for (unsigned i = 0; i < b->c->clients; i++) {
		pail_close(&b->lane[i].p);
		free(b->lane[i].flight);
		free(b->lane[i].idle);
	}
}

static int measure(struct bench *b)
{
	const struct cli *c = b->c;
	const char *what = c->read_percent == 100 ? "get" : c->read_percent ? "mixed" : "put";
	uint64_t us;
	int r = CLI_OK;

	if (c->load) {
		b->loading = true;
		us = run(b, "load");
		r = report(b, us, "load");
		b->loading = false;
		reset(b);
	}
	if (r != CLI_OK || cli_interrupted())
		return r;
	b->limit = c->requests;
	b->until_ms = clock_ms() + 1000ull * c->seconds;
	us = run(b, what);
	return report(b, us, what);
}

/* Make a bucket and mark it, or see that it is marked: others' data is not to be overwritten. */
static int bucket_make(struct bench *b, unsigned i)
{
	struct pail_bytes mark = pail_str(MARK);
	struct pail *p = b->lane[0].p;
	struct pail_result *r = NULL;
	char why[200];
	int e = pail_create(p, b->bucket[i], &b->created[i]);

	if (e == PAIL_OK && b->created[i])
		e = pail_put(p, b->bucket[i], mark, pail_str(MARK_VALUE), NULL, NULL);
	else if (e == PAIL_OK)
		e = pail_get(p, b->bucket[i], mark, &r);
	pail_result_free(&r);
	if (e == PAIL_OK)
		return CLI_OK;
	(void)snprintf(why, sizeof(why),
		       "bucket \"%s\" is there and not of bench's making: name another by --bucket",
		       b->name[i]);
	return e == PAIL_NOT_FOUND ? cli_fail(b->c, PAIL_BAD_ARGUMENT, why)
				   : cli_fail(b->c, e, pail_why(p));
}

static int buckets_make(struct bench *b)
{
	for (unsigned i = 0; i < b->c->buckets; i++) {
		int e;

		if (b->c->buckets == 1)
			(void)snprintf(b->name[i], sizeof(b->name[i]), "%.50s", b->c->bucket);
		else
			(void)snprintf(b->name[i], sizeof(b->name[i]), "%.50s%u", b->c->bucket, i);
		b->bucket[i] = pail_str(b->name[i]);
		e = bucket_make(b, i);
		if (e != CLI_OK)
			return e;
	}
	return CLI_OK;
}

int run_bench(struct cli *c)
{
	static struct bench bench;
	struct bench *b = &bench;
	int r;

	if (strlen(c->bucket) > NAME_BYTES)
		return cli_usage(command_find("bench"), "--bucket: at most %d bytes", NAME_BYTES);
	memset(b, 0, sizeof(*b));                 /* in a shell it may not be the first time */
	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20); /* measure the node, not page faults of ours */
	(void)mallopt(M_TRIM_THRESHOLD, 8 << 20);
	b->c = c;
	b->random = c->seed;
	b->value = malloc(c->value_bytes + 1);
	if (!b->value)
		return cli_fail(c, PAIL_NO_MEMORY, "no memory");
	for (size_t i = 0; i < c->value_bytes; i++)
		b->value[i] = (char)('a' + i % 26);
	if (!c->session)
		cli_catch(true); /* in a shell it is caught already */
	r = lanes_open(b);
	if (r == CLI_OK)
		r = buckets_make(b);
	if (r == CLI_OK)
		r = measure(b);
	for (unsigned i = 0; i < c->buckets && b->lane[0].p && !c->keep; i++)
		if (b->created[i])
			(void)pail_drop(b->lane[0].p, b->bucket[i], NULL);
	lanes_close(b);
	free(b->value);
	return r;
}
