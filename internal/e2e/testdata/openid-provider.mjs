// An OpenID provider for tests: npm oidc-provider, which nobody here wrote, with two grants that it leaves to its user:
// token exchange (RFC 8693), and one that signs a person in without asking anybody (tests only, hence its name).
//
// node openid-provider.mjs PORT CLIENT_JWK USERS REDIRECT: on 127.0.0.1. CLIENT_JWK is the public key of the client "shim-key".
// The client "gateway" signs people in, and gets them back at REDIRECT; USERS is a file of who can, {"alice": ["group"]}, read
// each time.
import { readFileSync } from 'node:fs';
import { createPublicKey } from 'node:crypto';
import { generateKeyPair, exportJWK, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';

const [, , port, clientKey, usersFile, redirect] = process.argv;
const issuer = `http://127.0.0.1:${port}`;
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const insecureUser = 'urn:mcpgateway:test:insecure-user';
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const jwk = { ...(await exportJWK(privateKey)), use: 'sig', alg: 'ES256', kid: 'provider' };
const publicKey = createPublicKey({ key: jwk, format: 'jwk' });

const users = () => JSON.parse(readFileSync(usersFile, 'utf8'));
function account(ctx, sub) {
  const groups = users()[sub];
  return groups && { accountId: sub, claims: () => ({ sub, groups }) };
}

const client = (more) => ({ redirect_uris: [], response_types: [], grant_types: [exchange], ...more });
// Seconds that an exchanged token lives, by audience.
const lives = { 'urn:test:short': 3 };

const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  clients: [
    client({ client_id: 'person', client_secret: 'person-secret', grant_types: [insecureUser], token_endpoint_auth_method: 'client_secret_post' }),
    client({ client_id: 'shim', client_secret: 'shim-secret: with %, + and ~', token_endpoint_auth_method: 'client_secret_basic' }),
    client({ client_id: 'shim-key', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [JSON.parse(clientKey)] } }),
    { client_id: 'gateway', client_secret: 'gateway-secret', application_type: 'native', redirect_uris: [redirect], response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_basic' },
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  scopes: ['openid', 'groups', 'read', 'write', 'upstream'],
  claims: { openid: ['sub'], groups: ['groups'] },
  ttl: { AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 600 },
  findAccount: account,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  // Whoever signed in has agreed that the gateway may know their groups.
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid groups');
    await grant.save();
    return grant;
  },
  extraTokenClaims: (ctx, token) => token.extra,
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => resourceServer(resource),
    },
  },
});

// The login page: a button for each who can sign in.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  if (ctx.method === 'POST') {
    let body = '';
    for await (const chunk of ctx.req) body += chunk;
    const accountId = new URLSearchParams(body).get('user');
    // A client on somebody's own machine is asked about each time.
    const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
    const result = prompt.name === 'consent' ? { consent: {} } : { login: { accountId } };
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
    ctx.respond = false;
    return;
  }
  ctx.type = 'html';
  ctx.body = `<form method="post" action="${ctx.path}">${Object.keys(users()).map((u) => `<button name="user" value="${u}">${u}</button>`).join('')}</form>`;
});

function resourceServer(audience) {
  return { audience, scope: 'read write upstream', accessTokenFormat: 'jwt', accessTokenTTL: lives[audience] ?? 600, jwt: { sign: { alg: 'ES256' } } };
}

async function issue(ctx, { accountId, audience, scope, extra }) {
  const token = new provider.AccessToken({ accountId, client: ctx.oidc.client, scope, gty: 'test', extra });
  token.resourceServer = new provider.ResourceServer(audience, resourceServer(audience));
  const value = await token.save();
  return { access_token: value, expires_in: token.expiration, scope, token_type: 'Bearer' };
}

provider.registerGrantType(insecureUser, async (ctx) => {
  const { user, scope, resource, acr } = ctx.oidc.params;
  ctx.body = await issue(ctx, { accountId: user, audience: [resource].flat()[0], scope, extra: { groups: ['engineering'], ...(acr && { acr }) } });
}, ['user', 'scope', 'resource', 'acr']);

provider.registerGrantType(exchange, async (ctx) => {
  const { subject_token: subjectToken, subject_token_type: type, audience, resource, scope } = ctx.oidc.params;
  if (type !== accessToken) {
    throw new errors.InvalidRequest('subject_token_type is not supported');
  }
  let claims;
  try {
    ({ payload: claims } = await jwtVerify(subjectToken, publicKey, { issuer, typ: 'at+jwt' }));
  } catch {
    throw new errors.InvalidGrant('subject_token is not valid');
  }
  if (claims.sub === 'revoked') {
    throw new errors.InvalidGrant('the session of the subject has ended');
  }
  if (claims.sub === 'factor') {
    throw new errors.CustomOIDCProviderError('interaction_required', 'a second factor is needed');
  }
  ctx.body = {
    ...(await issue(ctx, {
      accountId: claims.sub, audience: [resource ?? audience].flat()[0], scope,
      // What the subject's token allowed, so that a test can tell which one this was made of.
      extra: { act: { sub: ctx.oidc.client.clientId }, subject_scope: claims.scope },
    })),
    issued_token_type: accessToken,
  };
}, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope', 'actor_token', 'actor_token_type'], ['audience', 'resource']);

provider.on('server_error', (ctx, err) => console.error(err));
// Each exchange in a line, for the test to count.
provider.on('grant.success', (ctx) => console.log(`granted ${ctx.oidc.params.grant_type} to ${ctx.oidc.client.clientId}`));
provider.on('grant.error', (ctx, err) => console.log(`refused ${ctx.oidc.params?.grant_type}: ${err.error} ${err.error_description} ${err.error_detail ?? ''}`));
provider.listen(Number(port), '127.0.0.1');
