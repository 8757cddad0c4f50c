"""What docs/ tells people to do, done."""
import glob
import os
import re
import shutil
import signal
import subprocess

import lib
from lib import eq, test, until
from test_cli import Terminal, tree_with_ports
from test_gateway import Line, start


def page(name):
    return open("docs/" + name).read()


@test()
def the_gateways_page_holds(box):
    """Its dialogue, byte for byte, and what it says of words and lines."""
    t = Line(box, start(box))
    dialogue = re.search(r"^```\n(> .*?)^```", page("gateway.md"), re.M | re.S).group(1)
    asked = 0
    for part in dialogue.split("> ")[1:]:
        line, _, answer = part.partition("\n")
        t.ask(line.encode() + b"\r\n", *(a.encode() for a in answer.split("\n")[:-1]))
        asked += 1
    assert asked > 6, asked
    t.ask(b'PUT shopping "milk" \xff\x01\n', b"OK")
    t.ask(b'GET shopping "milk"\n', b"\xff\x01", b"OK")
    box.nodes[0].client().call("put", "shopping", "lines", b"a\r\nb")
    t.ask(b"GET shopping lines\n", b"a", b"b", b"OK")


@test()
def the_health_check_tells(box):
    n = box.node("--set", "node.workers=2")
    check = re.search(r"^    pail --config /etc/pail/foo.conf (buckets .*) >/dev/null", page("operations.md"), re.M).group(1).split()

    def run():
        return box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, *check)
    eq(0, run().returncode)
    n.client(admin=True).call("worker", "stop", 1)
    r = run()
    assert r.returncode != 0 and b"worker" in r.stderr, r
    n.client(admin=True).call("worker", "start", 1)
    until(lambda: run().returncode == 0, what="the check to be content")
    n.stop()
    eq(4, run().returncode)


def figure(status, path):
    """Of a path as the page writes it, such as workers[].state: whether there is such a thing."""
    head, _, rest = path.partition(".")
    if head.endswith("[]"):
        return all(figure(x, rest) for x in status[head[:-2]])
    return head in status and (not rest or figure(status[head], rest))


@test("distributed")
def the_figures_to_watch_are_there(box):
    n = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "bar"}}, peers={"foo": ["bar"], "bar": ["foo"]})
    status = n["foo"].linked().status()
    watch = page("operations.md").split("## What to watch")[1].split("\n## ")[0]
    named = [w for row in re.findall(r"^\| (`.*?) \|", watch, re.M) for w in re.findall(r"`([a-z_.\[\]]+)`", row)]
    assert len(named) > 14, named
    eq([], [w for w in named if not figure(status, w)])
    eq(False, figure(status, "workers[].nosuch"))


@test()
def copies_that_operations_calls_whole_are(box):
    """Of a stopped worker beside one that serves, and of a stopped node; served as the page says."""
    n = box.node("--set", "node.workers=2")
    c = n.client()
    for b in range(8):
        c.call("create", "b%d" % b)
        for i in range(50):
            c.call("put", "b%d" % b, "k%d" % i, "v%d" % i, {"ttl": 3600000} if i % 2 else {})
    admin = n.client(admin=True)
    admin.call("worker", "stop", 0)
    kept = box.folder("worker-0")
    shutil.copytree(n.data + "/worker-0", kept)
    admin.call("worker", "start", 0)
    n.up()
    # What comes behind the copy is not in it.
    for b in range(8):
        c.call("put", "b%d" % b, "late", "v")
    eq(0, n.stop())
    copy = box.folder("copy")
    shutil.copytree(n.data, copy, ignore=shutil.ignore_patterns("*.sock"))

    def serve(folder):
        m = box.node(data=folder)  # paild --dev --data FOLDER --port 0
        d = m.client()
        eq(8, len(d.call("buckets")["items"]))
        for b in range(8):
            eq([b"v%d" % i for i in range(50)], [d.call("get", "b%d" % b, "k%d" % i)[0] for i in range(50)])
        late = sum(d.call("get", "b%d" % b, "late") is not None for b in range(8))
        m.stop()
        return late
    eq(8, serve(copy))
    shutil.rmtree(copy + "/worker-0")
    shutil.copytree(kept, copy + "/worker-0")
    assert 0 < serve(copy) < 8  # both workers have some of the buckets


KEY = r"(?<!\S)[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}(?!\S)"


@test("release", "distributed")
def the_page_of_keys_can_be_typed_along(box):
    """Each block of docs/security.md, word for word but for ports, keys, and what is of the moment."""
    ports = dict(zip((4040, 4041, 4140, 4141), box.ports(4)))
    tree = tree_with_ports(box, ports)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "MAKE", "MFLAGS", "CI", "XDG_"))}
    env.update(HOME=box.folder("home"), NO_COLOR="1", PATH=tree + "/build/release:" + env["PATH"])
    os.mkdir(env["HOME"])
    t = Terminal(env, prompt="~$ ")  # a key has no ~
    t.run("cd " + tree)
    done = 0
    try:
        for block in re.findall(r"```console\n(.*?)```", open(tree + "/docs/security.md").read(), re.S):
            for c in re.split(r"^\$ ", block, flags=re.M)[1:]:
                line, _, want = c.partition("\n")
                got = t.run(line).replace("\r", "")
                if "add shop-at-bar" in line:
                    until(lambda: "ready" in open(tree + "/build/keys/bar.log").read(), what="bar to listen")
                want, got = (re.sub(r"pid \d+|[\d.]+ ms|cut off: \d+", "_", re.sub(KEY, "KEY", x)) for x in (want, got))
                eq((line, want.strip("\n")), (line, got.strip("\n")))
                done += 1
    finally:
        t.close()
        for lock in glob.glob(tree + "/build/keys/*/lock"):  # whoever is left, if it went wrong
            try:
                os.kill(int(open(lock).read()), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                pass
    assert done > 40, done
    # and the example of rights is one
    pail, paild = (os.path.abspath(lib.BUILD) + "/" + p for p in ("pail", "paild"))
    folder = box.folder("rights")
    os.mkdir(folder)
    eq(0, subprocess.run([pail, "key", "new", "foo"], cwd=folder, capture_output=True).returncode)
    with open(folder + "/clients", "w") as f:
        f.write(re.search(r"^```clients\n(.*?)^```", page("security.md"), re.M | re.S).group(1))
    with open(folder + "/foo.conf", "w") as f:
        f.write("[node]\ndata = foo\n[security]\nkey = foo.key\nclients = clients\n")
    r = subprocess.run([paild, "--config", "foo.conf", "--check-config"], cwd=folder, capture_output=True, text=True)
    eq((0, "configuration OK\n", ""), (r.returncode, r.stdout, r.stderr))
