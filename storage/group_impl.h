/* What the group's files share.  Nobody else includes this but open.c, which frees it. */
#ifndef PAIL_GROUP_IMPL_H
#define PAIL_GROUP_IMPL_H

#include "storage/group.h"
#include "storage/store_impl.h"

#define VALUE_BELOW UINT64_MAX /* the value is the one that is stored */

/* A change that is staged.  The i-th has the version group.first + i. */
struct staged {
	uint64_t at;    /* of its head in the group's bytes */
	uint64_t value; /* and of what it leaves as the key's value, or VALUE_BELOW */
	uint64_t hash;  /* of the key */
	uint64_t expiry;
	uint32_t value_len;
	bool alive;         /* the key is there after it */
	bool last;          /* nothing later in the group is of its key */
	struct entry *made; /* at the commit: the entry for the cache, if there must be another */
};

struct group {
	bool open;
	struct store_key key; /* the bucket; no key */
	uint32_t partition;
	uint64_t id;    /* the bucket's, there or staged; 0: there is none */
	uint64_t first; /* version of the first change */
	uint64_t now_ms;
	bool created; /* the first change makes the bucket */

	struct staged *change;
	uint32_t count;
	uint32_t room;
	uint32_t *order; /* the last change of each key, in the order of keys */
	uint32_t keys;
	char *bytes; /* of the changes, as they will be logged */
	uint64_t size;
	uint64_t bytes_room;
	char *bytes_before; /* where they were before they grew: an argument may lie there */

	int64_t counted; /* change of the number of keys stored */
	int64_t living;  /* and of those that are alive */
	uint64_t owed;   /* bytes that it adds beside its record: values that are touched */
	uint32_t expiring;
	bool admit; /* it does not delete alone */
};

static inline const struct log_change_head *staged_head(const struct group *g,
							const struct staged *x)
{
	return (const struct log_change_head *)(g->bytes + x->at);
}

static inline struct span staged_key(const struct group *g, const struct staged *x)
{
	return log_head_key(staged_head(g, x));
}

static inline struct span staged_value(const struct group *g, const struct staged *x)
{
	check(x->value != VALUE_BELOW);
	return (struct span){g->bytes + x->value, x->value_len};
}

static inline uint64_t staged_version(const struct group *g, const struct staged *x)
{
	return g->first + (uint64_t)(x - g->change);
}

/* What a key is within the group. */
struct view {
	struct staged *staged; /* NULL: as it is stored */
	struct lookup stored;  /* if it is not staged */
	bool counted;          /* it is in the bucket's count */
	bool alive;
	uint64_t version; /* of what is alive; 0: no such key */
	uint64_t expiry;
	struct span value;
};

/* The group that there is. */
static inline struct group *group_of(const struct store *s)
{
	check(s->group && s->group->open);
	return s->group;
}

int group_view(struct store *s, struct span key, uint64_t hash, struct view *ret);

/* Where `key` stands in the order, or would; *ret_there: it does. */
uint32_t group_place(const struct group *g, struct span key, bool *ret_there);

/* It has ended: nothing is staged. */
void group_end(struct group *g);

#endif
