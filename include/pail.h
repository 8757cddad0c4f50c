/*
 * libpail: the C client of a Pail node.
 *
 *	struct pail *p = NULL;
 *	uint64_t version = 0;
 *
 *	if (pail_open("tcp://127.0.0.1:4040", NULL, &p) == PAIL_OK &&
 *	    pail_create(p, pail_str("fruit"), NULL) == PAIL_OK &&
 *	    pail_put(p, pail_str("fruit"), pail_str("apple"), pail_str("red"), NULL,
 *		     &version) == PAIL_OK)
 *		printf("version %llu\n", (unsigned long long)version);
 *	pail_close(&p);
 *
 * A connection belongs to one thread at a time; different connections are independent.  Every call
 * returns PAIL_OK or one of enum pail_status; pail_why tells the reason of the last call that
 * failed.  Nothing here prints, ends the process, or waits longer than its deadline.
 *
 * Names, keys and values are bytes: a struct pail_bytes is a pointer and a size, and stays the
 * caller's unless said otherwise.  Sizes are bytes, times milliseconds.
 */
#ifndef PAIL_H
#define PAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAIL_API __attribute__((visibility("default")))

/*
 * What stays as it is while the library is libpail.so.1, so that programs and libraries of
 * different age go together: enums, options, requests and results grow at their end only, and
 * struct pail_item does not grow.  Structs that a program fills in begin with their size, as it was
 * when the program was compiled; fields behind it are taken as zero.  A size of 0, or a field that
 * is set and that an older library does not know, is PAIL_BAD_ARGUMENT.
 *
 *	struct pail_request q = {.size = sizeof(q), .method = PAIL_GET};
 */

/* Outcomes.  1 to 21 are the codes of the wire contract; only TIMEOUT and INTERNAL leave it open
 * whether the request took effect, all the others say that it did not. */
enum pail_status {
	PAIL_OK = 0,
	PAIL_BAD_REQUEST = 1,
	PAIL_UNKNOWN_METHOD = 2,
	PAIL_BAD_ARGUMENT = 3,
	PAIL_TOO_LARGE = 4,
	PAIL_NO_BUCKET = 5,
	PAIL_CONFLICT = 6, /* a condition did not hold */
	PAIL_NO_ROUTE = 7,
	PAIL_ROUTE_LOOP = 8,
	PAIL_NODE_DOWN = 9,
	PAIL_BUSY = 10, /* try again later */
	PAIL_FULL = 11, /* deletes still work */
	PAIL_DENIED = 12,
	PAIL_EXPIRED = 13,  /* its time was over before it was started */
	PAIL_TIMEOUT = 14,  /* no outcome in time: it may or may not have taken effect */
	PAIL_INTERNAL = 15, /* a fault of the node: likewise */
	PAIL_NO_FUNCTION = 16,
	PAIL_FAILED = 17,     /* the function raised an error */
	PAIL_TOO_LONG = 18,   /* the function used up its time or its memory */
	PAIL_STALE = 19,      /* a number of a session that was acknowledged or ruled out before */
	PAIL_NO_SESSION = 20, /* the session is too old to be known */
	PAIL_TOO_FEW = 21,    /* fewer copies are in sync than the cluster wants: try again later */
	/* of the client itself */
	PAIL_NOT_FOUND = 100,   /* get, head, touch: there is no such key */
	PAIL_UNREACHABLE = 101, /* no node answered on that endpoint */
	PAIL_NO_MEMORY = 102,
	PAIL_PROTOCOL = 103, /* the node sent what is no reply */
	PAIL_CLOSED = 104    /* the connection was closed before the reply came */
};

/* The name of a status, as the wire contract writes it. */
PAIL_API const char *pail_status_name(int status);

struct pail_bytes {
	const void *data;
	size_t size;
};

/* The bytes of a string without its NUL. */
static inline struct pail_bytes pail_str(const char *s)
{
	struct pail_bytes b;

	b.data = s;
	b.size = strlen(s);
	return b;
}

/* ---- connecting ---- */

struct pail;

struct pail_options {
	size_t size;         /* of this struct */
	uint32_t connect_ms; /* how long pail_open waits for the node's hello; 0: 2,000 */
	uint32_t timeout_ms; /* of requests that name none; 0: 5,000 (a node takes no 0) */
	uint32_t batch;      /* requests packed into one frame at most; 0: 256, at most 4,096 */
	uint32_t retry;      /* 1: send again what got no outcome, see below; 0: nothing twice */
	/* See "keys" below; NULL: as the environment says.  They are copied. */
	const char *key_file; /* path of the file of the program's own pair; "": without keys */
	const char *node_key; /* the node's public key, or two with a blank between */
	const char *context;  /* name of a context */
};

/*
 * Connect to `endpoint`, tcp://HOST:PORT (tcp:// may be left out) or ipc://PATH, or to one of up to
 * 16 of them with commas between, and wait for the node's hello.  (Behind an ipc:// a comma parts
 * only if tcp:// or ipc:// follows it: paths may have commas.)  `options` may be NULL.  On success
 * the caller owns *ret.  Else *ret is NULL, and pail_open_why tells more than the status:
 *	PAIL_UNREACHABLE	nobody answered; one of the two asks for keys and the other does not;
 *				or the node has another key than is believed
 *	PAIL_DENIED		the node does not know this program's key
 *	PAIL_BAD_ARGUMENT	that is no endpoint, a key file cannot be read, there is no such
 *				context, options->size is not set, `retry` is neither 0 nor 1
 *
 * Several endpoints are tried in turn: one that refuses, is lost, goes away or says nothing is left
 * for the next.  What was sent to it and not answered ends with PAIL_TIMEOUT, or with `retry` is
 * sent again.
 */
PAIL_API int pail_open(const char *endpoint, const struct pail_options *options, struct pail **ret);

/*
 * Why the last pail_open of this thread failed: text that lives until its next one.  Never NULL.
 * Nothing of a secret is in it.
 */
PAIL_API const char *pail_open_why(void);

/*
 * ---- keys ----
 *
 * A node with keys speaks CURVE (ZeroMQ RFC 26) only: it wants to know who asks, and proves who it
 * is.  A program then needs a pair of keys that the node knows, and the node's public key; both are
 * in a key file of the program's, which none but its user may read:
 *
 *	name = shop
 *	public = 7kV...		what the node's file of clients has
 *	secret = q2W...
 *	server = rd!...		the node's; a second such line: the key that is to follow, or was before
 *
 * `pail key new` makes one.  Contexts are names for where nodes are, which keys they have and which
 * key file is used there, kept by `pail context` in $XDG_CONFIG_HOME/pail/contexts or else in
 * ~/.config/pail/contexts.  At most one is in force:
 *	1. `context`
 *	2. PAIL_CONTEXT of the environment
 *	3. if pail_open's endpoint is NULL, the current one (`pail context use`), if there is one
 *
 * The endpoints: that of pail_open, and only if it is NULL those of the context in force.
 * The key file: the first there is of
 *	1. `key_file`
 *	2. that of `context`; if it has neither key file nor node's key, its nodes have no keys, and
 *	   the program goes without
 *	3. PAIL_KEY of the environment
 *	4. that of the context in force
 * The node's keys: `node_key`, else those of the context in force, else those of the key file.
 *
 * So an option goes before the environment, the environment before the current context, and what
 * is given one by one before what a context has.  Where none says anything the program goes without
 * keys.  `key_file` "" does so whatever else is said: for a node's admin socket, which has none.  A
 * program that is set-uid reads no environment.
 *
 * If the node has another key than is believed, the second is tried, in turn, also later: so a node
 * can change its keys, and a program that knows both goes on.
 */

/* A new pair, each PAIL_KEY_SIZE bytes with its NUL.  PAIL_OK, or PAIL_INTERNAL: this libzmq was
 * built without CURVE. */
#define PAIL_KEY_SIZE 41
PAIL_API int pail_key_new(char *ret_public, char *ret_secret);

/* What is wrong with an endpoint, or a list of them ("the port is above 65535"), or NULL: nothing. */
PAIL_API const char *pail_endpoint_why(const char *endpoint);

/*
 * ---- sending again ----
 *
 * With `retry` a request's timeout is the deadline of the whole.  Until then it is sent again, to
 * any of the endpoints, behind a lost connection, PAIL_TIMEOUT, PAIL_NODE_DOWN, PAIL_BUSY and
 * PAIL_EXPIRED, and if nothing comes: the first copy is waited for an eighth of the time (at most a
 * second), later ones up to a quarter.  Behind a refusal it waits 10 ms, then twice as long each
 * time, up to a second, a random part less.  A program sees these statuses only when its time is
 * over; so a node's restart, kill or upgrade, a full queue and a lost connection are no errors.
 *
 * A write (create, drop, put, touch, delete, txn, call) still takes effect once: it carries the
 * number of a session, by which the worker that ran it knows its outcome.  The library takes the
 * session, numbers and acknowledges by itself; a session that a node has forgotten (an hour after
 * its last use) is replaced.  Of other requests nothing is kept: a read may be run more than once,
 * and operators' methods are sent once.
 *
 * What a status says of the effect holds for all copies together: one that says that the request
 * took no effect is returned only if every copy was refused; else it is PAIL_TIMEOUT.  PAIL_INTERNAL
 * is not sent again.
 *
 * A node that does not name "sessions" among its hello's features gets a write again only if all
 * copies before have been refused with PAIL_BUSY, PAIL_EXPIRED or PAIL_NODE_DOWN: then none has run.
 *
 * It is off by default, since programs that were made without it may count on what it changes:
 *  - A request may take its whole time, where PAIL_BUSY came at once.
 *  - Requests that are in flight together on one bucket take effect in the order in which they
 *    were submitted as long as nothing that is in flight is sent again; what is takes its place
 *    in the order anew.  Who needs an order beyond that awaits a request before submitting the next.
 *  - The bytes of a request are kept until it ends: at most 64 MiB of all, then PAIL_BUSY.
 *  - At most 4,096 writes are in flight from the lowest that has no outcome on; what is submitted
 *    behind them waits here.  A write to a 1,025th bucket waits until one has been acknowledged.
 *  - pail_close acknowledges: it waits up to half a second for the nodes' word.  A process that ends
 *    without it leaves the outcomes of its last writes to the nodes, for an hour.
 */

/*
 * Close, also from within a callback.  Requests without a reply end with PAIL_CLOSED: callbacks are
 * called, futures are done and still to be awaited or freed by their owner, before or after.  Sets
 * *p to NULL; NULL inside is fine.  With `retry`, sessions are acknowledged (see above) before this
 * returns, or, within a callback, before the call that runs it does.
 */
PAIL_API void pail_close(struct pail **p);

/* Why the last call on `p` failed: text that lives until the next call.  Never NULL. */
PAIL_API const char *pail_why(const struct pail *p);

/* ---- requests and results ---- */

enum pail_method {
	PAIL_HELLO,
	PAIL_PING,
	PAIL_CREATE,
	PAIL_DROP,
	PAIL_BUCKETS,
	PAIL_PUT,
	PAIL_GET,
	PAIL_DELETE,
	PAIL_SCAN,
	PAIL_COUNT,
	PAIL_ROUTE,
	PAIL_STATUS,
	/* through the node's admin socket only */
	PAIL_RELOAD,
	PAIL_WORKER,
	PAIL_UPGRADE,
	PAIL_HEAD,
	PAIL_TOUCH,
	PAIL_TXN,
	PAIL_CALL,
	PAIL_SESSION,
	PAIL_OUTCOME,
	PAIL_ACK,
	/* operators' alone: through the admin socket */
	PAIL_FUNCTIONS,
	PAIL_CLUSTER_CREATE,
	PAIL_CLUSTER_STATUS,
	PAIL_CLUSTER_DRAIN,
	/* like PAIL_STATUS */
	PAIL_METRICS,
	PAIL_EVENTS
};

struct pail_txn;

/*
 * Any request: the method and what it takes, the rest zero.  Fields that a method does not take are
 * ignored.
 */
struct pail_request {
	size_t size; /* of this struct */
	enum pail_method method;
	struct pail_bytes bucket;
	struct pail_bytes key;   /* put, get, head, touch, delete */
	struct pail_bytes value; /* put */
	uint32_t timeout_ms;     /* 0: the connection's */
	/* put, touch, delete */
	bool has_if_version; /* only if the key's version is if_version (0: there is no such key) */
	uint64_t if_version;
	bool if_absent;  /* put: only if there is no such key */
	uint64_t ttl_ms; /* put, touch: gone after so long; 0: never */
	/* scan, buckets; data NULL: no such bound */
	struct pail_bytes prefix;
	struct pail_bytes from;  /* inclusive */
	struct pail_bytes to;    /* exclusive */
	struct pail_bytes after; /* strictly behind it in the direction of the scan */
	uint32_t limit;          /* 0: 100; at most 10,000 */
	bool reverse;
	bool keys_only;
	bool with_ttl; /* scan: what each key has left to live */
	bool local;    /* buckets: of the asked node alone */
	/* worker */
	const char *action; /* restart, start or stop */
	uint32_t worker;    /* its number */
	uint32_t reserved;  /* 0 */
	/* txn */
	const struct pail_txn *txn; /* encoded when the request is submitted, then free again */
	/* call */
	struct pail_bytes module;
	struct pail_bytes function;
	struct pail_bytes
		args; /* a MessagePack array, as of pail_args_packed; data NULL and size 0:
				   none */
};

struct pail_item {
	struct pail_bytes key;   /* buckets: the name */
	struct pail_bytes value; /* data NULL with keys_only */
	uint64_t version;
	uint64_t ttl_ms; /* with_ttl: left to live; 0: for ever */
};

/* What came back.  All it points at is freed with it. */
struct pail_result {
	int status;       /* enum pail_status */
	const char *text; /* the reason, if status is not PAIL_OK; never NULL */
	bool yes;         /* create, drop, delete: whether it did something; txn: whether all
			     conditions held */
	uint64_t number;  /* put, touch: the new version; count: the keys; conflict: the version
			     there is, if has_number (0: no such key) */
	struct pail_bytes value;       /* get; session: its id */
	uint64_t version;              /* get, head */
	const struct pail_item *items; /* scan, buckets */
	size_t item_count;
	bool more;        /* scan, buckets: there are more behind the last item */
	const char *json; /* hello, route, status and all of operators: the reply's map as JSON;
			     else NULL */
	bool has_number;  /* conflict: the node has told the version */
	uint64_t size;    /* head: bytes of the value */
	uint64_t ttl_ms;  /* head: left to live; 0: for ever */
	const void *map;  /* for pail_result_value, and its bytes: MessagePack, as it came; else
			     NULL */
	size_t map_size;
	size_t op_count;       /* txn: how many results there are, for pail_result_op */
	const uint32_t *op_at; /* and where in the map each lies */
};

PAIL_API void pail_result_free(struct pail_result **r);

/*
 * The same, a value at a time: what programs read instead of its JSON.  A value lives as long
 * as its result.  Asking for what is not there, or of another type, is no fault: it gives the value
 * that is none, 0, false, or bytes whose data is NULL.
 */
struct pail_value {
	const void *at; /* the library's */
};

enum pail_type {
	PAIL_VALUE_NONE, /* there is no such value */
	PAIL_VALUE_NIL,
	PAIL_VALUE_BOOL,
	PAIL_VALUE_NUMBER, /* an integer, negative ones too */
	PAIL_VALUE_BYTES,  /* text and names too */
	PAIL_VALUE_LIST,
	PAIL_VALUE_MAP,
	PAIL_VALUE_OTHER,
	PAIL_VALUE_FLOAT
};

/* The map that hello, route, status and all of operators are answered with; what a function has
 * returned; of txn, too. */
PAIL_API struct pail_value pail_result_value(const struct pail_result *r);
PAIL_API enum pail_type pail_value_type(struct pail_value v);
/* A map's value of that name. */
PAIL_API struct pail_value pail_value_field(struct pail_value v, const char *name);
/* How many items a list or a map has, its i-th from 0 on, and of a map the i-th one's name. */
PAIL_API size_t pail_value_count(struct pail_value v);
PAIL_API struct pail_value pail_value_item(struct pail_value v, size_t i);
PAIL_API struct pail_value pail_value_name(struct pail_value v, size_t i);
/* A negative number is 0. */
PAIL_API uint64_t pail_value_number(struct pail_value v);
/* One above 2^63-1 is 0. */
PAIL_API int64_t pail_value_integer(struct pail_value v);
/* Of an integer, too: the nearest there is. */
PAIL_API double pail_value_float(struct pail_value v);
PAIL_API bool pail_value_bool(struct pail_value v);
PAIL_API struct pail_bytes pail_value_bytes(struct pail_value v);
/* A value as JSON, as snprintf would write it; returns its bytes without the NUL, 0: no memory. */
PAIL_API size_t pail_value_json(struct pail_value v, char *out, size_t size);

/*
 * Send `q` and wait for its result, which the caller frees.  Returns its status.  *ret is NULL if
 * there is not even a result: PAIL_NO_MEMORY, or as pail_submit refuses it.  Not from within a
 * callback (PAIL_BUSY).
 */
PAIL_API int pail_call(struct pail *p, const struct pail_request *q, struct pail_result **ret);

/* ---- one call a method; pointers to results may be NULL ---- */

PAIL_API int pail_ping(struct pail *p);
PAIL_API int pail_create(struct pail *p, struct pail_bytes bucket, bool *ret_created);
PAIL_API int pail_drop(struct pail *p, struct pail_bytes bucket, bool *ret_dropped);
/* Of `options` only if_version, if_absent, ttl_ms and timeout_ms count; NULL: none. */
PAIL_API int pail_put(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
		      struct pail_bytes value, const struct pail_request *options,
		      uint64_t *ret_version);
/* *ret holds value and version and is the caller's to free; PAIL_NOT_FOUND: *ret is NULL. */
PAIL_API int pail_get(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
		      struct pail_result **ret);
/* What a get would, but for the value: its size, and what the key has left to live. */
PAIL_API int pail_head(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
		       struct pail_result **ret);
/*
 * The key lives for ttl_ms from now on (0: for ever), its value stays, its version is a new one.
 * Of `options` only if_version, ttl_ms and timeout_ms count; NULL: none.
 */
PAIL_API int pail_touch(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
			const struct pail_request *options, uint64_t *ret_version);
PAIL_API int pail_delete(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
			 const struct pail_request *options, bool *ret_deleted);
PAIL_API int pail_scan(struct pail *p, struct pail_bytes bucket, const struct pail_request *range,
		       struct pail_result **ret);
PAIL_API int pail_buckets(struct pail *p, const struct pail_request *range,
			  struct pail_result **ret);
PAIL_API int pail_count(struct pail *p, struct pail_bytes bucket, uint64_t *ret);
PAIL_API int pail_route(struct pail *p, struct pail_bytes bucket, struct pail_result **ret);
/* What the node says of itself: its name, limits and features; one with keys also `client`, the
 * name that it knows this program's key by, and `rights`, a list such as ["read:*"]. */
PAIL_API int pail_hello(struct pail *p, struct pail_result **ret);
PAIL_API int pail_node_status(struct pail *p, struct pail_result **ret);
/* All figures of the node, as docs/protocol.md, section 14, says: {node, version, unix_ms, families:
 * [{name, kind, unit, scale, help, samples: [[{label: value}, number or histogram]...]}...]}. */
PAIL_API int pail_metrics(struct pail *p, struct pail_result **ret);
/*
 * What has happened to the node: events behind number `after` (0: from the oldest that is kept), the
 * newest `limit` of them (1 to 256): {first, last, events: [{id, unix_ms, kind, level, subject,
 * text}...]}.  `last` is the newest one's number there is, `first` the oldest that is kept.
 */
PAIL_API int pail_events(struct pail *p, uint64_t after, uint32_t limit, struct pail_result **ret);
/* Read the node's configuration again.  PAIL_BAD_ARGUMENT: it is wrong, nothing has changed;
 * PAIL_DENIED: `p` is no connection to its admin socket. */
PAIL_API int pail_reload(struct pail *p, struct pail_result **ret);
/*
 * Restart, start or stop (`action`) one worker, and wait until that is done.  PAIL_BUSY: not now,
 * or not in its state; PAIL_INTERNAL: it cannot be started; the text says more, and who serves goes
 * on.
 */
PAIL_API int pail_worker(struct pail *p, const char *action, uint32_t worker,
			 struct pail_result **ret);
/*
 * Have the node's coordinator replace itself by the program on disk.  PAIL_OK: that has been tried
 * as far as it can be, and begins; the connection ends with it.  PAIL_BAD_ARGUMENT: program or
 * configuration are bad, nothing has changed.
 */
PAIL_API int pail_upgrade(struct pail *p, struct pail_result **ret);

/* ---- transactions: several operations on one bucket at one moment, or none ---- */

/*
 *	struct pail_txn *t = NULL;
 *
 *	if (pail_txn_new(&t) == PAIL_OK) {
 *		pail_txn_if_version(t, pail_str("stock"), PAIL_EQUAL, 7);
 *		pail_txn_put(t, PAIL_THEN, pail_str("stock"), pail_str("2"), 0);
 *		pail_txn_put(t, PAIL_THEN, pail_str("sold"), pail_str("1"), 0);
 *		pail_txn_get(t, PAIL_ELSE, pail_str("stock"));
 *		status = pail_txn_run(p, pail_str("shop"), t, &result);
 *	}
 *	pail_txn_free(&t);
 *
 * Conditions are judged first; if all hold (or there are none) the operations of PAIL_THEN are run,
 * else those of PAIL_ELSE, later ones seeing what earlier ones did.
 *
 * Each addition is checked, copied and encoded at once: keys, values and ranges stay the caller's
 * and may go.  The first that is refused is not added and refuses the whole: additions behind it
 * and pail_txn_run return its status too, until pail_txn_clear.  So a program may add on and ask
 * once.  Additions return
 *	PAIL_BAD_ARGUMENT	an empty key, bytes without data, a relation, branch or limit that
 *				there is not
 *	PAIL_TOO_LARGE		a key above 480 bytes, more than 4,096 entries in all, or more bytes
 *				than any node takes (what this node takes, it says itself)
 *	PAIL_NO_MEMORY
 * and pail_txn_why names the place, "then[3]", and the reason.
 *
 * A transaction can be run as often as one likes, on any connection; it belongs to one thread at a
 * time, and to its maker, who frees it.  It may be freed or changed as soon as the request was
 * submitted.
 */
enum pail_relation { PAIL_EQUAL, PAIL_NOT_EQUAL, PAIL_LESS, PAIL_GREATER };
enum pail_branch { PAIL_THEN, PAIL_ELSE };

PAIL_API int pail_txn_new(struct pail_txn **ret);
PAIL_API void pail_txn_free(struct pail_txn **t); /* NULL inside is fine */
/* As a new one. */
PAIL_API void pail_txn_clear(struct pail_txn *t);
/* Why an addition was refused; never NULL, "" if none was. */
PAIL_API const char *pail_txn_why(const struct pail_txn *t);
/* Conditions and operations of both branches. */
PAIL_API size_t pail_txn_entries(const struct pail_txn *t);

/* The key's version is so; 0: there is no such key. */
PAIL_API int pail_txn_if_version(struct pail_txn *t, struct pail_bytes key,
				 enum pail_relation relation, uint64_t version);
/* Its value is so, byte for byte; of a key that is not there only PAIL_NOT_EQUAL holds. */
PAIL_API int pail_txn_if_value(struct pail_txn *t, struct pail_bytes key,
			       enum pail_relation relation, struct pail_bytes value);

/* As the calls above; ttl_ms 0: for ever. */
PAIL_API int pail_txn_put(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key,
			  struct pail_bytes value, uint64_t ttl_ms);
PAIL_API int pail_txn_touch(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key,
			    uint64_t ttl_ms);
PAIL_API int pail_txn_delete(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key);
PAIL_API int pail_txn_get(struct pail_txn *t, enum pail_branch branch, struct pail_bytes key);
/* Of `range` what pail_scan takes of it; NULL: none. */
PAIL_API int pail_txn_scan(struct pail_txn *t, enum pail_branch branch,
			   const struct pail_request *range);
PAIL_API int pail_txn_count(struct pail_txn *t, enum pail_branch branch);

/*
 * Run it.  PAIL_OK: it was run, and `yes` of the result says which branch; the caller frees *ret.
 * Anything else: nothing of it was (PAIL_TIMEOUT, PAIL_INTERNAL: it may or may not have been), and
 * *ret is NULL.  As a request: PAIL_TXN with `txn`.
 */
PAIL_API int pail_txn_run(struct pail *p, struct pail_bytes bucket, const struct pail_txn *t,
			  struct pail_result **ret);

/* What one operation came to.  All it points at lives as long as the result it is of. */
struct pail_op {
	size_t size;     /* of this struct */
	bool yes;        /* get, touch, delete: there was such a key; the others: true */
	uint64_t number; /* put, touch: the new version; get: the value's; count: the keys */
	struct pail_bytes value; /* get; else data NULL */
	size_t item_count;       /* scan */
	bool more;               /* scan: there are more behind the last item */
	const void *next;        /* for pail_op_item */
	size_t left;
};

/*
 * The result of operation `i`, from 0 on, of the branch that was run, in the order in which they
 * were added.  False: there is none, or ret->size is not set.
 */
PAIL_API bool pail_result_op(const struct pail_result *r, size_t i, struct pail_op *ret);
/* The next item of a scan, from the first on; false: there is no further one. */
PAIL_API bool pail_op_item(struct pail_op *op, struct pail_item *ret);

/* ---- functions that run where the bucket is ---- */

/*
 * Call function(bucket, args...) of a module of the node that serves the bucket, as one
 * transaction.  `args` is a MessagePack array (pail_args_packed makes one), or data NULL and size
 * 0: there are none; anything else is PAIL_BAD_ARGUMENT before it is sent.
 *
 * PAIL_OK: it has returned, what it wrote is written; pail_result_value(*ret) is what it returned
 * (nil: nothing), map and map_size of *ret the same as bytes; the caller frees *ret.  Else *ret is
 * NULL and nothing of it was written (PAIL_TIMEOUT, PAIL_INTERNAL: it may or may not have been):
 *	PAIL_NO_FUNCTION	there is no such module or function there
 *	PAIL_FAILED		it has raised an error, pail_why says with module:line which
 *	PAIL_TOO_LONG		it has used up its time or memory
 * As a request: PAIL_CALL with `module`, `function` and `args`.
 */
PAIL_API int pail_function(struct pail *p, struct pail_bytes bucket, struct pail_bytes module,
			   struct pail_bytes function, struct pail_bytes args,
			   struct pail_result **ret);

/* The modules of the asked node, through its admin socket, and whether its peers have told the same
 * digest of theirs (nil, nil: they have told none): {node, dir, digest, modules: [{name, functions:
 * [name...]}], peers: [{name, state, digest, same}]}. */
PAIL_API int pail_functions(struct pail *p, struct pail_result **ret);

/*
 * ---- the cluster of the asked node, through its admin socket ----
 *
 * Each gives the reply's map (docs/protocol.md, section 13); the caller frees *ret.
 */

/*
 * Make the partitions' first copies, `factor` of each, on `count` nodes that run and have its name in
 * their configurations.  Writes need `min_copies` in sync (0: 1 of one or two, else 2).  `keep`: one
 * of the nodes, whose data is kept and which the others learn from; NULL: none has any.
 * PAIL_BAD_ARGUMENT: it cannot be made so, pail_why says what is wrong; PAIL_CONFLICT: it is there, or
 * another one was begun; PAIL_TIMEOUT, PAIL_BUSY: ask again, it goes on.
 */
PAIL_API int pail_cluster_create(struct pail *p, const char *const *nodes, size_t count,
				 uint32_t factor, uint32_t min_copies, const char *keep,
				 struct pail_result **ret);
PAIL_API int pail_cluster_status(struct pail *p, struct pail_result **ret);
/* The asked node, whose name is `node`, hands over all that it leads and takes nothing over until it
 * is told `on` = false or is started anew. */
PAIL_API int pail_cluster_drain(struct pail *p, const char *node, bool on,
				struct pail_result **ret);

/*
 * Arguments, added one by one and copied.  pail_args_list and pail_args_map begin a list or a map
 * within them, to which what follows belongs until pail_args_end; in a map each value has its name
 * (pail_args_name) before it.  What is refused is not added and refuses all, as with a
 * transaction: PAIL_BAD_ARGUMENT (bytes without data, a value in a map without a name or a name
 * without a value, an end of nothing, more than 32 lists and maps within each other),
 * PAIL_TOO_LARGE (above 1 GiB) or PAIL_NO_MEMORY; pail_args_why says what.
 */
struct pail_args;

PAIL_API int pail_args_new(struct pail_args **ret);
PAIL_API void pail_args_free(struct pail_args **a); /* NULL inside is fine */
/* As new ones. */
PAIL_API void pail_args_clear(struct pail_args *a);
PAIL_API const char *pail_args_why(const struct pail_args *a);

PAIL_API int pail_args_nil(struct pail_args *a);
PAIL_API int pail_args_bool(struct pail_args *a, bool v);
PAIL_API int pail_args_integer(struct pail_args *a, int64_t v);
PAIL_API int pail_args_float(struct pail_args *a, double v);
PAIL_API int pail_args_bytes(struct pail_args *a, struct pail_bytes v); /* a string, text or not */
PAIL_API int pail_args_list(struct pail_args *a);
PAIL_API int pail_args_map(struct pail_args *a);
PAIL_API int pail_args_name(struct pail_args *a, struct pail_bytes name);
PAIL_API int pail_args_end(struct pail_args *a);

/*
 * All of them as what pail_function takes; the bytes are of `a`, until it is changed or freed.  If
 * anything was refused, or a list or map is still open, it is what pail_function refuses too.
 */
PAIL_API struct pail_bytes pail_args_packed(struct pail_args *a);

/* ---- futures: send now, await later ---- */

struct pail_future;

/*
 * Send `q`, packed with others into a frame, and go on; thousands may be in flight.  The bytes of
 * `q` are copied.  On success the caller owns *ret, to be given to pail_await or pail_future_free.
 */
PAIL_API int pail_async(struct pail *p, const struct pail_request *q, struct pail_future **ret);

/*
 * Wait for a future's result, at most until its request's deadline.  Frees the future and sets *f
 * to NULL.  Returns the result's status; the caller frees *ret (which may be NULL as in pail_call).
 * Within a callback only those that are done can be awaited: else PAIL_BUSY, and *f stays.
 */
PAIL_API int pail_await(struct pail_future **f, struct pail_result **ret);

/* Whether pail_await would return at once. */
PAIL_API bool pail_future_done(const struct pail_future *f);

/* Lose interest.  The request may still take effect. */
PAIL_API void pail_future_free(struct pail_future **f);

/* ---- callbacks and event loops ---- */

/* Called once a request, from pail_dispatch, any waiting call, or pail_close.  `r` lives until it
 * returns. */
typedef void pail_done(void *arg, const struct pail_result *r);

/*
 * Send `q`; `done(arg, result)` is called when its reply has come or its time is over.  If this
 * returns anything but PAIL_OK, it is not called:
 *	PAIL_TOO_LARGE		it is larger than any message that the node takes
 *	PAIL_BAD_ARGUMENT	its size or an action is missing, or bytes have a size and no data
 *	PAIL_BUSY		a million requests are in flight, or 64 MiB wait to be sent (with
 *				`retry` or several endpoints: are in flight)
 *	PAIL_CLOSED		pail_close is running its callbacks
 * A request that could not be sent in its time ends with PAIL_EXPIRED: it took no effect.
 *
 * A callback may submit, flush, free futures and close; it cannot wait or dispatch.
 */
PAIL_API int pail_submit(struct pail *p, const struct pail_request *q, pail_done *done, void *arg);

/* Send what has been gathered into a frame and is not full yet. */
PAIL_API int pail_flush(struct pail *p);

/*
 * For an event loop: when `pail_fd` is readable, or `pail_next_ms` milliseconds have gone (-1:
 * never), call pail_dispatch, which receives what is there, calls callbacks, flushes, and returns
 * how many replies there were.  The descriptor is edge-triggered: dispatch until it returns 0, and
 * ask pail_next_ms behind everything else, just before sleeping.  The descriptor may be another one
 * afterwards: a node that goes away, or says nothing any more, is connected to anew.
 */
PAIL_API int pail_fd(const struct pail *p);
PAIL_API int pail_next_ms(const struct pail *p);
PAIL_API unsigned pail_dispatch(struct pail *p);

/* Flush, wait at most `ms` for a reply, dispatch.  Returns how many replies there were. */
PAIL_API unsigned pail_wait(struct pail *p, int ms);

/* Requests sent, or to be sent, without a reply yet. */
PAIL_API size_t pail_in_flight(const struct pail *p);

#ifdef __cplusplus
}
#endif

#endif
