"""What the accounts of transfers.c must hold behind each transfer."""


class Ledger:
    """As replay's Model: what is there after the first `seq` writes, as one life of the store sees that."""

    def __init__(self, lines, before=None):
        words = [line.split() for line in lines]
        start = next((int(w[1]) for w in words if w[0] == "L"), None)
        # What the life before wrote and nobody found again was never there.
        self.ops = [op for op in before.ops if start is None or op[0] <= start] if before else []
        self.ops = sorted(self.ops + [(int(w[1]), w[0], [int(x) for x in w[2:]]) for w in words if w[0] != "L"])
        self.last = self.ops[-1][0] if self.ops else 0
        self.states, there = {0: []}, []
        for n, op, rest in self.ops:
            if op == "I":
                there = [rest[1]] * rest[0]
            elif op == "M":
                there = list(there)
                there[rest[0]] -= rest[2]
                there[rest[1]] += rest[2]
            self.states[n] = there
        self.sum = sum(there)

    def check(self, lines, acked, what):
        """What a store that was opened tells: the accounts at one moment, no earlier than what was acknowledged."""
        seq = next(int(w[1]) for w in lines if w[0] == "seq")
        got = [int(w[2]) for w in lines if w[0] == "A"]
        assert sum(got) in (self.sum, 0), "%s: the sum of %r is %d instead of %d" % (what, got, sum(got), self.sum)
        assert acked <= seq, "%s: acknowledged up to %d, there is only %d" % (what, acked, seq)
        assert seq <= self.last, "%s: %d was never written" % (what, seq)
        want = self.states[max(n for n in self.states if n <= seq)] if seq not in self.states else self.states[seq]
        assert got == want, "%s: at %d: %r instead of %r" % (what, seq, got, want)
