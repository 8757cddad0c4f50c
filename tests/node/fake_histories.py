"""Histories that the checker of groups must let pass, and others that it must not."""
from groups import chained, check
from history import INF, Op

def txn(client, begin, end, result, then, conditions=(), els=(), n=0):
    return Op(client, "b", "txn", (conditions, then, els), begin, end, result, n)


def call(client, begin, end, result, *arg):
    return Op(client, "b", "call", arg, begin, end, result)


def put(key, value):
    return ("put", key, value)


BEGUN = txn(0, 0, 1, (True, (1, 2)), (put(b"a", b"5 s"), put(b"b", b"5 s")))
PAIR = (put(b"a", b"3 t"), put(b"b", b"7 t"))
SCAN = (("scan", b""),)


def seen(begin, end, *items, client=9):
    return txn(client, begin, end, (True, (items,)), SCAN)


def poor_histories():
    """Two without an outcome, of which one must come first: until then there is nothing to give."""
    return [txn(0, 0, 1, (True, (1, 2)), (put(b"a", b"0 s"), put(b"b", b"9 s"))),
            *(call(c, 2, INF, None, "transfer", x, y, 3, b"t%d" % c) for c, x, y in ((1, b"a", b"b"), (2, b"b", b"a")))]


def chain_of_unknown():
    """Three without an outcome, of which only the last was seen."""
    ops = [call(c, 2, INF, None, "transfer", b"a", b"b", 1, b"t%d" % c) for c in (1, 2, 3)]
    return [BEGUN] + ops, (b"a", b"2 t3 t2 t1 s", 7), (b"b", b"8 t3 t2 t1 s", 8)


A1, B2, A3, B4 = (b"a", b"5 s", 1), (b"b", b"5 s", 2), (b"a", b"3 t", 3), (b"b", b"7 t", 4)
AC, BC = (b"a", b"3 t s", 3), (b"b", b"7 t s", 4)  # by a call


def good_histories():
    moved = txn(1, 2, 3, (True, (3, 4)), PAIR)
    lost = txn(1, 2, INF, None, PAIR)
    yield [BEGUN, moved, seen(2, 3, A1, B2), seen(2, 3, A3, B4, client=8), seen(4, 5, A3, B4)]
    yield [BEGUN, lost, seen(4, 5, A1, B2)]
    yield [BEGUN, lost, seen(4, 5, A1, B2), seen(6, 7, A3, B4)]
    # conditions: those that held, those that did not, and what is read inside, of one's own writes too
    held = (((b"a", "version", "=", 1),), (((b"a", "value", "=", b"5 s")),), ((b"z", "version", "=", 0), (b"a", "version", "<", 2)),
            ((b"z", "value", "!=", b"x"), (b"b", "value", ">", b"4"), (b"b", "version", "!=", 7)))
    for c in held:
        yield [BEGUN, txn(1, 2, 3, (True, (3, 4)), PAIR, c), seen(4, 5, A3, B4)]
    yield [BEGUN, moved, txn(2, 4, 5, (False, ((b"3 t", 3), 2)), (put(b"a", b"x u"),), ((b"a", "version", "=", 1),), (("get", b"a"), ("count",)))]
    yield [BEGUN, txn(1, 2, 3, (True, ((b"5 s", 1), 3, (b"3 t", 3), True, None, (("b", 0),)[:0], 0)),
                      (("get", b"a"), PAIR[0], ("get", b"a"), ("delete", b"a"), ("get", b"a"), ("scan", b"a"), ("version", b"a"))),
           seen(4, 5, B2), txn(1, 6, 7, (True, (5,)), (put(b"a", b"v w"),))]
    # without an outcome, and what depends on it
    yield [BEGUN, lost, txn(2, 4, 5, (False, ((b"3 t", 3),)), (put(b"a", b"x u"),), ((b"a", "version", "=", 1),), (("get", b"a"),))]
    yield [BEGUN, lost, txn(2, 4, 5, (False, ()), (put(b"a", b"x u"),), ((b"a", "version", "=", 1),)), seen(6, 7, A3, B4)]
    yield [BEGUN, lost, txn(2, 4, 5, (True, (5, 6)), (put(b"a", b"x u"), put(b"b", b"x u")))]
    # one that nobody saw, below one that two were told of
    yield [BEGUN, call(1, 2, INF, None, "transfer", b"a", b"b", 2, b"t"), call(1, 2, INF, None, "transfer", b"a", b"b", 1, b"u"),
           seen(8, 9, (b"a", b"2 u t s", 5), (b"b", b"8 u t s", 6))]
    yield poor_histories() + [seen(8, 9, (b"a", b"0 t1 t2 s", 5), (b"b", b"9 t1 t2 s", 6))]
    h, a, b = chain_of_unknown()
    yield h + [seen(8, 9, a, b)]
    yield h + [seen(2, 3, A1, B2), seen(4, 5, (b"a", b"3 t2 t1 s", 5), (b"b", b"7 t2 t1 s", 6)), seen(8, 9, a, b)]
    # calls
    yield [BEGUN, call(1, 2, 3, (True, b"5 s", 1, b"5 s", 2, 3, 4), "transfer", b"a", b"b", 2, b"t"), seen(4, 5, AC, BC),
           call(2, 5, 6, (False, b"3 t s", 3, b"7 t s", 4), "transfer", b"a", b"b", 4, b"u")]
    yield [call(1, 0, 9, 1, "add", b"n", 1), call(2, 0, 9, 2, "add", b"n", 1), call(3, 3, 4, 3, "add", b"n", 1)]
    yield [call(1, 0, 9, 1, "add", b"n", 1), call(2, 0, INF, None, "add", b"n", 1), call(3, 3, 4, 3, "add", b"n", 1)]
    yield [BEGUN, txn(1, 2, INF, None, (("touch", b"a"), put(b"b", b"7 t"))), seen(4, 5, (b"a", b"5 s", 3), B4)]
    yield [BEGUN, txn(1, 2, INF, None, (("delete", b"a"),)), seen(4, 5, B2)]
    deletes = [txn(c, 2, INF, None, (("delete", key),)) for c, key in ((3, b"b"), (1, b"a"), (2, b"z"))]
    yield [BEGUN, *deletes, seen(4, 5), txn(1, 6, 7, (True, (5,)), (put(b"a", b"v w"),))]


def bad_histories():
    moved = txn(1, 2, 3, (True, (3, 4)), PAIR)
    lost = txn(1, 2, INF, None, PAIR)
    later = txn(2, 4, 5, (True, (5, 6)), (put(b"a", b"x u"), put(b"b", b"x u")))
    for how, t in (("told", moved), ("not told", lost)):
        yield "half, " + how, [BEGUN, t, seen(2, 9, A3, B2)]
        yield "the other half, " + how, [BEGUN, t, seen(2, 9, A1, B4)]
        yield "there and gone, " + how, [BEGUN, t, seen(2, 3, A3, B4), seen(4, 5, A1, B2)]
        yield "done twice, " + how, [BEGUN, t, seen(4, 5, A3, B4), seen(6, 7, (b"a", b"3 t", 5), (b"b", b"7 t", 6))]
        yield "done again behind another, " + how, [BEGUN, t, seen(3, 3.5, A3, B4), later, seen(6, 7, (b"a", b"3 t", 7), (b"b", b"7 t", 8))]
        yield "seen before it was sent, " + how, [BEGUN, seen(1, 1.5, A3, B4), t]
        yield "versions of others between, " + how, [BEGUN, t, seen(4, 5, A3, (b"b", b"7 t", 5))]
        yield "one of it stale inside, " + how, [BEGUN, t, seen(3, 4, A3, B4), txn(2, 4, 5, (True, ((b"5 s", 1), (b"7 t", 4))), (("get", b"a"), ("get", b"b")))]
    yield "lost", [BEGUN, moved, seen(4, 5, A1, B2)]
    yield "half lost", [BEGUN, moved, seen(4, 5, A3, B2)]
    yield "its version twice", [BEGUN, moved, txn(2, 4, 5, (True, (4,)), (put(b"c", b"x u"),))]
    yield "a stale read inside", [BEGUN, moved, txn(2, 4, 5, (True, ((b"5 s", 1), 5)), (("get", b"a"), put(b"c", b"x u")))]
    yield "it does not see its own", [BEGUN, txn(1, 2, 3, (True, (3, (b"5 s", 1))), (PAIR[0], ("get", b"a")))]
    yield "a condition that did not hold", [BEGUN, moved, txn(2, 4, 5, (True, (5,)), (put(b"a", b"x u"),), ((b"a", "version", "=", 1),))]
    yield "a condition that held", [BEGUN, txn(2, 4, 5, (False, ()), (put(b"a", b"x u"),), ((b"a", "version", "=", 1), (b"b", "version", "=", 2)))]
    yield "two upon one version", [BEGUN] + [txn(c, 2, 3, (True, (2 + c,)), (put(b"a", b"x %d" % c),), ((b"a", "version", "=", 1),)) for c in (1, 2)]
    yield "it was refused, and yet there", [BEGUN, txn(1, 2, 3, (False, ()), PAIR, ((b"z", "version", ">", 0),)), seen(4, 5, A3, B4)]
    yield "without an outcome its condition could not hold", [BEGUN, moved, txn(2, 4, INF, None, (put(b"a", b"x u"),), ((b"a", "version", "=", 1),)),
                                                              seen(6, 7, (b"a", b"x u", 5), B4)]
    yield "a count", [BEGUN, txn(2, 4, 5, (True, (1,)), (("count",),))]
    yield "one client's order", [BEGUN, txn(1, 2, 9, (True, (3, 4)), PAIR, n=1), txn(1, 2, 3, (True, (None,)), (("get", b"c"),), n=3),
                                 txn(1, 2, 3, (True, ((b"5 s", 1),)), (("get", b"a"),), n=2)]
    h, a, b = chain_of_unknown()
    yield "half of the first of three", h + [seen(8, 9, a, (b"b", b"7 t3 t2 s", 8))]
    yield "the second of three seen behind the third", h + [seen(4, 5, a, b), seen(6, 7, (b"a", b"3 t2 t1 s", 5), (b"b", b"7 t2 t1 s", 6))]
    yield "of two only one could be", poor_histories() + [seen(8, 9, (b"a", b"0 t2 t1 s", 5), (b"b", b"9 t2 t1 s", 6))]
    yield "a call's half", [BEGUN, call(1, 2, INF, None, "transfer", b"a", b"b", 2, b"t"), seen(4, 5, AC, B2)]
    yield "a call twice", [BEGUN, call(1, 2, INF, None, "transfer", b"a", b"b", 2, b"t"),
                           seen(4, 5, (b"a", b"1 t t s", 5), (b"b", b"9 t t s", 6))]
    yield "a call that was lost", [BEGUN, call(1, 2, 3, (True, b"5 s", 1, b"5 s", 2, 3, 4), "transfer", b"a", b"b", 2, b"t"), seen(4, 5, A1, B2)]
    yield "two calls upon the same", [BEGUN] + [call(c, 2, 3, (True, b"5 s", 1, b"5 s", 2, 1 + 2 * c, 2 + 2 * c), "transfer", b"a", b"b", c, b"t%d" % c)
                                                for c in (1, 2)]
    yield "one more than was asked for", [call(1, 0, 1, 1, "add", b"n", 1), call(2, 2, 3, 3, "add", b"n", 1)]
    yield "one without an outcome, counted twice", [call(1, 0, INF, None, "add", b"n", 1), call(2, 2, 3, 3, "add", b"n", 1)]
    yield "a sum twice", [call(1, 0, 9, 1, "add", b"n", 1), call(2, 0, 9, 1, "add", b"n", 1)]


def self_test():
    for i, h in enumerate(good_histories()):
        lines = check(h)
        assert not lines, (i, lines)
    what = {}
    for name, h in bad_histories():
        what[name] = check(h, 3000)
        assert what[name] and "was found in" not in what[name][0], (name, what[name])
    long_test()
    return len(what)


def long_test():
    """Hundreds of transfers, a few of them unknown, and one observer who is wrong: all is tried, in few states."""
    for wrong in False, True:
        balance, ops, v = {b"%d" % i: [b"100 s", i + 1] for i in range(6)}, [], 6
        ops.append(txn(0, 0, 1, (True, tuple(range(1, 7))), tuple(put(k, x[0]) for k, x in balance.items())))
        for i in range(600):
            a, b = b"%d" % (i % 6), b"%d" % ((i * 7 + 1) % 6)
            if a == b:
                continue
            before = balance[a] + balance[b]
            unknown = i % 20 == 0
            tag = b"t%d" % i
            for key, by in (a, -1), (b, 1):
                v += 1
                balance[key] = [chained(b"%d" % (int(balance[key][0].split()[0]) + by), tag, balance[key][0]), v]
            ops.append(call(i % 7, 2 + i - unknown * i % 3, INF if unknown else 4 + i, None if unknown else (True, *before, v - 1, v), "transfer", a, b, 1, tag))
            if i % 3 == 0:
                ops.append(seen(2 + i, 5 + i, *((k, *x) for k, x in sorted(balance.items())), client=20 + i % 5))
            if i % 30 == 1:  # those that never came to be
                ops.append(call(7, 2 + i, INF, None, "transfer", b, a, 1, b"never%d" % i))
        if wrong:
            at = next(i for i, o in enumerate(ops) if i > 600 and o.kind == "txn")
            items = [list(x) for x in ops[at].result[1][0]]
            items[2][1:] = ops[at - 40].result[1][0][2][1:] if ops[at - 40].kind == "txn" else [b"1 s", 3]
            ops[at] = ops[at]._replace(result=(True, (tuple(tuple(x) for x in items),)))
        lines = check(ops, 20000)
        assert bool(lines) == wrong and "was found in" not in "".join(lines), lines
