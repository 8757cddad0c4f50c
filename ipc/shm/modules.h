/*
 * The modules of a node's functions, as all of its workers load them: a sealed memfd with names,
 * texts and limits.  The coordinator makes it of a folder, once, and has it checked; workers, their
 * successors and the next program of an upgrade get the descriptor.  Nobody else reads the folder,
 * so that nobody ever loads one that is half edited.
 */
#ifndef PAIL_MODULES_H
#define PAIL_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define MODULES_MAX        256u         /* modules */
#define MODULES_BYTES_MAX  (4u << 20)   /* of all their texts */
#define MODULES_LIST_MAX   (256u << 10) /* of the list of their functions */
#define MODULES_NAME_SIZE  56u          /* of a name, with its NUL */
#define MODULES_NODE_SIZE  64u
#define MODULES_DIGEST_LEN 16u /* hex digits */

/* What a set of modules may do, and where. */
struct modules_limits {
	char node[MODULES_NODE_SIZE]; /* the node's name */
	uint64_t memory_bytes;        /* of a call */
	uint64_t value_max;
	uint32_t time_ms; /* of a call */
	uint32_t zero;
};

struct modules_source {
	char name[MODULES_NAME_SIZE];
	struct span text;
};

/* At the memfd's begin; modules_entry, texts and the list lie behind. */
struct modules_header {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint64_t size;       /* of everything */
	uint64_t generation; /* grows with every set that a node accepts */
	uint64_t digest;     /* of names and texts */
	struct modules_limits limits;
	uint32_t list_at; /* from the begin */
	uint32_t list_size;
};

struct modules_entry {
	char name[MODULES_NAME_SIZE];
	uint32_t text_at; /* from the begin */
	uint32_t text_size;
};

/* A set in memory; it does not change. */
struct modules {
	int fd;
	const struct modules_header *header;
};

/*
 * Make a set of `count` sources, in the order of their names.  `list`: functions as
 * modules_list_next reads them, or empty.  0 with *ret the caller's, -E2BIG, or negative errno.
 */
int modules_make(const struct modules_limits *limits, uint64_t generation,
		 const struct modules_source *source, uint32_t count, struct span list,
		 struct modules **ret);
/*
 * Map the set behind `fd`, which *ret then owns.  0, -EBADMSG (none, or not sealed), -EPROTO (of
 * another version), or negative errno.
 */
int modules_attach(int fd, struct modules **ret);
void modules_free(struct modules **m); /* NULL is fine */

struct modules_source modules_get(const struct modules *m, uint32_t i);
/* The digest as text, MODULES_DIGEST_LEN digits and a NUL. */
void modules_digest(const struct modules *m, char out[MODULES_DIGEST_LEN + 1]);

/* ---- the list of functions: module and name of each, modules together ---- */

#define MODULES_LIST_HEAD 3u /* bytes before the two names */

/* An item at `p`, MODULES_LIST_HEAD and the names' bytes long.  Returns behind it. */
char *modules_list_write(char *p, struct span module, struct span function);
/* The next item of a list.  False: there is none, or no whole one. */
bool modules_list_next(struct span *list, struct span *ret_module, struct span *ret_function);
struct span modules_list(const struct modules *m);

#endif
