/* From a reply to whoever waits for it. */
#include "coordinator/coord.h"

#include "coordinator/peers/server.h"

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	struct coord *c = arg;

	switch (reply_to_kind(o)) {
	case REPLY_TO_CLIENT:
	case REPLY_TO_GROUP:
		clients_answer(c->clients, o, bytes, n, count, stays);
		return;
	case REPLY_TO_FANOUT:
		fanout_reply(c, o, bytes, n);
		return;
	case REPLY_TO_SESSION:
		peer_server_answer(c->peer_server, o, index, count, bytes, n);
		return;
	}
}

static const char *over(void *arg, struct reply_to o)
{
	struct coord *c = arg;

	if (reply_to_kind(o) == REPLY_TO_FANOUT)
		return NULL; /* judged when it is whole */
	if (reply_to_kind(o) == REPLY_TO_SESSION && !peer_server_client(c->peer_server, o, &o))
		return NULL;
	return clients_over(c->clients, o);
}

static bool full(void *arg)
{
	struct coord *c = arg;

	return clients_must_flush(c->clients);
}

void sink_init(struct coord *c)
{
	c->sink = (struct reply_sink){.replies = replies, .over = over, .full = full, .arg = c};
}
