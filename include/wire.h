/*
 * Numbers of the wire contract (docs/protocol.md) that more than one program needs.  No code, no
 * includes beyond the standard ones: clients in other languages copy this page.
 */
#ifndef PAIL_WIRE_H
#define PAIL_WIRE_H

#define WIRE_PROTOCOL 1
#define WIRE_VERSION  "0.1.0"

#define WIRE_BUCKET_MAX 255u /* bytes of a bucket's name; at least 1 */
#define WIRE_KEY_MAX                                                               \
	480u /* bytes of a key; at least 1.  LMDB's 511 less our 8-byte bucket id, \
		and 8 more for the expiry index */
#define WIRE_VALUE_MAX        (8u << 20)  /* default of limits.value */
#define WIRE_MESSAGE_MAX      (16u << 20) /* default of limits.message */
#define WIRE_REQUESTS_MAX     4096u       /* requests in one message */
#define WIRE_TIMEOUT_MS       5000u       /* a request without the option `timeout` */
#define WIRE_TIMEOUT_MS_MAX   86400000u   /* one day */
#define WIRE_SCAN_LIMIT       100u        /* items of a scan or of buckets, if not said */
#define WIRE_SCAN_LIMIT_MAX   10000u
#define WIRE_SCAN_BYTES_MAX   (1u << 20) /* a scan's reply stops early here */
#define WIRE_PORT_DEFAULT     4040
#define WIRE_ENDPOINT_DEFAULT "tcp://127.0.0.1:4040"
#define WIRE_REPLY_ERROR_MAX  1600u /* bytes of an error reply at most: its text is cut to fit */

/*
 * Methods: name, needs a bucket as first parameter, fewest and most parameters (the options map
 * counted).  The order is the order of the counters in a worker's slot.
 */
#define WIRE_METHODS(X)              \
	X(HELLO, hello, 0, 0, 1)     \
	X(PING, ping, 0, 0, 1)       \
	X(CREATE, create, 1, 1, 2)   \
	X(DROP, drop, 1, 1, 2)       \
	X(BUCKETS, buckets, 0, 0, 1) \
	X(PUT, put, 1, 3, 4)         \
	X(GET, get, 1, 2, 3)         \
	X(DELETE, delete, 1, 2, 3)   \
	X(SCAN, scan, 1, 1, 2)       \
	X(COUNT, count, 1, 1, 2)     \
	X(ROUTE, route, 1, 1, 2)     \
	X(STATUS, status, 0, 0, 1)   \
	X(RELOAD, reload, 0, 0, 1)   \
	X(WORKER, worker, 0, 2, 3)   \
	X(UPGRADE, upgrade, 0, 0, 1)

enum wire_method {
#define X(id, name, bucket, least, most) WIRE_##id,
	WIRE_METHODS(X)
#undef X
		WIRE_METHOD_COUNT
};

/* Error codes of replies, and whether a request so answered may have taken effect. */
#define WIRE_ERRORS(X)                    \
	X(BAD_REQUEST, bad_request)       \
	X(UNKNOWN_METHOD, unknown_method) \
	X(BAD_ARGUMENT, bad_argument)     \
	X(TOO_LARGE, too_large)           \
	X(NO_BUCKET, no_bucket)           \
	X(CONFLICT, conflict)             \
	X(NO_ROUTE, no_route)             \
	X(ROUTE_LOOP, route_loop)         \
	X(NODE_DOWN, node_down)           \
	X(BUSY, busy)                     \
	X(FULL, full)                     \
	X(DENIED, denied)                 \
	X(EXPIRED, expired)               \
	X(TIMEOUT, timeout)               \
	X(INTERNAL, internal)

enum wire_error {
	WIRE_OK,
#define X(id, name) WIRE_E_##id,
	WIRE_ERRORS(X)
#undef X
		WIRE_ERROR_COUNT
};

#endif
