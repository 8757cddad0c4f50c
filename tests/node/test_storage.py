"""Small disks, many workers: what a node's store says when there is little room."""
import os
import subprocess
import time

from lib import Error, eq, test, until


def small_disk(box, size):
    """A file system of its own.  Needs root."""
    mount = box.folder("tmpfs")
    os.mkdir(mount)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", mount], capture_output=True)
    if r.returncode:
        raise AssertionError("this test mounts a tmpfs and needs to be root: %s" % r.stderr)
    box.undo.append(lambda: subprocess.run(["umount", "-l", mount]))
    return mount + "/data"


def patiently(c, *request, seconds=20):
    """Call until it is not busy; how often it was."""
    end = time.monotonic() + seconds
    busy = 0
    while True:
        try:
            return c.call(*request), busy
        except Error as e:
            if e.code != "busy" or time.monotonic() > end:
                raise
            busy += 1
            time.sleep(0.01)


@test()
def large_values_on_a_small_disk_are_never_called_full(box):
    n = box.node("--set", "node.workers=1", "--set", "limits.value=4M", "--set", "limits.log=48M", "--set",
                 "storage.map=4G", data=small_disk(box, "240m"))
    c = n.client()
    c.call("create", "b")
    value = os.urandom(4 << 20)
    for i in range(40):  # a sixth of the disk, again and again
        patiently(c, "put", "b", "k%d" % (i % 9), value)
    eq(9, c.call("count", "b"))
    eq(value, c.call("get", "b", "k3")[0])
    eq(0, n.stop())


@test()
def a_disk_too_small_for_a_worker_is_said_once(box):
    n = box.node("--set", "node.workers=1", data=small_disk(box, "1m"), wait=False)
    try:
        n.wait_ready()
    except AssertionError:
        until(lambda: n.process.poll() is not None, 10, "its end")  # refused before it began
        assert "disk" in n.output() and "limits.value" in n.output(), n.output()
        return
    w = until(lambda: [w for w in n.workers() if w["state"] == "failed"], 20, "its worker to fail")[0]
    eq(0, w["restarts"])
    for words in ("the disk of", "1024 KiB", "limits.value"):
        assert words in w["last_death"], w
    eq(0, n.stop())


@test()
def many_workers_take_writes_and_go_on_after_checkpoints(box):
    n = box.node("--set", "node.workers=12", "--set", "storage.checkpoint_ms=100", "--set", "limits.log=192M",
                 "--set", "limits.value=2M", "--set", "limits.message=4M", "--set", "storage.segment=4M")
    c = n.client()
    for round in range(3):
        for i in range(48):
            patiently(c, "create", "b%d-%d" % (round, i))
            patiently(c, "put", "b%d-%d" % (round, i), "k", "v")
        until(lambda: n.status()["storage"]["recent_keys"] == 0, 20, "a checkpoint of every worker")
    assert all(w["buckets"] for w in n.workers()), n.workers()
    eq(0, n.stop())
