// A filter as its author would write it with the official TypeScript SDK, sessions as in the SDK's own examples.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

function makeFilter() {
  const server = new McpServer({ name: 'words', version: '1.0.0' });
  const contract = { accept: z.boolean(), mutated: z.boolean(), message: z.any(), reason: z.string() };
  server.registerTool('check', { inputSchema: contract }, async ({ message }) => {
    const text = JSON.stringify(message);
    const verdict = { accept: !text.includes('forbidden'), mutated: text.includes('secret'), message: JSON.parse(text.replaceAll('secret', '***')), reason: 'words' };
    const content = [{ type: 'text', text: JSON.stringify(verdict) }];
    return text.includes('"old"') ? { content } : { content, structuredContent: verdict };
  });
  return server;
}

const sessions = new Map();

createServer(async (req, res) => {
  const id = req.headers['mcp-session-id'];
  if (sessions.has(id)) return sessions.get(id).handleRequest(req, res);
  if (id) {
    res.writeHead(400, { 'Content-Type': 'application/json' });
    return res.end('{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}');
  }
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (made) => sessions.set(made, transport) });
  await makeFilter().connect(transport);
  await transport.handleRequest(req, res);
}).listen(Number(process.argv[2]), '127.0.0.1');
