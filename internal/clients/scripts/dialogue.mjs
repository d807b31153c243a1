import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { browse } from "./browser.mjs";

// One dialogue with a connected client, the same for every library: list the tools, call one with progress, call
// again where the job names a file, once there is one, and say what came.
// job is what the program that runs this asks for; callTool is the library's, which differ in their arguments.
export async function dialogue(client, job, callTool) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const progress = [];
  // Both libraries read a notification after the result that came in the same bytes, and then know no more whom it is for.
  let forgotten = 0;
  const errors = [];
  client.onerror = (error) => {
    console.error(error.message);
    if (error.message.includes("progress notification for an unknown token")) forgotten++; else errors.push(error.message);
  };
  const start = performance.now();
  const since = () => performance.now() - start;
  const onprogress = (p) => progress.push({ progress: p.progress, at: since() });
  const result = await callTool({ name: job.tool, arguments: job.arguments }, { onprogress });
  const took = since();
  const textOf = (result) => result.content?.find((c) => c.type === "text")?.text ?? "";
  let again;
  if (job.again) {
    while (!existsSync(job.again)) await setTimeout(50);
    again = textOf(await callTool({ name: job.tool, arguments: job.arguments }));
  }
  await client.close();
  console.log(JSON.stringify({ tools, progress, forgotten, took, text: textOf(result), isError: result.isError === true, again, errors }));
}

export const job = JSON.parse(process.argv[2]);

// signIn has a library that has nothing but the server's URL find out where to sign in, register, and go there: a person signs
// in and allows it in a browser. connect takes a transport's options and returns the transport, which it may not connect.
async function signIn(connect) {
  const redirectUrl = "http://127.0.0.1:9/callback";
  const kept = {};
  let address;
  const authProvider = {
    redirectUrl,
    clientMetadata: { client_name: "signs in", redirect_uris: [redirectUrl], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client, saveClientInformation: (client) => { kept.client = client; },
    tokens: () => kept.tokens, saveTokens: (tokens) => { kept.tokens = tokens; },
    codeVerifier: () => kept.verifier, saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
    discoveryState: () => kept.discovery, saveDiscoveryState: (state) => { kept.discovery = state; },
    redirectToAuthorization: (url) => { address = String(url); },
  };
  let transport;
  const refusal = await connect({ authProvider }, (made) => { transport = made; }).catch((error) => error);
  if (!address) throw refusal ?? new Error("it connected without a token");
  const back = new URL(await browse(address, job.signIn, redirectUrl)).searchParams;
  if (!back.get("code")) throw new Error(`no code came back: ${back}`);
  await transport.finishAuth(back.get("code"), back.get("iss"));
  return authProvider;
}

// options are an HTTP transport's. The token comes in the environment: arguments can be read by everybody on the machine.
export async function options(connect) {
  if (job.signIn) return { authProvider: await signIn(connect) };
  return { requestInit: { headers: { Authorization: `Bearer ${process.env.TOKEN}` } } };
}
