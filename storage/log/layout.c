/*
 * What lies on disk in the log, as WAL_VERSION says.  Data folders outlive every build, so whoever
 * changes a number below has changed the layout: raises the version, and still reads the old one.
 */
#include "common/layout.h"
#include "storage/log/wal.h"

#if WAL_VERSION != 1
#error "write down here how everything lies in this version of WAL_VERSION"
#endif

/* clang-format off */
LAYOUT_SIZE(wal_header, 56);
LAYOUT_AT(wal_header, magic, 0);
LAYOUT_AT(wal_header, version, 8);
LAYOUT_AT(wal_header, crc, 12);
LAYOUT_AT(wal_header, epoch, 16);
LAYOUT_AT(wal_header, generation, 24);
LAYOUT_AT(wal_header, first_seq, 32);
LAYOUT_AT(wal_header, clock_ms, 40);
LAYOUT_AT(wal_header, size, 48);

LAYOUT_SIZE(wal_record, 56);
LAYOUT_AT(wal_record, crc, 0);
LAYOUT_AT(wal_record, size, 4);
LAYOUT_AT(wal_record, seq, 8);
LAYOUT_AT(wal_record, request_id, 16);
LAYOUT_AT(wal_record, bucket, 24);
LAYOUT_AT(wal_record, expiry, 32);
LAYOUT_AT(wal_record, value_len, 40);
LAYOUT_AT(wal_record, unsynced, 44);
LAYOUT_AT(wal_record, key_len, 48);
LAYOUT_AT(wal_record, name_len, 50);
LAYOUT_AT(wal_record, op, 51);
LAYOUT_AT(wal_record, delta, 52);
LAYOUT_AT(wal_record, zero, 53);
LAYOUT_AT(wal_record, data, 56);

LAYOUT_SIZE(wal_clock, 24);
LAYOUT_AT(wal_clock, boot_ms, 0);
LAYOUT_AT(wal_clock, boot_id, 8);
/* clang-format on */

LAYOUT_IS(WAL_HEADER_BYTES, 4096);
LAYOUT_IS(WAL_OP_END, 8); /* new ones may be added behind: earlier versions refuse them */
