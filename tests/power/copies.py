"""What the store of copies.c must hold: of each partition the records that were not cut, and in effect those that are committed."""


class Copies:
    """As replay's Model: what is there after the first `lsn` records, as one life of the store sees that."""

    def __init__(self, lines, before=None):
        words = [line.split() for line in lines]
        start = next((int(w[1]) for w in words if w[0] == "L"), None)
        # What the life before wrote and nobody found again was never there.
        # A copy may be whole before what its log then had was written.
        self.ops = [op for op in before.ops if start is None or op[0] <= start or op[1] in "wW"] if before else []
        self.ops = self.ops + [(int(w[1]), w[0], w[2:]) for w in words]
        self.last = max([op[0] for op in self.ops], default=0)
        self.lines = {}

    def line(self, lsn):
        """By partition: the records that its log has, the least that it says is committed, what its
        process knows to be, and the most that ever was told to be."""
        if lsn in self.lines:
            return self.lines[lsn]
        parts = {}
        for i, (n, op, rest) in enumerate(self.ops):
            if op == "W" and n < lsn and parts.get(int(rest[0]), {}).get("copy"):
                parts[int(rest[0])]["must"] = True  # it was whole on disk before anything else was written
            if n > lsn or op in "NwW":
                continue
            if op == "L":
                for p in parts.values():
                    p["now"] = p["known"]
                continue
            p = parts.setdefault(int(rest[0]), self.nothing())
            if op == "V":
                parts[int(rest[0])] = self.void(i, rest[0])
                continue
            if p["void"] and op != "M":
                p["must"] = True
            if op == "R":
                p["known"] = p["now"]  # each record says how far all was committed
                p["records"].append((int(rest[1]), int(rest[2]), int(rest[3]), rest[4:]))
            elif op == "X":
                p["known"] = p["now"]
                p["records"] = [(r[0], r[1], min(r[2], int(rest[1])), r[3])
                                for r in p["records"] if r[2] <= int(rest[1]) or (not r[3] and r[1] <= int(rest[1]))]
            else:
                p["now"] = int(rest[1])
                p["told"] = max(p["told"], p["now"])
        self.lines[lsn] = parts
        return parts

    @staticmethod
    def nothing(void=False):
        return {"records": [], "told": 0, "now": 0, "known": 0, "void": void, "must": False, "copy": None, "contents": {}}

    def void(self, i, partition):
        """Nothing is there, or what was about to be whole when the next such copy begins."""
        new = self.nothing(True)
        for _, op, rest in self.ops[i + 1:]:
            if op not in "wV" or rest[0] != partition:
                continue
            if op == "V":
                break
            new["copy"], bucket, at = rest, None, 1
            while at < len(rest):
                if rest[at] == "S":
                    new["records"].append((int(rest[at + 1]), int(rest[at + 2]), int(rest[at + 3]), []))
                    at += 4
                elif rest[at] == "B":
                    bucket = new["contents"][rest[at + 1]] = {}
                    at += 2
                else:
                    bucket[rest[at + 1]] = int(rest[at + 2])
                    at += 3
            break
        return new

    @staticmethod
    def contents(records, upto, before):
        buckets = {name: dict(keys) for name, keys in before.items()}
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
            number, term, last, commit, whole = (int(x) for x in w[1:])
            p = parts.get(number) or self.nothing()
            records = p["records"]
            end = (records[-1][0], records[-1][2]) if records else (0, 0)
            where = "%s: at %d, partition %d" % (what, lsn, number)
            if not whole:
                assert p["void"] and not p["must"], "%s is not whole" % where
                assert (term, last, commit) == (0, 0, 0), "%s is not whole and has %r" % (where, w)
                continue
            assert not p["void"] or p["copy"], "%s is whole, before a copy came" % where
            assert (term, last) == end, "%s ends at %r instead of %r" % (where, (term, last), end)
            assert p["known"] <= commit <= (last if p["void"] else p["told"]), "%s: %d is committed, and not %d to %d" % (where, commit, p["known"], p["told"])
            spans = [[int(x) for x in z[2:]] for z in lines if z[0] == "Z" and int(z[1]) == number]
            theirs = self.spans(records)
            assert spans == theirs[len(theirs) - len(spans):] and len(spans) >= min(len(theirs), 16), \
                "%s has the spans %r instead of %r" % (where, spans, theirs)
            want["committed"].update(self.contents(records, commit, p["contents"]))
            want["all"].update(self.contents(records, 1 << 60, p["contents"]))
        assert got == want, "%s: at %d: %r instead of %r" % (what, lsn, got, want)
