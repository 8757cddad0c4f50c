"""Nobody takes more than his share: of memory, of the node's time, of descriptors; and what is late is called so."""
import os
import signal

from lib import eq, test, until


def memory(pid, what="VmHWM"):
    """Of a process, in MiB; VmHWM is its peak."""
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith(what)).split()[1]) >> 10


def stopped(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


@test("abuse")
def a_reply_after_its_time_is_late_and_not_corrupt(box):
    """The put has run and its time is over before its reply can be told: its record is gone when the reply comes."""
    n = box.node("--set", "node.workers=1", "--set", "supervisor.hang_ms=60000",
                 env={"PAIL_FAULT": "worker.before_hand=stop@2"})
    c = n.client()
    c.call("create", "b")
    pid = n.workers()[0]["pid"]
    i = c.send(("put", "b", "k", "v", {"timeout": 200}))[0]
    until(lambda: stopped(pid), 10, "the worker to stop before its put is synced")
    eq("timeout", c.wait(i)[2][0])
    until(lambda: n.workers()[0]["queue"] == 0, 10, "the record to be freed")
    os.kill(pid, signal.SIGCONT)
    eq(b"v", c.call("get", "b", "k")[0])
    w = n.workers()[0]
    eq((pid, 0), (w["pid"], w["restarts"]))
