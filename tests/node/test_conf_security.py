"""Keys and open doors, in configurations: what is refused at start, reload and upgrade, and that the rest goes on."""
import os
import re
import socket
import subprocess

import zmq

import lib
from lib import eq, test
from test_conf import check, settings, write

OPEN = "listens beyond this machine: set security.key and security.clients, or write security.open = yes if everybody who reaches it may do everything\n"


def pair(box, name):
    """A key file, as `pail key new` makes it: its path and its public key."""
    public, secret = (k.decode() for k in zmq.curve_keypair())
    path = write(box, name + ".key", "name = %s\npublic = %s\nsecret = %s\n" % (name, public, secret))
    os.chmod(path, 0o600)
    return path, public


def keys(box):
    """A [security] section whose files are there."""
    path, _ = pair(box, "foo")
    clients = write(box, "foo.clients", "shop %s read:*\n" % pair(box, "shop")[1])
    return "[security]\nkey = %s\nclients = %s\n" % (path, clients)


@test()
def every_source_of_settings_is_held_to_it(box):
    base = "[node]\nname = foo\ndata = d\n"
    path = write(box, "a.conf", base + "client = tcp://0.0.0.0:4040\n")
    said = "node.client = tcp://0.0.0.0:4040 " + OPEN
    eq("%s:4: %spaild: 1 error in the configuration\n" % (path, said), check(box, path))
    eq("", check(box, path, status=0, env={"PAIL_SECURITY_OPEN": "yes"}))
    eq("", check(box, path, "--set", "security.open=yes", status=0))
    assert said in check(box, path, "--set", "security.open=no", env={"PAIL_SECURITY_OPEN": "yes"})
    assert 'PAIL_SECURITY_OPEN: security.open = "1" is not yes or no' in check(box, path, env={"PAIL_SECURITY_OPEN": "1"})
    assert "PAIL_PORT: node.client = tcp://0.0.0.0:4999 " + OPEN in check(box, path, env={"PAIL_PORT": "4999"})
    eq("", check(box, path, "--port", "4999", status=0))  # on loopback
    path = write(box, "b.conf", base)
    assert "--set: node.peer = tcp://*:1 " + OPEN in check(box, path, "--set", "node.peer=tcp://*:1")
    assert "PAIL_NODE_CLIENT: node.client = tcp://eth0:1 " + OPEN in check(box, path, env={"PAIL_NODE_CLIENT": "eth0:1"})
    assert "PAIL_GATEWAY_TEXT: gateway.text = 0.0.0.0:1 listens" in check(box, path, env={"PAIL_GATEWAY_TEXT": "0.0.0.0:1"})
    drop_in = write(box, "conf.d/open.conf", "[node]\nclient = tcp://0.0.0.0:4040\n")
    assert "%s:2: %s" % (drop_in, said) in check(box, path)
    write(box, "conf.d/security.conf", "[security]\nopen = yes\n")
    eq("", check(box, path, status=0))
    r = box.run(lib.BUILD + "/paild", "--dev", "--set", "node.client=tcp://0.0.0.0:0")
    eq((78, "--set: node.client = tcp://0.0.0.0:0 " + OPEN + "paild: 1 error in the configuration\n"), (r.returncode, r.stderr.decode()))


@test()
def keys_of_peers_are_settings_too(box):
    base = "[node]\nname = foo\ndata = d\n" + keys(box)
    one, two = (pair(box, n)[1] for n in ("one", "two"))
    path = write(box, "a.conf", base + "[peers]\nbar = tcp://10.0.0.2:4041 %s %s\nbaz = - %s\n" % (one, two, pair(box, "baz")[1]))
    eq("", check(box, path, status=0))
    s = settings(box, "--config", path)
    eq("tcp://10.0.0.2:4041 %s %s" % (one, two), s["peers.bar"][0])
    again = write(box, "again.conf", box.run(lib.BUILD + "/paild", "--config", path, "--print-config").stdout.decode())
    eq({k: v[0] for k, v in s.items()}, {k: v[0] for k, v in settings(box, "--config", again).items()})
    eq("", check(box, path, "--set", "peers.quux=tcp://h:1 " + pair(box, "quux")[1], status=0))
    for line, why in (("bar = tcp://h:1", "has no public key"), ("bar = tcp://h:1 %s # bar's" % one, "# begins a comment only"),
                      ("bar = tcp://h:1 %s" % one[1:], "is no public key"), ("bar = - %s %s" % (one, one), "is that of bar already"),
                      ("bar = - %s %s %s" % (one, two, one), "3 public keys")):
        out = check(box, write(box, "b.conf", base + "[peers]\n%s\n" % line))
        assert "b.conf:8: " in out and why in out, (line, out)


@test()
def loopback_in_all_its_forms_is_served(box):
    for at, want in (("tcp://127.0.0.1:0", "tcp://127.0.0.1:"), ("tcp://127.3.2.1:0", "tcp://127.3.2.1:"), ("tcp://[::1]:0", "tcp://[::1]:"), ("tcp://lo:0", ("tcp://127.0.0.1:", "tcp://[::1]:")),
                     ("ipc://%s/x.sock" % box.dir, "ipc://%s/x.sock" % box.dir)):
        n = box.node("--set", "node.workers=1", "--set", "node.client=" + at)
        assert n.endpoint.startswith(want), (at, n.endpoint)
        r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "create", "b")
        eq((0, b"created\n"), (r.returncode, r.stdout))
        eq(0, n.stop())


def given(box, name, host, *args, env=None):
    """A node that is given a listening socket, as systemd does it: its exit status (None: it runs) and what it said."""
    family = socket.AF_INET6 if ":" in host else socket.AF_UNIX if "/" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.bind(host if family == socket.AF_UNIX else (host, 0))
        s.listen(8)

        def prepare():
            os.dup2(s.fileno(), 3)
            os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES=name, LISTEN_PID=str(os.getpid()), **(env or {}))
        p = subprocess.Popen([lib.BUILD + "/paild", "--dev", "--data", box.folder("given"), "--port", "0", "--set", "storage.reserve=1M",
                              "--set", "node.workers=1", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare,
                             pass_fds=(3,), close_fds=True)
        line = p.stdout.readline().decode()
        ready = line.startswith("ready:")
        if ready:
            p.terminate()
        _, said = p.communicate(timeout=30 * lib.SLOW)
        return (None if ready else p.returncode), said.decode()


@test()
def a_given_sockets_address_counts_and_not_the_setting(box):
    for name, whom in ("client", "clients"), ("node", "nodes"):
        for host, shown in ("0.0.0.0", r"0\.0\.0\.0"), ("::", r"\[::\]"):
            status, said = given(box, name, host)
            eq(78, status)
            assert re.search(r"the service manager's socket for %s listens on tcp://%s:\d+, beyond this machine: let it listen on 127.0.0.1 "
                             r"\(ListenStream=\), or set security.key and security.clients, or write security.open = yes" % (whom, shown), said), said
            eq(None, given(box, name, host, "--set", "security.open=yes")[0])
        eq(None, given(box, name, "0.0.0.0", env={"PAIL_SECURITY_OPEN": "yes"})[0])
        eq(None, given(box, name, "127.0.0.1")[0])
        eq(None, given(box, name, "::1")[0])


@test()
def a_reload_takes_all_of_it_or_nothing(box):
    n = box.cluster({"foo": {"a-z": "foo"}})["foo"]
    text = open(n.conf).read()
    ask = n.client(admin=True)

    def reload(more, *changes):
        new = text + more
        for a, b in changes:
            assert a in new, a
            new = new.replace(a, b)
        write(box, "foo.conf", new)
        try:
            return None, ask.call("reload")["changed"]
        except lib.Error as e:
            return e.code, e.text
    line = 1 + text.count("\n")
    # keys: not without a restart, and nothing else of the file either
    code, why = reload(keys(box) + "[peers]\nbar = tcp://127.0.0.1:1 %s\n" % pair(box, "bar")[1], ("a-z = foo", "a-y = foo"))
    eq("bad_argument", code)
    assert "foo.conf:%d: security.key = %s/foo.key: this node runs without keys, only a restart gives it some" % (line + 1, box.dir) in why, why
    assert why.endswith("nothing has changed"), why
    eq(["a-z"], [e["entry"] for e in ask.call("status")["routes"]])
    # a door cannot be opened either
    code, why = reload("", (n.endpoint, "tcp://0.0.0.0:%d" % n.port))
    eq("bad_argument", code)
    assert "listens beyond this machine" in why and why.endswith("nothing has changed"), why
    code, said = reload("[security]\nopen = yes\n", (n.endpoint, "tcp://0.0.0.0:%d" % n.port), ("a-z = foo", "a-y = foo"))
    eq(None, code)
    for part in ("a restart is needed for:\n", "security.open = yes (was no)\n", "node.client = tcp://0.0.0.0:%d (was %s)" % (n.port, n.endpoint)):
        assert part in "\n".join(said + [""]), (part, said)
    eq(["a-y"], [e["entry"] for e in ask.call("status")["routes"]])
    eq(["127.0.0.1"], listens_on(n.port))
    # half of that is refused
    code, why = reload("", (n.endpoint, "tcp://0.0.0.0:%d" % n.port))
    eq("bad_argument", code)
    # the node goes on with what it has through an upgrade
    reload("")
    write(box, "foo.conf", text + keys(box))
    e = ask.error("upgrade")
    eq("bad_argument", e.code)
    assert "this node runs without keys, only a restart gives it some" in e.text, e.text
    eq("pong", n.client().call("ping"))


def listens_on(port):
    """IPv4 addresses of listening sockets on that port, be they mapped to IPv6."""
    out = []
    for path in "/proc/net/tcp", "/proc/net/tcp6":
        for line in open(path).read().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            host, p = local.split(":")
            if state == "0A" and int(p, 16) == port:
                out.append(socket.inet_ntoa(bytes.fromhex(host[-8:])[::-1]))
    return out


@test()
def an_open_node_stays_open_until_it_is_restarted(box):
    port, = box.ports(1)
    base = "[node]\nname = foo\nworkers = 1\ndata = %s/foo\nclient = tcp://%%s:%d\n[storage]\nreserve = 1M\nmap = 1G\n%%s" % (box.dir, port)
    path = write(box, "foo.conf", base % ("0.0.0.0", "[security]\nopen = yes\n"))
    n = lib.Node(box, conf=path, data=box.dir + "/foo")
    eq(["0.0.0.0"], listens_on(port))
    ask = n.client(admin=True)
    write(box, "foo.conf", base % ("0.0.0.0", ""))
    eq("bad_argument", ask.error("reload").code)
    eq("bad_argument", ask.error("upgrade").code)
    write(box, "foo.conf", base % ("127.0.0.1", ""))
    said = ask.call("reload")["changed"]
    assert "a restart is needed for:" in said and "security.open = no (was yes)" in said, said
    n.client(admin=True).call("upgrade", seconds=30)
    lib.until(lambda: "upgraded to version" in n.output(), 20, "the new program to serve")
    eq(["0.0.0.0"], listens_on(port))
    eq("pong", lib.Client("tcp://127.0.0.1:%d" % port).call("ping"))
    eq(0, n.stop())
    n.start()
    eq(["127.0.0.1"], listens_on(port))


@test()
def the_sample_for_production_shows_keys_that_work(box):
    """Its commented sections, with files that are there, are a configuration."""
    public = pair(box, "bar")[1]
    section = dict(line.split(" = ") for line in keys(box).splitlines()[1:])
    text = re.sub(r"^# ?(?=\[|# |[a-z_-]+ = )", "", open("conf/prod.conf").read(), flags=re.M)
    text = re.sub(r"^client = .*\n", "client = tcp://10.0.0.1:4040\n", text, flags=re.M)
    text = re.sub(r"^data = .*\n", "data = %s/d\n" % box.dir, text, flags=re.M)
    text = re.sub(r"^(bar = \S+) .*\n", lambda m: "%s %s\n" % (m[1], public), text, flags=re.M)
    text = text.replace("/run/credentials/pail@foo.service/node.key", section["key"])
    gateway, key = pair(box, "gateway")
    text = text.replace("/run/credentials/pail@foo.service/gateway.key", gateway)
    text = text.replace("/etc/pail/foo.clients", section["clients"]).replace("dir = functions", "dir = " + os.path.abspath("conf/functions"))
    for name in "security", "peers", "gateway":
        eq(1, text.count("\n[%s]\n" % name))
    assert "the node will not let the gateway in" in check(box, write(box, "prod.conf", text), status=0)
    with open(section["clients"], "a") as f:
        f.write("gateway %s read:*\n" % key)
    eq("", check(box, write(box, "prod.conf", text), status=0))
    assert "has no public key" in check(box, write(box, "prod.conf", text.replace(" " + public, "")))


@test()
def a_node_with_keys_goes_on_with_them(box):
    """Peers' keys and the clients' file change at a reload; that there are keys does not."""
    security = keys(box)
    one, two = (pair(box, n)[1] for n in ("one", "two"))
    other = write(box, "other.clients", "shop %s write:*\n" % pair(box, "shop2")[1])
    port, = box.ports(1)
    base = ("[node]\nname = foo\nworkers = 1\ndata = %s/foo\nclient = tcp://127.0.0.1:0\npeer = tcp://127.0.0.1:%d\n"
            "[storage]\nreserve = 1M\nmap = 1G\n" % (box.dir, port))
    with_keys = base + security + "[peers]\nbar = - "
    n = lib.Node(box, conf=write(box, "foo.conf", with_keys + one), data=box.dir + "/foo")
    ask = n.client(admin=True)
    for text, why in ((base, "security.key = %s/foo.key is gone: this node runs with keys, only a restart ends that" % box.dir),
                      (base + "[peers]\nbar = -", "only a restart ends that"), (base + security + "[peers]\nbar = -", "has no public key"),
                      (with_keys + one + " # bar's", "# begins a comment only"), (with_keys + one + "\nbaz = - " + one, "is that of bar already"),
                      (base + "[security]\nopen = yes\n", "only a restart ends that")):
        write(box, "foo.conf", text)
        for method in "reload", "upgrade":
            e = ask.error(method)
            eq("bad_argument", e.code)
            assert why in e.text and (method == "upgrade" or e.text.endswith("nothing has changed")), (why, e.text)
    write(box, "foo.conf", with_keys + one)
    eq([], ask.call("reload")["changed"])
    write(box, "foo.conf", with_keys + one + " " + two)
    eq(["peers: bar = - %s %s" % (one, two)], ask.call("reload")["changed"])
    write(box, "foo.conf", (with_keys + two).replace("foo.clients", "other.clients"))
    eq(["security.clients = %s (was %s/foo.clients)" % (other, box.dir), "peers: bar = - " + two,
        "clients: 1, of them 1 new and 0 with another name or other rights; 1 are gone; connections cut off: 0"],
       sorted(ask.call("reload")["changed"], reverse=True))
    eq(0, n.stop())
