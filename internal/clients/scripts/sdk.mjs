// The client of @modelcontextprotocol/sdk, over HTTP or, where the job names a program, over that program's stdio.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { dialogue, job, options } from "./dialogue.mjs";

const connect = async (transport) => {
  const client = new Client({ name: "sdk", version: "1" });
  await client.connect(transport);
  return client;
};
const http = (options) => new StreamableHTTPClientTransport(new URL(job.url), options);
const client = await connect(job.program
  ? new StdioClientTransport({ command: job.program[0], args: job.program.slice(1), env: process.env, stderr: "inherit" })
  : http(await options((options, made) => {
    const transport = http(options);
    made(transport);
    return connect(transport);
  })));
await dialogue(client, job, (params, options) => client.callTool(params, undefined, options));
