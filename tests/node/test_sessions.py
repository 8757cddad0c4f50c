"""Sessions: a request that is sent again comes to the same, and is not done again."""
import os
import struct
import time

import msgpack
import zmq

import lib
from lib import Error, eq, test, until

FUNCTIONS = """
local M = {}
function M.add(b, k, n)
  local sum = math.tointeger(tonumber(b:get(k) or "0")) + n
  b:put(k, tostring(sum))
  return sum
end
function M.big(b, n) b:put("big", "v") return ("y"):rep(n) end
function M.read(b, k) return (b:get(k)) end
function M.fail(b) b:put("failed", "v") error("on purpose") end
function M.put(b, k) b:put(k, "v") end
function M.fill(b, n) for i = 1, n do b:put("f" .. i, "v") end end
function M.create(b) return b:create() end
function M.spin() while true do end end
return M
"""


BIG = (1 << 20) - 64  # a result that fits into limits.result with its reply's head


def functions(box):
    d = os.path.join(box.dir, "functions")
    os.makedirs(d, exist_ok=True)
    with open(d + "/t.lua", "w") as f:
        f.write(FUNCTIONS)
    return d


def node(box, *args, **kw):
    return box.node("--set", "functions.dir=" + functions(box), "--set", "node.workers=1", "--set", "functions.time_ms=300", *args, **kw)


def made(ms, rest=b"0123456789"):
    """An id that says that it was made then."""
    return struct.pack(">Q", int(ms))[2:] + rest


def now_ms():
    return time.time() * 1000


def reply(c, i, seconds=30):
    """Error and result."""
    m = c.wait(i, seconds)
    return m[2], m[3]


class Session:
    """The requests of one session, each with the next number."""

    def __init__(self, c):
        self.id, self.next = c.call("session"), 0
        eq(16, len(self.id))

    def options(self, seq, **more):
        return dict(more, session=self.id, seq=seq)

    def request(self, *request, **options):
        """As the client's send takes it."""
        if request and isinstance(request[-1], dict):
            options = dict(request[-1], **options)
            request = request[:-1]
        self.next += 1
        return request + (self.options(self.next - 1, **options),)


# What is done, each in its session, and whether it comes to an error.  What follows would make a difference if a
# request were done again: the steps between are requests without a session.
STEPS = [
    (("create", "b"), None), (("create", "b"), None),
    (("put", "b", "k", "one"), [("put", "b", "k", "two")]),
    (("put", "b", "absent", "v", {"if_absent": True}), [("delete", "b", "absent")]),
    (("put", "b", "k", "x", {"if_absent": True}), [("delete", "b", "k")]),
    (("put", "b", "kv", "x", {"if_version": 77}), None),
    (("delete", "b", "none"), [("put", "b", "none", "v")]),
    (("put", "b", "gone", "v"), None), (("delete", "b", "gone"), [("put", "b", "gone", "again")]),
    (("delete", "b", "gone", {"if_version": 1}), [("delete", "b", "gone")]),
    (("touch", "b", "untouched"), [("put", "b", "untouched", "v")]),
    (("touch", "b", "untouched", {"ttl": 3600000}), [("touch", "b", "untouched")]),
    (("put", "missing", "k", "v"), [("create", "missing")]),
    (("delete", "missing2", "k"), [("create", "missing2"), ("put", "missing2", "k", "v")]),
    (("txn", "missing3", {"then": [["put", "k", "v"]]}), [("create", "missing3")]),
    (("txn", "b", {"if": [["t", "version", "=", 0]], "then": [["put", "t", "1"], ["get", "t"], ["count"]], "else": [["get", "t"]]}),
     [("put", "b", "t", "2")]),
    (("txn", "b", {"if": [["t", "value", "=", b"1"]], "then": [["delete", "t"]], "else": [["scan", {}], ["delete", "nothing"]]}),
     [("put", "b", "t", "1")]),
    (("txn", "b", {"then": [["delete", "t"]]}), [("put", "b", "t", "3")]),
    (("call", "b", "t", "add", ["n", 5]), [("call", "b", "t", "add", ["n", 1])]),
    (("call", "b", "t", "big", [BIG]), [("delete", "b", "big")]),
    (("call", "b", "t", "read", ["k2"]), [("put", "b", "k2", "v")]),
    (("call", "b", "t", "fail", []), None),
    (("call", "made", "t", "create", []), [("drop", "made")]),
    (("call", "b", "t", "spin", []), None),
    (("call", "unmade", "t", "put", ["k"]), [("create", "unmade")]),
    (("create", "dropped"), None), (("drop", "dropped"), [("create", "dropped"), ("put", "dropped", "k", "v")]),
    (("drop", "never"), [("create", "never")]),
    (("put", "b", "last", b"z" * 70000, {"ttl": 3600000}), None),
]


class Done:
    """All of STEPS, done once; they can be sent again, and what is there must stay as it is."""

    def __init__(self, c):
        s = self.session = Session(c)
        self.requests, self.replies = [], []
        for request, between in STEPS:
            r = s.request(*request)
            i, = c.send(r)
            self.requests.append(r)
            self.replies.append(reply(c, i))
            for b in between or []:
                c.call(*b)
        self.state = state(c)
        codes = [e[0] for e, _ in self.replies if e]
        eq(["conflict", "conflict", "conflict", "no_bucket", "no_bucket", "no_bucket", "failed", "too_long", "no_bucket"], codes)

    def again(self, c):
        """One by one, and then all in a frame."""
        for request, want in zip(self.requests, self.replies):
            i, = c.send(request)
            eq((request[:3], want), (request[:3], reply(c, i)))
        for i, want in zip(c.send(*self.requests), self.replies):
            eq(want, reply(c, i))
        eq(self.state, state(c))

    def told(self, c):
        """By `outcome`."""
        for request, (error, result) in zip(self.requests, self.replies):
            eq({"state": "done", "error": error, "result": result}, c.call("outcome", request[1], self.session.id, request[-1]["seq"]))


def state(c):
    """Everything there is, versions and all."""
    return {b: c.call("scan", b, {"limit": 10000})["items"] for b in c.call("buckets")["items"]}


@test()
def a_request_that_is_sent_again_comes_to_the_same(box):
    n = node(box)
    c = n.client()
    done = Done(c)
    done.again(c)
    done.again(n.client())
    done.told(c)
    pids = {w["pid"] for w in n.workers()}
    n.kill_worker(0)
    done.again(c)
    done.told(c)
    n.client(admin=True).call("worker", "restart", 0)
    done.again(c)
    done.told(c)
    assert not pids & {w["pid"] for w in n.workers()}
    eq(0, n.stop())  # with a checkpoint
    n.start()
    done.again(n.client())
    n.kill()  # without one
    n.start()
    done.again(n.client())
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "upgrade", "--wait")
    eq(0, r.returncode)
    done.again(n.client())
    done.told(n.client())


@test("distributed")
def through_any_node(box):
    more = {"functions.dir": functions(box), "functions.time_ms": 300}
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"foo": more, "bar": more}, workers=2)
    foo, bar = nodes["foo"].linked().client(), nodes["bar"].client()
    done = Done(foo)
    done.again(bar)
    done.again(foo)
    done.told(foo)
    done.told(bar)
    s = Session(bar)  # of a node, for all
    eq({"state": "never"}, foo.call("outcome", "b", s.id, 0))
    eq("stale", bar.code("put", "b", "k", "v", s.options(0))[0])
    eq(True, foo.call("ack", "b", s.id, 5))
    eq("stale", bar.code("put", "b", "k", "v", s.options(4))[0])
    assert bar.call("put", "b", "k", "v", s.options(5)) > 0


@test("distributed")
def while_the_first_waits_the_second_is_told_the_same(box):
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"bar": {"functions.dir": functions(box)}})
    clients = [nodes[n].linked().client() if n == "foo" else nodes[n].client() for n in ("foo", "bar", "bar")]
    clients[0].call("create", "b")
    s = Session(clients[0])
    rounds = 200
    for r in range(rounds):
        request = s.request("call", "b", "t", "add", ["n", 1])
        put = s.request("put", "b", "k", "%d" % r, {"if_absent": r == 0})
        ids = [(c, c.send(*([request] * (k + 1) + [put] * 2))) for k, c in enumerate(clients)]
        told = [[reply(c, i) for i in ii] for c, ii in ids]
        eq({(None, r + 1)}, {x for t in told for x in t[:-2]})
        eq(1, len({x for t in told for x in t[-2:]}))
    eq([b"%d" % rounds], clients[1].call("get", "b", "n")[:1])


def rearranged(msgid, method, params, options):
    """The same request in other bytes: str as bin, wide integers, the options in any order."""
    def bytes_of(x):
        if isinstance(x, str):
            return msgpack.packb(x.encode())
        if isinstance(x, bytes):
            return b"\xc6" + struct.pack(">I", len(x)) + x
        if isinstance(x, bool) or x is None:
            return msgpack.packb(x)
        if isinstance(x, int):
            return b"\xcf" + struct.pack(">Q", x) if x >= 0 else b"\xd3" + struct.pack(">q", x)
        if isinstance(x, dict):
            return b"\xdf" + struct.pack(">I", len(x)) + b"".join(bytes_of(k) + bytes_of(v) for k, v in reversed(list(x.items())))
        return b"\xdd" + struct.pack(">I", len(x)) + b"".join(map(bytes_of, x))
    return b"\x94\x00" + bytes_of(msgid) + bytes_of(method) + bytes_of(list(params) + [options])


@test()
def what_is_the_same_request_and_what_is_not(box):
    c = node(box).client()
    c.call("create", "b")
    s = Session(c)
    requests = [s.request("put", "b", "k", "v", {"ttl": 3600000, "if_version": 0}), s.request("create", "b2"), s.request("delete", "b", "no"),
                s.request("txn", "b", {"if": [["k", "version", ">", 0]], "then": [["put", "k2", "v", {"ttl": 3600000}], ["scan", {"limit": 5, "prefix": "k"}]]}),
                s.request("call", "b", "t", "add", ["n", 1]), s.request("touch", "b", "k", {"ttl": 7200000})]
    first = [reply(c, i) for i in c.send(*requests)]
    for k, (r, want) in enumerate(zip(requests, first)):
        for options in (dict(r[-1], timeout=9999), dict(r[-1], ack=0), {name: r[-1][name] for name in sorted(r[-1])}):
            i, = c.send(r[:-1] + (options,))
            eq(want, reply(c, i))
        c.socket.send(rearranged(7000 + k, r[0], r[1:-1], r[-1]))
        eq(want, reply(c, 7000 + k))
    before = state(c)
    put, txn, call = requests[0], requests[3], requests[4]
    for other in (put[:3] + ("w",) + put[4:], ("put", "b", "kk") + put[3:], ("delete", "b", "k", s.options(0)), ("put", "b", "k", "v", s.options(0)),
                  put[:4] + (dict(put[4], ttl=3600001),), put[:4] + (dict(put[4], if_version=1),), ("create", "b", s.options(0)),
                  txn[:2] + (dict(txn[2], then=[["delete", "k2"]]),), txn[:2] + (dict(txn[2], **{"else": []}),), call[:4] + (["n", 2], call[5]),
                  call[:4] + (["n", 1.0], call[5]), ("drop", "b", s.options(2))):
        code, text = c.code(*other)
        eq((other[:3], "bad_argument"), (other[:3], code))
        assert 'option "seq"' in text and text.startswith(other[0]), text
    eq(before, state(c))
    eq(first[0], reply(c, c.send(put)[0]))  # the first one is still what it was


@test()
def what_is_acknowledged_is_stale(box):
    n = node(box)
    c = n.client()
    c.call("create", "b")
    s = Session(c)
    versions = [c.call(*s.request("put", "b", "k%d" % i, "v")) for i in range(6)]
    eq(versions[2], c.call("put", "b", "k2", "v", s.options(2)))
    eq(versions[3], c.call("put", "b", "k3", "v", s.options(3, ack=3)))  # a resend's counts too
    for i in (0, 1, 2):
        eq("stale", c.code("put", "b", "k%d" % i, "v", s.options(i))[0])
        eq("stale", c.code("outcome", "b", s.id, i)[0])
    eq(versions[3], c.call("put", "b", "k3", "v", s.options(3, ack=0)))  # it does not go back
    eq("stale", c.code("put", "b", "new", "v", s.options(7, ack=8))[0])  # by its own
    eq(None, c.call("get", "b", "new"))
    eq("stale", c.code("put", "b", "k5", "v", s.options(5))[0])
    eq(True, c.call("ack", "b", s.id, 20))
    eq(True, c.call("ack", "b", s.id, 10))
    eq("stale", c.code("delete", "b", "k1", s.options(19))[0])
    eq({"state": "never"}, c.call("outcome", "b", s.id, 20))
    # A transaction that reads is a read: nothing is kept of it, but what it acknowledges counts.
    read = ("txn", "b", {"then": [["get", "k1"]]})
    for ack in (None, 30):
        options = s.options(25) if ack is None else s.options(25, ack=ack)
        eq([[b"v", versions[1]]], c.call(read[0], read[1], dict(read[2], **options))["results"])
    eq("stale", c.code("delete", "b", "k1", s.options(29))[0])
    assert c.call("put", "b", "k1", "w", s.options(30, ack=30)) > versions[5]
    # One of another bucket's partition knows nothing of it.
    others = ["b%d" % i for i in range(20)]
    for b in others:
        c.call("create", b)
    told = [c.call("outcome", b, s.id, 3)["state"] for b in others]
    assert "never" in told, told
    # A restart keeps what was acknowledged with a request that was logged.
    n.kill()
    n.start()
    c = n.client()
    eq("stale", c.code("delete", "b", "k1", s.options(29))[0])


@test()
def what_is_ruled_out_never_happens(box):
    n = node(box)
    c = n.client()
    c.call("create", "b")
    s = Session(c)
    v = c.call("put", "b", "k", "v", s.options(4))
    eq({"state": "done", "error": None, "result": v}, c.call("outcome", "b", s.id, 4))
    for _ in range(2):
        eq({"state": "never"}, c.call("outcome", "b", s.id, 5))
    eq("stale", c.code("put", "b", "k5", "v", s.options(5))[0])
    c.send(("outcome", "b", s.id, 6), ("put", "b", "k6", "v", s.options(6)), ("outcome", "b", s.id, 6))
    eq({"state": "never"}, c.result(c.next - 2))
    eq("stale", reply(c, c.next - 1)[0][0])
    eq({"state": "never"}, c.result(c.next))
    for stop in (n.kill, n.stop):
        stop()
        n.start()
        c = n.client()
        eq({"state": "never"}, c.call("outcome", "b", s.id, 5))
        eq("stale", c.code("put", "b", "k6", "v", s.options(6))[0])
        eq({"state": "done", "error": None, "result": v}, c.call("outcome", "b", s.id, 4))
    eq(1, c.call("count", "b"))
    assert c.call("put", "b", "k7", "v", s.options(7)) > v


@test()
def what_has_not_run_is_not_kept(box):
    n = node(box, "--set", "limits.value=64K", "--set", "limits.buckets=3")
    c = n.client()
    for b in ("b", "b2", "b3"):
        c.call("create", b)
    s = Session(c)
    for request, code in ((("create", "b4"), "full"), (("call", "b", "t", "nope", []), "no_function"), (("call", "b", "t", "fill", [4097]), "too_large"),
                          (("put", "b", "k", b"x" * 65537), "too_large"), (("put", "b", "k", 5), "bad_argument"),
                          (("call", "b", "t", "add", [1 << 63, 1]), "bad_argument"), (("call", "b", "t", "put", [""]), "bad_argument")):
        r = s.request(*request)
        # alone, and behind a write that it must wait for, if it has looked
        eq((r[:4], code), (r[:4], c.code(*r)[0]))
        eq([None, code], [m and m[0] for m, _ in (reply(c, i) for i in c.send(("put", "b", "f1", "v"), r))])
        # so another one can have the number
        assert c.call("put", "b", "k%d" % s.next, "v", s.options(s.next - 1)) > 0
    assert c.call("drop", "b3") and not n.workers()[0]["restarts"]
    eq(True, c.call("create", "b4", s.options(100)))


@test()
def who_has_no_session_is_told(box):
    n = node(box, "--set", "limits.session_ms=1500")
    c = n.client()
    c.call("create", "b")
    for bad in (b"", b"x" * 15, b"x" * 17, 5, None):
        eq("bad_argument", c.code("put", "b", "k", "v", {"session": bad, "seq": 0})[0])
        eq("bad_argument", c.code("outcome", "b", bad, 0)[0])
    for options in ({"session": made(now_ms())}, {"seq": 0}, {"ack": 0}, {"session": made(now_ms()), "seq": -1}, {"seq": 0, "session": made(now_ms()), "ack": -1}):
        eq("bad_argument", c.code("put", "b", "k", "v", options)[0])
    for ms in (0, now_ms() - 3000, now_ms() + 70000, (1 << 48) - 1):
        for request in (("put", "b", "k", "v", {"session": made(ms), "seq": 0}), ("outcome", "b", made(ms), 0), ("ack", "b", made(ms), 1)):
            code, text = c.code(*request)
            eq((ms, "no_session"), (ms, code))
            assert text.startswith(request[0] + ": "), text
    eq(None, c.call("get", "b", "k"))
    # One that is used lives on; one that is not is forgotten.
    used, idle = Session(c), Session(c)
    first = [c.call(*x.request("put", "b", "k", "v")) for x in (used, idle)]
    late = Session(c)  # it begins when older ones have been forgotten

    def known():
        c.call("ack", "b", used.id, 0)
        return n.workers()[0]["sessions"]
    until(lambda: known() == 2, 1, "both sessions to be known")
    until(lambda: known() == 1, 10, "the idle session to be forgotten")
    eq(first[0], c.call("put", "b", "k", "v", used.options(0)))
    eq("no_session", c.code("put", "b", "k", "v", idle.options(0))[0])
    eq("no_session", c.code("put", "b", "k", "v", late.options(0))[0])  # it has grown old
    n.kill()
    n.start()
    c = n.client()
    eq("no_session", c.code("put", "b", "k", "v", late.options(0))[0])
    eq(first[0], c.call("put", "b", "k", "v", used.options(0)))
    # A clock may be ahead.
    s = made(now_ms() + 30000)
    v = c.call("put", "b", "k", "v", {"session": s, "seq": 0})
    eq(v, c.call("put", "b", "k", "v", {"session": s, "seq": 0}))


@test()
def outcomes_have_bounds(box):
    n = node(box, "--set", "limits.outcomes=16M")
    c = n.client()
    c.call("create", "b")
    s = Session(c)
    for _ in range(4):
        for i in c.send(*(s.request("put", "b", "k%d" % j, "v") for j in range(1024))):
            c.result(i)
    eq("busy", c.code("put", "b", "k", "v", s.options(4096))[0])
    eq("busy", c.code("outcome", "b", s.id, 4096)[0])
    assert c.call("put", "b", "k0", "v", s.options(0)) > 0  # what is kept is kept
    other = Session(c)
    assert c.call(*other.request("put", "b", "k", "v")) > 0
    eq("busy", c.code("put", "b", "k", "v", s.options(4096, ack=0))[0])
    v = c.call("put", "b", "k", "v", s.options(4096, ack=1))  # an ack is taken first
    eq("busy", c.code("put", "b", "k", "v", s.options(4097))[0])
    eq(v, c.call("put", "b", "k", "v", s.options(4096)))
    eq(True, c.call("ack", "b", s.id, 4097))
    assert c.call("put", "b", "k", "v", s.options(4097)) > v
    # and of all sessions together
    big = Session(c)
    replies = [reply(c, c.send(big.request("call", "b", "t", "big", [BIG]))[0])[0] for _ in range(20)]
    codes = [r and r[0] for r in replies]
    assert 10 < codes.count(None) < 17 and set(codes) == {None, "busy"}, codes
    eq("busy", c.code(*other.request("call", "b", "t", "big", [BIG]))[0])
    eq(True, c.call("ack", "b", big.id, 100))
    other.next -= 1
    eq(BIG, len(c.call(*other.request("call", "b", "t", "big", [BIG]))))


@test()
def outcomes_outlive_their_bucket(box):
    n = node(box)
    c = n.client()
    s = Session(c)
    requests = [s.request(*r) for r in (("create", "b"), ("put", "b", "k", "v"), ("call", "b", "t", "add", ["n", 1]), ("delete", "b", "k"),
                                        ("put", "b", "k", "x", {"if_version": 9}), ("drop", "b"))]
    first = [reply(c, i) for i in c.send(*requests)]
    eq([None] * 4 + ["conflict", None], [e and e[0] for e, _ in first])
    for again in (None, n.kill, None, n.stop, None):
        if again:
            again()
            n.start()
            c = n.client()
        eq(first, [reply(c, i) for i in c.send(*requests)])
        eq([], c.call("buckets")["items"])
    c.call("create", "b")
    eq(first, [reply(c, i) for i in c.send(*requests)])
    eq(0, c.call("count", "b"))


@test()
def a_result_that_is_one_large_value_is_kept(box):
    n = node(box, "--set", "functions.time_ms=1000")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "large", b"z" * (8 << 20))
    s = Session(c)
    request = s.request("call", "b", "t", "read", ["large"])
    eq(b"z" * (8 << 20), c.call(*request))
    c.call("delete", "b", "large")
    for _ in range(2):
        eq(b"z" * (8 << 20), c.call(*request))
        eq(b"z" * (8 << 20), c.call("outcome", "b", s.id, 0)["result"])
        n.kill_worker(0)
        n.up()


@test()
def what_cannot_be_logged_has_not_run(box):
    """A refusal that must be logged, in a session and without one, when there is no room: busy, and the worker lives."""
    n = node(box, env={"PAIL_FAULT": "worker.outcome=EBUSY"})
    c = n.client()
    c.call("create", "b")
    s = Session(c)
    eq("busy", c.code(*s.request("put", "b", "k", "v", {"if_version": 3}))[0])
    eq("conflict", c.code("put", "b", "k", "v", s.options(0, if_version=3))[0])
    eq("conflict", c.code("put", "b", "k", "v", s.options(0, if_version=3))[0])
    eq(0, n.workers()[0]["restarts"])


@test()
def features_and_settings(box):
    n = box.node("--set", "limits.session_ms=5000", "--set", "limits.outcomes=1M")
    assert "sessions" in n.client().call("hello", {})["features"]
    a, b = n.client().call("session"), n.client().call("session")
    assert a != b and abs(struct.unpack(">Q", b"\0\0" + a[:6])[0] - now_ms()) < 5000
    r = box.run(lib.BUILD + "/paild", "--dev", "--set", "limits.session_ms=10", "--check-config")
    assert r.returncode == 78 and b"limits.session_ms" in r.stderr, r
