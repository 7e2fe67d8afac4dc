// The certified OpenID Provider for Node, as a test wants it:
//
//	node provider.mjs PACKAGE CONFIGURATION
//
// PACKAGE is the folder of oidc-provider, CONFIGURATION a JSON file: what the
// package calls its configuration, and beside it
//
//	users	the people who can log in: {sub, ...claims}; any password is right
//	tls	{cert, key, ca}: files; browsers and clients may then show a certificate
//	resources	by audience, what its access tokens are like where not as below; public keys are PEM
//
// All that the package leaves off is on here as far as these tests may need it. The
// one line on standard output is the issuer, once it listens on a port of its own.

import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { createPublicKey, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, file] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(join(folder, 'lib', 'index.js')));
const { users, tls, resources, ...more } = JSON.parse(readFileSync(file));

const certificate = (ctx) => {
  const { raw } = ctx.socket.getPeerCertificate?.() ?? {};
  return raw && `-----BEGIN CERTIFICATE-----\n${raw.toString('base64')}\n-----END CERTIFICATE-----`;
};

const resourceServer = (audience) => {
  const { jwt: { encrypt, ...jwt } = {}, ...server } = resources?.[audience] ?? {};
  if (encrypt) Object.assign(jwt, { sign: { alg: 'RS256' }, encrypt: { ...encrypt, key: createPublicKey(encrypt.key) } });
  return { audience, scope: 'orders.read orders.write', accessTokenFormat: 'jwt', ...server, jwt };
};

const configuration = {
  ...more,
  claims: { profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'], ...more.claims },
  clientAuthMethods: [
    'client_secret_basic', 'client_secret_jwt', 'client_secret_post', 'private_key_jwt', 'none',
    ...(tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : []),
  ],
  conformIdTokenClaims: false, // the ID token has the claims of the scopes too
  cookies: { keys: [randomBytes(32).toString('hex')] },
  rotateRefreshToken: true,
  ttl: { AccessToken: 300, IdToken: 300, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600, ...more.ttl },
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    encryption: { enabled: true },
    introspection: { enabled: true },
    jwtIntrospection: { enabled: true },
    jwtUserinfo: { enabled: true },
    mTLS: {
      enabled: tls !== undefined,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_uri' && ctx.socket.getPeerCertificate().subjectaltname === `URI:${expected}`,
    },
    requestObjects: { enabled: true },
    // A JWT access token for any resource that is asked for, and an opaque one else.
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, audience) => resourceServer(audience),
    },
    revocation: { enabled: true },
    ...more.features,
  },
  findAccount: (ctx, sub) => {
    const user = users.find((u) => u.sub === sub);
    return user && { accountId: sub, claims: () => user };
  },
  // Nobody is asked for consent: the clients are the provider's own.
  loadExistingGrant: async (ctx) => {
    const { client, session, provider } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile email groups offline_access');
    for (const resource of Object.keys(ctx.oidc.resourceServers ?? {})) grant.addResourceScope(resource, 'orders.read orders.write');
    await grant.save();
    return grant;
  },
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
};

let answer;
const server = tls
  ? https.createServer(
      { cert: readFileSync(tls.cert), key: readFileSync(tls.key), ca: readFileSync(tls.ca), requestCert: true, rejectUnauthorized: false },
      (req, res) => answer(req, res),
    )
  : http.createServer((req, res) => answer(req, res));

server.listen(0, '127.0.0.1', () => {
  const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('server_error', (ctx, error) => console.error(error));
  for (const event of ['authorization.error', 'grant.error', 'end_session.error']) {
    provider.on(event, (ctx, error) => console.error(event, error.error, error.error_description, error.error_detail));
  }
  answer = provider.callback();
  console.log(issuer);
});
