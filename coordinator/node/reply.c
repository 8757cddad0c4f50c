/* One reply, and errors. */
#include "coordinator/node/reply.h"

#include "coordinator/node/figures.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

void reply_send(struct reply_sink *s, struct reply_to o, const char *reply, size_t n)
{
	uint16_t index = (uint16_t)o.index;

	reply_many(s, o, &index, 1, reply, n, false);
}

void reply_error(struct reply_sink *s, struct reply_to o, int method, uint64_t msgid,
		 bool msgid_known, enum wire_error e, const char *text)
{
	char reply[WIRE_REPLY_ERROR_MAX];
	char *end = write_error(reply, msgid, msgid_known, e, text);

	s->errors++;
	figures_result(s->figures, (unsigned)method, e);
	reply_send(s, o, reply, (size_t)(end - reply));
}
