// node --test terraform/edge: what the scripts do to what CloudFront hands them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { handler } from "./index.mjs";

const answer = (headers) => ({ Records: [{ cf: { response: { status: "401", headers } } }] });

test("a renamed WWW-Authenticate has its name again, all of its values", async () => {
  const got = await handler(answer({
    "x-amzn-remapped-www-authenticate": [{ key: "x-amzn-Remapped-WWW-Authenticate", value: "Bearer a" }, { key: "x", value: "Basic b" }],
    "content-type": [{ key: "Content-Type", value: "application/json" }],
  }));
  assert.deepEqual(got.headers, {
    "www-authenticate": [{ key: "WWW-Authenticate", value: "Bearer a" }, { key: "WWW-Authenticate", value: "Basic b" }],
    "content-type": [{ key: "Content-Type", value: "application/json" }],
  });
  assert.equal(got.status, "401");
});

test("an answer without it stays what it is", async () => {
  const headers = { "www-authenticate": [{ key: "WWW-Authenticate", value: "Bearer a" }] };
  assert.deepEqual((await handler(answer(structuredClone(headers)))).headers, headers);
});

test("what a client says of itself is overwritten", () => {
  const context = vm.createContext({});
  vm.runInContext(readFileSync(new URL("viewer.js", import.meta.url), "utf8"), context);
  const event = { viewer: { ip: "2001:db8::1" }, request: { headers: {
    host: { value: "gateway.example.com" }, "x-viewer-host": { value: "evil.test" }, "x-viewer-ip": { value: "127.0.0.1" },
  } } };
  const { headers } = context.handler(event);
  assert.equal(headers["x-viewer-host"].value, "gateway.example.com");
  assert.equal(headers["x-viewer-ip"].value, "2001:db8::1");
});
