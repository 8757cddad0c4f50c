/*
 * A request's fingerprint: by it a node tells a request that was sent again from another one under
 * the same number of a session.  It lies in logs and bases beside the outcome, so what it is of
 * never changes: tests/unit/test_fingerprint.c has values.
 */
#ifndef PAIL_FINGERPRINT_H
#define PAIL_FINGERPRINT_H

#include <stdint.h>

#include "ipc/wire/request.h"

/*
 * Of the method's name, the parameters and the options other than timeout, session, seq and ack, by
 * what they say: str and bin are alike, and so are integers of any length and maps in any order.
 * Only of a request that request_check has found right: what it nests is bounded.
 *
 *	object(h, x): hash64 with seed h of
 *	    nil, bool, integer, float    {tag, the 64 bits}, a float as double
 *	    str, bin                     {tag, size}; the bytes with that as their seed
 *	    array                        {tag, count}; each element with the one before as its seed
 *	    map                          {tag, count, sum of object(object(0, key), value)}
 *	    anything else                {tag, size}; its MessagePack with that as its seed
 *	fingerprint: the name as a str with seed 0, then each parameter likewise, then the options as
 *	    a map, an empty one if there are none.
 *
 * Numbers in braces are 64-bit, little-endian.
 */
uint64_t request_fingerprint(const struct request *r);

#endif
