// What a server or client on Node.js reads. Each question is one frame, a kind and bytes; each answer one frame, JSON.
// A frame is 4 bytes of length, big endian, and as many bytes. Ends with its standard input.
'use strict';
const fs = require('fs');

const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);

// Members as a program sees them that copies objects by assignment, as many do: there __proto__ becomes the prototype,
// whose members look like the object's own.
const members = (v) => (isObject(v) ? Object.assign({}, v) : {});

// JSON has no infinity, which is what JSON.parse makes of 1e999.
const text = (v) => JSON.stringify(v, (_, x) => (x === Infinity ? { number: '+Inf' } : x === -Infinity ? { number: '-Inf' } : x));

const named = ['tools/call', 'prompts/get'];
const located = ['resources/read', 'resources/subscribe', 'resources/unsubscribe'];
const task = ['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel'];

// target is what a server looks up for the method.
function target(method, params) {
	const ref = members(params.ref);
	if (named.includes(method)) return params.name;
	if (located.includes(method)) return params.uri;
	if (task.includes(method)) return params.taskId;
	if (method === 'completion/complete' && ref.type === 'ref/prompt') return ref.name;
	if (method === 'completion/complete' && ref.type === 'ref/resource') return ref.uri;
	return undefined;
}

function message(v) {
	const m = members(v), params = members(m.params), ref = members(params.ref), meta = members(params._meta);
	const own = members(meta['io.modelcontextprotocol/clientInfo']), hello = members(params.clientInfo);
	const client = (field) => (own[field] !== undefined ? own[field] : hello[field]);
	const uris = members(params.notifications).resourceSubscriptions;
	return {
		kind: m.method === undefined ? 'response' : m.id === undefined ? 'notification' : 'request',
		version: m.jsonrpc, id: m.id, method: m.method, target: target(m.method, params),
		name: params.name, uri: params.uri, taskId: params.taskId, arguments: params.arguments,
		refType: ref.type, refName: ref.name, refURI: ref.uri,
		subscriptions: uris?.length ? uris : undefined,
		metaVersion: meta['io.modelcontextprotocol/protocolVersion'], clientName: client('name'), clientVersion: client('version'),
	};
}

// Names by which the items of lists are called; the lists of every result are shown with the rest.
const lists = { tools: 'name', prompts: 'name', resources: 'uri', resourceTemplates: 'uriTemplate', tasks: 'taskId' };

function answer(v) {
	const m = members(v), result = members(m.result), names = {};
	for (const [list, called] of Object.entries(lists)) {
		if (Array.isArray(result[list])) names[list] = result[list].map((item) => members(item)[called] ?? null);
	}
	return { answers: m.result !== undefined || m.error !== undefined || !isObject(v), names, scope: result.cacheScope, all: v };
}

const each = (v, read) => (Array.isArray(v) ? v.map(read) : [read(v)]);

// header decodes a value as Node's http gives it: bytes as Latin-1 (MCP 2026-07-28, transports, "value encoding").
function header(bytes) {
	const v = bytes.toString('latin1'), encoded = /^=\?base64\?(.*)\?=$/.exec(v);
	return encoded ? Buffer.from(encoded[1], 'base64').toString('utf8') : v;
}

function reply(kind, bytes) {
	if (kind === 'h') return { ok: true, header: header(bytes) };
	let v;
	try {
		v = JSON.parse(bytes.toString('utf8'));
	} catch {
		return { ok: false };
	}
	return { ok: true, batch: Array.isArray(v), messages: each(v, kind === 'm' ? message : answer) };
}

function read(length) {
	const bytes = Buffer.alloc(length);
	for (let at = 0; at < length; ) {
		const n = fs.readSync(0, bytes, at, length - at, null);
		if (n === 0) process.exit(0);
		at += n;
	}
	return bytes;
}

for (;;) {
	const frame = read(read(4).readUInt32BE(0));
	const body = Buffer.from(text(reply(String.fromCharCode(frame[0]), frame.subarray(1))), 'utf8');
	const out = Buffer.alloc(4 + body.length);
	out.writeUInt32BE(body.length, 0);
	body.copy(out, 4);
	for (let at = 0; at < out.length; ) at += fs.writeSync(1, out, at);
}
