/* "Did you mean …?": the word that somebody who mistyped meant. */
#ifndef PAIL_NEAR_H
#define PAIL_NEAR_H

#define NEAR_NOT 99u /* far from it */

/*
 * How far `typed` is from `known`: letters changed, added, left out, or swapped with their
 * neighbour; a beginning of three letters and more counts as one.  NEAR_NOT if more than every
 * third letter is wrong: a suggestion of what nobody meant is worse than none.
 */
unsigned near_distance(const char *typed, const char *known);

#endif
