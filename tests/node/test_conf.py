"""The configuration: what is wrong is said, where it stands; what is right works from anywhere."""
import os

import lib
from lib import eq, test


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
