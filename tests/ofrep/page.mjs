// What runs in the browser: the web provider on another origin than its page's. It tells its server what it sees.
import { OpenFeature } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const tell = (what) => fetch('/tell', { method: 'POST', body: JSON.stringify(what) });

async function live({ base, headers }) {
  const provider = new OFREPWebProvider({ baseUrl: base, headers: Object.entries(headers) });
  await OpenFeature.setProviderAndWait('live', provider, { targetingKey: 'u-1', plan: 'gold' });
  const client = OpenFeature.getClient('live');
  const seen = () => tell({ seen: client.getBooleanValue('kill-me', false) });
  client.addHandler('PROVIDER_CONFIGURATION_CHANGED', seen);
  client.addHandler('PROVIDER_STALE', () => tell({ stale: true }));
  // The stream opens a moment after the answer; what happens between is told, too.
  await seen();
}

// The same targeting key, another context each time: the provider sends the tag of the answers before.
async function contexts({ base, headers, others, changes }) {
  let notModified = 0;
  const fetchImplementation = async (request, options) => {
    const response = await fetch(request, options);
    notModified += response.status === 304 ? 1 : 0;
    return response;
  };
  const provider = new OFREPWebProvider({
    baseUrl: base, headers: Object.entries(headers), cacheMode: 'disabled', fetchImplementation, changeDetection: 'none',
  });
  await OpenFeature.setProviderAndWait('contexts', provider, { targetingKey: 'u-1' });
  const client = OpenFeature.getClient('contexts');
  let wrong = 0;
  for (let change = 0; change < changes; change += 1) {
    const plan = ['gold', 'silver', 'free'][Math.floor(Math.random() * 3)];
    await OpenFeature.setContext('contexts', { targetingKey: 'u-1', plan });
    wrong += client.getStringValue('rule-string', '?') === (plan === 'gold' ? 'dark ✓' : '') ? 0 : 1;
  }
  await tell({ changes, wrong, notModified, foreign: await foreign({ base, headers, others }) });
}

// The same body under another tenant's key, with the first one's tag.
async function foreign({ base, headers, others }) {
  let notModified = 0;
  let same = 0;
  for (let asked = 0; asked < 100; asked += 1) {
    const body = JSON.stringify({ context: { targetingKey: 'u-1', plan: `plan-${asked}` } });
    const post = (who, tag) => fetch(`${base}/ofrep/v1/evaluate/flags`, {
      method: 'POST', body, headers: { 'Content-Type': 'application/json', ...who, ...(tag && { 'If-None-Match': tag }) },
    });
    const tag = (await post(headers)).headers.get('ETag');
    same += (await post(headers, tag)).status === 304 ? 1 : 0;
    notModified += (await post(others, tag)).status === 304 ? 1 : 0;
  }
  return { notModified, same };
}

try {
  const given = await (await fetch('/given')).json();
  await live(given);
  await contexts(given);
} catch (error) {
  await tell({ thrown: `${error}` });
}
