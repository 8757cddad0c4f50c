"""pail txn: the script's language as bytes, what is said of a wrong one, results in every form; then on a real node."""
import json
import os
import re
import subprocess

import lib
from lib import eq, test
from played import Played


def script(box, node, *lines, words=(), bucket="b", **kw):
    """By a client that sends each script once; test_cli_retry.py has the others."""
    return box.run(lib.BUILD + "/pail", "--node", node.endpoint, "txn", bucket, "--no-retry", *words, input="\n".join(lines).encode(), **kw)


def nothing(method, params):
    return {"ok": True, "results": []}


def numbers(method, params):
    """As many results as there are operations in the first branch: each is its number."""
    lists = params[1]
    return {"ok": True, "results": [i for i, _ in enumerate(lists.get("then", []))]}


@test("protocol")
def a_script_becomes_one_request(box):
    """Each line of the language as what the protocol wants; nothing is in the request that was not written."""
    n = Played(box, lambda m, p: {"ok": False, "results": [0] * len(p[1].get("else", []))})
    r = script(box, n,
               "# a line for people", "", "   \t ",
               "if stock version = 3", "if stock version != 18446744073709551615", "if a version < 0", "if a version > 1",
               'if name value = "two words"', "if name value != ''", r"if name value < \x00\xff", "if name value > v\r",
               "put stock 2", "put 'a key' \"a value\" ttl 5", r"put \x00\x01 '\x00'", "put if else", r"put \# a\ b", "put \"#\" ttl",
               "touch stock", "touch stock ttl 18446744073709551615", "delete stock", "  get   stock # not me",
               "scan", "scan prefix p limit 7 reverse keys-only ttl from f to t after a", "count",
               "else", "get stock", "count")
    eq((8, b""), (r.returncode, r.stderr))
    (method, params), = n.requests
    eq("txn", method)
    eq(b"b", params[0])
    eq({
        "if": [[b"stock", "version", "=", 3], [b"stock", "version", "!=", 2**64 - 1], [b"a", "version", "<", 0], [b"a", "version", ">", 1],
               [b"name", "value", "=", b"two words"], [b"name", "value", "!=", b""], [b"name", "value", "<", b"\0\xff"],
               [b"name", "value", ">", b"v"]],
        "then": [["put", b"stock", b"2"], ["put", b"a key", b"a value", {"ttl": 5}], ["put", b"\0\1", rb"\x00"], ["put", b"if", b"else"],
                 ["put", b"#", b"a b"], ["put", b"#", b"ttl"], ["touch", b"stock"], ["touch", b"stock", {"ttl": 2**64 - 1}],
                 ["delete", b"stock"], ["get", b"stock"], ["scan", {}],
                 ["scan", {"prefix": b"p", "limit": 7, "reverse": True, "keys_only": True, "ttl": True, "from": b"f", "to": b"t", "after": b"a"}],
                 ["count"]],
        "else": [["get", b"stock"], ["count"]]}, params[1])


@test("protocol")
def the_smallest_scripts_have_their_bytes(box):
    n = Played(box, numbers)
    eq(0, script(box, n, "count", words=("--timeout", "5000")).returncode)
    eq(0, script(box, n).returncode)
    eq(0, script(box, n, "put k v", words=("--timeout", "7000")).returncode)
    heads = [f[:f.index(b"\xa3txn")] for f in n.frames]
    assert all(h[:2] == b"\x94\0" for h in heads), heads
    eq([b"\xa3txn\x92\xc4\x01b\x81\xa4then\x91\x91\xa5count", b"\xa3txn\x92\xc4\x01b\x80",
        b"\xa3txn\x92\xc4\x01b\x82\xa7timeout\xcd\x1b\x58\xa4then\x91\x93\xa3put\xc4\x01k\xc4\x01v"],
       [f[f.index(b"\xa3txn"):] for f in n.frames])


@test()
def lines_may_be_arguments(box):
    n = Played(box, numbers)
    eq(0, script(box, n, words=("put k 'a b'", "get k", "# no", "put x \\x00")).returncode)
    eq(0, box.run(lib.BUILD + "/pail", "--node", n.endpoint, "txn", "-e", r"\xff", "put \\\\x00 v").returncode)
    eq([[b"b", {"then": [["put", b"k", b"a b"], ["get", b"k"], ["put", b"x", b"\0"]]}],
        [b"\xff", {"then": [["put", rb"\x00", b"v"]]}]], [p for _, p in n.requests])
    # in a shell, where stdin has the commands, the lines must be given
    r = box.run(lib.BUILD + "/pail", "--node", n.endpoint, "shell",
                input=b"txn b \"put k 'in a shell'\" 'put \\x00 \"\\x01\"' count\ntxn b\nping\n")
    eq((2, [b"put k", b"put \\x00", b"count", b"pong"]), (r.returncode, [l.split("  ".encode())[0] for l in r.stdout.splitlines()]))
    assert b"in a shell the lines must be given" in r.stderr, r.stderr
    eq([b"b", {"then": [["put", b"k", b"in a shell"], ["put", b"\0", b"\1"], ["count"]]}], n.requests[2][1])


WRONG = [
    ("put k", "line 1: the value is missing"), ("put", "line 1: the key is missing"), ("put k v w", 'line 1: "w" is too much here'),
    ("put k v ttl", "line 1: ttl is missing"), ("put k v ttl 0", 'ttl is a number from 1 to 18446744073709551615, and not "0"'),
    ("put k v ttl 18446744073709551616", "not \"18446744073709551616\""), ("put k v ttl -1", 'not "-1"'), ("put k v ttl 1x", 'not "1x"'),
    ("put k v ttl 5\\x00", 'not "5\\x00"'), ("put k v ttl ''", 'not ""'),
    ("put '' v", "line 1: then[0]: the key is empty, it must be 1 to 480 bytes"),
    ("put " + 481 * "x" + " v", "then[0]: the key has 481 bytes, the limit is 480"),
    ("get k ttl 5", '"ttl" is too much here'), ("count k", '"k" is too much here'), ("delete", "the key is missing"),
    ("touch k 5", '"5" is too much here'), ("fetch k", 'line 1: "fetch" is none of if, put, touch, delete, get, scan, count, else'),
    ("\xff\x01 k", r'"\xc3\xbf\x01" is none of'), ("Put k v", '"Put" is none of'),
    ("if", "the key is missing"), ("if k", "version or value is missing"), ("if k version", "the relation is missing"),
    ("if k version =", "the version is missing"), ("if k value =", "the value is missing"), ("if k version == 1", '"==" is no relation: =, !=, < or >'),
    ("if k version = x", 'the version is a number from 0 to 18446744073709551615, and not "x"'), ("if k version = 1 2", '"2" is too much here'),
    ("if k size = 1", 'a condition is about version or value, and not "size"'), ("if k value = a b", '"b" is too much here'),
    ("if '' version = 0", "if[0]: the key is empty"),
    ("put k v\nif k version = 1", "line 2: conditions come before all operations"),
    ("if k version = 1\nelse\nif k version = 1", "line 3: conditions come before all operations"), ("if k version = 1\nelse\nelse", "line 3: a second else"),
    ("if k version = 1\nelse now", 'line 2: "now" is too much here'), ("put k v\nelse", "line 2: else, and there is no if"),
    ("scan b", 'a scan takes prefix, from, to, after, limit, reverse, keys-only and ttl, and not "b"'),
    ("scan limit 0", "the limit is a number from 1 to 10000"), ("scan limit 10001", "the limit is a number from 1 to 10000"),
    ("scan prefix", "a key, or the beginning of one, is missing"), ("scan keys_only", 'not "keys_only"'),
    ("get k\n\n# x\nget 'k", "line 4: an open quote"), ("put " + 30 * "x ", "more than 24 words"),
    ("count\n" * 4097, "line 4097: then[4096]: it has 4096 entries, which is the most"),
]


@test()
def wrong_scripts_name_the_line_and_send_nothing(box):
    n = Played(box, nothing)
    for text, why in WRONG:
        r = script(box, n, text)
        eq((2, b""), (r.returncode, r.stdout))
        assert why in r.stderr.decode(), (text[:60], r.stderr)
        assert r.stderr.startswith(b"pail txn: line ") and r.stderr.endswith(b"; try pail txn --help\n"), r.stderr
    eq([], n.requests)


ALL = ["put k v", "touch k", "touch none", "delete k", "delete none", "get k", "get none", "get bytes", "count", "scan", "scan ttl", "scan keys-only",
       "scan prefix zz"]
ITEMS = {"items": [[b"a", b"x", 1], [b"\xff", b"\n", 2]], "more": True}
RESULTS = [7, 8, None, True, False, [b"v\\\t", 9], None, [b"\xff\0", 10], 11, ITEMS,
           {"items": [[b"a", b"x", 1, 50], [b"b", b"y", 2, None]], "more": False}, {"items": [[b"a", None, 1]], "more": False},
           {"items": [], "more": False}]


@test()
def results_are_shown_in_every_form(box):
    ok = [True]
    n = Played(box, lambda m, p: {"ok": ok[0], "results": RESULTS if ok[0] else [3]})
    lines = ["if k version = 1"] + ALL + ["else", "count"]
    r = script(box, n, *lines)
    eq((0, b""), (r.returncode, r.stderr))
    eq(["the conditions held", "put k               version 7", "touch k             version 8", "touch none          there is no such key",
        "delete k            deleted", "delete none         there was no such key", r"get k               version 9  v\\\x09",
        "get none            there is no such key", r"get bytes           version 10  \xff\x00", "count               11",
        "scan                2 keys, and there are more", "  a                                     version 1  x",
        r"  \xff                                  version 2  \x0a", "scan                2 keys",
        "  a                                     version 1  50 ms  x", "  b                                     version 2  y",
        "scan                1 keys", "  a                                     version 1", "scan                0 keys"], r.stdout.decode().splitlines())
    r = script(box, n, *lines, words=("-o", "json"))
    eq((0, 1), (r.returncode, r.stdout.count(b"\n")))
    eq({"ok": True, "results": [
        {"version": 7}, {"version": 8}, None, {"deleted": True}, {"deleted": False}, {"value": "v\\\t", "version": 9}, None,
        {"value_base64": "/wA=", "version": 10}, {"count": 11},
        {"items": [{"key": "a", "value": "x", "version": 1}, {"key_base64": "/w==", "value": "\n", "version": 2}], "more": True},
        {"items": [{"key": "a", "value": "x", "version": 1, "ttl": 50}, {"key": "b", "value": "y", "version": 2, "ttl": None}], "more": False},
        {"items": [{"key": "a", "version": 1}], "more": False}, {"items": [], "more": False}]}, json.loads(r.stdout))
    r = script(box, n, *lines, words=("-o", "raw"))
    eq(b"true\n7\n8\n-\ntrue\nfalse\n9\tv\\\t\n-\n10\t\xff\0\n11\n2 more\na\tx\n\xff\t\n\n2\na\tx\t50\nb\ty\t-\n1\na\n0\n", r.stdout)
    ok[0] = False
    for form, want in (("table", b"the conditions did not hold\ncount               3\n"), ("raw", b"false\n3\n"),
                       ("json", b'{"ok":false,"results":[{"count":3}]}\n')):
        r = script(box, n, *lines, words=("-o", form))
        eq((8, want, b""), (r.returncode, r.stdout, r.stderr))
    ok[0] = True
    r = script(box, n, *ALL)  # without conditions nothing is said of them
    assert r.stdout.startswith(b"put k  "), r.stdout


@test()
def replies_that_do_not_fit_are_no_results(box):
    for result in ({"ok": True, "results": []}, {"ok": True, "results": [1, 2]}, {"ok": True}, None, {"ok": True, "results": ["x"]}):
        n = Played(box, lambda m, p: result)
        r = script(box, n, "count")
        eq((1, b""), (r.returncode, r.stdout))
        assert b"protocol: " in r.stderr, r.stderr


@test()
def errors_have_the_statuses_of_other_commands(box):
    for code, status in (("no_bucket", 3), ("busy", 1), ("full", 1), ("too_large", 1), ("timeout", 5), ("internal", 5), ("node_down", 4),
                         ("bad_argument", 1), ("denied", 1)):
        n = Played(box, lambda m, p: RuntimeError(code, "then[0]: so it is"))
        r = script(box, n, "count")
        eq((status, b""), (r.returncode, r.stdout))
        eq(b"pail: %s: then[0]: so it is\n" % code.encode(), r.stderr)
        r = script(box, n, "count", words=("-o", "json"))
        eq({"error": code, "text": "then[0]: so it is"}, json.loads(r.stderr))


@test()
def large_scripts_are_read_whole(box):
    n = Played(box, numbers)
    value = os.urandom(3 << 20).hex()
    lines = ["put k%d %s" % (i, value if i == 1000 else i) for i in range(4096)]
    r = script(box, n, *lines, words=("-o", "raw"))
    eq((0, 4097), (r.returncode, r.stdout.count(b"\n")))
    ops = n.requests[0][1][1]["then"]
    eq(4096, len(ops))
    eq(["put", b"k1000", value.encode()], ops[1000])
    eq(["put", b"k4095", b"4095"], ops[4095])
    # a script that cannot be read is none
    r = subprocess.run([lib.BUILD + "/pail", "--node", n.endpoint, "txn", "b"], stdin=os.open(box.dir, os.O_RDONLY), capture_output=True, timeout=30)
    eq(1, r.returncode)
    assert re.search(rb"read the script from stdin: Is a directory", r.stderr), r.stderr
    eq(1, len(n.requests))


@test("distributed")
def transactions_take_effect_on_the_node_that_serves_the_bucket(box):
    """What a script says happens, or nothing: asked of another node, with conditions on both sides of each relation, and all there is of operations."""
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"foo": {"node.role": "router"}})
    nodes["foo"].linked()
    n, c = nodes["foo"], nodes["bar"].client()
    c.call("create", "b")
    version = c.call("put", "b", "stock", b"3")
    r = json.loads(script(box, n, "if stock version = %d" % version, "if stock value > 2", "if none version = 0", "if none value != x",
                          "put stock 2", "put 'two words' \"a\\x00b\" ttl 1000000", "touch stock ttl 1000000", "delete none", "get stock", "scan ttl",
                          "delete 'two words'", "count", "get 'two words'", words=("-o", "json")).stdout)
    eq(True, r["ok"])
    put, words, touched, none, got, scan, deleted, count, gone = r["results"]
    first, version = version, put["version"]
    assert version > first, (version, first)
    eq([version, version + 1, version + 2], [x["version"] for x in (put, words, touched)])
    eq([{"deleted": False}, {"value": "2", "version": version + 2}, {"deleted": True}, {"count": 1}, None], [none, got, deleted, count, gone])
    eq([("stock", "2"), ("two words", "a\0b")], [(i["key"], i["value"]) for i in scan["items"]])
    assert all(900000 < i["ttl"] <= 1000000 for i in scan["items"]), scan
    eq([b"2", version + 2], c.call("get", "b", "stock"))
    eq(1, c.call("count", "b"))
    for condition in ("stock version = %d" % first, "stock version != %d" % (version + 2), "stock version < 1", "stock value > 2", "stock value = 3",
                      "none value = ''", "none version > 0"):
        r = script(box, n, "if " + condition, "if stock value = 2", "put stock 9", "else", "get stock", words=("-o", "raw"))
        eq((8, b"false\n%d\t2\n" % (version + 2)), (r.returncode, r.stdout))
        r = script(box, n, "if " + condition, "put stock 9", "delete stock")
        eq((8, b"the conditions did not hold\n"), (r.returncode, r.stdout))
    eq([b"2", version + 2], c.call("get", "b", "stock"))
    r = script(box, n, "put stock 9", bucket="none")
    eq((3, b""), (r.returncode, r.stdout))
    assert b"no_bucket" in r.stderr, r.stderr
    r = script(box, n, *["put k%d %d" % (i, i) for i in range(4096)])
    eq((0, 4096), (r.returncode, r.stdout.count(b"\n")))
    eq(4097, c.call("count", "b"))


@test()
def the_example_loses_nothing_to_others(box):
    """docs/examples/transfer.c, many at a time there and back: what is in the bank stays as it was, and each transfer was done once."""
    flags = ["-I.", "-Iinclude", lib.BUILD + "/libpail.a", "-lzmq", "-pthread"]
    for kind, flag in (("asan", "-fsanitize=address,undefined"), ("tsan", "-fsanitize=thread")):
        flags += [flag] if kind in lib.BUILD else []
    program = box.dir + "/transfer"
    r = box.run("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "docs/examples/transfer.c", *flags, "-o", program)
    eq((0, b""), (r.returncode, r.stderr))
    n = box.node()
    c = n.client()
    c.call("create", "bank")
    c.call("put", "bank", "ann", b"1000")
    c.call("put", "bank", "bob", b"0")
    amounts = [("ann", "bob", 7), ("bob", "ann", 5), ("ann", "bob", 11), ("bob", "ann", 2)] * 4
    running = [subprocess.Popen([program, n.endpoint, "bank", a, b, str(k)], stderr=subprocess.PIPE) for a, b, k in amounts]
    for p in running:
        eq(b"", p.communicate(timeout=60 * lib.SLOW)[1])
        eq(0, p.returncode)
    eq([b"956", b"44"], [c.call("get", "bank", who)[0] for who in ("ann", "bob")])
    r = box.run(program, n.endpoint, "bank", "ann", "nobody", "1")
    eq((1, b"not_found: there is no such key\n"), (r.returncode, r.stderr))
