/*
 * From the folder functions.dir to a set of modules that workers load (ipc/shm/modules.h).  The
 * folder is read at the start and at each reload, by nobody else and at no other time.
 */
#ifndef PAIL_FUNCTIONS_FOLDER_H
#define PAIL_FUNCTIONS_FOLDER_H

#include <stdint.h>

#include "common/config/config.h"
#include "ipc/shm/modules.h"

#define FUNCTIONS_START_MS  10000u /* for a check while nobody waits */
#define FUNCTIONS_RELOAD_MS 1000u  /* for one while the node's loop stands still */

/*
 * Read the folder, if one is set, and have what was read compiled and run by a pail-worker, which
 * must be done after limit_ms.  0 with *ret the caller's; or -EINVAL, and c->errors says what is
 * wrong, with file and line.
 */
int functions_folder_accept(struct conf *c, uint64_t generation, unsigned limit_ms,
			    struct modules **ret);

#endif
