// The page of a node: asks for /status.json every two seconds and shows it.  It changes nothing,
// and what it was told is set as text alone.
"use strict";

const EVERY_MS = 2000;
const HOUR_MS = 3600000;
const $ = (id) => document.getElementById(id);

let samples = []; // rows of the history, oldest first
let fields = {}; // where in a row each figure stands
let silentSince = 0;
let last = null; // what was told last
let before = null; // and the time before, for rates of now

// ---- words ----

function el(name, attributes, ...inside) {
	const svg = ["svg", "line", "circle", "text", "rect", "title", "g"].includes(name);
	const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
	for (const [k, v] of Object.entries(attributes || {}))
		e.setAttribute(k, v);
	for (const i of inside)
		e.append(i instanceof Node ? i : document.createTextNode(String(i)));
	return e;
}

function count(n) {
	if (n >= 1e9) return (n / 1e9).toFixed(1) + " G";
	if (n >= 1e6) return (n / 1e6).toFixed(1) + " M";
	if (n >= 1e5) return Math.round(n / 1e3) + " k";
	if (n >= 1e4) return (n / 1e3).toFixed(1) + " k";
	return n >= 100 || Number.isInteger(n) ? Math.round(n).toString() : n.toFixed(1);
}

function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let u = 0;
	while (n >= 1024 && u < units.length - 1) {
		n /= 1024;
		u++;
	}
	return (u && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + units[u];
}

function micros(us) {
	if (us === null || us === undefined) return "–";
	if (us >= 1e6) return (us / 1e6).toFixed(us < 1e7 ? 1 : 0) + " s";
	if (us >= 1000) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms";
	return Math.round(us) + " µs";
}

function duration(ms) {
	const s = Math.floor(ms / 1000);
	if (s < 60) return s + " s";
	if (s < 600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
	if (s < 3600) return Math.floor(s / 60) + " min";
	if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
	return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

function clock(ms) {
	const d = new Date(ms);
	const time = d.toLocaleTimeString([], {hour12: false});
	return d.toDateString() === new Date().toDateString() ? time : d.toLocaleDateString() + " " + time;
}

const of = (row, name) => row[fields[name]];

// ---- what is wrong ----

function problems(s) {
	const bad = [];
	const say = (level, text) => bad.push({level, text});
	if (s.state === "stopping") say("error", "the node is stopping");
	if (s.state === "starting") say("warning", "the node is starting");
	for (const w of s.workers || []) {
		if (w.state !== "up")
			say("error", "worker " + w.id + " is " + w.state + (w.last_death ? ": " + w.last_death : ""));
		else if (w.queue > 1000)
			say("warning", count(w.queue) + " requests wait for worker " + w.id);
	}
	for (const p of s.peers || [])
		if (p.state !== "up" && p.endpoint !== "-")
			say(p.state === "down" ? "error" : "warning", "node " + p.name + " is " + p.state);
	if (s.gateway && s.gateway.state !== "up") say("warning", "the gateway is " + s.gateway.state);
	if (s.cluster && !s.cluster.ok)
		say(s.cluster.without_primary || s.cluster.too_few ? "error" : "warning", s.cluster.verdict);
	if (s.files && !s.files.accepting) say("error", "no more connections are accepted: files run out");
	else if (s.files && s.files.limit && s.files.used > 0.9 * s.files.limit)
		say("warning", s.files.used + " of " + s.files.limit + " files are open");
	const st = s.storage || {};
	if (st.map_bytes && st.bytes > 0.9 * st.map_bytes)
		say("warning", "the store is full to " + Math.round(100 * st.bytes / st.map_bytes) + " %");
	// (of links their state tells, which may be well again)
	for (const e of s.events || [])
		if (e.level !== "info" && e.kind !== "peer_down" && s.asked_unix_ms - e.unix_ms < 60000)
			say("warning", duration(s.asked_unix_ms - e.unix_ms) + " ago: " + e.text);
	return bad;
}

function verdict(level, title, list) {
	$("verdict").className = level;
	$("verdict-title").textContent = title;
	$("verdict-list").replaceChildren(...list.map((t) => el("li", {}, t)));
	document.title = (level === "good" ? "" : "⚠ ") + "Pail" + (last ? " " + last.node : "");
}

function verdictOf(s) {
	const bad = problems(s);
	const worst = bad.some((b) => b.level === "error") ? "error" : bad.length ? "warning" : "good";
	bad.sort((a, b) => (b.level === "error") - (a.level === "error"));
	if (worst === "good")
		verdict("good", "All is well", []);
	else
		verdict(worst, bad[0].text[0].toUpperCase() + bad[0].text.slice(1), bad.slice(1).map((b) => b.text));
}

// ---- plots ----

// Legends are our own: the library's would be HTML with styles in it, which the page's policy refuses.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((p) => p !== Dygraph.Plugins.Legend);

const plots = [];

function style(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function plotNew(id, columns, labels, show, least) {
	const box = $(id);
	const legend = box.parentElement.querySelector(".legend");
	const p = {box, legend, columns, labels, show, least, graph: null};
	plots.push(p);
	return p;
}

function legendSet(p, row) {
	p.legend.replaceChildren(...p.labels.map((label, i) => {
		const v = row ? of(row, p.columns[i]) : null;
		return el("span", {}, el("i", {class: i ? "two" : "one"}),
			label + " " + (v === null || v === undefined ? "–" : p.show(v)));
	}), ...(row && row !== samples[samples.length - 1] ? [el("span", {}, clock(of(row, "unix_ms")))] : []));
}

// Rows of the last hour, with a hole where nothing was measured for long.
function plotRows(p, every) {
	const rows = [];
	let at = 0;
	for (const s of samples) {
		const t = of(s, "unix_ms");
		if (at && t - at > 3 * every)
			rows.push([new Date(at + 1), ...p.columns.map(() => null)]);
		rows.push([new Date(t), ...p.columns.map((c) => of(s, c))]);
		at = t;
	}
	return rows;
}

function plotDraw(p, every, now) {
	const rows = plotRows(p, every);
	const wide = Math.max(now - (rows.length ? rows[0][0].getTime() : now), 60000);
	const most = Math.max(p.least, ...rows.flatMap((r) => r.slice(1).map((v) => v || 0)));
	const options = {
		valueRange: [0, 1.06 * most],
		file: rows, dateWindow: [now - Math.min(wide, HOUR_MS), now],
		colors: [style("--one"), style("--two")], gridLineColor: style("--line"), axisLineColor: style("--line"),
	};
	if (!rows.length)
		return;
	if (p.graph) {
		p.graph.updateOptions(options);
	} else {
		delete options.file;
		p.graph = new Dygraph(p.box, rows, Object.assign(options, {
			labels: ["time", ...p.labels], legend: "never", strokeWidth: 1.6, fillGraph: p.columns.length === 1,
			drawPoints: false, connectSeparatedPoints: false, xRangePad: 0,
			labelsKMG2: p.show === bytes, interactionModel: {},
			axes: {
				y: {axisLabelFormatter: (v) => p.show(v), axisLabelWidth: 62, pixelsPerLabel: 18},
				x: {axisLabelFormatter: (d) => new Date(d).toLocaleTimeString([], {hour12: false, hour: "2-digit",
					minute: "2-digit", ...(wide < 600000 ? {second: "2-digit"} : {})}), pixelsPerLabel: 80},
			},
			highlightCallback: (e, x) => {
				p.held = samples.find((s) => of(s, "unix_ms") === x) || null;
				legendSet(p, p.held);
			},
			unhighlightCallback: () => {
				p.held = null;
				legendSet(p, samples[samples.length - 1]);
			},
		}));
	}
	if (!p.held)
		legendSet(p, samples[samples.length - 1]);
}

// ---- parts ----

function figure(value, name) {
	return el("div", {}, el("b", {"data-figure": name}, value), el("span", {}, name));
}

function nowShow(s) {
	const h = samples[samples.length - 1];
	const keys = (s.workers || []).reduce((n, w) => n + (w.keys || 0), 0);
	const buckets = (s.workers || []).reduce((n, w) => n + (w.buckets || 0), 0);
	$("now").replaceChildren(
		figure(h ? count(of(h, "reads_s")) : "–", "reads/s"), figure(h ? count(of(h, "writes_s")) : "–", "writes/s"),
		figure(h ? micros(of(h, "read_p99_us")) : "–", "reads, p99"), figure(h ? micros(of(h, "write_p99_us")) : "–", "writes, p99"),
		figure(count(keys), "keys"), figure(count(buckets), "buckets"), figure(count(s.clients || 0), "clients"),
		figure(count(s.totals ? s.totals.errors : 0), "errors in all"));
}

function pair(name, value) {
	return [el("dt", {}, name), el("dd", {}, value)];
}

function workerTile(w) {
	const level = w.state === "up" ? "good" : w.state === "failed" ? "error" : "warning";
	const was = before && (before.workers || []).find((x) => x.id === w.id && x.pid === w.pid);
	const rate = was ? Math.max(0, (w.requests - was.requests) * 1000 / (last.asked_unix_ms - before.asked_unix_ms)) : null;
	return el("div", {class: "tile " + level, "data-worker": w.id},
		el("h3", {}, "worker " + w.id, el("span", {}, w.state)),
		el("dl", {}, ...pair("keys", count(w.keys || 0)), ...pair("queue", count(w.queue || 0)),
			...pair("requests/s", rate === null ? "–" : count(Math.round(rate))),
			...pair("restarts", w.restarts), ...pair("pid", w.pid || "–"),
			...pair("up", w.state === "up" ? duration(w.uptime_ms) : "–")),
		...(w.last_death ? [el("p", {}, w.last_death)] : []));
}

const linkLevels = {up: "good", leaving: "warning", draining: "warning", unknown: "soft", new: "soft", down: "error", away: "error"};

// This node in the middle, all others around it.
function linksShow(s) {
	const nodes = new Map();
	for (const p of s.peers || [])
		nodes.set(p.name, {name: p.name, state: p.state, more: p.endpoint === "-" ? "only asks" : p.state});
	const members = s.cluster && s.cluster.nodes || [];
	for (const m of members) {
		if (m.name === s.node)
			continue;
		const n = nodes.get(m.name) || {name: m.name};
		n.state = m.state === "up" && n.state && n.state !== "up" ? n.state : m.state;
		n.more = m.door ? n.state + ", door" : n.state + ", leads " + m.leading;
		nodes.set(m.name, n);
	}
	document.querySelector(".columns").classList.toggle("alone", !nodes.size);
	if (!nodes.size) {
		$("links").replaceChildren(el("p", {class: "soft"}, "This node is alone: it has no peers and is in no cluster."));
		return;
	}
	const all = [...nodes.values()].sort((a, b) => a.name < b.name ? -1 : 1);
	const svg = el("svg", {viewBox: "0 0 440 300", role: "img", "aria-label": "links to other nodes"});
	const places = all.map((n, i) => {
		const a = 2 * Math.PI * i / all.length - Math.PI / 2;
		return {n, x: 220 + 150 * Math.cos(a), y: 145 + 105 * Math.sin(a), level: linkLevels[n.state] || "warning"};
	});
	for (const p of places)
		svg.append(el("line", {x1: 220, y1: 145, x2: p.x, y2: p.y, class: "s-" + p.level,
			...(p.level === "good" ? {} : {"stroke-dasharray": "6 5"})}));
	const r = all.length > 12 ? 14 : 24;
	const short = (t) => t.length > 9 ? t.slice(0, 8) + "…" : t;
	for (const p of places)
		svg.append(el("g", {}, el("title", {}, p.n.name + ": " + p.n.more), el("circle", {cx: p.x, cy: p.y, r, class: "s-" + p.level}),
			el("text", {x: p.x, y: p.y + 4}, short(p.n.name)), el("text", {x: p.x, y: p.y < 140 ? p.y - r - 7 : p.y + r + 15, class: "small"}, p.n.more)));
	const me = members.find((m) => m.name === s.node);
	svg.append(el("circle", {cx: 220, cy: 145, r: 30, class: s.state === "serving" ? "s-good" : "s-warning"}),
		el("text", {x: 220, y: 149}, short(s.node)),
		el("text", {x: 220, y: 190, class: "small"}, me ? "this node, leads " + me.leading : "this node"));
	const said = s.cluster ? [el("p", {class: "soft"}, (s.cluster.name ? s.cluster.name + ": " : "") + s.cluster.verdict)] : [];
	$("links").replaceChildren(svg, ...said);
}

function bar(name, part, of, text) {
	const width = of ? Math.min(100, 100 * part / of) : 0;
	return el("div", {class: "bar"}, el("div", {}, el("span", {}, name), el("span", {}, text)),
		el("svg", {class: "part", viewBox: "0 0 100 8", preserveAspectRatio: "none"},
			el("rect", {x: 0, y: 0, width: width.toFixed(2), height: 8})));
}

// One bar a minute, of the last hour.
function minutes(name, column, add, show, now) {
	const sums = new Array(60).fill(0);
	for (const r of samples) {
		const i = 59 - Math.floor((now - of(r, "unix_ms")) / 60000);
		if (i >= 0 && i < 60)
			sums[i] += of(r, column) * add;
	}
	const most = Math.max(...sums);
	const svg = el("svg", {class: "minutes", viewBox: "0 0 600 56", preserveAspectRatio: "none", role: "img", "aria-label": name});
	sums.forEach((v, i) => {
		const h = most ? 54 * v / most : 0;
		svg.append(el("rect", {x: 10 * i + 1, y: (56 - h).toFixed(1), width: 8, height: h.toFixed(1),
			class: column === "checkpoint_share" ? "two" : ""}, el("title", {}, (59 - i) + " min ago: " + show(v))));
	});
	return el("div", {class: "bar"}, el("div", {}, el("span", {}, name), el("span", {}, most ? "at most " + show(most) : "none")), ...(most ? [svg] : []));
}

function storageShow(s, every) {
	const st = s.storage || {};
	const now = s.asked_unix_ms;
	const h = samples[samples.length - 1];
	$("storage").replaceChildren(
		minutes("Log written, each minute", "log_bytes_s", every / 1000, bytes, now),
		minutes("Time in checkpoints, each minute", "checkpoint_share", every, (ms) => micros(ms * 1000), now),
		bar("Store", st.bytes || 0, st.map_bytes, bytes(st.bytes || 0) + " of " + bytes(st.map_bytes || 0)),
		el("dl", {}, ...pair("log on disk", bytes(st.log_bytes || 0)),
			...pair("syncs a second", h ? count(of(h, "syncs_s")) : "–"),
			...pair("checkpoints", count(st.checkpoints || 0)),
			...pair("the last one", st.last_checkpoint ? clock(st.last_checkpoint) + ", took " +
				micros(1000 * st.last_checkpoint_ms) : "–"),
			...pair("keys written since then", count(st.recent_keys || 0))));
}

function eventsShow(events) {
	$("events").replaceChildren(...events.slice().reverse().map((e) => el("tr", {class: e.level},
		el("td", {}, clock(e.unix_ms)), el("td", {class: "level"}, e.level), el("td", {}, e.text))));
}

// ---- asking ----

function historyTake(h) {
	fields = Object.fromEntries(h.fields.map((f, i) => [f, i]));
	const newest = samples.length ? of(samples[samples.length - 1], "unix_ms") : 0;
	samples.push(...h.samples.filter((s) => of(s, "unix_ms") > newest));
	const oldest = Date.now() - HOUR_MS - 60000;
	samples = samples.filter((s) => of(s, "unix_ms") > oldest);
}

function show(s) {
	last = s;
	$("node").textContent = s.node;
	$("about").textContent = "version " + s.version + " · " + s.state + " · up for " + duration(s.uptime_ms) +
		" · pid " + s.pid;
	verdictOf(s);
	nowShow(s);
	$("workers").replaceChildren(...(s.workers || []).map(workerTile));
	linksShow(s);
	storageShow(s, s.history.every_ms);
	eventsShow(s.events || []);
	for (const p of plots)
		plotDraw(p, s.history.every_ms, s.asked_unix_ms);
	document.body.dataset.asked = s.asked_unix_ms;
	document.querySelectorAll("#now, #workers, #links, #storage").forEach((e) => e.classList.remove("stale"));
	before = s;
}

function silent(why) {
	silentSince = silentSince || Date.now();
	verdict("error", "Nothing answers since " + clock(silentSince) + " (" + duration(Date.now() - silentSince) + ")",
		[why + "; what is below is from before, and this page goes on by itself"]);
	document.querySelectorAll("#now, #workers, #links, #storage").forEach((e) => e.classList.add("stale"));
}

async function ask() {
	try {
		const since = samples.length ? of(samples[samples.length - 1], "unix_ms") : 0;
		const r = await fetch("/status.json?since=" + since, {signal: AbortSignal.timeout(5000), cache: "no-store"});
		const s = await r.json();
		historyTake(s.history);
		if (r.ok) {
			silentSince = 0;
			show(s);
		} else {
			silentSince = s.silent_since_unix_ms || silentSince;
			silent("the node does not answer the gateway: " + s.error);
		}
	} catch (e) {
		silent(e instanceof TypeError || e.name === "TimeoutError" ? "the gateway cannot be reached" : String(e));
	}
	setTimeout(ask, EVERY_MS);
}

plotNew("plot-rate", ["reads_s", "writes_s"], ["reads", "writes"], count, 10);
plotNew("plot-log", ["log_bytes_s"], ["written"], bytes, 10240);
plotNew("plot-reads", ["read_p50_us", "read_p99_us"], ["p50", "p99"], micros, 1000);
plotNew("plot-writes", ["write_p50_us", "write_p99_us"], ["p50", "p99"], micros, 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => last && show(last));
ask();
