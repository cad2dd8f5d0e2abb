// oidc-provider (npm, OpenID certified) behind Microsoft's paths: what postern gets here was made and
// checked by software that knows nothing of postern. Ours is only the translation of Microsoft's scopes
// to resources and of errors to AADSTS texts, and a few calls for the tests (/__...).
//
// usage: node oidc.mjs PORT CERT KEY PUBLIC_KEY_OUT [JWK_OF_THE_APPS_CERTIFICATE]
// PUBLIC_KEY_OUT gets the key, as PEM, with which the tokens are signed: for who checks them by himself.
import { createServer as createHttps } from 'node:https';
import { createServer as createHttp, request as httpRequest } from 'node:http';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { exportJWK, exportSPKI, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const [port, cert, key, publicKeyFile, jwkFile] = process.argv.slice(2);
// The same key after a restart.
const kept = `${publicKeyFile}.jwk`;
if (!existsSync(kept)) {
  const pair = await generateKeyPair('RS256', { extractable: true });
  writeFileSync(publicKeyFile, await exportSPKI(pair.publicKey));
  writeFileSync(kept, JSON.stringify(await exportJWK(pair.privateKey)));
}
const signing = JSON.parse(readFileSync(kept));
const TENANT = 'contoso.com';
const BASE = `/${TENANT}/oauth2/v2.0`;
const RESOURCE = 'https://outlook.office365.com';
const issuer = `https://localhost:${port}`;
const SECRET_APP = '11111111-1111-1111-1111-111111111111';
const CERT_APP = '22222222-2222-2222-2222-222222222222';
const PUBLIC_APP = '33333333-3333-3333-3333-333333333333';

let ttl = 3600;
let tokenDelay = 0;
let failures = []; // { status, retryAfter, left }
const log = [];
let autoUser = 'erp@contoso.com';

const clients = [
  { client_id: SECRET_APP, client_secret: 's3cret~value', grant_types: ['client_credentials'], redirect_uris: [],
    response_types: [], token_endpoint_auth_method: 'client_secret_post' },
  { client_id: PUBLIC_APP, token_endpoint_auth_method: 'none', application_type: 'native', response_types: ['code'],
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token', 'authorization_code'],
    redirect_uris: ['http://localhost'] },
];
if (jwkFile) {
  const jwk = JSON.parse(readFileSync(jwkFile));
  for (const [id, alg] of [[CERT_APP, 'PS256'], [CERT_APP.replaceAll('2', '4'), 'RS256']]) {
    clients.push({ client_id: id, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: alg, jwks: { keys: [jwk] } });
  }
}

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [{ ...signing, kid: 'default', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['test'] },
  formats: { customizers: { jwt: (ctx, token, parts) => { parts.header = { ...parts.header, typ: 'JWT' }; return parts; } } }, // as Microsoft's
  scopes: ['openid', 'offline_access', 'profile', 'SMTP.Send', 'SMTP.SendAsApp'],
  clientAuthMethods: ['client_secret_post', 'private_key_jwt', 'none'],
  enabledJWA: { clientAuthSigningAlgValues: ['PS256', 'RS256'] },
  routes: { token: `${BASE}/token`, device_authorization: `${BASE}/devicecode`, authorization: `${BASE}/authorize`,
    jwks: `/${TENANT}/discovery/v2.0/keys` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'SMTP.Send SMTP.SendAsApp', audience: RESOURCE, accessTokenTTL: ttl, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (ctx, token) => ({
    tid: TENANT, appid: token.clientId, ...(token.accountId ? { upn: token.accountId, scp: 'SMTP.Send' }
      : { roles: ['SMTP.SendAsApp'] }),
  }),
  ttl: { AccessToken: () => ttl, ClientCredentials: () => ttl, RefreshToken: 86400, Grant: 86400, Interaction: 600,
    Session: 600, DeviceCode: 900 },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  pkce: { required: () => true },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, preferred_username: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  clientBasedCORS: () => false,
});
provider.proxy = true;
provider.on('server_error', (ctx, error) => console.error(error));

async function grantFor(accountId, clientId) {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope('openid offline_access profile SMTP.Send SMTP.SendAsApp');
  grant.addResourceScope(RESOURCE, 'SMTP.Send SMTP.SendAsApp');
  return grant.save();
}

async function approve(userCode, upn) {
  const code = await provider.DeviceCode.findByUserCode(userCode.replaceAll('-', ''), { ignoreExpiration: true });
  if (!code) return false;
  const client = await provider.Client.find(code.clientId);
  code.accountId = upn;
  code.grantId = await grantFor(upn, client.clientId);
  code.scope = 'openid offline_access SMTP.Send';
  code.resource = RESOURCE;
  code.authTime = Math.floor(Date.now() / 1000);
  await code.save();
  return true;
}

async function deny(userCode) {
  const code = await provider.DeviceCode.findByUserCode(userCode.replaceAll('-', ''), { ignoreExpiration: true });
  if (!code) return false;
  Object.assign(code, { error: 'access_denied', errorDescription: 'declined' });
  await code.save();
  return true;
}

const inner = createHttp(async (req, res) => {
  const interaction = req.url.match(/^\/interaction\//);
  if (!interaction) return provider.callback()(req, res);
  // A person who signs in and agrees at once.
  const details = await provider.interactionDetails(req, res);
  const result = details.prompt.name === 'login' ? { login: { accountId: autoUser } }
    : { consent: { grantId: await grantFor(autoUser, details.params.client_id) } };
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
}).listen(0, '127.0.0.1');

// Microsoft's scopes name the resource; oidc-provider wants it apart.
function translate(form) {
  const scope = form.get('scope');
  if (!scope) return;
  // oidc-provider keeps offline_access only after a prompt for consent; Microsoft always does.
  if (form.get('grant_type') === 'refresh_token') {
    form.delete('scope');
    return;
  }
  const words = scope.split(' ').map((w) => (w.endsWith('/.default') ? 'SMTP.SendAsApp'
    : w.startsWith(`${RESOURCE}/`) ? w.slice(RESOURCE.length + 1) : w));
  form.set('scope', words.join(' '));
}

const AADSTS = { invalid_client: [7000215, 'Invalid client secret provided.'],
  invalid_grant: [70008, 'The provided authorization code or refresh token has expired or was revoked.'],
  invalid_scope: [70011, 'The provided value for the input parameter scope is not valid.'] };

function read(stream) {
  return new Promise((done) => {
    const parts = [];
    stream.on('data', (d) => parts.push(d));
    stream.on('end', () => done(Buffer.concat(parts)));
  });
}

function json(res, status, value, headers = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(value));
}

async function control(req, res, url) {
  const q = url.searchParams;
  if (url.pathname === '/__approve') return json(res, 200, { ok: await approve(q.get('user_code'), q.get('upn')) });
  if (url.pathname === '/__deny') return json(res, 200, { ok: await deny(q.get('user_code')) });
  if (url.pathname === '/__ttl') ttl = Number(q.get('sec'));
  if (url.pathname === '/__delay') tokenDelay = Number(q.get('ms'));
  if (url.pathname === '/__user') autoUser = q.get('upn');
  if (url.pathname === '/__fail') {
    failures.push({ status: Number(q.get('status') ?? 503), retryAfter: q.get('retry_after'), left: Number(q.get('n') ?? 1) });
  }
  return json(res, 200, { log, ttl });
}

async function forward(req, res, url, body) {
  const headers = { ...req.headers, 'x-forwarded-proto': 'https', 'x-forwarded-host': `localhost:${port}`,
    host: `localhost:${port}` };
  delete headers['content-length'];
  delete headers['transfer-encoding'];
  if (body.length) headers['content-length'] = body.length;
  const out = httpRequest({ host: '127.0.0.1', port: inner.address().port, path: url.pathname + url.search,
    method: req.method, headers }, async (answer) => {
    let text = await read(answer);
    if (url.pathname === `${BASE}/token`) {
      const value = JSON.parse(text.toString() || '{}');
      log.push({ grant: new URLSearchParams(body.toString()).get('grant_type'), status: answer.statusCode,
        error: value.error, detail: value.error_description });
      if (value.error && AADSTS[value.error]) {
        const [code, words] = AADSTS[value.error];
        value.error_description = `AADSTS${code}: ${words} Trace ID: 0 Correlation ID: 0 Timestamp: now`;
        value.error_codes = [code];
      }
      text = Buffer.from(JSON.stringify(value));
    }
    const h = { ...answer.headers, 'content-length': text.length };
    delete h['transfer-encoding'];
    res.writeHead(answer.statusCode, h);
    res.end(text);
  });
  out.end(body);
}

createHttps({ cert: readFileSync(cert), key: readFileSync(key) }, async (req, res) => {
  const url = new URL(req.url, issuer);
  const body = await read(req);
  if (url.pathname.startsWith('/__')) return control(req, res, url);
  if (url.pathname === `${BASE}/token`) {
    const failure = failures.find((f) => f.left > 0);
    if (failure) {
      failure.left -= 1;
      log.push({ grant: 'failed on purpose', status: failure.status });
      return json(res, failure.status, { error: 'temporarily_unavailable', error_description:
        'AADSTS90033: A transient error has occurred. Please try again.' },
      failure.retryAfter ? { 'retry-after': failure.retryAfter } : {});
    }
    if (tokenDelay) await new Promise((go) => { setTimeout(go, tokenDelay); });
  }
  let sent = body;
  if (req.method === 'POST' && /form-urlencoded/.test(req.headers['content-type'] ?? '')) {
    const form = new URLSearchParams(body.toString());
    translate(form);
    sent = Buffer.from(form.toString());
  }
  if (url.pathname === `${BASE}/authorize`) translate(url.searchParams);
  return forward(req, res, url, sent);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
