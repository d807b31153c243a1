// Runs the scripts of terraform/edge for the stand-in of CloudFront: a line of JSON in, a line out.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

const folder = process.argv[2];
const { handler } = await import(pathToFileURL(`${folder}/index.mjs`));
const viewer = vm.createContext({});
vm.runInContext(readFileSync(`${folder}/viewer.js`, "utf8"), viewer);

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, event } = JSON.parse(line);
  console.log(JSON.stringify(kind === "viewer" ? viewer.handler(event) : await handler(event)));
}
