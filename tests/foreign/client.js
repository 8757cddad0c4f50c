// npm's zeromq, with the little MessagePack that it takes.
"use strict";
const assert = require("assert");
const zmq = require("zeromq");
const [endpoint, mode] = process.argv.slice(2);

function head(n, fix, fixMost, sizes) { // of str, array: [code, bytes] of each longer form
	if (fix !== null && n <= fixMost) return Buffer.from([fix | n]);
	const [code, bytes] = sizes.find(([, b]) => n < 2 ** (8 * b));
	const b = Buffer.alloc(1 + bytes);
	b[0] = code;
	b.writeUIntBE(n, 1, bytes);
	return b;
}

function pack(v) {
	if (typeof v === "number") return head(v, 0, 127, [[0xcc, 1], [0xcd, 2], [0xce, 4]]);
	if (typeof v === "string") {
		const b = Buffer.from(v);
		return Buffer.concat([head(b.length, 0xa0, 31, [[0xd9, 1], [0xda, 2], [0xdb, 4]]), b]);
	}
	if (Buffer.isBuffer(v)) return Buffer.concat([head(v.length, null, 0, [[0xc4, 1], [0xc5, 2], [0xc6, 4]]), v]);
	assert(Array.isArray(v));
	return Buffer.concat([head(v.length, 0x90, 15, [[0xdc, 2], [0xdd, 4]]), ...v.map(pack)]);
}

// All objects of a frame.
function unpack(buffer) {
	let at = 0;
	const uint = (n) => { at += n; return n === 8 ? Number(buffer.readBigUInt64BE(at - 8)) : buffer.readUIntBE(at - n, n); };
	const bytes = (n) => { at += n; return buffer.subarray(at - n, at); };
	const list = (n) => Array.from({ length: n }, one);
	const map = (n) => Object.fromEntries(Array.from({ length: n }, () => [String(one()), one()]));
	function one() {
		const c = uint(1);
		if (c < 0x80) return c;
		if (c < 0x90) return map(c & 15);
		if (c < 0xa0) return list(c & 15);
		if (c < 0xc0) return bytes(c & 31).toString();
		switch (c) {
		case 0xc0: return null;
		case 0xc2: return false;
		case 0xc3: return true;
		case 0xc4: case 0xc5: case 0xc6: return bytes(uint(1 << (c - 0xc4)));
		case 0xcc: case 0xcd: case 0xce: case 0xcf: return uint(1 << (c - 0xcc));
		case 0xd9: case 0xda: case 0xdb: return bytes(uint(1 << (c - 0xd9))).toString();
		case 0xdc: case 0xdd: return list(uint(c === 0xdc ? 2 : 4));
		case 0xde: case 0xdf: return map(uint(c === 0xde ? 2 : 4));
		default: throw new Error("a byte that no reply has: " + c);
		}
	}
	const all = [];
	while (at < buffer.length) all.push(one());
	return all;
}

class Client {
	constructor() { this.number = 0; this.waiting = new Map(); this.connect(); }
	connect() {
		this.socket = new zmq.Dealer({ linger: 0 });
		this.socket.connect(endpoint);
		this.goaway = false;
		this.read(this.socket);
	}
	async read(socket) {
		for await (const frames of socket)
			for (const m of frames.flatMap(unpack)) {
				if (m[0] === 2) { this.goaway = true; continue; }
				this.waiting.get(m[1])(m);
				this.waiting.delete(m[1]);
			}
	}
	close() { this.socket.close(); }
	async many(requests, frames = 1) {
		const asked = requests.map(([method, ...params]) => {
			const id = ++this.number;
			return [new Promise((done) => this.waiting.set(id, done)), pack([0, id, method, params])];
		});
		const n = Math.ceil(asked.length / frames);
		const out = [];
		for (let i = 0; i < asked.length; i += n) out.push(Buffer.concat(asked.slice(i, i + n).map((a) => a[1])));
		await this.socket.send(out);
		return (await Promise.all(asked.map((a) => a[0]))).map((m) => { assert.strictEqual(m[2], null); return m[3]; });
	}
	async call(...request) { return (await this.many([request]))[0]; }
}

async function basics() {
	const c = new Client();
	const keys = Array.from({ length: 500 }, (_, i) => "k" + i);
	await c.call("create", "js");
	await c.many(keys.map((k) => ["put", "js", k, Buffer.from("v" + k)]));
	const got = await c.many(keys.map((k) => ["get", "js", k]), 2);
	assert.deepStrictEqual(got.map((g) => g[0].toString()), keys.map((k) => "v" + k));
	const big = Buffer.alloc(1 << 20, "0123456789abcdef");
	await c.call("put", "js", "big", big);
	assert((await c.call("get", "js", "big"))[0].equals(big));
	c.close();
	const req = new zmq.Request({ linger: 0 });
	req.connect(endpoint);
	await req.send(Buffer.concat([pack([0, 1, "ping", []]), pack([0, 2, "count", ["js"]])]));
	const replies = (await req.receive()).flatMap(unpack);
	assert.deepStrictEqual(new Map(replies.map((m) => [m[1], m[3]])), new Map([[1, "pong"], [2, 501]]));
	req.close();
}

async function correlate() {
	const req = new zmq.Request({ linger: 0, correlate: true, relaxed: true, receiveTimeout: 10000 });
	req.connect(endpoint);
	await req.send(pack([0, 1, "count", ["no such bucket"]])); // given up: its reply is skipped
	for (let i = 2; i < 12; i++) {
		await req.send(pack([0, i, "ping", []]));
		assert.deepStrictEqual((await req.receive()).flatMap(unpack), [[1, i, null, "pong"]]);
	}
	req.close();
}

async function steady() {
	const c = new Client();
	await c.call("create", "steady");
	console.log("ready");
	let n = 0;
	for (let left = Infinity; left > 0; left--, n++) {
		if (c.goaway) { c.close(); c.connect(); left = 50; }
		await c.call("put", "steady", "k" + n, "v");
	}
	c.close();
	console.log("done " + n);
}

({ basics, correlate, steady })[mode]().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
