/* The clock that goes on. */
#include "storage/pace.h"

#include <string.h>

#define JUMP_MS  60000 /* smaller ones are what time daemons do */
#define SLACK_MS 10u   /* two clocks are not read at the same moment */

static const struct pace_source system_source = {clock_wall_ms, clock_boot_ms, clock_boot_id};

void pace_init(struct pace *p, const struct pace_source *source)
{
	memset(p, 0, sizeof(*p));
	p->source = source ? source : &system_source;
	p->boot_ms = p->source->boot_ms();
	p->wall_ms = p->source->wall_ms();
	p->source->boot_id(p->boot_id);
	p->now_ms = p->wall_ms;
}

void pace_known(struct pace *p, uint64_t ms)
{
	if (ms > p->now_ms)
		p->now_ms = ms;
}

/* a + b, or the most there is: clocks are set to anything. */
static uint64_t later(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void pace_recall(struct pace *p, const struct log_clock *note)
{
	static const uint8_t unknown[CLOCK_BOOT_ID_BYTES];
	uint64_t passed = 0;

	pace_known(p, note->clock_ms);
	if (!memcmp(note->boot_id, unknown, sizeof(unknown)) ||
	    !memcmp(p->boot_id, unknown, sizeof(unknown)))
		return;
	if (memcmp(note->boot_id, p->boot_id, sizeof(unknown)) != 0)
		passed = p->boot_ms; /* at least: it was before this boot */
	else if (p->boot_ms > note->boot_ms)
		passed = p->boot_ms - note->boot_ms;
	pace_known(p, later(note->clock_ms, passed));
	if (!memcmp(note->boot_id, p->boot_id, sizeof(unknown)) &&
	    later(note->clock_ms, passed) > p->expected_ms)
		p->expected_ms = later(note->clock_ms, passed);
}

static int64_t apart(uint64_t a, uint64_t b)
{
	uint64_t n = a > b ? a - b : b - a;

	n = n > INT64_MAX ? INT64_MAX : n;
	return a > b ? (int64_t)n : -(int64_t)n;
}

void pace_begin(struct pace *p)
{
	int64_t off = apart(p->wall_ms, p->expected_ms ? p->expected_ms : p->now_ms);

	p->behind = p->now_ms > p->wall_ms && apart(p->now_ms, p->wall_ms) > JUMP_MS;
	if (off > JUMP_MS || p->behind)
		p->jump_ms = p->behind ? apart(p->wall_ms, p->now_ms) : off;
	p->noted_ms = p->expected_ms;
}

void pace_tick(struct pace *p, uint64_t wall_ms)
{
	uint64_t boot_ms = p->source->boot_ms();
	uint64_t passed = boot_ms > p->boot_ms ? boot_ms - p->boot_ms : 0;
	int64_t jump_ms = apart(wall_ms, later(p->wall_ms, passed));

	if (jump_ms > JUMP_MS || jump_ms < -JUMP_MS) {
		p->jump_ms = jump_ms;
		p->behind = false;
	}
	p->now_ms = later(p->now_ms, passed);
	p->noted_ms = p->noted_ms ? later(p->noted_ms, passed) : 0;
	p->expected_ms = p->expected_ms ? later(p->expected_ms, passed) : 0;
	if (wall_ms > p->now_ms)
		p->now_ms = wall_ms;
	p->wall_ms = wall_ms;
	p->boot_ms = boot_ms;
}

bool pace_must_note(const struct pace *p)
{
	return !p->noted_ms || p->now_ms - p->noted_ms > SLACK_MS;
}

void pace_note(struct pace *p, struct log_clock *ret)
{
	p->noted_ms = p->now_ms;
	ret->clock_ms = p->now_ms;
	ret->boot_ms = p->boot_ms;
	memcpy(ret->boot_id, p->boot_id, sizeof(ret->boot_id));
}
