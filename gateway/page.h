/* The page: one file, made when the gateway starts of what was built into the program. */
#ifndef PAIL_PAGE_H
#define PAIL_PAGE_H

#include <stddef.h>

struct page {
	char *data; /* HTML with all that it needs within */
	size_t size;
	char policy[320]; /* the header that lets a browser run that and nothing else */
};

/* 0 or negative errno; *ret is the caller's, for page_fini. */
int page_init(struct page *ret);
void page_fini(struct page *p);

#endif
