// One dialogue with a connected client, the same for every library: list the tools, call one with progress, say what came.
// job is what the program that runs this asks for; callTool is the library's, which differ in their arguments.
export async function dialogue(client, job, callTool) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const progress = [];
  // Both libraries read a notification after the result that came in the same bytes, and then know no more whom it is for.
  let forgotten = 0;
  client.onerror = (error) => {
    console.error(error.message);
    if (error.message.includes("progress notification for an unknown token")) forgotten++;
  };
  const start = performance.now();
  const since = () => performance.now() - start;
  const onprogress = (p) => progress.push({ progress: p.progress, at: since() });
  const result = await callTool({ name: job.tool, arguments: job.arguments }, { onprogress });
  const took = since();
  await client.close();
  const text = result.content?.find((c) => c.type === "text")?.text ?? "";
  console.log(JSON.stringify({ tools, progress, forgotten, took, text, isError: result.isError === true }));
}

export const job = JSON.parse(process.argv[2]);

// The token comes in the environment: arguments can be read by everybody on the machine.
export const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
