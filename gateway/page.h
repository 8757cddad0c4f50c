/* The page and what belongs to it: files that were built into the program. */
#ifndef PAIL_PAGE_H
#define PAIL_PAGE_H

#include <stddef.h>

struct page_file {
	const char *path; /* as asked for */
	const char *type;
	const char *data;
	size_t size;
};

/* NULL: there is no such file. */
const struct page_file *page_find(const char *path);

#endif
