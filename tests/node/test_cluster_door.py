"""A node without workers is a door to a cluster: it has no copies, leads nothing, and hands on what it is asked."""
import json
import os
import signal
import subprocess
import time

import keys
import lib
from cluster import cluster
from lib import eq, test, until
from pulse import Pulse
from test_cluster_create import ask, known, refused

PRIMARY_S, BACKUP_S, PAUSE_S = 2.0, 1.2, 0.5  # as for any node
DOOR = {"node.role": "router"}


def doors(box, d=None, e=None, **kw):
    """a, b, c have copies; d and e are doors, e without a folder."""
    bare = {"node.data": "", "node.admin": "ipc://%s/e.admin" % box.dir}
    return cluster(box, "abcde", outside="de", more={"d": dict(DOOR, **(d or {})), "e": dict(DOOR, **bare, **(e or {}))}, **kw)


def real(c):
    if not c.real:
        print("# left out: there is one node only")
    return c.real


def registered(c, name):
    return json.loads(c.etcd.get("/pail/demo/node/" + name).value)


def row(c, at, name):
    return next(x for x in c.status(at)["nodes"] if x["name"] == name)


def well(c, *names):
    until(lambda: all(c.verdict(n)[0] for n in names), 20, lambda: "all to be well: %r" % [c.verdict(n)[1][0] for n in names])


def rewrite(node, old, new):
    with open(node.conf) as f:
        text = f.read()
    assert old in text, text
    with open(node.conf, "w") as f:
        f.write(text.replace(old, new))


def operate(c, name, *words):
    r = c.pail(name, *words)
    eq((0, b""), (r.returncode, r.stderr))


@test("cluster", "distributed")
def a_door_answers_for_any_bucket(box):
    """Those of every partition's primary, one at a time and all at once."""
    c = doors(box)
    if not real(c):
        return
    buckets = ["b%02d" % i for i in range(30)]
    x, y, a = c.client("d"), c.client("e"), c.client("a")
    for i, b in enumerate(buckets):
        eq(True, x.call("create", b))
        eq(False, y.call("create", b))
        y.call("put", b, "k", "v%d" % i)
        eq(b"v%d" % i, x.call("get", b, "k")[0])
        eq(1, y.call("count", b))
        eq([b"k"], [it[0] for it in x.call("scan", b)["items"]])
        eq("conflict", y.code("put", b, "k", "w", {"if_version": 12345})[0])
    for at in x, y:
        eq([b.encode() for b in buckets], [it for it in at.call("buckets")["items"]])
        some = at.call("buckets", {"limit": 7, "prefix": "b"})
        eq(([b.encode() for b in buckets[:7]], True), (some["items"], some["more"]))
        for b in buckets:
            r, want = at.call("route", b), a.call("route", b)
            eq([want[k] for k in ("node", "partition", "epoch", "copies")], [r[k] for k in ("node", "partition", "epoch", "copies")])
            assert r["node"] in "abc" and sorted(r["copies"]) == ["a", "b", "c"], r
    eq("no_bucket", y.code("get", "none", "k")[0])
    eq([], x.call("status")["workers"])
    for b in buckets:
        eq(True, x.call("drop", b))
    eq([], y.call("buckets")["items"])
    c.stop()


@test("cluster", "distributed")
def a_door_is_shown_without_copies_and_nobody_misses_it(box):
    c = doors(box)
    if not real(c):
        return
    well(c, *c.names)
    for n in "de":
        r = registered(c, n)
        eq((True, 0, False), (r["door"], r["number"], r["data"]))
        for at in c.names:
            x = row(c, at, n)
            eq((0, "up", True, 0, 0, 0, 0), tuple(x[k] for k in ("number", "state", "door", "leading", "copies", "in_sync", "learning")))
        line = next(x for x in c.verdict("a")[1] if x.startswith(n + " "))
        eq(n.split() + ["up", "0", "0", "0", "0", "-", "door"], line.split())
    eq((False, True), tuple(registered(c, n)["store"] == "0" * 16 for n in "de"))  # a folder has an id
    eq((True, False), (os.path.exists(c.n["d"].data + "/cluster"), os.path.exists("/cluster")))
    for n in "abc":
        assert "door" not in registered(c, n), registered(c, n)
        eq((False, 256), tuple(row(c, "d", n)[k] for k in ("door", "copies")))
    r = c.pail("d", "cluster", "drain", "d")
    assert r.returncode not in (0, 2) and b"it leads nothing" in r.stderr, r
    # Away, and there again: the copies are all there.
    eq(0, c.n["d"].stop())
    until(lambda: row(c, "a", "d")["state"] == "away", 10, "d to be missed")
    well(c, "a", "b", "c", "e")
    begin_s = time.monotonic()
    c.start("d")
    until(lambda: c.client("d").code("get", "x", "k")[0] == "no_bucket", 10, "d to answer")
    assert time.monotonic() - begin_s < 5 * lib.SLOW
    until(lambda: row(c, "a", "d")["state"] == "up", 10, "d to be back")
    eq({"a", "b", "c"}, {n for v in c.views().values() for n in v[2]})
    c.stop()


@test("cluster", "distributed", "kill", "pauses")
def a_killed_primary_is_waited_for_at_a_door(box):
    """What goes through it pauses as it does at any node; with retries nothing fails."""
    c = doors(box)
    if not real(c):
        return
    buckets = {n: c.led_by(n) for n in "abc"}
    p = Pulse(box, [c.n[n].endpoint for n in "de"], {"lost": buckets["a"], "other": buckets["b"]})
    ends = [c.n["d"].endpoint, c.n["e"].endpoint]
    done, failed = 0, []
    begin_s, killed, back = time.monotonic(), False, False
    while time.monotonic() < begin_s + 6 * lib.SLOW:
        if not killed and time.monotonic() > begin_s + 1:
            c.kill("a")
            killed = True
        r = box.run(lib.BUILD + "/pail", "--node", ends[done % 2], "put", "--timeout", "15000", buckets["a"], "retried%d" % done, "v")
        done += 1
        if r.returncode:
            failed.append((done, r.returncode, r.stderr))
    p.end()
    p.say()
    eq([], failed)
    p.held("lost", PRIMARY_S)
    p.held("other", BACKUP_S, PAUSE_S)
    for n in "de":
        eq({"b", "c"}, {c.primary(b, n) for b in buckets.values()} & {"a", "b", "c"})
        said = c.verdict(n)[1][0]
        assert "have a copy that is not in sync" in said, said
    c.start("a")
    c.ready()
    well(c, *c.names)
    p.audit(c.client("d"))
    eq(done, sum(k[0].startswith(b"retried") for k in c.ask("e", "scan", buckets["a"], {"prefix": "retried", "limit": 5000})["items"]))
    c.stop()


@test("cluster", "distributed")
def a_door_is_no_member_and_may_be_there_before_the_cluster(box):
    """It is refused by name, whoever is asked; it creates the cluster of others as any node does."""
    c = doors(box, create=False)
    if not real(c):
        return
    known(c)
    until(lambda: all(p["state"] == "up" for n in c.names for p in c.ask(n, "status")["peers"]), 20, "links")
    why = "has no workers (node.role = router), so it cannot have copies"
    for at, door in ("a", "d"), ("d", "d"), ("d", "e"), ("e", "d"), ("b", "e"):
        refused(c, at, ["--factor", "2", "a", "b", door], 'node "%s" %s' % (door, why))
    refused(c, "a", ["--factor", "1", "--keep", "d", "d"], 'node "d" %s' % why)
    for n in "de":
        eq(("node_down", 'the cluster "demo" has not been created yet: pail cluster create'), c.client(n).code("get", "x", "k"))
        assert c.verdict(n)[1][0].startswith('the cluster "demo" has not been created'), c.verdict(n)
    operate(c, "d", "upgrade", "--wait")
    eq("node_down", c.client("d").code("get", "x", "k")[0])
    # One that is away is no less a door.
    eq(0, c.n["e"].stop())
    refused(c, "a", ["--factor", "2", "a", "b", "e"], 'node "e" %s' % why)
    c.start("e")
    until(lambda: "not connected" not in ask(c, "d", "--factor", "3", "a", "b", "c")[1], 20, "the nodes to be connected")
    c.ready()
    well(c, *c.names)
    for n in "de":
        c.ask(n, "create", "of-" + n)
        c.ask(n, "put", "of-" + n, "k", "v")
        eq(0, registered(c, n)["number"])
    eq([b"v", b"v"], [c.ask(n, "get", "of-" + m, "k")[0] for n, m in ("de", "ed")])
    code, said = ask(c, "d", "--factor", "3", "a", "b", "c")
    assert code and "created already" in said, (code, said)
    c.stop()


@test("cluster", "distributed", "long")
def a_door_with_other_partitions_says_so(box):
    c = doors(box, {"storage.partitions": 64}, {"storage.partitions": 512}, create=False)
    if not real(c):
        return
    c.create(["a", "b", "c"])
    until(c.in_sync, 30, "all copies to be in sync")
    for n, text in ("d", "this node's folder 64: it cannot take part"), ("e", "this node 512: it cannot take part"):
        until(lambda: text in c.verdict(n)[1][0], 10, lambda: "%s to say so: %s" % (n, c.verdict(n)[1][0]))
        e = c.client(n).code("get", "x", "k")
        assert e[0] == "node_down" and text in e[1], e
    c.stop()


def quietly(box, what):
    """A load through the doors, and no error, and no pause that is longer than on one node."""
    c = doors(box)
    if not real(c):
        return
    before = c.views()
    p = Pulse(box, [c.n["d"].endpoint, c.n["e"].endpoint], {n: c.led_by(n) for n in "abc"})
    for _ in range(3):
        what(c)
        time.sleep(0.3)
    p.end()
    p.say()
    for w in "abc":
        p.held(w, PAUSE_S, codes=())
    eq(before, c.views())
    p.audit(c.client("d"))
    well(c, *c.names)
    c.stop()


@test("cluster", "distributed", "upgrade", "long")
def a_door_is_upgraded_unnoticed(box):
    def upgraded(c):
        for n in "de":
            operate(c, n, "upgrade", "--wait")
            assert "this upgrade is as a restart" not in c.n[n].output(), c.n[n].output()
    quietly(box, upgraded)


@test("cluster", "distributed", "upgrade", "restart", "long")
def what_waits_at_a_door_is_answered_over_its_upgrade_and_before_its_stop(box):
    """For the next primary, the one before having been killed."""
    c = doors(box)
    if not real(c):
        return
    bucket, at = c.led_by("a"), {n: c.client(n) for n in "de"}
    c.kill("a")
    ids = {n: x.send(*(("put", bucket, "%s%d" % (n, i), "v", {"timeout": 20000 * lib.SLOW}) for i in range(40))) for n, x in at.items()}
    c.n["e"].process.send_signal(signal.SIGTERM)
    operate(c, "d", "upgrade", "--wait")
    for n, x in at.items():
        for i in ids[n]:
            x.result(i, 25)
    eq(0, c.n["e"].process.wait(30 * lib.SLOW))
    eq(80, c.ask("d", "count", bucket))
    c.heal()
    c.stop()


@test("cluster", "distributed", "long")
def a_door_reads_its_configuration_again_unnoticed(box):
    quietly(box, lambda c: operate(c, "d", "reload"))


@test("cluster", "distributed", "restart", "long")
def doors_are_restarted_in_turn_and_nobody_is_told(box):
    """A client that knows both of them goes on through the other one."""
    c = doors(box)
    if not real(c):
        return
    c.ask("d", "create", "rolling")
    ends = ",".join(c.n[n].endpoint for n in "de")
    done, failed = 0, []
    for n in "de":
        for step in c.n[n].stop, lambda: c.start(n):
            assert not step()
            for _ in range(10):
                r = box.run(lib.BUILD + "/pail", "--node", ends, "put", "--timeout", "15000", "rolling", "k%d" % done, "v")
                done += 1
                if r.returncode:
                    failed.append((done, r.returncode, r.stderr))
    load = [subprocess.Popen([lib.BUILD + "/pail", "--node", ends, "put", "--timeout", "15000", "rolling", "l%d" % i, "v"]) for i in range(8)]
    c.kill("d")
    eq([0] * 8, [p.wait(30 * lib.SLOW) for p in load])
    eq([], failed)
    eq(done + 8, c.ask("e", "count", "rolling"))
    c.start("d")
    well(c, *c.names)
    c.stop()


@test("cluster", "distributed", "long")
def a_door_is_known_by_the_key_that_it_has_registered(box):
    with open(box.dir + "/clients", "w") as f:
        f.write("shop %s read:* write:* create:*\n" % keys.Key(box, "shop").public)
    own = {n: keys.Key(box, n) for n in "abcde"}
    more = {n: {"security.key": own[n].path, "security.clients": box.dir + "/clients"} for n in "abcde"}
    more["d"].update(DOOR)
    more["e"].update(DOOR)
    c = cluster(box, "abcde", outside="de", create=False, more=more)
    if not real(c):
        return
    c.create(["a", "b", "c"])
    well(c, *c.names)
    x, y = c.n["d"].client(admin=True), c.n["e"].client(admin=True)
    for i in range(10):
        x.call("create", "x%d" % i)
        y.call("put", "x%d" % i, "k", "v")
        eq(b"v", x.call("get", "x%d" % i, "k")[0])
    eq(own["d"].public, registered(c, "d")["key"])
    c.stop()


@test("cluster", "distributed", "restart", "long")
def a_member_that_becomes_a_door_has_left_its_copies_behind(box):
    """It is said, everywhere, and what it has is in sync again when it has workers again."""
    c = cluster(box, "abc")
    if not real(c):
        return
    buckets = {n: c.led_by(n) for n in "abc"}
    for b in buckets.values():
        c.ask("a", "put", b, "k", "v")
    before = registered(c, "c")
    eq(0, c.n["c"].stop())
    rewrite(c.n["c"], "workers = 1", "workers = 1\nrole = router")
    c.start("c")
    until(lambda: registered(c, "c").get("door"), 10, "c to tell")
    eq(dict(before, door=True), registered(c, "c"))
    assert "is number %d of the cluster: its copies are away" % before["number"] in c.n["c"].output()
    for b in buckets.values():
        eq(b"v", c.ask("c", "get", b, "k")[0])
        c.ask("c", "put", b, "k2", "v")
    for n in "abc":
        until(lambda: "have a copy that is not in sync" in c.verdict(n)[1][0], 10, lambda: "%s to say so: %s" % (n, c.verdict(n)[1][0]))
        until(lambda: row(c, n, "c")["state"] == "away" and not row(c, n, "c")["in_sync"], 10, "%s to hear of it" % n)
        eq((True, before["number"], 0), tuple(row(c, n, "c")[k] for k in ("door", "number", "leading")))
    eq(0, c.n["c"].stop())
    rewrite(c.n["c"], "role = router\n", "")
    c.start("c")
    c.ready()
    eq(before, registered(c, "c"))
    well(c, *c.names)
    for b in buckets.values():
        eq(b"v", c.ask("c", "get", b, "k2")[0])
    c.stop()
