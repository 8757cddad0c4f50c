/*
 * pail export: buckets as lines of JSON, page by page, while the node serves.  A page that cannot
 * be had is asked for again for a while; what is written is always a whole export's beginning, so
 * that it can be gone on with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"
#include "common/clock.h"
#include "include/wire.h"

#define PATIENCE_MS 30000u /* as long as a restart of a node may take, and more */
#define NAP_MS      100u
#define SHOW_MS     200u

/* ---- shared with import ---- */

void cli_progress(bool last, const char *format, ...)
{
	static uint64_t shown_ms;
	uint64_t now = clock_ms();
	char text[120];
	va_list ap;

	if (!isatty(STDERR_FILENO) || (!last && now - shown_ms < SHOW_MS))
		return;
	shown_ms = now;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)fprintf(stderr, "\r\033[K%s%s", text, last ? "\n" : "");
}

bool cli_passes(int status)
{
	return status == PAIL_BUSY || status == PAIL_EXPIRED || status == PAIL_TIMEOUT ||
	       status == PAIL_NODE_DOWN;
}

void cli_nap(void)
{
	const struct timespec nap = {0, NAP_MS * 1000000};

	(void)nanosleep(&nap, NULL);
}

/* ---- one export ---- */

struct export
{
	struct cli *c;
	struct pail *p;
	int fd;
	struct buf out;
	struct buf scope;             /* what it is of, as text */
	char bucket[WIRE_BUCKET_MAX]; /* the one at work, or done last */
	size_t bucket_len;
	char after[WIRE_KEY_MAX]; /* its last key */
	size_t after_len;
	bool begun;     /* there is a head */
	bool in_bucket; /* its line has been written */
	bool has_after;
	bool whole; /* the file had been finished before */
	uint64_t buckets;
	uint64_t keys;
	uint64_t bytes;
	uint64_t time_ms;
};

static struct pail_bytes name_of(const struct export *x)
{
	return (struct pail_bytes){x->bucket, x->bucket_len};
}

static void bucket_set(struct export *x, struct pail_bytes name)
{
	x->bucket_len = name.size < sizeof(x->bucket) ? name.size : sizeof(x->bucket);
	memcpy(x->bucket, name.data, x->bucket_len);
	x->in_bucket = true;
	x->has_after = false;
	x->buckets++;
}

static void key_set(struct export *x, struct pail_bytes key)
{
	x->after_len = key.size < sizeof(x->after) ? key.size : sizeof(x->after);
	memcpy(x->after, key.data, x->after_len);
	x->has_after = true;
	x->keys++;
}

/* Write out what has been gathered.  CLI_OK or CLI_FAILED, which has been said. */
static int out_write(struct export *x)
{
	const char *p = x->out.data;
	size_t n = x->out.len;

	if (x->out.failed)
		return cli_fail(x->c, PAIL_NO_MEMORY, "no memory");
	while (n && !cli_interrupted()) {
		ssize_t k = write(x->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			(void)fprintf(stderr, "pail export: write: %s\n", strerror(errno));
			return CLI_FAILED;
		}
		p += k;
		n -= (size_t)k;
	}
	x->bytes += x->out.len;
	x->out.len = 0;
	return n ? CLI_FAILED : CLI_OK;
}

/* One page, asked for until it comes.  A status of the call. */
static int page(struct export *x, const struct pail_request *q, struct pail_result **ret)
{
	uint64_t until = clock_ms() + PATIENCE_MS;

	for (;;) {
		int r = cli_call(x->p, q, ret);

		if (r == PAIL_OK || !cli_passes(r) || clock_ms() > until || cli_interrupted())
			return r;
		pail_result_free(ret);
		cli_nap();
	}
}

static int fail(struct export *x, int status)
{
	int e = cli_fail(x->c, status, cli_why(x->p));

	if (x->c->file)
		(void)fprintf(stderr, "pail export: --resume %s goes on from here\n", x->c->file);
	return e;
}

/* The keys of x->bucket behind x->after.  `gone` is no error: it was dropped meanwhile. */
static int keys_write(struct export *x, bool gone)
{
	struct pail_request q = {.size = sizeof(q),
				 .method = PAIL_SCAN,
				 .bucket = name_of(x),
				 .limit = WIRE_SCAN_LIMIT_MAX,
				 .timeout_ms = x->c->q.timeout_ms,
				 .with_ttl = true};
	bool more = true;
	int e = CLI_OK;

	while (more && e == CLI_OK) {
		struct pail_result *r = NULL;

		if (x->has_after)
			q.after = (struct pail_bytes){x->after, x->after_len};
		e = page(x, &q, &r);
		if (e == PAIL_NO_BUCKET && gone)
			return pail_result_free(&r), CLI_OK;
		if (e != PAIL_OK)
			return pail_result_free(&r), fail(x, e);
		if (!x->in_bucket) {
			line_write_bucket(&x->out, name_of(x));
			x->in_bucket = true;
			x->buckets++;
		}
		for (size_t i = 0; i < r->item_count; i++) {
			line_write_key(&x->out, &r->items[i]);
			key_set(x, r->items[i].key);
		}
		more = r->more && r->item_count;
		pail_result_free(&r);
		e = out_write(x);
		cli_progress(false, "export: %llu buckets, %llu keys, %.1f MB",
			     (unsigned long long)x->buckets, (unsigned long long)x->keys,
			     (double)x->bytes / 1e6);
	}
	return e;
}

/* All buckets behind x->bucket, page by page of names. */
static int buckets_write(struct export *x)
{
	struct pail_request q = {.size = sizeof(q),
				 .method = PAIL_BUCKETS,
				 .limit = WIRE_SCAN_LIMIT_MAX,
				 .timeout_ms = x->c->q.timeout_ms,
				 .prefix = x->c->q.prefix,
				 .local = x->c->q.local};
	bool more = true;
	int e = CLI_OK;

	while (more && e == CLI_OK) {
		struct pail_result *r = NULL;

		if (x->bucket_len)
			q.after = name_of(x);
		e = page(x, &q, &r);
		if (e != PAIL_OK)
			return pail_result_free(&r), fail(x, e);
		for (size_t i = 0; i < r->item_count && e == CLI_OK; i++) {
			bucket_set(x, r->items[i].key);
			x->buckets--; /* it counts when its line is written */
			x->in_bucket = false;
			e = keys_write(x, true);
		}
		more = r->more && r->item_count;
		pail_result_free(&r);
	}
	return e;
}

/* ---- going on with a file ---- */

static int resume_fail(const char *why)
{
	(void)fprintf(stderr, "pail export: %s\n", why);
	return CLI_FAILED;
}

/* Does a head say what the command line does? */
static bool is_ours(const struct export *x, struct pail_bytes scope)
{
	return scope.size + 1 == x->scope.len && !memcmp(scope.data, x->scope.data, scope.size);
}

/*
 * Before there is a head, may the rest of the file, a line without an end, be cut off?  Only if it
 * is the head's beginning: else the file is somebody's, and not of an export.
 */
static bool is_cut_head(const struct export *x, const struct line_reader *r)
{
	size_t n = r->data.len - r->at;
	struct buf head;
	bool yes;

	buf_init(&head);
	line_write_head(&head, x->scope.failed ? "" : x->scope.data);
	yes = !head.failed && n < head.len && !memcmp(r->data.data + r->at, head.data, n);
	buf_fini(&head);
	return yes;
}

/* Read what is there, and cut off a last line that is not whole. */
static int file_read(struct export *x, const char *name)
{
	struct line_reader r;
	struct line l;
	int k;

	line_reader_init(&r, name, x->fd);
	while ((k = line_next(&r, &l)) == 1) {
		if (x->whole)
			k = -1;
		if (x->whole)
			break;
		if ((l.kind == LINE_HEAD) == x->begun || (!x->begun && !is_ours(x, l.scope))) {
			(void)snprintf(r.why, sizeof(r.why),
				       "\"%.80s\" is no export of what is asked for", name);
			k = -1;
			break;
		}
		if (l.kind == LINE_HEAD)
			x->begun = true;
		else if (l.kind == LINE_END)
			x->whole = true;
		else if (l.kind == LINE_BUCKET)
			bucket_set(x, l.bucket);
		else
			key_set(x, l.key);
	}
	if (k == 0 && r.cut && !x->begun && !is_cut_head(x, &r)) {
		(void)snprintf(r.why, sizeof(r.why), "\"%.80s\" is no export of what is asked for",
			       name);
		k = -1;
	}
	if (k == 0 && (ftruncate(x->fd, (off_t)r.offset) < 0 || lseek(x->fd, 0, SEEK_END) < 0)) {
		(void)snprintf(r.why, sizeof(r.why), "%.80s: %s", name, strerror(errno));
		k = -1;
	}
	line_reader_fini(&r);
	return k == 0 ? CLI_OK : resume_fail(x->whole ? "there is more behind its end" : r.why);
}

static int file_open(struct export *x, const char *name)
{
	struct stat st;

	x->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (x->fd < 0) {
		(void)fprintf(stderr, "pail export: open \"%s\": %s\n", name, strerror(errno));
		return CLI_FAILED;
	}
	if (fstat(x->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)fprintf(stderr, "pail export: \"%s\" is no ordinary file\n", name);
		return CLI_FAILED;
	}
	if (flock(x->fd, LOCK_EX | LOCK_NB) < 0) {
		(void)fprintf(stderr, "pail export: \"%s\" is being written by another\n", name);
		return CLI_FAILED;
	}
	return file_read(x, name);
}

static int one_bucket(struct export *x)
{
	const struct pail_bytes *b = &x->c->bytes[0];

	if (!x->bucket_len && b->size <= WIRE_BUCKET_MAX) {
		bucket_set(x, *b);
		x->buckets--;
		x->in_bucket = false;
	}
	return keys_write(x, false);
}

static int export_run(struct export *x)
{
	int e = CLI_OK;

	if (!x->begun)
		line_write_head(&x->out, x->scope.failed ? "" : x->scope.data);

	if (x->c->args)
		return one_bucket(x);
	if (x->in_bucket)
		e = keys_write(x, true);
	return e == CLI_OK ? buckets_write(x) : e;
}

static int export_end(struct export *x)
{
	int e;

	line_write_end(&x->out, x->buckets, x->keys, x->time_ms);
	e = out_write(x);
	if (e == CLI_OK && x->c->file && fsync(x->fd) < 0) {
		(void)fprintf(stderr, "pail export: sync \"%s\": %s\n", x->c->file,
			      strerror(errno));
		e = CLI_FAILED;
	}
	cli_progress(true, "export: %llu buckets, %llu keys, %.1f MB: whole",
		     (unsigned long long)x->buckets, (unsigned long long)x->keys,
		     (double)x->bytes / 1e6);
	return e;
}

static void hex_write(struct buf *b, struct pail_bytes v)
{
	for (size_t i = 0; i < v.size; i++)
		buf_fmt(b, "%02x", ((const unsigned char *)v.data)[i]);
}

/* What the command line asks for: an export is gone on with by the same one only. */
static void scope_make(struct export *x)
{
	const struct cli *c = x->c;

	buf_text(&x->scope, c->args ? "bucket " : "all");
	if (c->args)
		hex_write(&x->scope, c->bytes[0]);
	if (c->q.prefix.data) {
		buf_text(&x->scope, " prefix ");
		hex_write(&x->scope, c->q.prefix);
	}
	buf_text(&x->scope, c->q.local ? " local" : "");
	buf_add(&x->scope, "", 1);
}

int run_export(struct cli *c)
{
	struct export x = {.c = c, .fd = STDOUT_FILENO, .time_ms = clock_wall_ms()};
	int e = CLI_OK;

	if (c->args && (c->q.prefix.data || c->q.local))
		return cli_usage(command_find("export"),
				 "--prefix and --local choose among buckets: name none");
	buf_init(&x.out);
	buf_init(&x.scope);
	scope_make(&x);
	if (c->file)
		e = file_open(&x, c->file);
	if (e == CLI_OK && x.whole)
		(void)fprintf(stderr, "pail export: \"%s\" is whole already\n", c->file);
	if (e == CLI_OK && !x.whole) {
		e = cli_connect(c, &x.p);
		if (e == CLI_OK)
			e = export_run(&x);
		if (e == CLI_OK)
			e = export_end(&x);
		cli_disconnect(c, &x.p);
	}
	if (c->file && x.fd >= 0)
		(void)close(x.fd);
	buf_fini(&x.out);
	buf_fini(&x.scope);
	return e;
}
