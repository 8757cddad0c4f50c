/* Checksums and checks of log records. */
#include "storage/log/entry.h"

#include "common/hash.h"

uint32_t wal_record_crc(const struct wal_record *r, uint64_t epoch)
{
	uint32_t crc = crc32c(0, &epoch, sizeof(epoch));

	return crc32c(crc, &r->size, r->size - offsetof(struct wal_record, size));
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
