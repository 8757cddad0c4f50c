"""conf/prometheus and conf/grafana: what Prometheus says of the rules, and that each figure that they name exists."""
import json
import os
import re
import shutil

import lib
from cluster import cluster
from lib import eq, test, until

RULES, DASHBOARD = "conf/prometheus/rules.yml", "conf/grafana/pail.json"


def named(text):
    """The figures in it: of a histogram its own name.  (In words they are not looked for: see `expressions`.)"""
    return {re.sub("(_seconds|_bytes)_(bucket|sum|count)$", r"\1", n) for n in re.findall(r"\bpail_[a-z0-9_]+", text)}


def expressions():
    with open(DASHBOARD) as f:
        panels = json.load(f)["panels"]
    with open(RULES) as f:
        rules = re.findall(r"^ +expr: (\|\n(?: {10,}.*\n)+|.*\n)", f.read(), re.M)
    return rules, [t["expr"] for p in panels for t in p.get("targets", [])]


@test("promtool")
def prometheus_takes_the_rules(box):
    for words in ("check", RULES), ("test", "tests/alerts/rules_test.yml"):
        r = box.run("promtool", words[0], "rules", words[1])
        eq((0, ""), (r.returncode, "" if r.returncode == 0 else (r.stdout + r.stderr).decode()))
    # what is wrong is found: an alert that comes too soon, and one that is no expression
    os.makedirs(box.dir + "/conf/prometheus")
    os.makedirs(box.dir + "/tests/alerts")
    shutil.copy("tests/alerts/rules_test.yml", box.dir + "/tests/alerts")
    for right, wrong, command in (("pail_worker_up == 0", "pail_worker_up == 1", "test"), ("pail_worker_up == 0", "pail_worker_up = 0", "check")):
        with open(RULES) as f, open(box.dir + "/" + RULES, "w") as out:
            text = f.read()
            assert right in text
            out.write(text.replace(right, wrong))
        file = RULES if command == "check" else "tests/alerts/rules_test.yml"
        assert box.run("promtool", command, "rules", file, cwd=box.dir).returncode != 0, wrong


@test("promtool")
def prometheus_takes_the_dashboards_expressions(box):
    """As rules, which promtool can check: with values for Grafana's variables."""
    out = "groups:\n  - name: dashboard\n    rules:\n"
    for i, e in enumerate(expressions()[1]):
        e = e.replace("$__rate_interval", "5m").replace("$job", "pail").replace("$instance", "a")
        assert "$" not in e, e
        out += "      - {record: 'x%d', expr: %s}\n" % (i, json.dumps(e))
    with open(box.dir + "/rules.yml", "w") as f:
        f.write(out)
    r = box.run("promtool", "check", "rules", box.dir + "/rules.yml")
    eq((0, ""), (r.returncode, "" if r.returncode == 0 else (r.stdout + r.stderr).decode()))


@test()
def the_dashboard_is_laid_out(box):
    """Panels have a title each, lie side by side, and none on another."""
    with open(DASHBOARD) as f:
        panels = json.load(f)["panels"]
    ids = [p["id"] for p in panels]
    eq(len(ids), len(set(ids)))
    taken = set()
    for p in panels:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert p["title"] and g["x"] + g["w"] <= 24 and not cells & taken, p["title"]
        taken |= cells


@test()
def each_alert_leads_to_what_to_do(box):
    with open(RULES) as f:
        alerts = re.split(r"^ +- alert: ", f.read(), flags=re.M)[1:]
    with open("docs/operations.md") as f:
        page = f.read()
    section = {}
    for title, text in re.findall(r"^### (Alert: .*)\n((?:(?!#{2,3} ).*\n)*)", page, re.M):
        section[re.sub("[^a-z0-9 -]", "", title.lower()).replace(" ", "-")] = text
    assert len(alerts) > 20, len(alerts)
    for a in alerts:
        name = a.split("\n")[0]
        for part in "expr:", "severity: ", "summary: ", "description: ":
            assert part in a, (name, part)
        link = re.search(r"^ +runbook: docs/operations\.md#(.*)$", a, re.M).group(1)
        assert "`%s`" % name in section[link], (name, link)
    said = "".join(section.values())
    eq(sorted(a.split("\n")[0] for a in alerts), sorted(set(re.findall(r"`(Pail[A-Z][A-Za-z]+)`", said))))


@test("distributed")
def figures_of_alerts_and_dashboard_are_a_nodes(box):
    n = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "bar"}}, peers={"foo": ["bar"], "bar": ["foo"]},
                    more={"foo": {"gateway.text": "127.0.0.1:%d" % box.ports(1)[0]}})
    c = n["foo"].linked().client()
    c.call("create", "b")
    c.call("put", "b", "k", "v")
    until(lambda: c.call("status")["gateway"]["state"] == "up", 10, "the gateway to be up")
    there = {f["name"] for f in c.call("metrics")["families"] if f["samples"]}
    rules, panels = expressions()
    assert len(rules) > 20 and len(panels) > 50, (len(rules), len(panels))
    both = named(" ".join(rules)), named(" ".join(panels))
    for names in both:
        eq([], sorted(x for x in names - there if not x.startswith("pail_cluster_")))
    # nothing is left out of the dashboard; and what is a cluster's is asked of one, below
    eq([], sorted(there - both[1]))


@test("cluster")
def figures_of_clusters_are_a_clusters(box):
    c = cluster(box)
    there = {f["name"] for f in c.ask("a", "metrics")["families"] if f["samples"]}
    rules, panels = expressions()
    if c.real:
        eq([], sorted((named(" ".join(rules)) | named(" ".join(panels))) - there - {"pail_gateway_up", "pail_gateway_restarts_total"}))
    c.stop()
