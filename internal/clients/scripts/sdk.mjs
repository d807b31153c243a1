// The client of @modelcontextprotocol/sdk, over HTTP or, where the job names a program, over that program's stdio.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { dialogue, headers, job } from "./dialogue.mjs";

const client = new Client({ name: "sdk", version: "1" });
const transport = job.program
  ? new StdioClientTransport({ command: job.program[0], args: job.program.slice(1), env: process.env, stderr: "inherit" })
  : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await dialogue(client, job, (params, options) => client.callTool(params, undefined, options));
