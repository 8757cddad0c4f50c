/*
 * What lies on disk in the log, as WAL_VERSION says.  Data folders outlive every build, so whoever
 * changes a number below has changed the layout: raises the version.
 *
 * Version 1 had one record for a put and nothing that could leave its file; version 2 knew neither
 * groups nor sessions, and an outcome's result was a whole reply.  They are refused, with a sentence
 * that says how to bring their data over.
 */
#include "common/layout.h"
#include "common/log_size.h"
#include "storage/log/wal.h"

/* The largest put: what the log of a worker is sized for. */
_Static_assert(LOG_RECORD_BYTES + sizeof(struct log_change_head) + 16 + 8 <= LOG_ENTRY_SPARE,
	       "a record's heads fit into what common/log_size.h leaves for them");

#if WAL_VERSION != 3
#error "write down here how everything lies in this version of WAL_VERSION"
#endif

/* clang-format off */
LAYOUT_SIZE(wal_header, 56);
LAYOUT_AT(wal_header, magic, 0);
LAYOUT_AT(wal_header, version, 8);
LAYOUT_AT(wal_header, crc, 12);
LAYOUT_AT(wal_header, epoch, 16);
LAYOUT_AT(wal_header, generation, 24);
LAYOUT_AT(wal_header, first_lsn, 32);
LAYOUT_AT(wal_header, clock_ms, 40);
LAYOUT_AT(wal_header, size, 48);

LAYOUT_SIZE(log_frame, 24);
LAYOUT_AT(log_frame, crc, 0);
LAYOUT_AT(log_frame, lsn, 4);
LAYOUT_AT(log_frame, request_id, 8);
LAYOUT_AT(log_frame, unsynced, 16);
LAYOUT_AT(log_frame, commit_back, 20);

LAYOUT_SIZE(log_entry, 32);
LAYOUT_AT(log_entry, crc, 0);
LAYOUT_AT(log_entry, size, 4);
LAYOUT_AT(log_entry, term, 8);
LAYOUT_AT(log_entry, sequence, 16);
LAYOUT_AT(log_entry, partition, 24);
LAYOUT_AT(log_entry, kind, 26);
LAYOUT_AT(log_entry, flags, 27);
LAYOUT_AT(log_entry, count, 28);
LAYOUT_AT(log_entry, data, 32);

LAYOUT_SIZE(log_session, 40);
LAYOUT_AT(log_session, id, 0);
LAYOUT_AT(log_session, sequence, 16);
LAYOUT_AT(log_session, acknowledged, 24);
LAYOUT_AT(log_session, fingerprint, 32);

LAYOUT_SIZE(log_change_head, 8);
LAYOUT_AT(log_change_head, value_len, 0);
LAYOUT_AT(log_change_head, key_len, 4);
LAYOUT_AT(log_change_head, name_len, 6);
LAYOUT_AT(log_change_head, op_flags, 7);
LAYOUT_AT(log_change_head, number, 8);

LAYOUT_SIZE(log_clock, 32);
LAYOUT_AT(log_clock, clock_ms, 0);
LAYOUT_AT(log_clock, boot_ms, 8);
LAYOUT_AT(log_clock, boot_id, 16);

LAYOUT_SIZE(log_forget, 8);
LAYOUT_AT(log_forget, made_ms, 0);

LAYOUT_SIZE(log_term_head, 8);
LAYOUT_AT(log_term_head, size, 0);
LAYOUT_AT(log_term_head, zero, 4);

LAYOUT_SIZE(log_place, 16);
LAYOUT_AT(log_place, term, 0);
LAYOUT_AT(log_place, sequence, 8);

LAYOUT_SIZE(log_load, 24);
LAYOUT_AT(log_load, at, 0);
LAYOUT_AT(log_load, whole, 16);

LAYOUT_SIZE(log_span, 24);
LAYOUT_AT(log_span, term, 0);
LAYOUT_AT(log_span, first, 8);
LAYOUT_AT(log_span, last, 16);

LAYOUT_SIZE(log_result_head, 8);
LAYOUT_AT(log_result_head, size, 0);
LAYOUT_AT(log_result_head, zero, 4);
/* clang-format on */

LAYOUT_IS(WAL_HEADER_BYTES, 4096);

/* New ones may be added behind: earlier versions refuse them. */
LAYOUT_IS(LOG_CHANGE, 1);
LAYOUT_IS(LOG_OUTCOME, 2);
LAYOUT_IS(LOG_CLOCK, 3);
LAYOUT_IS(LOG_RULED_OUT, 4);
LAYOUT_IS(LOG_FORGET_SESSION, 5);
LAYOUT_IS(LOG_TERM, 6);
LAYOUT_IS(LOG_CUT, 7);
LAYOUT_IS(LOG_LOAD, 8);
LAYOUT_IS(LOG_FORGET, 9);
LAYOUT_IS(LOG_COMMIT, 10);
LAYOUT_IS(LOG_KIND_END, 11);
LAYOUT_IS(LOG_HAS_SESSION, 1);
LAYOUT_IS(LOG_HAS_RESULT, 2);
LAYOUT_IS(LOG_PUT, 1);
LAYOUT_IS(LOG_DELETE, 2);
LAYOUT_IS(LOG_TOUCH, 3);
LAYOUT_IS(LOG_CREATE, 4);
LAYOUT_IS(LOG_DROP, 5);
LAYOUT_IS(LOG_SWEEP, 6);
LAYOUT_IS(LOG_OP_END, 7);
LAYOUT_IS(LOG_HAS_EXPIRY, 16);
LAYOUT_IS(LOG_COUNTS_ONE, 32);
LAYOUT_IS(LOG_COUNTS_LESS, 64);
LAYOUT_IS(LOG_KEY_MAX, 480);
LAYOUT_IS(LOG_VIEW_MAX, 512);
LAYOUT_IS(PARTITION_SHIFT, 52);
