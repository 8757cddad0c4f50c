/*
 * Files within the program, as the assembler takes them from where they lie: the page's own, and the
 * plotting library of Debian's package libjs-dygraphs, with its licence before it.  (The Makefile
 * names all of them as what this object is made of.)
 */
#include "gateway/page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/check.h"

/* (For tools that read this file alone.) */
#ifndef PAGE_PLOT
#define PAGE_PLOT         "/usr/share/javascript/dygraphs/dygraph.min.js"
#define PAGE_PLOT_CSS     "/usr/share/javascript/dygraphs/dygraph.min.css"
#define PAGE_PLOT_LICENCE "/usr/share/doc/libjs-dygraphs/copyright"
#endif

#define EMBED(name, parts)                                                            \
	__asm__(".section .rodata\n.balign 16\npage_" #name ":\n" parts "page_" #name \
		"_end:\n.byte 0\n.previous\n");                                       \
	extern const char page_##name[] __attribute__((visibility("hidden")));        \
	extern const char page_##name##_end[] __attribute__((visibility("hidden")))
#define FILE_AT(path) ".incbin \"" path "\"\n"
#define TEXT(s)       ".ascii \"" s "\"\n"

EMBED(html, FILE_AT("gateway/page/page.html"));
EMBED(css, FILE_AT("gateway/page/page.css"));
EMBED(js, FILE_AT("gateway/page/page.js"));
EMBED(plot, TEXT("/*\\n") FILE_AT(PAGE_PLOT_LICENCE) TEXT("\\n*/\\n") FILE_AT(PAGE_PLOT));
EMBED(plot_css, FILE_AT(PAGE_PLOT_CSS));

#define NONCE_BYTES 16u

/* A line of the page that is replaced by what it refers to. */
static const struct {
	const char *line;
	const char *tag;
	const char *data;
	const char *end;
} parts[] = {
	{"<link rel=\"stylesheet\" href=\"/dygraph.css\">", "style",  page_plot_css,
	 page_plot_css_end									},
	{"<link rel=\"stylesheet\" href=\"/page.css\">",    "style",  page_css,      page_css_end },
	{"<script src=\"/dygraph.js\" defer></script>",     "script", page_plot,     page_plot_end},
	{"<script src=\"/page.js\" defer></script>",        "script", page_js,       page_js_end  },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* A script runs where it stands: the page's own waits until all of the page is there. */
static void part_add(struct buf *b, size_t i, const char *nonce)
{
	bool waits = parts[i].data == page_js;

	buf_fmt(b, "<%s nonce=\"%s\">\n%s", parts[i].tag, nonce,
		waits ? "addEventListener(\"DOMContentLoaded\", () => {\n" : "");
	buf_add(b, parts[i].data, (size_t)(parts[i].end - parts[i].data));
	buf_fmt(b, "\n%s</%s>", waits ? "});\n" : "", parts[i].tag);
}

static void page_write(struct buf *b, const char *nonce)
{
	const char *p = page_html;

	for (size_t i = 0; i < PARTS; i++) {
		const char *at = memmem(p, (size_t)(page_html_end - p), parts[i].line,
					strlen(parts[i].line));

		check(at); /* the page was built with it, in this order */
		buf_add(b, p, (size_t)(at - p));
		part_add(b, i, nonce);
		p = at + strlen(parts[i].line);
	}
	buf_add(b, p, (size_t)(page_html_end - p));
}

int page_init(struct page *ret)
{
	unsigned char random[NONCE_BYTES];
	char nonce[2 * NONCE_BYTES + 1];
	struct buf b;

	memset(ret, 0, sizeof(*ret));
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (unsigned i = 0; i < NONCE_BYTES; i++)
		(void)snprintf(nonce + 2 * (size_t)i, 3, "%02x", random[i]);
	buf_init(&b);
	page_write(&b, nonce);
	if (b.failed) {
		buf_fini(&b);
		return -ENOMEM;
	}
	ret->data = b.data;
	ret->size = b.len;
	(void)snprintf(ret->policy, sizeof(ret->policy),
		       "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; "
		       "style-src 'nonce-%s'; connect-src 'self'; img-src data:; base-uri 'none'; "
		       "form-action 'none'; frame-ancestors 'none'\r\n",
		       nonce, nonce);
	return 0;
}

void page_fini(struct page *p)
{
	free(p->data);
	p->data = NULL;
}
