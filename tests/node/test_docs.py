"""What docs/ tells people to do, done."""
import re
import shutil

import lib
from lib import eq, test, until
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
