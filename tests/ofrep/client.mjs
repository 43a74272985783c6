// The two providers of npm, asked in Node: `node client.mjs server|web`, with the cases on its input and what was
// answered on its output. It runs where the packages are installed.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(`${process.cwd()}/`);
const { base, asks, cases } = JSON.parse(readFileSync(0, 'utf8'));
const results = [];

function ask(client, type, flag, fallback, context) {
  switch (type) {
    case 'boolean': return client.getBooleanDetails(flag, fallback, context);
    case 'string': return client.getStringDetails(flag, fallback, context);
    case 'object': return client.getObjectDetails(flag, fallback, context);
    default: return client.getNumberDetails(flag, fallback, context);
  }
}

function note(one, details) {
  const { value, reason, variant, errorCode, errorMessage } = details;
  results.push({ id: one.id, value, reason, variant, error: errorCode, details: errorMessage });
}

async function server() {
  const { OpenFeature } = require('@openfeature/server-sdk');
  const { OFREPProvider } = require('@openfeature/ofrep-provider');
  for (const [name, headers] of Object.entries(asks)) {
    await OpenFeature.setProviderAndWait(name, new OFREPProvider({ baseUrl: base, headers }));
  }
  for (const one of cases) {
    const client = OpenFeature.getClient(one.ask);
    note(one, await ask(client, one.type, one.flag, one.default, one.context));
  }
}

// It asks for all flags of a context at once, and answers each from what it holds.
async function web() {
  const { OpenFeature } = require('@openfeature/web-sdk');
  const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider');
  const groups = new Map();
  for (const one of cases) {
    const name = JSON.stringify([one.ask, one.context]);
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  for (const [name, group] of groups) {
    const [{ ask: asker, context }] = group;
    const headers = Object.entries(asks[asker]);
    const provider = new OFREPWebProvider({ baseUrl: base, headers, cacheMode: 'disabled' });
    let refused;
    try {
      await OpenFeature.setProviderAndWait(name, provider, context);
    } catch (error) {
      refused = error;
    }
    const client = OpenFeature.getClient(name);
    for (const one of group) {
      const details = ask(client, one.type, one.flag, one.default);
      note(one, details);
      results.at(-1).refused = refused && `${refused.name}: ${refused.message}`;
    }
  }
  await OpenFeature.close();
}

await { server, web }[process.argv[2]]();
process.stdout.write(JSON.stringify(results));
