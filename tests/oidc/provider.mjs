// An OpenID Connect issuer for tests: oidc-provider from npm, whose whole sign-in is walked for each token.
//
//   node provider.mjs <folder with node_modules>
//
// It says its address on the first line, and ends when its standard input does. Besides what every issuer answers:
//   GET  /_test/token?login=ann&client=flagforge    an ID token, by way of the authorization code flow
//   GET  /_test/machine                             an access token (RFC 9068), by way of client credentials
//   POST /_test/rotate                              other keys from now on
//   POST /_test/silence, POST /_test/speak          an outage, and its end
//   GET  /_test/asked                               how often the keys were asked for
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(`${process.argv[2]}/node_modules/oidc-provider/lib/index.js`));
const REDIRECT = 'https://app.example/callback';
const RESOURCE = 'urn:flagforge:api';
const PEOPLE = {
  ann: { groups: ['staff', 'flag-admins'] },
  bob: { groups: ['staff'], realm: { roles: ['dev-lead'] } },
  carl: { groups: ['staff'] },
  eve: { groups: ['staff'], email_verified: false },
};
const CLIENTS = { flagforge: 'RS256', 'flagforge-ps': 'PS256', 'flagforge-es': 'ES256', elsewhere: 'RS256' };

const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', ...(alg && { alg }),
});
const claimsOf = (login) => ({ email: `${login}@example.com`, email_verified: true, name: login, ...PEOPLE[login] });

function provider(issuer) {
  const day = 24 * 3600;
  const client = ([client_id, alg]) => ({
    client_id, client_secret: 'secret', redirect_uris: [REDIRECT], grant_types: ['authorization_code', 'client_credentials'],
    id_token_signed_response_alg: alg,
  });
  return new Provider(issuer, {
    clients: Object.entries(CLIENTS).map(client),
    jwks: { keys: [key('rsa', { modulusLength: 2048 }), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
    cookies: { keys: ['only for tests'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups', 'realm'] },
    conformIdTokenClaims: false,
    pkce: { required: () => false },
    ttl: { IdToken: 3 * day, ClientCredentials: 3 * day },
    findAccount: (_, login) => ({ accountId: login, claims: () => ({ sub: login, ...claimsOf(login) }) }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: '', audience: RESOURCE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
      },
    },
  });
}

// A browser that keeps cookies and fills in the two forms: who one is, and that one agrees.
async function idToken(issuer, login, client) {
  const jar = new Map();
  const visit = async (url, body) => {
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const answer = await fetch(url, { redirect: 'manual', headers: { cookie }, ...(body && { method: 'POST', body }) });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (value) jar.set(name, value); else jar.delete(name);
    }
    return answer;
  };
  const asked = { client_id: client, response_type: 'code', scope: 'openid email profile groups', redirect_uri: REDIRECT };
  let answer = await visit(`${issuer}/auth?${new URLSearchParams(asked)}`);
  for (;;) {
    const next = new URL(answer.headers.get('location') ?? 'none:', issuer);
    if (next.href.startsWith(REDIRECT)) {
      return grant(issuer, client, { grant_type: 'authorization_code', code: next.searchParams.get('code'), redirect_uri: REDIRECT });
    }
    answer = await visit(next);
    const prompt = answer.status === 200 && (await answer.text()).match(/name="prompt" value="(\w+)"/)?.[1];
    if (prompt) answer = await visit(next, new URLSearchParams({ prompt, login, password: 'any' }));
    else if (answer.status !== 303) throw new Error(`${next} answered ${answer.status}`);
  }
}

async function grant(issuer, client, body) {
  const authorization = `Basic ${Buffer.from(`${client}:secret`).toString('base64')}`;
  const answer = await fetch(`${issuer}/token`, { method: 'POST', headers: { authorization }, body: new URLSearchParams(body) });
  const tokens = await answer.json();
  return tokens.id_token ?? tokens.access_token ?? JSON.stringify(tokens);
}

let answerer;
let silent = false;
let asked = 0;
const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const issuer = `http://127.0.0.1:${server.address().port}`;
  try {
    switch (pathname) {
      case '/_test/token': return void response.end(await idToken(issuer, searchParams.get('login'), searchParams.get('client')));
      case '/_test/machine': return void response.end(await grant(issuer, 'flagforge', { grant_type: 'client_credentials', resource: RESOURCE }));
      case '/_test/rotate': answerer = provider(issuer).callback(); return void response.end();
      case '/_test/silence': silent = true; return void response.end();
      case '/_test/speak': silent = false; return void response.end();
      case '/_test/asked': return void response.end(String(asked));
      case '/jwks': asked += 1;
    }
  } catch (error) {
    response.statusCode = 500;
    return void response.end(String(error));
  }
  if (silent) {
    response.statusCode = 503;
    return void response.end();
  }
  return answerer(request, response);
});
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answerer = provider(issuer).callback();
  console.log(issuer);
  // Who started it reads one line and no more.
  console.log = console.info = console.warn = () => {};
});
process.stdin.on('end', () => process.exit()).resume();
