"""What the store of copies.c must hold: of each partition the records that were not cut, and in effect those that are committed."""


class Copies:
    """As replay's Model: what is there after the first `lsn` records, as one life of the store sees that."""

    def __init__(self, lines, before=None):
        words = [line.split() for line in lines]
        start = next((int(w[1]) for w in words if w[0] == "L"), None)
        # What the life before wrote and nobody found again was never there.
        self.ops = [op for op in before.ops if start is None or op[0] <= start] if before else []
        self.ops = self.ops + [(int(w[1]), w[0], w[2:]) for w in words]
        self.last = max([op[0] for op in self.ops], default=0)
        self.lines = {}

    def line(self, lsn):
        """By partition: the records that its log has, the least that it says is committed, what its
        process knows to be, and the most that ever was told to be."""
        if lsn in self.lines:
            return self.lines[lsn]
        parts = {}
        for n, op, rest in self.ops:
            if n > lsn or op == "N":
                continue
            if op == "L":
                for p in parts.values():
                    p["now"] = p["known"]
                continue
            p = parts.setdefault(int(rest[0]), {"records": [], "told": 0, "now": 0, "known": 0})
            if op == "R":
                p["known"] = p["now"]  # each record says how far all was committed
                p["records"].append((int(rest[1]), int(rest[2]), int(rest[3]), rest[4:]))
            elif op == "X":
                p["known"] = p["now"]
                p["records"] = [r for r in p["records"] if r[2] <= int(rest[1])]
            else:
                p["now"] = int(rest[1])
                p["told"] = max(p["told"], p["now"])
        self.lines[lsn] = parts
        return parts

    @staticmethod
    def contents(records, upto):
        buckets = {}
        for _, _, last, changes in records:
            if last > upto:
                break
            for op, bucket, key, number in zip(*[iter(changes)] * 4):
                if op == "C":
                    buckets[bucket] = {}
                elif op == "X":
                    buckets.pop(bucket)
                elif op == "P":
                    buckets[bucket][key] = int(number)
                elif op == "D":
                    buckets[bucket].pop(key)
        return buckets

    @staticmethod
    def spans(records):
        out = []
        for term, first, last, _ in records:
            if out and out[-1][0] == term:
                out[-1][2] = last
            else:
                out.append([term, first, last])
        return out

    def check(self, lines, acked, what):
        lsn = next(int(w[1]) for w in lines if w[0] == "seq")
        assert acked <= lsn, "%s: acknowledged up to %d, there is only %d" % (what, acked, lsn)
        assert lsn <= self.last, "%s: %d was never written" % (what, lsn)
        got = {"committed": {}, "all": {}}
        for w in lines:
            if w[0] == "B":
                got[w[1]][w[2]] = {}
        for w in lines:
            if w[0] == "K":
                assert w[5] == "whole", (what, w)
                got[w[1]][w[2]][w[3]] = int(w[4])
        for w in lines:
            if w[0] == "B":
                assert int(w[3]) == len(got[w[1]][w[2]]), "%s: count of %r: %r" % (what, w, got[w[1]][w[2]])
        want = {"committed": {}, "all": {}}
        parts = self.line(lsn)
        for w in lines:
            if w[0] != "E":
                continue
            number, term, last, commit = (int(x) for x in w[1:])
            p = parts.get(number, {"records": [], "told": 0, "known": 0})
            records = p["records"]
            end = (records[-1][0], records[-1][2]) if records else (0, 0)
            where = "%s: at %d, partition %d" % (what, lsn, number)
            assert (term, last) == end, "%s ends at %r instead of %r" % (where, (term, last), end)
            assert p["known"] <= commit <= p["told"], "%s: %d is committed, and not %d to %d" % (where, commit, p["known"], p["told"])
            spans = [[int(x) for x in z[2:]] for z in lines if z[0] == "Z" and int(z[1]) == number]
            theirs = self.spans(records)
            assert spans == theirs[len(theirs) - len(spans):] and len(spans) >= min(len(theirs), 16), \
                "%s has the spans %r instead of %r" % (where, spans, theirs)
            want["committed"].update(self.contents(records, commit))
            want["all"].update(self.contents(records, 1 << 60))
        assert got == want, "%s: at %d: %r instead of %r" % (what, lsn, got, want)
