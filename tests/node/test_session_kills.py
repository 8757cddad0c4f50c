"""Requests of sessions whose worker is killed at a named point, or at any: each is told one thing, and done once."""
import glob
import os
import shutil
import signal
import threading
import time

import lib
from lib import Client, eq, test, until
from test_sessions import Session, functions, reply

SMALL = ("--set", "storage.segment=1M", "--set", "limits.log=32M", "--set", "limits.value=64K",
         "--set", "limits.message=1M", "--set", "limits.result=64K")
POINTS = ("worker.before_run",  # it waits in the ring
          "worker.before_append",  # it is being run, and not in the log
          "worker.after_append", "worker.after_reply", "worker.before_hand",  # in memory
          "wal.before_write",
          "wal.sync@2",  # written whole, not synced; the first one is of the file at the start
          "wal.after_sync",  # synced, its reply is not published
          "wal.after_publish")  # published, if its worker was not killed before
NEVER = 1000

# name: (method, parameters), what the first is told (or its error's code), what is there behind it
REQUESTS = {
    "put": (("put", "b", "k", "v", {"if_absent": True}), int, {b"there": b"v", b"k": b"v"}),
    "delete": (("delete", "b", "there"), True, {}),
    "nothing": (("delete", "b", "none"), False, {b"there": b"v"}),
    "conflict": (("put", "b", "there", "w", {"if_absent": True}), "conflict", {b"there": b"v"}),
    "txn": (("txn", "b", {"if": [["t", "version", "=", 0]], "then": [["put", "t", "1"], ["delete", "there"], ["put", "u", "2"], ["get", "t"]],
                          "else": [["put", "t", "no"]]}), dict, {b"t": b"1", b"u": b"2"}),
    "call": (("call", "b", "t", "add", ["n", 1]), 1, {b"there": b"v", b"n": b"1"}),
    "fail": (("call", "b", "t", "fail", []), "failed", {b"there": b"v"}),
    "outcome": (("outcome", "b", NEVER), {"state": "never"}, {b"there": b"v"}),
}


def prepared(box):
    """A folder with a bucket, and what there is of it."""
    n = box.node("--set", "functions.dir=" + functions(box), "--set", "node.workers=1", *SMALL)
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "there", "v")
    eq(0, n.stop())
    return n.data


def start(box, folder, fault):
    data = box.folder("data")
    shutil.copytree(folder, data, ignore=shutil.ignore_patterns("*.sock"))
    n = box.node("--set", "functions.dir=" + functions(box), "--set", "node.workers=1", *SMALL, data=data,
                 env={"PAIL_FAULT": fault} if fault else None)
    eq(0, n.workers()[0]["restarts"])
    return n


def request_of(s, what):
    method = REQUESTS[what][0]
    if method[0] == "outcome":
        return ("outcome", "b", s.id, NEVER)
    return s.request(*method)


def is_told(what, got):
    error, result = got
    want = REQUESTS[what][1]
    if isinstance(want, str):
        eq(want, error and error[0])
    else:
        eq(None, error)
        assert isinstance(result, want) if isinstance(want, type) else result == want, (what, got)


def there(c):
    return {k: v for k, v, _ in c.call("scan", "b", {"limit": 1000})["items"]}


def check(n, s, what, request, first, restart):
    """It is told the same for ever, and was done once."""
    is_told(what, first)
    for again in (False, True)[:1 + restart]:
        if again:
            n.kill()
            n.start()
        c = n.client()
        eq(first, reply(c, c.send(request)[0]))
        eq(REQUESTS[what][2], there(c))
        if what == "outcome":
            eq("stale", c.code("put", "b", "k", "v", s.options(NEVER))[0])
        else:
            eq({"state": "done", "error": first[0], "result": first[1]}, c.call("outcome", "b", s.id, 0))


def killed_with(box, what):
    folder = prepared(box)
    for point in POINTS:
        if what == "fail" and point.endswith("_append"):
            if point == "worker.after_append":
                continue  # there is no write
            point = "worker.outcome"  # it has run, and what came of it is not in the log
        name, _, nth = point.partition("@")
        n = start(box, folder, "%s=kill@%s" % (name, nth or 1))
        c, d = n.client(), n.client()
        s = Session(c)
        request = request_of(s, what)
        ids = c.send(request, ("get", "b", "there"), request, ("ack", "b", Session(d).id, 4))
        second, = d.send(request)
        first = reply(c, ids[0])
        eq((point, first), (point, reply(c, ids[2])))
        eq((point, first), (point, reply(d, second)))
        eq(None, reply(c, ids[1])[0])
        eq((None, True), reply(c, ids[3]))
        until(lambda: n.workers()[0]["restarts"] == 1, 20, "the kill at " + point)
        n.up()
        check(n, s, what, request, first, point.startswith("wal."))
        n.kill()


def _add(what):
    def f(box):
        killed_with(box, what)
    f.__name__ = "killed_in_a_session_with_" + what
    f.__module__ = __name__
    test("kill")(f)


for _what in REQUESTS:
    _add(_what)


def stopped(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] in "tT"


@test("kill")
def torn_in_a_session(box):
    """Written and not synced, and a part of it is lost: run again, and told to all that asked."""
    folder = prepared(box)
    for what in ("put", "delete", "txn", "call", "conflict", "outcome"):
        n = start(box, folder, "wal.sync=stop@2")
        c, d = n.client(), n.client()
        pid, = {w["pid"] for w in n.workers()}
        s = Session(c)
        request = request_of(s, what)
        ids = [(c, i) for i in c.send(request, request)] + [(d, d.send(request)[0])]
        until(lambda: stopped(pid), 10, "the worker to stand still")
        os.kill(n.process.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        found = 0
        for path in glob.glob(n.data + "/worker-0/wal-*"):
            with open(path, "r+b") as f:
                at = f.read().find(s.id)
                if at >= 0:
                    f.seek(at + box.random.randrange(20))
                    f.write(bytes(1 << 16))
                    found += 1
        eq((what, 1), (what, found))
        os.kill(n.process.pid, signal.SIGCONT)
        told = [reply(c_, i) for c_, i in ids]
        eq(told[:1] * 3, told)
        check(n, s, what, request, told[0], True)


@test("kill", "distributed")
def what_is_sent_again_is_done_once(box):
    """Whoever gets no answer in time, or a refusal, asks again through another node, while workers are killed and replaced."""
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, workers=2,
                        more={n: {"functions.dir": functions(box), "storage.checkpoint_ms": 300} for n in ("foo", "bar")})
    bar = nodes["bar"]
    nodes["foo"].linked()
    clients, each, end = 4, 40, time.monotonic() + 12 * lib.SLOW
    c = bar.client()
    for k in range(clients):
        c.call("create", "b%d" % k)
    done, failed, again = [0] * clients, [], [0] * clients

    def until_told(at, request):
        """Send it until it is told what came of it."""
        for k in range(200):
            one = at[k % 2]
            i, = one.send(request)
            try:
                error, result = reply(one, i, 3)
            except AssertionError:
                one.again()
                error = ["timeout", "no reply"]
            if one.notes:
                one.again()
            if not error:
                return k, result
            if error[0] not in ("timeout", "node_down", "busy", "expired", "internal"):
                raise AssertionError(error)
            time.sleep(0.02)
        raise AssertionError("200 times")

    def run(me):
        at = [Client(bar.endpoint), Client(nodes["foo"].endpoint)]
        try:
            s = Session(at[0])
            while time.monotonic() < end or done[me] < each:
                b, n = "b%d" % me, done[me]
                for request in (("call", b, "t", "add", ["n", 1]), ("txn", "b0", {"then": [["put", "t%d" % me, "%d" % n], ["get", "t%d" % me]]})):
                    k, result = until_told(at, s.request(*request, timeout=box.random.randrange(5, 60), ack=max(0, s.next - 1)))
                    again[me] += k
                    if request[0] == "call":
                        eq(n + 1, result)
                    else:
                        eq(b"%d" % n, result["results"][1][0])
                done[me] += 1
        except Exception as e:  # pylint: disable=broad-except
            failed.append("%d: %r" % (me, e))
        finally:
            for x in at:
                x.close()
    threads = [threading.Thread(target=run, args=(k,)) for k in range(clients)]
    for t in threads:
        t.start()
    kills = 0
    while any(t.is_alive() for t in threads) and not failed:
        time.sleep(0.3 + box.random.random())
        if kills % 5 == 4:
            box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % bar.data, "worker", "restart", "0")
        else:
            bar.kill_worker(box.random.randrange(2))
        kills += 1
        if kills == 6:
            box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % bar.data, "upgrade", "--wait")
        until(lambda: time.monotonic() > end or all(w["state"] == "up" for w in bar.workers()), 30, "workers")
    for t in threads:
        t.join()
    eq([], failed)
    bar.up()
    c = bar.client()
    eq([b"%d" % n for n in done], [c.call("get", "b%d" % k, "n")[0] for k in range(clients)])
    print("done %d, sent again %d, kills %d" % (sum(done), sum(again), kills))
    assert sum(again) > 0, again


@test("kill")
def a_call_that_hung_is_told_so_again(box):
    """It is an outcome, too: who asks again does not hang another worker."""
    n = box.node("--set", "functions.dir=" + functions(box), "--set", "node.workers=1", "--set", "supervisor.hang_ms=500",
                 env={"PAIL_FAULT": "worker.hang_in_call=stop,worker.hang_in_call=stop#1"})
    c = n.client()
    c.call("create", "b")
    s = Session(c)
    request = s.request("call", "b", "t", "add", ["n", 1], timeout=60000)
    told = [reply(c, i) for i in c.send(request, request)]
    eq("too_long", told[0][0][0])
    eq(told[:1], told[1:])
    n.up()
    eq(1, n.workers()[0]["restarts"])
    n.kill()
    n.env.pop("PAIL_FAULT")
    n.start()
    c = n.client()
    eq(told[0], reply(c, c.send(request)[0]))
    eq(None, c.call("get", "b", "n"))
