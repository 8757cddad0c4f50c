"""A node is killed, cut off, stopped, its disk hangs or is full, its worker fails: who still answers, and how soon."""
import os
import signal
import time

import lib
from cluster import cluster
from lib import eq, test, until
from pulse import Pulse

PRIMARY_S, BACKUP_S, SLOW_S = 2.0, 1.2, 4.0  # what is promised
NONE_S = 0.6  # "at once": a scheduler's pause on a machine that others load too


def opened(box, **kw):
    """A cluster, a bucket led by each of a, b, c."""
    c = cluster(box, **kw)
    return c, {n: c.led_by(n) for n in c.names[:3]}


def real(c):
    if not c.real:
        print("# left out: there is one node only")
    return c.real


def watch(c, buckets, lost, asked=None):
    """A load that looks at what `lost` leads, and at what another leads, of which it has a copy; asked of those that stay."""
    other = c.others(lost)[0]
    asked = asked or c.others(lost)
    return Pulse(c.box, [c.n[n].endpoint for n in asked], {"lost": buckets[lost], "other": buckets[other]})


def back(c, pulse, seconds=30):
    """Nobody has to ask for it: all copies are in sync again. What was acknowledged is there, whoever leads."""
    c.heal()
    c.ready(seconds)
    pulse.audit(c.client())
    holders = c.names[:c.factor]
    for n in holders:
        epochs = c.epochs()
        c.drain(n)
        assert all(c.epochs()[p] >= e for p, e in epochs.items())
        c.ready()
        pulse.audit(c.client(n))


def primary_gone(box, gone, promised=PRIMARY_S, reads=None, restore=None, other=BACKUP_S, other_reads=NONE_S, **kw):
    """The primary is gone; of what it only had a copy of, writes wait less and reads not at all."""
    c, buckets = opened(box, **kw)
    if not real(c):
        return
    p = watch(c, buckets, "a")
    gone(c)
    time.sleep(5 * lib.SLOW)
    if restore:
        restore(c)
    p.end()
    p.say()
    p.held("lost", promised, reads or promised)
    p.held("other", other, other_reads)
    back(c, p)
    c.stop()


@test("cluster", "distributed", "kill", "pauses")
def a_killed_node_is_replaced_within_two_seconds(box):
    primary_gone(box, lambda c: c.kill("a"))


@test("cluster", "distributed", "kill", "long")
def two_nodes_killed_at_once_leave_the_third_to_answer(box):
    """With three copies of which one may be alone."""
    c, buckets = opened(box, min_copies=1)
    if not real(c):
        return
    p = watch(c, buckets, "a", ["c"])
    c.kill("a")
    c.kill("b")
    p.end(6 * lib.SLOW)
    p.say()
    # One shrink waits for the other: each takes its time.
    p.held("lost", 2 * PRIMARY_S)
    back(c, p)
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_node_is_killed_again_and_again(box):
    """Each time another one, as soon as the one before is in sync: the sum of all that was acknowledged is there."""
    c, buckets = opened(box)
    if not real(c):
        return
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    for i in range(4):
        n = c.names[i % 3]
        c.kill(n)
        until(lambda: all(v[1] != n for v in c.views().values()), 10, "others to lead")
        c.start(n)
        c.ready()
    p.end()
    p.say()
    for what in buckets:
        bad = {k for kind in ("put", "get") for k in p.codes(what, kind)} - {"timeout", "silent"}
        eq(set(), bad)  # silent: the node that was asked is the one that was killed
    p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "netns", "long")
def an_island_answers_nothing_and_the_others_go_on(box):
    """Cut off from its peers and from etcd, while clients reach it: it says nothing old."""
    c, buckets = opened(box, net=True)
    if not real(c):
        return
    x = c.client("a")
    bucket = buckets["a"]
    x.call("put", bucket, "k", "old")
    p = watch(c, buckets, "a")
    c.net.island("a")
    until(lambda: any_put(c, "b", bucket, "k", "new"), 10, "the others to write")
    eq(b"new", c.ask("c", "get", bucket, "k")[0])
    for _ in range(20):  # a reply may say that it does not know; never what was true once
        m = x.wait(x.send(("get", bucket, "k", {"timeout": 300}))[0])
        assert m[2] or m[3][0] == b"new", m
    codes = {x.error("put", bucket, "island", "v", {"timeout": 300}).code for _ in range(3)}
    assert codes <= {"timeout", "expired", "node_down", "too_few", "busy"}, codes
    time.sleep(2)
    p.end()
    p.say()
    p.held("lost", PRIMARY_S)
    p.held("other", BACKUP_S, NONE_S)
    back(c, p)
    c.stop()


def any_put(c, name, *request):
    try:
        return c.ask(name, "put", *request, {"timeout": 1000}, seconds=2)
    except (lib.Error, AssertionError):
        return None


@test("cluster", "distributed", "netns", "long")
def a_primary_that_hears_nobody_is_replaced(box):
    """One direction only: what others send does not arrive; its own beats do."""
    def deaf(c):
        for n in c.others("a"):
            c.net.deaf("a", n)
        c.net.deaf("a", "etcd")
    primary_gone(box, deaf, promised=SLOW_S, net=True)


@test("cluster", "distributed", "netns", "long")
def a_primary_that_nobody_hears_is_replaced(box):
    def mute(c):
        for n in c.others("a"):
            c.net.deaf(n, "a")
    primary_gone(box, mute, net=True)


@test("cluster", "distributed", "netns", "long")
def two_nodes_that_do_not_hear_each_other_leave_the_third_in_both_sets(box):
    """The wire between a and b is cut, both reach c and etcd: whichever wins, each partition answers."""
    c, buckets = opened(box, net=True)
    if not real(c):
        return
    p = Pulse(box, [c.n["c"].endpoint], buckets)
    c.net.cut("a", "b")
    p.end(6 * lib.SLOW)
    p.say()
    for what in buckets:
        p.held(what, PRIMARY_S)
    back(c, p)
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_node_that_stands_still_is_replaced(box):
    """SIGSTOP of all of it, and then it goes on: what it still believes is told to nobody."""
    c, buckets = opened(box)
    if not real(c):
        return
    x, bucket = c.client("a"), buckets["a"]
    x.call("put", bucket, "k", "old")
    p = watch(c, buckets, "a")
    c.pause("a")
    gets = x.send(*(("get", bucket, "k", {"timeout": 20000}) for _ in range(50)))
    until(lambda: any_put(c, "b", bucket, "k", "new"), 10, "the others to write")
    time.sleep(2 * lib.SLOW)
    c.resume("a")
    for i in gets:
        m = x.wait(i, 30)
        assert m[2] or m[3][0] == b"new", "a node that stood still told what was overwritten: %r" % m
    p.end()
    p.say()
    p.held("lost", PRIMARY_S)
    p.held("other", BACKUP_S, NONE_S)
    back(c, p)
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_machine_that_was_suspended_tells_nothing_old(box):
    """Its MONOTONIC clocks have stood still: by them its lease is not over."""
    c, buckets = opened(box, clocks=True)
    if not real(c):
        return
    bucket = buckets["a"]
    for round in range(4):
        led = c.primary(bucket)
        x = c.client(led)
        x.call("put", bucket, "k", "old%d" % round)
        begin = time.monotonic()
        c.pause(led)
        gets = x.send(*(("get", bucket, "k", {"timeout": 20000}) for _ in range(50)))
        until(lambda: any_put(c, c.up()[0], bucket, "k", "new%d" % round), 10, "the others to write")
        c.resume(led, slept=time.monotonic() - begin - 0.01)
        for i in gets:
            m = x.wait(i, 30)
            assert m[2] or m[3][0] == b"new%d" % round, m
        c.ready()
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_stopped_coordinator_and_a_stopped_worker_are_replaced(box):
    """One of its processes alone stands still: the coordinator, with a worker that goes on; a worker, with one that beats on."""
    for which in ("coordinator", "worker"):
        inner = lib.Box(which)
        inner.random, inner.seed = box.random, box.seed
        c, buckets = opened(inner, more={"supervisor.hang_ms": 60000})
        if not real(c):
            inner.close()
            return
        pids = c.n["a"].pids()
        workers = [p for p in pids[1:] if open("/proc/%d/comm" % p).read().startswith("pail-worker")]
        p = watch(c, buckets, "a")
        some = pids[:1] if which == "coordinator" else workers
        for pid in some:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(6 * lib.SLOW)
        for pid in some:
            os.kill(pid, signal.SIGCONT)
        p.end()
        print("# " + which)
        p.say()
        p.held("lost", PRIMARY_S if which == "coordinator" else SLOW_S)
        p.held("other", BACKUP_S, NONE_S)
        back(c, p)
        c.stop()
        inner.close()


@test("cluster", "distributed", "long")
def a_primary_whose_disk_hangs_is_replaced(box):
    """Its beats go on; no sync comes back. Nobody misses it sooner as a backup than as a primary; a read may have seen what waits for it."""
    primary_gone(box, lambda c: c.disk["a"].hang(), promised=SLOW_S, other=SLOW_S, other_reads=SLOW_S, restore=lambda c: c.disk["a"].heal(), disks=True)


@test("cluster", "distributed", "long")
def a_backup_whose_disk_is_full_is_left_out_and_comes_back(box):
    """The others go on; with room again it learns what it lacks."""
    c, buckets = opened(box, disks=True, more={"limits.log": "16M"})
    if not real(c):
        return
    c.disk["c"].fill()
    p = watch(c, buckets, "a", ["a", "b"])
    x, bucket = c.client("b"), buckets["a"]
    value, n, refused = os.urandom(50000), 0, {}
    end = time.monotonic() + 40 * lib.SLOW
    while any("c" in v[2] for v in c.views().values() if v[1] == "a") and time.monotonic() < end:
        for i in x.send(*(("put", bucket, "large%d" % ((n + k) % 40), value, {"timeout": 5000}) for k in range(10))):
            m = x.wait(i)
            if m[2]:
                refused[m[2][0]] = refused.get(m[2][0], 0) + 1
        n += 10
    assert any("c" not in v[2] for v in c.views().values()), "a full copy holds the others back"
    assert set(refused) <= {"busy", "timeout"}, refused
    p.end()
    p.say()
    p.held("lost", SLOW_S, NONE_S, codes=("timeout", "busy"))
    c.disk["c"].heal()
    back(c, p)
    c.stop()


@test("cluster", "distributed", "kill")
def a_node_whose_worker_fails_hands_over(box):
    """A damaged log fails the worker at its start: others lead what it had, and the node goes on as a door."""
    c, buckets = opened(box)
    if not real(c):
        return
    c.kill("a")
    path = max(os.path.join(d, f) for d, _, names in os.walk(c.n["a"].data) for f in names if f.startswith("wal-"))
    with open(path, "r+b") as f:
        f.seek(4096 + 60)
        f.write(b"\xff\xff\xff")
    p = Pulse(box, [c.n[n].endpoint for n in "bc"], {"lost": buckets["a"]})
    c.start("a", wait=False)
    time.sleep(4)
    eq(b"v", (c.ask("b", "put", buckets["a"], "k", "v"), c.ask("a", "get", buckets["a"], "k"))[1][0])
    p.end()
    p.say()
    p.held("lost", PRIMARY_S)
    p.audit(c.client("b"))


@test("cluster", "distributed", "netns", "long")
def a_primary_that_alone_has_lost_etcd_yields_when_it_must(box):
    """As long as no member fails nobody notices; when a backup dies, somebody who reaches etcd takes over."""
    c, buckets = opened(box, net=True)
    if not real(c):
        return
    p = watch(c, buckets, "a", ["a", "b"])
    c.net.cut("a", "etcd")
    time.sleep(4 * lib.SLOW)
    cut = time.monotonic()
    c.kill("c")
    p.end(7 * lib.SLOW)
    p.say()
    quiet = [x for what in p.out for x in p.out[what] if x[2] < cut - 1]
    eq([], [x for x in quiet if x[4]])
    p.held("lost", SLOW_S, codes=("timeout", "too_few"))  # until the one that yielded counts again
    back(c, p)
    c.stop()


def etcd_gone(box, gone, **kw):
    """Nobody notices: neither an error nor a pause."""
    c, buckets = opened(box, **kw)
    if not real(c):
        return
    before = c.views()
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    gone(c)
    p.end()
    p.say()
    for what in buckets:
        eq({}, p.codes(what, "put"))
        p.held(what, NONE_S)
    c.heal()
    eq(before, c.views())
    p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "kill", "long")
def etcd_may_be_away_while_nothing_fails(box):
    """Killed for ten seconds, and a worker of each node meanwhile."""
    c, buckets = opened(box)
    if not real(c):
        return
    before = c.views()
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    c.etcd.kill()
    time.sleep(3)
    for n in c.names:
        c.n[n].kill_worker(0)
        time.sleep(2)
    c.etcd.start()
    p.end(3)
    p.say()
    for what in buckets:
        p.held(what, NONE_S, codes=())
    eq(before, c.views())
    p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "kill", "long")
def one_member_of_etcd_is_killed_and_nobody_notices(box):
    def gone(c):
        for i in range(3):
            c.etcd.kill(i)
            time.sleep(2)
            c.etcd.start(i)
    etcd_gone(box, gone, members=3)


@test("cluster", "distributed", "long")
def etcd_that_stands_still_is_not_noticed(box):
    def gone(c):
        c.etcd.pause(0)
        time.sleep(8)
        c.etcd.resume(0)
    etcd_gone(box, gone)


@test("cluster", "distributed", "kill", "long")
def what_fails_while_etcd_is_away_waits_and_goes_on(box):
    """Nothing is lost, nothing answered wrongly; when etcd is back it goes on by itself."""
    c, buckets = opened(box)
    if not real(c):
        return
    bucket = buckets["a"]
    c.ask("b", "put", bucket, "k", "v")
    c.etcd.kill()
    c.kill("a")
    time.sleep(2)
    e = c.client("b").error("put", bucket, "k2", "v", {"timeout": 1500})
    assert e.code in ("timeout", "expired"), e
    c.etcd.start()
    until(lambda: any_put(c, "b", bucket, "k3", "v"), 10, "it to go on")
    eq(b"v", c.ask("c", "get", bucket, "k")[0])
    c.start("a")
    c.ready()
    c.stop()


@test("cluster", "distributed", "kill", "long")
def one_copy_of_two_goes_on_or_refuses_as_it_was_made(box):
    """min_copies = 1: the one that is left answers. 2: writes are refused before they take effect, until the other is back."""
    for least in (1, 2):
        inner = lib.Box("copies")
        inner.random, inner.seed = box.random, box.seed
        c = cluster(inner, "ab", factor=2, min_copies=least)
        if not real(c):
            inner.close()
            return
        for lost, bucket in (("a", c.led_by("a")), ("a", c.led_by("b"))):
            version = c.ask("b", "put", bucket, "k", "v")
            session = c.ask("b", "session")
            once = ("put", bucket, "once", "v", {"session": session, "seq": 1, "timeout": 5000})
            first = c.ask("b", *once)
            time.sleep(0.3)  # copies are told that it is committed when it has been quiet for 50 ms: what they do not know is held back
            c.kill(lost)
            if least == 1:
                until(lambda: any_put(c, "b", bucket, "more", "v"), 5, "the other to go on")
            else:
                until(lambda: c.client("b").error("put", bucket, "more", "v", {"timeout": 3000}).code == "too_few", 10, "too_few")
                e = c.client("b").error("put", bucket, "never", "v", {"timeout": 3000})
                eq("too_few", e.code)
            eq(first, c.ask("b", *once))  # a repeat is answered, not refused
            eq([b"v", version], c.ask("b", "get", bucket, "k", {"timeout": 5000}))
            c.start(lost)
            c.ready()
            if least == 2:
                assert c.ask("a", "put", bucket, "after", "v") > 0
                eq(None, c.ask("a", "get", bucket, "never"))
        c.stop()
        inner.close()


def behind(box, meanwhile, seconds=60, **kw):
    """A node comes back and has all that was written while it was away; the last of the others is gone then."""
    c = cluster(box, min_copies=1, **kw)
    if not real(c):
        return
    bucket = c.led_by("b")
    x = c.client("b")
    for k in range(100):
        x.call("put", bucket, "before%d" % k, "v")
    c.kill("a")
    meanwhile(c, x, bucket)
    count = x.call("count", bucket)
    c.start("a", wait=False)
    begin = time.monotonic()
    c.ready(seconds)
    print("# in sync again after %.1f s" % (time.monotonic() - begin))
    for gone in ("b", "c"):
        until(lambda: all("a" in v[2] for v in c.views().values()), seconds, "a to count")
        c.kill(gone)
        until(lambda: all(gone not in v[2] and v[1] != gone for v in c.views().values()), 15, lambda: gone + " to be out: %r; %s" % ([(p, v) for p, v in c.views().items() if gone in v[2] or v[1] == gone][:8], c.why()))
    until(c.answers, 10, "answers")
    eq(count, c.ask("a", "count", bucket))
    items = c.ask("a", "scan", bucket, {"limit": 10000, "keys_only": True})["items"]
    eq(count, len(items))


@test("cluster", "distributed", "kill")
def a_node_that_was_away_learns_from_the_logs(box):
    def some(c, x, bucket):
        for k in range(500):
            x.call("put", bucket, "k%d" % k, "v")
    behind(box, some)


@test("cluster", "distributed", "kill", "long")
def a_node_that_was_away_for_long_learns_from_a_snapshot(box):
    """More was written than the logs keep; keys were deleted that it still has, and a bucket dropped."""
    def much(c, x, bucket):
        x.call("create", bucket + "-gone")
        for k in range(0, 100, 2):
            x.call("delete", bucket, "before%d" % k)
        value = os.urandom(20000)
        for k in range(0, 3000, 20):
            for i in x.send(*(("put", bucket, "k%d" % ((k + j) % 500), value, {"timeout": 20000}) for j in range(20))):
                until_ok(x, i)
        x.call("drop", bucket + "-gone")
    behind(box, much, more={"limits.log": "8M"})


def until_ok(x, i):
    m = x.wait(i, 30)
    assert m[2] is None or m[2][0] == "busy", m


@test("cluster", "distributed", "kill")
def a_node_with_an_empty_disk_learns_all(box):
    def wiped(c, x, bucket):
        box.run("rm", "-rf", c.n["a"].data)
        x.call("put", bucket, "k", "v")
    behind(box, wiped)


@test("cluster", "distributed", "kill", "long")
def the_power_goes_out_everywhere_at_once(box):
    """Of all nodes, under load: what was not synced is partly gone. Whatever was acknowledged is there, on each of them."""
    c = cluster(box, undo=True)
    buckets = {n: c.led_by(n) for n in c.names}
    pulses, gone = [], 0
    for _ in range(3):
        p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets, timeout=3000)
        time.sleep(1)
        gone += c.power_cut()[0]
        pulses.append(p.end(0.1))
        c.heal()
        if c.real:
            c.ready()
        for p in pulses:
            p.audit(c.client())
    print("# %d sectors gone, %d acknowledged" % (gone, sum(len(p.good(w, "put")) for p in pulses for w in buckets)))
    c.stop()


@test("cluster", "distributed", "kill")
def etcd_set_back_under_a_running_cluster_changes_nothing(box):
    """A restored etcd knows views that are no more: nobody takes them up, and status says so."""
    c, buckets = opened(box)
    if not real(c):
        return
    c.etcd.kill()
    c.etcd.keep()
    c.etcd.start()
    c.kill("a")
    until(lambda: all(v[1] != "a" for v in c.views().values()), 10, "others to lead")
    versions = {n: c.ask("b", "put", buckets[n], "k", "v") for n in buckets}
    c.start("a")
    c.ready()
    c.etcd.kill()
    c.etcd.restore()
    c.etcd.start()
    until(lambda: "set back" in c.agreement("b"), 15, "status to say so")
    for n, bucket in buckets.items():
        for at in c.names:
            m = c.client(at)
            r = m.wait(m.send(("get", bucket, "k", {"timeout": 2000}))[0])
            assert r[2] or r[3] == [b"v", versions[n]], r
