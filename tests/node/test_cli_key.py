"""pail's keys and contexts without a node: what is written, what goes before what, clumsy hands."""
import json
import os
import re
import resource
import signal
import stat
import subprocess

import lib
from lib import eq, test

PAIL = os.path.abspath(lib.BUILD) + "/pail"
NOWHERE = "tcp://127.0.0.1:1"
ASK = "count", "b", "--retry", "--timeout", "100"  # asks a node, and waits for no longer than that


class Home:
    """A folder of a user's, and pail run in it with an environment of its own."""

    def __init__(self, box, name="home", **env):
        self.box, self.dir = box, box.folder(name)
        os.makedirs(self.dir)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PAIL_") and k != "XDG_CONFIG_HOME"}
        self.env.update(HOME=self.dir, **env)

    def run(self, *args, env=None, before=(), **kw):
        return subprocess.run([*before, PAIL, *args], cwd=kw.pop("cwd", self.dir), env=dict(self.env, **(env or {})),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **kw)

    def ok(self, *args, **kw):
        r = self.run(*args, **kw)
        eq((0, args), (r.returncode, args) if r.returncode == 0 else (r.returncode, r.stderr))
        return r.stdout

    def fails(self, status, text, *args, **kw):
        r = self.run(*args, **kw)
        eq((status, args, ""), (r.returncode, args, r.stdout))
        assert text in r.stderr, (args, text, r.stderr)
        return r.stderr

    def contexts(self):
        return {c["name"]: c for c in json.loads(self.ok("context", "list", "-o", "json"))["contexts"]}

    def file(self):
        return self.dir + "/.config/pail/contexts"


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def secret_of(path):
    return re.search(r"^secret = (\S{40})$", open(path).read(), re.M).group(1)


@test()
def a_new_key_is_a_file_and_a_line(box):
    h = Home(box)
    for umask in 0, 0o077, 0o777:
        name = "u%03o" % umask
        r = h.run("key", "new", name, preexec_fn=lambda: os.umask(umask))
        eq(0, r.returncode)
        m = re.fullmatch(name + r" (\S{40}) read:\* write:\*\n", r.stdout)
        assert m, r.stdout
        assert m.group(1) in r.stderr and "[security] clients" in r.stderr, r.stderr
        path = "%s/%s.key" % (h.dir, name)
        eq(0o600, mode(path))
        text = open(path).read()
        assert "name = %s\npublic = %s\nsecret = " % (name, m.group(1)) in text, text
        assert secret_of(path) not in r.stdout + r.stderr
        eq("name    %s\npublic  %s\n" % (name, m.group(1)), h.ok("key", "show", path))
        eq("%s %s\n" % (name, m.group(1)), h.ok("key", "show", path, "-o", "raw"))
        eq({"name": name, "public": m.group(1), "servers": []}, json.loads(h.ok("key", "show", path, "-o", "json")))
        os.unlink(path)
        r = json.loads(h.ok("key", "new", name, "-o", "json"))
        eq((name, name + ".key", "%s %s read:* write:*" % (name, r["public"])), (r["name"], r["file"], r["line"]))
    keys = {h.ok("key", "new", "n%d" % i).split()[1] for i in range(20)}
    eq(20, len(keys))
    node = h.ok("key", "show", "n1.key", "-o", "raw").split()[1]
    other = h.ok("key", "show", "n2.key", "-o", "raw").split()[1]
    h.ok("key", "new", "shop", "--node-key", node + "," + other, "--file", "elsewhere")
    eq([node, other], json.loads(h.ok("key", "show", "elsewhere", "-o", "json"))["servers"])
    assert not os.path.exists(h.dir + "/shop.key")


@test()
def a_key_is_written_over_nothing(box):
    h = Home(box)
    h.ok("key", "new", "a")
    os.mkdir(h.dir + "/d.key")
    os.symlink("nowhere", h.dir + "/l.key")
    os.symlink("a.key", h.dir + "/m.key")
    os.mkfifo(h.dir + "/p.key")
    before = open(h.dir + "/a.key").read()
    for name in "admpl":
        assert "is there already" in h.fails(1, name + ".key", "key", "new", name)
    eq(before, open(h.dir + "/a.key").read())
    assert not os.path.lexists(h.dir + "/nowhere")
    h.fails(1, "none/x.key", "key", "new", "x", "--file", "none/x.key")
    for bad in "", "a b", "a/b", "-", "x" * 64, "é":
        eq((2, ""), (lambda r: (r.returncode, r.stdout))(h.run("key", "new", "--", bad)))
    h.fails(2, "40 characters", "key", "new", "y", "--node-key", "short")
    h.fails(2, "new or show", "key", "make", "y")
    h.fails(2, "", "key", "new")
    eq({"a.key", "d.key", "l.key", "m.key", "p.key"}, set(os.listdir(h.dir)))


def full():
    """From the tenth byte of a file on; without the signal, as a full disk has none."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


@test()
def a_full_disk_and_a_closed_folder_leave_what_was(box):
    h = Home(box)
    h.fails(1, "x.key", "key", "new", "x", preexec_fn=full)
    eq([], os.listdir(h.dir))
    h.fails(1, "/proc/x.key", "key", "new", "x", "--file", "/proc/x.key")
    h.ok("context", "add", "x", "--endpoint", "a:1")
    before = open(h.file()).read()
    h.fails(1, h.file(), "context", "add", "y", "--endpoint", "a:2", preexec_fn=full)
    h.fails(1, h.file(), "context", "use", "x", preexec_fn=full)
    eq(before, open(h.file()).read())
    eq({"contexts", "contexts.lock"}, set(os.listdir(os.path.dirname(h.file()))))


@test()
def show_tells_what_is_wrong_and_no_secret(box):
    h = Home(box)
    h.ok("key", "new", "a")
    h.ok("key", "new", "b")
    a, b = h.dir + "/a.key", h.dir + "/b.key"
    text, secret = open(a).read(), secret_of(a)
    h.fails(78, "none.key", "key", "show", "none.key")
    os.chmod(a, 0o644)
    h.fails(78, "a.key", "key", "show", "a.key")
    os.chmod(a, 0o600)
    for bad in (text.replace(secret, secret_of(b)), text.replace(secret, secret[:-1]), text.replace("name", "nmae"), "", text + text):
        with open(a, "w") as f:
            f.write(bad)
        said = h.fails(78, "a.key", "key", "show", "a.key")
        assert secret not in said and secret[:-1] not in said and secret_of(b) not in said, said


@test()
def contexts_are_kept(box):
    h = Home(box)
    eq({}, h.contexts())
    eq("there are none\n", h.ok("context", "list"))
    h.ok("key", "new", "shop")
    public = h.ok("key", "show", "shop.key", "-o", "raw").split()[1]
    h.ok("context", "add", "dev", "--endpoint", "127.0.0.1:1")
    os.mkdir(h.dir + "/sub")
    r = h.run("context", "add", "prod", "--endpoint", "127.0.0.1:2,[::1]:3", "--key", "../shop.key", "--node-key", public, cwd=h.dir + "/sub")
    eq((0, ""), (r.returncode, r.stderr))
    key = h.dir + "/sub/../shop.key"
    want = {"dev": {"name": "dev", "current": False, "endpoint": "127.0.0.1:1", "key": None, "node_key": None},
            "prod": {"name": "prod", "current": False, "endpoint": "127.0.0.1:2,[::1]:3", "key": key, "node_key": public}}
    eq(want, h.contexts())
    h.ok("context", "use", "prod")
    want["prod"]["current"] = True
    eq(want, h.contexts())
    assert re.search(r"^\* prod +127", h.ok("context", "list"), re.M) and re.search(r"^  dev ", h.ok("context", "list"), re.M)
    eq("dev\nprod\n", h.ok("context", "list", "-o", "raw"))
    eq((0o600, 0o700, 0o700), (mode(h.file()), mode(os.path.dirname(h.file())), mode(h.dir + "/.config")))
    h.fails(1, "remove dev", "context", "add", "dev", "--endpoint", "127.0.0.1:9")
    h.fails(3, "none", "context", "use", "none")
    h.fails(3, "none", "context", "remove", "none")
    eq(want, h.contexts())
    h.ok("context", "remove", "prod")
    del want["prod"]
    eq(want, h.contexts())
    h.ok("context", "add", "prod", "--endpoint", "127.0.0.1:2")  # it is not in use again by itself
    eq(False, h.contexts()["prod"]["current"])
    assert "secret" not in open(h.file()).read()
    # what is kept all the same, with a word
    assert "it is kept" in h.run("context", "add", "later", "--endpoint", "127.0.0.1:2", "--key", "later.key").stderr
    assert "node's public key" in h.run("context", "add", "half", "--endpoint", "127.0.0.1:2", "--key", "shop.key").stderr
    eq(4, len(h.contexts()))


@test()
def wrong_contexts_are_refused_whole(box):
    h = Home(box)
    h.ok("context", "add", "a", "--endpoint", "127.0.0.1:1")
    before = open(h.file()).read()
    for words in (["--endpoint", "nonsense"], ["--endpoint", "127.0.0.1:1\nkey = /x"], ["--endpoint", ""], [],
                  ["--endpoint", "127.0.0.1:1", "--node-key", "x"], ["--endpoint", "127.0.0.1:1", "--key", "x\ny"],
                  ["--endpoint", "127.0.0.1:1", "--key", "x "], ["--endpoint", ",".join(["127.0.0.1:1"] * 17)]):
        r = h.run("context", "add", "b", *words)
        eq((2, "", words), (r.returncode, r.stdout, words))
    for name in "a b", "]", "x=y", "", "#", "n" * 64:
        eq((2, name), (h.run("context", "add", "--endpoint", "127.0.0.1:1", "--", name).returncode, name))
    h.fails(2, "--endpoint", "context", "use", "a", "--endpoint", "127.0.0.1:1")
    h.fails(2, "list takes nothing", "context", "list", "a")
    h.fails(2, "which one", "context", "use")
    eq(before, open(h.file()).read())


@test()
def a_bent_file_of_contexts_is_told(box):
    h = Home(box)
    h.ok("context", "add", "a", "--endpoint", "127.0.0.1:1")
    h.ok("context", "use", "a")
    good = open(h.file()).read()
    for text, line in ((good + "x\n", 6), (good + "nokey = 1\n", 6), (good + "key = rel\n", 6), (good + "[a]\n", 6), ("foo = 1\n" + good, 1),
                       (good + "endpoint = 127.0.0.1:1\n", 6), (good + "[b\n", 6), (good + "node-key = z\n", 6), ("current = a\n" + good, 3),
                       (good + "key = /" + "x" * 9000 + "\n", 6), (good + "[b]\n", None), ("current = b\n", None), (good + "\0\n", 6)):
        with open(h.file(), "w") as f:
            f.write(text)
        for command in (["context", "list"], ["context", "add", "c", "--endpoint", "127.0.0.1:1"], ASK, [*ASK, "--context", "a"]):
            said = h.fails(78, h.file() + (":%d: " % line if line else ": "), *command)
            assert len(said) < 1500, said
        eq(text, open(h.file()).read())
        h.fails(4, "127.0.0.1:1", *ASK, "--node", NOWHERE)  # who names a node does not need it
    with open(h.file(), "w") as f:
        f.write("# mine\n\r\n  \n" + good.replace("\n", " \r\n").replace(" = ", "\t=  "))
    eq(True, h.contexts()["a"]["current"])
    os.chmod(h.file(), 0o660)
    h.fails(78, "others may write", "context", "list")
    h.fails(78, "others may write", "ping")
    os.chmod(h.file(), 0o600)
    # a link is read, but not replaced by a file
    os.rename(h.file(), h.dir + "/real")
    os.symlink(h.dir + "/real", h.file())
    eq({"a"}, set(h.contexts()))
    h.fails(1, "link", "context", "add", "b", "--endpoint", "127.0.0.1:1")
    assert os.path.islink(h.file())
    os.unlink(h.file())
    os.mkfifo(h.file())
    h.fails(78, "no file", "context", "list")
    os.unlink(h.file())
    os.mkdir(h.file())
    h.fails(78, h.file(), "context", "list")


@test()
def contexts_have_their_place(box):
    h = Home(box)
    other = box.folder("xdg")
    h.ok("context", "add", "a", "--endpoint", "127.0.0.1:1", env={"XDG_CONFIG_HOME": other})
    assert os.path.exists(other + "/pail/contexts") and not os.path.exists(h.dir + "/.config")
    eq({}, h.contexts())
    h.ok("context", "add", "b", "--endpoint", "127.0.0.1:1", env={"XDG_CONFIG_HOME": "relative"})
    eq({"b"}, set(h.contexts()))
    homeless = Home(box, "none")
    del homeless.env["HOME"]
    homeless.fails(78, "HOME", "context", "add", "a", "--endpoint", "127.0.0.1:1")
    homeless.fails(78, "HOME", "ping", "--context", "a")
    eq("there are none\n", homeless.ok("context", "list"))
    homeless.fails(4, "127.0.0.1:1", *ASK, "--node", NOWHERE)
    taken = Home(box, "taken")
    open(taken.dir + "/.config", "w").close()
    taken.fails(1, "/.config", "context", "add", "a", "--endpoint", "127.0.0.1:1")
    taken.fails(1, "/proc/none", "context", "add", "a", "--endpoint", "127.0.0.1:1", env={"XDG_CONFIG_HOME": "/proc/none"})


@test()
def contexts_are_changed_one_at_a_time(box):
    h = Home(box)
    running = [subprocess.Popen([PAIL, "context", "add", "c%d" % i, "--endpoint", "127.0.0.1:%d" % (i + 1)], env=h.env,
                                stderr=subprocess.PIPE) for i in range(40)]
    for p in running:
        eq((b"", 0), (p.communicate(timeout=60)[1], p.returncode))
    eq({"c%d" % i: "127.0.0.1:%d" % (i + 1) for i in range(40)}, {n: c["endpoint"] for n, c in h.contexts().items()})
    # one that holds the lock for ever is waited for, not for ever
    held = subprocess.Popen(["flock", h.file() + ".lock", "sleep", "60"])
    try:
        lib.until(lambda: subprocess.run(["flock", "-n", h.file() + ".lock", "true"]).returncode, 10, "the lock")
        h.fails(1, "another pail", "context", "remove", "c1")
        eq(40, len(h.contexts()))
    finally:
        held.kill()
        held.wait()


def asked(r):
    """The endpoint that nobody answered at."""
    eq(4, r.returncode)
    return re.search(r'no node answers at "tcp://127.0.0.1:(\d+)"', r.stderr).group(1)


@test()
def an_option_goes_before_the_environment_and_that_before_the_context(box):
    """Endpoints: every combination of --node, --context, PAIL_NODE, PAIL_CONTEXT, the context in use."""
    h = Home(box)
    for name, port in ("flag", 2), ("variable", 4), ("current", 5):
        h.ok("context", "add", name, "--endpoint", "127.0.0.1:%d" % port)
    for bits in range(32):
        words, env = list(ASK), {}
        if bits & 1:
            words += ["--node", "127.0.0.1:1"]
        if bits & 2:
            words += ["--context", "flag"]
        if bits & 4:
            env["PAIL_NODE"] = "127.0.0.1:3"
        if bits & 8:
            env["PAIL_CONTEXT"] = "variable"
        if bits & 16:
            h.ok("context", "use", "current")
        elif h.contexts()["current"]["current"]:
            h.ok("context", "remove", "current")
            h.ok("context", "add", "current", "--endpoint", "127.0.0.1:5")
        first = (bits & -bits).bit_length() if bits else None
        if first is None:  # the default, where a node may well listen
            continue
        eq((bits, str(first)), (bits, asked(h.run(*words, env=env))))
    h.fails(2, "PAIL_NODE", "ping", env={"PAIL_NODE": "x"})
    h.fails(78, "nobody", "ping", env={"PAIL_CONTEXT": "nobody"})
    h.fails(78, "nobody", "ping", "--context", "nobody", env={"PAIL_CONTEXT": "variable"})


@test()
def key_files_come_from_the_first_that_names_one(box):
    """A key file that is not there is named in the error: so which one was taken can be seen."""
    h = Home(box)
    h.ok("key", "new", "node")
    node = h.ok("key", "show", "node.key", "-o", "raw").split()[1]
    for name in "flag", "variable", "current":
        h.run("context", "add", name, "--endpoint", "127.0.0.1:1", "--key", name + ".key", "--node-key", node)
    h.ok("context", "add", "plain", "--endpoint", "127.0.0.1:1")
    h.ok("context", "add", "half", "--endpoint", "127.0.0.1:1", "--node-key", node)
    h.ok("context", "use", "current")

    def taken(*words, **env):
        r = h.run(*ASK, *words, env=env)
        m = re.search(r"(\w+)\.key", r.stderr)
        eq(78 if m else 4, r.returncode)
        return m and m.group(1)

    key, variable = ["--key", "option.key"], {"PAIL_KEY": "pailkey.key"}
    context, named = ["--context", "flag"], {"PAIL_CONTEXT": "variable"}
    there = ["--node", NOWHERE]
    eq("option", taken(*key, *context, **variable, **named))
    eq("option", taken(*key, *there))
    eq("option", taken(*key))
    eq("flag", taken(*context, **variable, **named))
    eq("pailkey", taken(**variable, **named))
    eq("pailkey", taken(**variable))
    eq("pailkey", taken(*there, **variable))
    eq("variable", taken(**named))
    eq("variable", taken(*there, **named))
    eq("current", taken())
    eq(None, taken(*there))  # the one in use counts only where no node is named
    eq(None, taken(PAIL_NODE=NOWHERE))
    eq(None, taken("--context", "plain", **variable))
    eq("pailkey", taken("--context", "half", **variable))
    h.fails(78, "half", "ping", "--context", "half")
    # the admin socket has no keys
    for words in (["--admin", "ipc:///nowhere"], ["--config", "/nowhere.conf"]):
        assert ".key" not in h.run("ping", *words, env=dict(variable, PAIL_CONTEXT="nobody")).stderr
    # a shell's commands go where it went, unless they say otherwise
    r = subprocess.run([PAIL, "shell", "--context", "flag"], input="ping\nping --key other.key\nping --node %s\nping --context variable\n" % NOWHERE,
                       env=h.env, cwd=h.dir, capture_output=True, text=True, timeout=60)
    eq(["flag", "other", "flag", "variable"], re.findall(r"(\w+)\.key", r.stderr))
    r = subprocess.run([PAIL, "shell"], input="ping\nnode %s\nping\n" % NOWHERE, env=h.env, cwd=h.dir, capture_output=True, text=True,
                       timeout=60)
    eq(["current"], re.findall(r"(\w+)\.key", r.stderr))
    assert "no node answers" in r.stderr
