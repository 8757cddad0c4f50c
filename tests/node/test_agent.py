"""pail-agent against an etcd that misbehaves, and against Debian's own that is killed, stopped and set back."""
import os
import signal
import subprocess
import time

import lib
from agent import FLOOR, FOLLOW, LIVE, OUTCOME, UNKNOWN, VALUE, Agent
from etcd import Etcd, b64
from fake_etcd import FakeEtcd
from lib import eq, test, until

KEY = "/pail/demo/part/0000"
VIEW = {"epoch": 1, "primary": [1, "00ff"], "isr": [[1, "00ff"], [-2, ""]], "released": False, "by": None}

# Faults of a write, and what may be told of one whose comparison holds.
DONE, NOTHING = {"done"}, {"unknown"}
FAULTS = {"": DONE, "late": DONE, "slow": DONE, "twice": DONE, "close": DONE, "lose": NOTHING, "later": NOTHING,
          "refuse": NOTHING, "half": NOTHING, "error": NOTHING, "error_done": NOTHING, "garbage": NOTHING,
          "lie": NOTHING, "deny": NOTHING, "hang": NOTHING}


def told(a):
    return "unknown" if a.kind == UNKNOWN else "done" if a.done else "not done"


@test("etcd")
def a_value_is_read_written_and_compared(box):
    e = Etcd(box)
    a = Agent(box, e.endpoints)
    none = a.wait(a.get(KEY))
    eq((VALUE, 0, None), (none.kind, none.mod_revision, none.value))
    first = a.wait(a.cas(KEY, 0, None, VIEW))
    eq((True, VIEW), (first.done, first.value))
    eq(first.revision, first.mod_revision)
    eq(b'{"by":null,"epoch":1,"isr":[[1,"00ff"],[-2,""]],"primary":[1,"00ff"],"released":false}', e.get(KEY).value)
    again = a.wait(a.cas(KEY, 0, None, {"epoch": 9}))
    eq((False, first.mod_revision, VIEW), (again.done, again.mod_revision, again.value))
    got = a.wait(a.get(KEY))
    eq((first.mod_revision, VIEW), (got.mod_revision, got.value))
    second = a.wait(a.cas(KEY, got.mod_revision, got.value, {"epoch": 2}))
    eq(True, second.done)
    eq(False, a.wait(a.cas(KEY, got.mod_revision, got.value, {"epoch": 3})).done)
    eq(b'{"epoch":2}', e.get(KEY).value)
    eq(False, a.wait(a.cas("/pail/demo/none", 5, VIEW, {})).done)
    eq("up", a.state())


@test("etcd")
def what_was_written_by_hand_is_compared_by_what_it_means(box):
    e = Etcd(box)
    a = Agent(box, e.endpoints)
    at = e.put(KEY, b' { "z": 1,\n "a": [1, 2.5, "\\u00e9"] } ')
    got = a.wait(a.get(KEY))
    eq({"z": 1, "a": [1, 2.5, "é"]}, got.value)
    other = a.wait(a.cas(KEY, at, {"z": 2, "a": [1, 2.5, "é"]}, {"n": 0}))
    eq((False, at), (other.done, other.mod_revision))
    eq(True, a.wait(a.cas(KEY, at, got.value, {"n": 1})).done)
    eq(b'{"n":1}', e.get(KEY).value)
    for raw in (b"no json", b'{"a":1,"a":2}', b"[" * 17 + b"]" * 17, b"18446744073709551616", b"", b'"\xff"'):
        at = e.put(KEY, raw)
        got = a.wait(a.get(KEY))
        eq((at, raw), (got.mod_revision, got.value))
        eq(False, a.wait(a.cas(KEY, at, VIEW, {"n": 2})).done)
        eq(raw, e.get(KEY).value)
        eq(True, a.wait(a.cas(KEY, at, got.value, {"n": 3})).done)
    at = e.put(KEY, b"x" * 60000)
    got = a.wait(a.get(KEY))
    eq((at, b"x" * 1024), (got.mod_revision, got.value))
    eq(True, a.wait(a.cas(KEY, at, None, {"n": 4})).done)  # only the revision is compared
    at = e.put(KEY, b"null")
    eq((at, None), (lambda g: (g.mod_revision, g.value))(a.wait(a.get(KEY))))


@test("etcd")
def each_fault_is_told_as_what_is_known(box):
    f = FakeEtcd(box)
    for fault, may in FAULTS.items():
        for warm in (True, False):  # on a connection that was used before, and on a new one
            a = Agent(box, f.endpoints)
            key = "%s/%s-%d" % (KEY, fault, warm)
            if warm:
                eq(0, a.wait(a.get(key)).mod_revision)
            written, asked = f.written, len(f.requests)
            f.plan = [fault] if fault else []
            r = a.wait(a.cas(key, 0, None, {"by": key}))
            assert told(r) in may, (fault, warm, r)
            if fault == "later":
                until(lambda: f.value(key)[0], 5, "what is done later")
            there = f.value(key)[0] == b'{"by":"%s"}' % key.encode()
            if told(r) == "done":
                assert there, fault
            eq(1, len([p for p, _ in f.requests[asked:] if p == "/v3/kv/txn"]))
            eq(there, f.written == written + 1)
            f.release()
    # and one that does not hold
    at = f.put(KEY, b'{"n":0}')
    for fault in FAULTS:
        if fault in ("lie", "deny"):
            continue  # it would not be found out: see whose word is taken, in the agent's headers
        a.wait(a.get(KEY))
        f.plan = [fault] if fault else []
        r = a.wait(a.cas(KEY, at + 1000, VIEW, {"n": 1}))
        assert told(r) in {"not done" if FAULTS[fault] == DONE else "unknown"}, (fault, r)
        if fault == "later":
            time.sleep(f.late_s)
        eq(b'{"n":0}', f.value(KEY)[0])
        f.release()


@test("etcd")
def reads_are_asked_again_at_the_next_endpoint(box):
    good, bad = FakeEtcd(box), FakeEtcd(box)
    for f in (good, bad):
        f.put(KEY, b'{"n":1}')
    a = Agent(box, bad.endpoints + "," + good.endpoints)
    for fault in ("refuse", "lose", "half", "error", "garbage", "hang"):
        while not bad.plan:
            # the one that answered last is asked first: make that the bad one
            bad.plan, good.plan = [], ["get:error"]
            a.wait(a.get(KEY))
            a.wait(a.get(KEY))
            good.plan, bad.plan = [], ["get:" + fault]
        r = a.wait(a.get(KEY))
        eq({"n": 1}, r.value)
        until(lambda: not bad.plan or a.wait(a.get(KEY)).value, 5, fault)
        eq({"n": 1}, a.wait(a.get(KEY)).value)
    bad.stop()
    good.stop()
    r = a.wait(a.get(KEY))
    eq(UNKNOWN, r.kind)
    eq("away", a.state())
    # nobody was there to take it: it was not done, and it is told as not known, since that is all that is promised
    eq(UNKNOWN, a.wait(a.cas(KEY, 0, None, VIEW)).kind)
    good.again()
    eq({"n": 1}, a.wait(a.get(KEY)).value)
    eq("up", a.state())
    eq(["up", "away", "up"], [s for s, _ in a.states])
    eq(0, good.written + bad.written)


@test("etcd")
def a_write_goes_to_the_next_endpoint_only_if_the_first_was_not_there(box):
    f, [port] = FakeEtcd(box), box.ports(1)
    a = Agent(box, "http://127.0.0.1:%d,%s" % (port, f.endpoints))
    eq(True, a.wait(a.cas(KEY, 0, None, VIEW)).done)
    eq(1, f.written)


@test("etcd")
def who_goes_back_in_time_is_found_out_for_good(box):
    f = FakeEtcd(box)
    f.put(KEY, b'{"n":1}')
    f.keep()
    a = Agent(box, f.endpoints)
    r = a.wait(a.cas(KEY, 2, {"n": 1}, {"n": 2}))
    eq(True, r.done)
    f.restore()
    r = a.wait(a.cas(KEY, 2, {"n": 1}, {"n": 3}))  # done, but as revision 3 once more
    eq(UNKNOWN, r.kind)
    f.restore()
    eq(UNKNOWN, a.wait(a.cas(KEY, 2, {"n": 1}, {"n": 4})).kind)  # until a read shows that it was no mistake
    eq((b'{"n":1}', 2), f.value(KEY))
    eq(UNKNOWN, a.wait(a.get(KEY)).kind)
    eq("set back", a.state())
    assert "set back" in r.why, r.why
    for _ in range(3):
        f.put(KEY, b'{"n":7}')  # that it overtakes what was seen does not help
    at, written = f.value(KEY)[1], f.written
    for r in (a.cas(KEY, at, None, VIEW), a.get(KEY), a.list("/pail/")):
        eq(UNKNOWN, a.wait(r).kind)
    eq(written, f.written)
    # what others have seen counts, before and after it is begun
    b = Agent(box, f.endpoints, floor=f.revision)
    eq({"n": 7}, b.wait(b.get(KEY)).value)
    b.send([FLOOR, f.revision + 1])
    eq(UNKNOWN, b.wait(b.get(KEY)).kind)
    eq("set back", b.state())
    c = Agent(box, f.endpoints, floor=f.revision + 1)
    eq(UNKNOWN, c.wait(c.cas(KEY, at, None, VIEW)).kind)
    f.revision -= 1
    eq(UNKNOWN, c.wait(c.list("/pail/demo/")).kind)
    eq("set back", c.state())


@test("etcd")
def an_answer_of_another_request_is_not_believed(box):
    """As from a connection on which somebody has answered twice."""
    f = FakeEtcd(box)
    a = Agent(box, f.endpoints)
    eq(True, a.wait(a.cas(KEY, 0, None, {"n": 1})).done)
    old, apply = f.apply("/v3/kv/range", {"key": b64(KEY)}), f.apply
    eq(True, a.wait(a.cas(KEY, 2, {"n": 1}, {"n": 2})).done)
    once = [old]
    f.apply = lambda *args, **kw: once.pop() if once else apply(*args, **kw)
    eq({"n": 2}, a.wait(a.get(KEY)).value)
    eq([], once)
    once.append(old)
    eq(UNKNOWN, a.wait(a.cas(KEY, 3, {"n": 2}, {"n": 3})).kind)
    eq(UNKNOWN, a.wait(a.cas(KEY, 3, {"n": 2}, {"n": 3})).kind)
    eq({"n": 2}, a.wait(a.get(KEY)).value)
    eq(True, a.wait(a.cas(KEY, 3, {"n": 2}, {"n": 3})).done)
    eq(["up"], [s for s, _ in a.states])


@test("etcd")
def answers_that_overtake_each_other_are_no_journey_in_time(box):
    f = FakeEtcd(box)
    f.late_s = 0.5
    a = Agent(box, f.endpoints)
    f.plan = ["get:slow"]
    slow = a.get(KEY)
    until(lambda: not f.plan, 5, "the slow one to be there")
    for i in range(5):
        eq(True, a.wait(a.cas("%s%d" % (KEY, i), 0, None, VIEW)).done)
    assert slow not in a.answers
    r = a.wait(slow)
    eq((VALUE, 1), (r.kind, r.revision))
    eq("up", a.state())
    eq(6, a.wait(a.get(KEY)).revision)


@test("etcd")
def another_cluster_is_not_listened_to(box):
    f, other = FakeEtcd(box), FakeEtcd(box, cluster=(1 << 64) - 2)
    other.revision = 1000
    other.items[KEY] = (b'{"n":9}', 900)
    a = Agent(box, f.endpoints + "," + other.endpoints)
    eq(True, a.wait(a.cas(KEY, 0, None, VIEW)).done)
    eq(4711, a.cluster)
    f.cluster = 5
    r = a.wait(a.cas(KEY, 2, VIEW, {"n": 1}))
    eq(UNKNOWN, r.kind)
    eq("wrong cluster", a.state())
    for i in range(4):
        r = a.wait(a.get(KEY))
        eq(UNKNOWN, r.kind)
    f.cluster = 4711
    until(lambda: a.wait(a.get(KEY)).kind == VALUE, 5, "the right one")
    eq("up", a.state())
    # one that was told by the node counts from the first answer on
    b = Agent(box, f.endpoints, cluster=(1 << 64) - 2)
    eq(UNKNOWN, b.wait(b.get(KEY)).kind)
    eq("wrong cluster", b.state())
    b = Agent(box, f.endpoints + "," + other.endpoints, cluster=(1 << 64) - 2)
    eq({"n": 9}, b.wait(b.get(KEY)).value)


@test("etcd")
def one_that_hangs_holds_up_nobody(box):
    f = FakeEtcd(box)
    f.put(KEY, b'{"n":1}')
    a = Agent(box, f.endpoints)
    f.plan = ["get:hang"] * 3
    hanging = [a.get(KEY) for _ in range(3)]
    until(lambda: not f.plan, 5, "three to hang")
    begin = time.monotonic()
    for _ in range(20):
        eq({"n": 1}, a.wait(a.get(KEY)).value)
    assert time.monotonic() - begin < 1 * lib.SLOW
    for i in hanging:
        eq(UNKNOWN, a.wait(i).kind)
    assert time.monotonic() - begin > 1.5


@test("etcd")
def more_than_sixty_four_at_a_time_are_refused(box):
    f = FakeEtcd(box)
    a = Agent(box, f.endpoints)
    f.plan = ["get:hang"] * 64
    ids = [a.get(KEY) for _ in range(64)]
    r = a.wait(a.cas(KEY, 0, None, VIEW), 1)
    eq((UNKNOWN, "busy"), (r.kind, r.why))
    for i in ids:
        eq(UNKNOWN, a.wait(i).kind)
    eq(True, a.wait(a.cas(KEY, 0, None, VIEW)).done)
    eq(1, f.written)


@test("etcd")
def tokens_that_end_are_asked_for_again(box):
    f = FakeEtcd(box)
    f.password = "s3cret"
    file = os.path.join(box.dir, "password")
    with open(file, "w") as out:
        out.write("s3cret\n")
    a = Agent(box, f.endpoints, user="pail", password=file)
    eq(True, a.wait(a.cas(KEY, 0, None, VIEW)).done)
    f.tokens.clear()
    f.refusals_s = [0] + [0.3] * 20  # most hear of it when there is a new one already
    ids = [a.get(KEY) for _ in range(10)] + [a.cas(KEY, 2, VIEW, {"n": 1})]
    for i in ids[:-1]:
        eq(VALUE, a.wait(i).kind)
    eq(True, a.wait(ids[-1]).done)
    eq(2, f.written)
    eq(2, len([p for p, _ in f.requests if p == "/v3/auth/authenticate"]))
    f.password = "another"
    f.tokens.clear()
    eq(UNKNOWN, a.wait(a.get(KEY)).kind)
    eq("away", a.state())
    assert "authentication failed" in a.states[-1][1], a.states
    b = Agent(box, f.endpoints, user="pail", password=file + ".none")
    eq(2, b.process.wait(10 * lib.SLOW))
    assert "password" in b.output(), b.output()
    for wrong in ("127.0.0.1:2379", "ftp://a:1", "http://a:1/v3", "http://u@a:1"):
        b = Agent(box, wrong)
        eq(2, b.process.wait(10 * lib.SLOW))


@test("etcd")
def changes_are_told_once_and_whole(box):
    e = Etcd(box)
    for i in range(300):
        e.put("/pail/demo/part/%04x" % i, b'{"n":%d,"text":"%s"}' % (i, b"x" * 900))
    e.put("/pail/demon", b"1")
    a = Agent(box, e.endpoints)
    a.send([FOLLOW, "/pail/demo/", 0])
    a.until(lambda: any(not m for m, *_ in a.changes), 10, "the first change")
    assert len(a.changes) > 3 and [c[0] for c in a.changes].index(False) >= 3
    seen = {}
    for c in a.changes:
        seen.update(c[3])
    eq(300, len(seen))
    eq(299, seen["/pail/demo/part/012b"][1]["n"])
    a.changes.clear()
    at = e.put("/pail/demo/part/0007", b'{"n":77}')
    a.until(lambda: any(c[1] >= at for c in a.changes), 2, "the change")
    eq([{"/pail/demo/part/0007": (at, {"n": 77})}], [c[3] for c in a.changes if c[3]])
    a.changes.clear()
    a.until(lambda: len(a.changes) >= 4, 5, "more of them")
    eq([{}] * 4, [c[3] for c in a.changes[:4]])  # that nothing has changed is told as well
    e.kill()
    a.until(lambda: a.state() == "away", 5, "that it is away")
    e.start()
    at = e.put("/pail/demo/part/0008", b'{"n":8}')
    a.until(lambda: a.changes and a.changes[-1][1] >= at, 10, "changes again")
    eq([{"/pail/demo/part/0008": (at, {"n": 8})}], [c[3] for c in a.changes if c[3]])
    eq(300, len(a.wait(a.list("/pail/demo/")).items))
    eq({"/pail/demo/part/0008"}, set(a.wait(a.list("/pail/demo/", at - 1)).items))


@test("etcd")
def a_key_lives_as_long_as_its_agent(box):
    e = Etcd(box)
    a = Agent(box, e.endpoints)
    a.send([LIVE, "/pail/demo/live/a", {"since": 1}])
    until(lambda: e.get("/pail/demo/live/a").value, 5, "the key")
    at = e.get("/pail/demo/live/a")
    ttl = e.post("/v3/lease/timetolive", {"ID": str(at.lease)})
    eq("10", ttl["grantedTTL"])
    a.send([LIVE, "/pail/demo/live/a", {"since": 2}])
    until(lambda: e.get("/pail/demo/live/a").value == b'{"since":2}', 5, "the new value")
    eq(at.lease, e.get("/pail/demo/live/a").lease)
    until(lambda: int(e.post("/v3/lease/timetolive", {"ID": str(at.lease)})["TTL"]) <= 7, 8, "it to run down")
    until(lambda: int(e.post("/v3/lease/timetolive", {"ID": str(at.lease)})["TTL"]) >= 8, 8, "it to be kept")
    e.post("/v3/lease/revoke", {"ID": str(at.lease)})
    eq(None, e.get("/pail/demo/live/a").value)
    until(lambda: e.get("/pail/demo/live/a").value == b'{"since":2}', 8, "the key with another lease")
    a.kill()
    until(lambda: not e.get("/pail/demo/live/a").value, 20, "the key to end")


@test("etcd")
def several_keys_are_made_at_once_if_the_guards_hold(box):
    e = Etcd(box)
    a, b = Agent(box, e.endpoints), Agent(box, e.endpoints)
    config, maker = "/pail/demo/config", "/pail/demo/creating"
    parts = lambda who, k: {"/pail/demo/part/%04x" % i: {"by": who} for i in range(100 * k, 100 * k + 100)}
    first = a.wait(a.cas(maker, 0, None, {"by": "a"}))
    eq(True, a.wait(a.create({maker: first.mod_revision, config: 0}, parts("a", 0))).done)
    # another takes it over; nothing of the first one comes between any more
    second = b.wait(b.cas(maker, first.mod_revision, None, {"by": "b"}))
    for k in (0, 1):
        eq(True, b.wait(b.create({maker: second.mod_revision, config: 0}, parts("b", k))).done)
    late = a.wait(a.create({config: 0, maker: first.mod_revision}, parts("a", 1)))
    eq((False, second.mod_revision, {"by": "b"}), (late.done, late.mod_revision, late.value))
    last = b.wait(b.create({maker: second.mod_revision, config: 0}, {config: {"id": "b"}}))
    eq((True, {"id": "b"}), (last.done, last.value))
    eq({b'{"by":"b"}'}, {i.value for i in e.list("/pail/demo/part/")})
    late = b.wait(b.create({maker: second.mod_revision, config: 0}, parts("c", 0)))
    eq((False, {"id": "b"}), (late.done, late.value))


def certificates(box):
    """An authority, and a certificate of 127.0.0.1 by it: (ca, cert, key). No common name: etcd refuses to log in a user over it then."""
    path = lambda name: os.path.join(box.dir, name)
    run = lambda *argv: subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=60)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for who in ("ca", "other"):
        run("req", "-x509", *curve, "-subj", "/CN=" + who, "-days", "2", "-keyout", path(who + ".key"), "-out", path(who + ".pem"))
    run("req", *curve, "-subj", "/O=etcd", "-keyout", path("etcd.key"), "-out", path("etcd.csr"))
    with open(path("ext"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("x509", "-req", "-in", path("etcd.csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial",
        "-days", "2", "-extfile", path("ext"), "-out", path("etcd.pem"))
    return path("ca.pem"), path("etcd.pem"), path("etcd.key")


@test("etcd")
def over_tls_only_whom_the_authority_knows_is_asked(box):
    cert = certificates(box)
    e = Etcd(box, cert=cert)
    a = Agent(box, e.endpoints, ca=cert[0])
    eq(True, a.wait(a.cas(KEY, 0, None, VIEW)).done)
    eq(VIEW, a.wait(a.get(KEY)).value)
    for ca in (os.path.join(box.dir, "other.pem"), ""):
        b = Agent(box, e.endpoints, ca=ca)
        eq(UNKNOWN, b.wait(b.get(KEY)).kind)
        eq("away", b.state())
    b = Agent(box, e.endpoints.replace("127.0.0.1", "localhost"), ca=cert[0])
    eq(UNKNOWN, b.wait(b.get(KEY)).kind)
    b = Agent(box, e.endpoints, ca=os.path.join(box.dir, "none.pem"))
    eq(2, b.process.wait(10 * lib.SLOW))
    e.stop()
    e = Etcd(box, cert=cert, flags=["--client-cert-auth", "--trusted-ca-file", cert[0]], start=False)
    e.start(0, wait=False)
    b = Agent(box, e.endpoints, ca=cert[0])
    c = Agent(box, e.endpoints, ca=cert[0], cert=cert[1], cert_key=cert[2])
    until(lambda: c.wait(c.get(KEY)).kind == VALUE, 20, "the one with a certificate to be let in")
    eq(UNKNOWN, b.wait(b.get(KEY)).kind)


# ---- histories ----

class Register:
    """Clients of several agents that compare and set a few keys, each time to a value of its own."""

    def __init__(self, box, agents, keys=3):
        self.box, self.agents, self.count = box, agents, 0
        self.keys = ["/pail/demo/part/%04x" % i for i in range(keys)]
        self.known = {k: (0, None) for k in self.keys}  # what somebody saw last
        self.waiting = {}  # (agent, id): (key, value) or key of a get
        self.told = {"done": [], "not done": [], "unknown": []}

    def step(self):
        for a in self.agents:
            while sum(1 for w in self.waiting if w[0] is a) < 4:
                key = self.box.random.choice(self.keys)
                if self.box.random.random() < 0.3:
                    self.waiting[a, a.get(key)] = key
                    continue
                self.count += 1
                mod, old = self.known[key]
                value = {"n": self.count}
                self.waiting[a, a.cas(key, mod, old, value)] = key, value
            a.take(0.002)
        for (a, i), what in list(self.waiting.items()):
            if i in a.answers:
                del self.waiting[a, i]
                self.answered(a.answers.pop(i), what)

    def answered(self, r, what):
        key = what if isinstance(what, str) else what[0]
        if r.kind in (VALUE, OUTCOME) and r.mod_revision >= self.known[key][0]:
            self.known[key] = r.mod_revision, r.value
        if what is not key:
            self.told[told(r)].append((key, what[1]["n"], r.mod_revision))

    def finish(self):
        end = time.monotonic() + 20 * lib.SLOW
        while self.waiting and time.monotonic() < end:
            for (a, i), what in list(self.waiting.items()):
                a.take(0.01)
                if i in a.answers:
                    del self.waiting[a, i]
                    self.answered(a.answers.pop(i), what)
        eq({}, self.waiting)

    def check(self, history):
        """history: {(key, n): mod_revision} of all that ever was."""
        for key, n, mod in self.told["done"]:
            eq(mod, history.get((key, n)))
        for key, n, mod in self.told["not done"]:
            assert (key, n) not in history, "%s: %d was told not done, and is at %d" % (key, n, history[key, n])
        print("# told: %s; of the unknown %d had been done" % (
            {k: len(v) for k, v in self.told.items()}, sum((k, n) in history for k, n, _ in self.told["unknown"])))


def history_of(e, keys):
    """All versions that real etcd has kept, from the newest back."""
    import base64
    import json
    out = {}
    for key in keys:
        at = e.get(key).mod_revision
        while at:
            kv = e.post("/v3/kv/range", {"key": b64(key), "revision": str(at)})["kvs"][0]
            at = int(kv["mod_revision"])
            out[key, json.loads(base64.b64decode(kv["value"]))["n"]] = at
            at -= 1
            if at and not e.post("/v3/kv/range", {"key": b64(key), "revision": str(at)}).get("kvs"):
                break
    return out


def run_for(register, seconds, act, least=0):
    """And on until so many are told done, however slow the machine is now."""
    end, nxt = time.monotonic() + seconds, time.monotonic() + 0.3
    last = end + 40
    while time.monotonic() < end or (len(register.told["done"]) < least and time.monotonic() < last):
        register.step()
        if time.monotonic() > nxt:
            nxt = time.monotonic() + act()


@test("etcd")
def outcomes_hold_against_an_etcd_with_every_fault(box):
    f = FakeEtcd(box)
    history, txn = {}, f.txn

    def seen(q, pretend=False):
        out = txn(q, pretend)
        for k, (v, mod) in f.items.items():
            import json
            history.setdefault((k, json.loads(v)["n"]), mod)
        return out
    f.txn, f.late_s = seen, 0.1
    r = Register(box, [Agent(box, f.endpoints) for _ in range(2)])
    faults = [x for x in FAULTS if x not in ("hang", "deny", "lie", "")]

    def act():
        if len(f.plan) < 3:
            f.plan += [box.random.choice(("", "", "get:")) + x for x in box.random.sample(faults, 3)]
        if box.random.random() < 0.1:
            f.cut()
        return 0.05
    run_for(r, 8, act)
    f.plan.clear()
    r.finish()
    time.sleep(f.late_s)
    r.check(history)
    assert len(r.told["done"]) > 100 and len(r.told["unknown"]) > 30 and len(r.told["not done"]) > 30


@test("etcd")
def outcomes_hold_while_etcd_is_killed_and_stopped(box):
    e = Etcd(box)
    r = Register(box, [Agent(box, e.endpoints) for _ in range(3)])
    done = [0]

    def act():
        if len(r.told["done"]) < done[0] + 5:
            return 0.1  # it is not back yet
        done[0] = len(r.told["done"])
        if box.random.random() < 0.6:
            e.kill()
            e.start(wait=False)
            return 0.5
        e.pause()
        time.sleep(box.random.choice((0.1, 0.5)))
        e.resume()
        return 0.5
    run_for(r, 12, act, least=60)
    e.wait()
    r.finish()
    r.check(history_of(e, r.keys))
    assert len(r.told["done"]) > 20 and len(r.told["unknown"]) > 0


@test("etcd")
def outcomes_hold_while_members_of_three_are_killed_and_stopped(box):
    e = Etcd(box, members=3)
    order = lambda k: ",".join(e.client[k:] + e.client[:k])
    r = Register(box, [Agent(box, order(k)) for k in range(3)])
    down = []

    def act():
        if down:
            how, i = down.pop()
            e.start(i, wait=False) if how == "kill" else e.resume(i)
            return 0.3
        for i in box.random.sample(range(3), box.random.choice((1, 1, 2))):
            how = box.random.choice(("kill", "pause"))
            e.kill(i) if how == "kill" else e.pause(i)
            down.append((how, i))
        return 2.5
    run_for(r, 20, act, least=30)
    while down:
        act()
    e.wait()
    r.finish()
    r.check(history_of(e, r.keys))
    assert len(r.told["done"]) > 20
    assert all(a.wait(a.get(r.keys[0])).kind == VALUE for a in r.agents)


@test("etcd")
def an_etcd_set_back_to_an_older_folder_is_found_out(box):
    e = Etcd(box)
    a = Agent(box, e.endpoints)
    first = a.wait(a.cas(KEY, 0, None, {"n": 1}))
    e.kill()
    e.keep()
    e.start()
    second = a.wait(a.cas(KEY, first.mod_revision, {"n": 1}, {"n": 2}))
    eq(True, second.done)
    e.kill()
    e.restore()
    e.start()
    # A write that it takes would bring it to where it was, and nobody could tell: so reads.
    ask = box.random.choice((lambda: a.get(KEY), lambda: a.list("/pail/")))
    until(lambda: a.wait(ask()).kind == UNKNOWN and a.state() == "set back", 10, "set back to be seen")
    eq(UNKNOWN, a.wait(a.cas(KEY, first.mod_revision, {"n": 1}, {"n": 4})).kind)
    eq(b'{"n":1}', e.get(KEY).value)


@test("etcd")
def the_agent_ends_with_its_pair_and_with_nothing_else(box):
    f = FakeEtcd(box)
    a = Agent(box, f.endpoints)
    a.wait(a.get(KEY))
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        a.process.send_signal(sig)
    eq(VALUE, a.wait(a.get(KEY)).kind)
    f.plan = ["get:hang"]
    a.get(KEY)
    until(lambda: not f.plan, 5, "it to hang")
    begin = time.monotonic()
    eq(0, a.close())
    assert time.monotonic() - begin < 1 * lib.SLOW
    for bytes_ in (b"\x93\x01", b"\x92\x07\x05", b"\x93\x0b\x01\xa0"):  # none; before begin; not to an agent
        b = Agent(box, f.endpoints, begin=False)
        b.socket.send(bytes_)
        eq(1, b.process.wait(10 * lib.SLOW))
        assert "agent: error" in b.output(), b.output()
