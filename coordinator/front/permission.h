/* What a client may, judged by the node that it is connected to, before anything is looked up. */
#ifndef PAIL_PERMISSION_H
#define PAIL_PERMISSION_H

#include "coordinator/front/message.h"

/*
 * May whoever sent the message have this request run?  Operators may everything; nodes, and without
 * keys everybody, all but what is the operators' own.  WIRE_OK, or WIRE_E_DENIED with
 * its text.
 */
enum wire_error permission_check(const struct message *m, const struct request *q,
				 const struct options *o, char *text, size_t size);

#endif
