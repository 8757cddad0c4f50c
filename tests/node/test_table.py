"""Every command that pail's table knows, with every option that it takes: under this build's sanitizers, and under valgrind.

The table is what `pail help` shows.  A new command or option without a line here fails.
"""
import os
import re
import shlex
import subprocess

import lib
from lib import eq, test

PUBLIC = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
# Lines as a shell takes them: exit status, line, what stdin is ({x}: see `lines_of`).
LINES = [
    (0, "create b --retry"), (0, "create -e b2\\\\x00 --no-retry"), (0, "create gone"), (0, "drop gone --retry"), (3, "drop gone --no-retry"), (3, "drop -e none\\\\xff"), (1, "create " + "x" * 300),
    (0, "put b k v --retry"), (0, "put b k2 v --if-version 0 --no-retry"), (8, "put b k v --if-absent"), (8, "put b k v --if-version 1"), (0, "put b t v --ttl 100000"),
    (0, "put b 00ff v --hex"), (0, "put b \\\\x01 \\\\xff -e"), (2, "put b zz v -x"), (1, "put b '' v"), (0, "put b empty ''"), (3, "put none k v"),
    (0, "get b k --retry"), (0, "get b 00ff -x -o json --no-retry"), (0, "get -e b \\\\x01 -o raw"), (3, "get b none"), (3, "get none k"),
    (0, "head b t --retry"), (0, "head b 00ff -x -o json --no-retry"), (0, "head -e b \\\\x01 -o raw"), (3, "head b none"),
    (0, "touch b t --ttl 100000 --retry"), (0, "touch b t --no-retry"), (8, "touch b 00ff -x --if-version 1 -o json"), (0, "touch -e b \\\\x01 -o raw"), (3, "touch b none"),
    (3, "touch none k"), (2, "touch b k --ttl 0"),
    (0, "delete b k --retry"), (3, "delete b none --if-version 0 --no-retry"), (8, "delete b t --if-version 1"), (3, "delete -x b 01ff"), (0, "delete -e b \\\\x01"),
    (0, "count b --retry"), (0, "count -e b --no-retry"), (3, "count none"), (0, "scan b"), (0, "scan b -o json --ttl"), (0, "scan b -o raw --all --limit 1 --ttl"),
    (0, "scan b --prefix e --after a --limit 10 --from a --to z --reverse --keys-only"), (0, "scan b -x --prefix 00 --from 00 --to ff"),
    (0, "scan b -e --after \\\\x00"), (0, "scan b --ttl"), (0, "scan b --limit 1"), (3, "scan none"), (2, "scan b --limit 0"),
    (0, "buckets"), (0, "buckets -o json --local"), (0, "buckets -o raw --all --limit 1"), (0, "buckets --prefix b --after a --limit 5"),
    (0, "buckets -x --prefix 62"), (0, "buckets -e --prefix \\\\x62"),
    (2, "txn -e b nonsense"), (2, "call --raw -e b m"), (2, "call b m f {{"), (0, "txn -e b 'put \\\\x00 v' count"),
    (8, "txn b 'if k2 version = 0' count else 'scan ttl'"), (0, "txn b count -o json --retry"), (3, "txn none count --no-retry"), (0, "call b node ping --retry"), (0, "call b node ping --no-retry"),
    (0, "call -e \\\\xff node name --raw x -o json"), (3, "call b none f '{\"a\":[1.5,null]}' -o raw"), (1, "functions"), (0, "functions --admin {admin}"),
    (0, "functions --admin {admin} -o json"),
    (0, "export"), (0, "export b"), (0, "export -e --prefix \\\\x62 --local"), (0, "export --resume {dir}/all"), (0, "export b --resume {dir}/b"),
    (3, "export none"), (2, "export b --local"), (1, "export --resume {dir}/none/x"),
    (0, "import {dir}/all"), (0, "import {dir}/b --as c -o json"), (0, "import {dir}/b --as d --replace --escapes"), (1, "import {dir}/none"),
    (1, "import /dev/null"), (0, "route b"), (0, "route -e \\\\xff -o json"), (0, "status"), (0, "status -o json"), (0, "ping"), (0, "ping -o json"),
    (4, "ping --node 127.0.0.1:1"), (4, "ping --admin ipc://{dir}/none"), (78, "ping --config {dir}/none"), (0, "ping --timeout 5000"),
    (2, "ping --node nonsense"), (1, "reload"), (1, "upgrade --wait"), (1, "upgrade"), (0, "worker list"), (2, "worker"), (2, "worker nonsense"),
    (1, "worker restart --all"), (1, "worker stop 0"), (0, "reload --admin {admin}"), (0, "worker list --admin {admin} -o json"),
    (0, "worker restart 0 --admin {admin}"), (0, "worker restart --all --admin {admin}"), (0, "worker stop 0 --admin {admin}"),
    (0, "worker stop 0 --admin {admin}"), (1, "buckets"), (0, "worker start 0 --admin {admin}"), (1, "worker start 99 --admin {admin}"),
    (2, "cluster"), (2, "cluster nonsense"), (2, "cluster create"), (2, "cluster create a"), (2, "cluster create a --factor 9"),
    (2, "cluster create a --factor 1 --off"), (2, "cluster status a"), (2, "cluster drain"), (2, "cluster drain a --factor 1"),
    (1, "cluster status"), (1, "cluster status --admin {admin}"), (1, "cluster status --admin {admin} -o json"),
    (1, "cluster create --factor 3 --min-copies 2 --keep a a b c --admin {admin}"), (1, "cluster drain a --off --admin {admin}"),
    (0, "status --config {conf}"), (0, "upgrade --wait --admin {admin}"), (0, "upgrade --admin {admin} -o json"),
    (0, "bench --clients 2 --in-flight 8 --batch 4 --keys 20 --value 50 --reads 70 --requests 100 --load --buckets 2 --bucket bb --seed 7 -o json"),
    (0, "bench --seconds 1 --rate 50 --keys 10 --value 0"), (0, "bench --keep --retry --requests 10 --keys 5"), (1, "bench --bucket b"),
    (0, "whoami"), (0, "whoami -o json"), (4, "whoami --node 127.0.0.1:1"), (78, "ping --key {dir}/none"), (78, "ping --context none"),
    (0, "key new t --file {dir}/t.key"), (1, "key new t --file {dir}/t.key"), (0, "key new u --file {dir}/u.key --node-key '" + PUBLIC + "' -o json"),
    (0, "key show {dir}/u.key"), (0, "key show {dir}/t.key -o json"), (78, "key show {dir}/none"), (2, "key"), (2, "key new x --node-key zz"),
    (0, "context add c --endpoint 127.0.0.1:1 --key {dir}/t.key --node-key '" + PUBLIC + "'"), (1, "context add c --endpoint 127.0.0.1:1"),
    (0, "context list"), (0, "context list -o json"), (0, "context use c"), (4, "ping --context c --timeout 300"), (3, "context use none"),
    (0, "context remove c"), (3, "context remove c"), (2, "context"),
    (2, "bench --reads 101"), (0, "top --once --interval 1"), (0, "top -o json --once"), (2, "top --interval 0"), (2, "top x"),
    (0, "events"), (0, "events --limit 3 -o json"), (2, "events --limit 257"), (2, "events x"), (0, "help"), (0, "help put"), (2, "help nosuch"), (2, "nosuch"), (2, "-5"), (2, "get"), (0, "get --help"), (0, "--version"),
]
ALONE = [(2, ""), (4, "events --follow --node 127.0.0.1:1"), (0, "shell"), (2, "shell x"), (0, "import"), (0, "put b stdin"), (0, "--help"), (0, "-h")]  # not in a shell


def taught(box):
    """{command: {options}} as help tells."""
    run = lambda *a: box.run(lib.BUILD + "/pail", *a).stdout.decode()
    commands = re.search(r"Commands:\n(.*?)\n\n", run("help"), re.S).group(1)
    out = {}
    for name in re.findall(r"^  (\S+)", commands, re.M):
        text = run("help", name)
        out[name] = set(re.findall(r"^  (?:-\w, )?--(\S+)", text[text.index("\nOptions of all"):] if "\nOptions:" not in text else
                                   text[text.index("\nOptions:"):], re.M))
    return out


def untaught(table):
    """What the table has and no line here uses."""
    used = {}
    short = {"x": "hex", "e": "escapes", "o": "output", "h": "help", "V": "version"}
    for _, line in LINES + ALONE:
        words = line.split()
        command = next((w for w in words if not w.startswith("-")), "")
        options = used.setdefault(command, set())
        for w in words:
            if w.startswith("--"):
                options.add(w[2:])
            elif re.match(r"-[a-zA-Z]", w):
                options.update(short.get(x, "") for x in w[1:])
    everywhere = set().union(*used.values())
    common = {"node", "config", "admin", "key", "context", "timeout", "output", "help", "version"}
    missing = {c: (o - common) - used.get(c, set()) for c, o in table.items()}
    return {c: o for c, o in missing.items() if o}, set(table) - set(used), common - everywhere


def lines_of(node):
    """LINES with the places of this node."""
    admin = "ipc://%s/admin.sock" % node.data
    return [(s, line.replace("{admin}", admin).replace("{dir}", node.box.dir).replace("{conf}", node.box.dir + "/conf")) for s, line in LINES]


def environment(node):
    return {"PAIL_NODE": node.endpoint, "XDG_CONFIG_HOME": node.box.dir + "/config"}


def words_of(line):
    """As a shell parts them, for an argument list."""
    return shlex.split(line)


EXPORT = b'{"bucket":"b"}\n{"key":"k","value":"v"}\n{"end":{"buckets":1,"keys":1,"time":0}}\n'
SESSION = b"create x\nbench --requests 10 --keys 5\nnode\nhelp put\nhelp\nexit\n"


def clean(status, r, words):
    out = (r.stdout + r.stderr).decode(errors="replace")
    assert r.returncode in status and "Sanitizer" not in out and "runtime error" not in out, (words, status, r.returncode, out[-4000:])


def one_by_one(box, node, lines, *before):
    with open(box.dir + "/conf", "w") as f:
        f.write("[node]\ndata = %s\n" % node.data)
    for status, line in lines:
        text = EXPORT if line == "import" else SESSION if line == "shell" else b"value"
        r = box.run(*before, lib.BUILD + "/pail", *words_of(line), input=text, env=environment(node))
        clean((status,), r, line)


def by_a_shell(box, node, *before):
    """All lines by one shell; some of them fail, and so its exit status is one of theirs."""
    with open(box.dir + "/conf", "w") as f:
        f.write("[node]\ndata = %s\n" % node.data)
    script = "".join(line + "\n" for _, line in lines_of(node))
    r = box.run(*before, lib.BUILD + "/pail", "shell", input=script.encode(), env=environment(node), timeout=100)
    clean((1, 2), r, "shell")
    eq(2, r.stderr.count(b"unknown command: nosuch"))  # it came to the end


@test()
def every_command_of_the_table_runs(box):
    table = taught(box)
    assert len(table) > 15 and "prefix" in table["scan"], table
    eq(({}, set(), set()), untaught(table))
    n = box.node("--set", "node.workers=1")
    one_by_one(box, n, lines_of(n) + ALONE)


@test()
def a_shell_runs_every_command(box):
    by_a_shell(box, box.node("--set", "node.workers=1"))


@test("valgrind")
def every_command_runs_under_valgrind(box):
    """Reads of what was freed or never written; leaks, but for what libraries keep."""
    valgrind = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite")
    n = box.node("--set", "node.workers=1")
    by_a_shell(box, n, *valgrind)
    one_by_one(box, n, [(0, "create b"), (0, "put b stdin"), (0, "import"), (2, "put b k v --ttl x"), (0, "shell")], *valgrind)
