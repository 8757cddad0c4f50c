"""Partitions: how many there are is fixed when a data folder is made, and nothing is lost by what a configuration says later."""
import json
import os
import re
import shutil
import subprocess

import lib
from lib import eq, test


def refused(box, data, *args, errors=1):
    """Says the same at a start and to --check-config; what it says."""
    said = []
    for more in (), ("--check-config",):
        r = subprocess.run([lib.BUILD + "/paild", "--dev", "--data", data, "--port", "0"] + list(args) + list(more),
                           capture_output=True, timeout=30 * lib.SLOW, stdin=subprocess.DEVNULL)
        eq((78, b""), (r.returncode, r.stdout))
        said.append(r.stderr.decode())
    eq(said[0], said[1])
    assert not errors or said[0].endswith("paild: %d error in the configuration\n" % errors), said[0]
    return said[0]


def setting(box, data, *args):
    """storage.partitions as --print-config has it: its value, and where it comes from."""
    r = box.run(lib.BUILD + "/paild", "--dev", "--data", data, "--print-config", *args)
    eq((0, b""), (r.returncode, r.stderr))
    return re.search(r"# ([^\n]*)\npartitions = (\d+)\n", r.stdout.decode()).groups()[::-1]


def fill(c, n):
    for i in range(n):
        eq(True, c.call("create", "b%d" % i))
        assert c.call("put", "b%d" % i, "k", "v%d" % i) > 0


def there(c, n):
    for i in range(n):
        eq(b"v%d" % i, c.call("get", "b%d" % i, "k")[0])


def shape(n):
    s = n.status()["storage"]
    return s["partitions"], s["store"]


def with_partitions(workers, partitions):
    def f(box):
        n = box.node("--set", "node.workers=%d" % workers, "--set", "storage.partitions=%d" % partitions)
        fill(n.client(), 40)
        number, store = shape(n)
        eq((partitions, 32), (number, len(store)))
        assert re.fullmatch("[0-9a-f]{32}", store), store
        eq(0, n.stop())
        # left out, the numbers are the folder's
        eq(("%d" % partitions, "default: the data folder's"), setting(box, n.data))
        m = box.node(data=n.data)
        eq((partitions, store), shape(m))
        eq(workers, len(m.workers()))
        there(m.client(), 40)
        m.kill()
        m.start()
        there(m.client(), 40)
        eq(0, m.stop())
    f.__name__ = "%d_partitions_on_%d_workers_keep_what_they_got" % (partitions, workers)
    return f


for _workers, _partitions in (1, 1), (2, 2), (1, 4), (3, 4096):
    test("kill")(with_partitions(_workers, _partitions))


@test()
def a_partition_is_one_workers(box):
    """Four partitions on three workers: the first has two of them, and so about half of the buckets."""
    n = box.node("--set", "node.workers=3", "--set", "storage.partitions=4")
    c = n.client()
    for i in c.send(*(("create", "bucket %d" % i) for i in range(400))):
        c.result(i)
    have = [w["buckets"] for w in n.workers()]
    eq(400, sum(have))
    assert 170 < have[0] < 230 and 70 < have[1] < 130 and 70 < have[2] < 130, have
    eq(0, n.stop())


@test()
def numbers_that_cannot_be_are_refused(box):
    data = box.dir + "/none"
    for workers, partitions, why in ((1, 3, "storage.partitions = 3 is no power of two"),
                                     (2, 0, "storage.partitions = 0 is out of range: 1 to 4096"),
                                     (2, 8192, "storage.partitions = 8192 is out of range: 1 to 4096"),
                                     (2, 4095, "storage.partitions = 4095 is no power of two"),
                                     (3, 2, "storage.partitions = 2 is less than the number of workers, 3 (node.workers)")):
        out = refused(box, data, "--set", "node.workers=%d" % workers, "--set", "storage.partitions=%d" % partitions)
        assert out.startswith("--set: ") and why in out, out
        out = refused(box, data, "--set", "node.workers=%d" % workers, "--set", "storage.partitions=%d" % partitions, "--set",
                      "node.role=router", "--set", "limits.log=1G", errors=None)
        assert why in out, out
    assert not os.path.exists(data)
    eq(("256", "default"), setting(box, data))
    eq(("4096", "PAIL_STORAGE_PARTITIONS"), env_setting(box, data))


def env_setting(box, data):
    os.environ["PAIL_STORAGE_PARTITIONS"] = "4096"
    try:
        return setting(box, data)
    finally:
        del os.environ["PAIL_STORAGE_PARTITIONS"]


@test()
def another_number_for_a_folder_is_refused(box):
    n = box.node("--set", "node.workers=2", "--set", "storage.partitions=64")
    fill(n.client(), 10)
    eq(0, n.stop())
    out = refused(box, n.data, "--set", "storage.partitions=128")
    assert 'data folder "%s" was made for 64 partitions, storage.partitions says 128: the number is fixed' % n.data in out, out
    assert "start on it with 64, `pail export >FILE`, stop; then set node.data to a new folder, start with 128, `pail import FILE`" in out, out
    out = refused(box, n.data, "--set", "node.workers=3")
    assert "was made for 2 workers, node.workers says 3: the number is fixed" in out, out
    assert "start on it with 2, `pail export >FILE`, stop;" in out, out
    # as it says
    old = box.node("--set", "node.workers=2", "--set", "storage.partitions=64", data=n.data)
    r = box.pail(old, "export")
    eq(0, r.returncode)
    with open(box.dir + "/FILE", "wb") as f:
        f.write(r.stdout)
    eq(0, old.stop())
    new = box.node("--set", "node.workers=3", "--set", "storage.partitions=128")
    r = box.pail(new, "import", box.dir + "/FILE")
    eq(0, r.returncode)
    there(new.client(), 10)
    eq(128, shape(new)[0])
    assert shape(new)[1] != ""
    eq(0, new.stop())


@test()
def a_folder_of_before_is_refused_with_the_way_over(box):
    n = box.node("--set", "node.workers=1")
    eq(0, n.stop())
    with open(n.data + "/format", "w") as f:
        f.write("pail 1\nworkers 1\n")
    before = sorted(os.listdir(n.data))
    out = refused(box, n.data)
    assert out.startswith('--data: data folder "%s" was made by an older version of Pail, this one cannot read its data.' % n.data), out
    assert "start the program of before on it, `pail export >FILE`, stop it; then set node.data to a new folder, start this one, `pail import FILE`" in out, out
    eq(before, sorted(os.listdir(n.data)))
    with open(n.data + "/format", "w") as f:
        f.write("pail 7\n")
    assert "was made by a later version of Pail: start that one on it" in refused(box, n.data)
    with open(n.data + "/format", "w") as f:
        f.write("pail 2\nworkers 1\n")
    assert 'format" is damaged: take the file, or the folder, from a backup' in refused(box, n.data)


@test()
def a_running_node_keeps_its_numbers(box):
    """A reload that changes them, and an upgrade with them changed, are refused; left out or as they are, they stay."""
    n = box.cluster({"foo": {"*": "foo"}}, more={"foo": {"storage.partitions": 4}}, workers=3)["foo"]
    fill(n.client(), 20)
    before = shape(n)
    for key, value, why in (("storage.partitions", 128, "was made for 4 partitions, storage.partitions says 128"),
                            ("node.workers", 2, "was made for 3 workers, node.workers says 2")):
        old = n.more[key]
        n.more[key] = value
        n.configure()
        for command in (("reload",), ("upgrade", "--wait")):
            r = box.run(lib.BUILD + "/pail", "--config", n.conf, *command)
            out = r.stderr.decode()
            assert r.returncode and why in out and "nothing has changed" in out, (command, r.returncode, out)
            assert "pail import FILE" in out, out
        n.more[key] = old
        n.configure()
    del n.more["storage.partitions"]
    n.configure()
    r = box.run(lib.BUILD + "/pail", "--config", n.conf, "reload")
    eq((0, b"nothing to change\n"), (r.returncode, r.stdout))
    r = box.run(lib.BUILD + "/pail", "--config", n.conf, "upgrade", "--wait")
    eq((0, b""), (r.returncode, r.stderr))
    eq(before, shape(n))
    c = n.client()
    there(c, 20)
    eq(20, len(c.call("buckets")["items"]))
    # another folder, and other numbers for it, are for the next start: until then the numbers are those of the one that is in use
    kept = n.conf + ".kept"
    shutil.copy(n.conf, kept)
    with open(n.conf) as f:
        text = f.read()
    with open(n.conf, "w") as f:
        f.write(re.sub("(?m)^data = .*$", "data = %s/another" % box.dir, text) + "[storage]\npartitions = 8\n")
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "reload")
    eq(0, r.returncode)
    assert b"storage.partitions = 8 (was 4)" in r.stdout and b"a restart is needed for" in r.stdout, r.stdout
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "upgrade", "--wait")
    eq((0, b""), (r.returncode, r.stderr))
    eq(before, shape(n))
    there(n.client(), 20)
    assert not os.path.exists(box.dir + "/another")
    os.rename(kept, n.conf)
    eq(0, n.stop())
    n.start()
    eq(before, shape(n))
    there(n.client(), 20)
    out = json.loads(box.run(lib.BUILD + "/pail", "--config", n.conf, "status", "-o", "json").stdout)
    eq(list(before), [out["storage"]["partitions"], out["storage"]["store"]])
