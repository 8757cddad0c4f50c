"""Is a history of requests linearizable, key by key?

A history is a list of Op.  For each key it must be possible to put its requests in one order, in which each takes
effect at one moment between its sending and its reply, so that a map with versions would have given the same
replies (Herlihy, Wing: Linearizability, 1990; the search is Wing and Gong's of 1993 with Lowe's memory of what has
been tried).  Beyond that, requests of one client keep their order, and a request without a known outcome took
effect at most once, at any time after it was sent, or never.
"""
import collections

INF = float("inf")

# kind: put (value), absent (value: put if_absent), version (value, n: put if_version), touch, delete, get
# result: ("ok", version) of writes | ("conflict", version or None, if it does not say) | ("was", bool) of delete
#         | ("value", value, version) or ("none",) of get | ("none",) of touch | None: unknown
Op = collections.namedtuple("Op", "client key kind arg begin end result")

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


def prepare(ops):
    known = sorted((o for o in ops if o.result is not None), key=lambda o: o.begin)
    unknown = sorted((o for o in ops if o.result is None and o.kind != "get"), key=lambda o: o.begin)
    before, last = [], {}  # the one that the same client sent before
    for i, o in enumerate(known):
        before.append(last.get(o.client, -1))
        last[o.client] = i
    return known, unknown, before


def candidates(known, unknown, before, first, mask, used):
    """What may come next: known requests first, since unknown ones are only taken where they are needed."""
    limit = INF
    out = []
    i = first
    while i < len(known) and known[i].begin < limit:
        if not mask >> (i - first) & 1:
            limit = min(limit, known[i].end)
            p = before[i]
            if p < first or mask >> (p - first) & 1:
                out.append((i, known[i]))
        i += 1
    out = [(i, o) for i, o in out if o.begin < limit]
    for j, o in enumerate(unknown):
        if o.begin >= limit:
            break
        if not used >> j & 1:
            out.append((~j, o))
    return out


def check_key(ops, most=2000000):
    """None, or the request behind which no order was found: (how many were ordered, the request)."""
    known, unknown, before = prepare(ops)
    tried = set()
    best = 0
    stack = [(0, 0, 0, START)]
    while stack:
        first, mask, used, state = stack.pop()
        if first == len(known):
            return None
        node = (first, mask, used, state)
        if node in tried:
            continue
        tried.add(node)
        if len(tried) > most:
            raise RuntimeError("more than %d states for a key with %d requests" % (most, len(known)))
        best = max(best, first)
        after = []
        for i, o in candidates(known, unknown, before, first, mask, used):
            new = step(state, o)
            if new is None:
                continue
            if i < 0:
                after.append((first, mask, used | 1 << ~i, new))
                continue
            f, m = first, mask | 1 << (i - first)
            while m & 1:
                f, m = f + 1, m >> 1
            after.append((f, m, used, new))
        stack.extend(reversed(after))
    return best, known[best]


def check(ops):
    """The keys whose histories cannot be, with the requests around the place: a list of lines, empty if all is well."""
    keys = collections.defaultdict(list)
    for o in ops:
        keys[o.key].append(o)
    out = []
    for key, of_key in sorted(keys.items()):
        bad = check_key(of_key)
        if not bad:
            continue
        n, at = bad
        out.append("%r: no order is right for more than %d of %d requests; around there:" % (key, n, len(of_key)))
        near = sorted((o for o in of_key if o.end > at.begin - 0.2 and o.begin < at.end + 0.2), key=lambda o: o.begin)
        for o in near[:25]:
            out.append("    %s %.6f to %.6f client %s: %s %r -> %r"
                       % ("*" if o is at else " ", o.begin, o.end, o.client, o.kind, o.arg, o.result))
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
    for h in good:
        lines = check(h)
        assert not lines, lines
    for h in bad:
        assert check(h), h
