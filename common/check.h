/*
 * Assertions that stay on in every build.  They are for mistakes of ours only: bytes from a
 * client, a disk or a configuration get returned errors.  The argument must have no side effect.
 */
#ifndef PAIL_CHECK_H
#define PAIL_CHECK_H

#define check(e) ((e) ? (void)0 : check_failed(#e, __FILE__, __LINE__))

/* Expensive ones: only where PAIL_FAULTS builds (debug, asan, tsan) run them. */
#ifdef PAIL_FAULTS
#define check_slow(e) check(e)
#else
#define check_slow(e) ((void)sizeof(e))
#endif

/*
 * Called once with the text of a failed check before the process aborts, so that a worker can
 * leave it as its last words.  `hook` must only copy the text; NULL switches it off.
 */
void check_set_hook(void (*hook)(void *arg, const char *text), void *arg);

/* Say what failed, call the hook, abort.  Never returns. */
_Noreturn void check_failed(const char *expr, const char *file, int line);

#endif
