/*
 * What paild and pail-agent say to each other, over a SOCK_SEQPACKET pair: a packet is one message, a
 * MessagePack array whose first element is its kind.  Pure, as all of this folder is: no allocation,
 * no state, everything read is checked first.
 *
 *	to the agent
 *	[0, prefix, endpoints, revision, cluster, ca, cert, cert_key, user, password]  begin
 *	[1, id, key]                            get: a linearizable read
 *	[2, id, key, compared, old, value]      cas: write `value` if what is at `key` is as it was
 *	[3, id, prefix, revision]               list: a linearizable read of all under a prefix
 *	[4, key, value]                         live: keep it there while the agent runs; no answer
 *	[5, prefix, revision]                   follow: tell what changes under it; no answer
 *	[6, id, guards, items]                  create: write several keys at once if the guards hold
 *	[7, revision]                           floor: others have seen this revision; no answer
 *	from the agent
 *	[8, id, revision, mod_revision, value]        value: of a get
 *	[9, id, done, revision, mod_revision, value]  outcome: of a cas or create
 *	[10, id, more, revision, items]               items: of a list
 *	[11, id, why]                                 unknown: of any of them
 *	[12, more, revision, age_ms, items]           changed
 *	[13, state, revision, cluster, text]          state
 *
 * Words.  `revision` is etcd's, of the header of the answer that this is made from; of a state, the
 * highest seen.  `mod_revision` is the key's, and 0 says that nothing is there (then `value` is nil).
 * `items` is a flat array: key, mod_revision, value, key, … (of a create: key, value, key, …);
 * `guards` one of key, mod_revision, key, ….  With `more`, another message goes on with the same list
 * or change: only the last one says that all up to `revision` is known.
 *
 * Values are maps with texts for keys, arrays, texts, integers between -2^63 and 2^63 - 1, floats,
 * booleans and nil, nested at most AGENT_MESSAGE_DEPTH deep, of valid UTF-8; in etcd they are JSON with
 * sorted keys and no blanks.  What somebody else wrote may look different and is still the same value:
 * a cas compares what it means, not how it is written.  What is no such JSON comes as a bin of the
 * bytes themselves, what is longer than AGENT_MESSAGE_VALUE_MAX as a bin of its first 1,024: neither is
 * what anybody here writes.  Nobody deletes keys: a deletion shows in a get and in no change.
 *
 * An outcome that is not `done` was not done, whatever happens later, and shows what is there; of a
 * create, what is at the first guard that does not hold.  `unknown` means that it may have been done,
 * and may still be.  Get and list are told `unknown` when there was no answer.
 */
#ifndef PAIL_AGENT_MESSAGE_H
#define PAIL_AGENT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define AGENT_MESSAGE_MAX       65536u /* bytes of one */
#define AGENT_MESSAGE_VALUE_MAX 49152u /* bytes of one value */
#define AGENT_MESSAGE_KEY_MAX   512u
#define AGENT_MESSAGE_PATH_MAX  1024u /* of a file's name, an endpoint or a user's */
#define AGENT_MESSAGE_TEXT_MAX  300u
#define AGENT_MESSAGE_ENDPOINTS 16u
#define AGENT_MESSAGE_DEPTH     16u
#define AGENT_MESSAGE_CREATES   100u /* keys of a create: etcd takes 128 operations by default */
#define AGENT_MESSAGE_GUARDS    8u
#define AGENT_REQUESTS_MAX      64u /* without an answer, at a time; one more is `unknown` */

enum agent_message_kind {
	AGENT_MESSAGE_BEGIN,
	AGENT_MESSAGE_GET,
	AGENT_MESSAGE_CAS,
	AGENT_MESSAGE_LIST,
	AGENT_MESSAGE_LIVE,
	AGENT_MESSAGE_FOLLOW,
	AGENT_MESSAGE_CREATE,
	AGENT_MESSAGE_FLOOR,
	AGENT_MESSAGE_VALUE,
	AGENT_MESSAGE_OUTCOME,
	AGENT_MESSAGE_ITEMS,
	AGENT_MESSAGE_UNKNOWN,
	AGENT_MESSAGE_CHANGED,
	AGENT_MESSAGE_STATE,
	AGENT_MESSAGE_KIND_COUNT
};

enum agent_state {
	AGENT_UP,       /* the last read was answered */
	AGENT_AWAY,     /* it was not, at any endpoint */
	AGENT_SET_BACK, /* etcd knows less than has been seen: every request is `unknown` now */
	AGENT_WRONG_CLUSTER, /* who answers is another cluster than the first one was */
	AGENT_STATE_COUNT
};

/* One message; which fields count depends on its kind (the names are those of the table above). */
struct agent_message {
	enum agent_message_kind kind;
	uint64_t id;
	struct span key;   /* or prefix, which is not empty */
	uint64_t revision; /* of a begin: the highest seen before; of list and follow: what
				* changed since, this one not included; 0: all there is */
	uint64_t compared; /* mod_revision that a cas expects; 0: nothing is there */
	uint64_t mod_revision;
	struct span old;     /* a whole value, compared too; nil: only its mod_revision is */
	struct span value;   /* a whole value; of a cas, create and live never nil */
	struct span items;   /* the elements, without the array's head */
	uint32_t item_count; /* elements, not items */
	struct span guards;  /* the same */
	uint32_t guard_count;
	bool done;
	bool more;
	uint64_t age_ms;  /* of a change: so long before this was said it was asked for */
	uint64_t cluster; /* etcd's id of itself; 0: not known yet */
	enum agent_state state;
	struct span text;
	uint32_t endpoint_count; /* http://HOST:PORT or https://… */
	struct span endpoint[AGENT_MESSAGE_ENDPOINTS];
	struct span ca, cert, cert_key; /* files; empty: none */
	struct span user;               /* empty: none */
	struct span password;           /* a file whose first line it is */
};

/*
 * Read the message of `n` bytes at `p`; spans point into it.  Returns 0 or -EBADMSG.  All of it has been
 * looked through then, values and items too: agent_item_next and agent_guard_next cannot fail.
 */
int agent_message_read(const char *p, size_t n, struct agent_message *ret);

/*
 * Write one into `room` bytes; values, items and guards of `m` must be MessagePack as above.
 * Returns its bytes, or 0: there is no room, or it has more than AGENT_MESSAGE_MAX.
 */
size_t agent_message_write(char *p, size_t room, const struct agent_message *m);

struct agent_item {
	struct span key;
	uint64_t mod_revision; /* of a create's items: 0 */
	struct span value;     /* of guards: empty */
};

/* Step over one item of `m`, from *p = m->items.p or m->guards.p on.  False: there are no more. */
bool agent_item_next(const struct agent_message *m, const char **p, struct agent_item *ret);
bool agent_guard_next(const struct agent_message *m, const char **p, struct agent_item *ret);

/* Whether the whole MessagePack object of `v` is a value as above, and not nil unless `nil`. */
bool agent_value_sound(struct span v, bool nil);

const char *agent_state_name(enum agent_state s);

#endif
