/* Numbers and texts as people read them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "cli/cli.h"
#include "cli/human.h"

/* `n` in the largest of the units, each `step` of the one before, that leaves at least one. */
static const char *in_units(uint64_t n, unsigned step, const char *const *unit, unsigned units,
			    char out[HUMAN_MAX])
{
	double v = (double)n;
	unsigned u = 0;

	/* What would be written as a whole step is one of the next unit. */
	while (u + 1 < units && v >= (u ? step - 0.5 : step)) {
		v /= step;
		u++;
	}
	if (u && v < 9.95 && (unsigned)(v * 10 + 0.5) % 10)
		(void)snprintf(out, HUMAN_MAX, "%.1f %s", v, unit[u]);
	else
		(void)snprintf(out, HUMAN_MAX, "%.0f %s", v, unit[u]);
	return out;
}

const char *human_bytes(uint64_t n, char out[HUMAN_MAX])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

	return in_units(n, 1024, unit, 7, out);
}

const char *human_count(uint64_t n, char out[HUMAN_MAX])
{
	static const char *const unit[] = {"", "k", "M", "G", "T", "P", "E"};

	if (n > 99999)
		return in_units(n, 1000, unit, 7, out);
	(void)snprintf(out, HUMAN_MAX, "%" PRIu64, n);
	return out;
}

const char *human_ms(uint64_t ms, char out[HUMAN_MAX])
{
	static const struct {
		const char *large, *small;
		uint64_t seconds; /* of a large one */
		uint64_t part;    /* of a small one */
	} unit[] = {
		{"d",   "h",   86400, 3600},
                {"h",   "min", 3600,  60  },
                {"min", "s",   60,    1   }
        };
	uint64_t s = ms / 1000;

	if (ms < 1000) {
		(void)snprintf(out, HUMAN_MAX, "%" PRIu64 " ms", ms);
		return out;
	}
	(void)snprintf(out, HUMAN_MAX, "%" PRIu64 " s", s);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t small = s % unit[i].seconds / unit[i].part;

		if (s < unit[i].seconds)
			continue;
		if (small)
			(void)snprintf(out, HUMAN_MAX, "%" PRIu64 " %s %" PRIu64 " %s",
				       s / unit[i].seconds, unit[i].large, small, unit[i].small);
		else
			(void)snprintf(out, HUMAN_MAX, "%" PRIu64 " %s", s / unit[i].seconds,
				       unit[i].large);
		break;
	}
	return out;
}

const char *human_date(uint64_t unix_ms, char out[HUMAN_MAX])
{
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, HUMAN_MAX, "%Y-%m-%d %H:%M:%S", &tm))
		(void)snprintf(out, HUMAN_MAX, "%" PRIu64 " ms", unix_ms);
	return out;
}

/* ---- texts ---- */

/* Marks that turn what is around them about: shown as they are, they would hide it. */
static bool is_trick(wchar_t w)
{
	return (w >= 0x200b && w <= 0x200f) || (w >= 0x202a && w <= 0x202e) ||
	       (w >= 0x2060 && w <= 0x2069) || w == 0xfeff;
}

size_t cli_text(struct buf *b, struct pail_bytes v, size_t columns)
{
	const char *p = v.data;
	size_t width = 0;

	for (size_t i = 0; i < v.size;) {
		mbstate_t state = {0};
		wchar_t w = 0;
		size_t n = mbrtowc(&w, p + i, v.size - i, &state);
		bool text = n && n <= v.size - i && iswprint((wint_t)w) && !is_trick(w);
		int wide = text ? wcwidth(w) : 4;

		wide += text && w == L'\\';
		if (width + (size_t)wide > columns) {
			buf_text(b, "...");
			return width + 3;
		}
		if (!text)
			buf_fmt(b, "\\x%02x", (unsigned char)p[i]);
		if (text && w == L'\\')
			buf_text(b, "\\");
		if (text)
			buf_add(b, p + i, n);
		i += text ? n : 1;
		width += (size_t)wide;
	}
	return width;
}

/* ---- lines ---- */

/* The character that begins a text: its bytes, and its columns. */
static size_t character(const char *p, size_t n, size_t *columns)
{
	mbstate_t state = {0};
	wchar_t w = 0;
	size_t bytes = mbrtowc(&w, p, n, &state);
	int wide = bytes && bytes <= n ? wcwidth(w) : 1;

	*columns = wide < 0 ? 1 : (size_t)wide;
	return bytes && bytes <= n ? bytes : 1;
}

/* The bytes of `text` that a line of so many columns has room for, up to a blank if there is one. */
static size_t line(const char *text, size_t n, size_t room)
{
	size_t blank = 0;
	size_t i = 0;

	for (size_t wide = 0; i < n;) {
		size_t columns;
		size_t bytes = character(text + i, n - i, &columns);

		if (wide + columns > room)
			return blank ? blank : i;
		if (text[i] == ' ' && i)
			blank = i;
		wide += columns;
		i += bytes;
	}
	return n;
}

void human_wrap(struct buf *b, const char *text, size_t n, size_t at, size_t indent, size_t columns)
{
	for (size_t i = 0; i < n;) {
		size_t k = line(text + i, n - i, columns > at ? columns - at : 1);
		size_t wide;

		if (!k) /* a character that is wider than the line */
			k = character(text + i, n - i, &wide);
		buf_add(b, text + i, k);
		i += k;
		while (i < n && text[i] == ' ')
			i++;
		if (i < n)
			buf_fmt(b, "\n%*s", (int)indent, "");
		at = indent;
	}
	buf_text(b, "\n");
}

void human_cell(struct buf *b, struct pail_bytes text, size_t columns)
{
	size_t before = b->len;
	size_t wide = cli_text(b, text, SIZE_MAX);

	if (wide > columns && !b->failed) {
		b->len = before;
		wide = cli_text(b, text, columns - 3);
	}
	if (wide < columns)
		buf_fmt(b, "%*s", (int)(columns - wide), "");
}
