/* From a reply to whoever waits for it. */
#include "coordinator/clients/outgoing.h"
#include "coordinator/front/front.h"

#include "coordinator/front/fanout.h"
#include "coordinator/peers/server.h"

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	struct front *front = arg;

	switch (reply_to_kind(o)) {
	case REPLY_TO_CLIENT:
	case REPLY_TO_GROUP:
		clients_answer(front->clients, o, bytes, n, count, stays);
		return;
	case REPLY_TO_FANOUT:
		fanout_reply(front, o, *index, bytes, n);
		return;
	case REPLY_TO_SESSION:
		peer_server_answer(front->peer_server, o, index, count, bytes, n);
		return;
	}
}

static const char *over(void *arg, struct reply_to o)
{
	struct front *front = arg;

	if (reply_to_kind(o) == REPLY_TO_FANOUT)
		return NULL; /* judged when it is whole */
	if (reply_to_kind(o) == REPLY_TO_SESSION && !peer_server_client(front->peer_server, o, &o))
		return NULL;
	return clients_over(front->clients, o);
}

static uint32_t asker(void *arg, struct reply_to o)
{
	struct front *front = arg;

	if (reply_to_kind(o) == REPLY_TO_SESSION)
		(void)peer_server_client(front->peer_server, o, &o);
	return clients_of(front->clients, o).id;
}

bool front_forsaken(const struct front *front, struct reply_to o)
{
	if (reply_to_kind(o) == REPLY_TO_SESSION && !peer_server_client(front->peer_server, o, &o))
		return true;
	return !clients_tag(front->clients, clients_of(front->clients, o));
}

static bool full(void *arg)
{
	struct front *front = arg;

	return clients_must_flush(front->clients);
}

struct reply_sink front_sink(struct front *front)
{
	return (struct reply_sink){
		.replies = replies, .over = over, .asker = asker, .full = full, .arg = front};
}
