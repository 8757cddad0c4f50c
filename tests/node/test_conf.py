"""The configuration: what is wrong is said, where it stands; what is right works from anywhere."""
import os

import lib
from lib import eq, test, until


def write(box, name, text):
    path = os.path.join(box.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


def check(box, path, *args, status=78, env=None):
    """What --check-config says of a file."""
    r = box.run(lib.BUILD + "/paild", "--config", path, "--check-config", *args, env=env)
    out = r.stderr.decode()
    eq((status, out), (r.returncode, out))
    return out


@test()
def a_comment_begins_with_a_lines_first_character(box):
    path = write(box, "a.conf", "# one\n[node]\ndata = /x\n[peers]\nbar = tcp://127.0.0.1:4141 #7kVq\n")
    r = box.run(lib.BUILD + "/paild", "--config", path, "--print-config")
    assert b"bar = tcp://127.0.0.1:4141 #7kVq\n" in r.stdout or b"7kVq" in r.stderr, (r.stdout, r.stderr)
    path = write(box, "b.conf", "[node]\nname = foo # me\ndata = here    # made if missing\n  # indented\n[limits]\nvalue = 1M #\n")
    out = check(box, path)
    for n in (2, 3, 4, 6):
        assert "b.conf:%d: " % n in out, (n, out)
    assert "# begins a comment only as the first character of a line" in out, out
    assert "4 errors" in out and not os.path.exists(os.path.join(box.dir, "here    # made if missing")), out


@test()
def what_is_printed_is_a_configuration_again(box):
    path = write(box, "a.conf", "[node]\nname = foo\ndata = d\n[limits]\nvalue = 1M\n[peers]\nbar = tcp://127.0.0.1:4141\n"
                                "[routes]\na-m = foo\nn-z = bar\n")
    one = box.run(lib.BUILD + "/paild", "--config", path, "--print-config")
    eq(0, one.returncode)
    assert b"# %s:2\nname = foo\n" % path.encode() in one.stdout, one.stdout
    again = write(box, "again.conf", one.stdout.decode())
    two = box.run(lib.BUILD + "/paild", "--config", again, "--print-config")
    eq(0, two.returncode)

    def values(text):
        return [line for line in text.splitlines() if not line.startswith(b"#")]
    eq(values(one.stdout), values(two.stdout))


@test()
def a_file_that_is_not_there_is_the_only_error(box):
    out = check(box, box.dir + "/none.conf")
    eq("%s/none.conf: cannot open: No such file or directory\npaild: 1 error in the configuration\n" % box.dir, out)
    path = write(box, "main.conf", "# first\ninclude = part.inc\n[node]\nname = foo\n[routes]\na-m = foo\nn-z = bar\n")
    out = check(box, path)
    eq("%s:2: include = %s/part.inc: cannot open: No such file or directory\npaild: 1 error in the configuration\n"
       % (path, box.dir), out)


@test()
def suggestions_are_near(box):
    path = write(box, "a.conf", "[node]\ndata = /x\nnmae = foo\nfoo = 1\nworker = 2\nport = 4040\ncache = 1M\n"
                                "[limit]\nvalu = 1M\n[nodes]\nzzz = 1\n[peer]\nbar = tcp://h:1\n")
    out = check(box, path)
    for want in ("unknown setting node.nmae, did you mean node.name?\n", "unknown setting node.foo\n",
                 "unknown setting node.worker, did you mean node.workers?\n", "unknown setting node.port\n",
                 "unknown setting node.cache, did you mean limits.cache?\n",
                 "unknown setting limit.valu, did you mean limits.value?\n",
                 "unknown section [nodes], did you mean [node]?\n", "unknown section [peer], did you mean [peers]?\n"):
        assert want in out, (want, out)


@test()
def a_variable_that_is_no_setting_is_said(box):
    path = write(box, "a.conf", "[node]\ndata = /x\n")
    env = {"PAIL_FOO_BAR": "1", "PAIL_LIMITS_CASHE": "1G", "PAIL_NODE": "tcp://127.0.0.1:1", "PAIL_LIMITS_VALUE": "1M"}
    out = check(box, path, status=0, env=env)
    eq(["PAIL_FOO_BAR is set but is no setting: it is ignored",
        "PAIL_LIMITS_CASHE is set but is no setting: it is ignored; did you mean PAIL_LIMITS_CACHE?"],
       sorted(out.splitlines()))
    n = box.node(env={"PAIL_FOO_BAR": "1"})
    assert "PAIL_FOO_BAR is set but is no setting" in n.output(), n.output()


@test()
def help_tells_of_peers_routes_and_include(box):
    out = box.run(lib.BUILD + "/paild", "--help").stdout.decode()
    for word in ("[peers]", "[routes]", "include = FILE"):
        assert word in out, word


@test()
def relative_paths_begin_in_the_configurations_folder(box):
    """A node started in one folder is asked from another, by a relative and by an absolute name of its file."""
    port = box.ports(1)[0]
    os.makedirs(box.dir + "/etc/conf.d")
    os.mkdir(box.dir + "/elsewhere")
    write(box, "etc/more.inc", "[limits]\nvalue = 1M\n")
    path = write(box, "etc/foo.conf", "include = more.inc\n[node]\nname = foo\nclient = tcp://127.0.0.1:%d\nworkers = 1\n" % port)
    write(box, "etc/conf.d/data.conf", "[node]\ndata = pail-foo\n")
    n = lib.Node(box, conf="../etc/foo.conf", data=box.dir + "/etc/pail-foo", start=False)
    here = os.getcwd()
    os.chdir(box.dir + "/elsewhere")
    try:
        n.start()
    finally:
        os.chdir(here)
    assert os.path.exists(n.data + "/lock"), os.listdir(box.dir + "/etc")
    for cwd, name in (("/", path), (box.dir + "/etc", "foo.conf"), (box.dir, "etc/foo.conf"), (box.dir + "/elsewhere", "../etc/foo.conf")):
        r = box.run(lib.BUILD + "/pail", "--config", name, "status", "-o", "json", cwd=cwd)
        eq((0, True), (r.returncode, b'"node":"foo"' in r.stdout))
    r = box.run(lib.BUILD + "/pail", "--config", path, "reload", cwd="/")
    eq((0, b"nothing to change\n"), (r.returncode, r.stdout))
    # flags and the environment: from where one stands
    r = box.run(lib.BUILD + "/paild", "--config", path, "--data", "mine", "--print-config", cwd=box.dir)
    assert b"# --data\ndata = mine\n" in r.stdout, r.stdout


def settings(box, *args, env=None):
    """What --print-config says: {key: (value, origin)}."""
    r = box.run(lib.BUILD + "/paild", *args, "--print-config", env=env)
    eq((0, b""), (r.returncode, r.stderr))
    out, section, origin = {}, "", ""
    for line in r.stdout.decode().splitlines():
        if line.startswith("["):
            section = line[1:-1]
        elif line.startswith("# "):
            origin = line[2:]
        elif line:
            key, value = line.split(" =", 1)
            out["%s.%s" % (section, key)] = (value.strip(), origin)
    return out


@test()
def limits_fit_the_machine(box):
    path = write(box, "a.conf", "[node]\ndata = %s/data\nworkers = 2\n" % box.dir)
    s = settings(box, "--config", path, env={"PAIL_MEMORY": "24G"})
    eq(("6G", "default: a quarter of the memory of 24G"), s["limits.cache"])
    assert s["limits.log"] == ("6G", "default: a quarter of the memory of 24G") or "a tenth of the disk" in s["limits.log"][1], s
    s = settings(box, "--config", path, env={"PAIL_MEMORY": "512M"})
    eq(("128M", "default: a quarter of the memory of 512M"), s["limits.cache"])
    eq(("128M", "default: a quarter of the memory of 512M"), s["limits.log"])
    s = settings(box, "--config", path, "--set", "node.workers=12", env={"PAIL_MEMORY": "512M"})
    eq(("590M", "default: the least for 12 workers"), s["limits.log"])
    s = settings(box, "--config", path, "--set", "limits.cache=77M", env={"PAIL_MEMORY": "24G", "PAIL_LIMITS_LOG": "2G"})
    eq((("77M", "--set"), ("2G", "PAIL_LIMITS_LOG")), (s["limits.cache"], s["limits.log"]))
    s = settings(box, "--dev", env={"PAIL_MEMORY": "24G", "PAIL_NODE_WORKERS": "1"})
    eq((("256M", "default: small, with --dev"), ("1G", "default: small, with --dev")), (s["limits.cache"], s["limits.log"]))
    for wrong in ("abc", "0", "2 G", "-1"):
        r = box.run(lib.BUILD + "/paild", "--config", path, "--check-config", env={"PAIL_MEMORY": wrong})
        eq((78, b'PAIL_MEMORY: "%s" is no size such as 512M or 2G' % wrong.encode()), (r.returncode, r.stderr.split(b"\n")[0]))
    # what is raised says so
    s = settings(box, "--config", path, env={"PAIL_STORAGE_RESERVE": "1M"})
    eq("PAIL_STORAGE_RESERVE: storage.reserve = 1M, raised: six log files for each of 2 workers", s["storage.reserve"][1])


@test()
def a_log_that_cannot_work_is_refused(box):
    path = write(box, "a.conf", "[node]\ndata = %s/data\nworkers = 12\n[limits]\nlog = 64M\n" % box.dir)
    out = check(box, path)
    for part in (path + ":5: limits.log = 64M is too little: it must be ", " at least, for 12 workers with 4 files each",
                 "the largest value (limits.value = 8M) and one that holds the largest transaction (limits.message = 16M)"):
        assert part in out, out
    least = out.split("it must be ")[1].split(" ")[0]
    eq("", check(box, path, "--set", "limits.log=" + least, status=0))
    assert "is too little" in check(box, path, "--set", "limits.log=%dK" % (int(least[:-1]) - 1))
    eq("", check(box, path, "--set", "limits.value=64K", "--set", "limits.message=1M", status=0))
    # the number of workers is the folder's, once there is one
    n = box.node("--set", "node.workers=12", "--set", "limits.value=1M", "--set", "limits.message=2M")
    eq(0, n.stop())
    r = box.run(lib.BUILD + "/paild", "--dev", "--data", n.data, "--set", "limits.log=100M", "--check-config")
    assert b"for 12 workers" in r.stderr, r.stderr


def with_workers(workers):
    def f(box):
        n = box.node("--set", "node.workers=%d" % workers, "--set", "storage.checkpoint_ms=200")
        c = n.client()
        buckets = ["b%d" % i for i in range(6 * workers)]
        for b in buckets:
            eq(True, c.call("create", b))
        for life in range(2):
            for i in c.send(*(("put", b, "k%d" % life, "v") for b in buckets)):
                c.result(i)
            until(lambda: n.status()["storage"]["recent_keys"] == 0, 20, "everything to settle")
            assert n.status()["storage"]["checkpoints"] > 0
            for i in c.send(*(("put", b, "more%d" % life, "v") for b in buckets)):
                c.result(i)
            n.kill()
            n.start()
            c = n.client()
            for i in c.send(*(("count", b) for b in buckets)):
                eq(2 * life + 2, c.result(i))
        eq(0, n.stop())
    f.__name__ = "a_node_of_%d_workers_takes_writes_and_checkpoints" % workers
    return f


for _workers in 1, 2, 5, 12, 33:
    test("kill")(with_workers(_workers))


@test()
def a_disk_that_is_too_small_is_said_at_start(box):
    for size, args in (("1m", ()), ("64m", ()), ("40m", ("--set", "node.workers=2", "--set", "limits.value=1M"))):
        mount = box.folder("tmpfs")
        os.mkdir(mount)
        r = box.run("mount", "-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", mount)
        if r.returncode:
            raise AssertionError("this test mounts a tmpfs and needs to be root: %s" % r.stderr)
        box.undo.append(lambda m=mount: box.run("umount", "-l", m))
        r = box.run(lib.BUILD + "/paild", "--dev", "--port", "0", "--data", mount, *args)
        out = r.stderr.decode()
        eq((1, b""), (r.returncode, r.stdout))
        for part in ('data folder "%s" is on a disk with ' % mount, "a new node needs ", "storage.reserve = "):
            assert part in out, out
    # fewer workers would do: the folder does not insist on two.  And one that is just large enough works.
    eq(["lock"], os.listdir(mount))
    r = box.run("mount", "-o", "remount,size=80m", mount)
    eq(0, r.returncode)
    n = box.node("--set", "node.workers=2", "--set", "limits.value=1M", data=mount)
    c = n.client()
    for b in range(10):
        for q in ("create", "b%d" % b), ("put", "b%d" % b, "k", b"x" * (1 << 20)):
            # so small a log is full now and then, but not for long
            until(lambda: c.wait(c.send(q)[0])[2] is None, 10, "%s to be taken" % (q[:2],))
    eq(0, n.stop())


@test("kill")
def a_worker_that_never_starts_is_given_up(box):
    """Its folder is a file: it is tried a few times, then it has failed for good, and the others serve."""
    n = box.node("--set", "node.workers=2", "--set", "storage.map=1G")
    eq(0, n.stop())
    os.rename(n.data + "/worker-1/data.mdb", n.data + "/worker-1/data.away")
    os.mkdir(n.data + "/worker-1/data.mdb")
    n.start(wait=False)
    n.wait_ready()
    states = [w["state"] for w in n.workers()]
    eq(["up", "failed"], states)
    os.rmdir(n.data + "/worker-1/data.mdb")
    os.rename(n.data + "/worker-1/data.away", n.data + "/worker-1/data.mdb")
    eq("up", n.client(admin=True).call("worker", "start", 1)["state"])
    eq(0, n.stop())


@test()
def endpoints_and_names_are_checked_where_they_are_written(box):
    good = {"node.client": "tcp://127.0.0.1:4040"}
    for key, value, why in (
            ("node.client", "tcp://127.0.0.1:99999", "the port is above 65535"), ("node.client", "4040", ""),
            ("node.client", "udp://127.0.0.1:4040", ""), ("node.client", "tcp://256.1.1.1:4040", "above 255"),
            ("node.client", '"tcp://127.0.0.1:4040"', ""), ("node.peer", "tcp://127.0.0.1", ""),
            ("node.admin", "tcp://127.0.0.1:4043", "it must be a socket file"), ("gateway.text", "4042", "HOST:PORT"),
            ("gateway.text", "127.0.0.1:99999", "the port is above 65535"), ("gateway.text", "tcp://127.0.0.1:4042", "HOST:PORT"),
            ("gateway.text", "somewhere:4042", "the host must be an address"), ("node.name", '"foo"', "without quotes"),
            ("node.name", "a b", "blank"), ("node.name", "a=b", ""), ("node.data", '"/tmp/x"', "without quotes"),
            ("peers.bar", "4141", ""), ("peers.bar", "tcp://127.0.0.1:0", "port 0"), ("peers.bar", "tcp://300.1.1.1:1", "above 255"),
            ("peers.b r", "tcp://127.0.0.1:1", "blank"), ('peers."bar"', "tcp://127.0.0.1:1", "without quotes")):
        sections = {"node": ["data = %s/d" % box.dir]}
        if key == "node.data":
            sections["node"] = []
        for k, v in dict(good, **{key: value}).items():
            section, name = k.split(".", 1)
            sections.setdefault(section, []).append("%s = %s" % (name, v))
        path = write(box, "a.conf", "".join("[%s]\n%s\n" % (s, "\n".join(lines)) for s, lines in sections.items()))
        out = check(box, path)
        assert "1 error in" in out or key == "node.data", out
        assert "a.conf:" in out and why in out, (key, value, out)
    # what may be left out
    path = write(box, "a.conf", "[node]\ndata = d\nclient = 127.0.0.1:4040\nadmin = ipc://run.sock\n[peers]\nbar = localhost:4141\nq = -\n")
    s = settings(box, "--config", path)
    eq(("tcp://127.0.0.1:4040", "tcp://localhost:4141", "-", "ipc://%s/run.sock" % box.dir),
       tuple(s[k][0] for k in ("node.client", "peers.bar", "peers.q", "node.admin")))
    r = box.run(lib.BUILD + "/paild", "--dev", "--port", "99999", "--check-config")
    eq(78, r.returncode)


@test()
def one_place_one_listener_one_way(box):
    base = "[node]\nname = foo\ndata = d\n"
    for text, why in (
            ("client = tcp://127.0.0.1:4040\npeer = tcp://127.0.0.1:4040\n", "node.client = tcp://127.0.0.1:4040 and node.peer = "),
            ("client = tcp://0.0.0.0:4041\npeer = tcp://127.0.0.1:4041\n[security]\nopen = yes\n", "only one can listen there"),
            ("client = tcp://127.0.0.1:4041\n[peers]\nbar = tcp://h:1\n", "only one can listen there"),
            ("[gateway]\ntext = 127.0.0.1:4040\n", "gateway.text = 127.0.0.1:4040 are one place"),
            ("[routes]\na-m = foo\nn-z = foo\na-m = foo\n", 'a.conf:7: "a-m" is routed already, to foo in %s/a.conf:5' % box.dir),
            ("[routes]\nx = foo\n0x78 = foo\n", '"0x78" is routed already'),
            ("[peers]\na = tcp://h:1\nb = tcp://h:1\n", "is where a is already"),
            ("peer = tcp://127.0.0.1:4041\n[peers]\na = tcp://127.0.0.1:4041\n", "is this node's own node.peer"),
            ("[peers]\na = -\n[routes]\nx = a\n", "route to a peer that only asks")):
        out = check(box, write(box, "a.conf", base + text))
        assert why in out and "1 error in" in out, (why, out)
    for text in ("client = tcp://127.0.0.1:0\npeer = tcp://127.0.0.1:0\n", "client = tcp://127.0.0.1:4041\n",
                 "client = tcp://127.0.0.1:4040\npeer = tcp://127.0.0.2:4040\n", "[routes]\na-m = foo\na-z = foo\n* = foo\n",
                 "[peers]\na = -\nb = -\n"):
        check(box, write(box, "a.conf", base + text), status=0)
