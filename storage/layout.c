/*
 * What lies on disk in base, as BASE_FORMAT says.  Data folders outlive every build, so whoever
 * changes a number below has changed the layout: raises the version, and still reads the old one.
 */
#include "common/layout.h"
#include "storage/base_format.h"

#if BASE_FORMAT != 1
#error "write down here how everything lies in this version of BASE_FORMAT"
#endif

/* clang-format off */
LAYOUT_SIZE(item_head, 24);
LAYOUT_AT(item_head, version, 0);
LAYOUT_AT(item_head, expiry, 8);
LAYOUT_AT(item_head, crc, 16);
LAYOUT_AT(item_head, zero, 20);

LAYOUT_SIZE(dir_row, 16);
LAYOUT_AT(dir_row, id, 0);
LAYOUT_AT(dir_row, count, 8);

LAYOUT_SIZE(engine_meta, 24);
LAYOUT_AT(engine_meta, settled, 0);
LAYOUT_AT(engine_meta, clock_ms, 8);
LAYOUT_AT(engine_meta, epoch_min, 16);

LAYOUT_SIZE(meta_row, 32);
LAYOUT_AT(meta_row, format, 0);
LAYOUT_AT(meta_row, crc, 4);
LAYOUT_AT(meta_row, meta, 8);
/* clang-format on */
