"""The worker: what it does while it works long, the store's clock, links in its folder."""
import os

from lib import *


def folder_of_a_node(box):
    """A data folder with one worker, some keys, and a log that is not settled; and its wal and spare files."""
    n = box.node("--set", "node.workers=1", "--set", "limits.value=64K", "--set", "storage.segment=1M",
                 "--set", "limits.log=64M")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", "v" * 1000)
    c.close()
    n.kill()
    w = n.data + "/worker-0"
    return n, w, [f for f in os.listdir(w) if f.startswith("wal-")][0], [f for f in os.listdir(w) if f.startswith("spare-")][0]


def start_refused(n, what, *parts):
    """Start it: its worker fails for good, and says why."""
    n.start(wait=False)
    before = len(n.output())
    until(lambda: "has failed for good" in n.output()[before:], 10, "a refusal of " + what)
    for part in parts:
        assert part in n.output()[before:], (what, n.output()[before:])
    n.kill()


@test()
def links_in_a_workers_folder_are_not_followed(box):
    """Each file of the store as a symbolic or hard link to a victim: refused by name, or removed, never written."""
    n, w, wal, spare = folder_of_a_node(box)
    for name in ("lock", "lock.mdb", "data.mdb", "data.mdb.new", wal, spare):
        for link in (os.symlink, os.link):
            path = os.path.join(w, name)
            kept = os.path.join(box.dir, "kept")
            victim = os.path.join(box.dir, "victim")
            here = os.path.exists(path)
            if here:
                os.rename(path, kept)
            # The real file's size and content, so that nothing but its being a link speaks against it.
            shutil.copyfile(kept, victim) if here else open(victim, "wb").close()
            with open(victim, "rb") as f:
                before = f.read()
            stat = os.stat(victim)
            link(victim, path)
            what = "%s as a %s" % (name, link.__name__)
            if name.startswith("spare") or name.endswith(".new"):
                n.start()
                eq(b"v" * 1000, n.client().call("get", "b", "k")[0])
                n.client().call("put", "b", "k", "v" * 1000)
                n.kill()
            else:
                start_refused(n, what, '/worker-0/%s": it ' % name)
            with open(victim, "rb") as f:
                assert f.read() == before and os.stat(victim).st_mtime_ns == stat.st_mtime_ns, what
            if os.path.lexists(path) and (os.path.islink(path) or os.stat(path).st_nlink > 1):
                os.unlink(path)
            os.unlink(victim)
            if here:
                os.rename(kept, path)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])


@test()
def a_lock_that_is_a_link_makes_no_file_elsewhere(box):
    """A symbolic link to a name that is free: nothing is made there."""
    n, w, _, _ = folder_of_a_node(box)
    for name in ("lock", "lock.mdb"):
        path, victim = os.path.join(w, name), os.path.join(box.dir, "victim")
        os.unlink(path)
        os.symlink(victim, path)
        start_refused(n, name, '/worker-0/%s": it is a symbolic link' % name)
        assert not os.path.exists(victim), name
        os.unlink(path)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])


@test()
def a_workers_folder_is_its_own(box):
    """It is no link, and nobody else may write to it: else whoever can plant links could race the checks."""
    n, w, _, _ = folder_of_a_node(box)
    elsewhere = os.path.join(box.dir, "elsewhere")
    os.rename(w, elsewhere)
    os.symlink(elsewhere, w)
    for undo, part in ((lambda: (os.unlink(w), os.rename(elsewhere, w)), "is a symbolic link"),
                       (lambda: os.chmod(w, 0o750), "others may write to folder"),
                       (lambda: os.chmod(w, 0o750), "others may write to folder")):
        start_refused(n, part, part, "/worker-0")
        undo()
        os.chmod(w, 0o777 if part.startswith("is") else 0o770)
    os.chmod(w, 0o750)
    n.start()
    eq(b"v" * 1000, n.client().call("get", "b", "k")[0])
