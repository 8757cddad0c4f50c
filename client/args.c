/*
 * A function's arguments, built a value at a time.  A list's or a map's head is written when it is
 * begun, as if it were short, and again when it ends.
 */
#include <stdlib.h>

#include "client/client.h"

#define BYTES_MAX (1u << 30) /* no node takes a message of half as much */
#define HEAD_MORE 4u         /* bytes of the longest head beyond the shortest */

/* What is open: the arguments themselves, and lists and maps within each other. */
struct level {
	size_t at;      /* of its head */
	uint32_t count; /* values in it, of a map names too */
	bool is_map;
};

struct pail_args {
	struct buf data;
	struct level level[1 + WIRE_LEVELS_MAX];
	unsigned depth; /* that is open; 0: the arguments themselves */
	int status;     /* of the first addition that was refused; PAIL_OK: none was */
	const char *why;
	struct buf packed;
};

int pail_args_new(struct pail_args **ret)
{
	struct pail_args *a = calloc(1, sizeof(*a));

	*ret = a;
	if (!a)
		return PAIL_NO_MEMORY;
	buf_init(&a->data);
	buf_init(&a->packed);
	pail_args_clear(a);
	return PAIL_OK;
}

void pail_args_free(struct pail_args **ap)
{
	struct pail_args *a = *ap;

	if (a) {
		buf_fini(&a->data);
		buf_fini(&a->packed);
	}
	free(a);
	*ap = NULL;
}

void pail_args_clear(struct pail_args *a)
{
	a->data.len = 0;
	a->data.failed = false;
	memset(&a->level[0], 0, sizeof(a->level[0]));
	a->depth = 0;
	a->status = PAIL_OK;
	a->why = "";
}

const char *pail_args_why(const struct pail_args *a)
{
	return a->why;
}

/* ---- adding ---- */

static char *refuse(struct pail_args *a, int status, const char *why)
{
	if (a->status == PAIL_OK) {
		a->status = status;
		a->why = why;
	}
	return NULL;
}

/* Room for a value, or a map's name, with `n` bytes of content.  NULL: it has been refused. */
static char *room(struct pail_args *a, size_t n, bool is_name)
{
	const struct level *l = &a->level[a->depth];
	char *p;

	if (a->status != PAIL_OK)
		return NULL;
	if (is_name && !l->is_map)
		return refuse(a, PAIL_BAD_ARGUMENT, "a name outside of a map");
	if (is_name && l->count % 2)
		return refuse(a, PAIL_BAD_ARGUMENT, "a name behind a name: its value is missing");
	if (!is_name && l->is_map && l->count % 2 == 0)
		return refuse(a, PAIL_BAD_ARGUMENT, "a value in a map without a name before it");
	if (n > BYTES_MAX || a->data.len + n > BYTES_MAX)
		return refuse(a, PAIL_TOO_LARGE, "the arguments are larger than any node takes");
	p = buf_room(&a->data, n + CODEC_HEAD_MAX);
	return p ? p : refuse(a, PAIL_NO_MEMORY, "no memory");
}

static int add(struct pail_args *a, const char *end)
{
	if (!end)
		return a->status;
	a->level[a->depth].count++;
	a->data.len = (size_t)(end - a->data.data);
	return PAIL_OK;
}

int pail_args_nil(struct pail_args *a)
{
	char *p = room(a, 0, false);

	return add(a, p ? write_nil(p) : NULL);
}

int pail_args_bool(struct pail_args *a, bool v)
{
	char *p = room(a, 0, false);

	return add(a, p ? write_bool(p, v) : NULL);
}

int pail_args_integer(struct pail_args *a, int64_t v)
{
	char *p = room(a, 0, false);

	return add(a, p ? write_int(p, v) : NULL);
}

int pail_args_float(struct pail_args *a, double v)
{
	char *p = room(a, 0, false);

	return add(a, p ? write_double(p, v) : NULL);
}

static bool is_sane(struct pail_args *a, struct pail_bytes b)
{
	if (!b.data && b.size)
		(void)refuse(a, PAIL_BAD_ARGUMENT, "bytes without data");
	return b.data || !b.size;
}

int pail_args_bytes(struct pail_args *a, struct pail_bytes v)
{
	char *p = is_sane(a, v) ? room(a, v.size, false) : NULL;

	return add(a, p ? write_bin(p, v.data, v.size) : NULL);
}

int pail_args_name(struct pail_args *a, struct pail_bytes name)
{
	char *p = is_sane(a, name) ? room(a, name.size, true) : NULL;

	return add(a, p ? write_str(p, name.data ? name.data : "", name.size) : NULL);
}

/* ---- lists and maps ---- */

static int begin(struct pail_args *a, bool is_map)
{
	char *p = room(a, 0, false);

	if (p && a->depth == WIRE_LEVELS_MAX)
		p = refuse(a, PAIL_BAD_ARGUMENT, "more than 32 lists and maps within each other");
	if (!p)
		return a->status;
	(void)add(a, p + 1);
	a->level[++a->depth] = (struct level){.at = (size_t)(p - a->data.data), .is_map = is_map};
	return PAIL_OK;
}

int pail_args_list(struct pail_args *a)
{
	return begin(a, false);
}

int pail_args_map(struct pail_args *a)
{
	return begin(a, true);
}

int pail_args_end(struct pail_args *a)
{
	const struct level *l = &a->level[a->depth];
	char head[CODEC_HEAD_MAX];
	size_t more;
	char *p;

	if (a->status == PAIL_OK && !a->depth)
		(void)refuse(a, PAIL_BAD_ARGUMENT, "an end, and no list or map is open");
	if (a->status == PAIL_OK && l->is_map && l->count % 2)
		(void)refuse(a, PAIL_BAD_ARGUMENT,
			     "a map ends behind a name: its value is missing");
	if (a->status != PAIL_OK)
		return a->status;
	more = (size_t)((l->is_map ? write_map(head, l->count / 2) : write_array(head, l->count)) -
			head) -
	       1;
	if (more && !buf_room(&a->data, HEAD_MORE)) {
		(void)refuse(a, PAIL_NO_MEMORY, "no memory");
		return a->status;
	}
	p = a->data.data + l->at;
	if (more)
		memmove(p + 1 + more, p + 1, a->data.len - l->at - 1);
	memcpy(p, head, 1 + more);
	a->data.len += more;
	a->depth--;
	return PAIL_OK;
}

struct pail_bytes pail_args_packed(struct pail_args *a)
{
	static const struct pail_bytes refused = {NULL, 1};
	char *p;

	if (a->status == PAIL_OK && a->depth)
		(void)refuse(a, PAIL_BAD_ARGUMENT, "a list or a map has not been ended");
	if (a->status != PAIL_OK)
		return refused;
	a->packed.len = 0;
	p = buf_room(&a->packed, a->data.len + CODEC_HEAD_MAX);
	if (!p) {
		a->packed.failed = false;
		(void)refuse(a, PAIL_NO_MEMORY, "no memory");
		return refused;
	}
	p = write_array(p, a->level[0].count);
	if (a->data.len)
		memcpy(p, a->data.data, a->data.len);
	a->packed.len = (size_t)(p - a->packed.data) + a->data.len;
	return (struct pail_bytes){a->packed.data, a->packed.len};
}
