/* Messages to paild. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent_impl.h"
#include "agent/value.h"
#include "common/check.h"
#include "common/log.h"
#include "ipc/wire/msgpack.h"

#define HEADS 128u /* bytes of a message of items, without them */

static void put(struct agent *a, const struct agent_message *m)
{
	size_t n = agent_message_write(a->out, sizeof(a->out), m);

	check(n);
	while (a->exit < 0 && send(a->fd, a->out, n, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EPIPE && errno != ECONNRESET)
			log_error("send to the node: %s", strerror(errno));
		a->exit = errno == EPIPE || errno == ECONNRESET ? 0 : 1;
	}
}

void state_tell(struct agent *a)
{
	struct calls *c = &a->calls;

	if (c->told)
		return;
	c->told = true;
	if (c->state == AGENT_UP)
		log_info("etcd is up: %s", c->why);
	else
		log_warn("etcd is %s: %s", agent_state_name(c->state), c->why);
	put(a, &(struct agent_message){.kind = AGENT_MESSAGE_STATE,
				       .state = c->state,
				       .revision = c->highest,
				       .cluster = c->cluster,
				       .text = span_of(c->why)});
}

void tell(struct agent *a, const struct agent_message *m)
{
	state_tell(a);
	put(a, m);
}

void tell_unknown(struct agent *a, uint64_t id, const char *why)
{
	tell(a, &(struct agent_message){
			.kind = AGENT_MESSAGE_UNKNOWN, .id = id, .text = span_of(why)});
}

static void item_add(struct buf *b, const struct etcd_item *x)
{
	char *p = buf_room(b, x->key_n + 2 * CODEC_HEAD_MAX);

	if (!p)
		return;
	b->len += (size_t)(write_uint(write_str(p, x->key, x->key_n), x->mod_revision) - p);
	value_from_json(b, x->value, x->n);
}

static void flush(struct agent *a, struct agent_message *m, const struct buf *b, uint32_t count,
		  bool more)
{
	m->items = (struct span){b->data, count ? b->len : 0};
	m->item_count = 3 * count;
	m->more = more;
	tell(a, m);
}

void tell_items(struct agent *a, struct agent_message *m, const struct etcd_reply *r)
{
	struct buf all;
	struct buf one;
	uint32_t count = 0;

	buf_init(&all);
	buf_init(&one);
	for (size_t i = 0; i < r->item_count; i++) {
		if (r->items[i].key_n > AGENT_MESSAGE_KEY_MAX)
			continue; /* nobody here writes such a key, or could ask for it */
		one.len = 0;
		item_add(&one, &r->items[i]);
		if (all.len + one.len + HEADS > AGENT_MESSAGE_MAX - CODEC_HEAD_MAX * 8) {
			flush(a, m, &all, count, true);
			all.len = count = 0;
		}
		buf_add(&all, one.data, one.len);
		count++;
	}
	if (all.failed || one.failed) {
		log_error("no memory for %zu items", r->item_count);
		a->exit = 1;
	} else {
		flush(a, m, &all, count, false);
	}
	buf_fini(&all);
	buf_fini(&one);
}
