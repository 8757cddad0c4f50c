/* Checksums and checks of log records. */
#include "storage/wal_record.h"

#include "common/hash.h"

uint32_t wal_record_crc(const struct wal_record *r, uint64_t epoch)
{
	uint32_t crc = crc32c(0, &epoch, sizeof(epoch));

	return crc32c(crc, &r->size, r->size - offsetof(struct wal_record, size));
}

uint32_t wal_header_crc(const struct wal_header *h)
{
	struct wal_header copy = *h;

	copy.crc = 0;
	return crc32c(0, &copy, sizeof(copy));
}

bool wal_record_valid(const void *p, uint64_t room, uint64_t epoch)
{
	const struct wal_record *r = p;

	if (room < sizeof(*r) || r->size < sizeof(*r) || r->size > room || r->size % 8)
		return false;
	if (r->op < WAL_PUT || r->op >= WAL_OP_END)
		return false;
	if (r->size != wal_record_size(r->name_len, r->key_len, r->value_len))
		return false;
	return wal_record_crc(r, epoch) == r->crc;
}
