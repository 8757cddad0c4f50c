"""Transactions and calls that are in the log, whole or torn, when their worker ends, and not synced."""
import glob
import os
import signal

from lib import eq, test, until

FUNCTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/functions")
KEYS = [b"key-%d-of-those-that-are-torn" % k for k in range(3)]


def stopped(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] in "tT"


def logged(folder):
    """Where each key lies that is in the log: (path, offset)."""
    out = []
    for key in KEYS:
        for path in glob.glob(folder + "/wal-*"):
            with open(path, "rb") as f:
                at = f.read().find(key)
            if at >= 0:
                out.append((path, at))
    return out


def tear(box, places, which):
    """From somewhere in what was written with that key on, the log is as it was before."""
    path, at = places[min(which, len(places) - 1)]
    with open(path, "r+b") as f:
        f.seek(at + box.random.randrange(len(KEYS[0])))
        f.write(bytes(1 << 16))


def killed_unsynced(box, request, torn):
    """Three in one frame; of the one numbered `torn`, or the last that was written, a part is lost, and of those behind it all."""
    n = box.node("--set", "node.workers=1", "--set", "functions.dir=" + FUNCTIONS, "--set", "storage.segment=1M", "--set", "limits.log=32M",
                 "--set", "limits.value=64K", "--set", "limits.message=1M", env={"PAIL_FAULT": "wal.sync=stop#1@2!"})
    c = n.client()
    c.call("create", "b")
    first = c.call("put", "b", "first", "x")
    n.kill_worker(0)  # the fault is its successor's
    until(lambda: n.workers()[0]["restarts"] == 1, 10, "a successor")
    n.up()
    pid = n.kill_worker(0, signal.SIGSTOP)  # so that they are written together
    ids = c.send(*(request(k) for k in KEYS))
    until(lambda: n.workers()[0]["queue"], 10, "requests to wait")  # all of a frame
    folder = n.data + "/worker-0"

    def written():
        """It stands still before a sync: it goes on until that is theirs."""
        if not stopped(pid):
            return False
        if not logged(folder):
            os.kill(pid, signal.SIGCONT)
            return False
        return True
    until(written, 10, "the worker to stand still")
    n.workers()
    if c.socket.poll(100):  # theirs came before the one that it stood still at: some of it is synced, and told
        n.kill()
        return None
    os.kill(n.process.pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    if torn is not None:
        tear(box, logged(folder), torn)
    os.kill(n.process.pid, signal.SIGCONT)
    replies = [c.result(i, 30) for i in ids]
    eq(2, n.workers()[0]["restarts"])
    items = {k: (value, version) for k, value, version in c.call("scan", "b")["items"]}
    n.kill()
    n.start()
    eq(items, {k: (value, version) for k, value, version in n.client().call("scan", "b")["items"]})
    eq(0, n.stop())
    return first, replies, items


def all_ways(box, request, check):
    for torn in (None, 0, 1, 2):
        check(*until(lambda torn=torn: killed_unsynced(box, request, torn), 30, "a worker that stands still before it has synced"))


@test("crash", "kill")
def transactions_that_are_whole_or_torn_and_not_synced(box):
    def check(first, replies, items):
        versions = [v for r in replies for v in r["results"][:2]]
        eq(sorted(set(versions)), versions)
        assert versions[0] > first, (versions, first)
        eq([[b"1", r["results"][0]] for r in replies], [r["results"][2] for r in replies])
        eq({k: (b"1", r["results"][0]) for k, r in zip(KEYS, replies)}, {k: v for k, v in items.items() if k in KEYS})
        eq((b"2", versions[-1]), items[b"both"])
    all_ways(box, lambda k: ("txn", "b", {"if": [[k, "version", "=", 0]], "then": [["put", k, "1"], ["put", "both", "2"], ["get", k]]}), check)


@test("crash", "kill")
def calls_that_are_whole_or_torn_and_not_synced(box):
    def check(_, replies, items):
        eq([1, 1, 1], replies)
        eq({k: b"1" for k in KEYS}, {k: v[0] for k, v in items.items() if k in KEYS})
    all_ways(box, lambda k: ("call", "b", "counter", "add", [k, 1]), check)
