/* What of a request counts for its fingerprint, and what it is of: it lies in data folders. */
#include <string.h>

#include "ipc/wire/fingerprint.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define HEAD "\x94\x00\x07"

/* Of a request's bytes behind type and msgid. */
static uint64_t of(const char *more, size_t n)
{
	char data[256] = HEAD;
	struct options found;
	struct request r;
	char why[400];
	const char *bad;

	memcpy(data + 3, more, n);
	EQ(0, request_walk(data, data + 3 + n, &r, &bad));
	EQ(WIRE_OK, request_check(&r, &found, why, sizeof(why)));
	return request_fingerprint(&r);
}

#define OF(s) of(s, sizeof(s) - 1)

#define ID         \
	"\xc4\x10" \
	"0123456789abcdef"

/* Those that a version has logged are what every later one asks for. */
static void values_never_change(void)
{
	EQ((long long)0x94aa923f406b8d2bu, (long long)OF("\xa3put\x93\xa1"
							 "b\xa1k\xa1v"));
	EQ((long long)0x97f4600fa5a6e74au, (long long)OF("\xa3put\x94\xa1"
							 "b\xa1k\xa1v\x81\xa3ttl\x05"));
	EQ((long long)0x12e44c5f0c617280u, (long long)OF("\xa4"
							 "drop\x91\xa1"
							 "b"));
	EQ((long long)0x93015523fc3a8b6bu,
	   (long long)OF("\xa4"
			 "call\x94\xa1"
			 "b\xa1m\xa1"
			 "f\x97\xc0\xc3\xff\xcb\x3f\xf8\0\0\0\0\0\0\x92\x01\x02\x82\xa1"
			 "a\x01\xa1"
			 "b\x02\xa0"));
}

/* str or bin, long or short forms, the order of maps, and what is about this copy alone. */
static void what_says_the_same_is_the_same(void)
{
	const uint64_t put = OF("\xa3put\x94\xa1"
				"b\xa1k\xa1v\x82\xa3ttl\x05\xaaif_version\x02");

	EQ((long long)put, (long long)OF("\xc4\x03put\x94\xc4\x01"
					 "b\xd9\x01k\xc5\0\x01v\x82\xa3ttl\x05\xaaif_version\x02"));
	EQ((long long)put,
	   (long long)OF(
		   "\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x82\xaaif_version\xcd\0\x02\xc4\x03ttl\xcf\0\0\0\0\0\0\0\x05"));
	EQ((long long)put,
	   (long long)OF("\xa3put\x94\xa1"
			 "b\xa1k\xa1v\x86\xa7timeout\x64\xa7session" ID "\xa3seq\x01\xa3"
			 "ack\x01\xa3ttl\x05\xaaif_version\x02"));
	EQ((long long)OF("\xa3put\x93\xa1"
			 "b\xa1k\xa1v"),
	   (long long)OF("\xa3put\x94\xa1"
			 "b\xa1k\xa1v\x80"));
	EQ((long long)OF("\xa3put\x93\xa1"
			 "b\xa1k\xa1v"),
	   (long long)OF("\xa3put\x94\xa1"
			 "b\xa1k\xa1v\x81\xa7timeout\x64"));
	EQ((long long)OF("\xa4"
			 "call\x94\xa1"
			 "b\xa1m\xa1"
			 "f\x91\x82\xa1"
			 "a\x01\xa1"
			 "b\xca\x3f\xc0\0\0"),
	   (long long)OF("\xa4"
			 "call\x94\xa1"
			 "b\xa1m\xa1"
			 "f\x91\x82\xa1"
			 "b\xcb\x3f\xf8\0\0\0\0\0\0\xa1"
			 "a\xd0\x01"));
}

/* No two of these are alike. */
static void what_says_something_else_is_another(void)
{
	const uint64_t all[] = {
		OF("\xa3put\x93\xa1"
		   "b\xa1k\xa1v"),
		OF("\xa3put\x93\xa1"
		   "b\xa1k\xa1w"),
		OF("\xa3put\x93\xa1"
		   "b\xa2kv\xa0"),
		OF("\xa3put\x93\xa1"
		   "b\xa1k\xa2v\0"),
		OF("\xa3put\x93\xa1"
		   "c\xa1k\xa1v"),
		OF("\xa3put\x93\xa2"
		   "bk\xa1v\xa0"),
		OF("\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x81\xa3ttl\x05"),
		OF("\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x81\xa3ttl\x06"),
		OF("\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x81\xaaif_version\x05"),
		OF("\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x82\xa3ttl\x05\xaaif_version\x06"),
		OF("\xa3put\x94\xa1"
		   "b\xa1k\xa1v\x82\xa3ttl\x06\xaaif_version\x05"),
		OF("\xa4"
		   "drop\x91\xa1"
		   "b"),
		OF("\xa6"
		   "create\x91\xa1"
		   "b"),
		OF("\xa6"
		   "delete\x92\xa1"
		   "b\xa1k"),
		OF("\xa5touch\x92\xa1"
		   "b\xa1k"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x90"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\xc0"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\xc2"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x00"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\xcb\0\0\0\0\0\0\0\0"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\xff"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x90"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x80"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x91\x01"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x92\x01\x02"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x92\x02\x01"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x92\x01\x02"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x82\xa1"
		   "a\x01\xa1"
		   "b\x02"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1m\xa1"
		   "f\x91\x82\xa1"
		   "a\x02\xa1"
		   "b\x01"),
		OF("\xa4"
		   "call\x94\xa1"
		   "b\xa1"
		   "f\xa1m\x90"),
	};
	const unsigned n = sizeof(all) / sizeof(all[0]);

	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			if (all[i] == all[k])
				unit_fail(__FILE__, __LINE__, "two are alike", i, k);
}

UNIT_MAIN(T(values_never_change), T(what_says_the_same_is_the_same),
	  T(what_says_something_else_is_another))
