"""Is a history of requests linearizable, key by key?

A history is a list of Op.  For each key it must be possible to put its requests in one order, in which each takes
effect at one moment between its sending and its reply, so that a map with versions would have given the same
replies (Herlihy, Wing: Linearizability, 1990; the search is in linear.py).  Beyond that, requests of one client keep
their order, and a request without a known outcome took effect at most once, at any time after it was sent, or never.
"""
import collections

from linear import INF, Search

# kind: put (value), absent (value: put if_absent), version (value, n: put if_version), touch, delete, get
# result: ("ok", version) of writes | ("conflict", version or None, if it does not say) | ("was", bool) of delete
#         | ("value", value, version) or ("none",) of get | ("none",) of touch | None: unknown
# n: its number in the order in which its client sent: those of one frame have one `begin`, and may be answered in any order
Op = collections.namedtuple("Op", "client key kind arg begin end result n", defaults=(0,))
UNSEEN = "a value that nobody saw"

# What a key is: (value or None, its version or None if nobody was told, the highest version that was told).
START = (None, None, 0)


def step(state, op):
    """The states that `op` with its result may lead to from `state`: none or one."""
    value, version, told = state
    r = op.result
    if op.kind == "get":
        if r[0] == "none":
            return state if value is None else None
        if value != r[1]:
            return None
        if version is None:  # a write without a reply: now its version is known
            return (value, r[2], r[2]) if r[2] > told else None
        return state if version == r[2] else None
    if op.kind == "delete":
        if r is not None and r[1] != (value is not None):
            return None
        return (None, None, told)
    if op.kind == "touch":
        if value is None:  # nothing to live on: the same as never
            return state if r == ("none",) else None
        if r is None:
            return (value, None, told)
        return (value, r[1], r[1]) if r[0] == "ok" and r[1] > told else None
    new = op.arg[0] if op.kind == "version" else op.arg
    holds = True
    if op.kind == "absent":
        holds = value is None
    elif op.kind == "version":
        n = op.arg[1]
        holds = value is not None and (version == n if version is not None else n > told)
    if r is None:
        return (new, None, told) if holds else None  # without effect it is the same as never
    if r[0] == "conflict":
        there = r[1]
        if op.kind == "version" and there == op.arg[1]:
            return None  # it names the very version that was asked for
        if there is None:
            return state if not holds or version is None else None
        if there == 0:
            return state if value is None else None
        if value is None:
            return None
        if version is None:
            return (value, there, there) if there > told else None
        return state if version == there else None
    if not holds or r[1] <= told:
        return None
    return (new, r[1], r[1])


def keys_of(op):
    return {op.key}


def version_of(op):
    return op.result[1] if op.result[0] == "ok" else None


def plain(ops):
    """Values that nobody ever saw are all alike: then so are the requests that may have put them."""
    seen = {o.result[1] for o in ops if o.result and o.result[0] == "value"}
    out = []
    for o in ops:
        if o.result is None and o.kind in ("put", "absent") and o.arg not in seen:
            o = o._replace(arg=UNSEEN)
        elif o.result is None and o.kind == "version" and o.arg[0] not in seen:
            o = o._replace(arg=(UNSEEN, o.arg[1]))
        out.append(o)
    return out


def check_key(ops, most=500000):
    """None, or what Search.run has to say."""
    ops = sorted(plain(ops), key=lambda o: (o.begin, o.n))
    known = [o for o in ops if o.result is not None]
    unknown = [o for o in ops if o.result is None and o.kind != "get"]

    def states(state, op):
        new = step(state, op)
        return [] if new is None else [new]
    return Search(known, unknown, START, states, keys_of, version_of, lambda o: (o.kind, o.key, o.arg), most).run()


def near(ops, at):
    """Requests around the place, at most 25."""
    some = [o for o in ops if o.end > at.begin - 0.2 and o.begin < at.end + 0.2]
    some = sorted(sorted(some, key=lambda o: abs(o.begin - at.begin))[:25], key=lambda o: (o.begin, o.n))
    return ["    %s %.6f to %.6f client %s: %s %r -> %r" % ("*" if o is at else " ", o.begin, o.end, o.client, o.kind, o.arg, o.result)
            for o in some]


def check(ops, most=500000):
    """The keys whose histories cannot be, with the requests around the place: a list of lines, empty if all is well."""
    keys = collections.defaultdict(list)
    for o in ops:
        keys[o.key].append(o)
    out = []
    for key, of_key in sorted(keys.items()):
        bad = check_key(of_key, most)
        if not bad:
            continue
        n, at, all_tried = bad
        out.append("%r: no order %s for more than %d of %d requests; around there:"
                   % (key, "is right" if all_tried else "was found in %d states" % most, n, len(of_key)))
        out += near(of_key, at)
    return out


def self_test():
    """What must pass passes, what must not does not."""
    def o(client, kind, arg, begin, end, result):
        return Op(client, "k", kind, arg, begin, end, result)
    good = [
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(2, "get", None, 0.5, 2, ("none",)), o(2, "get", None, 3, 4, ("value", "a", 1))],
        [o(1, "put", "a", 0, INF, None), o(2, "get", None, 1, 2, ("none",)), o(2, "get", None, 3, 4, ("value", "a", 7))],
        [o(1, "put", "a", 0, INF, None), o(2, "absent", "b", 1, 2, ("conflict", 5)), o(2, "get", None, 3, 4, ("value", "a", 5))],
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(1, "delete", None, 2, INF, None), o(2, "absent", "b", 3, 4, ("ok", 9))],
        [o(1, "put", "a", 0, 5, ("ok", 1)), o(2, "put", "b", 0, 5, ("ok", 2)), o(3, "get", None, 6, 7, ("value", "b", 2))],
        [o(1, "put", "a", 0, 1, ("ok", 3)), o(2, "version", ("b", 3), 2, 3, ("ok", 4)), o(3, "version", ("c", 3), 2, 3, ("conflict", 4))],
        [o(1, "touch", None, 0, 1, ("none",)), o(1, "put", "a", 2, 3, ("ok", 1)), o(1, "touch", None, 4, 5, ("ok", 2)),
         o(1, "get", None, 6, 7, ("value", "a", 2))],
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(2, "touch", None, 2, INF, None), o(3, "get", None, 3, 4, ("value", "a", 5))],
    ]
    bad = [
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(2, "get", None, 2, 3, ("none",))],  # lost
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(2, "get", None, 2, 3, ("value", "a", 2))],  # done twice
        [o(1, "put", "a", 0, 1, ("ok", 2)), o(1, "put", "b", 2, 3, ("ok", 1))],  # a version goes back
        [o(1, "absent", "a", 0, 1, ("conflict", 1)), o(2, "get", None, 2, 3, ("value", "a", 1))],  # refused, and yet there
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(1, "delete", None, 2, 3, ("was", False))],
        [o(1, "put", "a", 0, 9, ("ok", 1)), o(1, "get", None, 0.1, 8, ("none",))],  # one client's order
        [o(1, "put", "a", 0, INF, None), o(2, "get", None, 1, 2, ("value", "a", 3)), o(2, "delete", None, 3, 4, ("was", True)),
         o(2, "get", None, 5, 6, ("value", "a", 9))],  # an unknown one, twice
        [o(1, "put", "a", 5, 6, ("ok", 1)), o(2, "get", None, 1, 2, ("value", "a", 1))],  # before it was sent
        [o(1, "put", "a", 0, 5, ("ok", 1)), o(2, "put", "b", 0, 5, ("ok", 2)), o(3, "get", None, 6, 7, ("value", "a", 1))],
        [o(1, "put", "a", 0, 1, ("ok", 3)), o(2, "version", ("b", 3), 2, 3, ("ok", 4)), o(3, "version", ("c", 3), 2, 3, ("ok", 5))],
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(1, "touch", None, 2, 3, ("none",))],
        [o(1, "touch", None, 2, 3, ("ok", 1))],  # of nothing
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(1, "touch", None, 2, 3, ("ok", 2)), o(2, "get", None, 4, 5, ("value", "a", 1))],
        [o(1, "put", "a", 0, 1, ("ok", 1)), o(1, "touch", None, 2, 3, ("ok", 2)), o(2, "get", None, 4, 5, ("value", "a", 3))],  # twice
    ]
    # Two of one frame, of which the second was answered first: their order is that of sending.
    frame = [o(1, "get", None, 0, 1, ("value", "a", 1))._replace(n=2), o(1, "put", "a", 0, 2, ("ok", 1))._replace(n=1)]
    good.append(frame)
    bad.append([frame[0]._replace(n=1), frame[1]._replace(n=2)])
    bad.append([o(2, "get", None, 0, 1, ("value", "a", 1)), o(1, "put", "a", 2, INF, None)])  # unknown, and sent later
    # Many at a time, and one of them wrong.
    crowd = [o(i, "get", None, 1 + i / 100, 5, ("value", "a", 1)) for i in range(2, 30)]
    good.append([o(1, "put", "a", 0, 1, ("ok", 1))] + crowd)
    bad.append([o(1, "put", "a", 0, 1, ("ok", 1))] + crowd + [o(50, "get", None, 2, 3, ("none",))])
    # Many without an outcome, behind which things go wrong at once or late: all is tried, in few states.
    unknown = [o(9, kind, arg, 0, INF, None) for i in range(12)
               for kind, arg in (("put", "u%d" % i), ("touch", None), ("delete", None), ("absent", "U%d" % i))]
    puts = [o(1 + i % 3, "put", "p%d" % i, i, i + 2.5, ("ok", i + 1)) for i in range(300)]
    good.append(unknown + puts)
    bad.append(unknown + puts + [o(5, "get", None, 400, 401, ("value", "p7", 8)), o(5, "get", None, 402, 403, ("none",))])
    bad.append(unknown + [o(5, "get", None, 1, 2, ("value", "p7", 1))] + puts)
    good.append(unknown[:12] + [x for i in range(3) for x in (o(5, "get", None, 2 * i, 2 * i + 0.5, ("none",)),
                                                              o(5, "get", None, 2 * i + 1, 2 * i + 1.5, ("value", "u%d" % i, i + 1)))])
    for h in good:
        lines = check(h)
        assert not lines, lines
    for h in bad:
        lines = check(h, 3000)
        assert lines and "no order is right" in lines[0], lines
    lines = check(bad[-2], 50)
    assert "no order was found in 50 states" in lines[0] and any("*" in line for line in lines), lines
