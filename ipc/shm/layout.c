/*
 * What coordinator and worker share, as SEGMENT_LAYOUT says.  The two may be of different builds
 * while a node is upgraded or a worker restarted, so whoever changes a number below has changed the
 * layout, and raises the version.
 */
#include "common/layout.h"
#include "include/wire.h"
#include "ipc/shm/control.h"
#include "ipc/shm/records.h"
#include "ipc/shm/segment.h"

#if SEGMENT_LAYOUT != 11
#error "write down here how everything lies in this version of SEGMENT_LAYOUT"
#endif

/* clang-format off */
LAYOUT_SIZE(worker_status, 3712);
LAYOUT_AT(worker_status, state, 0);
LAYOUT_AT(worker_status, phase, 4);
LAYOUT_AT(worker_status, heartbeat_ms, 8);
LAYOUT_AT(worker_status, executing, 16);
LAYOUT_AT(worker_status, reached, 24);
LAYOUT_AT(worker_status, wall_ms, 32);
LAYOUT_AT(worker_status, serving, 40); /* which figure has which slot: ipc/shm/metrics.h */
LAYOUT_AT(worker_status, by_method, 512);
LAYOUT_AT(worker_status, exit_reason, 768);
LAYOUT_AT(worker_status, submitted, 1016);
LAYOUT_AT(worker_status, synced, 1024);
LAYOUT_AT(worker_status, sync, 1032);
LAYOUT_AT(worker_status, successor_exit_reason, 1152);
LAYOUT_AT(worker_status, worker_sleeps, 1408);
LAYOUT_AT(worker_status, unsynced_ms, 1416);
LAYOUT_AT(worker_status, coordinator_sleeps, 1472);
LAYOUT_AT(worker_status, life, 1476);
LAYOUT_AT(worker_status, buckets_elsewhere, 1480);
LAYOUT_AT(worker_status, started, 1488);
LAYOUT_AT(worker_status, roles, 1496);
LAYOUT_AT(worker_status, coordinator, 1536);
LAYOUT_AT(worker_status, errors_of, 1664);

LAYOUT_SIZE(settings, 1224);
LAYOUT_AT(settings, worker, 0);
LAYOUT_AT(settings, workers, 4);
LAYOUT_AT(settings, cache_bytes, 8);
LAYOUT_AT(settings, log_bytes, 16);
LAYOUT_AT(settings, log_segment_bytes, 24);
LAYOUT_AT(settings, map_bytes, 32);
LAYOUT_AT(settings, value_max, 40);
LAYOUT_AT(settings, buckets_max, 48);
LAYOUT_AT(settings, disk_reserve_bytes, 56);
LAYOUT_AT(settings, lock_wait_ms, 64);
LAYOUT_AT(settings, checkpoint_ms, 68);
LAYOUT_AT(settings, log_level, 72);
LAYOUT_AT(settings, hang_ms, 76);
LAYOUT_AT(settings, partitions, 80);
LAYOUT_AT(settings, functions, 84);
LAYOUT_AT(settings, result_max, 88);
LAYOUT_AT(settings, session_ms, 96);
LAYOUT_AT(settings, session_bytes_max, 104);
LAYOUT_AT(settings, dir, 112);
LAYOUT_AT(settings, node, 1136);
LAYOUT_AT(settings, group_max, 1200);
LAYOUT_AT(settings, member_store, 1208);
LAYOUT_AT(settings, member_node, 1216);
LAYOUT_AT(settings, replicated, 1220);

LAYOUT_SIZE(segment_header, 2048);
LAYOUT_AT(segment_header, magic, 0);
LAYOUT_AT(segment_header, version, 8);
LAYOUT_AT(segment_header, status_offset, 12);
LAYOUT_AT(segment_header, generation, 16);
LAYOUT_AT(segment_header, size, 24);
LAYOUT_AT(segment_header, ring_offset, 32);
LAYOUT_AT(segment_header, ring_size, 72);
LAYOUT_AT(segment_header, lease_offset, 112);
LAYOUT_AT(segment_header, leases, 116);
LAYOUT_AT(segment_header, ring, 128);
LAYOUT_AT(segment_header, settings, 768);

LAYOUT_SIZE(lease_word, 32);
LAYOUT_AT(lease_word, turn, 0);
LAYOUT_AT(lease_word, epoch, 4);
LAYOUT_AT(lease_word, boot_until_us, 8);
LAYOUT_AT(lease_word, raw_until_us, 16);
LAYOUT_AT(lease_word, log_term, 24);

LAYOUT_SIZE(ring_control, 128);
LAYOUT_AT(ring_control, head, 0);
LAYOUT_AT(ring_control, tail, 64);

LAYOUT_SIZE(request_entry, 32);
LAYOUT_AT(request_entry, msgid, 0);
LAYOUT_AT(request_entry, offset, 8);
LAYOUT_AT(request_entry, value_len, 12);
LAYOUT_AT(request_entry, timeout_ms, 16);
LAYOUT_AT(request_entry, index, 20);
LAYOUT_AT(request_entry, partition, 22);
LAYOUT_AT(request_entry, key_len, 24);
LAYOUT_AT(request_entry, bucket_len, 26);
LAYOUT_AT(request_entry, key_gap, 27);
LAYOUT_AT(request_entry, value_gap, 28);
LAYOUT_AT(request_entry, method, 29);
LAYOUT_AT(request_entry, flags, 30);
LAYOUT_AT(request_entry, state, 31);

LAYOUT_SIZE(entry_span, 8);
LAYOUT_AT(entry_span, at, 0);
LAYOUT_AT(entry_span, size, 4);

LAYOUT_SIZE(entry_options, 88);
LAYOUT_AT(entry_options, given, 0);
LAYOUT_AT(entry_options, on, 4);
LAYOUT_AT(entry_options, if_version, 8);
LAYOUT_AT(entry_options, ttl_ms, 16);
LAYOUT_AT(entry_options, limit, 24);
LAYOUT_AT(entry_options, prefix, 32);
LAYOUT_AT(entry_options, from, 40);
LAYOUT_AT(entry_options, to, 48);
LAYOUT_AT(entry_options, after, 56);
LAYOUT_AT(entry_options, set, 64);
LAYOUT_AT(entry_options, names, 72);
LAYOUT_AT(entry_options, partitions, 80);

LAYOUT_SIZE(entry_session, 40);
LAYOUT_AT(entry_session, id, 0);
LAYOUT_AT(entry_session, seq, 16);
LAYOUT_AT(entry_session, ack, 24);
LAYOUT_AT(entry_session, fingerprint, 32);

LAYOUT_SIZE(entry_parts, 32);
LAYOUT_AT(entry_parts, part, 0);
LAYOUT_AT(entry_parts, ops, 24);
LAYOUT_AT(entry_parts, flags, 28);

LAYOUT_SIZE(request_record, 32);
LAYOUT_AT(request_record, size, 0);
LAYOUT_AT(request_record, count, 4);
LAYOUT_AT(request_record, open, 6);
LAYOUT_AT(request_record, flags, 8);
LAYOUT_AT(request_record, turn, 10);
LAYOUT_AT(request_record, reply_to, 12);
LAYOUT_AT(request_record, recv_us, 16);
LAYOUT_AT(request_record, reply_to_generation, 24);
LAYOUT_AT(request_record, entry, 32);

LAYOUT_SIZE(reply_block, 40);
LAYOUT_AT(reply_block, size, 0);
LAYOUT_AT(reply_block, bytes, 4);
LAYOUT_AT(reply_block, record, 8);
LAYOUT_AT(reply_block, first, 16);
LAYOUT_AT(reply_block, count, 20);
LAYOUT_AT(reply_block, kind, 22);
LAYOUT_AT(reply_block, begun_us, 24);
LAYOUT_AT(reply_block, done_us, 32);
/* clang-format on */

/* Numbers with a meaning on both sides: the last of each list. */
LAYOUT_IS(METHODS_MAX, 32);
LAYOUT_IS(STATUS_GOODBYE, 3);
LAYOUT_IS(PHASE_STOP, 6);
LAYOUT_IS(ENTRY_ANSWERED, 1);
LAYOUT_IS(ENTRY_HUNG, 16);
LAYOUT_IS(ENTRY_WRITES, 8);
LAYOUT_IS(PARTS_READS, 1);
LAYOUT_IS(PARTS_LARGE, 2);
LAYOUT_IS(PART_ELSE, 2);
LAYOUT_IS(PART_ARGS, 2);
LAYOUT_IS(RECORD_WAKE, 1);
LAYOUT_IS(OPT_PARTITIONS, 1 << 22);
LAYOUT_IS(RING_SHIP, 4);
LAYOUT_IS(BLOCK_ACKS, 2);
LAYOUT_IS(CONTROL_TYPE_END, 12);
LAYOUT_IS(FD_FUNCTIONS, 7);
LAYOUT_IS(RING_ALIGN, 8);

/*
 * A worker believes that what it gets has been checked: one of this version would pass over an
 * option that it does not know, and take whatever size it is told.  So what its methods take, and
 * up to where, is part of the layout too.
 */
#define X(id, name, least, most, flags, result, options, rights) \
	OPTIONS_##id = (flags)&METHOD_LOCAL ? 0 : (options),
enum { WIRE_METHODS(X) };
#undef X
LAYOUT_IS(OPTIONS_GET | OPTIONS_COUNT | OPTIONS_HEAD | OPTIONS_OUTCOME | OPTIONS_ACK, 0);
LAYOUT_IS(OPTIONS_CREATE, OPT_SESSION | OPT_SEQ | OPT_ACK);
LAYOUT_IS(OPTIONS_DROP, OPTIONS_CREATE | 0);
LAYOUT_IS(OPTIONS_CALL, OPTIONS_CREATE | 0);
LAYOUT_IS(OPTIONS_BUCKETS,
	  OPT_PREFIX | OPT_AFTER | OPT_LIMIT | OPT_LOCAL | OPT_SET | OPT_NAMES | OPT_PARTITIONS);
LAYOUT_IS(OPTIONS_PUT, OPTIONS_CREATE | OPT_IF_VERSION | OPT_IF_ABSENT | OPT_TTL);
LAYOUT_IS(OPTIONS_DELETE, OPTIONS_CREATE | OPT_IF_VERSION);
LAYOUT_IS(OPTIONS_TOUCH, OPTIONS_CREATE | OPT_IF_VERSION | OPT_TTL);
LAYOUT_IS(OPTIONS_TXN, OPTIONS_CREATE | OPT_IF | OPT_THEN | OPT_ELSE);
LAYOUT_IS(OPTIONS_SCAN, OPT_PREFIX | OPT_AFTER | OPT_LIMIT | OPT_FROM | OPT_TO | OPT_REVERSE |
				OPT_KEYS_ONLY | OPT_WITH_TTL);
LAYOUT_IS(WIRE_BUCKET_MAX, 255);
LAYOUT_IS(WIRE_KEY_MAX, 480);
LAYOUT_IS(WIRE_SCAN_LIMIT_MAX, 10000);
LAYOUT_IS(WIRE_TXN_ENTRIES_MAX, 4096);
LAYOUT_IS(WIRE_NAME_MAX, 255);
LAYOUT_IS(WIRE_ARGS_MAX, 250);
LAYOUT_IS(WIRE_LEVELS_MAX, 32);
