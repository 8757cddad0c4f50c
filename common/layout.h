/*
 * Writing down how a struct lies in memory that another program reads, be it a process of another
 * version or a later one that finds it on disk: so that nobody changes it without noticing.
 */
#ifndef PAIL_LAYOUT_H
#define PAIL_LAYOUT_H

#include <stddef.h>

#define LAYOUT_TOLD \
	"others read this layout: if it must change, raise its version and write down the new one"

#define LAYOUT_SIZE(s, n)      _Static_assert(sizeof(struct s) == (n), LAYOUT_TOLD)
#define LAYOUT_AT(s, field, n) _Static_assert(offsetof(struct s, field) == (n), LAYOUT_TOLD)
#define LAYOUT_IS(value, n)    _Static_assert((value) == (n), LAYOUT_TOLD)

#endif
