"""Clients of other makers' libraries (tests/foreign): JeroMQ, npm's zeromq, Perl's ZMQ::FFI, pyzmq under asyncio."""
import os
import re
import shutil
import subprocess
import sys

import lib
from lib import eq, test

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "foreign")
JARS = "/usr/share/java/jeromq.jar:/usr/share/java/msgpack-core.jar"
MODULES = os.path.abspath("build/foreign/node_modules")


def java(box):
    classes = box.folder("classes")
    if not os.path.isdir(classes):
        r = box.run("javac", "-cp", JARS, "-d", classes, HERE + "/Client.java")
        eq((0, b""), (r.returncode, r.stderr))
    return ["java", "-cp", JARS + ":" + classes, "Client"]


def npm(box):
    return ["env", "NODE_PATH=" + MODULES, "node", HERE + "/client.js"]


def perl(box):
    return ["perl", HERE + "/client.pl"]


def python(box):
    return [sys.executable, HERE + "/client.py"]


def missing_java():
    if not shutil.which("javac") or not all(os.path.exists(j) for j in JARS.split(":")):
        return "there is no JDK with JeroMQ and msgpack here: tools/deps.sh foreign installs them"


def missing_npm():
    if not shutil.which("node") or not os.path.isdir(MODULES + "/zeromq"):
        return "there is no node.js with zeromq here: tools/deps.sh foreign installs it"


def missing_perl():
    if subprocess.run(["perl", "-MZMQ::FFI", "-MData::MessagePack", "-e", "1"], capture_output=True).returncode:
        return "there is no Perl with ZMQ::FFI and Data::MessagePack here: tools/deps.sh foreign installs them"


MISSING = {"java": missing_java, "npm": missing_npm, "perl": missing_perl}


def run(box, client, mode):
    node = box.node()
    r = box.run(*client(box), node.endpoint, mode)
    eq((0, b""), (r.returncode, r.stderr))
    return node


def steady(box, client):
    """It puts on while the node replaces its coordinator, and every put that was answered is there."""
    node = box.node()
    p = subprocess.Popen(client(box) + [node.endpoint, "steady"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        eq(b"ready\n", p.stdout.readline())
        r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % node.data, "upgrade", "--wait")
        eq((0, b""), (r.returncode, r.stderr))
        out, err = p.communicate(timeout=60 * lib.SLOW)
    finally:
        p.kill()
    eq((0, b""), (p.returncode, err))
    n = int(re.fullmatch(rb"done (\d+)\n", out).group(1))
    assert n >= 50, n
    eq(n, node.client().call("count", "steady"))


@test("java")
def jeromq_is_served(box):
    eq(501, run(box, java, "basics").client().call("count", "java"))


@test("java")
def jeromq_behind_a_proxy_is_served(box):
    run(box, java, "correlate")


@test("java")
def jeromq_loses_nothing_in_an_upgrade(box):
    steady(box, java)


@test("npm")
def npms_zeromq_is_served(box):
    eq(501, run(box, npm, "basics").client().call("count", "js"))


@test("npm")
def npms_zeromq_may_correlate(box):
    run(box, npm, "correlate")


@test("npm")
def npms_zeromq_loses_nothing_in_an_upgrade(box):
    steady(box, npm)


@test("perl")
def perl_is_served(box):
    eq(501, run(box, perl, "basics").client().call("count", "pl"))


@test("perl")
def perl_may_send_everything_as_bin(box):
    run(box, perl, "bin")


@test("perl")
def perl_may_correlate(box):
    run(box, perl, "correlate")


@test("perl")
def perl_loses_nothing_in_an_upgrade(box):
    steady(box, perl)


@test()
def asyncio_is_served(box):
    eq(501, run(box, python, "basics").client().call("count", "py"))


@test()
def asyncio_may_correlate(box):
    run(box, python, "correlate")


@test()
def asyncio_loses_nothing_in_an_upgrade(box):
    steady(box, python)
