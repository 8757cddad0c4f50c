/*
 * Who the node is and whom it lets in: its own pair of keys, the clients with what they may, and
 * which key speaks as which peer.  Without `security.key` all of it is off: sockets trust whoever
 * reaches them, and everybody may everything.
 *
 * The files are read at the start and at each reload, whole or not at all.  Tables change at a
 * reload only, so what is found in one is good until then.
 */
#ifndef PAIL_SECURITY_H
#define PAIL_SECURITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/key.h"
#include "common/span.h"
#include "coordinator/security/rights.h"
#include "ipc/net/curve.h"
#include "ipc/net/socket.h"

struct node;
struct security;

/* The domains that listeners name, see curve.h. */
#define SECURITY_CLIENTS "clients"
#define SECURITY_NODES   "nodes"

/* What the files of a configuration hold. */
struct security_files {
	bool on;
	struct key_file own;
	struct rights *rights; /* with `on` */
};

/*
 * Read them.  What is wrong is added to c->errors, and warnings to c->warnings.  0, or -ENOMEM; the
 * caller looks at c->error_count.
 */
int security_read(struct conf *c, struct security_files *ret);
void security_files_fini(struct security_files *f);

/* `files` are the security's from now on, and empty; who the peers are is told by node->conf. */
int security_new(const struct node *node, struct security_files *files, struct security **ret);
void security_free(struct security **s);
/*
 * Other files from now on; returns what is another in them.  `files` then holds those of before:
 * what was found in them is good until security_files_fini.  The node's own pair stays, which sockets are bound with.
 */
struct rights_changes security_swap(struct security *s, struct security_files *files);

bool security_on(const struct security *s);
/* The node's own pair; NULL without keys. */
const struct key_file *security_own(const struct security *s);
/*
 * Answer handshakes of the context's sockets, before any of them listens.  Without keys, nothing.
 * 0 or negative errno.
 */
int security_open_door(struct security *s, struct socket_context *c);
void security_close_door(struct security *s);
/* NULL: there is none. */
struct door *security_door(const struct security *s);

/* Whose key it is; NULL: no client's. */
const struct rights_client *security_client(const struct security *s, struct span key);
/* May this key speak as that peer?  Without keys, whoever says so. */
bool security_is_peer(const struct security *s, struct span key, struct span name);
/* Is it the key of any peer? */
bool security_is_node(const struct security *s, struct span key);

/* Clients that are known. */
uint32_t security_clients(const struct security *s);
/* How often somebody was not let in, ever. */
uint64_t security_refused(const struct security *s);
/* Now and then: say what was not said at once. */
void security_tick(struct security *s);

#endif
