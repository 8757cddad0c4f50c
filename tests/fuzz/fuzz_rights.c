/*
 * The file of clients.  Of what is taken, every answer is asked, and it reads the same again from
 * what it prints.
 */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/security/rights.h"
#include "tests/fuzz/fuzz.h"

static void must(bool is)
{
	if (!is)
		abort();
}

/* A bucket that is named in the file, and what lies beside it. */
static void ask(const struct rights_client *c, const struct grant *g)
{
	struct span name = {g->bucket, g->size};
	struct span begin = {NULL, 0};
	char text[1200];
	bool one = false;

	must((rights_of(c, name) & g->right) || !g->size || g->right == RIGHT_ADMIN);
	must(!name.n || !(rights_of(c, name) & RIGHT_ADMIN));
	(void)rights_of(c, (struct span){g->bucket, g->size / 2u});
	rights_explain(c, g->right | 1, name, text, sizeof(text));
	(void)touch(text, strlen(text));
	for (int past = 0; past < 2; past++)
		if (rights_next_readable(c, name, past, &begin, &one))
			(void)touch(begin.p, begin.n);
	if (g->right != RIGHT_READ)
		return;
	must(rights_next_readable(c, name, false, &begin, &one));
	must(span_compare(begin, name) <= 0);
}

/* From run to run: each lies behind the one before, and they come to an end. */
static void walk(const struct rights_client *c)
{
	struct span at = {"", 0};
	struct span begin;
	char last[WIRE_BUCKET_MAX];
	bool past = false;
	bool one;

	for (unsigned i = 0; rights_next_readable(c, at, past, &begin, &one); i++) {
		must(i < c->grants);
		if (one) {
			at = begin;
		} else {
			memset(last, 0xff, sizeof(last));
			if (begin.n)
				memcpy(last, begin.p, begin.n);
			at = (struct span){last, sizeof(last)};
		}
		past = true;
	}
}

static void print(const struct rights *r, struct buf *out)
{
	for (uint32_t i = 0; i < rights_count(r); i++) {
		const struct rights_client *c = rights_at(r, i);

		buf_fmt(out, "%s %s", c->name, c->key);
		for (uint32_t k = 0; k < c->grants; k++) {
			buf_text(out, " ");
			rights_print(&c->grant[k], out);
		}
		buf_text(out, "\n");
	}
}

/* A line may print longer than it was; then there is nothing to compare. */
static bool lines_fit(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->len; i++) {
		n = b->data[i] == '\n' ? 0 : n + 1;
		if (n > RIGHTS_LINE_MAX)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rights *r = NULL;
	struct rights *again = NULL;
	struct buf errors;
	struct buf first;
	struct buf second;
	unsigned count;

	buf_init(&errors);
	buf_init(&first);
	buf_init(&second);
	if (rights_read((const char *)data, size, "FILE", &r, &errors, &count) < 0) {
		must(!r && count && errors.len);
		(void)touch(errors.data, errors.len);
		buf_fini(&errors);
		return 0;
	}
	must(!count && !errors.len);
	for (uint32_t i = 0; i < rights_count(r); i++) {
		const struct rights_client *c = rights_at(r, i);

		must(rights_find(r, span_of(c->key)) == c && c->grants);
		for (uint32_t k = 0; k < c->grants; k++)
			ask(c, &c->grant[k]);
		walk(c);
	}
	print(r, &first);
	if (lines_fit(&first)) {
		must(rights_read(first.data, first.len, "AGAIN", &again, &errors, &count) == 0);
		print(again, &second);
		must(first.len == second.len &&
		     (!first.len || !memcmp(first.data, second.data, first.len)));
	}
	rights_free(&again);
	rights_free(&r);
	buf_fini(&errors);
	buf_fini(&first);
	buf_fini(&second);
	return 0;
}
