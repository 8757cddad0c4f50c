"""Manual pages and bash's completion: that they hold what --help says, and that they work."""
import os
import re
import shutil
import subprocess

import lib
from lib import eq, test
from test_cli import Terminal

PAGES = "pail.1", "paild.8", "pail.conf.5", "pail-protocol.7"


def manual(box):
    """Made anew from the programs under test; the folder."""
    build = box.folder("build")
    os.mkdir(build)
    for p in "pail", "paild":
        os.symlink(os.path.join(os.path.abspath(lib.BUILD), p), os.path.join(build, p))
    r = box.run("tools/manual/make.sh", build)
    eq((0, b""), (r.returncode, r.stderr))
    return build + "/manual"


def shown(page):
    """What a reader sees of it."""
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", page], capture_output=True, text=True, check=True).stdout
    return re.sub(r".\x08", "", text)


def help_of(box, *words):
    r = box.run(lib.BUILD + "/" + words[0], *words[1:], "--help")
    eq(0, r.returncode)
    return r.stdout.decode()


def commands(box):
    found = re.findall(r"^  ([a-z]+)\b", help_of(box, "pail").split("Commands:")[1].split("\n\n")[0], re.M)
    assert len(found) > 10, found
    return found


def words(text):
    return {w.strip("`'.,;:()").lower() for w in text.split()}


@test()
def the_manual_holds_what_help_says(box):
    at = manual(box)
    page = {p: shown(at + "/" + p) for p in PAGES}
    pail = help_of(box, "pail") + "".join(help_of(box, "pail", c) for c in commands(box))
    eq(set(), words(pail) - words(page["pail.1"]) - {"usage", "[options", "[options]"})
    paild, settings = help_of(box, "paild").split("\nSettings:\n")
    eq(set(), words(paild) - words(page["paild.8"] + page["pail.conf.5"]) - {"usage"})
    keys = re.findall(r"^  ([a-z]+)\.([a-z_]+) +(.*)", settings, re.M)
    assert len(keys) > 25, keys
    for section, key, meaning in keys:
        there = page["pail.conf.5"].split("[%s]\n" % section)[1].split("\n   [")[0]
        m = re.search(r"^       %s\s(.*?)(?:\n\n|\Z)" % key, there, re.M | re.S)
        assert m, (section, key, there)
        eq(set(), words(meaning) - words(m.group(1)))
    protocol, there = (set(re.findall(r"[a-z_0-9]+", re.sub(r"\]\([^)]*\)|^```.*", "", text.lower(), flags=re.M)))
                       for text in (open("docs/protocol.md").read(), page["pail-protocol.7"]))
    eq(set(), protocol - there)
    for p in PAGES:  # and it is well-formed
        r = box.run("mandoc", "-T", "lint", "-W", "warning", at + "/" + p)
        eq((0, b""), (r.returncode, r.stdout))
        if shutil.which("groff") and shutil.which("man"):
            r = box.run("man", "--warnings", "-E", "UTF-8", "-l", at + "/" + p, env={"MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            eq((0, b""), (r.returncode, r.stderr))
        name, section = p.rsplit(".", 1)
        assert re.match(r"%s\(%s\) " % (name.upper(), section), shown(at + "/" + p)), p


class Completion:
    """bash with the completion sourced, asked what it would offer."""

    def __init__(self, box):
        self.box, self.file = box, manual(box) + "/pail.bash"

    def __call__(self, line):
        script = '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; f=_${2%% *}; $f "${2%% *}"; printf "%s\\n" "${COMPREPLY[@]}"'
        r = self.box.run("bash", "--norc", "-c", script, "x", self.file, line,
                         env={"PATH": os.path.abspath(lib.BUILD) + ":" + os.environ["PATH"], "PAIL_NODE": "tcp://127.0.0.1:1"})
        eq((0, b""), (r.returncode, r.stderr))
        return r.stdout.decode().split()


@test()
def completion_offers_what_there_is_and_works(box):
    n = box.node()
    c = n.client()
    for b in "fruit", "frost", "world":
        c.call("create", b)
    complete = Completion(box)
    eq(commands(box), complete("pail "))
    for command in commands(box):
        own = set(re.findall(r"^  +(?:-[a-z], )?(--[a-z-]+)", help_of(box, "pail", command), re.M))
        eq(set(), own - set(complete("pail %s --" % command)))
        eq(command, complete("pail --timeout 100 %s" % command)[0])
    eq({"--if-absent", "--if-version"}, set(complete("pail put fruit k --if-")))
    eq(["table", "json", "raw"], complete("pail scan b -o "))
    eq(["restart"], complete("pail --config x worker r"))
    # Buckets come from the node that the line names, whose endpoint bash would split; none, if it is not there.
    eq(["frost", "fruit"], complete("pail --node %s get fr" % n.endpoint))
    eq(["frost", "fruit", "world"], complete("pail --admin ipc://%s/admin.sock drop " % n.data))
    eq(["world"], complete("pail --node %s bench --bucket w" % n.endpoint))
    eq([], complete("pail get fr"))
    eq([], complete("pail --node %s get fruit a" % n.endpoint))
    eq(["frost", "fruit"], complete("pail --node %s get -- fr" % n.endpoint))
    # paild
    assert {"--config", "--dev", "--set", "--check-config"} <= set(complete("paild --"))
    eq({"node.workers="}, set(complete("paild --set node.w")))
    eq(["conf/prod.conf"], complete("paild --config conf/prod"))
    eq(["conf/prod.conf"], complete("pail --config conf/prod"))
    eq(["conf/prod.conf"], complete("pail export --resume conf/prod"))
    eq(["--resume"], complete("pail export --re"))
    # At a terminal the last word of the line is what TAB made of it, and it is run.
    t = Terminal(dict(os.environ, PATH=os.path.abspath(lib.BUILD) + ":" + os.environ["PATH"], NO_COLOR="1"))
    try:
        t.run(". " + complete.file)
        eq("0\n", t.run("pail --no\t%s cou\tfru\t" % n.endpoint))
    finally:
        t.close()


@test("release")
def what_is_installed_is_found(box):
    root = box.dir + "/root"
    r = box.run("make", "MODE=release", "install", "DESTDIR=" + root, "PREFIX=/usr", timeout=300)
    eq((0, b""), (r.returncode, r.stderr))
    for p in PAGES:
        assert os.path.getsize("%s/usr/share/man/man%s/%s" % (root, p[-1], p)) > 500, p
    for name in "pail", "paild":
        r = box.run("bash", "--norc", "-c", '. "$1"; complete -p "$2"', "x",
                    root + "/usr/share/bash-completion/completions/" + name, name)
        eq((0, b"complete -F _%s %s\n" % (name.encode(), name.encode())), (r.returncode, r.stdout))
    unit = open(root + "/usr/lib/systemd/system/pail@.service").read()
    for page in re.findall(r"man:([a-z.-]+)\((\d)\)", unit):
        assert "%s.%s" % page in PAGES, page
    for path in re.findall(r"file:(\S+)", unit):
        assert os.path.exists(root + path), path
