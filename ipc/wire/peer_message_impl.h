/* What the files of peer_message.h share. */
#ifndef PAIL_PEER_MESSAGE_IMPL_H
#define PAIL_PEER_MESSAGE_IMPL_H

#include <stdbool.h>

#include "ipc/wire/peer_message.h"

#define INDEX_BYTES 2u

/* Each steps over one element, or says that it is of another type: then nothing else counts. */
uint64_t take_uint(const char **p, bool *bad);
struct span take_bytes(const char **p, size_t most, bool *bad);
/* The indexes of requests, and with them h->count. */
void indexes_read(const char **p, struct peer_message *h, bool *bad);

/* What is behind the kind of a message of a cluster. */
void cluster_read(const char *p, struct peer_message *h, bool *bad);

/* The beginning of a message of that kind. */
char *message_head(char *p, enum peer_message_kind k);

#endif
