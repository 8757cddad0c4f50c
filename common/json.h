/* Bytes as JSON text. */
#ifndef PAIL_JSON_H
#define PAIL_JSON_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/span.h"

/* Whether they are UTF-8 throughout. */
bool json_is_text(struct span s);

/* Append them as a JSON string; what is no UTF-8 becomes \u00NN, byte by byte. */
void json_string(struct buf *out, struct span s);

/* Append them as a JSON string of base64 (RFC 4648). */
void json_base64(struct buf *out, struct span s);

#endif
