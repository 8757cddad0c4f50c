/*
 * Files within the program, as the assembler takes them from where they lie: the page's own, and the
 * plotting library of Debian's package libjs-dygraphs, with its licence before it.  (The Makefile
 * names all of them as what this object is made of.)
 */
#include "gateway/page.h"

#include <string.h>

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

const struct page_file *page_find(const char *path)
{
	static struct page_file files[] = {
		{"/",            "text/html; charset=utf-8",       page_html,     0},
		{"/page.css",    "text/css; charset=utf-8",        page_css,      0},
		{"/page.js",     "text/javascript; charset=utf-8", page_js,       0},
		{"/dygraph.js",  "text/javascript; charset=utf-8", page_plot,     0},
		{"/dygraph.css", "text/css; charset=utf-8",        page_plot_css, 0},
	};
	static const char *const ends[] = {page_html_end, page_css_end, page_js_end, page_plot_end,
					   page_plot_css_end};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		files[i].size = (size_t)(ends[i] - files[i].data);
		return &files[i];
	}
	return NULL;
}
