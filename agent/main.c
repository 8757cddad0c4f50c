/*
 * pail-agent: started by paild, speaks with etcd for it.  Descriptor 3 is its end of the pair, and its
 * life hangs on that: signals to the whole process group, as ^C is, are for paild, which still wants
 * to hand over what it leads.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "common/log.h"
#include "include/wire.h"

#define PAIR       3
#define EXIT_USAGE 2

static const char usage[] = "usage: pail-agent\n"
			    "\n"
			    "Asks etcd for paild, which starts it where [cluster] is set, with one "
			    "end of a pair of sockets\n"
			    "as descriptor 3.  It ends when the other end is closed.\n"
			    "\n"
			    "  --version, --help\n"
			    "\n"
			    "Exit status: 0 ended, 1 failed, 2 wrong usage or settings.\n";

int main(int argc, char **argv)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		(void)printf("pail-agent %s\n", WIRE_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		(void)fputs(usage, stdout);
		return 0;
	}
	if (argc != 1 || getsockopt(PAIR, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
	    type != SOCK_SEQPACKET) {
		(void)fprintf(stderr, "pail-agent: %s; try pail-agent --help\n",
			      argc != 1 ? "wrong option" : "descriptor 3 is no pair of paild's");
		return EXIT_USAGE;
	}
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("agent", LOG_INFO);
	return agent_run(PAIR);
}
