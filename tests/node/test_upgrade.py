"""The coordinator replaced in place, under load and by bad programs and configurations: nothing is lost, nobody sees an error."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import lib
from lib import eq, test, until
from test_crash import SMALL, Script
from test_restart import load_while, scripts


def admin(n):
    return "ipc://%s/admin.sock" % n.data


def upgrade(box, n, *args):
    r = box.run(n.build + "/pail", "--admin", admin(n), "upgrade", "--wait", *args)
    eq((0, b""), (r.returncode, r.stderr))
    assert r.stdout.startswith(b"upgraded: version "), r.stdout
    return r


def refused(box, n, *parts):
    r = box.run(n.build + "/pail", "--admin", admin(n), "upgrade", "--wait")
    eq((78, b""), (r.returncode, r.stdout))
    for p in parts + (b"nothing has changed",):
        assert p in r.stderr, (p, r.stderr)


def bench(n, *args, endpoint=None):
    return subprocess.Popen([n.build + "/pail", "bench", "--keys", "1000", "--keep", "--timeout", "20000", "-o", "json", *args],
                            env=dict(os.environ, PAIL_NODE=endpoint or n.endpoint), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(b):
    out, err = b.communicate(timeout=120 * lib.SLOW)
    r = json.loads(out)
    eq((0, b""), (r["failed"], err))
    return r


@test("kill", "alone")
def upgrades_under_load_are_noticed_by_nobody(box):
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=150", "--set", "limits.cache=1M")
    all = scripts(n, box, 6)
    before = n.status()
    said = []

    def roll():
        for _ in range(6):
            said.append(upgrade(box, n))

    t = threading.Thread(target=roll)
    t.start()
    load_while(all, box, t.is_alive)
    t.join()
    eq(6, len(said))
    for s in all:
        s.drain()
    for s in all:
        s.verify()
    after = n.status()
    eq((before["pid"], before["started"], 6), (after["pid"], after["started"], after["upgrades"]))
    eq([w["pid"] for w in before["workers"]], [w["pid"] for w in after["workers"]])
    print("# %d replies checked" % sum(s.checked for s in all))
    n.kill_worker(0)
    assert all[0].c.call("put", all[0].bucket, "k", "v") > 0
    eq(1, sum(w["restarts"] for w in n.up()))
    eq(0, n.stop())
    assert "said goodbye" in n.output()


@test()
def programs_that_obey_goaway_see_no_error_at_any_rate(box):
    n = box.node("--set", "node.workers=2")
    loads = [bench(n, "--clients", "3", "--in-flight", "32", "--batch", "4", "--seconds", "5", "--bucket", "a"),
             bench(n, "--clients", "2", "--in-flight", "32", "--batch", "4", "--seconds", "5", "--bucket", "b", "--rate", "300"),
             bench(n, "--clients", "1", "--in-flight", "1", "--batch", "1", "--seconds", "5", "--bucket", "c")]
    until(lambda: n.status()["totals"]["requests"] > 500, 10, "load")
    for i in range(5):
        upgrade(box, n)
    eq(5, n.status()["upgrades"])
    for b in loads:
        assert ended(b)["requests"] > 300


@test()
def who_connects_meanwhile_waits_in_the_queue(box):
    """A client that does not obey is given its time; those that come in it are not refused, but served by the new program."""
    n = box.node("--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    pid = n.kill_worker(0, signal.SIGSTOP)  # what c waits for keeps the upgrade waiting
    i = c.send(("put", "b", "k", "v"))[0]
    until(lambda: n.workers()[0]["queue"] > 0, 5, "a request in the ring")
    b = subprocess.Popen([n.build + "/pail", "--admin", admin(n), "upgrade", "--wait"], stdout=subprocess.PIPE)
    until(lambda: c.notes or c.socket.poll(20) and c.take() or c.notes, 10, "goaway")
    eq([2, "goaway", ["upgrading"]], c.notes[0])
    late = n.client()
    j = late.send(("ping",))[0]
    eq(0, late.socket.poll(300))
    os.kill(pid, signal.SIGCONT)
    assert c.result(i) > 0
    eq("pong", late.result(j))
    eq(0, b.wait(60))
    eq((1, pid), (n.status()["upgrades"], n.workers()[0]["pid"]))
    eq(0, n.status()["reloads"])


@test()
def a_stop_in_the_middle_of_an_upgrade_is_a_stop(box):
    n = box.node("--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    pid = n.kill_worker(0, signal.SIGSTOP)
    i = c.send(("put", "b", "k", "v"))[0]
    until(lambda: n.workers()[0]["queue"] > 0, 5, "a request in the ring")
    b = subprocess.Popen([n.build + "/pail", "--admin", admin(n), "upgrade"], stdout=subprocess.DEVNULL)
    until(lambda: c.notes or c.socket.poll(20) and c.take() or c.notes, 10, "goaway")
    n.process.terminate()
    until(lambda: "stopping" in n.output(), 5, "the stop")
    os.kill(pid, signal.SIGCONT)
    assert c.result(i) > 0
    eq(0, n.process.wait(30))
    eq(0, b.wait(30))
    n.start()
    eq(1, n.client().call("count", "b"))


@test()
def what_is_in_the_rings_is_done(box):
    """A worker stands still longer than the upgrade waits: its requests are carried out, their replies have nobody to go to."""
    n = box.node("--set", "node.workers=1", "--set", "supervisor.hang_ms=60000")
    c = n.client()
    c.call("create", "b")
    pid = n.kill_worker(0, signal.SIGSTOP)
    c.send(*(("put", "b", "k%d" % i, "v", {"timeout": 60000}) for i in range(100)))
    until(lambda: n.workers()[0]["queue"] > 0, 5, "requests in the ring")
    upgrade(box, n)
    os.kill(pid, signal.SIGCONT)
    c = n.client()
    eq(100, c.call("count", "b"))
    until(lambda: n.workers()[0]["queue"] == 0, 5, "the ring to be empty")
    eq([0, pid], [n.workers()[0]["restarts"], n.workers()[0]["pid"]])


@test()
def a_req_client_goes_on(box):
    n = box.node("--set", "node.workers=1")
    c = n.client(req=True)
    eq("pong", c.call("ping"))
    upgrade(box, n)
    eq("pong", c.call("ping"))


def copied(box, *args, **kw):
    build = os.path.join(box.dir, "build")
    os.mkdir(build)
    for p in ("paild", "pail-worker", "pail-gateway", "pail"):
        shutil.copy(os.path.join(lib.BUILD, p), build)
    return box.node(*args, build=build, **kw)


def exchange(path, data):
    """As an installation does: another file by the same name."""
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


@test()
def a_bad_program_leaves_the_old_one_serving(box):
    n = copied(box)
    c = n.client()
    c.call("create", "b")
    path = n.build + "/paild"
    with open(path, "rb") as f:
        good = f.read()
    assert b"segpail1" in good and b"pail-state" in good
    for data, part in ((b"no program", b"cannot be executed"), (b"#!/bin/true\n", b"cannot be executed"), (b"", b"cannot be executed"),
                       (good[:5000], b""), (good.replace(b"segpail1", b"segpail9"), b"shared memory"),
                       (good.replace(b"pail-state", b"pail-staty"), b"version"),
                       (open("/bin/true", "rb").read(), b"no paild")):
        exchange(path, data)
        refused(box, n, part)
        assert c.call("put", "b", "k", "v") > 0  # on the same connection
    os.unlink(path)
    refused(box, n, b"No such file")
    exchange(path, good)
    os.rename(n.build + "/pail-worker", n.build + "/gone")
    refused(box, n, b"pail-worker is not beside paild")
    os.rename(n.build + "/gone", n.build + "/pail-worker")
    eq([], c.notes)
    eq(0, n.status()["upgrades"])
    upgrade(box, n)
    assert "upgrade refused" in n.output()


@test()
def configuration_comes_with_the_upgrade(box):
    n = box.cluster({"foo": {"a-m": "foo"}}, more={"foo": {"supervisor.hang_ms": 5000}})["foo"]
    c = n.client()
    eq("no_route", c.code("create", "zebra")[0])
    with open(n.conf) as f:
        old = f.read()
    with open(n.conf, "w") as f:
        f.write(old.replace("a-m = foo", "a-m = nobody"))
    refused(box, n, b"nobody")
    with open(n.conf, "w") as f:
        f.write(old + "rubbish\n")
    refused(box, n, b"foo.conf:")
    eq("no_route", c.code("create", "zebra")[0])
    with open(n.conf, "w") as f:
        f.write(old.replace("a-m = foo", "* = foo").replace("map = 1G", "map = 2G"))
    upgrade(box, n)
    c = n.client()
    eq(True, c.call("create", "zebra"))
    assert "a restart is needed for: storage.map = 2G (was 1G)" in n.output(), n.output()


@test()
def the_gateway_goes_on_with_its_connections(box):
    n = box.node("--set", "gateway.text=127.0.0.1:0")
    g = until(lambda: n.status()["gateway"]["state"] == "up" and n.status()["gateway"], 10, "gateway")
    host, port = g["endpoint"].rsplit(":", 1)
    with socket.create_connection((host.removeprefix("tcp://"), int(port))) as s:
        f = s.makefile("rwb")

        def say(line, want):
            f.write(line + b"\r\n")
            f.flush()
            eq(want, f.readline())
        say(b"CREATE shopping", b"OK\r\n")
        for i in range(3):
            upgrade(box, n)
            say(b"PUT shopping milk %d" % i, b"OK\r\n")
    eq((g["pid"], 0), (n.status()["gateway"]["pid"], n.status()["gateway"]["restarts"]))
    eq(0, n.stop())


@test("distributed")
def nodes_hold_their_requests_while_a_peer_is_upgraded(box):
    t = {"foo": "foo", "bar": "bar"}
    nodes = box.cluster({"foo": {"a-m": "foo", "*": "bar"}, "bar": {"a-m": "foo", "*": "bar"}}, workers=1)
    for n in nodes.values():
        n.linked()
    loads = [bench(nodes["foo"], "--clients", "2", "--in-flight", "32", "--batch", "4", "--seconds", "6", "--bucket", b) for b in ("here", "there")]
    loads += [bench(nodes["bar"], "--clients", "2", "--in-flight", "32", "--batch", "4", "--seconds", "6", "--bucket", b) for b in ("Here", "zzz", "aaa")]
    until(lambda: all(n.status()["totals"]["requests"] > 500 for n in nodes.values()), 20, "load")
    for _ in range(3):
        for name in t:
            upgrade(box, nodes[name])
            nodes[name].linked()
    for b in loads:
        ended(b)


@test()
def a_temporary_node_is_upgraded_and_cleans_up(box):
    p = subprocess.Popen([lib.BUILD + "/paild", "--dev", "--port", "0", "--set", "storage.reserve=1M"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=dict(os.environ, TMPDIR=box.dir))
    try:
        endpoint = p.stdout.readline().decode().split()[-1]
        c = lib.Client(endpoint)
        box.clients.append(c)
        c.call("create", "b")
        folder = [d for d in os.listdir(box.dir) if d.startswith("pail-dev-")]
        eq(1, len(folder))
        r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/%s/admin.sock" % (box.dir, folder[0]), "upgrade", "--wait")
        eq(0, r.returncode)
        c = lib.Client(endpoint)
        box.clients.append(c)
        eq(0, c.call("count", "b"))
        p.terminate()
        eq(0, p.wait(30))
        eq(folder, [d for d in folder if not os.path.exists(os.path.join(box.dir, d))])
    finally:
        p.kill()
        p.communicate()


@test()
def it_is_for_operators_and_one_at_a_time(box):
    n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "worker.before_caught_up=stop#1"})
    eq("denied", n.client().code("upgrade")[0])
    c = n.client(admin=True)
    c.send(("worker", "restart", 0, {"timeout": 60000}))
    until(lambda: len(n.children()) == 2, 10, "a successor")
    e = c.code("upgrade")
    eq("busy", e[0])
    assert "a worker is being restarted" in e[1], e


@test()
def sockets_of_a_service_manager_outlive_a_stop(box):
    """As systemd does it: the sockets are bound before and given to each start; who connects in between waits."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(64)
        port = s.getsockname()[1]
        data, log = box.folder("data"), open(os.path.join(box.dir, "log"), "ab")

        def start():
            def prepare():
                os.dup2(s.fileno(), 3)
                os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="client", LISTEN_PID=str(os.getpid()))
            p = subprocess.Popen([lib.BUILD + "/paild", "--dev", "--data", data, "--port", "1", "--set", "storage.reserve=1M"], stdout=subprocess.PIPE,
                                 stderr=log, preexec_fn=prepare, pass_fds=(3,), close_fds=True)
            line = p.stdout.readline().decode()
            assert line.endswith("127.0.0.1:%d\n" % port), line
            return p
        p = start()
        try:
            b = subprocess.Popen([lib.BUILD + "/pail", "bench", "--clients", "3", "--in-flight", "16", "--batch", "4", "--keys", "1000", "--seconds", "6",
                                  "--timeout", "20000", "-o", "json", "--keep"], env=dict(os.environ, PAIL_NODE="tcp://127.0.0.1:%d" % port),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2):
                c = lib.Client("tcp://127.0.0.1:%d" % port)
                until(lambda: c.call("status")["totals"]["requests"] > 500, 10, "load")
                c.close()
                r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % data, "upgrade", "--wait")
                eq(0, r.returncode)
                p.terminate()
                eq(0, p.wait(30))
                p = start()
            assert ended(b)["requests"] > 1000
        finally:
            p.terminate()
            p.wait(30)


@test()
def one_port_on_two_addresses_is_two_listeners(box):
    """Clients on one address and nodes on another, by the same port: each listener goes where it belongs."""
    port, = box.ports(1)
    n = box.node("--set", "node.client=tcp://127.0.0.1:%d" % port, "--set", "node.peer=tcp://127.0.0.2:%d" % port, "--set", "node.workers=1", wait=False)
    n.port = port
    n.wait_ready()
    for _ in range(3):
        upgrade(box, n)
        eq("pong", n.client().call("ping"))
        eq(("tcp://127.0.0.1:%d" % port, "tcp://127.0.0.2:%d" % port), (n.endpoint, n.peer))
        with socket.create_connection(("127.0.0.2", port)) as s:
            eq(b"\xff", s.recv(1))  # ZeroMQ's greeting


@test()
def shared_memory_of_another_version_is_refused(box):
    """As a program would find it that knows another layout: neither coordinator nor worker takes it up, and both old ones serve on."""
    n = box.node("--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    folder = "/proc/%d/fd" % n.process.pid
    path = next(p for p in (os.path.join(folder, f) for f in os.listdir(folder)) if os.readlink(p).startswith("/memfd:pail-segment"))
    with open(path, "r+b") as f:
        f.seek(8)
        version = f.read(4)
        f.seek(8)
        f.write((99).to_bytes(4, "little"))
    refused(box, n, b"shared memory is of another version than this program's (%d)" % int.from_bytes(version, "little"))
    r = box.run(n.build + "/pail", "--admin", admin(n), "worker", "restart", "0")
    eq(1, r.returncode)
    assert b"its successor ended with exit status 2" in r.stderr and b"the old one goes on" in r.stderr, r.stderr
    assert c.call("put", "b", "k", "v") > 0
    eq([], c.notes)
    with open(path, "r+b") as f:
        f.seek(8)
        f.write(version)
    upgrade(box, n)
    eq(0, n.status()["workers"][0]["restarts"])
