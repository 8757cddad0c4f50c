"""pail call and pail functions: arguments as bytes, results in every form; then on a real node."""
import base64
import json
import math
import os
import re

import lib
from lib import eq, test
from played import Played


def call(box, node, *words, **kw):
    """By a client that sends each call once; test_cli_retry.py has the others."""
    return box.run(lib.BUILD + "/pail", "--node", node.endpoint, "call", "--no-retry", *words, **kw)


def nested(depth, inner="1"):
    return "[" * depth + inner + "]" * depth


# What is typed, and what the function gets.
ARGUMENTS = [
    ("1", 1), ("-1", -1), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -2**63), ("2.5", 2.5), ("-0.0", -0.0), ("1e3", 1000.0),
    ("true", True), ("false", False), ("null", None), ('"text"', b"text"), ('""', b""), ('"\\u00e9\\u0000"', b"\xc3\xa9\0"), (" 5 ", 5),
    ("[]", []), ("{}", {}), ('[1,"a",[null]]', [1, b"a", [None]]), ('{"b":1,"a":{"x":[]}}', {"b": 1, "a": {"x": []}}), ('{"":0}', {"": 0}),
    ("visits", b"visits"), ("True", b"True"), ("nulls", b"nulls"), ("a b", b"a b"), ("", b""), ("\u00e9", "\u00e9".encode()), ("/x", b"/x"),
    (b"\xff\xfe", b"\xff\xfe"), ("'1'", b"'1'"), ("+1", b"+1"), (nested(32), 32),
]


@test("protocol")
def arguments_are_json_or_words(box):
    n = Played(box, lambda m, p: None)
    typed = [a for a, _ in ARGUMENTS]
    r = call(box, n, "shop", "counter", "add", "--", *typed)
    eq((0, b"null\n", b""), (r.returncode, r.stdout, r.stderr))
    (method, params), = n.requests
    eq("call", method)
    eq([b"shop", b"counter", b"add"], params[:3])
    eq(4, len(params))
    for (text, want), got in zip(ARGUMENTS, params[3], strict=True):
        if text == nested(32):
            for _ in range(want):
                got, = got
            want = 1
        eq((text, type(want), want), (text, type(got), got))
    eq(["b", "a"], list(params[3][17]))  # in the order in which they were typed
    eq(-1.0, math.copysign(1, params[3][5]))


@test("protocol")
def calls_have_their_bytes(box):
    n = Played(box, lambda m, p: None)
    call(box, n, "b", "m", "f")
    call(box, n, "b", "m", "f", "1", "x", "--timeout", "1")
    call(box, n, "-e", r"\xff", r"m\x00", r"\x66", '"\\\\x41"', r"\x41")
    call(box, n, "-e", "--raw", r"\xff", r"m\x00", r"\x66", '"\\x41"', r"\x41")
    call(box, n, "--raw", "b", "m", "f", "1", "null", '{"a":1}', b"\xff", "")
    eq([b"\x94\xc4\x01b\xc4\x01m\xc4\x01f\x90", b"\x95\xc4\x01b\xc4\x01m\xc4\x01f\x92\x01\xc4\x01x\x81\xa7timeout\x01"],
       [f[f.index(b"\xa4call") + 5:] for f in n.frames[:2]])
    # escapes are the bucket's, and all's with --raw; JSON has its own
    eq([[b"\xff", rb"m\x00", rb"\x66", [b"\\x41", rb"\x41"]], [b"\xff", b"m\0", b"f", [b'"A"', b"A"]],
        [b"b", b"m", b"f", [b"1", b"null", b'{"a":1}', b"\xff", b""]]], [p for _, p in n.requests[2:]])


WRONG = [
    ("{", "it begins as JSON does, and:"), ('{"a":1', "as JSON does"), ("[1,]", "as JSON does"), ('"open', "as JSON does"), ("1x", "as JSON does"),
    ("01", "as JSON does"), ("-", "as JSON does"), ("-x", "as JSON does"), ("[1] 2", "end of file expected"), ('{"a":1,"a":2}', "duplicate object key"),
    ("9223372036854775808", "too big integer"), ("-9223372036854775809", "too big negative integer"), ("1e999", "real number overflow"), ('"\\ud800"', "as JSON does"),
    ('"\\x41"', "as JSON does"), (b'"\xff"', "as JSON does"), ("[NaN]", "as JSON does"), (nested(33), "more than 32 lists and maps within each other"),
    (nested(3000), "as JSON does"), ('{"a":' * 33 + "1" + "}" * 33, "more than 32"),
]


@test()
def what_is_no_json_is_named_and_not_sent(box):
    n = Played(box, lambda m, p: None)
    for text, why in WRONG:
        r = call(box, n, "b", "m", "f", "--", "fine", text)
        eq((2, b""), (r.returncode, r.stdout))
        said = r.stderr.decode(errors="replace")
        assert why in said and said.startswith("pail call: argument 2, ") and "--raw" in said, (text[:60], said)
    eq([], n.requests)
    eq(2, call(box, n, "b", "m").returncode)
    eq(2, call(box, n, "b", "m", "f", *["1"] * 254).returncode)
    eq(0, call(box, n, "b", "m", "f", *["1"] * 253).returncode)


# What a function returns, and how it is shown.
SHOWN = [
    (None, "null"), (True, "true"), (False, "false"), (7, "7"), (-7, "-7"), (2**64 - 1, "18446744073709551615"), (1.5, "1.5"), (2.0, "2.0"), (1e300, "1e+300"),
    (0.1, "0.1"), (math.nan, "null"), (math.inf, "null"), (b"pong", '"pong"'), (b"", '""'), (b'a"\n\0', '"a\\"\\u000a\\u0000"'), ("\u00e9".encode(), '"\u00e9"'),
    (b"\xff\0", '{"base64":"/wA="}'), ([], "[]"), ([1, [b"\xfe"], None], '[1,[{"base64":"/g=="}],null]'), ({}, "{}"),
    ({"a": 1, "b": b"\xff", "c": {"d": []}}, '{"a":1,"b_base64":"/w==","c":{"d":[]}}'), ({'q"\n': b"x"}, '{"q\\"\\u000a":"x"}'),
]


@test()
def results_are_json(box):
    result = [None]
    n = Played(box, lambda m, p: result[0])
    for value, want in SHOWN:
        result[0] = value
        r = call(box, n, "b", "m", "f")
        eq((0, want + "\n", b""), (r.returncode, r.stdout.decode(), r.stderr))
        json.loads(r.stdout)
        r = json.loads(call(box, n, "b", "m", "f", "-o", "json").stdout)
        if type(value) is bytes and want.startswith("{"):
            eq({"result_base64": base64.b64encode(value).decode()}, r)
        else:
            eq({"result": json.loads(want)}, r)
        r = call(box, n, "b", "m", "f", "-o", "raw")
        eq(value if type(value) is bytes else want.encode() + b"\n", r.stdout)
    result[0] = b"x" * (1 << 20)
    eq(result[0], call(box, n, "b", "m", "f", "-o", "raw").stdout)
    deep = 1
    for _ in range(32):
        deep = [deep]
    result[0] = deep
    eq(nested(32).encode() + b"\n", call(box, n, "b", "m", "f").stdout)
    result[0] = [deep]  # no node returns that
    r = call(box, n, "b", "m", "f")
    eq((1, b""), (r.returncode, r.stdout))
    assert b"protocol: " in r.stderr, r.stderr
    # in a shell a line end follows
    result[0] = b"v"
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "shell", input=b"call b m f 1 'two words' '{\"a\": 1}' -o raw\nping\n")
    eq((0, b"v\npong\n"), (r.returncode, r.stdout))
    eq([1, b"two words", {"a": 1}], n.requests[-1][1][3])


@test()
def errors_of_functions_have_names(box):
    for code, status in (("no_function", 3), ("failed", 1), ("too_long", 1), ("conflict", 8), ("no_bucket", 3), ("timeout", 5), ("too_large", 1)):
        n = Played(box, lambda m, p: RuntimeError(code, "counter:7: n must be an integer"))
        r = call(box, n, "b", "m", "f")
        eq((status, b"", b"pail: %s: counter:7: n must be an integer\n" % code.encode()), (r.returncode, r.stdout, r.stderr))


@test()
def functions_are_listed(box):
    n = Played(box, lambda m, p: {"node": "foo", "dir": "/etc/f", "digest": "0123456789abcdef", "modules": [
        {"name": "cart", "functions": ["set", "total"]}, {"name": "empty", "functions": []}, {"name": "q", "functions": ["push"]}]})
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "functions")
    eq((0, "node foo  digest 0123456789abcdef\n  cart   set total\n  empty  none\n  q      push\n"), (r.returncode, r.stdout.decode()))
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "functions", "-o", "json")
    eq({"node": "foo", "dir": "/etc/f", "digest": "0123456789abcdef", "modules": [
        {"name": "cart", "functions": ["set", "total"]}, {"name": "empty", "functions": []}, {"name": "q", "functions": ["push"]}]}, json.loads(r.stdout))
    eq([["functions", []]] * 2, n.requests)


@test()
def functions_of_other_nodes_stand_out(box):
    peer = lambda name, state, digest, same: {"name": name, "state": state, "digest": digest, "same": same}
    own, other = "0123456789abcdef", "fedcba9876543210"
    reply = {"node": "foo", "dir": "", "digest": own, "modules": [], "peers": [
        peer("bar", "up", own, True), peer("baz", "up", other, False), peer("gone", "down", own, True), peer("late", "leaving", other, False),
        peer("old", "up", None, None), peer("off", "down", None, None), peer("new", "unknown", None, None)]}
    n = Played(box, lambda m, p: reply)
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "functions")
    eq((0, ["node foo  digest " + own, "node bar  digest %s  same" % own, "node baz  digest %s  different" % other,
            "node gone  digest %s  same, when it was last heard: it is down" % own,
            "node late  digest %s  different, when it was last heard: it is leaving" % other,
            "node old  digest unknown", "node off  digest unknown: it is down", "node new  digest unknown: it is unknown"]),
       (r.returncode, r.stdout.decode().splitlines()))
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "functions", "-o", "json")
    eq(reply, json.loads(r.stdout))


ECHO = """
return {
	echo = function(bucket, ...) return {...} end,
	kinds = function(bucket, ...) local t = {} for i = 1, select("#", ...) do t[i] = math.type((select(i, ...))) or type((select(i, ...))) end return t end,
	name = function(bucket) return bucket.name end,
	fail = function() error("as it should") end,
	bytes = function() return "\\xff\\0" end,
	nan = function() return 0/0 end,
	nothing = function() end,
}
"""


@test("distributed")
def functions_run_where_the_bucket_is(box):
    """Arguments of every type there and back, through another node; errors with their line; what the list says."""
    folder = box.folder("functions")
    os.mkdir(folder)
    with open(folder + "/echo.lua", "w") as f:
        f.write(ECHO)
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}},
                        more={"foo": {"node.role": "router"}, "bar": {"functions.dir": folder}})
    nodes["foo"].linked()
    n = nodes["foo"]
    eq(b'"bar"\n', call(box, n, "hello", "node", "name").stdout)
    eq(b'"no bucket"\n', call(box, n, "no bucket", "echo", "name").stdout)
    eq('[1,-1,2.5,"text","w\u00f6rd",true,[1,[]],{"a":{"b":"c"}},9223372036854775807]\n',
       call(box, n, "b", "echo", "echo", "--", "1", "-1", "2.5", '"text"', "w\u00f6rd", "true", "[1,[]]", '{"a":{"b":"c"}}', str(2**63 - 1)).stdout.decode())
    eq(["integer", "float", "string", "string", "boolean", "nil", "table"],
       json.loads(call(box, n, "b", "echo", "kinds", "1", "1.0", '"1"', "word", "false", "null", "[]").stdout))
    eq(["string"] * 3, json.loads(call(box, n, "--raw", "b", "echo", "kinds", "1", "null", "[]").stdout))
    eq(b'{"base64":"/wA="}\n', call(box, n, "b", "echo", "bytes").stdout)
    eq(b"\xff\0", call(box, n, "b", "echo", "bytes", "-o", "raw").stdout)
    eq([b"null\n"] * 2, [call(box, n, "b", "echo", f).stdout for f in ("nan", "nothing")])
    r = call(box, n, "b", "echo", "fail")
    eq((1, b""), (r.returncode, r.stdout))
    assert re.fullmatch(rb"pail: failed: .*echo:6: as it should\n", r.stderr), r.stderr
    for words in (("b", "echo", "none"), ("b", "none", "echo")):
        r = call(box, n, *words)
        eq(3, r.returncode)
        assert r.stderr.startswith(b"pail: no_function: "), r.stderr
    lists = {}
    for name, node in nodes.items():
        r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % node.data, "functions")
        eq((0, b""), (r.returncode, r.stderr))
        lists[name] = r.stdout.decode()
        assert re.match("node %s  digest [0-9a-f]{16}\n" % name, lists[name]), lists
    eq("  echo  bytes echo fail kinds name nan nothing", lists["bar"].splitlines()[1])
    assert lists["foo"].split()[3] != lists["bar"].split()[3], lists
    r = box.pail(n, "functions")
    eq(1, r.returncode)
    assert b"denied" in r.stderr, r.stderr


@test()
def the_readme_calls_its_function_from_python(box):
    """The block of the README that is Python, word for word but for the port, behind the function that it shows."""
    text = open("README.md").read()
    line = re.search(r"^\$ echo '(.*)' > build/functions/(\w+).lua$", text, re.M)
    block = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    folder = box.folder("functions")
    os.mkdir(folder)
    with open("%s/%s.lua" % (folder, line.group(2)), "w") as f:
        f.write(line.group(1) + "\n")
    n = box.node("--set", "functions.dir=" + folder)
    for _ in range(2):
        eq(0, call(box, n, "shop", "visits", "add", "ann").returncode)
    eq(1, block.count("tcp://127.0.0.1:4040"))
    r = box.run("/usr/bin/python3", "-c", block.replace("tcp://127.0.0.1:4040", n.endpoint))
    eq((0, b""), (r.returncode, r.stderr))
    eq(re.search(r"# (.*)$", block, re.M).group(1), r.stdout.decode().strip())
