// The client of @modelcontextprotocol/client in the era that the job names, over HTTP or a program's stdio.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { dialogue, job, options } from "./dialogue.mjs";

const connect = async (transport) => {
  const client = new Client({ name: "client", version: "1" }, { versionNegotiation: { mode: job.era } });
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
await dialogue(client, job, (params, options) => client.callTool(params, options));
