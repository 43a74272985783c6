"""The provider of PyPI: the cases on its input, and what was answered on its output."""

import json
import sys
import threading
import urllib.request

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import OpenFeatureError

given = json.load(sys.stdin)
resolver = ResolverType(sys.argv[1])
results, clients = [], {}


def provider(selector):
    return FlagdProvider(host="127.0.0.1", port=given["port"], selector=selector, resolver_type=resolver, deadline_ms=10_000,
                         retry_backoff_ms=200, retry_backoff_max_ms=500, fatal_status_codes=given["fatal"])


def noted(number, details):
    results.append({
        "id": number, "value": details.value, "reason": str(getattr(details.reason, "value", details.reason)),
        "variant": details.variant, "error": details.error_code and details.error_code.value,
        "details": details.error_message,
    })


def killed():
    """Throws the switch, and answers what the provider made of it."""
    changed, seen = threading.Event(), []

    def on_change(details):
        seen.extend(details.flags_changed or [])
        changed.set()

    client = clients[given["kill"]["ask"]]
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, on_change)
    before = client.get_boolean_value("kill-me", False)
    request = urllib.request.Request(given["kill"]["url"], b"", {"authorization": f"Bearer {given['kill']['key']}"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    told = changed.wait(10)
    after = client.get_boolean_details("kill-me", True)
    return {"before": before, "told": told, "flags": sorted(set(seen)), "after": after.value}


for name, selector in given["asks"].items():
    try:
        api.set_provider_and_wait(provider(selector), name)
    except OpenFeatureError:
        # Who is refused is told so by each answer.
        pass
    clients[name] = api.get_client(name)
for case in given["cases"]:
    context = dict(case["context"])
    context = EvaluationContext(context.pop("targetingKey", None), context)
    kind = {"number": "float"}.get(case["type"], case["type"])
    noted(case["id"], getattr(clients[case["ask"]], f"get_{kind}_details")(case["flag"], case["default"], context))
answer = {"results": results, "kill": killed()}
api.shutdown()
json.dump(answer, sys.stdout)
