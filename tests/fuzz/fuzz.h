/*
 * Fuzz targets for libFuzzer.  Each gets bytes from nowhere and must neither crash, nor read or
 * write where it may not, nor take for ever; what it returns does not matter.
 */
#ifndef PAIL_FUZZ_H
#define PAIL_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte, so that a sanitizer sees those that are not there. */
static inline unsigned touch(const void *data, size_t n)
{
	const volatile uint8_t *p = data;
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

#endif
