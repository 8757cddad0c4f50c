"""The data folder: only one that can be trusted is taken, and nothing outside of it is written."""
import os
import stat
import subprocess

import lib
from lib import eq, test


def start(box, data, *args, umask=None):
    """A node that must not start; what it says."""
    r = subprocess.run([lib.BUILD + "/paild", "--dev", "--data", data, "--port", "0"] + list(args), capture_output=True,
                       timeout=30 * lib.SLOW, stdin=subprocess.DEVNULL)
    assert r.returncode in (1, 78) and not r.stdout, (r.returncode, r.stdout, r.stderr)
    return r.stderr.decode()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@test()
def a_folder_of_others_is_refused(box):
    """Neither empty nor Pail's; writable by others; another user's; in a folder where others may put another."""
    d = box.dir + "/etc"
    os.mkdir(d)
    with open(d + "/passwd", "w") as f:
        f.write("root")
    out = start(box, d)
    assert 'neither empty nor one of Pail\'s: there is "passwd" in it' in out, out
    eq(["passwd"], os.listdir(d))
    assert "neither empty" in start(box, "/etc")
    out = box.run(lib.BUILD + "/paild", "--dev", "--data", "/etc", "--check-config")
    eq(78, out.returncode)
    for bits in 0o777, 0o1777, 0o770:
        d = box.dir + "/open%o" % bits
        os.mkdir(d)
        os.chmod(d, bits)
        assert "chmod go-w" in start(box, d)
        eq([], os.listdir(d))
    n = box.node()
    eq(0, n.stop())
    os.chmod(n.data, 0o777)
    assert "others may write to" in start(box, n.data)
    os.chmod(n.data, 0o750)
    d = box.dir + "/shared"
    os.mkdir(d)
    os.chmod(d, 0o777)
    assert "lies in one that everybody may write to" in start(box, d + "/data")
    eq([], os.listdir(d))
    os.chmod(d, 0o1777)  # sticky, as /tmp is
    m = box.node(data=d + "/data")
    eq(0, m.stop())
    if os.geteuid() == 0:
        os.chown(n.data, 65534, 65534)
        assert "belongs to user 65534" in start(box, n.data)
        os.chown(n.data, 0, 0)
        os.chown(d, 65534, 65534)
        os.chmod(d, 0o755)
        assert "lies in a folder of user 65534" in start(box, d + "/data")
    n.start()


@test()
def a_fresh_file_system_and_an_unfinished_start_are_empty(box):
    d = box.dir + "/data"
    os.makedirs(d + "/lost+found")
    for name in "lock", "format.new":
        with open(d + "/" + name, "w") as f:
            f.write("1\n")
    n = box.node(data=d)
    n.client().call("create", "b")


@test()
def links_are_not_followed(box):
    """The lock, the format and its new version as links to a victim: refused, the victim stays as it is."""
    victim = box.dir + "/victim"
    with open(victim, "w") as f:
        f.write("precious")
    for made in False, True:
        for name in "lock", "format.new", "format":
            for how in os.symlink, os.link:
                if made and name == "format.new":
                    continue
                if made:
                    n = box.node("--set", "node.workers=1")
                    eq(0, n.stop())
                    d = n.data
                    os.rename(d + "/" + name, d + "/away")
                    os.remove(d + "/away")
                else:
                    d = box.folder("data")
                    os.mkdir(d)
                how(victim, d + "/" + name)
                out = start(box, d)
                assert "%s/%s" % (d, name) in out and "link" in out, (name, out)
                with open(victim) as f:
                    eq("precious", f.read())
    # a link to the whole folder is as good as where it lies
    n = box.node()
    eq(0, n.stop())
    os.symlink(n.data, box.dir + "/link")
    m = box.node(data=box.dir + "/link")
    eq(0, m.stop())
    os.mkdir(box.dir + "/open")
    os.chmod(box.dir + "/open", 0o777)
    os.symlink(n.data, box.dir + "/open/link")
    assert "everybody may write to" in start(box, box.dir + "/open/link")


@test()
def modes_do_not_depend_on_the_umask(box):
    for mask in 0, 0o22, 0o77:
        old = os.umask(mask)
        try:
            n = box.node("--set", "node.workers=1")
        finally:
            os.umask(old)
        eq((0o640, 0o660), (mode(n.data + "/format"), mode(n.data + "/admin.sock")))
        assert not mode(n.data) & 0o027 and not mode(n.data + "/lock") & 0o037, (mode(n.data), mode(n.data + "/lock"))
        eq(0, n.stop())


@test()
def an_admin_socket_takes_nothings_place(box):
    path = box.dir + "/precious"
    with open(path, "w") as f:
        f.write("precious")
    out = start(box, box.folder("data"), "--set", "node.admin=ipc://" + path)
    assert "there is something that is no socket" in out and "node.admin" in out, out
    with open(path) as f:
        eq("precious", f.read())
    sock = box.dir + "/a.sock"
    n = box.node("--set", "node.admin=ipc://" + sock)
    out = start(box, box.folder("data"), "--set", "node.admin=ipc://" + sock)
    assert "the address is in use" in out and "set node.admin to another" in out, out
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://" + sock, "ping")
    eq(0, r.returncode)
    n.kill()
    n.start()  # what a killed node leaves is no obstacle
    eq(0, box.run(lib.BUILD + "/pail", "--admin", "ipc://" + sock, "ping").returncode)
