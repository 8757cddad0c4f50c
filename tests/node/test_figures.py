"""The figures of a node: what status promises is there, all of it is written down, and it counts."""
import re

import lib
from lib import *

WORKER = {"id", "pid", "state", "restarts", "uptime_ms", "requests", "buckets", "keys", "queue", "cache_bytes", "last_death"}
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
            kind = str if k in ("state", "last_death") else dict if k == "by_method" else int
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
