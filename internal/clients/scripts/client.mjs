// The client of @modelcontextprotocol/client in the era that the job names, over HTTP or a program's stdio.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { dialogue, headers, job } from "./dialogue.mjs";

const client = new Client({ name: "client", version: "1" }, { versionNegotiation: { mode: job.era } });
const transport = job.program
  ? new StdioClientTransport({ command: job.program[0], args: job.program.slice(1), env: process.env, stderr: "inherit" })
  : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers } });
await client.connect(transport);
await dialogue(client, job, (params, options) => client.callTool(params, options));
