"""The page in a headless Chromium: what it shows is what the node says, while workers and nodes are killed."""
import json
import os
import signal
import subprocess

import lib
from lib import eq, test, until
from test_http import address

PICTURES = "build/page"
VIEWS = {"desktop-light": (1280, 900, False), "desktop-dark": (1280, 900, True), "phone": (360, 760, False)}


def fetched(b):
    """All that the page has asked for, each once."""
    return b.script("return [...new Set(performance.getEntriesByType('resource').map(e => e.name.split('?')[0]))]")


def tile(b, worker):
    return b.script("""
        const t = document.querySelector('[data-worker="%d"]');
        return Object.fromEntries([...t.querySelectorAll('dt')].map(d => [d.textContent, d.nextSibling.textContent])
            .concat([['state', t.querySelector('h3 span').textContent]]));""" % worker)


@test("page")
def the_page_shows_what_the_node_says(box):
    import browser  # (Debian's selenium is not everywhere)
    os.makedirs(PICTURES, exist_ok=True)
    n = box.node("--set", "node.workers=3", "--set", "metrics.http=127.0.0.1:%d" % box.ports(1)[0], "--port", str(box.ports(1)[0]))
    url = "http://%s:%d/" % address(n)
    load = subprocess.Popen([lib.BUILD + "/pail", "--node", n.endpoint, "bench", "--seconds", "100", "--rate", "3000", "--retry"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    box.undo.append(load.kill)
    with browser.Browser() as b:
        b.view(*VIEWS["desktop-light"])
        b.open(url)
        b.ready()
        b.until("document.getElementById('verdict-title').textContent === 'All is well'")
        # rates of the last seconds
        b.until("parseFloat(document.querySelector('[data-figure=\"writes/s\"]').textContent) > 100")
        old = n.kill_worker(0)
        n.up()
        b.until("document.getElementById('verdict').innerText.includes('died')")
        b.until("document.querySelectorAll('.plot canvas').length >= 4")
        for name, view in VIEWS.items():
            b.view(*view)
            b.script("dispatchEvent(new Event('resize'))")
            asked = b.ready()
            b.until("document.body.dataset.asked > %s" % asked)
            b.picture("%s/%s.png" % (PICTURES, name))
            wide, seen = b.script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= seen, "%s: %d pixels in %d" % (name, wide, seen)
        load.kill()
        load.wait()

        # nothing changes any more: what stands there is what `pail status` says
        def said():
            r = box.run(lib.BUILD + "/pail", "--node", "ipc://%s/admin.sock" % n.data, "status", "-o", "json")
            return json.loads(r.stdout)

        until(lambda: said()["workers"][0]["queue"] == 0, 20, "an empty queue")
        asked = b.ready()
        b.until("document.body.dataset.asked > %d + 3000" % int(asked))
        s = said()
        assert s["workers"][0]["pid"] != old, s["workers"]
        for w in s["workers"]:
            t = tile(b, w["id"])
            eq((w["state"], str(w["pid"]), str(w["restarts"]), str(w["queue"])), (t["state"], t["pid"], t["restarts"], t["queue"]))
            if w["keys"] < 10000:
                eq(str(w["keys"]), t["keys"])
        eq(s["node"], b.script("return document.getElementById('node').textContent"))
        assert b.until("document.getElementById('events').innerText.includes('worker 0, pid %d, died')" % old)
        # only from here, and the page's policy had nothing to refuse
        assert all(x.startswith(url) for x in fetched(b)), fetched(b)
        eq([], b.complaints())
        # the node dies, the gateway with it, and both come back at the same place
        dots = b.script("return document.querySelectorAll('.plot canvas').length")
        n.kill()
        b.until("document.getElementById('verdict-title').textContent.startsWith('Nothing answers since')")
        eq(dots, b.script("return document.querySelectorAll('.plot canvas').length"))
        n.start()
        b.until("document.getElementById('about').textContent.includes('serving') && "
                "!document.getElementById('verdict-title').textContent.startsWith('Nothing')", 40)
        n.process.send_signal(signal.SIGTERM)
        b.until("/stopping|Nothing/.test(document.getElementById('verdict-title').textContent)", 20)


@test("page")
def what_others_named_is_text(box):
    import browser
    n = box.node("--set", "metrics.http=127.0.0.1:0", "--set", "node.name=a")
    with browser.Browser() as b:
        b.open("http://%s:%d/" % address(n))
        b.ready()
        # an answer whose every word is markup
        b.script("""
            const evil = '<img src=x onerror="document.title=1"><b>';
            const s = JSON.parse(JSON.stringify(last));
            s.node = s.version = s.state = evil;
            s.workers[0].last_death = s.workers[0].state = evil;
            s.peers = [{name: evil, endpoint: evil, state: evil}];
            s.events = [{id: 1, unix_ms: 1, level: "error", kind: evil, subject: evil, text: evil}];
            s.cluster = {name: evil, verdict: evil, ok: false, nodes: [{name: evil, state: evil, leading: 1}]};
            show(s);""")
        eq(0, b.script("return document.querySelectorAll('img, b:not([data-figure])').length"))
        assert b.script("return document.body.innerText.includes('<img src=x')")
