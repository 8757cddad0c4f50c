"""`head`: what a get would say, but for the value."""
import json

from lib import eq, test, until


@test("protocol")
def head_tells_size_version_and_what_is_left(box):
    n = box.node()
    c = n.client()
    eq("no_bucket", c.code("head", "b", "k")[0])
    c.call("create", "b")
    eq(None, c.call("head", "b", "k"))
    version = c.call("put", "b", "k", b"x" * 1000)
    eq([1000, version, None], c.call("head", "b", "k"))
    eq([1000, version, None], c.call("head", b"b", b"k"))  # bin as well as str
    version = c.call("put", "b", "k", b"", {"ttl": 600000})
    size, at, left = c.call("head", "b", "k")
    eq((0, version), (size, at))
    assert 500000 < left <= 600000, left
    # A get's value and version, a scan's time left: all three agree.
    eq([b"", version], c.call("get", "b", "k"))
    item = c.call("scan", "b", {"ttl": True})["items"][0]
    assert item[2] == version and left - 60000 < item[3] <= left, (item, left)
    c.call("put", "b", "short", "v", {"ttl": 50})
    until(lambda: c.call("head", "b", "short") is None, 10, "the key to be gone")
    eq(None, c.call("get", "b", "short"))
    eq(True, c.call("delete", "b", "k"))
    eq(None, c.call("head", "b", "k"))
    big = c.call("put", "b", "big", b"y" * (4 << 20))
    eq([4 << 20, big, None], c.call("head", "b", "big"))
    assert n.status()["totals"]["by_method"]["head"] >= 9


@test("protocol")
def head_refuses_what_get_refuses(box):
    c = box.node().client()
    c.call("create", "b")
    for params in (["b"], ["b", "k", {}, 1], ["", "k"], ["b", ""], ["b", 5], [5, "k"], ["b", "k" * 481], ["b" * 256, "k"],
                   ["b", "k", {"ttl": 5}], ["b", "k", {"if_version": 5}], ["b", "k", {"timeout": 0}]):
        code, text = c.code("head", *params)
        assert text.startswith("head: "), text
        eq((code, text.replace("head", "get", 1)), tuple(c.code("get", *params)))


@test("distributed")
def head_is_answered_where_the_bucket_is(box):
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"a-m": "foo", "n-z": "bar"}})
    for x in n.values():
        x.linked()
    here, there = n["foo"].client(), n["bar"].client()
    there.call("create", "world")
    version = there.call("put", "world", "k", "value", {"ttl": 600000})
    for c in here, there:
        size, at, left = c.call("head", "world", "k")
        eq((5, version), (size, at))
        assert 0 < left <= 600000, left
        eq(None, c.call("head", "world", "none"))
        eq("no_bucket", c.code("head", "nothing", "k")[0])


@test()
def head_from_the_command_line(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    version = c.call("put", "b", "k", "four")
    eq("4 bytes, version %d, lives for ever\n" % version, box.pail(n, "head", "b", "k").stdout.decode())
    eq({"size": 4, "version": version, "ttl": None}, json.loads(box.pail(n, "head", "b", "k", "-o", "json").stdout))
    eq("4 %d -\n" % version, box.pail(n, "head", "b", "k", "-o", "raw").stdout.decode())
    c.call("put", "b", "k", "four", {"ttl": 600000})
    left = json.loads(box.pail(n, "head", "b", "k", "-o", "json").stdout)["ttl"]
    assert 0 < left <= 600000, left
    assert box.pail(n, "head", "b", "k").stdout.decode().rstrip().endswith(" ms more")
    for bucket, key in (("b", "none"), ("none", "k")):
        eq(3, box.pail(n, "head", bucket, key).returncode)
