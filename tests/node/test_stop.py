"""Stopping: quietly, whoever is told, whatever is down; and who waits for a worker is answered."""
import fcntl
import os
import signal
import subprocess
import time

import lib
from lib import eq, test, until


def cpu_s(pid):
    """Seconds of CPU time that a process has used."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@test()
def stopping_with_a_peer_down_is_quiet(box):
    """A worker that does not stop keeps the node for two seconds: it must not spend them looking for its peer."""
    n = box.cluster({"foo": {"*": "foo"}}, peers={"foo": ["nobody"]}, more={"foo": {"supervisor.stop_ms": 2500}})["foo"]
    until(lambda: n.peers()["nobody"]["state"] == "down")
    os.kill(n.workers()[0]["pid"], signal.SIGSTOP)
    n.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping: told" in n.output())
    before, begin = cpu_s(n.process.pid), time.monotonic()
    while time.monotonic() - begin < 2.2:
        eq(None, n.process.poll())
        time.sleep(0.05)
    used = cpu_s(n.process.pid) - before
    assert used < 0.5 * lib.SLOW ** 0.5, "%.2f s of CPU time" % used
    eq(0, n.process.wait(20 * lib.SLOW))


@test()
def a_signal_to_the_whole_group_is_the_coordinators(box):
    """TERM to the process group, as many a script and ^C send it: an ordinary stop, nothing dies, nothing is started."""
    n = lib.Node(box, "--set", "node.workers=2", "--set", "gateway.text=127.0.0.1:0", start=False)
    n.log = open(os.path.join(box.dir, "group.log"), "ab+")
    n.process = subprocess.Popen([lib.BUILD + "/paild", "--dev", "--data", n.data, "--port", "0"] + n.args, start_new_session=True,
                                 stdout=subprocess.PIPE, stderr=n.log, stdin=subprocess.DEVNULL, env=n.env)
    box.nodes.append(n)
    n.wait_ready()
    until(lambda: n.status()["gateway"]["state"] == "up")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", "v")
    pids = n.children()
    os.killpg(n.process.pid, signal.SIGHUP)
    until(lambda: n.status()["reloads"] == 1)
    eq(sorted(pids), sorted(n.children()))
    os.killpg(n.process.pid, signal.SIGTERM)
    eq(0, n.process.wait(20 * lib.SLOW))
    out = n.output()
    for word in ("warning", "error", "died", "ended:"):
        assert word not in out, out
    eq(2, out.count(" is up, pid") - out.count("gateway is up, pid"))
    eq(2, out.count("said goodbye"))
    assert all(gone(p) for p in pids)
    n.start()
    eq(b"v", n.client().call("get", "b", "k")[0])
