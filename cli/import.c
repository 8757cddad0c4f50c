/*
 * pail import: what `pail export` wrote, put again.  Many puts are in flight; one that a node
 * refuses for the moment, or whose outcome is not known, is sent again for a while: each only makes
 * what is not there, so that twice is as good as once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"
#include "common/clock.h"

#define OPS         256u
#define BYTES       (8u << 20) /* of values in flight; a larger one goes alone */
#define PATIENCE_MS 30000u
#define WAIT_MS     100

/* A key on its way. */
struct op {
	struct import *m;
	enum { OP_FREE, OP_SENT, OP_PUT, OP_COMPARE } state; /* the last two: to be sent */
	bool compares;
	struct buf data; /* bucket, key and value, one behind the other */
	size_t bucket_len, key_len;
	uint64_t ttl_ms;
	uint64_t line;
	uint64_t until_ms;
};

struct import {
	struct cli *c;
	struct pail *p;
	struct line_reader reader;
	struct op op[OPS];
	unsigned busy; /* of them not free */
	size_t bytes;  /* in them */
	bool nap;      /* one was refused for the moment */
	struct buf bucket;
	bool in_bucket;
	bool ended;
	uint64_t buckets, keys; /* since the last end */
	uint64_t all_buckets, put, present, conflicts;
	int status; /* the first failure, enum pail_status */
	char why[500];
};

static void fail(struct import *m, uint64_t line, int status, const char *text)
{
	if (m->status == PAIL_OK)
		(void)snprintf(m->why, sizeof(m->why), "%.100s:%llu: %.300s", m->reader.name,
			       (unsigned long long)line, text);
	if (m->status == PAIL_OK)
		m->status = status;
}

/* ---- keys on their way ---- */

static struct pail_bytes op_part(const struct op *o, size_t from, size_t n)
{
	return (struct pail_bytes){o->data.data + from, n};
}

static struct pail_bytes op_value(const struct op *o)
{
	size_t from = o->bucket_len + o->key_len;

	return op_part(o, from, o->data.len - from);
}

static void op_free(struct op *o)
{
	o->state = OP_FREE;
	o->m->busy--;
	o->m->bytes -= o->data.len;
}

static void compared(struct op *o, const struct pail_result *r)
{
	struct import *m = o->m;
	struct pail_bytes v = op_value(o);
	struct buf b;

	if (r->value.size == v.size && !memcmp(r->value.data, v.data, v.size)) {
		m->present++;
	} else if (!m->conflicts++) {
		buf_init(&b);
		buf_text(&b, "key \"");
		(void)cli_text(&b, op_part(o, o->bucket_len, o->key_len), 60);
		buf_text(&b, "\" is there with another value; --replace overwrites such");
		buf_add(&b, "", 1);
		(void)snprintf(m->why, sizeof(m->why), "%.100s:%llu: %.300s", m->reader.name,
			       (unsigned long long)o->line, b.failed ? "no memory" : b.data);
		buf_fini(&b);
	}
	op_free(o);
}

static void op_done(void *arg, const struct pail_result *r)
{
	struct op *o = arg;
	struct import *m = o->m;

	if (r->status == PAIL_OK && o->compares) {
		compared(o, r);
	} else if (r->status == PAIL_OK) {
		m->put++;
		op_free(o);
	} else if (r->status == PAIL_CONFLICT) {
		o->state = OP_COMPARE;
	} else if (o->compares && r->status == PAIL_NOT_FOUND) {
		o->state = OP_PUT; /* it has gone meanwhile */
	} else if (cli_passes(r->status) && clock_ms() < o->until_ms && m->status == PAIL_OK) {
		o->state = o->compares ? OP_COMPARE : OP_PUT;
		m->nap = true;
	} else {
		fail(m, o->line, r->status, r->text);
		op_free(o);
	}
}

static void op_send(struct op *o)
{
	struct import *m = o->m;
	struct pail_request q = {.size = sizeof(q),
				 .bucket = op_part(o, 0, o->bucket_len),
				 .key = op_part(o, o->bucket_len, o->key_len),
				 .timeout_ms = m->c->q.timeout_ms};
	int r;

	o->compares = o->state == OP_COMPARE;
	q.method = o->compares ? PAIL_GET : PAIL_PUT;
	if (!o->compares) {
		q.value = op_value(o);
		q.ttl_ms = o->ttl_ms;
		q.if_absent = !m->c->replace;
	}
	o->state = OP_SENT;
	r = pail_submit(m->p, &q, op_done, o);
	if (r == PAIL_OK)
		return;
	fail(m, o->line, r, pail_why(m->p));
	op_free(o);
}

/* Wait for replies, and send what is to be sent again. */
static void turn(struct import *m)
{
	if (m->nap)
		cli_nap();
	m->nap = false;
	for (unsigned i = 0; i < OPS; i++)
		if (m->op[i].state == OP_PUT || m->op[i].state == OP_COMPARE)
			op_send(&m->op[i]);
	if (m->busy)
		(void)pail_wait(m->p, WAIT_MS);
	cli_progress(false, "import: %llu keys, %llu of them were there, %.1f MB read",
		     (unsigned long long)(m->put + m->present), (unsigned long long)m->present,
		     (double)m->reader.offset / 1e6);
}

/* Until all are done.  After a failure those that would go again are done too. */
static void drain(struct import *m)
{
	while (m->busy && !cli_interrupted())
		turn(m);
}

static void key_take(struct import *m, const struct line *l)
{
	size_t n = m->bucket.len + l->key.size + l->value.size;
	struct op *o = m->op;

	while ((m->busy == OPS || (m->busy && m->bytes + n > BYTES)) && !cli_interrupted())
		turn(m);
	if (cli_interrupted() || m->status != PAIL_OK)
		return;
	while (o->state != OP_FREE)
		o++;
	o->m = m;
	o->data.len = 0;
	buf_add(&o->data, m->bucket.data, m->bucket.len);
	buf_add(&o->data, l->key.data, l->key.size);
	buf_add(&o->data, l->value.data, l->value.size);
	if (o->data.failed) {
		fail(m, m->reader.number, PAIL_NO_MEMORY, "no memory");
		return;
	}
	o->bucket_len = m->bucket.len;
	o->key_len = l->key.size;
	o->ttl_ms = l->ttl_ms;
	o->line = m->reader.number;
	o->until_ms = clock_ms() + PATIENCE_MS;
	o->state = OP_PUT;
	m->busy++;
	m->bytes += n;
	m->keys++;
	op_send(o);
}

/* ---- lines ---- */

static void bucket_take(struct import *m, struct pail_bytes name)
{
	struct pail_request q = {
		.size = sizeof(q), .method = PAIL_CREATE, .timeout_ms = m->c->q.timeout_ms};
	uint64_t until = clock_ms() + PATIENCE_MS;
	struct pail_result *r = NULL;
	int status;

	if (m->c->as.data && m->all_buckets) {
		fail(m, m->reader.number, PAIL_BAD_ARGUMENT, "a second bucket: --as is for one");
		return;
	}
	if (m->c->as.data)
		name = m->c->as;
	m->bucket.len = 0;
	buf_add(&m->bucket, name.data, name.size);
	q.bucket = (struct pail_bytes){m->bucket.data, m->bucket.len};
	while ((status = cli_call(m->p, &q, &r)) != PAIL_OK && cli_passes(status) &&
	       clock_ms() < until && !cli_interrupted()) {
		pail_result_free(&r);
		cli_nap();
	}
	if (status != PAIL_OK)
		fail(m, m->reader.number, status, cli_why(m->p));
	pail_result_free(&r);
	m->in_bucket = true;
	m->buckets++;
	m->all_buckets++;
}

static void end_take(struct import *m, const struct line *l)
{
	char why[200];

	(void)snprintf(why, sizeof(why),
		       "the end counts %llu keys in %llu buckets, there were %llu in %llu",
		       (unsigned long long)l->keys, (unsigned long long)l->buckets,
		       (unsigned long long)m->keys, (unsigned long long)m->buckets);
	if (l->keys != m->keys || l->buckets != m->buckets)
		fail(m, m->reader.number, PAIL_BAD_ARGUMENT, why);
	m->keys = 0;
	m->buckets = 0;
	m->in_bucket = false;
	m->ended = true;
}

static void lines_take(struct import *m)
{
	struct line l;
	int k = 1;

	while (m->status == PAIL_OK && !cli_interrupted() && (k = line_next(&m->reader, &l)) == 1) {
		if (l.kind == LINE_HEAD && m->in_bucket) {
			fail(m, m->reader.number, PAIL_BAD_ARGUMENT,
			     "an export begins before the one before it has ended");
			break;
		}
		if (l.kind == LINE_HEAD)
			continue;
		if (l.kind == LINE_END) {
			end_take(m, &l);
			continue;
		}
		m->ended = false;
		if (l.kind == LINE_BUCKET)
			bucket_take(m, l.bucket);
		else if (m->in_bucket)
			key_take(m, &l);
		else
			fail(m, m->reader.number, PAIL_BAD_ARGUMENT, "a key without a bucket");
	}
	drain(m); /* what went wrong before this line is said before it */
	if (k < 0 && !cli_interrupted() && m->status == PAIL_OK) {
		m->status = PAIL_BAD_ARGUMENT; /* the reader has named the line */
		(void)snprintf(m->why, sizeof(m->why), "%s", m->reader.why);
	}
	if (k == 0 && !m->ended)
		fail(m, m->reader.number, PAIL_BAD_ARGUMENT,
		     "the input is not whole: its last line, the end, has not come");
}

/* ---- the whole ---- */

static int report(struct import *m)
{
	const struct cli *c = m->c;
	struct buf b;
	int e;

	cli_progress(true, "import: done");
	buf_init(&b);
	buf_fmt(&b,
		c->output == OUTPUT_JSON || c->output == OUTPUT_RAW
			? "{\"put\":%llu,\"present\":%llu,\"conflicts\":%llu,\"buckets\":%llu}\n"
			: "%llu keys put, %llu were there already, %llu conflicts, %llu buckets\n",
		(unsigned long long)m->put, (unsigned long long)m->present,
		(unsigned long long)m->conflicts, (unsigned long long)m->all_buckets);
	e = cli_buf_out(&b);
	if (cli_interrupted())
		return cli_fail(c, PAIL_TIMEOUT, "interrupted; begun again, it goes on");
	if (m->status != PAIL_OK)
		return cli_fail(c, m->status, m->why);
	return m->conflicts ? cli_fail(c, PAIL_CONFLICT, m->why) : e;
}

int run_import(struct cli *c)
{
	struct import *m = calloc(1, sizeof(*m));
	const char *name = c->args ? c->arg[0] : "stdin";
	int fd = STDIN_FILENO;
	int e;

	if (!m)
		return cli_fail(c, PAIL_NO_MEMORY, "no memory");
	if (c->session && !c->args) {
		free(m);
		return cli_usage(command_find("import"), "in a shell the file must be given");
	}
	if (c->args)
		fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)fprintf(stderr, "pail import: open \"%s\": %s\n", name, strerror(errno));
		free(m);
		return CLI_FAILED;
	}
	m->c = c;
	line_reader_init(&m->reader, name, fd);
	e = cli_connect(c, &m->p);
	if (e == CLI_OK) {
		lines_take(m);
		e = report(m);
		/* What is left after ^C must not come back to what is freed here. */
		if (m->busy && c->session)
			pail_close(&c->session->p);
		cli_disconnect(c, &m->p);
	}
	for (unsigned i = 0; i < OPS; i++)
		buf_fini(&m->op[i].data);
	buf_fini(&m->bucket);
	line_reader_fini(&m->reader);
	if (c->args)
		(void)close(fd);
	free(m);
	return e;
}
