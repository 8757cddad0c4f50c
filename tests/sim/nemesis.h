/* What goes wrong in a run, and its end. */
#ifndef PAIL_SIM_NEMESIS_H
#define PAIL_SIM_NEMESIS_H

#include "tests/sim/links.h"

void nemesis_open(const struct faults *f);
/* Nothing more goes wrong, and what was broken is whole again. */
void nemesis_end(void);
/* A table by chance for each node: who serves which first byte, with detours and circles. */
void nemesis_tables(void);

#endif
