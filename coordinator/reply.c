/* From a reply to whoever waits for it. */
#include "coordinator/coord.h"

#include "coordinator/peer_server.h"

void answer_many(struct coord *c, struct reply_to o, const uint16_t *index, uint32_t count,
		 const char *replies, size_t n, bool stays)
{
	switch (reply_to_kind(o)) {
	case REPLY_TO_CLIENT:
	case REPLY_TO_GROUP:
		clients_answer(c->clients, o, replies, n, count, stays);
		return;
	case REPLY_TO_FANOUT:
		fanout_reply(c, o, replies, n);
		return;
	case REPLY_TO_SESSION:
		peer_server_answer(c, o, index, count, replies, n);
		return;
	}
}

void answer(struct coord *c, struct reply_to o, const char *reply, size_t n)
{
	uint16_t index = (uint16_t)o.index;

	answer_many(c, o, &index, 1, reply, n, false);
}

const char *answer_over(struct coord *c, struct reply_to o)
{
	if (reply_to_kind(o) == REPLY_TO_FANOUT)
		return NULL; /* judged when it is whole */
	if (reply_to_kind(o) == REPLY_TO_SESSION && !peer_server_client(c, o, &o))
		return NULL;
	return clients_over(c->clients, o);
}

void dispatch_error(struct coord *c, struct reply_to o, uint64_t msgid, bool msgid_known,
		    enum wire_error e, const char *text)
{
	char reply[WIRE_REPLY_ERROR_MAX];
	char *end = write_error(reply, msgid, msgid_known, e, text);

	c->local_errors++;
	answer(c, o, reply, (size_t)(end - reply));
}
