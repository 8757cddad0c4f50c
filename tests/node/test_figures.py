"""The figures of a node: what status promises is there, all of it is written down, and it counts."""
import re
import signal

import lib
from lib import *

WORKER = {"id", "pid", "state", "restarts", "uptime_ms", "requests", "buckets", "keys", "queue", "cache_bytes", "last_death", "sessions", "outcome_bytes"}
TOTALS = {"requests", "errors", "by_method"}
STORAGE = {"bytes", "map_bytes", "log_bytes", "recent_keys", "checkpoints", "last_checkpoint"}


def section(title):
    with open("docs/protocol.md") as f:
        return f.read().split("\n## %s\n" % title)[1].split("\n## ")[0]


def admin(box, n, *args):
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, *args)
    eq((0, b""), (r.returncode, r.stderr))


@test("single")
def status_has_every_figure_that_it_promises(box):
    n = box.node("--set", "node.workers=3")
    c = n.client()
    for i in range(6):
        c.call("create", "b%d" % i)
        c.call("put", "b%d" % i, "k", "v")
    c.code("get", "none", "k")
    words = set(re.findall(r"\w+", section("6. status")))

    def settled():
        s = n.status()
        return s if sum(w["keys"] for w in s["workers"]) == 6 and s["totals"]["errors"] else None
    s = until(settled, 10, "figures of what was done")
    eq(3, len(s["workers"]))
    for got, promised in [(w, WORKER) for w in s["workers"]] + [(s["totals"], TOTALS), (s["storage"], STORAGE)]:
        assert promised <= set(got), promised - set(got)
        assert set(got) <= words, "docs/protocol.md, section 6, does not name %s" % (set(got) - words)
        for k, v in got.items():
            kind = str if k in ("state", "last_death", "store") else dict if k == "by_method" else int
            eq((k, kind), (k, type(v)))
    eq(1, s["totals"]["errors"])
    eq(sum(s["totals"]["by_method"].values()), s["totals"]["requests"])
    eq((6, 6, 1), tuple(s["totals"]["by_method"][m] for m in ("create", "put", "get")))
    eq(13, sum(w["requests"] for w in s["workers"]))
    eq(6, sum(w["buckets"] for w in s["workers"]))
    eq(12, s["storage"]["recent_keys"])
    eq(0, s["storage"]["last_checkpoint"])
    assert s["storage"]["map_bytes"] > s["storage"]["bytes"] > 0


@test("kill")
def counters_go_on_after_restarts_kills_and_upgrades(box):
    n = box.node("--set", "node.workers=1", "--set", "storage.checkpoint_ms=1000")
    c = n.client()

    def counters():
        s = n.status()
        return s["workers"][0]["requests"], s["totals"]["errors"], s["storage"]["checkpoints"], s["totals"]["by_method"]["put"]

    def put(count):
        for i in range(count):
            c.call("put", "b", "k%d" % i, "v")
        c.code("put", "none", "k", "v")
        before = n.status()["storage"]["checkpoints"]
        until(lambda: n.status()["storage"]["checkpoints"] > before, 20, "a checkpoint")
    c.call("create", "b")
    put(5)
    eq((7, 1, 6), tuple(counters()[i] for i in (0, 1, 3)))

    def same(what):
        now = counters()
        assert all(b <= a for b, a in zip(before, now)), (what, before, now)
        eq((what, before[:2] + before[3:]), (what, now[:2] + now[3:]))
    before = counters()
    admin(box, n, "worker", "restart", "0")
    same("handed over")
    n.kill_worker(0)
    n.up()
    same("killed")
    admin(box, n, "worker", "stop", "0")
    same("stopped")
    admin(box, n, "worker", "start", "0")
    same("started")
    put(3)
    before = counters()
    eq((11, 2, 10), tuple(before[i] for i in (0, 1, 3)))
    admin(box, n, "upgrade", "--wait")
    c.again()
    same("upgraded")
    c.call("put", "b", "k", "v")
    until(lambda: counters()[0] == 12, 10, "one more")


@test("kill")
def restarts_are_counted_by_what_a_worker_died_of(box):
    n = box.node("--set", "node.workers=2", "--set", "supervisor.hang_ms=1000",
                 env={"PAIL_FAULT": "wal.write=EIO#2@2"})

    def reasons(i=0):
        w = n.workers()[i]
        return tuple(w["restarts_" + r] for r in ("killed", "hung", "failed")) + (w["handovers"], w["restarts"])
    eq((0, 0, 0, 0, 0), reasons())

    def dies(signal_, want):
        old = n.kill_worker(0, signal_)
        until(lambda: n.workers()[0]["pid"] not in (0, old), 20, "another worker")
        n.up()
        eq(want, reasons())
    dies(signal.SIGKILL, (1, 0, 0, 0, 1))
    dies(signal.SIGABRT, (2, 0, 0, 0, 2))
    buckets = iter(range(100))

    def failed():  # the third life cannot write its log
        try:
            n.client().call("create", "b%d" % next(buckets), seconds=20)
        except Error:
            pass
        return reasons()[2]
    until(failed, 20, "a worker that ends by itself")
    n.up()
    eq((2, 0, 1, 0, 3), reasons())
    dies(signal.SIGSTOP, (2, 1, 1, 0, 4))
    admin(box, n, "worker", "restart", "0")
    eq((2, 1, 1, 1, 4), reasons())
    admin(box, n, "worker", "stop", "0")  # wanted: no restart
    admin(box, n, "worker", "start", "0")
    eq((2, 1, 1, 1, 4), reasons())
    admin(box, n, "upgrade", "--wait")
    eq((2, 1, 1, 1, 4), reasons())
    eq((0, 0, 0, 0, 0), reasons(1))


@test("single")
def the_log_and_replies_are_counted(box):
    n = box.node("--set", "node.workers=2", "--set", "storage.checkpoint_ms=1000")
    c = n.client()

    def figures():
        s = n.status()
        return {k: v for m in ("totals", "storage") for k, v in s[m].items()}
    for i in range(5):
        c.call("create", "b%d" % i)
    a = figures()
    assert a["log_syncs"] > 0 and a["log_written_bytes"] > 0, a
    size = 1000
    for i in range(20):  # one after the other: no two of a worker share a sync
        c.call("put", "b%d" % (i % 4), "k%d" % i, b"x" * size)
    b = figures()
    notes = 4  # of the clock, which a checkpoint logs
    assert 20 <= b["log_syncs"] - a["log_syncs"] <= 20 + notes, (a, b)
    written = b["log_written_bytes"] - a["log_written_bytes"]
    assert 20 * size < written < 20 * (size + 300), written
    c.call("get", "b0", "k0")
    c.code("get", "none", "k")

    def told():
        e = figures()
        return e if (e["replies_durable"], e["replies_immediate"]) == (a["replies_durable"] + 20, a["replies_immediate"] + 2) else None
    until(told, 10, "replies to be counted")
    assert told()["log_syncs"] - b["log_syncs"] <= notes, "reads sync nothing"
    for j in range(5):
        [c.result(i) for i in c.send(*[("put", "b%d" % j, "%d-%d" % (i, j), b"x" * size) for i in range(1000)])]
    e = figures()
    assert e["log_syncs"] - b["log_syncs"] < 2500, "puts in one frame share syncs"
    until(lambda: figures()["replies_durable"] == a["replies_durable"] + 5020, 10, "every reply to be counted")
    until(lambda: not figures()["recent_keys"], 20, "a checkpoint of each worker")
    e = figures()
    assert e["last_checkpoint_ms"] <= e["checkpoint_ms"] <= e["checkpoints"] * 20000, e
    assert e["last_checkpoint_ms"] > 0, "thousands of keys take a millisecond at least"
