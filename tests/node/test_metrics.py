"""Figures and events: what was done is counted, where it belongs, and goes on."""
import os
import re
import signal

import lib
from lib import eq, test, until
from test_figures import admin


def families(c):
    m = c.call("metrics")
    return {f["name"]: f for f in m["families"]}


def value(fs, name, **labels):
    """Of the one sample that has these labels; None: there is none."""
    found = [v for l, v in fs[name]["samples"] if l == labels]
    assert len(found) < 2, (name, labels, found)
    return found[0] if found else None


@test("single")
def requests_are_counted_by_method_and_result(box):
    n = box.node("--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    for i in range(300):
        c.call("put", "b", "k%d" % (i % 10), "v")
    c.result(c.send(("get", "b", "k1"))[0])
    eq("no_bucket", c.code("get", "none", "k")[0])
    eq("conflict", c.code("put", "b", "k1", "v", {"if_version": 1})[0])
    eq("bad_argument", c.code("put", "b", "k1", "v", {"ttl": 0})[0])
    eq("unknown_method", c.code("nosuch")[0])
    c.call("ping")

    def settled():
        fs = families(c)
        return fs if value(fs, "pail_requests_total", method="put", result="ok") == 300 else None
    fs = until(settled, 10, "300 puts to be counted")
    for want, method, result in ((1, "create", "ok"), (1, "put", "conflict"), (1, "put", "bad_argument"), (1, "get", "ok"),
                                 (1, "get", "no_bucket"), (1, "ping", "ok"), (None, "get", "busy")):
        eq((method, result, want), (method, result, value(fs, "pail_requests_total", method=method, result=result)))
    h = value(fs, "pail_request_duration_seconds", method="put")
    eq((301, 301), (h["count"], sum(k for _, k in h["buckets"])))  # that of the conflict too: it was run
    assert 0 < h["sum"] < 60 * 10**6 * lib.SLOW
    eq(sorted(h["buckets"]), h["buckets"])
    for stage in "ring", "run", "sync":
        eq((stage, 304), (stage, value(fs, "pail_request_%s_seconds" % stage)["count"]))
    # where the time went is all of it, but for what the clocks of two processes say
    parts = sum(value(fs, "pail_request_%s_seconds" % s)["sum"] for s in ("ring", "run", "sync"))
    whole = sum(v["sum"] for l, v in fs["pail_request_duration_seconds"]["samples"] if l["method"] in ("create", "put", "get"))
    assert abs(parts - whole) <= 304 * 3 + whole // 10, (parts, whole)


@test("single", "pipeline")
def a_frame_of_many_requests_counts_each(box):
    n = box.node("--set", "node.workers=3")
    c = n.client()
    for b in range(6):
        c.call("create", "b%d" % b)
    ids = c.send(*[(("put", "b%d" % (i % 6), "k%d" % i, "v") if i % 3 else ("get", "b%d" % (i % 6), "k")) for i in range(4096)])
    for i in ids:
        c.result(i)
    fs = families(c)
    eq((1366, 2730), tuple(value(fs, "pail_request_duration_seconds", method=m)["count"] for m in ("get", "put")))
    until(lambda: value(families(c), "pail_requests_total", method="put", result="ok") == 2730, 10, "2730 puts to be counted")


@test("distributed")
def what_another_node_runs_counts_at_both(box):
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"a-m": "foo", "n-z": "bar"}})
    for x in n.values():
        x.linked()
    c = n["foo"].client()
    c.call("create", "world")
    for i in range(50):
        c.call("put", "world", "k%d" % i, "v")
    eq("no_bucket", c.code("get", "zero", "k")[0])
    foo = families(c)
    eq((50, 1), (value(foo, "pail_requests_total", method="put", result="ok"), value(foo, "pail_requests_total", method="get", result="no_bucket")))
    eq(50, value(foo, "pail_request_duration_seconds", method="put")["count"])
    eq(0, value(foo, "pail_worker_requests_total", worker="0"))
    eq((1, 52), (value(foo, "pail_peer_up", peer="bar"), value(foo, "pail_peer_forwarded_total", peer="bar")))
    bar = n["bar"].client()
    until(lambda: value(families(bar), "pail_requests_total", method="put", result="ok") == 50, 10, "bar to have counted them")
    eq(50, value(families(bar), "pail_request_duration_seconds", method="put")["count"])
    n["bar"].kill()
    until(lambda: value(families(c), "pail_peer_up", peer="bar") == 0, 10, "bar to be down")
    eq("node_down", c.code("put", "world", "k", "v")[0])
    eq(1, value(families(c), "pail_requests_total", method="put", result="node_down"))
    until(lambda: ["peer_up", "peer_down"] == [e["kind"] for e in c.call("events", 0, 256)["events"] if e["subject"] == "node bar"][-2:], 10, "events of bar")


@test("single", "kill")
def a_killed_worker_is_an_event_and_figures_go_on(box):
    n = box.node("--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", "v")
    before = c.call("events", 0, 256)
    eq((1, len(before["events"])), (before["first"], before["last"]))
    eq(["start"], [e["kind"] for e in before["events"] if e["kind"] in ("start", "stop")])
    pid = n.status()["workers"][1]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: [e["kind"] for e in c.call("events", before["last"], 256)["events"]] == ["worker_died", "worker_up"], 10, "two events")
    died, up = c.call("events", before["last"], 256)["events"]
    eq(("worker 1", "warning", before["last"] + 1), (died["subject"], died["level"], died["id"]))
    assert "killed by signal 9" in died["text"], died
    eq(("worker 1", "info"), (up["subject"], up["level"]))
    fs = families(c)
    eq((0, 1, 0), tuple(value(fs, "pail_worker_restarts_total", worker="1", reason=r) for r in ("hung", "killed", "failed")))
    eq((1, 1), tuple(value(fs, "pail_worker_up", worker=w) for w in "01"))
    eq(1, value(fs, "pail_requests_total", method="put", result="ok"))
    admin(box, n, "upgrade", "--wait")
    c = n.client()
    fs = families(c)
    eq(1, value(fs, "pail_upgrades_total"))
    eq(1, value(fs, "pail_requests_total", method="put", result="ok"))
    eq(1, value(fs, "pail_request_duration_seconds", method="put")["count"])
    kinds = [e["kind"] for e in c.call("events", 0, 256)["events"]]
    eq(["worker_died", "worker_up"], [k for k in kinds if k in ("worker_died", "worker_up")][-2:])
    eq("upgrade", kinds[-1])
    admin(box, n, "worker", "restart", "0")
    eq(["worker_handover"], [e["kind"] for e in c.call("events", 0, 256)["events"] if e["subject"] == "worker 0"][-1:])
    fs = families(c)
    eq((1, 0), tuple(value(fs, "pail_worker_handovers_total", worker=w) for w in "01"))
    assert value(fs, "pail_worker_handover_pause_seconds_total", worker="0") > 0
    admin(box, n, "reload")
    eq("reload", c.call("events", 0, 1)["events"][0]["kind"])


@test("single")
def events_are_asked_for_from_a_number_on(box):
    c = box.node("--set", "node.workers=1").client()
    for wrong in ((), (0,), (0, 0), (0, 257), ("0", 1), (0, "1"), (-1, 1), (0, 1, {}, {})):
        eq((wrong, "bad_argument"), (wrong, c.code("events", *wrong)[0]))
    last = c.call("events", 0, 256)["last"]
    assert last >= 2, last
    eq([last], [e["id"] for e in c.call("events", 0, 1)["events"]])
    eq(list(range(1, last + 1)), [e["id"] for e in c.call("events", 0, 256)["events"]])
    eq([last], [e["id"] for e in c.call("events", last - 1, 256)["events"]])
    eq([], c.call("events", last, 256)["events"])
    eq([], c.call("events", 2**63, 256)["events"])


@test("single")
def every_family_is_well_formed(box):
    """Names as Prometheus' practices say, samples with the same labels, each once."""
    n = box.node("--set", "node.workers=2")
    fs = n.client().call("metrics")["families"]
    eq(len(fs), len({f["name"] for f in fs}))
    for f in fs:
        name, kind = f["name"], f["kind"]
        assert re.fullmatch("pail_[a-z][a-z0-9_]*[a-z0-9]", name), name
        eq((name, kind == "counter"), (name, name.endswith("_total")))
        assert f["unit"] in ("", "seconds", "bytes"), f
        assert name[:-6 if kind == "counter" else None].endswith(f["unit"]), name
        assert f["scale"] in (1, 1000, 10**6) and (f["scale"] == 1 or f["unit"] == "seconds"), f
        assert f["help"].endswith("."), f["help"]
        labels = [tuple(sorted(l)) for l, _ in f["samples"]]
        assert len(set(labels)) <= 1, (name, labels)
        eq((name, len(f["samples"])), (name, len({tuple(sorted(l.items())) for l, _ in f["samples"]})))
        for _, v in f["samples"]:
            eq((name, kind == "histogram"), (name, isinstance(v, dict)))
