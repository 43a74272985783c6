// The provider of npm, asked in Node: `node client.mjs rpc|in-process`, with the cases on its input and what was answered on
// its output. It runs where the packages are installed.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(`${process.cwd()}/`);
const { OpenFeature, ProviderEvents } = require('@openfeature/server-sdk');
const { FlagdProvider } = require('@openfeature/flagd-provider');
const { port, asks, cases, kill, fatal } = JSON.parse(readFileSync(0, 'utf8'));
const resolverType = process.argv[2];
const results = [];

function ask(client, type, flag, fallback, context) {
  switch (type) {
    case 'boolean': return client.getBooleanDetails(flag, fallback, context);
    case 'string': return client.getStringDetails(flag, fallback, context);
    case 'object': return client.getObjectDetails(flag, fallback, context);
    default: return client.getNumberDetails(flag, fallback, context);
  }
}

const refused = {};
for (const [name, selector] of Object.entries(asks)) {
  const provider = new FlagdProvider({ host: '127.0.0.1', port, selector, resolverType, deadlineMs: 10_000, retryBackoffMaxMs: 500, fatalStatusCodes: fatal });
  await OpenFeature.setProviderAndWait(name, provider).catch((error) => { refused[name] = String(error); });
}
for (const one of cases) {
  const client = OpenFeature.getClient(one.ask);
  const { value, reason, variant, errorCode, errorMessage } = await ask(client, one.type, one.flag, one.default, one.context);
  results.push({ id: one.id, value, reason, variant, error: errorCode, details: errorMessage });
}

const client = OpenFeature.getClient(kill.ask);
let changed;
const change = new Promise((resolve) => { changed = resolve; });
client.addHandler(ProviderEvents.ConfigurationChanged, (details) => changed(details.flagsChanged));
const before = await client.getBooleanValue('kill-me', false);
await fetch(kill.url, { method: 'POST', headers: { authorization: `Bearer ${kill.key}` } });
const flags = await Promise.race([change, new Promise((resolve) => setTimeout(resolve, 3000))]);
const after = await client.getBooleanValue('kill-me', true);
await OpenFeature.close();
process.stdout.write(JSON.stringify({ results, refused, kill: { before, told: flags !== undefined, flags: flags ?? [], after } }), () => process.exit(0));
