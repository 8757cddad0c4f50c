/*
 * The agent: messages from paild on a pair of sockets become requests to etcd, what etcd answers
 * goes back.  It keeps nothing that outlives it: when it is killed, the outcome of what it was asked
 * is unknown, and its successor needs to be told nothing but `begin` again.
 *
 * Nothing waits for another: up to AGENT_REQUESTS_MAX requests are on their way at a time, and one
 * that hangs ends by itself, after two seconds an endpoint.
 */
#ifndef PAIL_AGENT_AGENT_H
#define PAIL_AGENT_AGENT_H

/* Serve the pair `fd` until its other end is closed.  0; 1: failed; 2: it was begun with what cannot be. */
int agent_run(int fd);

#endif
