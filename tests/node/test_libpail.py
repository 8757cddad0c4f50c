"""libpail from outside: the example of its header, and what it refuses by itself."""
import os
import re
import time

import lib
from lib import eq, test


@test()
def the_example_in_the_header_runs(box):
    """pail.h begins with a program's middle: as it stands there it compiles without a warning, and works."""
    text = open("include/pail.h").read()
    lines = re.findall(r"^ \*\t(.*)$|^ \*()$", text.split("*/")[0], re.M)
    code = "\n".join(a for a, _ in lines).strip()
    assert code.startswith("struct pail *p") and "pail_close(&p);" in code, code
    node = box.node()
    eq(1, code.count("tcp://127.0.0.1:4040"))
    code = code.replace("tcp://127.0.0.1:4040", node.endpoint)
    path = os.path.join(box.dir, "example.c")
    with open(path, "w") as f:
        f.write("#include <pail.h>\n#include <stdio.h>\nint main(void)\n{\n%s\nreturn 0;\n}\n" % code)
    flags = ["-fsanitize=address,undefined"] if "asan" in lib.BUILD else \
        ["-fsanitize=thread"] if "tsan" in lib.BUILD else []
    for compiler in (["cc", "-std=c99"], ["c++"] if os.path.exists("/usr/bin/c++") else None):
        if compiler is None:
            continue
        source = ["-x", "c++", path, "-x", "none"] if compiler[0] == "c++" else [path]
        r = box.run(*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", "-Iinclude", *flags, *source,
                    "-o", path + ".out", lib.BUILD + "/libpail.so", "-Wl,-rpath," + lib.BUILD)
        eq((0, b""), (r.returncode, r.stderr))
        r = box.run(path + ".out")
        eq((0, b""), (r.returncode, r.stderr))
        assert re.fullmatch(rb"version \d+\n", r.stdout), r.stdout
    eq([b"red"], node.client().call("get", "fruit", "apple")[:1])


@test()
def what_no_node_takes_is_refused_at_once(box):
    n = box.node("--set", "limits.message=64K", "--set", "limits.value=16K")
    n.client().call("create", "b")
    begin = time.monotonic()
    r = box.pail(n, "put", "b", "k", input=b"x" * 70000)
    assert b"too_large" in r.stderr, r
    assert time.monotonic() - begin < 3 * lib.SLOW, time.monotonic() - begin
    r = box.pail(n, "put", "b", "k", input=b"x" * 20000)  # the node says so
    assert b"too_large" in r.stderr, r
    # Many in flight are packed so that the node takes them.
    r = box.pail(n, "bench", "--requests", "2000", "--keys", "1000", "--value", "4000", "--batch", "64",
                 "--in-flight", "256", "--clients", "2", "--reads", "0")
    assert b" 0 failed" in r.stdout, r


@test()
def endpoints_are_checked_where_they_are_given(box):
    for endpoint, why in (("nonsense", "the port is missing"), ("tcp://256.1.1.1:4040", "above 255"),
                          ("tcp://127.0.0.1:99999", "the port is above 65535"), ("udp://127.0.0.1:4040", "only tcp:// and ipc://"),
                          ("'tcp://127.0.0.1:4040'", "quote"), ("tcp://127.0.0.1:4040 ", "blank"), ("", "empty")):
        r = box.run(lib.BUILD + "/pail", "--node", endpoint, "ping")
        assert r.returncode and why in r.stderr.decode() and '"%s"' % endpoint in r.stderr.decode(), r
        r = box.run(lib.BUILD + "/pail-gateway", "--node", endpoint, "--text", "127.0.0.1:0")
        assert r.returncode == 2 and why in r.stderr.decode() and '"%s"' % endpoint in r.stderr.decode(), r
    node = box.node()
    for endpoint in (node.endpoint, node.endpoint.removeprefix("tcp://"), "localhost:%d" % node.port,
                     "ipc://%s/admin.sock" % node.data):
        r = box.run(lib.BUILD + "/pail", "--node", endpoint, "ping")
        eq(0, r.returncode)
