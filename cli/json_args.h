/* What is typed behind `pail call BUCKET MODULE FUNCTION` into a function's arguments. */
#ifndef PAIL_JSON_ARGS_H
#define PAIL_JSON_ARGS_H

#include <stddef.h>

#include "include/pail.h"

/*
 * Add an argument: a JSON value as that, and whatever cannot begin one as a string as it is typed.
 * Returns PAIL_OK or why not, with the reason in `why`.
 */
int json_args_add(struct pail_args *a, struct pail_bytes text, char *why, size_t why_size);

#endif
