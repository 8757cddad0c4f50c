"""Run node tests: each in a process of its own, with a time limit, its children killed with it."""
import argparse
import glob
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster  # noqa: E402
import lib  # noqa: E402

LIMIT_S = 120
# Left out unless they are asked for with --include.
OPTIONAL = {"torture": "takes as long as TORTURE_S says", "torture_cluster": "takes as long as TORTURE_S says",
            "long": "clusters at length: make test-cluster", "page": "a browser looks at the page: make test-page"}


def no_namespaces():
    """Why there can be no network namespaces here, or None."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    r = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return None if r.returncode == 0 else "this machine lets nobody make network namespaces"


def sanitized():
    with open(os.path.join(lib.BUILD, "pail"), "rb") as f:
        return b"__asan_init" in f.read()


def no_valgrind():
    """Why nothing can run under valgrind, or None."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    return "valgrind cannot run what sanitizers are built into" if sanitized() else None


def ran_already():
    """Why there is nothing to see in it, or None."""
    return "it runs what is built without sanitizers, as it has in debug" if sanitized() else None


def no_etcd():
    """Why there can be no cluster, or None."""
    return None if cluster.FAKE or shutil.which("etcd") else "etcd is not installed"


def no_promtool():
    """Why Prometheus cannot be asked, or None."""
    return None if shutil.which("promtool") else "promtool is not installed"


# Those that build, measure how long others wait, or take what a machine has only once.
ALONE = {"alone", "history", "netns", "release", "torture"}
# Several nodes and an etcd: two of them at a time, and nothing else; alone where it is measured how soon others take over.
LARGE = {"cluster"}
TORTURE = {"torture", "torture_cluster"}

# Left out where they cannot run.
POSSIBLE = {"netns": no_namespaces, "valgrind": no_valgrind, "cluster": no_etcd, "promtool": no_promtool, "release": ran_already, "runner": ran_already}


def child(f, name):
    os.setpgid(0, 0)
    box = lib.Box(name)
    try:
        f(box)
        box.close()
        return 0
    except BaseException:
        print("# %s failed, PAIL_SEED=%d" % (name, box.seed))
        for line in traceback.format_exc().splitlines():
            print("# " + line)
        for line in box.logs().splitlines()[-40:]:
            print("# | " + line)
        sys.stdout.flush()
        try:
            box.close()
        except BaseException as e:
            print("# " + str(e).replace("\n", "\n# "))
        return 1


class Running:
    """A test in a process and a group of its own; what it prints is kept until it has ended."""

    def __init__(self, name, f, limit):
        self.name, self.limit = name, limit
        self.out = tempfile.TemporaryFile("w+", errors="replace")
        self.begin = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                os.dup2(self.out.fileno(), 1)
                os.dup2(self.out.fileno(), 2)
                code = child(f, name)
            finally:
                sys.stdout.flush()
                os._exit(code)

    def ended(self):
        """None while it runs, then whether it passed."""
        done, status, used = os.wait4(self.pid, os.WNOHANG)
        if not done and time.monotonic() < self.begin + self.limit:
            return None
        try:  # what a test that failed has left behind, too
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            if not done:
                os.kill(self.pid, signal.SIGKILL)
        if not done:
            _, _, used = os.wait4(self.pid, 0)
        self.cpu = used.ru_utime + used.ru_stime  # of those of its processes that were waited for
        self.took = time.monotonic() - self.begin
        self.out.seek(0)
        sys.stdout.write(self.out.read())
        self.out.close()
        if not done:
            print("# %s took longer than %d s" % (self.name, self.limit))
        return bool(done) and status == 0


def run_all(chosen, jobs, again):
    """Each of (name, function, limit, size), `jobs` at a time by their sizes, those that must be alone at the end.  How many failed."""
    waiting = sorted(chosen, key=lambda t: t[3])
    running, failed = [], 0
    while waiting or running:
        while waiting and sum(t[3] for t, _ in running) + waiting[0][3] <= jobs:
            t = waiting.pop(0)
            running.append((t, Running(*t[:3])))
        for t, r in running[:]:
            ok = r.ended()
            if ok is None:
                continue
            running.remove((t, r))
            if not ok and again > 0:
                again -= 1
                print("# %s failed: a second try, when nothing else runs" % t[0], flush=True)
                waiting.append(t[:3] + (jobs,))
                continue
            failed += not ok
            print("%s %s (%.1f s, CPU %.1f s)" % ("ok" if ok else "not ok", t[0], r.took, r.cpu), flush=True)
        time.sleep(0.005)
    return failed


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--build", default="build/debug")
    a.add_argument("--slow", type=float, default=1)
    a.add_argument("--only", default="")
    a.add_argument("--exclude", default="")
    a.add_argument("--include", default="")
    a.add_argument("--again", type=int, default=0, help="so many tests that fail get a second try, aloud: a shared machine stands still at times")
    a.add_argument("--jobs", type=int, default=1, help="so many tests at a time; those tagged %s run alone, at the end" % ", ".join(sorted(ALONE)))
    a.add_argument("--list", action="store_true", help="the tests that --only and --exclude leave, with their tags, wherever they can run")
    o = a.parse_args()
    lib.BUILD, lib.SLOW = os.path.abspath(o.build), o.slow
    only, exclude, include = (set(x for x in s.replace(",", " ").split()) for s in (o.only, o.exclude, o.include))
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    chosen = []
    # Clients in other languages run where their libraries are.
    POSSIBLE.update(sys.modules["test_foreign"].MISSING)
    impossible = {} if o.list else {t: why for t, why in ((t, f()) for t, f in POSSIBLE.items()) if why}
    left = {}
    for name, module, tags, f in lib.TESTS:
        names = tags | {name}
        why = None
        if only and not only & names:
            why = "not in ONLY"
        elif exclude & names:
            why = "in EXCLUDE"
        elif o.list:
            print(name, *sorted(tags))
            continue
        else:
            for t in tags & set(OPTIONAL):
                if not (include | only) & {t, name}:
                    why = "%s: %s" % (t, OPTIONAL[t])
        for t in tags & set(impossible):
            why = why or "%s: %s" % (t, impossible[t])
        if why:
            left[why] = left.get(why, 0) + 1
            continue
        limit = LIMIT_S * o.slow + (float(os.environ.get("TORTURE_S", 3600)) if tags & TORTURE else 0)
        chosen.append((name, f, limit, o.jobs if tags & ALONE or LARGE | {"kill"} <= tags else max(1, o.jobs // 2) if tags & LARGE else 1))
    failed = run_all(chosen, o.jobs, o.again)
    for why, n in () if o.list else sorted(left.items()):
        print("left out: %d node tests, %s" % (n, why))
    return failed != 0


sys.exit(main())
