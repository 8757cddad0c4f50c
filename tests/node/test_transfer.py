"""pail export and import: any bytes, ttls, ends that come too early, nodes that die, buckets that move."""
import base64
import json
import os
import signal
import subprocess
import threading
import time

import lib
from lib import eq, test, until


def field(line, name):
    if name in line:
        return line[name].encode()
    return base64.b64decode(line[name + "_base64"], validate=True)


def parse(data):
    """{bucket: {key: (value, ttl)}} of an export, and its end."""
    out, bucket, end, head = {}, None, None, None
    eq(b"\n", data[-1:])
    for text in data.decode().split("\n")[:-1]:
        assert end is None, "something behind the end"
        line = json.loads(text)
        if not head:
            eq(({"export"}, 1, str), (set(line), line["export"]["version"], type(line["export"]["scope"])))
            head = line
        elif "end" in line:
            end = line["end"]
        elif "key" in line or "key_base64" in line:
            bucket[field(line, "key")] = field(line, "value"), line.get("ttl")
        else:
            bucket = out.setdefault(field(line, "bucket"), {})
    return out, end


def fill(box, node, buckets=3, keys=150):
    """Random buckets, keys and values, of any bytes; what is in them."""
    r, c, model = box.random, node.client(), {}

    def some(most):
        n = r.randrange(1, most)
        kind = r.randrange(4)
        if kind == 0:
            return bytes(r.randrange(256) for _ in range(n))
        if kind == 1:
            return "".join(r.choice("az09 \"\\/\n\t\0\x7f\u00e9\u65e5\U0001f34e\ufffd\u2028") for _ in range(n)).encode()[:most]
        return b"key %d" % r.randrange(10 ** 9)
    for _ in range(buckets):
        name = some(60)
        c.call("create", name)
        model[name] = {}
        for _ in range(keys):
            key, value = some(100), b"" if r.randrange(10) == 0 else some(300)
            ttl = r.choice((None, None, 3600000))
            c.call("put", name, key, value, *([{"ttl": ttl}] if ttl else []))
            model[name][key] = value, ttl
    c.call("create", b"\xff empty")
    model[b"\xff empty"] = {}
    return model


def check(model, got):
    eq(sorted(model), sorted(got))
    for name in model:
        eq({k: v for k, (v, _) in model[name].items()}, {k: v for k, (v, _) in got[name].items()})
        for k, (_, ttl) in model[name].items():
            left = got[name][k][1]
            assert left is None if ttl is None else 3000000 < left <= ttl, (name, k, ttl, left)


def there(node):
    """All that a node has, asked for by the protocol alone."""
    c, out = node.client(), {}
    for name in c.call("buckets", {"limit": 10000})["items"]:
        bucket, after = out.setdefault(name, {}), {}
        while True:
            r = c.call("scan", name, dict(after, ttl=True, limit=10000))
            for k, v, _, ttl in r["items"]:
                bucket[k] = v, ttl
            if not r["more"]:
                break
            after = {"after": r["items"][-1][0]}
    return out


@test()
def any_bytes_go_over(box):
    a, b = box.node(), box.node()
    model = fill(box, a)
    a.client().call("put", b"\xff empty", "large", b"\0" * (3 << 20))
    model[b"\xff empty"][b"large"] = b"\0" * (3 << 20), None
    r = box.pail(a, "export")
    eq((0, b""), (r.returncode, r.stderr))
    got, end = parse(r.stdout)
    check(model, got)
    eq((len(model), sum(map(len, model.values()))), (end["buckets"], end["keys"]))
    assert abs(end["time"] - time.time() * 1000) < 60000 * lib.SLOW
    for i in range(2):  # the second time all is there already
        s = box.pail(b, "import", "-o", "json", input=r.stdout)
        eq((0, b""), (s.returncode, s.stderr))
        s = json.loads(s.stdout)
        eq((end["keys"] * (1 - i), end["keys"] * i, 0), (s["put"], s["present"], s["conflicts"]))
        check(model, there(b))
    # one bucket by its name, any bytes in it, and imported under another
    name = max(model, key=lambda n: len(model[n]))
    typed = "".join("\\x%02x" % x for x in name)
    one = box.pail(a, "export", "-e", typed)
    eq(0, one.returncode)
    check({name: model[name]}, parse(one.stdout)[0])
    eq(0, box.pail(b, "import", "--as", "other", input=one.stdout).returncode)
    check({b"other": model[name]}, {b"other": there(b)[b"other"]})
    eq(1, box.pail(b, "import", "--as", "more", input=r.stdout).returncode)
    eq(3, box.pail(a, "export", "none").returncode)


@test()
def an_import_overwrites_nothing(box):
    a, b = box.node(), box.node()
    c, d = a.client(), b.client()
    for x in c, d:
        x.call("create", "b")
        x.call("put", "b", "same", "1")
    c.call("put", "b", "differs", "theirs")
    c.call("put", "b", "new", "3")
    d.call("put", "b", "differs", "ours")
    data = box.pail(a, "export", "b").stdout
    r = box.pail(b, "import", "-o", "json", input=data)
    eq((8, {"put": 1, "present": 1, "conflicts": 1, "buckets": 1}), (r.returncode, json.loads(r.stdout)))
    assert b'"differs\\" is there with another value' in r.stderr, r.stderr
    eq(b"ours", d.call("get", "b", "differs")[0])
    eq(0, box.pail(b, "import", "--replace", input=data).returncode)
    eq(b"theirs", d.call("get", "b", "differs")[0])


@test()
def cut_exports_go_on(box):
    """An export cut at any byte is gone on with; an import of a cut one says so, and is begun again."""
    n, other = box.node(), box.node()
    model = fill(box, n, 3, 40)
    whole = box.pail(n, "export").stdout
    path = box.dir + "/file"
    cuts = [0, 1, len(whole) - 1, len(whole), whole.index(b"\n"), whole.index(b"\n") + 1, whole.rindex(b"\n", 0, -1) + 1]
    for cut in cuts + [box.random.randrange(len(whole)) for _ in range(6)]:
        with open(path, "wb") as f:
            f.write(whole[:cut])
        s = box.pail(other, "import", path)
        eq(0 if cut == len(whole) else 1, s.returncode)
        if cut < len(whole):
            assert b"not whole" in s.stderr, (cut, s.stderr)
        r = box.pail(n, "export", "--resume", path)
        eq((cut, 0), (cut, r.returncode))
        eq(b"", r.stdout)
        with open(path, "rb") as f:
            data = f.read()
        eq(whole[:whole.rindex(b"\n", 0, cut) + 1 if b"\n" in whole[:cut] else 0], data[:whole.rfind(b"\n", 0, cut) + 1])
        got, end = parse(data)
        check(model, got)
        eq((len(model), sum(map(len, model.values()))), (end["buckets"], end["keys"]))
        eq(0, box.pail(other, "import", path).returncode)
        check(model, there(other))
    # a file of something else is left alone, also if it is one line without an end
    one_line = whole[:whole.index(b"\n")]
    for text in (b"precious", b"\n{}", whole[:20] + b"!", one_line + b"!", b"precious\n", b'{"bucket":"x"}\nprecious\n', whole + whole):
        with open(path, "wb") as f:
            f.write(text)
        r = box.pail(n, "export", "--resume", path)
        eq(1, r.returncode)
        with open(path, "rb") as f:
            eq(text, f.read())
    r = box.pail(n, "export", "--resume", "/dev/full")
    eq((1, True), (r.returncode, b"no ordinary file" in r.stderr))
    with open(path, "wb") as f:
        f.write(b'{"bucket":"x"}\n')
    r = box.pail(n, "export", "y", "--resume", path)
    eq(1, r.returncode)
    # nor is one export gone on with as another: it would seem whole
    name = max(model)
    one = box.pail(n, "export", "-e", "".join("\\x%02x" % x for x in name)).stdout
    for text, args in (one[:-5], ()), (whole[:-5], ("x",)), (one[:-5], ("x",)), (whole[:-5], ("--prefix", "a")), (whole[:-5], ("--local",)), (whole, ("x",)):
        with open(path, "wb") as f:
            f.write(text)
        r = box.pail(n, "export", *args, "--resume", path)
        assert r.returncode == 1 and b"no export of what is asked for" in r.stderr, (args, r.stderr)
        with open(path, "rb") as f:
            eq(text, f.read())


@test()
def an_export_is_taken_while_others_write(box):
    """Whatever stays is in it; the node may be killed meanwhile, and workers restart."""
    n, other = box.node("--set", "limits.message=2M", "--set", "limits.value=1M"), box.node()
    c = n.client()
    c.call("create", "b")
    c.call("create", "gone")
    stay = {b"stay %05d" % i: os.urandom(2000) for i in range(3000)}
    items = list(stay.items())
    for i in range(0, len(items), 100):
        for k in c.send(*[("put", "b", *kv) for kv in items[i:i + 100]]):
            c.result(k)
    ended = threading.Event()

    def write():
        w, i = lib.Client(n.endpoint), 0
        while not ended.is_set():
            i += 1
            try:
                w.call("put", "b", "stay %05d moves" % (i % 3000), str(i), seconds=3)
                w.call("delete", "b", "stay %05d moves" % ((i * 7) % 3000), seconds=3)
            except (lib.Error, AssertionError):
                pass
        w.close()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        p = subprocess.Popen([lib.BUILD + "/pail", "--node", n.endpoint, "--timeout", "1000", "export", "--resume", box.dir + "/file"],
                             stderr=subprocess.PIPE)
        until(lambda: os.path.exists(box.dir + "/file") and os.path.getsize(box.dir + "/file") > 1 << 20, 20, "the first pages")
        n.kill_worker(0)
        until(lambda: p.poll() is not None, 50, "the export")
        eq(0, p.returncode)
    finally:
        ended.set()
        writer.join()
    with open(box.dir + "/file", "rb") as f:
        data = f.read()
    got, _ = parse(data)
    eq(stay, {k: v for k, (v, _) in got[b"b"].items() if k in stay})
    # and the import while the other one's workers are killed
    p = subprocess.Popen([lib.BUILD + "/pail", "--node", other.endpoint, "--timeout", "1000", "import", box.dir + "/file", "-o", "json"],
                         stdout=subprocess.PIPE)
    for _ in range(3):
        other.up()
        try:
            other.kill_worker(0)
        except ProcessLookupError:  # just gone
            pass
    eq(0, p.wait(60 * lib.SLOW))
    r = json.loads(p.stdout.read())
    eq(len(got[b"b"]), r["put"] + r["present"])
    eq({k: v for k, (v, _) in got[b"b"].items()}, {k: v for k, (v, _) in there(other)[b"b"].items()})


@test()
def wrong_lines_are_refused(box):
    n = box.node()
    end = '{"end":{"buckets":1,"keys":0,"time":1}}\n'
    for line in ('', '{', '{}', '[]', '{"bucket":"a"', '{"bucket":"a"} x', '{"bucket":5}', '{"bucket":"a","bucket":"a"}',
                 '{"bucket":"\\ud800"}', '{"bucket":"\\udc00"}', '{"bucket":"\\ud800\\u0041"}', '{"bucket":"\\x"}', '{"bucket":"\\u12"}',
                 '{"bucket":"\\ud800', '{\0"bucket":"a"}', '\0{"bucket":"a"}', '{"bucket":"a\\', '{"bucket":"', '{"bucket_base64":"a"}', '{"bucket_base64":"a==="}', '{"bucket_base64":"a!=="}',
                 '{"bucket":"a","nonsense":1}', '{"key":"k","value":"v"}', '{"bucket":"a"}\n{"key":"k"}', '{"bucket":"a"}\n{"value":"k"}',
                 '{"bucket":"a"}\n{"key":"k","value":"v","ttl":0}', '{"bucket":"a"}\n{"key":"k","value":"v","ttl":-1}',
                 '{"bucket":"a"}\n{"key":"k","value":"v","ttl":99999999999999999999}', '{"bucket":"a"}\n{"key":"","value":"v"}',
                 '{"bucket":""}', '{"bucket":"%s"}' % ("x" * 256), '{"end":{"buckets":1,"keys":0}}',
                 '{"bucket":"a"}\n{"end":{"buckets":1,"keys":5}}', '{"end":5}', '{"end":{"other":1}}'):
        r = box.pail(n, "import", input=line.encode() + b"\n" + end.encode())
        eq((line, 1), (line, r.returncode))
        assert b"stdin:" in r.stderr or b"counts" in r.stderr, (line, r.stderr)
    c = n.client()
    eq(0, c.call("count", "a"))
    for line in ('{ "bucket" : "\\u00fc\\ud83c\\udf4e\\/\\b\\f\\n\\r\\t" }', '{"bucket_base64":"/w=="}', '{"bucket_base64":"/wAB"}', '\n  \n{"bucket":"x"}\r'):
        eq((line, 0), (line, box.pail(n, "import", input=line.encode() + b"\n" + end.encode()).returncode))
    assert {"\u00fc\U0001f34e/\b\f\n\r\t".encode(), b"\xff", b"\xff\0\1", b"x"} < set(c.call("buckets")["items"])
    # a value that the node does not take is named
    n = box.node("--set", "limits.value=1K")
    r = box.pail(n, "import", input=b'{"bucket":"a"}\n{"key":"k","value":"%s"}\n' % (b"v" * 2000))
    eq(1, r.returncode)
    assert b"too_large: stdin:2: put: value has 2000 bytes" in r.stderr, r.stderr


@test()
def an_import_may_have_any_name_and_any_file(box):
    """--escapes are for the name that --as gives, and not for the file's."""
    n = box.node()
    c = n.client()
    c.call("create", "a")
    c.call("put", "a", "k", "v")
    path = box.dir + "/x\\x41y"
    with open(path, "wb") as f:
        f.write(box.pail(n, "export", "a").stdout)
    r = box.pail(n, "import", "-e", "--as", "n\\x00\\xff\\\\", path)
    eq((0, b""), (r.returncode, r.stderr))
    r = box.pail(n, "shell", input=b"import --as 'm'\\x00n \"%s\"\n" % path.replace("\\", "\\\\").encode())
    eq((0, b""), (r.returncode, r.stderr))
    eq({b"a", b"n\0\xff\\", b"m\0n"}, set(c.call("buckets")["items"]))


@test("distributed")
def a_bucket_moves_to_another_node(box):
    """As docs/operations.md says it, and back."""
    nodes = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"a-m": "foo", "n-z": "bar"}}, workers=2)
    foo, bar = nodes["foo"], nodes["bar"]
    foo.linked()
    bar.linked()
    c = foo.client()
    c.call("create", "hello")
    for i in range(500):
        c.call("put", "hello", "k%03d" % i, "v%d" % i, *([{"ttl": 3600000}] if i % 2 else []))
    path = box.dir + "/hello.jsonl"
    before = there(foo)
    eq(0, box.pail(foo, "export", "hello", "--resume", path).returncode)
    eq(0, box.pail(foo, "drop", "hello").returncode)
    for n in nodes.values():
        n.table = {"a-g": "foo", "h-z": "bar"}
        n.configure()
        eq(0, box.run(lib.BUILD + "/pail", "--config", n.conf, "reload").returncode)
    eq("bar", c.call("route", "hello")["node"])
    eq(0, box.pail(foo, "import", path).returncode)  # through whichever node
    check({b"hello": {k: (v, 3600000 if t else None) for k, (v, t) in before[b"hello"].items()}}, there(bar))
    eq(500, bar.client().call("count", "hello"))


@test()
def no_mutant_of_an_export_goes_astray(box):
    """Bytes changed, left out and put in: whole, or an error with its line; never a crash, never a key of another bucket."""
    n = box.node()
    c = n.client()
    c.call("create", "b")
    for i in range(20):
        c.call("put", "b", os.urandom(5) if i % 3 else "\u00fc\n\"%d" % i, os.urandom(i), *([{"ttl": 10 ** 9}] if i % 2 else []))
    data = box.pail(n, "export", "b").stdout
    r = box.random
    for _ in range(40):
        mutant = bytearray(data)
        for _ in range(r.randrange(1, 4)):
            at = r.randrange(len(mutant))
            mutant[at:at + r.randrange(3)] = bytes(r.choice(b'{}[]":,\\ue0129/=+\n\0\xff') for _ in range(r.randrange(3)))
        p = box.pail(n, "import", "--as", "mutant", input=bytes(mutant))
        assert p.returncode in (0, 1, 8), (p.returncode, bytes(mutant), p.stderr)
        assert p.returncode == 0 or b"stdin:" in p.stderr, (bytes(mutant), p.stderr)
    eq([b"b", b"mutant"], c.call("buckets")["items"])
    eq(20, c.call("count", "b"))
