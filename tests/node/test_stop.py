"""Who is connected; and stopping: quietly, whoever is told, whatever is down; and who waits for a worker is answered."""
import fcntl
import os
import signal
import socket
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


@test("kill")
def everybody_who_asks_for_a_stop_or_a_start_is_answered(box):
    n = box.node("--set", "node.workers=2", "--set", "supervisor.stop_ms=60000")
    a, b, req = n.client(admin=True), n.client(admin=True), n.client(req=True, admin=True)
    n.client().call("create", "x")
    pid = n.workers()[1]["pid"]
    os.kill(pid, signal.SIGSTOP)
    first = a.send(("worker", "stop", 1))[0]
    until(lambda: n.workers()[1]["state"] == "stopping")
    second = b.send(("worker", "stop", 1))[0]
    third = req.send(("worker", "stop", 1))[0]
    eq("busy", n.client(admin=True).code("worker", "start", 1)[0])
    eq("busy", n.client(admin=True).code("upgrade")[0])  # who waits would not be answered
    os.kill(pid, signal.SIGCONT)
    for c, i in ((a, first), (b, second), (req, third)):
        r = c.result(i)
        eq((1, "down"), (r["id"], r["state"]))
    eq("down", a.call("worker", "stop", 1)["state"])  # it is already
    # a start that a stop overtakes
    with open(n.data + "/worker-1/lock", "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)  # the new one waits for it
        start = a.send(("worker", "start", 1))[0]
        again = req.send(("worker", "start", 1))[0]
        until(lambda: n.workers()[1]["state"] == "starting")
        stop = b.send(("worker", "stop", 1))[0]
        for c, i in ((a, start), (req, again)):
            e = c.wait(i)[2]
            eq("busy", e[0])
            assert "stopped" in e[1], e
    eq("down", b.result(stop)["state"])
    eq("up", a.call("worker", "start", 1)["state"])
    # a start that waits when the node stops
    eq("down", b.call("worker", "stop", 1)["state"])
    with open(n.data + "/worker-1/lock", "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        start = a.send(("worker", "start", 1))[0]
        until(lambda: n.workers()[1]["state"] == "starting")
        n.process.send_signal(signal.SIGTERM)
        eq("busy", a.wait(start)[2][0])
    eq(0, n.process.wait(30 * lib.SLOW))


@test()
def clients_are_those_connected(box):
    """It falls again, with those that never sent anything and those that were cut off."""
    n = box.node("--set", "limits.unread=64M", "--set", "limits.unread_ms=300", "--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", b"x" * 5000000)

    def clients():
        return c.call("status")["clients"]
    eq(1, clients())
    talkers = [n.client() for _ in range(20)]
    for t in talkers:
        eq("pong", t.call("ping"))
    silent = [socket.create_connection(("127.0.0.1", n.port)) for _ in range(5)]
    until(lambda: clients() == 26)
    for t in talkers:
        t.close()
    until(lambda: clients() == 6)
    for s in silent:
        s.close()
    until(lambda: clients() == 1)
    # one that asks and does not read: with a receive window of nothing its replies stay where they are
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", n.port))
    s.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
    greeting = b""
    while len(greeting) < 64:  # libzmq resets who goes on before it has read it all
        greeting += s.recv(64 - len(greeting))
    s.sendall(b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER")
    get = b"\x94\x00\x01\xa3get\x92\xa1b\xa1k"
    for _ in range(20):
        s.sendall(b"\x00" + bytes([len(get)]) + get)
    until(lambda: "cut off a client" in n.output(), 20)
    until(lambda: clients() == 1)
    c.close()
