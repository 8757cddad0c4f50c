"""The search for an order: Wing and Gong's of 1993, with Lowe's list of what may come next and memory of what was tried.

What makes it short, each without loss:
- A request that fits and changes nothing is taken at once: what comes behind it would fit before it too.
- Writes that were told their versions come in the order of their versions.
- A request without a known outcome can wait as long as it likes.  So it is taken only directly before one that looks at
  the same keys, and only where that one then leads elsewhere than it would have without: what an unconditional put
  overwrites unseen need not have been there.  Where one looks at several keys, several may come before it: those that have
  no key in common come in the order of sending.
- Of several that would do the same (deletes, touches, puts whose value nobody ever saw) the earliest is taken first.
- A place that was reached with fewer of them used up is as good as one that has used more.
- Where versions count the writes of all that is looked at, one without a known outcome has taken some of those that nobody
  was told, of a moment behind its sending.
"""
import bisect
import collections
import itertools
import random

INF = float("inf")


# Unknown ones were just taken: the state before the last of them, sets of keys of which a known one must look at some each,
# and which the last one was, with its keys.
Without = collections.namedtuple("Without", "state keys last last_keys")


class Search:
    """known: Ops with their outcome, in the order of sending; unknown: those without, likewise.

    step(state, op): the states that may come of it.  keys(op): the set of what it looks at.
    version(op): what it was told, or None.  same(op): equal for unknown ones that do the same, or None.
    room: None, or (span, least, floor): span(op): the first and the last version of one that was told any; least(op): how
    many versions an unknown one takes at the least; floor(state, op): they are above this.
    unknown_max: so many unknown ones are taken at most.
    """

    def __init__(self, known, unknown, start, step, keys, version, same, most, room=None, unknown_max=None):
        self.unknown_max = len(unknown) if unknown_max is None else unknown_max
        self.known, self.unknown, self.start, self.step, self.most = known, unknown, start, step, most
        self.keys = [keys(o) for o in known]
        self.unknown_keys = [keys(o) for o in unknown]
        self.several = len(set().union(*self.unknown_keys)) > 1
        self.predecessors()
        self.classes(same)
        told = sorted((version(o), i) for i, o in enumerate(known) if version(o) is not None)
        self.rank = [-1] * len(known)
        for r, (_, i) in enumerate(told):
            self.rank[i] = r
        self.link()
        self.gaps(told, room)
        r = random.Random(1)
        self.bits = [r.getrandbits(120) for _ in known]
        self.done = [False] * len(known)
        self.hash = self.count = self.told = 0
        self.best, self.best_at, self.tried, self.states = -1, None, {}, 0

    def gaps(self, told, room):
        """Versions that nobody was told: their number before each write that was, in order."""
        self.least = None
        if not room:
            return
        span, least, self.floor = room
        spans = [span(self.known[i]) for _, i in told]
        gap = [1 << 30] + [max(0, b[0] - a[1] - 1) for a, b in zip(spans, spans[1:])] + [1 << 30]
        self.least = [least(o) for o in self.unknown]
        self.wide = {n: [r for r, size in enumerate(gap) if size >= n] for n in set(self.least)}
        # all of those that are as wide, below each
        self.below = {n: [0] + list(itertools.accumulate(size if size >= n else 0 for size in gap)) for n in self.wide}
        self.begins = [a for a, _ in spans]
        ends = [self.known[i].end for _, i in told]
        for r in range(len(ends) - 2, -1, -1):
            ends[r] = min(ends[r], ends[r + 1])
        # what was sent behind an answer comes behind that write and all before it
        self.first_gap = [bisect.bisect_left(ends, o.begin) for o in self.unknown]

    def fits(self, state, used, j):
        """Are there versions for unknown one j here, and for those used up?"""
        if self.least is None:
            return True
        wide = self.wide[self.least[j]]
        above = bisect.bisect_right(self.begins, self.floor(state, self.unknown[j]))
        at = bisect.bisect_left(wide, max(above, self.first_gap[j]))
        if at == len(wide) or wide[at] > self.told:
            return False
        left, k, taken = used | 1 << j, 0, []
        while left:
            if left & 1:
                taken.append((self.first_gap[k], self.least[k]))
            left, k = left >> 1, k + 1
        taken.sort(reverse=True)
        for n, below in self.below.items():
            need = 0
            for first, least in taken:
                need += least if least >= n else 0
                if need > below[self.told + 1] - below[first]:
                    return False
        return True

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
        """Behind unknown ones, without whose last the state was `without.state`: does `op` make them worth having?"""
        return not without or (all(keys & some for some in without.keys) and new not in self.step(without.state, op))

    def chained(self, without, j, new):
        """May unknown one j, which leads to `new`, come behind those?"""
        if not without:
            return True
        keys = self.unknown_keys[j]
        if keys & without.last_keys:
            return new not in self.step(without.state, self.unknown[j])
        return j > without.last

    def behind(self, state, without, j):
        """What a known one behind j must know: the keys of those taken, joined where they share some."""
        keys, apart = frozenset(self.unknown_keys[j]), []
        last_keys = keys
        for some in without.keys if without else ():
            if some & keys:
                keys |= some
            else:
                apart.append(some)
        return Without(state, frozenset(apart + [keys]), j if self.several else -1, last_keys)

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
        if self.least is not None:
            out.sort(key=lambda choice: self.rank[choice[0]] < 0)  # there is a time for the others
        limit = self.known[self.first_reply()].end
        for j, o in enumerate(self.unknown):
            if o.begin >= limit:
                break
            if used >> j & 1 or (self.earlier[j] >= 0 and not used >> self.earlier[j] & 1):
                continue
            if bin(used).count("1") >= self.unknown_max or not self.fits(state, used, j):
                continue
            for new in self.step(state, o):
                if new != state and self.chained(without, j, new):
                    out.append((-1, new, self.behind(state, without, j), used | 1 << j))
        out.reverse()
        return out

    def seen(self, state, without, used):
        self.states += 1
        there = self.tried.setdefault((self.hash, state, without), [])
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
