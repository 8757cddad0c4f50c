/*
 * Every setting, once: X(section, key, type, default, least, most, unit, reload, help).
 *
 * Types: TEXT, NAME (of a node), CLUSTER (its name), PATH, ENDPOINT (to bind), ADDRESS (HOST:PORT),
 * URLS (with commas between): least and most are their length; NUMBER, SIZE (bytes; written with K,
 * M, G or T), ROLE, LEVEL, YES_NO.  The struct, the defaults, the checks, --print-config, --help and the test of
 * the sample file are made of this list.
 */
#define CONF_KEYS(X)                                                                               \
	X(node, name, NAME, "pail", 1, 63, "", 0, "this node, as routes and peers name it")        \
	X(node, client, ENDPOINT, "tcp://127.0.0.1:4040", 1, 255, "", 0, "where clients connect")  \
	X(node, peer, ENDPOINT, "tcp://127.0.0.1:4041", 1, 255, "", 0,                             \
	  "where other nodes connect")                                                             \
	X(node, admin, ENDPOINT, "", 0, 255, "", 0,                                                \
	  "where `pail --config` and `pail --admin` connect; if not set: ipc://<data>/admin.sock") \
	X(node, data, PATH, "", 0, 900, "", 0,                                                     \
	  "folder of everything stored; made if missing, one node at a time")                      \
	X(node, workers, NUMBER, "0", 0, 64, "", 0,                                                \
	  "worker processes, fixed when the data folder is made; 0: one for each CPU")             \
	X(node, role, ROLE, "all", 0, 0, "", 0, "all, router (no store) or storage (no clients)")  \
	X(node, log, LEVEL, "info", 0, 0, "", 1, "debug, info, warn or error")                     \
	X(security, key, PATH, "", 0, 900, "", 0,                                                  \
	  "file of this node's pair of keys; with it both ports speak CURVE and nothing else")     \
	X(security, clients, PATH, "", 0, 900, "", 1,                                              \
	  "file of the clients that are let in, and what each may")                                \
	X(security, open, YES_NO, "no", 0, 0, "", 0,                                               \
	  "without keys, listen on other addresses than this machine's own all the same")          \
	X(limits, value, SIZE, "8M", 1024, 1ull << 28, "bytes", 0, "largest value")                \
	X(limits, message, SIZE, "16M", 4096, 1ull << 29, "bytes", 0,                              \
	  "largest message, all its frames; at least twice the largest value")                     \
	X(limits, unread, SIZE, "64M", 65536, 1ull << 34, "bytes", 1,                              \
	  "replies that a client may leave unread before its requests get busy")                   \
	X(limits, unread_total, SIZE, "0", 0, 1ull << 42, "bytes", 1,                              \
	  "the same of all clients together; 0: an eighth of the memory there is")                 \
	X(limits, unread_ms, NUMBER, "30000", 100, 3600000, "ms", 1,                               \
	  "a client that reads nothing for so long, with replies waiting, is cut off")             \
	X(limits, result, SIZE, "1M", 4096, 1ull << 29, "bytes", 0,                                \
	  "largest reply of a transaction or a call; at most limits.message")                      \
	X(limits, session_ms, NUMBER, "3600000", 1000, 2592000000, "ms", 0,                        \
	  "outcomes of a session's requests are kept for so long after its last use")              \
	X(limits, outcomes, SIZE, "64M", 65536, 1ull << 34, "bytes", 0,                            \
	  "outcomes that were not acknowledged, for each worker; beyond it: busy")                 \
	X(limits, clients, NUMBER, "65536", 16, 1000000, "", 0, "clients remembered")              \
	X(limits, buckets, NUMBER, "1000000", 1, 100000000, "", 0, "buckets of this node")         \
	X(limits, queue, SIZE, "16M", 65536, 1ull << 32, "bytes", 0,                               \
	  "each ring between coordinator and worker; raised to the largest message")               \
	X(limits, cache, SIZE, "256M", 1ull << 20, 1ull << 42, "bytes", 0,                         \
	  "cache of all workers together; if not set: a quarter of the memory, with --dev less")   \
	X(limits, log, SIZE, "1G", 1ull << 22, 1ull << 42, "bytes", 0,                             \
	  "logs of all workers together; if not set: a quarter of the memory, a tenth of the "     \
	  "disk at most")                                                                          \
	X(storage, map, SIZE, "64G", 1ull << 22, 1ull << 45, "bytes", 0,                           \
	  "largest that all base files together may become")                                       \
	X(storage, segment, SIZE, "16M", 1ull << 20, 1ull << 32, "bytes", 0,                       \
	  "one log file; smaller with a small log, larger for large values or a huge log")         \
	X(storage, reserve, SIZE, "64M", 0, 1ull << 42, "bytes", 0,                                \
	  "disk space that puts leave free; raised to six log files for each worker")              \
	X(storage, checkpoint_ms, NUMBER, "30000", 100, 86400000, "ms", 0,                         \
	  "writes settle in base after so long, however few they are")                             \
	X(storage, partitions, NUMBER, "256", 1, PARTITIONS_MAX, "", 0,                            \
	  "parts that buckets are spread over, a power of two; fixed when the data folder is "     \
	  "made")                                                                                  \
	X(supervisor, start_ms, NUMBER, "120000", 100, 86400000, "ms", 1,                          \
	  "time for a worker to become ready, if it shows no progress")                            \
	X(supervisor, hang_ms, NUMBER, "10000", 100, 3600000, "ms", 1,                             \
	  "a worker without a heartbeat for so long is killed and replaced")                       \
	X(supervisor, stop_ms, NUMBER, "15000", 100, 3600000, "ms", 1,                             \
	  "time for an orderly stop; then what is left is killed")                                 \
	X(cluster, name, CLUSTER, "", 0, 63, "", 0,                                                \
	  "the cluster whose buckets have copies on several nodes; if not set there is none")      \
	X(cluster, etcd, URLS, "", 0, 1000, "", 0,                                                 \
	  "where its nodes agree: http://HOST:PORT of each etcd, with commas between, nine at "    \
	  "most")                                                                                  \
	X(cluster, etcd_ca, PATH, "", 0, 900, "", 0,                                               \
	  "file of the authorities that etcd's certificates are by; if not set the system's")      \
	X(cluster, etcd_cert, PATH, "", 0, 900, "", 0,                                             \
	  "file of the certificate that this node shows to etcd, if that asks for one")            \
	X(cluster, etcd_cert_key, PATH, "", 0, 900, "", 0, "file of that certificate's key")       \
	X(cluster, etcd_user, TEXT, "", 0, 63, "", 0,                                              \
	  "user that this node is to etcd, if that asks for one")                                  \
	X(cluster, etcd_password, PATH, "", 0, 900, "", 0, "file of that user's password")         \
	X(links, ping_ms, NUMBER, "500", 10, 3600000, "ms", 1, "between pings to each peer")       \
	X(links, dead_ms, NUMBER, "3000", 50, 3600000, "ms", 1,                                    \
	  "a peer from which nothing has come for so long is down; above the worst pause")         \
	X(links, connect_ms, NUMBER, "1000", 50, 3600000, "ms", 1,                                 \
	  "time for one attempt to connect to a peer")                                             \
	X(links, hold_ms, NUMBER, "1000", 0, 60000, "ms", 1,                                       \
	  "requests for a peer whose first link is being made wait so long for it")                \
	X(gateway, text, ADDRESS, "", 0, 255, "", 0,                                               \
	  "HOST:PORT of the text gateway; if not set there is none")                               \
	X(gateway, key, PATH, "", 0, 900, "", 0,                                                   \
	  "file of the gateway's pair of keys: it is a client of the node as any other")           \
	X(gateway, connections, NUMBER, "4096", 1, 1000000, "", 0,                                 \
	  "connections to the gateway at a time")                                                  \
	X(gateway, line, SIZE, "64K", 64, 1ull << 26, "bytes", 0, "longest line of the gateway")   \
	X(metrics, http, ADDRESS, "", 0, 255, "", 0,                                               \
	  "HOST:PORT of figures and the page over HTTP, for looking only; if not set there is "    \
	  "none")                                                                                  \
	X(functions, dir, PATH, "", 0, 900, "", 1,                                                 \
	  "folder of Lua modules that `call` runs, NAME.lua each; if not set there are none")      \
	X(functions, time_ms, NUMBER, "50", 1, 360000, "ms", 1,                                    \
	  "time of a call; at most a tenth of supervisor.hang_ms")                                 \
	X(functions, memory, SIZE, "64M", 1ull << 20, 1ull << 32, "bytes", 1, "memory of a call")
