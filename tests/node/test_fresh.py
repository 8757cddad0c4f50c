"""The first minute: what is installed, what is built for a test, make run and make demo in a world that is not empty."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import lib
from lib import eq, test


def clean(**more):
    """The environment without what this run of the tests put there."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("PAIL_", "MAKE", "MFLAGS", "ONLY", "EXCLUDE", "INCLUDE", "CI", "AGAIN"))}
    return dict(env, **more)


def program(path, text):
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)


def tree(box, *what):
    """A clone with nothing built but what lies in lib.BUILD."""
    root = box.dir + "/clone"
    for name in what:
        if os.path.isdir(name):
            shutil.copytree(name, root + "/" + name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            os.makedirs(root, exist_ok=True)
            shutil.copy(name, root)
    os.mkdir(root + "/build")
    return root


def deps(box, part, user=0):
    """What deps.sh would have apt install where nothing is there."""
    fake = box.folder("bin")
    os.mkdir(fake)
    program(fake + "/dpkg-query", "exit 1\n")
    program(fake + "/id", "echo %d\n" % user)
    program(fake + "/sudo", 'touch "%s/asked"\nexec "$@"\n' % fake)
    program(fake + "/apt-get", 'echo "$@" >>"%s/apt"\n' % fake)
    r = subprocess.run(["tools/deps.sh", part], capture_output=True, text=True,
                       env=clean(PATH=fake + ":" + os.environ["PATH"]))
    eq((0, ""), (r.returncode, r.stderr))
    update, install = open(fake + "/apt").read().splitlines()
    eq("update", update.split()[0])
    eq(user != 0, os.path.exists(fake + "/asked"))
    words = install.split()
    assert "install" in words and "--no-install-recommends" in words, words
    return {w for w in words[words.index("install") + 1:] if not w.startswith("-")}


@test()
def what_runs_needs_no_tools_of_tests(box):
    run, whole = deps(box, "run"), deps(box, "test", user=1000)
    for p in "gcc", "libc6-dev", "liblmdb-dev", "libzmq3-dev":
        assert p in run, run
    tools = re.compile(r"clang|llvm|python|cunit|mandoc|pkg-config|iproute2")
    eq([], [p for p in run if tools.search(p)])
    # clang only recommends what its fuzz targets are linked with.
    for p in "clang", "libclang-rt-dev", "libcunit1-dev", "python3-zmq":
        assert p in whole, whole
    assert run < whole
    # make run takes the first, make test both: as the Makefile says
    for target, part in ("run", "run"), ("demo", "run"), ("test", "test"):
        out = subprocess.run(["make", "-n", target], capture_output=True, text=True, env=clean()).stdout
        eq(["tools/deps.sh " + part], re.findall(r"tools/deps\.sh.*", out))


def make_test(box, **env):
    """Run tests/run.sh with what has been built, under a make that only writes down what it was asked for."""
    root = box.dir + "/clone"
    if not os.path.exists(root):
        tree(box, "tests", "conf", "docs", "README.md")
        os.makedirs(root + "/build/debug/tests/unit")
        for p in "paild", "pail", "pail-worker", "pail-gateway":
            os.symlink(os.path.join(os.path.abspath(lib.BUILD), p), root + "/build/debug/" + p)
        for name in os.listdir("tests/unit"):
            if name.startswith("test_"):
                program(root + "/build/debug/tests/unit/" + name[:-2], "")
        program(root + "/build/debug/tests/unit/test_wire", '[ "$1" = --list ] && echo one || echo "ok $*"\n')
        os.mkdir(box.dir + "/bin")
        program(box.dir + "/bin/make", 'echo "$@" >>"%s/made"\n' % box.dir)
    made = box.dir + "/made"
    open(made, "w").close()
    r = subprocess.run(["tests/run.sh"], cwd=root, capture_output=True, text=True, timeout=100 * lib.SLOW,
                       env=clean(PATH=box.dir + "/bin:" + os.environ["PATH"], **env))
    return r, open(made).read().splitlines()


@test("runner")
def one_test_builds_only_what_it_needs(box):
    r, made = make_test(box, ONLY="scans")
    assert re.search(r"^ok scans ", r.stdout, re.M), r.stdout + r.stderr
    eq((0, "1 passed, 0 failed"), (r.returncode, r.stdout.splitlines()[-1]))
    eq(1, len(made))
    assert "MODE=debug" in made[0] and made[0].endswith(" all"), made
    for what in "ASan and TSan", "fuzz targets", "power_cuts", "all unit tests":
        assert re.search("^left out: .*" + what, r.stdout, re.M), (what, r.stdout)


@test("runner")
def a_unit_test_builds_the_unit_tests(box):
    r, made = make_test(box, ONLY="test_wire")
    eq(["all unit"], [" ".join(m.split()[-2:]) for m in made])
    assert "MODE=debug" in made[0], made
    assert "== debug/test_wire\nok one\n" in r.stdout and "nodes\n" not in r.stdout, r.stdout


@test("runner")
def unit_tests_that_fail_among_several_at_once_are_named(box):
    make_test(box, ONLY="test_wire")
    unit = box.dir + "/clone/build/debug/tests/unit/test_"
    listed = '[ "$1" = --list ] && echo one && exit\n'
    # the first one by its name ends last, and waits until another has failed: they are at once
    program(unit + "away", listed + 'while [ ! -e "%s/failed" ]; do sleep 0.01; done\necho "ok $*"\n' % box.dir)
    program(unit + "key", listed + 'echo "not ok two"; touch "%s/failed"; exit 1\n' % box.dir)
    program(unit + "parts", listed + 'echo "ok three"; kill -SEGV $$\n')
    r, _ = make_test(box, ONLY="test_wire test_away test_key test_parts")
    shown = ("== debug/test_away\nok one\n== debug/test_key\nnot ok two\n== debug/test_parts\nok three\n"
             "not ok debug/test_parts ended badly\n== debug/test_wire\nok one\n")
    assert shown in r.stdout, r.stdout + r.stderr
    eq((1, "3 passed, 2 failed"), (r.returncode, r.stdout.splitlines()[-1]))
    # A second try, where it is asked for, is said: one passes then, the other one ends as badly.
    program(unit + "key", listed + '[ -e "%s/again" ] && echo "ok two" && exit\necho "not ok two"; touch "%s/failed" "%s/again"; exit 1\n'
            % (box.dir, box.dir, box.dir))
    os.unlink(box.dir + "/failed")
    r, _ = make_test(box, ONLY="test_wire test_away test_key test_parts", AGAIN="2")
    shown = ("== debug/test_key\n# not ok two\n# debug/test_key failed: a second try, when nothing else runs\n== debug/test_parts\n# ok three\n"
             "# not ok debug/test_parts ended badly\n# debug/test_parts failed: a second try, when nothing else runs\n== debug/test_wire\nok one\n"
             "== debug/test_key, alone\nok two\n== debug/test_parts, alone\nok three\nnot ok debug/test_parts ended badly\n")
    assert shown in r.stdout, r.stdout + r.stderr
    eq((1, "4 passed, 1 failed"), (r.returncode, r.stdout.splitlines()[-1]))


@test()
def names_that_there_are_not_are_said(box):
    for variable, words, bad in (("ONLY", "nosuch", "nosuch"), ("ONLY", "scans,scan5", "scan5"),
                                 ("EXCLUDE", "asn", "asn"), ("INCLUDE", "tortoise", "tortoise")):
        r, made = make_test(box, **{variable: words})
        assert r.returncode != 0, (variable, words)
        eq('%s: there is no test, tag, kind or mode "%s"\n' % (variable, bad), r.stderr)
        eq(([], ""), (made, r.stdout))


@test()
def make_run_says_at_once_that_its_port_is_taken(box):
    root = tree(box, "conf", "tools")
    os.symlink(os.path.abspath(lib.BUILD), root + "/build/x")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = subprocess.run(["tools/run.sh", "build/x"], cwd=root, capture_output=True, text=True, timeout=30,
                           env=clean(PAIL_PORT=str(port)))
    eq((1, ""), (r.returncode, r.stdout))
    assert "port %d is taken" % port in r.stderr and "PAIL_PORT=%d" % (port + 10) in r.stderr, r.stderr
    eq(False, os.path.exists(root + "/build/data"))


@test()
def the_node_of_make_run_is_reached_by_its_file_from_anywhere(box):
    root = tree(box, "conf", "tools")
    os.symlink(os.path.abspath(lib.BUILD), root + "/build/x")
    port, = box.ports(1)
    env = clean(PAIL_PORT=str(port), PAIL_STORAGE_RESERVE="1M")
    p = subprocess.Popen(["tools/run.sh", "build/x"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True, env=env)
    try:
        said = ""
        while "ready: " not in said:
            line = p.stdout.readline()
            assert line, said
            said += line
        # What it says to type, from another folder.
        typed = re.findall(r"^  ((?:export|pail) .*)", said, re.M)
        eq(5, len(typed))
        r = subprocess.run(["sh", "-ec", "\n".join(typed)], cwd="/", capture_output=True, text=True,
                           env=clean(PAIL_STORAGE_RESERVE="1M"))
        eq((0, ""), (r.returncode, r.stderr))
        assert "\nredall is well: " in r.stdout, r.stdout  # a value has no line end
        again = subprocess.run(["tools/run.sh", "build/x"], cwd=root, capture_output=True, text=True, timeout=30, env=env)
        eq(1, again.returncode)
        assert "runs already (pid %d)" % p.pid in again.stderr, again.stderr
        assert "another port" not in again.stderr, again.stderr  # that would find the folder in use
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(30 * lib.SLOW)
    eq(0, p.returncode)


def demo(*args, **env):
    begin = time.monotonic()
    r = subprocess.run(["tools/demo.sh", *args], capture_output=True, text=True, timeout=60 * lib.SLOW, env=clean(**env))
    return r, time.monotonic() - begin


@test("release", "distributed")
def the_demo_takes_free_ports(box):
    """Somebody listens where it would begin, and the settings of other nodes are in the environment."""
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", 4040))
            s.listen()
        except OSError:
            pass  # somebody does
        r, _ = demo("build/release", PAIL_PORT="4040", PAIL_NODE="tcp://127.0.0.1:4040", PAIL_NODE_DATA="/nowhere")
    eq((0, ""), (r.returncode, r.stderr))
    assert 'bar$ pail get world greeting -o json\n    {"value":"hello-from-foo","version":2}' in r.stdout, r.stdout
    assert "tcp://127.0.0.1:4040" not in r.stdout and "foo listens on tcp://127.0.0.1:" in r.stdout, r.stdout


@test("distributed")
def the_demo_says_at_once_what_stands_in_its_way(box):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r, took = demo("build/release", PAIL_DEMO_PORT=str(port - 101))
    eq((1, ""), (r.returncode, r.stdout))
    assert "port %d is taken" % port in r.stderr and "PAIL_DEMO_PORT" in r.stderr, r.stderr
    assert took < 5 * lib.SLOW, took
    for bad in "x", "70000", "0":
        r, _ = demo("build/release", PAIL_DEMO_PORT=bad)
        eq(2, r.returncode)
        assert "PAIL_DEMO_PORT=" + bad in r.stderr, r.stderr
    # A node that dies at once is not waited for.
    os.mkdir(box.dir + "/bad")
    program(box.dir + "/bad/paild", "echo 'no luck today' >&2; exit 1\n")
    r, took = demo(box.dir + "/bad")
    eq(1, r.returncode)
    assert "node foo has ended" in r.stderr and "no luck today" in r.stderr, r.stderr
    assert took < 5 * lib.SLOW, took
