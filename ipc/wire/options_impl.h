/* A map of options, of a request or of an operation in one.  Nobody else includes this. */
#ifndef PAIL_OPTIONS_IMPL_H
#define PAIL_OPTIONS_IMPL_H

#include "ipc/wire/request.h"

/* Who takes options: for the texts of errors, and which. */
struct option_user {
	const char *name; /* of the method */
	const char *list; /* of an operation in it: "then", and */
	uint32_t index;   /* which one; NULL: it is the method itself */
	unsigned options; /* option_bits that are taken */
};

/*
 * Read the object at `p` as a map of options into *o, which holds the defaults.  Returns WIRE_OK, or
 * WIRE_E_BAD_ARGUMENT with the reason in `why`.
 */
enum wire_error options_read(const struct option_user *u, const char *p, struct options *o,
			     char *why, size_t why_size);

#endif
