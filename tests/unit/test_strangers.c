/* Who is not known may be about to be: a stranger is who stays one. */
#include <stdio.h>
#include <string.h>

#include "coordinator/peers/strangers.h"
#include "tests/unit/lib/unit.h"

static struct strangers strangers;

static bool stays(const char *name, uint64_t now_ms)
{
	return stranger_stays(&strangers, span_of(name), now_ms);
}

static void one_that_stays_is_a_stranger(void)
{
	memset(&strangers, 0, sizeof(strangers));
	TRUE_(!stays("a", 1000));
	TRUE_(!stays("a", 1000 + STRANGER_KNOWN_MS - 1));
	TRUE_(stays("a", 1000 + STRANGER_KNOWN_MS));
	TRUE_(stays("a", 1001 + STRANGER_KNOWN_MS));
	TRUE_(!stays("b", 1001 + STRANGER_KNOWN_MS)); /* another one */
	TRUE_(!stays("aa", 1001 + STRANGER_KNOWN_MS));
}

static void one_that_comes_after_long_comes_anew(void)
{
	memset(&strangers, 0, sizeof(strangers));
	TRUE_(!stays("a", 1000));
	TRUE_(stays("a", 1000 + STRANGER_FORGET_MS - 1));
	TRUE_(!stays("a", 1000 + 3 * STRANGER_FORGET_MS));
}

static void many_are_told_apart_and_more_push_out_the_oldest(void)
{
	char name[PEER_MESSAGE_NODE_MAX + 8];

	memset(&strangers, 0, sizeof(strangers));
	for (uint32_t i = 0; i < STRANGERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		TRUE_(!stays(name, 1000 + i));
	}
	TRUE_(!stays("another", 2000)); /* in the place of n0 */
	TRUE_(stays("n1", 2000 + STRANGER_KNOWN_MS));
	TRUE_(!stays("n0", 2000 + STRANGER_KNOWN_MS));
	TRUE_(stays("another", 2000 + STRANGER_KNOWN_MS));
	memset(name, 'x', PEER_MESSAGE_NODE_MAX); /* the longest name that a hello has */
	name[PEER_MESSAGE_NODE_MAX] = '\0';
	TRUE_(!stays(name, 9000));
	TRUE_(stays(name, 9000 + STRANGER_KNOWN_MS));
}

UNIT_MAIN(T(one_that_stays_is_a_stranger), T(one_that_comes_after_long_comes_anew),
	  T(many_are_told_apart_and_more_push_out_the_oldest))
