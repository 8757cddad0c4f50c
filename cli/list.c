/* scan and buckets: lists, one page or all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/json.h"
#include "include/wire.h"

#define KEY_COLUMNS   60u  /* of a table, at most */
#define NAME_COLUMNS  2000 /* more than any name takes */
#define VALUE_COLUMNS 100u

void cli_json_field(struct buf *b, const char *name, struct pail_bytes v)
{
	struct span s = {v.data, v.size};

	if (json_is_text(s)) {
		buf_fmt(b, "\"%s\":", name);
		json_string(b, s);
	} else {
		buf_fmt(b, "\"%s_base64\":", name);
		json_base64(b, s);
	}
}

/* ---- the three forms ---- */

struct listing {
	struct cli *c;
	bool bucket;  /* of names, not of keys */
	size_t width; /* of a table's first column */
	uint64_t count;
	struct buf out;
};

void cli_item_json(struct buf *b, const struct pail_item *i, struct cli_shown show)
{
	buf_text(b, "{");
	cli_json_field(b, show.buckets ? "bucket" : "key", i->key);
	if (!show.buckets && !show.keys_only) {
		buf_text(b, ",");
		cli_json_field(b, "value", i->value);
	}
	if (!show.buckets)
		buf_fmt(b, ",\"version\":%llu", (unsigned long long)i->version);
	if (show.ttl && i->ttl_ms)
		buf_fmt(b, ",\"ttl\":%llu", (unsigned long long)i->ttl_ms);
	else if (show.ttl)
		buf_text(b, ",\"ttl\":null");
	buf_text(b, "}");
}

void cli_item_raw(struct buf *b, const struct pail_item *i, struct cli_shown show)
{
	buf_add(b, i->key.data, i->key.size);
	if (!show.buckets && !show.keys_only) {
		buf_text(b, "\t");
		buf_add(b, i->value.data, i->value.size);
	}
	if (show.ttl && i->ttl_ms)
		buf_fmt(b, "\t%llu", (unsigned long long)i->ttl_ms);
	else if (show.ttl)
		buf_text(b, "\t-");
	buf_text(b, "\n");
}

static void item_row(struct listing *l, const struct pail_item *i)
{
	struct buf *b = &l->out;
	size_t n = cli_text(b, i->key, NAME_COLUMNS);

	if (!l->bucket) {
		buf_fmt(b, "%*s  %10llu", n < l->width ? (int)(l->width - n) : 0, "",
			(unsigned long long)i->version);
		if (l->c->q.with_ttl && i->ttl_ms)
			buf_fmt(b, "  %10llu", (unsigned long long)i->ttl_ms);
		else if (l->c->q.with_ttl)
			buf_fmt(b, "  %10s", "-");
		if (!l->c->q.keys_only) {
			buf_text(b, "  ");
			(void)cli_text(b, i->value, VALUE_COLUMNS);
		}
	}
	buf_text(b, "\n");
}

/* The first line, as wide as the first page's keys want it. */
static void table_head(struct listing *l, const struct pail_result *r)
{
	const char *on = cli_colour() ? "\033[1m" : "";
	const char *off = *on ? "\033[0m" : "";
	struct buf name;

	l->width = 3;
	buf_init(&name);
	for (size_t i = 0; i < r->item_count; i++) {
		size_t n = cli_text(&name, r->items[i].key, NAME_COLUMNS);

		l->width = n > l->width ? n : l->width;
	}
	buf_fini(&name);
	if (l->width > KEY_COLUMNS)
		l->width = KEY_COLUMNS;
	if (l->bucket)
		buf_fmt(&l->out, "%sBUCKET%s\n", on, off);
	else
		buf_fmt(&l->out, "%s%-*s  %10s%s%s%s\n", on, (int)l->width, "KEY", "VERSION",
			l->c->q.with_ttl ? "      TTL MS" : "", l->c->q.keys_only ? "" : "  VALUE",
			off);
}

static void page_add(struct listing *l, const struct pail_result *r, bool first)
{
	const struct cli_shown show = {l->bucket, l->c->q.keys_only, l->c->q.with_ttl};
	enum cli_output form = l->c->output;

	if (first && form == OUTPUT_JSON)
		buf_text(&l->out, "{\"items\":[");
	else if (first && form != OUTPUT_RAW)
		table_head(l, r);
	for (size_t i = 0; i < r->item_count; i++, l->count++)
		if (form == OUTPUT_JSON) {
			buf_text(&l->out, l->count ? "," : "");
			cli_item_json(&l->out, &r->items[i], show);
		} else if (form == OUTPUT_RAW) {
			cli_item_raw(&l->out, &r->items[i], show);
		} else {
			item_row(l, &r->items[i]);
		}
}

/* ---- pages ---- */

/* Write out a page.  CLI_OK or CLI_FAILED. */
static int page_write(struct listing *l)
{
	bool ok = !l->out.failed && cli_write(l->out.data, l->out.len);

	l->out.len = 0;
	return ok ? CLI_OK : CLI_FAILED;
}

/* Copy the last key: the next page begins behind it.  NULL without memory. */
static char *last_copy(const struct pail_result *r, struct pail_bytes *ret)
{
	const struct pail_bytes *last = &r->items[r->item_count - 1].key;
	char *copy = malloc(last->size + 1);

	if (copy)
		memcpy(copy, last->data, last->size);
	*ret = (struct pail_bytes){copy, last->size};
	return copy;
}

static int list(struct cli *c, enum pail_method m)
{
	struct listing l = {.c = c, .bucket = m == PAIL_BUCKETS};
	const char *name = m == PAIL_BUCKETS ? "buckets" : "scan";
	char *after = NULL;
	bool more = true;
	int e = CLI_OK;

	if (c->all && !c->q.limit)
		c->q.limit = WIRE_SCAN_LIMIT_MAX;
	for (bool first = true; more && e == CLI_OK; first = false) {
		struct pail_result *r;

		e = cli_ask(c, m, &r);
		if (e != CLI_OK)
			break;
		page_add(&l, r, first);
		more = r->more && r->item_count;
		free(after);
		after = more ? last_copy(r, &c->q.after) : NULL;
		if (l.c->output == OUTPUT_JSON && !(more && c->all))
			buf_fmt(&l.out, "],\"more\":%s}\n", r->more ? "true" : "false");
		e = page_write(&l);
		if (e == CLI_OK && more && !c->all && c->output != OUTPUT_JSON)
			(void)fprintf(stderr,
				      "pail %s: there are more than these %llu: --all for all, or "
				      "--after the last one\n",
				      name, (unsigned long long)l.count);
		if (e == CLI_OK && more && !after)
			e = cli_fail(c, PAIL_NO_MEMORY, "no memory");
		pail_result_free(&r);
		if (!c->all)
			break;
	}
	free(after);
	buf_fini(&l.out);
	return e;
}

int run_scan(struct cli *c)
{
	c->q.bucket = c->bytes[0];
	return list(c, PAIL_SCAN);
}

int run_buckets(struct cli *c)
{
	return list(c, PAIL_BUCKETS);
}
