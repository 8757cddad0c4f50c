"""Nodes and clients that are told by name where the other one is."""
from lib import eq, test, until


@test("distributed")
def peers_are_found_by_name(box):
    nodes = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"a-m": "foo", "n-z": "bar"}}, start=False)
    foo, bar = nodes["foo"], nodes["bar"]
    text = open(foo.conf).read()
    assert "bar = tcp://127.0.0.1:" in text
    text = text.replace("bar = tcp://127.0.0.1:", "bar = tcp://localhost:")
    with open(foo.conf, "w") as f:
        f.write(text)
    for n in (foo, bar):
        n.start()
    foo.linked("bar")
    c = foo.client()
    eq("bar", c.call("route", "zoo")["node"])
    # The name of nobody is said so, and the node goes on.
    with open(foo.conf, "w") as f:
        f.write(text.replace("tcp://localhost:", "tcp://no-such-host.invalid:"))
    foo.stop()
    foo.start()
    until(lambda: "no host of that name" in foo.peers()["bar"]["reason"], 20, "the reason")
    eq("foo", foo.client().call("route", "abc")["node"])
