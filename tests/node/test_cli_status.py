"""pail status: one screen for people, what is wrong first; for programs what the node says."""
import json
import os
import re
import signal
import unicodedata

import lib
from lib import eq, test, until
from played import Played

WORKER = {"id": 0, "pid": 100, "state": "up", "restarts": 0, "uptime_ms": 273600000, "queue": 0, "requests": 1234567, "buckets": 12, "keys": 99999,
          "cache_bytes": 3 << 20, "sessions": 0, "outcome_bytes": 0, "last_death": ""}
PEER = {"name": "b", "endpoint": "tcp://127.0.0.1:1", "state": "up", "last_seen_ms": 453, "in_flight": 7, "queue": 1536, "forwarded": 123456,
        "broke": 2, "protocol": 2, "reason": ""}
STARTED = 1795730713000
STATUS = {
    "node": "a", "state": "serving", "role": "all", "version": "0.1.0", "pid": 99, "started": STARTED, "uptime_ms": 273600000, "protocol": 1,
    "clients": 3, "unread": 2048, "files": {"used": 108, "limit": 20000, "accepting": True, "pauses": 0}, "reloads": 1, "upgrades": 2,
    "routes": [{"entry": "a-m", "node": "a"}, {"entry": "*", "node": "b"}],
    "peers": [PEER, dict(PEER, name="c" * 63, last_seen_ms=None), dict(PEER, name="edge", endpoint="-", state="unknown", last_seen_ms=None)],
    "gateway": {"state": "up", "endpoint": "127.0.0.1:4042", "http": "127.0.0.1:4043", "pid": 98, "restarts": 1, "last_death": "killed by signal 9 (Killed)"},
    "workers": [WORKER, dict(WORKER, id=1, restarts=1, last_death="exit status 1"), dict(WORKER, id=2), dict(WORKER, id=3)],
    "totals": {"requests": 5000000, "errors": 1, "replies_immediate": 1, "replies_durable": 1,
               "by_method": {"hello": 4, "create": 0, "put": 1000000, "get": 3999990, "scan": 4, "status": 1, "count": 3, "txn": 2, "call": 1}},
    "storage": {"partitions": 256, "store": "da0e8653943df6f4b150f38a070edeba", "recent_keys": 42, "log_bytes": 64 << 20, "bytes": 49152, "map_bytes": 64 << 30,
                "last_checkpoint": STARTED + 273600000 - 12000, "checkpoints": 9120, "checkpoint_ms": 0, "last_checkpoint_ms": 35, "log_syncs": 123456,
                "log_written_bytes": 3 << 30},
    "functions": {"modules": 2, "digest": "82f452f8f57246b9"}, "security": {"keys": True, "clients": 2, "refused": 0}}
WELL = """\
all is well: 4 workers, 2 peers

node        a, Pail 0.1.0, pid 99
started     2026-11-26 22:05:13 (3 d 4 h ago), upgraded 2 times, reloaded 1 time

worker  state     for          restarts     queue  requests  buckets    keys
     0  up        3 d 4 h             0       0 B     1.2 M       12   99999
     1  up        3 d 4 h             1       0 B     1.2 M       12   99999
        died last: exit status 1
     2  up        3 d 4 h             0       0 B     1.2 M       12   99999
     3  up        3 d 4 h             0       0 B     1.2 M       12   99999

peer              state      last heard  in flight     queue  forwarded  broke
b                 up             453 ms          7   1.5 KiB      123 k      2
ccccccccccccc...  up              never          7   1.5 KiB      123 k      2
edge              unknown         never          7   1.5 KiB      123 k      2

requests    5 M, 1 error: 4 M get, 1 M put, 4 hello, 4 scan, 3 count, 2 txn
clients     3 connected, 2 KiB unread; 108 of 20000 file descriptors in use
security    2 in the file of clients, 0 refused
log         64 MiB; 3 GiB written, 123 k syncs
base        48 KiB of 64 GiB, 9120 checkpoints
checkpoint  2026-11-30 02:05:01 (12 s ago), took 35 ms; 42 writes since
data        48 buckets, 400 k keys, 12 MiB in the cache
folder      256 partitions, store da0e8653943df6f4b150f38a070edeba
gateway     up, text on 127.0.0.1:4042, HTTP on 127.0.0.1:4043, pid 98, 1
            restart: killed by signal 9 (Killed)
functions   2 modules, digest 82f452f8f57246b9
routes      a-m = a, * = b
"""


def family(name, *samples):
    return {"name": name, "kind": "gauge", "unit": "", "scale": 1, "help": "", "samples": [list(s) for s in samples]}


def screen(box, status, *families, node=None):
    """As it is printed of a node that says so, and has those figures besides."""
    def answer(method, params):
        if method == "metrics":
            return {"families": list(families)} if families else Exception("unknown_method", "unknown method \"metrics\"")
        return status
    n = Played(box, answer)
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "status", env={"TZ": "UTC", "LC_ALL": "C.UTF-8"})
    eq((0, b""), (r.returncode, r.stderr))
    fits(r.stdout.decode())
    n.close()
    box.undo.remove(n.close)
    return r.stdout.decode()


def fits(text):
    """On a terminal of 80 columns, with nothing that would move it about."""
    for line in text.splitlines():
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
        assert width <= 80, (width, line)
        assert line.isprintable() or not line, line


def verdict(text):
    return text.split("\n\n")[0]


@test()
def a_node_is_shown_on_one_screen(box):
    out = screen(box, STATUS)
    for want, got in zip(WELL.splitlines(), out.splitlines()):
        eq(want, got)
    eq(WELL, out)
    assert 24 <= len(out.splitlines()) <= 40, out
    # a node of before knows less, and one that hands all on has no store
    router = {k: v for k, v in STATUS.items() if k not in ("state", "files", "security", "functions")}
    out = screen(box, dict(router, role="router", workers=[], peers=[PEER]))
    eq("all is well: 1 peer", verdict(out))
    assert "node        a, Pail 0.1.0, pid 99, router\n" in out and "\nbase" not in out, out


@test()
def what_is_wrong_comes_first(box):
    w = lambda i, **kw: dict(WORKER, id=i, **kw)
    wrong = lambda status={}, *families: verdict(screen(box, dict(STATUS, **status), *families))
    text = "/var/lib/pail/foo/worker-1/wal-0000000000000001: damaged record at offset 4176 (lsn 2), and later ones show that it had been synced (exit status 2)"
    eq("worker 1 has failed: /var/lib/pail/foo/worker-1/wal-0000000000000001: damaged\n  record at offset 4176 (lsn 2), and later ones show that it had been synced\n"
       "  (exit status 2)", wrong({"workers": [w(0), w(1, state="failed", last_death=text)]}))
    eq("worker 0 has died and will be started again: killed by signal 9 (Killed)\nworker 1 starts: exit status 1\nworker 2 is stopped\nworker 3 is not up",
       wrong({"workers": [w(0, state="backoff", last_death="killed by signal 9 (Killed)"), w(1, state="starting", last_death="exit status 1"), w(2, state="down"), w(3, state="x")]}))
    eq("started: not all workers are up\nworker 1 starts", wrong({"state": "starting", "workers": [w(0), w(1, state="starting")]}))
    eq("the node stops", wrong({"state": "stopping"}))
    p = lambda **kw: dict(PEER, **kw)
    eq("node b is down since 3 s: nobody listens there\nnode c is down and has never answered\nnode d has not answered yet\nnode e stops",
       wrong({"peers": [p(state="down", last_seen_ms=3100, reason="nobody listens there"), p(name="c", state="down", last_seen_ms=None),
                        p(name="d", state="unknown"), p(name="e", state="leaving"), p(name="f", endpoint="-", state="down")]}))
    g = STATUS["gateway"]
    eq("the gateway has failed: exit status 1", wrong({"gateway": dict(g, state="failed", last_death="exit status 1")}))
    eq("the gateway has died and will be started again: x", wrong({"gateway": dict(g, state="backoff", last_death="x")}))
    eq("all is well: 4 workers, 2 peers", wrong({"gateway": dict(g, state="none")}))
    f = STATUS["files"]
    eq("no file descriptor is left: new clients wait", wrong({"files": dict(f, accepting=False)}))
    eq("18000 of 20000 file descriptors are in use", wrong({"files": dict(f, used=18000)}))
    # what only figures tell
    late = (family("pail_recent_keys", [{"worker": "2"}, 3000000], [{"worker": "3"}, 5000], [{"worker": "1"}, 999]),
            family("pail_checkpoint_time_seconds", [{"worker": "2"}, STARTED + 273600000 - 7200000], [{"worker": "3"}, 0], [{"worker": "1"}, 1]))
    eq("disk: worker 2's last checkpoint is 2 h old with 3 M writes since\ndisk: worker 3 has done no checkpoint in 3 d 4 h, 5000 writes wait", wrong({}, *late))
    full = (family("pail_base_used_bytes", [{"worker": "0"}, 15 << 30], [{"worker": "1"}, 14 << 30]),
            family("pail_base_map_bytes", [{"worker": "0"}, 16 << 30], [{"worker": "1"}, 16 << 30]))
    eq("base of worker 0 is nearly full: 93 % of 16 GiB", wrong({}, *full))
    cluster = [family("pail_cluster_" + name, [{}, n]) for name, n in (("agreement_up", 0), ("partitions", 256), ("partitions_leading", 86), ("partitions_without_primary", 5),
                                                                       ("partitions_too_few", 1), ("partitions_not_in_sync", 7))]
    out = screen(box, STATUS, *cluster)
    eq("cluster: etcd does not answer: no partition changes its primary\ncluster: 5 of 256 partitions have no primary\n"
       "cluster: 1 of 256 partitions refuse writes: too few copies\ncluster: 7 of 256 partitions have copies that lag behind", verdict(out))
    assert "\ncluster     leads 86 of 256 partitions; " in out, out
    many = wrong({"workers": [w(i, state="down") for i in range(64)]}).splitlines()
    eq((9, "and 56 more"), (len(many), many[-1]))


@test()
def long_and_strange_texts_fit(box):
    long = "\x1b[31m" + "\u65e5\u672c" * 60 + " x" * 200
    out = screen(box, dict(STATUS, node="\u65e5" * 63, workers=[dict(WORKER, state="failed", last_death=long), dict(WORKER, id=63, restarts=10**12, requests=2**64 - 1, queue=2**64 - 1,
                                                                                                     buckets=2**63, keys=2**63, uptime_ms=2**40, last_death=long)],
                           peers=[dict(PEER, name="\u65e5" * 30, state="down", reason=long, forwarded=2**60, queue=2**60, last_seen_ms=2**40, broke=2**40, in_flight=999999)],
                           routes=[{"entry": "a-b", "node": "n" * 63}] * 20))
    assert "\\x1b[31m" in out, out
    out = screen(box, {})  # what it does not say is no reason to fail
    eq("all is well", verdict(out))


@test()
def json_is_what_the_node_said(box):
    n = Played(box, lambda m, p: STATUS)
    for form in "json", "raw":
        r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "status", "-o", form)
        eq((0, STATUS), (r.returncode, json.loads(r.stdout)))
    eq([["status", []]] * 2, n.requests)


@test("kill")
def a_node_that_is_killed_in_part_says_so(box):
    nodes = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "bar"}}, peers={"foo": ["bar"], "bar": ["foo"]}, workers=4)
    foo = nodes["foo"].linked()

    def lines(*words):
        r = box.run(lib.BUILD + "/pail", "--config", foo.conf, *words)
        eq((0, b""), (r.returncode, r.stderr))
        fits(r.stdout.decode())
        return r.stdout.decode().splitlines()
    until(lambda: lines("status")[0] == "all is well: 4 workers, 1 peer", 10, "all to be well")
    assert len(lines("status")) <= 40
    lines("worker", "stop", "2")
    eq("worker 2 is stopped", lines("status")[0])
    pid = foo.workers()[1]["pid"]
    os.kill(pid, signal.SIGSTOP)  # the kernel has it: whoever looks finds it so
    os.kill(pid, signal.SIGKILL)
    until(lambda: any(re.match(r" +1  up .* 1 ", line) for line in lines("status")), 10, "worker 1 to be up again")
    assert "        died last: killed by signal 9 (Killed)" in lines("status"), lines("status")
    nodes["bar"].kill()
    until(lambda: any(re.match(r"node bar is down since \d+ m?s: ", line) for line in lines("status")[:2]), 10, "bar to be down")
