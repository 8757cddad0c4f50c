/* Replies that wait, line by line: order, verdicts, bounds. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib/unit.h"
#include "worker/pending.h"

#define LINES 40u

static struct pending *pending;
/* Each line's replies are numbered from 1 on by `observed`; those up to `open` may be told. */
static uint64_t added[LINES];
static uint64_t opened[LINES];
static uint64_t told[LINES];
static uint64_t judged;
static uint64_t room; /* so many more may be done */

static uint64_t size_of(uint32_t line, uint64_t number)
{
	uint64_t x = line * 7919 + number * 104729;

	return x % 97 == 0 ? 200000 + x % 1000 : x % 13 == 0 ? 3000 + x % 2000 : x % 90;
}

static enum copy_verdict judge(void *arg, uint32_t line, const struct pending_reply *r,
			       const char *bytes)
{
	const struct copy_wait *w = &r->wait;

	TRUE_(bytes == (const char *)(r + 1));
	TRUE_(arg == &judged);
	judged++;
	EQ(told[line] + 1, w->observed); /* always the first one */
	return w->observed > opened[line] ? COPY_WAIT : (enum copy_verdict)w->term;
}

static bool done(void *arg, uint32_t line, enum copy_verdict v, const struct pending_reply *r,
		 const char *bytes)
{
	uint64_t number = r->wait.observed;

	TRUE_(arg == &judged);
	if (!room)
		return false;
	room--;
	EQ(told[line] + 1, number);
	EQ(1 + number % 3, v);
	EQ(line, r->index);
	EQ(number * 2, r->record);
	EQ(size_of(line, number), r->bytes);
	for (uint64_t i = 0; i < r->bytes; i += 1 + i / 8)
		EQ((char)(number + i), bytes[i]);
	told[line]++;
	return true;
}

static const struct pending_ops ops = {judge, done, &judged};

static void begin(void)
{
	memset(added, 0, sizeof(added));
	memset(opened, 0, sizeof(opened));
	memset(told, 0, sizeof(told));
	room = UINT64_MAX;
	EQ(0, pending_new(LINES, &pending));
}

static void add(uint32_t line)
{
	uint64_t number = ++added[line];
	uint64_t n = size_of(line, number);
	struct pending_reply r = {
		.record = number * 2,
		.index = line,
		.wait = {.term = 1 + number % 3, .observed = number},
	};
	/* More room than is needed, as a reply is not known before. */
	char *p = pending_room(pending, line, n + number % 700);

	TRUE_(p != NULL);
	for (uint64_t i = 0; i < n; i++)
		p[i] = (char)(number + i);
	pending_add(pending, line, &r, p + n);
}

static void each_line_keeps_its_order_and_waits_for_itself(void)
{
	begin();
	for (int i = 0; i < 300; i++)
		for (uint32_t line = 0; line < 3; line++)
			add(line);
	opened[1] = 300;
	opened[2] = 17;
	pending_step(pending, &ops);
	EQ(0, told[0]);
	EQ(300, told[1]);
	EQ(17, told[2]);
	TRUE_(pending_in(pending, 0));
	TRUE_(!pending_in(pending, 1));
	TRUE_(pending_any(pending));
	opened[0] = opened[2] = 300;
	pending_step(pending, &ops);
	EQ(300, told[0]);
	EQ(300, told[2]);
	TRUE_(!pending_any(pending));
	EQ(0, pending_bytes(pending));
	pending_free(&pending);
}

/* Its ring is full: what could not be told comes first the next time. */
static void what_cannot_be_told_now_stays_first(void)
{
	begin();
	for (int i = 0; i < 50; i++) {
		add(4);
		add(5);
	}
	opened[4] = opened[5] = 50;
	while (pending_any(pending)) {
		room = 3;
		pending_step(pending, &ops);
	}
	EQ(50, told[4]);
	EQ(50, told[5]);
	pending_free(&pending);
}

/* ---- those that pass others ---- */

#define MANY 3000u

static struct {
	bool open[MANY];
	bool passes[MANY];
	enum copy_verdict verdict; /* of those that are open */
	uint32_t told[MANY];       /* in which place; 0: not yet */
	uint32_t count;
	uint32_t most;
} road;

static enum copy_verdict road_judge(void *arg, uint32_t line, const struct pending_reply *r,
				    const char *bytes)
{
	(void)arg;
	(void)line;
	EQ((char)r->record, *bytes);
	EQ(0, road.told[r->record]);
	return road.open[r->record] ? road.verdict : COPY_WAIT;
}

static bool road_done(void *arg, uint32_t line, enum copy_verdict v, const struct pending_reply *r,
		      const char *bytes)
{
	(void)arg;
	(void)line;
	EQ(road.verdict, v);
	EQ((char)r->record, *bytes);
	EQ(0, road.told[r->record]);
	if (road.count == road.most)
		return false;
	road.told[r->record] = ++road.count;
	return true;
}

static const struct pending_ops road_ops = {road_judge, road_done, &road};

static void road_begin(void)
{
	memset(&road, 0, sizeof(road));
	road.verdict = COPY_TELL;
	road.most = MANY;
	begin();
}

static void road_add(uint32_t number, bool passes, bool open)
{
	struct pending_reply r = {.record = number, .passes = passes};
	char *p = pending_room(pending, 0, 4000);

	TRUE_(p != NULL);
	*p = (char)number;
	road.open[number] = open;
	road.passes[number] = passes;
	pending_add(pending, 0, &r, p + 1 + number % 3000);
}

static void reads_that_need_not_wait_pass_those_that_do(void)
{
	road_begin();
	road_add(0, true, true);
	road_add(1, false, false);
	road_add(2, true, true);
	road_add(3, false, true); /* it stands behind 1 */
	road_add(4, true, true);
	pending_step(pending, &road_ops);
	EQ(1, road.told[0]);
	EQ(2, road.told[2]);
	EQ(3, road.told[4]);
	EQ(3, road.count);
	TRUE_(pending_in(pending, 0));
	road_add(5, true, false); /* the lease is over */
	road_add(6, true, true);
	pending_step(pending, &road_ops);
	EQ(3, road.count);
	road.open[5] = true;
	road.most = 4; /* no room for more than one of them */
	pending_step(pending, &road_ops);
	EQ(4, road.told[5]);
	EQ(4, road.count);
	road.most = MANY;
	road.open[1] = true;
	pending_step(pending, &road_ops);
	EQ(5, road.told[1]);
	EQ(6, road.told[3]);
	EQ(7, road.told[6]);
	TRUE_(!pending_any(pending));
	EQ(0, pending_bytes(pending));
	pending_free(&pending);
}

/* Those that are to run elsewhere do so in the order in which they came. */
static void what_is_not_told_passes_nobody(void)
{
	road_begin();
	road.verdict = COPY_ELSEWHERE;
	road_add(0, false, false);
	road_add(1, true, true);
	road_add(2, false, true);
	road_add(3, true, true);
	pending_step(pending, &road_ops);
	EQ(0, road.count);
	road.open[0] = true;
	pending_step(pending, &road_ops);
	for (uint32_t i = 0; i < 4; i++)
		EQ(i + 1, road.told[i]);
	TRUE_(!pending_any(pending));
	pending_free(&pending);
}

static void each_is_told_once_whatever_passes(void)
{
	uint64_t s = unit_seed();

	road_begin();
	for (uint32_t i = 0; i < MANY; i++) {
		road_add(i, unit_random(&s) % 2, unit_random(&s) % 2);
		if (unit_random(&s) % 7)
			continue;
		for (uint64_t n = unit_random(&s) % 20; n--;)
			road.open[unit_random(&s) % (i + 1)] = true;
		road.most = road.count + (uint32_t)(unit_random(&s) % 40);
		pending_step(pending, &road_ops);
	}
	memset(road.open, 1, sizeof(road.open));
	road.most = MANY;
	pending_step(pending, &road_ops);
	TRUE_(!pending_any(pending));
	EQ(MANY, road.count);
	for (uint32_t i = 0, last = 0; i < MANY; i++) {
		if (road.passes[i])
			continue;
		TRUE_(road.told[i] > last);
		last = road.told[i];
	}
	EQ(0, pending_bytes(pending));
	pending_free(&pending);
}

/* Room was made for a reply that then went another way. */
static void room_that_is_not_used_is_no_reply(void)
{
	begin();
	TRUE_(pending_room(pending, 3, 100) != NULL);
	TRUE_(pending_room(pending, 3, 300000) != NULL);
	TRUE_(!pending_in(pending, 3));
	TRUE_(!pending_any(pending));
	add(3);
	TRUE_(pending_room(pending, 3, 300000) != NULL);
	opened[3] = 1;
	pending_step(pending, &ops);
	EQ(1, told[3]);
	EQ(0, pending_bytes(pending));
	pending_free(&pending);
}

/* Sixty-four megabytes in all; one line alone takes half, and leaves room to all others. */
static void a_line_that_waits_leaves_room_to_others(void)
{
	struct pending_reply r = {.wait = {.observed = 1}};
	uint64_t n = 0;

	begin();
	while (!pending_full(pending, 0) && ++n < 1000000) {
		char *p = pending_room(pending, 0, 1000);

		pending_add(pending, 0, &r, p + 1000);
	}
	TRUE_(pending_bytes(pending) >= PENDING_BYTES / 2);
	TRUE_(pending_bytes(pending) <= PENDING_BYTES / 2 + 2 * 65536);
	for (uint32_t line = 1; line < 8; line++) {
		TRUE_(!pending_full(pending, line));
		for (uint64_t i = 0; i < n && !pending_full(pending, line); i++)
			pending_add(pending, line, &r, pending_room(pending, line, 1000) + 1000);
	}
	TRUE_(pending_bytes(pending) <= PENDING_BYTES + 2 * 65536);
	TRUE_(pending_bytes(pending) > PENDING_BYTES / 10 * 9);
	pending_free(&pending);
}

/* A small reply in each of many partitions is no reason to take a large block for each. */
static void many_lines_take_little_each(void)
{
	struct pending_reply r = {.wait = {.observed = 1}};

	EQ(0, pending_new(4096, &pending));
	for (uint32_t line = 0; line < 4096; line++) {
		TRUE_(!pending_full(pending, line));
		pending_add(pending, line, &r, pending_room(pending, line, 40) + 40);
	}
	TRUE_(pending_bytes(pending) <= 4096 * 4096);
	pending_free(&pending);
}

static void it_does_what_a_model_does(void)
{
	uint64_t s = unit_seed();
	uint64_t all = 0;

	begin();
	for (int i = 0; i < 20000; i++) {
		uint32_t line = (uint32_t)(unit_random(&s) % LINES);

		if (unit_random(&s) % 3) {
			if (!pending_full(pending, line))
				add(line);
		} else {
			opened[line] += unit_random(&s) % 7;
			if (opened[line] > added[line])
				opened[line] = added[line];
		}
		if (unit_random(&s) % 4 == 0) {
			room = unit_random(&s) % 4 ? UINT64_MAX : 2;
			pending_step(pending, &ops);
			for (uint32_t k = 0; k < LINES && room > 2; k++)
				EQ(opened[k], told[k]);
		}
		EQ(added[line] > told[line], pending_in(pending, line));
	}
	room = UINT64_MAX;
	for (uint32_t k = 0; k < LINES; k++) {
		opened[k] = added[k];
		all += added[k];
	}
	pending_step(pending, &ops);
	for (uint32_t k = 0; k < LINES; k++)
		EQ(added[k], told[k]);
	TRUE_(all > 1000);
	EQ(0, pending_bytes(pending));
	pending_free(&pending);
}

UNIT_MAIN(T(each_line_keeps_its_order_and_waits_for_itself), T(what_cannot_be_told_now_stays_first),
	  T(reads_that_need_not_wait_pass_those_that_do), T(what_is_not_told_passes_nobody),
	  T(each_is_told_once_whatever_passes), T(room_that_is_not_used_is_no_reply),
	  T(a_line_that_waits_leaves_room_to_others), T(many_lines_take_little_each),
	  T(it_does_what_a_model_does))
