/*
 * A chained hash, as large as what may be in it, whose pages cost nothing before they are used; two
 * lists by last use; in each session its outcomes by number.
 */
#include "storage/session_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"
#include "common/fault.h"
#include "common/hash.h"

#define SLOT_BYTES     128u /* of bytes_max for each slot */
#define SLOTS_MIN      64u
#define MALLOC_BYTES   16u /* that it adds */
#define ROOM_KEPT      16u /* outcomes of a session */
#define SESSION_WEIGHT (sizeof(struct session) + MALLOC_BYTES + sizeof(void *))

int session_table_new(uint64_t bytes_max, uint32_t partitions, struct session_table **ret)
{
	struct session_table *t = calloc(1, sizeof(*t));
	uint64_t n = SLOTS_MIN;

	if (!t)
		return -ENOMEM;
	while (n < bytes_max / SLOT_BYTES)
		n *= 2;
	t->slot = calloc(n, sizeof(struct session *));
	t->forgotten = calloc(partitions, sizeof(*t->forgotten));
	t->forgotten_settled = calloc(partitions, sizeof(*t->forgotten_settled));
	t->forgotten_at = calloc(partitions, sizeof(*t->forgotten_at));
	t->mask = n - 1;
	t->partitions = partitions;
	t->bytes_max = bytes_max;
	if (!t->slot || !t->forgotten || !t->forgotten_settled || !t->forgotten_at ||
	    getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed)) {
		session_table_free(&t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

uint64_t session_made_ms(const uint8_t id[16])
{
	uint64_t ms = 0;

	for (unsigned i = 0; i < 6; i++)
		ms = ms << 8 | id[i];
	return ms;
}

/* ---- by id ---- */

static struct session **slot_of(struct session_table *t, uint32_t partition, const uint8_t id[16])
{
	return &t->slot[hash64(t->seed + partition, id, 16) & t->mask];
}

struct session *session_find(struct session_table *t, uint32_t partition, const uint8_t id[16])
{
	struct session *x = *slot_of(t, partition, id);

	while (x && (x->partition != partition || memcmp(x->id, id, sizeof(x->id)) != 0))
		x = x->next;
	return x;
}

/* ---- by use ---- */

static struct session_list *list_of(struct session_table *t, const struct session *x)
{
	return x->count ? &t->keeping : &t->idle;
}

static void list_take(struct session_list *l, struct session *x)
{
	*(x->older ? &x->older->newer : &l->oldest) = x->newer;
	*(x->newer ? &x->newer->older : &l->newest) = x->older;
}

static void list_put(struct session_list *l, struct session *x)
{
	x->older = l->newest;
	x->newer = NULL;
	*(l->newest ? &l->newest->newer : &l->oldest) = x;
	l->newest = x;
}

void session_use(struct session_table *t, struct session *x, uint64_t used_ms)
{
	struct session_list *l = list_of(t, x);

	x->used_ms = used_ms;
	if (l->newest == x)
		return;
	list_take(l, x);
	list_put(l, x);
}

/* ---- outcomes ---- */

static uint64_t outcome_weight(uint64_t size)
{
	return sizeof(struct outcome) + size + MALLOC_BYTES + 2 * sizeof(void *);
}

bool session_may_fit(const struct session_table *t, uint64_t size)
{
	return outcome_weight(size) + SESSION_WEIGHT <= t->bytes_max;
}

bool session_is_full(const struct session_table *t, const struct session *x, uint64_t size)
{
	uint64_t more = outcome_weight(size) + (x->count ? 0 : SESSION_WEIGHT);

	return t->keeping_bytes + more > t->bytes_max;
}

static void outcome_drop(struct session_table *t, struct outcome *o)
{
	if (--o->holders)
		return;
	if (o->size || t->spare)
		free(o);
	else
		t->spare = o;
}

/* Where a number stands in the order, or would. */
static uint32_t outcome_place(const struct session *x, uint64_t number)
{
	uint32_t low = x->first;
	uint32_t high = x->first + x->count;

	if (!x->count || x->outcome[high - 1]->number < number)
		return high;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (x->outcome[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct outcome *session_outcome_find(const struct session *x, uint64_t number)
{
	uint32_t at = outcome_place(x, number);

	return at < x->first + x->count && x->outcome[at]->number == number ? x->outcome[at] : NULL;
}

static void room_free(struct session *x)
{
	if (x->outcome != x->within)
		free(x->outcome);
	x->outcome = x->within;
	x->room = OUTCOMES_WITHIN;
	x->first = 0;
}

/* Room for one more at the end. */
static int room_make(struct session *x)
{
	struct outcome **p;

	if (x->first + x->count < x->room)
		return 0;
	if (x->first < x->room / 2 || !x->first) {
		p = fault_at("session.alloc") < 0 ? NULL : malloc(2 * x->room * sizeof(*p));
		if (!p)
			return -ENOMEM;
		memcpy(p, x->outcome + x->first, x->count * sizeof(*p));
		if (x->outcome != x->within)
			free(x->outcome);
		x->outcome = p;
		x->room *= 2;
	} else {
		memmove(x->outcome, x->outcome + x->first, x->count * sizeof(*p));
	}
	x->first = 0;
	return 0;
}

int session_outcome_make(struct session_table *t, struct session *x, struct span result)
{
	struct outcome *o;

	free(t->made); /* of a request that was not logged after all */
	t->made = NULL;
	if (room_make(x) < 0)
		return -ENOMEM;
	o = result.n ? NULL : t->spare;
	if (o)
		t->spare = NULL;
	else
		o = fault_at("session.alloc") < 0 ? NULL : malloc(sizeof(*o) + result.n);
	if (!o)
		return -ENOMEM;
	o->size = (uint32_t)result.n;
	o->holders = 1;
	o->ruled_out = false;
	o->settled = false;
	if (result.n)
		memcpy(o->result, result.p, result.n);
	t->made = o;
	return 0;
}

void session_outcome_enter(struct session_table *t, struct session *x, struct outcome *o)
{
	uint32_t at = outcome_place(x, o->number);
	uint32_t behind = x->first + x->count - at;

	check(x->first + x->count < x->room && o->number >= x->floor);
	if (!x->count) {
		list_take(&t->idle, x);
		list_put(&t->keeping, x);
		t->idle_bytes -= SESSION_WEIGHT;
		t->keeping_bytes += SESSION_WEIGHT;
	}
	if (behind)
		memmove(&x->outcome[at + 1], &x->outcome[at], behind * sizeof(o));
	x->outcome[at] = o;
	x->count++;
	t->keeping_bytes += outcome_weight(o->size);
	t->made = NULL;
	t->changed_outcomes += !o->settled;
	if (!o->settled)
		session_change(t, x);
}

/* Room for many that few have is nobody's account. */
static void room_shrink(struct session *x)
{
	struct outcome **p;

	if (x->room <= ROOM_KEPT || x->count > x->room / 8)
		return;
	p = malloc(x->room / 4 * sizeof(*p));
	if (!p)
		return;
	memcpy(p, x->outcome + x->first, x->count * sizeof(*p));
	free(x->outcome);
	x->outcome = p;
	x->room /= 4;
	x->first = 0;
}

/* The first `n` are not needed any more. */
static void outcomes_drop(struct session_table *t, struct session *x, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct outcome *o = x->outcome[x->first + i];

		t->keeping_bytes -= outcome_weight(o->size);
		outcome_drop(t, o);
	}
	x->first += n;
	x->count -= n;
	if (x->count)
		room_shrink(x);
	if (!n || x->count)
		return;
	room_free(x);
	list_take(&t->keeping, x);
	list_put(&t->idle, x);
	t->keeping_bytes -= SESSION_WEIGHT;
	t->idle_bytes += SESSION_WEIGHT;
}

void session_acknowledge(struct session_table *t, struct session *x, uint64_t floor)
{
	uint32_t n = 0;

	if (floor <= x->floor)
		return;
	x->floor = floor;
	while (n < x->count && x->outcome[x->first + n]->number < floor)
		n++;
	session_work(t, n);
	outcomes_drop(t, x, n);
	session_change(t, x);
}

/* ---- come and go ---- */

struct session *session_add(struct session_table *t, uint32_t partition, const uint8_t id[16],
			    uint64_t used_ms)
{
	struct session **slot = slot_of(t, partition, id);
	struct session *x = fault_at("session.alloc") < 0 ? NULL : calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	memcpy(x->id, id, sizeof(x->id));
	x->partition = partition;
	x->used_ms = used_ms;
	x->outcome = x->within;
	x->room = OUTCOMES_WITHIN;
	x->next = *slot;
	*slot = x;
	list_put(&t->idle, x);
	t->idle_bytes += SESSION_WEIGHT;
	t->count++;
	return x;
}

void session_remove(struct session_table *t, struct session *x)
{
	struct session **slot = slot_of(t, x->partition, x->id);

	outcomes_drop(t, x, x->count);
	list_take(&t->idle, x);
	t->idle_bytes -= SESSION_WEIGHT;
	while (*slot != x)
		slot = &(*slot)->next;
	*slot = x->next;
	t->count--;
	x->gone = true;
	t->gone_bytes += SESSION_WEIGHT;
	session_change(t, x); /* which frees it in the end */
}

static void list_remove(struct session_table *t, struct session_list *l, uint32_t partition)
{
	struct session *x = l->oldest;

	while (x) {
		struct session *next = x->newer;

		session_work(t, 1);
		if (x->partition == partition)
			session_remove(t, x);
		x = next;
	}
}

void sessions_remove(struct session_table *t, uint32_t partition)
{
	struct session **link = &t->changed;

	check(!t->settle.sessions && !t->settle.forgets);
	list_remove(t, &t->idle, partition);
	list_remove(t, &t->keeping, partition);
	while (*link) {
		struct session *x = *link;

		if (x->partition != partition) {
			link = &x->changed_next;
			continue;
		}
		check(x->gone);
		*link = x->changed_next;
		t->changes--;
		t->gone_bytes -= SESSION_WEIGHT < t->gone_bytes ? SESSION_WEIGHT : t->gone_bytes;
		free(x);
	}
	t->forgotten[partition] = 0;
	t->forgotten_settled[partition] = 0;
	t->forgotten_at[partition] = 0;
}

static void list_free(struct session_table *t, struct session_list *l)
{
	while (l->oldest)
		session_remove(t, l->oldest);
}

void session_table_free(struct session_table **tp)
{
	struct session_table *t = *tp;

	if (!t)
		return;
	t->work = NULL;
	sessions_unsettled(t);
	list_free(t, &t->idle);
	list_free(t, &t->keeping);
	while (t->changed) {
		struct session *x = t->changed;

		t->changed = x->changed_next;
		free(x);
	}
	free(t->made);
	free(t->spare);
	free(t->slot);
	free(t->forgotten);
	free(t->forgotten_settled);
	free(t->forgotten_at);
	free(t);
	*tp = NULL;
}
