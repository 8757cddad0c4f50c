"""Buckets with copies on several nodes: how a cluster is made, what it shows, and that any node answers."""
import json
import os
import time

import lib
from cluster import cluster
from lib import eq, test, until


def real(c):
    if not c.real:
        print("# left out: there is one node only")
    return c.real


@test("cluster", "distributed")
def any_node_of_a_cluster_answers_for_any_bucket(box):
    c = cluster(box)
    buckets = {n: c.led_by(n, 4) for n in c.names}
    for n, some in buckets.items():
        for bucket in some:
            for at in c.names:
                version = c.ask(at, "put", bucket, "k-" + at, "by " + at)
                for other in c.names:
                    eq([("by " + at).encode(), version], c.ask(other, "get", bucket, "k-" + at))
            for at in c.names:
                eq(len(c.names), c.ask(at, "count", bucket))
                eq(n if c.real else c.names[0], c.primary(bucket, at))
    want = sorted(b.encode() for some in buckets.values() for b in some)
    for at in c.names:
        r = c.ask(at, "buckets")
        eq((want, False), ([x if isinstance(x, bytes) else x.encode() for x in r["items"]], r["more"]))
    c.stop()


@test("cluster", "distributed")
def route_names_node_partition_epoch_and_copies(box):
    c = cluster(box)
    if not real(c):
        return
    views = c.views()
    for i in range(20):
        bucket = "bucket%d" % i
        answers = [c.route(bucket, n) for n in c.names]
        r = answers[0]
        epoch, primary, isr = views[r["partition"]]
        eq((primary, epoch, sorted(isr)), (r["node"], r["epoch"], sorted(r["copies"])))
        for other in answers[1:]:
            eq([r[k] for k in ("node", "partition", "epoch")], [other[k] for k in ("node", "partition", "epoch")])
    def uneven():
        leading = [v[1] for v in c.views().values()]
        return max(abs(leading.count(n) - len(leading) / len(c.names)) for n in c.names)
    until(lambda: uneven() <= 1, 20, "all to lead the same: round robin")  # who took over from a node that was slow gives back
    c.stop()


@test("cluster", "distributed")
def five_nodes_with_three_copies_share_the_partitions(box):
    c = cluster(box, "abcde", factor=3)
    if not real(c):
        return
    views = c.views()
    held = {n: sum(n in v[2] for v in views.values()) for n in c.names}
    mean = len(views) * 3 / 5
    assert all(abs(n - mean) <= 3 for n in held.values()), held
    bucket = c.led_by("e")
    c.ask("a", "put", bucket, "k", "v")
    for n in c.names:
        eq(b"v", c.ask(n, "get", bucket, "k")[0])
    c.stop()


@test("cluster", "distributed")
def status_gives_its_verdict_first(box):
    c = cluster(box)
    if not real(c):
        return
    well, text = c.verdict("a")
    assert well and "in sync" in text[0], text
    for word in ("leading", "copies", "sync", "learning", "lag", "agreement"):
        assert word in "\n".join(text).lower(), (word, text)
    s = until(lambda: [x for x in [c.status("b")] if x["ok"] and all(n["lag_ms"] is not None for n in x["nodes"] if n["name"] != "b")],
              10, "all to be well, and the copies' lag")[0]
    eq((256, 256, 0, 0, 0), tuple(s[k] for k in ("known", "in_sync", "not_in_sync", "without_primary", "too_few")))
    eq((16, None), (len(s["id"]), {n["name"]: n["lag_ms"] for n in s["nodes"]}["b"]))
    assert all(n["lag_ms"] < 1000 for n in s["nodes"] if n["name"] != "b"), s["nodes"]
    eq(sorted(c.names), sorted(n["name"] for n in s["nodes"]))
    eq({"up"}, {n["state"] for n in s["nodes"]})
    c.command("b", "drain", "b")
    until(lambda: {"a": "up", "b": "draining", "c": "up"} == {n["name"]: n["state"] for n in c.status("a")["nodes"]}, 10, "b to be draining")
    c.command("b", "drain", "b", "--off")
    c.ready()
    eq(len(c.views()), sum(n["leading"] for n in s["nodes"]))
    first = text[0]
    c.kill("c")
    until(lambda: all("c" not in v[2] for v in c.views().values()), 10, "c to be out of all sets")
    well, text = until(lambda: [x for x in [c.verdict("a")] if not x[0]], 10, "the verdict to say so")[0]
    assert text[0] != first, text
    s = c.status("a")
    eq((False, "away"), (s["ok"], {n["name"]: n["state"] for n in s["nodes"]}["c"]))
    assert {x["node"] for x in s["behind"]} == {"c"} and all(x["why"] for x in s["behind"]), s["behind"]
    print("\n".join("# " + line for line in text))
    c.etcd.kill()
    until(lambda: "away" in c.agreement("a"), 15, "the agreement to be away")
    since = c.status("a")["agreement"]["since_ms"]
    s = until(lambda: [x for x in [c.status("a")] if x["agreement"]["since_ms"] > since + 1000], 10, "time to pass")[0]
    assert "the agreement is away since %d s" % (s["agreement"]["since_ms"] // 1000) in s["verdict"] or "refuse" in s["verdict"], s
    c.etcd.start()
    until(lambda: "away" not in c.agreement("a"), 15, "the agreement to be back")
    c.start("c")
    c.ready()
    c.stop()


@test("cluster", "distributed")
def static_routes_stand_beside_the_ring(box):
    """a-m of one node that is in no cluster, n-z of the ring: both from any node of the ring."""
    c = cluster(box, create=False, routes={"n-z": "ring"})
    if not real(c):
        return
    client, peer = ("tcp://127.0.0.1:%d" % p for p in box.ports(2))
    foo = lib.Node(box, conf=os.path.join(box.dir, "foo.conf"), data=os.path.join(box.dir, "foo"), start=False)
    with open(foo.conf, "w") as f:
        f.write("[node]\nname = foo\nclient = %s\npeer = %s\ndata = %s\nworkers = 1\n[routes]\n* = foo\n[peers]\n%s\n"
                % (client, peer, foo.data, "\n".join("%s = -" % n for n in c.names)))
    for n in c.names:
        with open(c.n[n].conf) as f:
            text = f.read()
        with open(c.n[n].conf, "w") as f:
            f.write(text + "a-m = foo\n[peers]\nfoo = %s\n" % peer)
        eq(0, c.n[n].stop())
    foo.start()
    for n in c.names:
        c.start(n)
    c.create(c.names)
    c.ready()
    c.ask("a", "create", "alpha")
    c.ask("b", "create", "zulu")
    for n in c.names:
        c.ask(n, "put", "alpha", n, "x")
        c.ask(n, "put", "zulu", n, "x")
        eq("foo", c.route("alpha", n)["node"])
        assert c.route("zulu", n)["node"] in c.names
    eq(3, foo.client().call("count", "alpha"))
    c.stop()
    eq(0, foo.stop())


@test("cluster", "distributed")
def a_cluster_is_made_once(box):
    c = cluster(box)
    if not real(c):
        return
    before = c.etcd.get("/pail/demo/config").value
    r = c.pail("a", "cluster", "create", "--factor", "2", *c.names)
    assert r.returncode != 0 and r.stderr, (r.returncode, r.stderr)
    eq(before, c.etcd.get("/pail/demo/config").value)
    eq(True, c.in_sync())
    r = c.pail("a", "cluster", "create", "--factor", "4", *c.names)
    assert r.returncode != 0, "more copies than nodes"
    c.stop()


@test("cluster", "distributed", "long")
def a_node_with_data_brings_it_along(box):
    """--keep: what is on it is on all of them."""
    c = cluster(box, create=False)
    if not real(c):
        return
    eq(0, c.n["b"].stop())
    with open(c.n["b"].conf) as f:
        text = f.read()
    alone = text.split("[cluster]")[0] + "[routes]\n* = b\n"
    with open(c.n["b"].conf, "w") as f:
        f.write(alone)
    c.start("b")
    x = c.client("b")
    versions = {}
    for i in range(20):
        x.call("create", "bucket%d" % i)
        for k in range(50):
            versions["bucket%d" % i, k] = x.call("put", "bucket%d" % i, "k%d" % k, os.urandom(500))
    session = x.call("session")
    eq(1, x.call("put", "bucket0", "once", "v", {"session": session, "seq": 1}) > 0)
    once = x.call("get", "bucket0", "once")
    eq(0, c.n["b"].stop())
    with open(c.n["b"].conf, "w") as f:
        f.write(text)
    c.start("b")
    c.create(c.names, keep="b")
    c.ready(60)
    for n in c.names:
        for (bucket, k), version in versions.items():
            eq(version, c.ask(n, "get", bucket, "k%d" % k)[1])
    c.kill("b")
    until(lambda: all(v[1] != "b" for v in c.views().values()), 10, "others to lead")
    until(c.answers, 10, "answers")
    for (bucket, k), version in versions.items():
        eq(version, c.ask("a", "get", bucket, "k%d" % k)[1])
    # Outcomes too: the same request again is not done again.
    eq(once[1], c.ask("c", "put", "bucket0", "once", "v", {"session": session, "seq": 1}))
    c.start("b")
    c.ready()
    c.stop()


@test("cluster", "distributed", "long")
def a_stranger_under_an_old_name_has_no_copy(box):
    """A disk that was emptied: the node comes back as another, and learns."""
    c = cluster(box, min_copies=1)
    if not real(c):
        return
    bucket = c.led_by("a")
    for k in range(200):
        c.ask("b", "put", bucket, "k%d" % k, "v%d" % k)
    stores = {m[1] for x in c.etcd.list("/pail/demo/part/") for m in json.loads(x.value)["isr"]}
    c.kill("a")
    box.run("rm", "-rf", c.n["a"].data)
    until(lambda: all("a" not in v[2] for v in c.views().values()), 10, "a to be out")
    c.start("a", wait=False)
    c.ready(60)
    new = {m[1] for x in c.etcd.list("/pail/demo/part/") for m in json.loads(x.value)["isr"]}
    eq((3, 2), (len(new), len(new & stores)))
    # What it has learnt is all that the next one in line needs: the others go, one after the other.
    for gone in ("b", "c"):
        c.kill(gone)
        until(lambda: all(gone not in v[2] and v[1] != gone for v in c.views().values()), 15, gone + " to be out")
    until(c.answers, 10, "answers")
    for k in range(200):
        eq(b"v%d" % k, c.ask("a", "get", bucket, "k%d" % k)[0])
    c.heal()
    c.ready()
    c.stop()


@test("cluster", "distributed")
def a_node_without_cluster_is_what_it_was(box):
    """No agent, no etcd, and no word of copies."""
    n = box.node("--set", "node.workers=1")
    comm = lambda p: open("/proc/%d/comm" % p).read().strip()
    eq(["pail-worker"], [comm(p) for p in n.children()])
    eq(False, "cluster" in n.status())
    r = box.run("ldd", lib.BUILD + "/paild")
    assert b"curl" not in r.stdout and b"jansson" not in r.stdout, r.stdout
    eq(0, n.stop())


@test("cluster", "distributed", "long")
def values_of_all_sizes_reach_all_copies(box):
    """From nothing to the largest, and a frame that is full of them; then each copy in turn is the only one to ask."""
    c = cluster(box, more={"limits.value": "4M", "limits.message": "16M", "storage.segment": "16M", "limits.log": "256M"}, min_copies=1)
    bucket = c.led_by("a")
    sizes = [0, 1, 7, 100, 4095, 4096, 65536, 1 << 20, 4 << 20]
    x = c.client("b")
    values = {"k%d" % s: os.urandom(s) for s in sizes}
    versions = {k: x.call("put", bucket, k, v, {"timeout": 20000}, seconds=30) for k, v in values.items()}
    ids = x.send(*(("put", bucket, "many%d" % i, b"x" * 100) for i in range(4000)))
    versions.update(("many%d" % i, x.result(j, 30)) for i, j in enumerate(ids))
    values.update(("many%d" % i, b"x" * 100) for i in range(4000))
    for gone in c.names if c.real else []:
        c.kill(gone)
        until(lambda: all(gone not in v[2] and v[1] != gone for v in c.views().values()), 15, "%s to be out" % gone)
        until(c.answers, 10, "answers")
        y = c.client()
        for k, v in values.items():
            eq([v, versions[k]], y.call("get", bucket, k, seconds=30))
        y.close()
        c.start(gone)
        c.ready()
    c.stop()


@test("cluster", "distributed", "long")
def time_to_live_is_the_same_on_every_copy(box):
    """Whoever was told that a key has expired is told so by the next primary, even if its clock is behind."""
    c = cluster(box, clocks=True)
    bucket = c.led_by("a")
    c.ask("a", "put", bucket, "soon", "v", {"ttl": 600})
    c.ask("a", "put", bucket, "late", "v", {"ttl": 3600000})
    for n in c.others("a") if c.real else ():
        c.clock[n].step(-3600000)
    until(lambda: c.ask("b", "get", bucket, "soon") is None, 5, "the key to expire")
    eq(1, c.ask("b", "count", bucket))
    if c.real:
        c.kill("a")
        until(lambda: c.answers(), 10, "answers")
    begin = time.monotonic()
    while time.monotonic() < begin + 1:
        eq(None, c.ask("b", "get", bucket, "soon"))
        eq(b"v", c.ask("b", "get", bucket, "late")[0])
    c.heal()
    c.stop()
