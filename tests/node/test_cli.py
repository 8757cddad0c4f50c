"""paild's and pail's command lines, the README's transcript, the samples, the installed tree."""
import glob
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import lib
from lib import eq, test, until


@test()
def commands_and_their_exit_statuses(box):
    n = box.node()

    def run(status, *args, **kw):
        r = box.pail(n, *args, **kw)
        eq((status, args), (r.returncode, args) if r.returncode == status else (r.returncode, r.stderr))
        return r.stdout.decode(errors="replace")

    eq("created\n", run(0, "create", "b"))
    eq("it existed already\n", run(0, "create", "b"))
    eq("pong\n", run(0, "ping"))
    word, version = run(0, "put", "b", "k", "v").split()
    eq("version", word)
    eq("v", run(0, "get", "b", "k"))
    eq({"value": "v", "version": int(version)}, json.loads(run(0, "get", "b", "k", "-o", "json")))
    run(3, "get", "b", "none")
    run(3, "get", "none", "k")
    run(3, "delete", "b", "none")
    run(8, "put", "b", "k", "w", "--if-absent")
    run(8, "put", "b", "k", "w", "--if-version", "77")
    run(0, "put", "b", "k", "w", "--if-version", version)
    eq({"count": 1}, json.loads(run(0, "count", "b", "-o", "json")))
    eq("1\n", run(0, "count", "b"))
    run(2, "nosuch")
    run(2, "get", "b")
    run(2, "get", "b", "k", "x")
    run(2, "get", "b", "k", "--ttl", "5")
    run(2, "put", "b", "k", "v", "--ttl", "0")
    run(2)
    run(4, "ping", env={"PAIL_NODE": "tcp://127.0.0.1:1"})
    eq("foo", json.loads(run(0, "route", "b", "-o", "json"))["node"].replace("pail", "foo"))
    eq("all is well", run(0, "status").split(":")[0])
    eq("pail", json.loads(run(0, "status", "-o", "json"))["node"])
    for c in "create drop buckets put get delete scan count route status reload shell ping bench".split():
        assert "usage: pail " + c in run(0, c, "--help")
    eq("b\n", run(0, "buckets", "-o", "raw"))
    eq("dropped\n", run(0, "drop", "b"))
    run(3, "drop", "b")


@test()
def values_pass_byte_for_byte(box):
    n = box.node()
    box.pail(n, "create", "b")
    for value in (b"", b"\0\xff\n", os.urandom(3 << 20)):
        eq(0, box.pail(n, "put", "b", "k", input=value).returncode)
        eq(value, box.pail(n, "get", "b", "k").stdout)
    r = json.loads(box.pail(n, "put", "b", "-o", "json", "--", "-k", "-v").stdout)
    eq(["version"], list(r))
    r = json.loads(box.pail(n, "scan", "b", "-o", "json", "--limit", "1").stdout)
    eq([{"key": "-k", "value": "-v", "version": r["items"][0]["version"]}], r["items"])
    box.pail(n, "put", "b", "--", "-k", input=b"\xff\xfe")
    r = json.loads(box.pail(n, "scan", "b", "-o", "json", "--limit", "1").stdout)
    eq("//4=", r["items"][0]["value_base64"])


@test()
def bench_measures(box):
    n = box.node()
    r = box.pail(n, "bench", "--requests", "2000", "--keys", "100", "--load", "-o", "json")
    eq(0, r.returncode)
    load, mixed = [json.loads(x) for x in r.stdout.splitlines()]
    eq(("load", 100, 0), (load["phase"], load["requests"], load["failed"]))
    eq((2000, 0), (mixed["requests"], mixed["failed"]))
    assert mixed["per_second"] > 0 and mixed["p50_us"] <= mixed["p99_us"] <= mixed["p999_us"]
    eq([], n.client().call("buckets")["items"])  # it cleans up after itself


@test()
def configuration_is_checked_whole(box):
    path = box.folder("conf")
    with open(path, "w") as f:
        f.write("[node]\nnmae = x\nworkers = lots\n[routes]\nz-a = pail\n")
    r = box.run(lib.BUILD + "/paild", "--config", path, "--check-config")
    eq(78, r.returncode)
    for line in (":2: unknown setting node.nmae, did you mean node.name?", ':3: node.workers = "lots" is not a number',
                 "node.data is not set", ':5: "z-a" is no range', "4 errors in the configuration"):
        assert line in r.stderr.decode(), (line, r.stderr)
    eq(78, box.run(lib.BUILD + "/paild", "--config", path).returncode)
    eq(2, box.run(lib.BUILD + "/paild").returncode)
    eq(2, box.run(lib.BUILD + "/paild", "--nonsense").returncode)
    eq(78, box.run(lib.BUILD + "/paild", "--config", box.dir + "/none", "--check-config").returncode)
    r = box.run(lib.BUILD + "/paild", "--dev", "--set", "limits.value=2M", "--print-config", env={"PAIL_LIMITS_CACHE": "8M"})
    eq(0, r.returncode)
    for line in ("# --set\nvalue = 2M\n", "# PAIL_LIMITS_CACHE\ncache = 8M\n", "# default\nunread = 64M\n"):
        assert line in r.stdout.decode(), line
    r = box.run(lib.BUILD + "/paild", "--dev", "--port", "0", "--data", "/proc/nowhere")
    eq(1, r.returncode)
    assert b'make data folder "/proc/nowhere"' in r.stderr


@test()
def samples_are_right_and_start(box):
    for path in sorted(glob.glob("conf/*.conf")):
        r = box.run(lib.BUILD + "/paild", "--config", path, "--check-config")
        eq((0, b"configuration OK\n"), (r.returncode, r.stdout))
        n = box.node("--config", path)
        c = n.client()
        if path.endswith("cluster.conf"):  # there is no etcd where it says: it waits for one
            eq("expired", c.code("create", "b", {"timeout": 200})[0])
        else:
            c.call("create", "zebra" if path.endswith("bar.conf") else "b")
        eq(0, n.stop())


@test()
def drop_ins_come_after_the_file(box):
    os.mkdir(box.dir + "/conf.d")
    for name, text in (("main.conf", "[node]\nname = main\ndata = /x\n"), ("conf.d/10.conf", "[node]\nname = ten\n"),
                       ("conf.d/20.conf", "[node]\nname = twenty\n"), ("conf.d/ignored", "junk")):
        with open(os.path.join(box.dir, name), "w") as f:
            f.write(text)
    r = box.run(lib.BUILD + "/paild", "--config", box.dir + "/main.conf", "--print-config")
    assert b"# %s/conf.d/20.conf:2\nname = twenty\n" % box.dir.encode() in r.stdout, r.stdout


@test("release")
def an_idle_node_is_small_and_quiet(box):
    n = box.node(build=os.path.abspath("build/release"))
    n.client().call("create", "b")
    pids = [n.process.pid] + n.children()

    def ticks():
        return sum(int(x) for p in pids for x in open("/proc/%d/stat" % p).read().rsplit(")", 1)[1].split()[11:13])
    for p in pids:
        rss = int(re.search(r"VmRSS:\s+(\d+) kB", open("/proc/%d/status" % p).read()).group(1))
        assert rss < 30 << 10, (p, rss)
    # Idle is when the stock of log files has been made.
    until(lambda: len(glob.glob(n.data + "/worker-*/spare-*")) >= 2 * len(n.workers()), 20, "spare log files")
    time.sleep(0.5)
    before, begin = ticks(), time.monotonic()
    time.sleep(5)
    share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin)
    assert share < 0.01, share


class Terminal:
    """A shell on a terminal of its own, as the README's reader has; its prompt is nothing that it shows otherwise."""

    def __init__(self, env, prompt="$ "):
        self.prompt = prompt.encode()
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], dict(env, PS1=prompt, TERM="dumb"))
        self.text = b""
        self.until(self.prompt)

    def until(self, what, seconds=30):
        end = time.monotonic() + seconds * lib.SLOW
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError("waited for %r, got %r" % (what, self.text[-2000:]))
            try:
                self.text += os.read(self.fd, 65536)
            except OSError:
                raise AssertionError("terminal ended: %r" % self.text[-2000:])
        head, _, self.text = self.text.partition(what)
        return head

    def run(self, command):
        self.text = b""
        os.write(self.fd, command.encode() + b"\n")
        self.until(b"\r\n")  # the echo
        out = self.until(self.prompt)
        return out.decode().replace("\r\n", "\n")

    def close(self):
        try:
            os.kill(self.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def clone(box):
    """A copy of the tree, and of what is built for release: what else lies in build may be whole machines."""
    def others(folder, names):
        return [n for n in names if n in (".git", "__pycache__") or (folder == "./build" and n != "release")]
    shutil.copytree(".", box.dir + "/clone", ignore=others, symlinks=True)
    return box.dir + "/clone"


@test("release")
def the_readme_transcript_holds(box):
    """The blocks marked `console` of the README's first session, typed into two terminals word for word."""
    text = open("README.md").read()
    session = text[text.index("## A first session"):]
    session = session[:session.index("\n## ", 5)]
    blocks = re.findall(r"```console(?: (\d))?\n(.*?)```", session, re.S)
    assert len(blocks) >= 4
    port = subprocess.run(["/usr/bin/python3", "-c", "import socket;s=socket.socket();s.bind(('127.0.0.1',0));print(s.getsockname()[1])"],
                          capture_output=True, text=True).stdout.strip()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "MAKE", "MFLAGS", "CI"))}
    env.update(PAIL_PORT=port, PAIL_NODE="tcp://127.0.0.1:" + port, NO_COLOR="1", TERM="dumb")
    tree = clone(box)
    first, second = Terminal(env), Terminal(env)
    for t in first, second:
        t.run("cd " + tree)
    try:
        for which, block in blocks:
            commands = re.split(r"^\$ ", block, flags=re.M)[1:]
            for c in commands:
                line, _, want = c.partition("\n")
                if line == "make run":
                    first.text = b""
                    os.write(first.fd, b"make run\n")
                    first.until(b"ready: node pail listens on tcp://127.0.0.1:" + port.encode(), 120)
                else:
                    eq((line, want), (line, second.run(line)))
    finally:
        os.write(first.fd, b"\x03")
        first.close()
        second.close()


def tree_with_ports(box, ports):
    """A copy of the tree in which the samples and the pages to type along use other ports."""
    tree = clone(box)
    for path in glob.glob(tree + "/conf/*.conf") + [tree + "/docs/several-nodes.md", tree + "/docs/security.md"]:
        text = open(path).read()
        for old, new in ports.items():
            text = re.sub(r"([:/])%d\b" % old, r"\g<1>%d" % new, text)
        with open(path, "w") as f:
            f.write(text)
    return tree


@test("release", "distributed")
def the_tour_of_several_nodes_holds(box):
    """The blocks of docs/several-nodes.md, typed into a terminal word for word but for the ports."""
    ports = dict(zip((4040, 4041, 4042, 4140, 4141, 4240, 4241), box.ports(7)))
    tree = tree_with_ports(box, ports)
    section = open(tree + "/docs/several-nodes.md").read()
    port = re.search(r"client = tcp://127.0.0.1:(\d+)", open(tree + "/conf/foo.conf").read()).group(1)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "MAKE", "MFLAGS", "CI"))}
    env.update(PAIL_NODE="tcp://127.0.0.1:" + port, NO_COLOR="1", PATH=tree + "/build/release:" + env["PATH"])
    t = Terminal(env)
    t.run("cd " + tree)
    done = 0
    try:
        for block in re.findall(r"```console\n(.*?)```", section, re.S):
            for c in re.split(r"^\$ ", block, flags=re.M)[1:]:
                line, _, want = c.partition("\n")
                at = re.search(r"/dev/tcp/127.0.0.1/(\d+)", line)
                if at:  # the reader is not as fast as this
                    until(lambda: not subprocess.run(["bash", "-c", ": <>" + at.group(0)], capture_output=True).returncode)
                got = t.run(line).replace("\r", "")
                if "worker restart" in line or "upgrade" in line:  # pids and times are of the moment
                    want, got = (re.sub(r"pid \d+|[\d.]+ ms", "#", x) for x in (want, got))
                eq((line, want.expandtabs()), (line, got.expandtabs()))
                done += 1
    finally:
        t.close()
        for lock in glob.glob(tree + "/build/two/*/lock"):  # whoever is left, if it went wrong
            try:
                os.kill(int(open(lock).read()), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                pass
    assert done > 25, done
    until(lambda: all(socket.socket().connect_ex(("127.0.0.1", p)) for p in ports.values()), what="the nodes to end")


@test("release", "distributed")
def the_demo_shows_what_it_says(box):
    port = next(p for p in iter(lambda: box.ports(1)[0], None) if p % 1000 < 800)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    r = subprocess.run(["tools/demo.sh", "build/release"], capture_output=True, text=True, timeout=60 * lib.SLOW,
                       env=dict(env, PAIL_DEMO_PORT=str(port)))
    eq((0, ""), (r.returncode, r.stderr))
    for line in ('bar$ pail get world greeting -o json\n    {"value":"hello-from-foo","version":2}',
                 'foo$ pail get world greeting\n    pail: node_down: node "bar" is not connected',
                 'foo$ pail get world greeting -o json\n    {"value":"hello-from-foo","version":2}',
                 'could not find entry for "42" in table [a-m = foo, n-z = bar]',
                 'shop at foo$ pail whoami\n    node    foo\n    client  shop\n    right   read:world\n    right   write:world\n',
                 'shop at bar$ pail get world greeting -o json\n    {"value":"hello-from-shop","version":',
                 'shop at foo$ pail get hello greeting\n    pail: denied: "shop" lacks read on "hello"\n',
                 'shop at foo$ pail drop world\n    pail: denied: "shop" lacks create on "world"\n',
                 'ops at foo$ pail get world greeting\n    pail: denied: "ops" lacks read on "world"\n',
                 'eve at foo$ pail get world greeting\n    pail: denied: "tcp://127.0.0.1:%d": the node does not know this key' % port,
                 'foo$ pail get world greeting\n    pail: unreachable: ',
                 'shop at foo$ pail get world greeting\n    pail: denied: "tcp://127.0.0.1:%d": the node does not know this key' % port):
        assert line in r.stdout, (line, r.stdout)
    for p in port, port + 1, port + 100, port + 101:  # nobody is left
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", p)) != 0, p


@test()
def the_port_comes_from_the_environment(box):
    port, = box.ports(1)
    n = box.node("--set", "node.log=info", wait=False, start=False)
    n.conf = "conf/dev.conf"
    n.env.update(PAIL_PORT=str(port), PAIL_NODE_DATA=n.data, PAIL_NODE_NAME="envy", PAIL_LIMITS_VALUE="1M")
    n.start()
    eq("tcp://127.0.0.1:%d" % port, n.endpoint)
    h = n.client().call("hello")
    eq(("envy", 1 << 20), (h["node"], h["limits"]["value"]))


@test("distributed")
def futures_cross_nodes(box):
    """The example of libpail, a thousand futures, on a node that must hand them all on."""
    root = box.dir
    flags = ["-I.", "-Iinclude", lib.BUILD + "/libpail.a", "-lzmq", "-pthread"]
    if "asan" in lib.BUILD:
        flags.append("-fsanitize=address,undefined")
    r = box.run("cc", "docs/examples/futures.c", *flags, "-o", root + "/futures")
    eq((0, b""), (r.returncode, r.stderr))
    n = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"foo": {"node.role": "router"}})
    n["foo"].linked()
    r = box.run(root + "/futures", n["foo"].endpoint)
    eq((0, b"1000 in flight\n1000 keys\n"), (r.returncode, r.stdout))
    r = box.pail(n["foo"], "bench", "--requests", "20000", "--load", "--keys", "1000", "-o", "json")
    for line in r.stdout.splitlines():
        eq(0, json.loads(line)["failed"])
    eq([], n["bar"].client().call("buckets")["items"])  # both clean up


@test("release")
def the_installed_tree_works(box):
    root = box.dir + "/root"
    r = box.run("make", "MODE=release", "install", "PREFIX=" + root, timeout=300)
    eq(0, r.returncode)
    n = box.node(build=root + "/bin")
    env = {"PKG_CONFIG_PATH": root + "/lib/pkgconfig", "LD_LIBRARY_PATH": root + "/lib"}
    flags = box.run("pkg-config", "--cflags", "--libs", "pail", env=env).stdout.decode().split()
    for extra in ([], ["-static-pail"]):
        libs = flags if not extra else ["-I" + root + "/include", root + "/lib/libpail.a", "-lzmq", "-pthread"]
        r = box.run("cc", "docs/examples/futures.c", *libs, "-o", box.dir + "/futures", env=env)
        eq((0, b""), (r.returncode, r.stderr))
        r = box.run(box.dir + "/futures", n.endpoint, env=env)
        eq((0, b"1000 in flight\n1000 keys\n"), (r.returncode, r.stdout))
    r = box.run("sh", "-c", "echo '#include <pail.h>' | clang -x c++ -fsyntax-only -I%s/include -" % root)
    eq((0, b""), (r.returncode, r.stderr))
    r = box.run(box.dir + "/root/libexec/pail/pail-worker")
    eq(2, r.returncode)
    assert b"started by paild" in r.stderr
