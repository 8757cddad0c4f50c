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
 *	words(h, tag, a): g = (h ^ a ^ tag << 56) * 0x9e3779b97f4a7c15; g ^ g >> 32
 *	object(h, x), of
 *	    nil, bool, integer, float    words of the 64 bits, a float's as double
 *	    str, bin                     words of the size; hash64 of the bytes with that as its seed
 *	    array                        words of the count; each element with the one before as its h
 *	    map                          words of the count, then of the sum of all
 *	                                 object(object(0, key), value)
 *	    anything else                as bytes: its MessagePack
 *	fingerprint: the name as a str with h = 0, then each parameter likewise, then the options as a
 *	    map, an empty one if there are none.
 */
uint64_t request_fingerprint(const struct request *r);

#endif
