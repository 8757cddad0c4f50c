"""Transactions on real nodes: against a model, at their limits, under kills at every point."""
import copy
import os
import random

from lib import eq, test, until

SMALL = ("--set", "storage.segment=1M", "--set", "limits.log=32M", "--set", "limits.value=64K",
         "--set", "limits.message=1M", "--set", "node.workers=1")


class Model:
    """What a bucket holds, and what each operation answers."""

    def __init__(self, version):
        self.keys, self.version = {}, version

    def condition(self, key, what, rel, right):
        have = self.keys.get(key)
        if what == "version":
            left = have[1] if have else 0
        elif not have:
            return rel == "!="
        else:
            left = have[0]
        return {"=": left == right, "!=": left != right, "<": left < right, ">": left > right}[rel]

    def op(self, name, *args):
        if name == "put":
            self.version += 1
            self.keys[args[0]] = (args[1], self.version)
            return self.version
        if name == "touch":
            if args[0] not in self.keys:
                return None
            self.version += 1
            self.keys[args[0]] = (self.keys[args[0]][0], self.version)
            return self.version
        if name == "delete":
            there = self.keys.pop(args[0], None) is not None
            self.version += there
            return there
        if name == "get":
            return list(self.keys[args[0]]) if args[0] in self.keys else None
        if name == "count":
            return len(self.keys)
        o = args[0] if args else {}
        found = sorted(k for k in self.keys if k.startswith(o.get("prefix", b"")) and k >= o.get("from", b"") and
                       ("to" not in o or k < o["to"]))
        if o.get("reverse"):
            found.reverse()
        if "after" in o:
            found = [k for k in found if (k < o["after"] if o.get("reverse") else k > o["after"])]
        limit = o.get("limit", 100)
        items = [[k, None if o.get("keys_only") else self.keys[k][0], self.keys[k][1]] for k in found[:limit]]
        return {"items": items, "more": len(found) > limit}

    def txn(self, t):
        ok = all(self.condition(*c) for c in t.get("if", []))
        return {"ok": ok, "results": [self.op(*o) for o in t.get("then" if ok else "else", [])]}


def random_txn(r, m):
    key = lambda: b"k%02d" % r.randrange(12)

    def condition():
        rel = r.choice(["=", "!=", "<", ">"])
        have = m.keys.get(k := key())
        if r.random() < 0.5:
            return [k, "version", rel, r.choice([0, have[1] if have else 0, m.version])]
        return [k, "value", rel, r.choice([b"", have[0] if have else b"v", b"v5", b"\xff"])]

    def op():
        what = r.choice(["put"] * 3 + ["touch", "delete", "get", "get", "scan", "count"])
        if what == "put":
            return ["put", key(), b"v%d" % r.randrange(1000)] + r.choice([[], [{}], [{"ttl": 10**9}]])
        if what == "scan":
            o = {}
            for name, value in (("prefix", b"k0"), ("from", key()), ("to", key()), ("after", key()), ("reverse", True),
                                ("keys_only", True), ("limit", r.randrange(1, 5))):
                if r.random() < 0.3:
                    o[name] = value
            return ["scan", o]
        return [what] if what == "count" else [what, key()]

    t = {}
    if r.random() < 0.7:
        t["if"] = [condition() for _ in range(r.randrange(3))]
    for part in "then", "else":
        if r.random() < 0.8:
            t[part] = [op() for _ in range(r.randrange(6))]
    return t


def agree(m, t, got):
    """The model behind the txn, if it answers so.  Between requests the store may take a version for itself."""
    for gap in range(4):
        after = copy.deepcopy(m)
        after.version += gap
        want = after.txn(t)
        first = first if gap else want
        if want == got:
            return after
    eq(first, got)


@test()
def what_a_model_foretells(box):
    seed = int(os.environ.get("PAIL_SEED", random.randrange(1 << 32)))
    print("# PAIL_SEED=%d" % seed)
    r = random.Random(seed)
    n = box.node(*SMALL)
    c = n.client()
    c.call("create", "b")
    m = Model(c.call("put", "b", "first", "x"))
    m.keys[b"first"] = (b"x", m.version)
    for batch in range(40):
        guess, ts = copy.deepcopy(m), []
        for _ in range(20):
            ts.append(random_txn(r, guess))
            guess.txn(ts[-1])
        for i, t in zip(c.send(*(("txn", "b", t) for t in ts)), ts):
            m = agree(m, t, c.result(i))
        if batch == 20:
            n.kill_worker(0)
    # and it is on disk as it was told
    n.kill()
    n.start()
    eq({"ok": True, "results": [m.op("scan", {"limit": 1000})]},
       n.client().call("txn", "b", {"then": [["scan", {"limit": 1000}]]}))


@test()
def conditions_compare_versions_and_bytes(box):
    c = box.node(*SMALL).client()
    c.call("create", "b")
    v = c.call("put", "b", "k", b"m\x80")
    holds = lambda *c_: c.call("txn", "b", {"if": [list(x) for x in c_]})["ok"]
    for rel, n, want in (("=", v, 1), ("=", v + 1, 0), ("!=", v, 0), ("!=", 0, 1), ("<", v, 0), ("<", v + 1, 1),
                         (">", v, 0), (">", v - 1, 1), (">", (1 << 64) - 1, 0), ("<", (1 << 64) - 1, 1)):
        eq((rel, n, bool(want)), (rel, n, holds(("k", "version", rel, n))))
    for rel, x, want in (("=", b"m\x80", 1), ("=", b"m", 0), (">", b"m", 1), ("<", b"m\xff", 1), (">", b"m\x7f", 1),
                         ("<", b"", 0), ("!=", b"m\x80", 0), ("!=", b"", 1)):
        eq((rel, x, bool(want)), (rel, x, holds(("k", "value", rel, x))))
    for rel in "=", "<", ">":
        eq(False, holds(("none", "value", rel, b"")))
    eq(True, holds(("none", "value", "!=", b"")))
    eq(True, holds(("none", "version", "=", 0)))
    eq(False, holds(("k", "version", "=", v), ("none", "version", ">", 0)))
    eq(True, holds())
    # an expired key is no such key
    c.call("put", "b", "brief", "x", {"ttl": 1})
    until(lambda: holds(("brief", "version", "=", 0)), 5, "a key to expire")
    eq(True, holds(("brief", "value", "!=", b"x")))


@test()
def without_its_bucket_or_anything_to_do(box):
    c = box.node(*SMALL).client()
    for t in {}, {"then": [["put", "k", "v"]]}, {"if": [["k", "version", "=", 0]]}, {"then": [["count"]]}:
        eq("no_bucket", c.error("txn", "b", t).code)
    c.call("create", "b")
    eq({"ok": True, "results": []}, c.call("txn", "b", {}))
    eq({"ok": False, "results": []}, c.call("txn", "b", {"if": [["k", "version", ">", 0]], "then": [["put", "k", "v"]]}))
    eq(0, c.call("count", "b"))


@test()
def what_is_too_large_has_not_happened(box):
    n = box.node("--set", "node.workers=1", "--set", "limits.value=4M")
    c = n.client()
    c.call("create", "b")
    big, half = b"x" * (3 << 20), b"y" * (700 << 10)
    v = c.call("put", "b", "big", big)
    c.call("put", "b", "half", half)
    # one value that was read may be larger than the limit, if nothing is written
    eq([[big, v], 2], c.call("txn", "b", {"then": [["get", "big"], ["count"]]})["results"])
    eq([[b"big", big, v]], c.call("txn", "b", {"then": [["scan", {"to": "c"}]]})["results"][0]["items"])
    for t in ([["get", "big"], ["get", "half"]], [["get", "half"], ["get", "half"]], [["get", "big"], ["put", "k", "v"]],
              [["put", "k", "v"], ["get", "big"]], [["put", "k", "v"], ["get", "half"], ["get", "half"]]):
        eq("too_large", c.error("txn", "b", {"then": t}).code)
    eq(None, c.call("get", "b", "k"))
    eq(half, c.call("txn", "b", {"then": [["put", "k", "v"], ["get", "half"]]})["results"][1][0])
    # scans share what a reply may have
    for i in range(30):
        c.call("put", "b", "s%02d" % i, b"z" * 60000)
    r = c.call("txn", "b", {"then": [["scan", {"prefix": "s", "limit": 10}], ["scan", {"prefix": "s"}],
                                     ["scan", {"prefix": "s"}], ["scan", {"prefix": "half"}], ["put", "k", "w"],
                                     ["scan", {"prefix": "s", "keys_only": True}]]})["results"]
    eq((10, True, 7, True), (len(r[0]["items"]), r[0]["more"], len(r[1]["items"]), r[1]["more"]))
    eq(({"items": [], "more": True},) * 2, (r[2], r[3]))
    eq((30, False), (len(r[5]["items"]), r[5]["more"]))
    # 4,096 operations are as many as there may be
    t = [["put", "n%d" % i, "v"] for i in range(4096)]
    eq(4096, len(c.call("txn", "b", {"then": t})["results"]))
    eq("too_large", c.error("txn", "b", {"then": t, "if": [["k", "version", ">", 0]]}).code)
    eq(4096, sum(1 for x in c.call("scan", "b", {"prefix": "n", "limit": 10000, "keys_only": True})["items"]))


@test()
def nobody_sees_a_part(box):
    n = box.node("--set", "node.workers=1")
    c, reader = n.client(), n.client()
    c.call("create", "b")
    c.call("txn", "b", {"then": [["put", "k%d" % i, "0"] for i in range(8)]})
    waits, seen = [], set()
    for round_ in range(200):
        waits += c.send(("txn", "b", {"then": [["put", "k%d" % i, "%d" % round_] for i in range(8)]}))
        items = reader.call("scan", "b")["items"]
        eq(1, len({x[1] for x in items}))
        seen.add(items[0][1])
    for i in waits:
        c.result(i)
    assert len(seen) > 10, seen


POINTS = ("worker.before_run", "worker.before_append", "worker.after_append", "worker.after_reply", "worker.before_hand",
          "wal.before_write", "wal.sync", "wal.after_sync", "wal.after_publish")


def point(where):
    """Each transfer is whole or not there, and each is answered once, with what it did."""
    def run(box):
        for at in 1, 2, 4:
            n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "%s=kill#1@%d" % (where, at)})
            c = n.client()
            c.call("create", "b")
            c.call("txn", "b", {"then": [["put", "a", "x"], ["put", "b", "x"]]})
            n.kill_worker(0)  # the fault is its successor's
            n.up()
            pending, replies = [], []
            for frame in range(15):
                pending += c.send(*(("txn", "b", {"then": [["put", "a", "%d" % (10 * frame + i)],
                                                           ["put", "b", "%d" % (10 * frame + i)], ["get", "a"]]})
                                    for i in range(3)))
                if frame % 3 == 2:
                    replies += [c.result(i)["results"] for i in pending[len(replies):]]
            versions = []
            for k, r in enumerate(replies):
                eq(b"%d" % (10 * (k // 3) + k % 3), r[2][0])
                eq(r[0], r[2][1])
                eq(r[0] + 1, r[1])
                versions.append(r[0])
            eq(versions, sorted(set(versions)))
            eq([versions[-1], versions[-1] + 1], [x[2] for x in c.call("scan", "b")["items"]])
            assert n.workers()[0]["restarts"] >= 2, where
            n.stop()
    run.__name__ = "a_kill_at_" + where.replace(".", "_")
    test("crash")(run)


for p in POINTS:
    point(p)


@test("crash")
def one_that_was_refused_is_not_run_again_behind_later_writes(box):
    n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "wal.after_sync=kill#1@2"})
    c = n.client()
    c.call("create", "b")
    n.kill_worker(0)
    n.up()
    c.call("put", "b", "other", "x")  # the first sync
    # in one frame, so that all of it is logged before any of it is told
    ids = c.send(("put", "b", "k", "1"),
                 ("txn", "b", {"if": [["k", "version", "=", 0]], "then": [["put", "late", "x"]], "else": [["get", "k"]]}),
                 ("delete", "b", "k"))
    version = c.result(ids[0])
    eq({"ok": False, "results": [[b"1", version]]}, c.result(ids[1]))
    eq(True, c.result(ids[2]))
    eq(None, c.call("get", "b", "late"))
    eq(2, n.workers()[0]["restarts"])


@test("crash")
def one_that_only_reads_is_read_in_its_place(box):
    n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "wal.after_sync=kill#1@2"})
    c = n.client()
    c.call("create", "b")
    n.kill_worker(0)
    n.up()
    c.call("put", "b", "other", "x")
    before = n.status()["storage"]["log_written_bytes"]
    ids = c.send(("put", "b", "k", "1"), ("txn", "b", {"then": [["get", "k"], ["count"]]}), ("put", "b", "k", "2"))
    version = c.result(ids[0])
    eq([[b"1", version], 2], c.result(ids[1])["results"])
    assert c.result(ids[2]) > version
    eq(2, n.workers()[0]["restarts"])
    assert n.status()["storage"]["log_written_bytes"] >= before
    # read alone it writes nothing at all
    until(lambda: n.status()["storage"]["log_syncs"] == n.status()["storage"]["log_syncs"])
    syncs = n.status()["storage"]["log_syncs"]
    for _ in range(20):
        c.call("txn", "b", {"then": [["get", "k"]]})
    eq(syncs, n.status()["storage"]["log_syncs"])


@test()
def through_another_node(box):
    nodes = box.cluster({n: {"a-m": "a", "n-z": "b"} for n in "ab"})
    a, b = nodes["a"].linked(), nodes["b"]
    c = a.client()
    c.call("create", "zoo")
    r = c.call("txn", "zoo", {"if": [["k", "version", "=", 0]], "then": [["put", "k", "v"], ["get", "k"]]})
    eq([b"v", r["results"][0]], r["results"][1])
    eq(r["results"][1], b.client().call("txn", "zoo", {"then": [["get", "k"]]})["results"][0])
    e = c.error("txn", "zoo", {"then": [["get", "k"], ["put", "", "v"]]})
    eq("bad_argument", e.code)
    assert "then[1]" in e.text, e.text
