/*
 * Numbers of the wire contract (docs/protocol.md) that more than one program needs.  No code, no
 * includes beyond the standard ones: clients in other languages copy this page.
 */
#ifndef PAIL_WIRE_H
#define PAIL_WIRE_H

#define WIRE_PROTOCOL 1
#define WIRE_VERSION  "0.1.0"

#define WIRE_BUCKET_MAX 255u /* bytes of a bucket's name; at least 1 */
/* Bytes of a key; at least 1.  LMDB's 511 less our bucket id, and 10 more for the expiry index. */
#define WIRE_KEY_MAX          480u
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
#define WIRE_TXN_ENTRIES_MAX  4096u /* conditions and operations of a txn together */
#define WIRE_SESSION_BYTES    16u   /* of a session's id */
#define WIRE_RESULT_MAX       (1u << 20)  /* default of limits.result: a reply of txn or call */
#define WIRE_RESULT_ADD       (64u << 10) /* and beside one value that was read */
#define WIRE_NAME_MAX         255u /* bytes of a module's and of a function's name; at least 1 */
#define WIRE_ARGS_MAX         250u /* arguments of a call */
#define WIRE_LEVELS_MAX       32u  /* arrays and maps within each other, in arguments and results */

/* Options of requests, a bit each; what their values must be stands in ipc/wire/request.c. */
enum option_bit {
	OPT_TIMEOUT = 1 << 0,
	OPT_IF_VERSION = 1 << 1,
	OPT_IF_ABSENT = 1 << 2,
	OPT_TTL = 1 << 3,
	OPT_PREFIX = 1 << 4,
	OPT_FROM = 1 << 5,
	OPT_TO = 1 << 6,
	OPT_AFTER = 1 << 7,
	OPT_LIMIT = 1 << 8,
	OPT_REVERSE = 1 << 9,
	OPT_KEYS_ONLY = 1 << 10,
	OPT_LOCAL = 1 << 11,
	OPT_CLIENT = 1 << 12,
	OPT_SET = 1 << 13,      /* between nodes and workers only */
	OPT_WITH_TTL = 1 << 14, /* of a scan: named ttl, too */
	OPT_SESSION = 1 << 15,
	OPT_SEQ = 1 << 16,
	OPT_ACK = 1 << 17,
	OPT_IF = 1 << 18,
	OPT_THEN = 1 << 19,
	OPT_ELSE = 1 << 20,
	OPT_NAMES = 1 << 21,     /* between nodes and workers only */
	OPT_PARTITIONS = 1 << 22 /* likewise, of a cluster */
};
#define OPT_RANGE (OPT_PREFIX | OPT_AFTER | OPT_LIMIT)
#define OPT_ONCE  (OPT_SESSION | OPT_SEQ | OPT_ACK)
#define OPT_LISTS (OPT_IF | OPT_THEN | OPT_ELSE)

/* What a method is, besides what it does. */
enum method_flag {
	METHOD_BUCKET = 1 << 0, /* its first parameter is a bucket: it runs where that is served */
	METHOD_KEY = 1 << 1,    /* its second one is a key */
	METHOD_WRITES = 1 << 2, /* room for its reply is reserved before it runs; a txn only if
				 * an operation of it writes: ask its entry or item */
	METHOD_LOCAL = 1 << 3,  /* the coordinator answers it: no worker runs it */
	METHOD_ADMIN = 1 << 4,  /* through the admin socket only */
	METHOD_DROPPABLE = 1 << 5, /* if it reads, its finished reply may still become `busy` */
	METHOD_VALUE = 1 << 6,     /* its third parameter is a value */
	METHOD_PARTS = 1 << 7,     /* what it does is in struct entry_parts */
	METHOD_SESSION = 1 << 8,   /* its second parameter is a session, its third a number of it */
};

/* The form of a result. */
enum result_type {
	RESULT_TEXT,
	RESULT_BOOL,
	RESULT_UINT,
	RESULT_VERSION, /* a version, or nil */
	RESULT_VALUE,   /* [value, version], or nil */
	RESULT_HEAD,    /* [size, version, ms left or nil], or nil */
	RESULT_LIST,    /* {items: […], more: bool} */
	RESULT_MAP,
	RESULT_TXN,     /* {ok: bool, results: […]} */
	RESULT_ANY,     /* whatever the function returned */
	RESULT_BYTES,   /* a session's id */
	RESULT_OUTCOME, /* {state: "done", error, result}, or {state: "never"} */
};

/*
 * What a client may, on buckets of its own; a bit each.  At a node with keys a request needs the
 * rights in its method's row: any one of them, but a txn that writes needs WRITE and one that reads
 * READ.  0: to be known is enough.
 */
enum right_bit {
	RIGHT_READ = 1 << 0,
	RIGHT_WRITE = 1 << 1,
	RIGHT_CREATE = 1 << 2,
	RIGHT_CALL = 1 << 3,
	RIGHT_ADMIN = 1 << 4 /* of the whole node, never of a bucket */
};

/*
 * Methods: name, fewest and most parameters (the options map counted), flags, form of the result,
 * options (timeout, which all take, left out), rights.  This table is all that says what a method is;
 * docs/adding-a-method.md says what else a new one needs.  The order is that of the counters in a
 * worker's status and of enum pail_method: new ones come at the end.
 */
/* clang-format off */
#define WIRE_METHODS(X) \
	X(HELLO,   hello,   0, 1, METHOD_LOCAL,                              RESULT_MAP,   OPT_CLIENT, 0) \
	X(PING,    ping,    0, 1, METHOD_LOCAL,                              RESULT_TEXT,  0, 0) \
	X(CREATE,  create,  1, 2, METHOD_BUCKET | METHOD_WRITES,             RESULT_BOOL,  OPT_ONCE, RIGHT_CREATE) \
	X(DROP,    drop,    1, 2, METHOD_BUCKET | METHOD_WRITES,             RESULT_BOOL,  OPT_ONCE, RIGHT_CREATE) \
	X(BUCKETS, buckets, 0, 1, 0,                                         RESULT_LIST,  \
	  OPT_RANGE | OPT_LOCAL | OPT_SET | OPT_NAMES | OPT_PARTITIONS, 0) \
	X(PUT,     put,     3, 4, METHOD_BUCKET | METHOD_KEY | METHOD_VALUE | METHOD_WRITES, RESULT_UINT, \
	  OPT_IF_VERSION | OPT_IF_ABSENT | OPT_TTL | OPT_ONCE, RIGHT_WRITE) \
	X(GET,     get,     2, 3, METHOD_BUCKET | METHOD_KEY | METHOD_DROPPABLE, RESULT_VALUE, 0, RIGHT_READ) \
	X(DELETE,  delete,  2, 3, METHOD_BUCKET | METHOD_KEY | METHOD_WRITES, RESULT_BOOL, OPT_IF_VERSION | OPT_ONCE, RIGHT_WRITE) \
	X(SCAN,    scan,    1, 2, METHOD_BUCKET | METHOD_DROPPABLE,          RESULT_LIST,  \
	  OPT_RANGE | OPT_FROM | OPT_TO | OPT_REVERSE | OPT_KEYS_ONLY | OPT_WITH_TTL, RIGHT_READ) \
	X(COUNT,   count,   1, 2, METHOD_BUCKET,                             RESULT_UINT,  0, RIGHT_READ) \
	X(ROUTE,   route,   1, 2, METHOD_BUCKET | METHOD_LOCAL,              RESULT_MAP,   0, RIGHT_READ) \
	X(STATUS,  status,  0, 1, METHOD_LOCAL,                              RESULT_MAP,   0, RIGHT_ADMIN) \
	X(RELOAD,  reload,  0, 1, METHOD_LOCAL | METHOD_ADMIN,               RESULT_MAP,   0, RIGHT_ADMIN) \
	X(WORKER,  worker,  2, 3, METHOD_LOCAL | METHOD_ADMIN,               RESULT_MAP,   0, RIGHT_ADMIN) \
	X(UPGRADE, upgrade, 0, 1, METHOD_LOCAL | METHOD_ADMIN,               RESULT_MAP,   0, RIGHT_ADMIN) \
	X(HEAD,    head,    2, 3, METHOD_BUCKET | METHOD_KEY | METHOD_DROPPABLE, RESULT_HEAD, 0, RIGHT_READ) \
	X(TOUCH,   touch,   2, 3, METHOD_BUCKET | METHOD_KEY | METHOD_WRITES, RESULT_VERSION, \
	  OPT_IF_VERSION | OPT_TTL | OPT_ONCE, RIGHT_WRITE) \
	X(TXN,     txn,     1, 2, METHOD_BUCKET | METHOD_PARTS | METHOD_WRITES | METHOD_DROPPABLE, RESULT_TXN, \
	  OPT_LISTS | OPT_ONCE, RIGHT_WRITE | RIGHT_READ) \
	X(CALL,    call,    4, 5, METHOD_BUCKET | METHOD_PARTS | METHOD_WRITES, RESULT_ANY, OPT_ONCE, RIGHT_CALL) \
	X(SESSION, session, 0, 1, METHOD_LOCAL,                              RESULT_BYTES, 0, 0) \
	X(OUTCOME, outcome, 3, 4, METHOD_BUCKET | METHOD_SESSION | METHOD_WRITES, RESULT_OUTCOME, 0, RIGHT_WRITE | RIGHT_CALL) \
	X(ACK,     ack,     3, 4, METHOD_BUCKET | METHOD_SESSION | METHOD_WRITES, RESULT_BOOL, 0, RIGHT_WRITE | RIGHT_CALL) \
	X(FUNCTIONS, functions, 0, 1, METHOD_LOCAL | METHOD_ADMIN,           RESULT_MAP,   0, RIGHT_ADMIN) \
	X(CLUSTER_CREATE, cluster_create, 4, 5, METHOD_LOCAL | METHOD_ADMIN, RESULT_MAP,   0, RIGHT_ADMIN) \
	X(CLUSTER_STATUS, cluster_status, 0, 1, METHOD_LOCAL | METHOD_ADMIN, RESULT_MAP,   0, RIGHT_ADMIN) \
	X(CLUSTER_DRAIN,  cluster_drain,  2, 3, METHOD_LOCAL | METHOD_ADMIN, RESULT_MAP,   0, RIGHT_ADMIN) \
	X(METRICS, metrics, 0, 1, METHOD_LOCAL,                              RESULT_MAP,   0, RIGHT_ADMIN) \
	X(EVENTS,  events,  2, 3, METHOD_LOCAL,                              RESULT_MAP,   0, RIGHT_ADMIN)
/* clang-format on */

enum wire_method {
#define X(id, ...) WIRE_##id,
	WIRE_METHODS(X)
#undef X
		WIRE_METHOD_COUNT
};

/* Error codes of replies; the place is enum pail_status, so new ones come at the end. */
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
	X(INTERNAL, internal)             \
	X(NO_FUNCTION, no_function)       \
	X(FAILED, failed)                 \
	X(TOO_LONG, too_long)             \
	X(STALE, stale)                   \
	X(NO_SESSION, no_session)         \
	X(TOO_FEW, too_few)

enum wire_error {
	WIRE_OK,
#define X(id, name) WIRE_E_##id,
	WIRE_ERRORS(X)
#undef X
		WIRE_ERROR_COUNT
};

#endif
