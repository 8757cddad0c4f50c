"""The worker: what it does while it works long, the store's clock, links in its folder."""
import os

from lib import *


def folder_of_a_node(box):
    """A data folder with one worker, some keys, and a log that is not settled; and its wal and spare files."""
    n = box.node("--set", "node.workers=1", "--set", "limits.value=64K", "--set", "storage.segment=1M",
                 "--set", "limits.log=64M")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", "v" * 1000)
    c.close()
    n.kill()
    w = n.data + "/worker-0"
    return n, w, [f for f in os.listdir(w) if f.startswith("wal-")][0], [f for f in os.listdir(w) if f.startswith("spare-")][0]


def start_refused(n, what, *parts):
    """Start it: its worker fails for good, and says why."""
    n.start(wait=False)
    before = len(n.output())
    until(lambda: "has failed for good" in n.output()[before:], 10, "a refusal of " + what)
    for part in parts:
        assert part in n.output()[before:], (what, n.output()[before:])
    n.kill()


@test()
def links_in_a_workers_folder_are_not_followed(box):
    """Each file of the store as a symbolic or hard link to a victim: refused by name, or removed, never written."""
    n, w, wal, spare = folder_of_a_node(box)
    for name in ("lock", "lock.mdb", "data.mdb", "data.mdb.new", wal, spare):
        for link in (os.symlink, os.link):
            path = os.path.join(w, name)
            kept = os.path.join(box.dir, "kept")
            victim = os.path.join(box.dir, "victim")
            here = os.path.exists(path)
            if here:
                os.rename(path, kept)
            # The real file's size and content, so that nothing but its being a link speaks against it.
            shutil.copyfile(kept, victim) if here else open(victim, "wb").close()
            with open(victim, "rb") as f:
                before = f.read()
            stat = os.stat(victim)
            link(victim, path)
            what = "%s as a %s" % (name, link.__name__)
            if name.startswith("spare") or name.endswith(".new"):
                n.start()
                eq(b"v" * 1000, n.client().call("get", "b", "k")[0])
                n.client().call("put", "b", "k", "v" * 1000)
                n.kill()
            else:
                start_refused(n, what, '/worker-0/%s": it ' % name)
            with open(victim, "rb") as f:
                assert f.read() == before and os.stat(victim).st_mtime_ns == stat.st_mtime_ns, what
            if os.path.lexists(path) and (os.path.islink(path) or os.stat(path).st_nlink > 1):
                os.unlink(path)
            os.unlink(victim)
            if here:
                os.rename(kept, path)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])


@test()
def a_lock_that_is_a_link_makes_no_file_elsewhere(box):
    """A symbolic link to a name that is free: nothing is made there."""
    n, w, _, _ = folder_of_a_node(box)
    for name in ("lock", "lock.mdb"):
        path, victim = os.path.join(w, name), os.path.join(box.dir, "victim")
        os.unlink(path)
        os.symlink(victim, path)
        start_refused(n, name, '/worker-0/%s": it is a symbolic link' % name)
        assert not os.path.exists(victim), name
        os.unlink(path)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])


@test()
def a_workers_folder_is_its_own(box):
    """It is no link, and nobody else may write to it: else whoever can plant links could race the checks."""
    n, w, _, _ = folder_of_a_node(box)
    elsewhere = os.path.join(box.dir, "elsewhere")
    os.rename(w, elsewhere)
    os.symlink(elsewhere, w)
    for undo, part in ((lambda: (os.unlink(w), os.rename(elsewhere, w)), "is a symbolic link"),
                       (lambda: os.chmod(w, 0o750), "others may write to folder"),
                       (lambda: os.chmod(w, 0o750), "others may write to folder")):
        start_refused(n, part, part, "/worker-0")
        undo()
        os.chmod(w, 0o777 if part.startswith("is") else 0o770)
    os.chmod(w, 0o750)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])


# ---- long work ----

def with_deleted_keys(box, keys=40000, hang_ms=400):
    """A node whose bucket b has deleted keys that are not settled: each scan walks over all of them."""
    n = box.node("--set", "node.workers=1", "--set", "supervisor.hang_ms=%d" % int(hang_ms * SLOW),
                 "--set", "storage.checkpoint_ms=3600000")
    c = n.client()
    c.call("create", "b")
    for what in ("put", "delete"):
        for at in range(0, keys, 4000):
            frame = [(what, "b", "key%06d" % i) + (("x",) if what == "put" else ()) for i in range(at, at + 4000)]
            for i in c.send(*frame):
                c.result(i, 60)
    return n, c


def scans(n, timeout=100000):
    return [("scan", "b", {"timeout": timeout})] * n


NOTHING = {"items": [], "more": False}


@test()
def long_work_is_not_taken_for_a_hang(box):
    """Thousands of scans over deleted keys in one message: the heart beats within the round, and nothing is answered late."""
    n, c = with_deleted_keys(box)
    pid = n.workers()[0]["pid"]
    begin = time.monotonic()
    for i in c.send(*scans(int(4000 / SLOW))):
        eq(NOTHING, c.result(i, 60))
    took = time.monotonic() - begin
    assert took > 0.5, "too quick to show anything: %.3f s" % took
    w = n.workers()[0]
    eq((pid, 0), (w["pid"], w["restarts"]))


@test()
def an_idle_worker_is_not_taken_for_a_hang(box):
    """It sleeps for less than the time after which it would count as hung, also when that has just been made shorter."""
    conf = os.path.join(box.dir, "hang.conf")
    data = box.folder("data")

    def write(hang_ms):
        with open(conf, "w") as f:
            f.write("[node]\nclient = tcp://127.0.0.1:%d\ndata = %s\nworkers = 1\n[supervisor]\nhang_ms = %d\n" % (port, data, hang_ms))

    port = box.ports(1)[0]
    write(10000)
    n = box.node(conf=conf, data=data)
    c = n.client()
    pid = n.workers()[0]["pid"]
    write(int(200 * SLOW))
    box.run(BUILD + "/pail", "--config", conf, "reload")
    for _ in range(3):
        time.sleep(0.6 * SLOW)  # idle is what is tested
        eq("no_bucket", c.code("get", "b", "k")[0])
    eq((pid, 0), (n.workers()[0]["pid"], n.workers()[0]["restarts"]))


@test()
def a_request_whose_time_is_over_is_not_run(box):
    """A put behind long work in its own message: when its turn comes its time is over, by the clock of that moment."""
    n, c = with_deleted_keys(box)
    ids = c.send(*scans(int(2000 / SLOW)), ("put", "b", "late", "x", {"timeout": 100}), ("put", "b", "kept", "x", {"timeout": 100000}))
    for i in ids[:-2]:
        c.result(i, 60)
    assert c.wait(ids[-2], 60)[2][0] in ("expired", "timeout")
    c.result(ids[-1], 60)
    eq(None, c.call("get", "b", "late"))
    eq(b"x", c.call("get", "b", "kept")[0])
    eq(0, n.workers()[0]["restarts"])


@test()
def a_reply_does_not_wait_for_the_requests_behind_it(box):
    """Of two clients in one round the first one's reply is seen before the second one's long work is done."""
    n, slow = with_deleted_keys(box, hang_ms=60000)
    quick, first = n.client(), n.client()
    first.call("ping")
    quick.call("ping")
    before = first.send(*scans(300))  # long enough for the next two to come into one round
    i = quick.send(("get", "b", "key000000", {"timeout": 100000}))[0]
    time.sleep(0.02)  # order of arrival, not luck: if they come the other way round the reply comes even later
    ids = slow.send(*scans(1000))
    for k in before:
        first.result(k, 60)
    begin = time.monotonic()
    eq(None, quick.result(i, 60))
    waited = time.monotonic() - begin
    for k in ids:
        slow.result(k, 60)
    took = time.monotonic() - begin
    assert waited < took / 10, "waited %.3f s, while the other took %.3f s" % (waited, took)


@test()
def a_restart_under_long_work_is_heard_at_once(box):
    """A successor takes over in the middle of a message: each request of it is answered once."""
    n, c = with_deleted_keys(box, keys=48000, hang_ms=60000)  # so few that a successor reads them from the log
    ids = [i for _ in range(2) for i in c.send(*scans(4000))] + c.send(("put", "b", "last", "x", {"timeout": 100000}))
    c.result(ids[0], 60)
    done = n.status()["totals"]["by_method"]["scan"]
    assert done < 4000, "it is done with the first message already: %d" % done
    r = box.run(BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "worker", "restart", "0")
    eq((0, b""), (r.returncode, r.stderr))
    for i in ids[1:-1]:
        eq(NOTHING, c.result(i, 60))
    assert c.result(ids[-1], 60) > 0
    eq(0, n.workers()[0]["restarts"])
