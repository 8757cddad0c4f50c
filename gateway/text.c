/* From lines to requests, from results to lines. */
#include "gateway/text.h"

#include <string.h>

#define WORDS_MAX 4

static bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The words of a line; more than there may be are counted only. */
static int words(const char *line, size_t n, struct pail_bytes *word)
{
	const char *p = line;
	const char *end = line + n;
	int count = 0;

	for (;;) {
		const char *begin;

		while (p < end && blank(*p))
			p++;
		if (p == end)
			return count;
		begin = p;
		while (p < end && !blank(*p))
			p++;
		if (count < WORDS_MAX)
			word[count] = (struct pail_bytes){begin, (size_t)(p - begin)};
		count++;
	}
}

bool text_parse(const char *line, size_t n, struct pail_request *ret)
{
	static const struct {
		const char *name;
		enum pail_method method;
		int words;
	} commands[] = {
		{"CREATE", PAIL_CREATE, 2},
		{"PUT",    PAIL_PUT,    4},
		{"GET",    PAIL_GET,    3},
		{"DELETE", PAIL_DELETE, 3},
	};
	struct pail_bytes word[WORDS_MAX];
	int count = words(line, n, word);

	memset(ret, 0, sizeof(*ret));
	ret->size = sizeof(*ret);
	for (size_t i = 0; count && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (count != commands[i].words || word[0].size != strlen(commands[i].name) ||
		    memcmp(word[0].data, commands[i].name, word[0].size) != 0)
			continue;
		ret->method = commands[i].method;
		ret->bucket = word[1];
		if (count > 2)
			ret->key = word[2];
		if (count > 3)
			ret->value = word[3];
		return true;
	}
	return false;
}

void text_unknown(struct buf *out)
{
	buf_text(out, "UNKNOWN COMMAND\r\n");
}

void text_error(struct buf *out, const char *code, const char *why)
{
	size_t from;

	buf_text(out, "ERROR ");
	buf_text(out, code);
	buf_text(out, ": ");
	from = out->len;
	buf_text(out, why);
	for (size_t i = from; i < out->len; i++)
		if ((unsigned char)out->data[i] < ' ')
			out->data[i] = ' '; /* one line it must stay */
	buf_text(out, "\r\n");
}

void text_answer(enum pail_method m, const struct pail_result *r, struct buf *out)
{
	bool missing = m == PAIL_GET &&
		       (r->status == PAIL_NOT_FOUND || (r->status == PAIL_OK && !r->value.data));

	if (r->status == PAIL_NO_BUCKET) {
		buf_text(out, "NOT FOUND\r\n");
	} else if (missing) {
		buf_text(out, "\r\nOK\r\n");
	} else if (r->status != PAIL_OK) {
		text_error(out, pail_status_name(r->status), r->text);
	} else if (m == PAIL_GET) {
		buf_add(out, r->value.data, r->value.size);
		buf_text(out, "\r\nOK\r\n");
	} else {
		buf_text(out, "OK\r\n");
	}
}
