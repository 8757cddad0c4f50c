/* Checksums and hashes. */
#ifndef PAIL_HASH_H
#define PAIL_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC32C (Castagnoli, RFC 3720 B.4) of `len` bytes, continuing from `crc` (0 to begin).  Uses the
 * processor's instruction where there is one; the result is the same without.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The table form of the same, for tests and processors without the instruction. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

/*
 * A 64-bit hash for tables and for placing buckets: multiply and fold over 8-byte little-endian
 * words.  With seed 0 the result is part of the data folder's format (which worker owns which
 * bucket) and must never change; tables that strangers fill use a random seed.
 */
uint64_t hash64(uint64_t seed, const void *data, size_t len);

#endif
