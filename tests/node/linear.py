"""The search for an order: Wing and Gong's of 1993, with Lowe's list of what may come next and memory of what was tried.

What makes it short, each without loss:
- A request that fits and changes nothing is taken at once: what comes behind it would fit before it too.
- Writes that were told their versions come in the order of their versions.
- A request without a known outcome can wait as long as it likes.  So it is taken only directly before one that looks at
  the same keys, and only where that one then leads elsewhere than it would have without: what an unconditional put
  overwrites unseen need not have been there.
- Of several that would do the same (deletes, touches, puts whose value nobody ever saw) the earliest is taken first.
- A place that was reached with fewer of them used up is as good as one that has used more.
"""
import random

INF = float("inf")


class Search:
    """known: Ops with their outcome, in the order of sending; unknown: those without, likewise.

    step(state, op): the states that may come of it.  keys(op): the set of what it looks at.
    version(op): what it was told, or None.  same(op): equal for unknown ones that do the same, or None.
    """

    def __init__(self, known, unknown, start, step, keys, version, same, most):
        self.known, self.unknown, self.start, self.step, self.most = known, unknown, start, step, most
        self.keys = [keys(o) for o in known]
        self.unknown_keys = [keys(o) for o in unknown]
        self.predecessors()
        self.classes(same)
        told = sorted((version(o), i) for i, o in enumerate(known) if version(o) is not None)
        self.rank = [-1] * len(known)
        for r, (_, i) in enumerate(told):
            self.rank[i] = r
        self.link()
        r = random.Random(1)
        self.bits = [r.getrandbits(120) for _ in known]
        self.done = [False] * len(known)
        self.hash = self.count = self.told = 0
        self.best, self.best_at, self.tried, self.states = -1, None, {}, 0

    def predecessors(self):
        """The one that the same client sent before, of those here; who has no name keeps no order."""
        self.before, last = [], {}
        for i, o in enumerate(self.known):
            self.before.append(last.get(o.client, -1))
            if o.client is not None:
                last[o.client] = i

    def classes(self, same):
        self.earlier, last = [], {}
        for j, o in enumerate(self.unknown):
            c = same(o)
            self.earlier.append(-1 if c is None else last.get(c, -1))
            if c is not None:
                last[c] = j

    def link(self):
        """Sendings and replies in order of time, as a list from which they are taken out and put back."""
        events = [(o.begin, 1, i) for i, o in enumerate(self.known)] + [(o.end, 0, i) for i, o in enumerate(self.known)]
        events.sort()
        n = len(events)
        self.event = [None] + [(i, kind == 0) for _, kind, i in events]
        self.next, self.previous = list(range(1, n + 2)), list(range(-1, n + 1))
        self.last = n + 1
        self.call, self.reply = [0] * len(self.known), [0] * len(self.known)
        for p in range(1, n + 1):
            i, is_reply = self.event[p]
            (self.reply if is_reply else self.call)[i] = p

    def take(self, i):
        for p in (self.call[i], self.reply[i]):
            self.next[self.previous[p]], self.previous[self.next[p]] = self.next[p], self.previous[p]
        self.done[i] = True
        self.hash ^= self.bits[i]
        self.count += 1
        self.told += self.rank[i] >= 0

    def give_back(self, i):
        for p in (self.reply[i], self.call[i]):
            self.next[self.previous[p]] = self.previous[self.next[p]] = p
        self.done[i] = False
        self.hash ^= self.bits[i]
        self.count -= 1
        self.told -= self.rank[i] >= 0

    def first_reply(self):
        p = self.next[0]
        while not self.event[p][1]:
            p = self.next[p]
        return self.event[p][0]

    def open(self):
        """The known ones that may come next; they may be taken while this runs."""
        p = self.next[0]
        while p != self.last and not self.event[p][1]:
            i, follower = self.event[p][0], self.next[p]
            b = self.before[i]
            if (b < 0 or self.done[b]) and (self.rank[i] < 0 or self.rank[i] == self.told):
                yield i
                follower = self.next[p]
            p = follower

    def needed(self, without, op, keys, new):
        """Behind an unknown one, without which the state was `without[0]`: does `op` make it worth having?"""
        return not without or (keys & without[1] and new not in self.step(without[0], op))

    def settle(self, state, without, undo):
        """Take whatever fits and changes nothing."""
        more = True
        while more and self.count < len(self.known):
            more = False
            for i in self.open():
                o = self.known[i]
                if self.step(state, o) == [state] and self.needed(without, o, self.keys[i], state):
                    self.take(i)
                    undo.append(i)
                    without, more = None, True
        return without

    def choices(self, state, without, used):
        out = []
        for i in self.open():
            for new in self.step(state, self.known[i]):
                if self.needed(without, self.known[i], self.keys[i], new):
                    out.append((i, new, None, used))
        limit = self.known[self.first_reply()].end
        for j, o in enumerate(self.unknown):
            if o.begin >= limit:
                break
            if used >> j & 1 or (self.earlier[j] >= 0 and not used >> self.earlier[j] & 1):
                continue
            for new in self.step(state, o):
                if new != state and self.needed(without, o, self.unknown_keys[j], new):
                    out.append((-1, new, (state, self.unknown_keys[j]), used | 1 << j))
        out.reverse()
        return out

    def seen(self, state, without, used):
        self.states += 1
        there = self.tried.setdefault((self.hash, state, without and without[0]), [])
        if any(not u & ~used for u in there):
            return True
        there.append(used)
        return False

    def run(self):
        """None: there is an order.  Else how far the best one got, the request that it could not answer, and whether all was tried."""
        stack = []
        state, without, used, undo = self.start, None, 0, []
        while True:
            without = self.settle(state, without, undo)
            if self.count == len(self.known):
                return None
            if self.count > self.best:
                self.best, self.best_at = self.count, self.known[self.first_reply()]
            if self.states > self.most:
                return self.best, self.best_at, False
            choices = [] if self.seen(state, without, used) else self.choices(state, without, used)
            stack.append((undo, choices))
            while not stack[-1][1]:
                for i in reversed(stack.pop()[0]):
                    self.give_back(i)
                if not stack:
                    return self.best, self.best_at, True
            i, state, without, used = stack[-1][1].pop()
            undo = []
            if i >= 0:
                self.take(i)
                undo.append(i)
