/*
 * etcd's JSON gateway (/v3/…), as text: what is asked, and what an answer says.  No I/O.  Keys and
 * values are base64, 64-bit numbers are strings, and what is zero, false or empty is left out: an
 * answer without `succeeded` is a comparison that failed, a keep-alive's without TTL a lease that is
 * gone.  Bodies are the caller's to free; NULL: no memory.
 */
#ifndef PAIL_AGENT_ETCD_H
#define PAIL_AGENT_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define ETCD_RANGE        "/v3/kv/range"
#define ETCD_TXN          "/v3/kv/txn"
#define ETCD_PUT          "/v3/kv/put"
#define ETCD_GRANT        "/v3/lease/grant"
#define ETCD_KEEPALIVE    "/v3/lease/keepalive"
#define ETCD_AUTHENTICATE "/v3/auth/authenticate"

#define ETCD_UNAUTHENTICATED 16 /* its code: the token has ended */

/* A linearizable read of a key, or of what is under a prefix and was written after `since`. */
char *etcd_get(struct span key);
char *etcd_list(struct span prefix, uint64_t since);

/*
 * Write `value` if the key's mod_revision is `compared`, and its bytes are `old` unless old.p is
 * NULL.  Either way the answer shows what is there then.
 */
char *etcd_cas(struct span key, uint64_t compared, struct span old, struct span value);

struct etcd_compared {
	struct span key;
	uint64_t mod_revision;
};

struct etcd_put {
	struct span key;
	char *value; /* bytes, whoever made them frees them */
	size_t n;
};

/*
 * Write all `items` if each guard's key has its mod_revision.  The answer shows the last item, or,
 * where it was not done, all guards' keys.
 */
char *etcd_create(const struct etcd_compared *guards, size_t guard_count,
		  const struct etcd_put *items, size_t item_count);

char *etcd_grant(uint64_t seconds);
char *etcd_keepalive(uint64_t lease);
char *etcd_put(struct span key, struct span value, uint64_t lease);
char *etcd_authenticate(const char *user, const char *password);

struct etcd_item {
	char *key;
	size_t key_n;
	char *value;
	size_t n;
	uint64_t mod_revision; /* never 0 */
};

struct etcd_reply {
	uint64_t cluster; /* 0: the answer has no header, and is an error */
	uint64_t revision;
	bool succeeded; /* of a txn */
	uint64_t lease;
	uint64_t ttl;
	char *token;
	int code; /* of an error */
	char error[200];
	struct etcd_item *items; /* of a range, or of all ranges of a txn, in order */
	size_t item_count;
};

/* 0, -EBADMSG: it is no answer of etcd's, or -ENOMEM.  In any case `ret` wants etcd_reply_fini. */
int etcd_reply_read(const char *text, size_t n, struct etcd_reply *ret);
void etcd_reply_fini(struct etcd_reply *r);

/* The item with that key, or NULL. */
const struct etcd_item *etcd_reply_find(const struct etcd_reply *r, struct span key);

#endif
