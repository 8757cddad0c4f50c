/*
 * pail-worker: started by paild only, with its descriptors in place (ipc/shm/segment.h).  Run by
 * hand it says so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "include/wire.h"
#include "ipc/shm/segment.h"
#include "worker/functions_set.h"
#include "worker/loop.h"

int main(int argc, char **argv)
{
	bool follow;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		(void)printf("pail-worker %s\n", WIRE_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--check-functions") && fcntl(FD_FUNCTIONS, F_GETFD) >= 0)
		return worker_functions_check();
	follow = argc == 2 && !strcmp(argv[1], "--follow");
	if (argc != 2 || (!follow && strcmp(argv[1], "--serve") != 0) ||
	    fcntl(FD_SEGMENT, F_GETFD) < 0) {
		(void)fprintf(stderr,
			      "pail-worker is started by paild, not by hand; see paild --help\n");
		return WORKER_HOPELESS;
	}
	return worker_run(follow);
}
