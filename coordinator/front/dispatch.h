/*
 * The ways of requests: into the queue of a bucket's worker, or on to the peer that the table
 * names.
 */
#ifndef PAIL_DISPATCH_H
#define PAIL_DISPATCH_H

#include "coordinator/front/front.h"

/* Take in m->parsed. */
void dispatch_parsed(struct front *front, struct message *m);

/* Keep the options of an item with it, if there are any besides `timeout`. */
void dispatch_options(struct message *m, struct item *it, const struct options *o);
/* Give an item of `m` the way that the table says now. */
void dispatch_begin(struct front *front, struct message *m);
void dispatch_item(struct front *front, struct message *m, const struct request *q,
		   struct item *it);
void dispatch_end(struct front *front, struct message *m);

/* One that has waited takes the way that there is now. */
void dispatch_again(struct front *front, const struct fenced *f);

/* Would going to `next` lead the message in a circle, or over too many nodes?  `text` says. */
bool dispatch_loops(const struct front *front, const struct message *m, const char *next,
		    char *text, size_t size);
/*
 * Put one request into a worker's queue, in its turn for who sent `m`.  0, -EAGAIN: it is full, or
 * -EIO: the worker has failed.
 */
int dispatch_one(struct front *front, struct message *m, struct worker *w, struct reply_to owner,
		 const struct item *it);

#endif
