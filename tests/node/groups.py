"""Is a history of transactions, calls and scans linearizable, bucket by bucket?

As in history.py, but what a request may read and write at its moment is a whole bucket.  An Op's key is the bucket, its kind:

    txn   arg: (conditions, then, else), as on the wire, all in tuples; an op beyond those is ("version", key): what a conflict tells
          result: (ok, (result of each op of the list that was run))
    call  arg: (function, arguments...), one of CALLS; result: what it returned

and None where the outcome is not known.  Single requests are transactions of one op.

The second word of a value is its request's alone, its tag; more words are the tags of those whose values it has replaced, as
far as it knew.  So one without an outcome whose tag somebody has seen did take effect: it is searched for as one that was
answered, and only those that nobody saw are left to guess.  Versions are a bucket's: they put all writes in one order.
"""
import collections

from history import UNSEEN, near
from linear import Search

ANY = object()  # a result that nobody was told
NOTHING = (None, None, 0)  # of a key: its value or None, its version or None if nobody was told, the highest that was told
# Result of one that nobody answered: (SEEN, ((key, value, version or None if it was touched), ...)); where only the value that
# replaced it was seen both are None.
SEEN = "seen"
HIDDEN = UNSEEN.replace(" ", "-").encode()
CHAIN = 6  # so many tags a value has at most


class Misfit(Exception):
    """It cannot have been so."""


def tags_of(value):
    return value.split()[1:] if value else []


def chained(what, tag, replaced):
    """A value of this tag, in place of another."""
    return b" ".join([what, tag] + tags_of(replaced)[:CHAIN - 1])


class View:
    """A bucket within one request.  What it writes has the versions base, base + 1, …, and base may not be known yet."""

    def __init__(self, items):
        self.before, self.items = items, dict(items)
        self.base, self.writes, self.last, self.changed = None, 0, {}, False

    def fit(self, holds):
        if not holds:
            raise Misfit

    def of(self, key):
        return self.items.get(key, NOTHING)

    def value(self, key):
        return self.of(key)[0]

    def meet(self, key, n):
        """The key's version is n."""
        value, version, told = self.of(key)
        if n is ANY:
            return
        if isinstance(version, tuple):
            self.born(n, version[0])
        elif version is None:
            self.fit(n > told)
            self.items[key] = (value, n, n)
            self.changed = True
        else:
            self.fit(version == n)

    def born(self, n, offset):
        """The write with this offset has version n."""
        if n is ANY:
            return
        if self.base is None:
            self.base = n - offset
        self.fit(self.base + offset == n)

    def write(self, key, value, n=ANY):
        self.items[key] = (value, (self.writes,), self.of(key)[2])
        self.last[key] = (value, self.writes)
        self.born(n, self.writes)
        self.writes += 1

    def delete(self, key):
        there = self.value(key) is not None
        if there:
            self.write(key, None)
        return there

    def get(self, key, result):
        """result: (value, version), or None."""
        if result is ANY:
            return
        value = self.value(key)
        self.fit((value is None) == (result is None))
        if value is not None:
            self.fit(value == result[0])
            self.meet(key, result[1])

    def end(self):
        """The bucket behind it."""
        if not self.writes and not self.changed:
            return self.before
        for key, (value, offset) in self.last.items():
            told = self.items[key][2]
            n = None if self.base is None else self.base + offset
            self.fit(n is None or n > told)
            self.items[key] = (value, None if value is None else n, told if n is None else n)
        return tuple(sorted(self.items.items()))


def run(view, op, r):
    """One op of a transaction, with its result."""
    name, key = op[0], op[1] if len(op) > 1 else None
    if name == "put":
        view.write(key, op[2], r)
    elif name == "get":
        view.get(key, r)
    elif name == "delete":
        there = view.delete(key)
        view.fit(r is ANY or r == there)
    elif name == "touch":
        value = view.value(key)
        view.fit(r is ANY or (r is None) == (value is None))
        if value is not None:
            view.write(key, value, r)
    elif name == "scan":
        if r is not ANY:
            there = sorted(k for k, v in view.items.items() if v[0] is not None and k.startswith(key))
            view.fit(there == [x[0] for x in r])
            for k, value, n in r:
                view.get(k, (value, n))
    elif name == "count":
        view.fit(r is ANY or r == sum(v[0] is not None for v in view.items.values()))
    elif r is not ANY and name == "version":
        view.fit((r == 0) == (view.value(key) is None))
        if r:
            view.meet(key, r)
    else:
        assert name == "version", name


def compare(left, rel, right):
    return {"=": left == right, "!=": left != right, "<": left < right, ">": left > right}[rel]


def holds(view, condition):
    """True, False, or None: it depends on a version that nobody was told."""
    key, what, rel, right = condition
    value, version, _ = view.of(key)
    if what == "value":
        return rel == "!=" if value is None else compare(value, rel, right)
    if value is not None and version is None:
        return None
    return compare(version if value is not None else 0, rel, right)


def transact(view, arg, ok, results):
    """Transaction with its outcome; results may be ANY."""
    conditions, then, els = arg
    told = [holds(view, c) for c in conditions]
    if ok:
        view.fit(False not in told)
        for c, t in zip(conditions, told):
            if t is None and c[2] == "=":
                view.meet(c[0], c[3])
    else:
        view.fit(not all(t is True for t in told))
    ops = then if ok else els
    for i, op in enumerate(ops):
        run(view, op, ANY if results is ANY else results[i])


# ---- functions, each (view, what it returned or ANY, arguments...): as the Lua of test_transfers.py and the samples' ----

def transfer(view, r, a, b, amount, tag):
    """{false or true, what the first was, its version, the second, its version, and the versions they have now}."""
    values = view.value(a), view.value(b)
    if None in values:
        raise Misfit
    x, y = (int(v.split()[0]) for v in values)
    done = x >= amount
    if r is not ANY:
        view.fit(r[0] == done)
        view.get(a, r[1:3])
        view.get(b, r[3:5])
    if done:
        view.write(a, chained(b"%d" % (x - amount), tag, values[0]), ANY if r is ANY else r[5])
        view.write(b, chained(b"%d" % (y + amount), tag, values[1]), ANY if r is ANY else r[6])


def add(view, r, key, n):
    """The sample `counter`: it returns the sum."""
    total = int(view.value(key) or 0) + n
    view.fit(r is ANY or r == total)
    view.write(key, b"%d" % total)


# name: the function; the keys that it looks at; those it writes, with its tag; what it has read; the versions that it was told
CALLS = {
    "transfer": (transfer, lambda a, b, *_: {a, b}, lambda a, b, _, tag: [(a, tag), (b, tag)],
                 lambda r, a, b, *_: [(a,) + tuple(r[1:3]), (b,) + tuple(r[3:5])], lambda r: r[5:7]),
    "add": (add, lambda key, _: {key}, lambda *_: [], lambda *_: [], lambda r: ()),
}


def may_write_any(part):
    return any(x[0] in ("put", "touch", "delete") for x in part)


def may_write(op):
    return op.kind == "call" or any(map(may_write_any, op.arg[1:]))


def ops_run(op):
    """The ops of a transaction that was answered, with their results."""
    return zip(op.arg[1] if op.result[0] else op.arg[2], op.result[1])


def is_seen(op):
    return isinstance(op.result, tuple) and op.result[0] == SEEN


def reads(op):
    """(key, value, version) of all that it was told."""
    if op.result is None:
        return []
    if op.kind == "call":
        return CALLS[op.arg[0]][3](op.result, *op.arg[1:]) if isinstance(op.result, tuple) else []
    out = []
    for x, r in ops_run(op):
        if x[0] == "get" and r is not None:
            out.append((x[1],) + tuple(r))
        elif x[0] == "scan":
            out += r
    return out


def told(op):
    """The versions that its writes were said to have."""
    if op.result is None:
        return []
    if is_seen(op):
        return [n for _, _, n in op.result[1] if n is not None]
    if op.kind == "call":
        return [n for n in CALLS[op.arg[0]][4](op.result)]
    return [r for x, r in ops_run(op) if x[0] in ("put", "touch") and r is not None]


def tags(op):
    """(key, tag) of all that it may write."""
    if op.kind == "call":
        return CALLS[op.arg[0]][2](*op.arg[1:])
    return [(x[1], tags_of(x[2])[0]) for part in op.arg[1:] for x in part if x[0] == "put"]


def keys_of(op, all_keys):
    if op.kind == "call":
        return CALLS[op.arg[0]][1](*op.arg[1:])
    keys = {c[0] for c in op.arg[0]}
    for part in op.arg[1:]:
        for x in part:
            if x[0] in ("scan", "count"):
                return all_keys
            keys.add(x[1])
    return keys


def span_of(op):
    """The first and the last of its versions, as far as they are known; None if it was told none."""
    versions = told(op)
    if not versions:
        return None
    if is_seen(op):
        # Puts before it took versions too; what it deleted and touched may have.
        before = {key: i for i, key in enumerate(puts(op))}
        return min(n - before.get(key, 0) for key, _, n in op.result[1] if n is not None), max(versions)
    if op.kind == "call":
        return min(versions), max(versions)
    taken, base = 0, None
    for x, r in ops_run(op):
        if x[0] in ("put", "touch") and r is not None:
            base = r - taken if base is None else base
        taken += r is True if x[0] == "delete" else x[0] in ("put", "touch") and r is not None
    return base, base + taken - 1


def version_of(op):
    span = span_of(op)
    return span and span[0]


def puts(op):
    """The keys that it puts, in order, whichever list is run; if it writes at all."""
    if op.kind == "call":
        return [key for key, _ in tags(op)]
    lists = [[x[1] for x in part if x[0] == "put"] for part in op.arg[1:] if may_write_any(part)]
    return lists[0] if len(lists) == 1 else []


def least_of(op):
    """How many versions it takes at the least, if it changes anything."""
    return max(1, len(puts(op)))


def floor_of(items, op):
    there = dict(items)
    return max((there.get(key, NOTHING)[2] for key in puts(op)), default=0)


def step(items, op):
    """The buckets that `op` with its result may leave of this one."""
    seen, out = is_seen(op), []
    unknown = op.result is None or seen
    for ok in (True, False) if unknown and op.kind == "txn" else (None,):
        view = View(items)
        try:
            if op.kind == "call":
                CALLS[op.arg[0]][0](view, ANY if unknown else op.result, *op.arg[1:])
            elif unknown:
                transact(view, op.arg, ok, ANY)
            else:
                transact(view, op.arg, *op.result)
            for key, value, n in op.result[1] if seen else ():
                view.fit(key in view.last and value in (view.last[key][0], None))
                view.born(ANY if n is None else n, view.last[key][1])
            out.append(view.end())
        except Misfit:
            pass
    return out


def hidden(op):
    """Of one that nobody saw, values that are alike are the same."""
    if op.kind == "call":
        return op._replace(arg=tuple(HIDDEN if (op.arg[0], i) == ("transfer", 4) else x for i, x in enumerate(op.arg)))
    parts = [tuple((x[0], x[1], x[2].split()[0] + b" " + HIDDEN) if x[0] == "put" else x for x in part) for part in op.arg[1:]]
    return op._replace(arg=(op.arg[0],) + tuple(parts))


def resolve(ops):
    """Those that nobody answered, but whose values were seen, with what was seen; and lines: what was seen twice."""
    seen, replaced, touched, lines = collections.defaultdict(set), set(), set(), []
    for o in ops:
        for key, value, n in reads(o):
            there = tags_of(value)
            for tag in there[:1]:
                seen[key, tag].add((value, n))
            replaced.update((key, x) for x in there[1:])
        if o.kind == "txn":
            touched |= {x[1] for part in o.arg[1:] for x in part if x[0] == "touch"}
    out = []
    for o in ops:
        if o.result is None:
            mine = dict.fromkeys(tags(o))
            found = [(key, seen[key, tag]) for key, tag in mine if (key, tag) in seen]
            for key, values in found:
                if len(values) > 1 and key not in touched:
                    lines.append("%r: of one request: %r" % (key, sorted(values)))
            lost = [key for key, tag in mine if (key, tag) in replaced and (key, tag) not in seen]
            if found or lost:
                o = o._replace(result=(SEEN, tuple((key, value, None if key in touched else n)
                                                   for key, values in found for value, n in [min(values)]) +
                                       tuple((key, None, None) for key in lost)))
            else:
                o = hidden(o)
        out.append(o)
    return out, lines


def check_bucket(ops, most=None):
    """Lines that say what cannot be, empty if all is well."""
    most = most or 50000 + 10 * len(ops)  # what is right takes about one each
    ops, lines = resolve(sorted(ops, key=lambda o: (o.begin, o.n)))
    spans = sorted(filter(None, map(span_of, ops)))
    lines += ["versions %d to %d and %d to %d were given" % (a + b) for a, b in zip(spans, spans[1:]) if b[0] <= a[1]]
    if lines:
        return lines
    all_keys = {key for o in ops for key in keys_of(o, set())}
    known = [o for o in ops if o.result is not None]
    unknown = [o for o in ops if o.result is None]
    for unknown_max in (0, 1, 3, None):  # most of those that nobody saw were never done
        bad = Search(known, unknown, (), step, lambda o: keys_of(o, all_keys), version_of, lambda o: (o.kind, o.arg), most,
                     (span_of, least_of, floor_of), unknown_max).run()
        if not bad:
            return []
    n, at, all_tried = bad
    return ["no order %s for more than %d of %d requests, %d of them without an outcome; around there:"
            % ("is right" if all_tried else "was found in %d states" % most, n, len(ops), len(unknown))] + near(known, at)


def check(ops, most=None):
    buckets = collections.defaultdict(list)
    for o in ops:
        buckets[o.key].append(o)
    return ["%r: %s" % (bucket, line) for bucket, some in sorted(buckets.items()) for line in check_bucket(some, most)]
