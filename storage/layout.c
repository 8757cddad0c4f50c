/*
 * What lies on disk in base, as BASE_FORMAT says.  Data folders outlive every build, so whoever
 * changes a number below has changed the layout: raises the version, and either still reads the old
 * one or refuses it with a sentence that says how to bring its data over.
 */
#include "common/layout.h"
#include "storage/base_format.h"

#if BASE_FORMAT != 2
#error "write down here how everything lies in this version of BASE_FORMAT"
#endif

/* clang-format off */
LAYOUT_SIZE(item_head, 24);
LAYOUT_AT(item_head, version, 0);
LAYOUT_AT(item_head, expiry, 8);
LAYOUT_AT(item_head, head_crc, 16);
LAYOUT_AT(item_head, crc, 20);

LAYOUT_SIZE(directory_row, 24);
LAYOUT_AT(directory_row, id, 0);
LAYOUT_AT(directory_row, count, 8);
LAYOUT_AT(directory_row, zero, 16);
LAYOUT_AT(directory_row, crc, 20);

LAYOUT_SIZE(part_row, 24);
LAYOUT_AT(part_row, settled, 0);
LAYOUT_AT(part_row, clock_ms, 8);
LAYOUT_AT(part_row, zero, 16);
LAYOUT_AT(part_row, crc, 20);

LAYOUT_SIZE(copy_row, 32);
LAYOUT_AT(copy_row, settled, 0);
LAYOUT_AT(copy_row, clock_ms, 8);
LAYOUT_AT(copy_row, load_lsn, 16);
LAYOUT_AT(copy_row, broken, 24);
LAYOUT_AT(copy_row, spans, 28);

LAYOUT_SIZE(row_end, 8);
LAYOUT_AT(row_end, zero, 0);
LAYOUT_AT(row_end, crc, 4);

LAYOUT_SIZE(ttl_row, 12);
LAYOUT_AT(ttl_row, version, 0);
LAYOUT_AT(ttl_row, crc, 8);

LAYOUT_SIZE(drop_row, 4);
LAYOUT_AT(drop_row, crc, 0);

LAYOUT_SIZE(forgotten_row, 16);
LAYOUT_AT(forgotten_row, made_ms, 0);
LAYOUT_AT(forgotten_row, zero, 8);
LAYOUT_AT(forgotten_row, crc, 12);

LAYOUT_SIZE(floor_row, 16);
LAYOUT_AT(floor_row, floor, 0);
LAYOUT_AT(floor_row, zero, 8);
LAYOUT_AT(floor_row, crc, 12);

LAYOUT_SIZE(outcome_head, 24);
LAYOUT_AT(outcome_head, fingerprint, 0);
LAYOUT_AT(outcome_head, sequence, 8);
LAYOUT_AT(outcome_head, ruled_out, 16);
LAYOUT_AT(outcome_head, crc, 20);

LAYOUT_SIZE(engine_meta, 24);
LAYOUT_AT(engine_meta, settled_lsn, 0);
LAYOUT_AT(engine_meta, clock_ms, 8);
LAYOUT_AT(engine_meta, epoch_min, 16);

LAYOUT_SIZE(meta_row, 40);
LAYOUT_AT(meta_row, format, 0);
LAYOUT_AT(meta_row, crc, 4);
LAYOUT_AT(meta_row, meta, 8);
LAYOUT_AT(meta_row, partitions, 32);
LAYOUT_AT(meta_row, zero, 36);

LAYOUT_IS(PARTITION_SHIFT, 52);
LAYOUT_IS(PARTITIONS_MAX, 4096);
LAYOUT_IS(PARTITION_KEY_BYTES, 2);
LAYOUT_IS(BUCKET_KEY_BYTES, 8);
LAYOUT_IS(TTL_KEY_BYTES, 18);
LAYOUT_IS(SESSION_KEY_BYTES, 18);
LAYOUT_IS(OUTCOME_KEY_BYTES, 26);
LAYOUT_IS(TAIL_KEY_BYTES, 10);
/* clang-format on */
