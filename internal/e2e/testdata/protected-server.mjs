// An MCP server with a sign-in of its own, for tests: the server of @modelcontextprotocol/sdk behind that library's bearer token
// check, and npm oidc-provider, which nobody here wrote, as its authorization server.
//
// node protected-server.mjs SERVER_PORT PROVIDER_PORT SECONDS: on 127.0.0.1, with access tokens that live for SECONDS. Clients
// register there themselves. Whoever signs in as alice is alice-of-notes.
import express from 'express';
import { Provider } from 'oidc-provider';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { mcpAuthMetadataRouter, getOAuthProtectedResourceMetadataUrl } from '@modelcontextprotocol/sdk/server/auth/router.js';

const [, , port, providerPort, seconds] = process.argv;
const issuer = `http://127.0.0.1:${providerPort}`;
const resource = new URL(`http://127.0.0.1:${port}/mcp`);

const provider = new Provider(issuer, {
  cookies: { names: { session: 'notes_session', interaction: 'notes_interaction', resume: 'notes_resume' } }, // of one host with another provider
  clientDefaults: { grant_types: ['authorization_code', 'refresh_token'] },
  scopes: ['openid', 'offline_access', 'notes'],
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: Number(seconds) },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator) => ({ audience: indicator, scope: 'notes', accessTokenFormat: 'opaque', accessTokenTTL: Number(seconds) }),
    },
  },
});

// The login page, and then the page that asks whether the gateway may act for who signed in.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === 'POST') {
    let body = '';
    for await (const chunk of ctx.req) body += chunk;
    let result;
    if (prompt.name === 'login') {
      result = { login: { accountId: `${new URLSearchParams(body).get('user')}-of-notes` } };
    } else {
      const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      grant.addResourceScope(resource.href, 'notes');
      result = { consent: { grantId: await grant.save() } };
    }
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
    ctx.respond = false;
    return;
  }
  ctx.type = 'html';
  const users = prompt.name === 'login' ? ['alice', 'bob'] : ['allow'];
  ctx.body = `<form method="post" action="${ctx.path}">${users.map((u) => `<button name="user" value="${u}">${u}</button>`).join('')}</form>`;
});
// POST /end-all ends what everybody granted, as a page of a real one would for one of them.
const grants = new Set();
provider.on('grant.success', (ctx) => grants.add(ctx.oidc.entities.Grant?.jti ?? ctx.oidc.entities.AccessToken?.grantId));
provider.use(async (ctx, next) => {
  if (ctx.path !== '/end-all') return next();
  for (const id of grants) {
    for (const model of [provider.AccessToken, provider.RefreshToken]) await model.revokeByGrantId(id);
  }
  ctx.body = 'ended';
});
provider.on('server_error', (ctx, err) => console.error(err));
provider.on('registration_create.success', () => console.log('registered'));
provider.on('grant.success', (ctx) => console.log(`granted ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (ctx, err) => console.log(`refused ${ctx.oidc.params?.grant_type}: ${err.error} ${err.error_description} ${err.error_detail ?? ''}`));
provider.on('grant.revoked', () => console.log('revoked'));
provider.on('authorization.error', (ctx, err) => console.log(`refused at authorize: ${err.error} ${err.error_description} ${err.error_detail ?? ''}`));
provider.listen(Number(providerPort), '127.0.0.1');

async function verifyAccessToken(token) {
  const found = await provider.AccessToken.find(token);
  if (!found?.isValid) throw new InvalidTokenError('unknown or ended');
  return { token, clientId: found.clientId, scopes: found.scope.split(' '), expiresAt: found.exp, resource: new URL(found.aud), extra: { sub: found.accountId } };
}

function notes() {
  const server = new McpServer({ name: 'notes', version: '1' });
  server.registerTool('whoami', { description: 'Who has signed in here' }, async ({ authInfo }) => ({ content: [{ type: 'text', text: `you are ${authInfo.extra.sub}` }] }));
  return server;
}

const app = express();
app.use(mcpAuthMetadataRouter({
  oauthMetadata: { issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, response_types_supported: ['code'] },
  resourceServerUrl: resource, scopesSupported: ['notes'],
}));
app.all('/mcp', requireBearerAuth({ verifier: { verifyAccessToken }, requiredScopes: ['notes'], expectedResource: resource,
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource) }), express.json(), async (req, res) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  res.on('close', () => transport.close());
  await notes().connect(transport);
  await transport.handleRequest(req, res, req.body);
});
app.listen(Number(port), '127.0.0.1');
