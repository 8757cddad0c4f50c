"""What operators do to workers under load: restarted one by one, stopped, started; and what goes wrong with it."""
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time

import lib
from lib import eq, test, until
from test_crash import SMALL, Script


def pail(box, n, *args, **kw):
    return box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, *args, **kw)


def restart(box, n, *ids):
    """pail worker restart, of all or some; what it printed."""
    r = pail(box, n, "worker", "restart", *ids)
    eq((0, b""), (r.returncode, r.stderr))
    return r.stdout.decode()


def scripts(n, box, count=4):
    all = [Script(n, box.random, b"bucket%d" % i) for i in range(count)]
    for s in all:
        eq(True, s.c.call("create", s.bucket))
    return all


def load_while(all, box, condition, left=200):
    while condition():
        for s in all:
            s.send(box.random.randrange(1, 40))
        for s in all:
            s.drain(left)


def finish(n, all):
    for s in all:
        s.drain()
    n.up()
    for s in all:
        s.verify()
    print("# %d replies checked" % sum(s.checked for s in all))
    eq(0, n.stop())


@test("kill")
def a_rolling_restart_under_load_is_noticed_by_nobody(box):
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=150", "--set", "limits.cache=1M")
    all = scripts(n, box, 6)
    pids = [w["pid"] for w in n.workers()]
    done = []

    def roll():
        for _ in range(6):
            done.append(restart(box, n))

    t = threading.Thread(target=roll)
    t.start()
    load_while(all, box, t.is_alive)
    t.join()
    eq(6, len(done))
    now = n.workers()
    assert not set(pids) & {w["pid"] for w in now}, (pids, now)
    eq([0] * len(now), [w["restarts"] for w in now])  # nobody died
    for out in done:
        eq(len(now), out.count("between old and new"))
    finish(n, all)


def broken(box, text):
    """A build whose pail-worker can be exchanged; its path."""
    build = os.path.join(box.dir, "build")
    os.mkdir(build)
    for p in ("paild", "pail-worker", "pail-gateway", "pail"):
        shutil.copy(os.path.join(lib.BUILD, p), build)
    n = box.node(*SMALL, build=build)
    worker = os.path.join(build, "pail-worker")
    os.unlink(worker)
    if text is not None:
        with open(worker, "w") as f:
            f.write(text)
        os.chmod(worker, 0o755)
    return n, worker


@test("kill")
def a_successor_that_cannot_start_leaves_the_old_one_serving(box):
    n, worker = broken(box, "#!/bin/sh\nexit 1\n")
    all = scripts(n, box)
    pids = [w["pid"] for w in n.workers()]
    for text, why in (("#!/bin/sh\nexit 1\n", b"exit status 1"), ("no program", b"exit status 1"), (None, b"exit status 1"),
                      ("#!/bin/sh\nkill -SEGV $$\n", b"signal 11")):
        if os.path.exists(worker):
            os.unlink(worker)
        if text is not None:
            with open(worker, "w") as f:
                f.write(text)
            os.chmod(worker, 0o755)
        r = pail(box, n, "worker", "restart", "--all")
        eq((1, b""), (r.returncode, r.stdout))
        for part in (b"worker 0 was not restarted", why, b"the old one goes on", b"not touched"):
            assert part in r.stderr, (part, r.stderr)
        load_while(all, box, iter([1] * 20 + [0]).__next__)
        eq(pids, [w["pid"] for w in n.workers()])
    os.unlink(worker) if os.path.exists(worker) else None
    shutil.copy(os.path.join(lib.BUILD, "pail-worker"), worker)
    restart(box, n)
    finish(n, all)


@test("kill")
def a_successor_for_another_segment_layout_is_refused(box):
    """A worker that does not understand the shared memory says so, and the old one goes on."""
    n, worker = broken(box, None)
    shutil.copy(os.path.join(lib.BUILD, "pail-worker"), worker)
    with open(worker, "r+b") as f:  # the magic, as the new program would have another
        data = f.read()
        at = data.find(b"segpail1")
        assert at >= 0
        while at >= 0:
            f.seek(at)
            f.write(b"segpail9")
            at = data.find(b"segpail1", at + 1)
    pid = n.workers()[0]["pid"]
    r = pail(box, n, "worker", "restart", "0")
    eq(1, r.returncode)
    assert b"the old one goes on" in r.stderr, r.stderr
    eq(pid, n.workers()[0]["pid"])


def faulty(box, fault, want, more=()):
    """A handover in which somebody dies: whatever it comes to, every reply is right."""
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=100", "--set", "node.workers=1", *more, env={"PAIL_FAULT": fault})
    all = scripts(n, box)
    out = []

    def roll():
        r = pail(box, n, "worker", "restart", "0")
        out.append((r.returncode, r.stdout + r.stderr))

    until(lambda: (load_while(all, box, iter([1] * 5 + [0]).__next__), n.workers()[0]["requests"] > 300)[1], 20, "load")
    t = threading.Thread(target=roll)
    t.start()
    load_while(all, box, t.is_alive)
    t.join()
    code, text = out[0]
    assert want in text and code == 1, out
    load_while(all, box, iter([1] * 20 + [0]).__next__)
    n.up()
    if "caught_up" not in fault:  # the next successor would have the same fault
        restart(box, n, "0")
    finish(n, all)


for _name, _fault, _want, _more in (
        ("the_old_one_dies_when_told_to_leave", "worker.before_leave=kill", b"died", ()),
        ("the_old_one_dies_between_its_last_sync_and_its_goodbye", "worker.before_left=kill", b"died", ()),
        ("the_old_one_hangs_when_told_to_leave", "worker.before_leave=stop", b"died", ("--set", "supervisor.hang_ms=60000")),
        ("the_successor_dies_while_it_follows", "worker.before_caught_up=kill#1", b"the old one goes on", ()),
        ("the_successor_dies_before_it_is_ready", "worker.before_ready=kill#1", b"the successor died", ()),
        ("the_successors_log_cannot_be_begun", "wal.write=EIO#1", b"the successor died", ())):
    def _f(box, fault=_fault, want=_want, more=_more):
        faulty(box, fault, want, more)
    _f.__name__ = _name
    test("kill")(_f)


def following(box, *settings):
    """A node whose worker is being followed by a successor that stands still; the successor's pid, and the restart."""
    n = box.node(*SMALL, "--set", "node.workers=1", "--set", "storage.checkpoint_ms=100", *settings,
                 env={"PAIL_FAULT": "worker.before_caught_up=stop#1"})
    n.client().call("create", "b")
    b = subprocess.Popen([lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "worker", "restart", "0"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stopped():
        for p in n.children():
            with open("/proc/%d/stat" % p) as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "T":
                    return p
    return n, until(stopped, 10, "a successor that stands still"), b


@test("kill")
def no_checkpoint_runs_while_a_log_is_followed(box):
    n, successor, b = following(box)
    c = n.client()
    before = n.status()["storage"]["checkpoints"]
    end = time.monotonic() + 1
    while time.monotonic() < end:
        [c.result(i) for i in c.send(*(("put", "b", "k%d" % i, "v") for i in range(50)))]
    eq(before, n.status()["storage"]["checkpoints"])
    os.kill(successor, signal.SIGCONT)
    out, err = b.communicate(timeout=60)
    eq((0, b""), (b.returncode, err))
    eq(successor, n.workers()[0]["pid"])
    c.call("put", "b", "k", "v")
    until(lambda: n.status()["storage"]["recent_keys"] == 0, 10, "a checkpoint")
    eq(51, c.call("count", "b"))


@test("kill")
def a_restart_is_given_up_before_writers_are_refused(box):
    """Checkpoints cannot be held for ever: when the log is nearly full the old worker goes on by itself, and says so."""
    n, successor, b = following(box)
    c = n.client()
    written = 0
    while b.poll() is None:
        ids = c.send(*(("put", "b", "k%d" % i, b"x" * 20000) for i in range(10)))
        for m in map(c.wait, ids):
            assert not m[2] or m[2][0] == "busy", m
        written += 10
        assert written < 20000
    out, err = b.communicate()
    eq((1, b""), (b.returncode, out))
    assert b"writes outrun the disk and checkpoints cannot wait" in err and b"the old one goes on" in err, err
    eq(0, n.workers()[0]["restarts"])
    until(lambda: c.wait(c.send(("put", "b", "k", "v"))[0])[2] is None, 10, "room for a put")


@test()
def a_worker_is_stopped_and_started(box):
    n = box.node("--set", "node.workers=2")
    c = n.client()
    for b in range(20):
        c.call("create", "b%d" % b)
    r = pail(box, n, "worker", "stop", "1")
    eq((0, b"worker 1 is down\n"), (r.returncode, r.stdout))
    eq(["up", "down"], [w["state"] for w in n.workers()])
    codes = [c.wait(i)[2] for i in c.send(*(("put", "b%d" % b, "k", "v") for b in range(20)))]
    busy = [e for e in codes if e]
    assert 0 < len(busy) < 20, codes
    eq({("busy", "worker 1 is stopped: pail worker start 1")}, {tuple(e) for e in busy})
    code, text = c.code("buckets")  # not a shorter list
    eq(("busy", True), (code, text.startswith("worker 1 is stopped")))
    r = pail(box, n, "worker", "restart", "1")
    eq(1, r.returncode)
    assert b"down" in r.stderr and b"start it instead" in r.stderr, r.stderr
    r = pail(box, n, "worker", "start", "1")
    eq(0, r.returncode)
    assert r.stdout.startswith(b"worker 1 is up: pid "), r.stdout
    eq(20, sum(c.call("put", "b%d" % b, "k", "v") > 0 for b in range(20)))
    eq(20, len(c.call("buckets")["items"]))
    eq([0, 0], [w["restarts"] for w in n.workers()])


@test()
def wrong_ids_actions_and_clients_are_told(box):
    n = box.node("--set", "node.workers=1")
    for args, code, text in ((("restart", "7"), 1, b"this node has 1"), (("frobnicate",), 2, b"list, restart, stop or start"),
                             (("stop",), 2, b"which one"), (("restart", "-1"), 2, b"wrong"), (("restart", "x"), 2, b"number"),
                             (("restart", "0", "--all"), 2, b"--all"), (("list", "0"), 2, b"takes nothing")):
        r = pail(box, n, "worker", *args)
        eq(code, r.returncode) if args != ("restart", "-1") else eq(2, r.returncode)
        assert text in r.stderr or args == ("restart", "-1"), (args, r.stderr)
    eq("denied", n.client().code("worker", "restart", 0)[0])
    eq("bad_argument", n.client(admin=True).code("worker", "dance", 0)[0])
    eq("bad_argument", n.client(admin=True).code("worker", "restart")[0])
    eq("bad_argument", n.client(admin=True).code("worker", "restart", "0")[0])
    j = json.loads(pail(box, n, "worker", "list", "-o", "json").stdout)
    eq([("up", 0)], [(w["state"], w["id"]) for w in j["workers"]])
    j = json.loads(pail(box, n, "worker", "restart", "0", "-o", "json").stdout)
    eq((0, "up"), (j["id"], j["state"]))
    assert j["pause_us"] > 0 and j["pid"] == n.workers()[0]["pid"], j


@test()
def one_restart_at_a_time(box):
    """While one is under way (its successor stands still) another is busy; stopping the node ends both."""
    n = box.node("--set", "node.workers=2", env={"PAIL_FAULT": "worker.before_caught_up=stop#1"})
    c = n.client(admin=True)
    first = c.send(("worker", "restart", 0, {"timeout": 60000}))[0]
    until(lambda: len(n.children()) == 3, 10, "a successor")
    e = c.code("worker", "restart", 1)
    eq("busy", e[0])
    assert "one at a time" in e[1], e
    eq("busy", c.code("worker", "stop", 0)[0])
    eq("pong", n.client().call("ping"))
    eq(0, n.stop())
    m = c.replies.get(first) or c.wait(first)
    eq("busy", m[2][0])
    assert "the node stops" in m[2][1], m


@test()
def what_is_being_followed_is_all_there(box):
    """A log of many files and a base, with expiry and drops, handed over and then read from disk alone."""
    n = box.node(*SMALL, "--set", "node.workers=1", "--set", "storage.checkpoint_ms=600000")
    c = n.client()
    for b in "abc":
        c.call("create", b)
    for b in "abc":
        for k in range(0, 400, 50):
            [c.result(i) for i in c.send(*(("put", b, "k%03d" % (k + i), "x" * 5000) for i in range(50)))]
    c.call("drop", "b")
    c.call("put", "a", "gone", "v", {"ttl": 50})
    time.sleep(0.1)
    eq(None, c.call("get", "a", "gone"))
    for _ in range(3):
        restart(box, n)
        eq((400, 400), (c.call("count", "a"), c.call("count", "c")))
        eq("no_bucket", c.code("count", "b")[0])
        eq(None, c.call("get", "a", "gone"))
    v = c.call("put", "a", "k000", "new")
    n.kill()
    n.start()
    c = n.client()
    eq([b"new", v], c.call("get", "a", "k000"))
    eq((400, 400), (c.call("count", "a"), c.call("count", "c")))
    eq(["a", "c"], [x.decode() for x in c.call("buckets")["items"]])
