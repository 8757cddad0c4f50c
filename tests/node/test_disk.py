"""Full disks, damaged files, folders in use."""
import glob
import os
import subprocess
import time

from lib import Client, eq, test, until


@test()
def two_nodes_on_one_folder_are_refused(box):
    n = box.node()
    r = box.run(n.build + "/paild", "--dev", "--data", n.data, "--port", "0")
    eq(1, r.returncode)
    assert b"is in use by another node, pid %d" % n.process.pid in r.stderr, r.stderr
    eq("pong", n.client().call("ping"))


@test()
def a_damaged_log_fails_its_worker_and_no_other(box):
    n = box.node("--set", "node.workers=2")
    c = n.client()
    for b in range(8):
        c.call("create", "b%d" % b)
        for k in range(5):
            c.call("put", "b%d" % b, "key", "value %d" % k)
    n.kill()
    path = sorted(glob.glob(n.data + "/worker-0/wal-*"))[-1]
    with open(path, "r+b") as f:
        f.seek(4096 + 60)
        f.write(b"\xff\xff\xff")
    n.start()
    states = {w["id"]: w for w in n.workers()}
    eq(("failed", "up"), (states[0]["state"], states[1]["state"]))
    assert "damaged record at offset 4096" in states[0]["last_death"], states[0]
    c = n.client()
    worked = 0
    for b in range(8):
        try:
            eq(b"value 4", c.call("get", "b%d" % b, "key")[0])
            worked += 1
        except Exception as e:
            assert "damaged record" in str(e), e
    assert 0 < worked < 8, worked
    eq("internal", c.code("buckets")[0])
    eq(0, n.stop())


@test()
def a_full_disk_answers_full_and_still_deletes_and_recovers(box):
    mount = box.folder("tmpfs")
    os.mkdir(mount)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount], capture_output=True)
    if r.returncode:
        raise AssertionError("this test mounts a tmpfs and needs to be root: %s" % r.stderr)
    box.undo.append(lambda: subprocess.run(["umount", "-l", mount]))
    n = box.node("--set", "node.workers=1", "--set", "storage.segment=2M", "--set", "limits.log=12M",
                 "--set", "limits.value=256K", "--set", "limits.message=1M", "--set", "storage.checkpoint_ms=200",
                 data=mount + "/data", env={"PAIL_STORAGE_RESERVE": "4M"})
    c = n.client()
    c.call("create", "b")
    written, code = 0, None
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ids = c.send(*(("put", "b", "k%d" % (written + i), os.urandom(50000)) for i in range(10)))
        codes = [c.wait(i) for i in ids]
        written += 10
        if any(m[2] and m[2][0] == "full" for m in codes):
            code = "full"
            # Full for good, not only until the next checkpoint.
            time.sleep(1)
            m = c.wait(c.send(("put", "b", "more", os.urandom(250000)))[0])
            if m[2] and m[2][0] == "full":
                break
    eq("full", code)
    count = c.call("count", "b")
    assert count > 200, count
    n.kill()
    n.start()
    c = n.client()
    eq(count, c.call("count", "b"))
    keys = [k for k, _, _ in c.call("scan", "b", {"limit": 10000, "keys_only": True})["items"]]
    for k in keys[::2]:
        eq(True, c.call("delete", "b", k))
    eq(count - len(keys[::2]), c.call("count", "b"))
    until(lambda: c.wait(c.send(("put", "b", "again", b"x" * 50000))[0])[2] is None, 20, "room for a put")
    eq(0, n.stop())


@test()
def values_in_base_survive_many_restarts(box):
    n = box.node("--set", "storage.checkpoint_ms=100", "--set", "limits.cache=1M")
    c = n.client()
    c.call("create", "b")
    want = {}
    for life in range(4):
        for i in c.send(*(("put", "b", "%d" % k, b"%d.%d" % (life, k)) for k in range(life * 100, life * 100 + 1000))):
            c.result(i)
        want.update({b"%d" % k: b"%d.%d" % (life, k) for k in range(life * 100, life * 100 + 1000)})
        until(lambda: n.status()["storage"]["recent_keys"] == 0, 10, "a checkpoint")
        if life % 2:
            n.kill()
        else:
            eq(0, n.stop())
        n.start()
        c = n.client()
        eq(want, {k: v for k, v, _ in c.call("scan", "b", {"limit": 10000})["items"]})
        for k in list(want)[::37]:
            eq(want[k], c.call("get", "b", k)[0])


def log_errors(box, point, error, words):
    """A log that cannot be written ends its worker, which says why; its successor has every write that was
    acknowledged and answers the others; the rest of the node serves on."""
    n = box.node("--set", "node.workers=2", env={"PAIL_FAULT": "%s=%s@30!" % (point, error)})
    c = n.client()
    by_worker = {0: [], 1: []}
    counts = lambda: [w["buckets"] for w in n.workers()]
    for b in range(12):
        before = counts()
        c.call("create", "b%d" % b)
        until(lambda: counts() != before, 5, "the figures")
        by_worker[0 if counts()[0] != before[0] else 1].append("b%d" % b)
    versions = {}
    ours = by_worker[0]
    for i in range(60):
        k = (ours[i % len(ours)], "k%d" % i)
        versions[k] = c.call("put", *k, "v%d" % i)
        if by_worker[1]:
            assert c.call("get", by_worker[1][0], "k") is None
    w = n.up()[0]
    eq(1, w["restarts"])
    for part in ("write the log in", words):
        assert part in w["last_death"], w
        assert part in n.output(), n.output()
    for (b, k), v in versions.items():
        eq(v, c.call("get", b, k)[1])
    n.kill()
    n.start()
    c = n.client()
    for (b, k), v in versions.items():
        eq(v, c.call("get", b, k)[1])


@test("kill")
def a_log_that_cannot_be_synced_ends_its_worker_and_loses_nothing(box):
    log_errors(box, "wal.sync", "EIO", "Input/output error")


@test("kill")
def a_log_that_cannot_be_written_ends_its_worker_and_loses_nothing(box):
    log_errors(box, "wal.write", "EIO", "Input/output error")
