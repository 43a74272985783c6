"""The provider of PyPI: the cases on its input, and what was answered on its output."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

given = json.load(sys.stdin)
results = []
clients = {}
for name, headers in given["asks"].items():
    api.set_provider(OFREPProvider(given["base"], headers_factory=lambda headers=headers: headers), name)
    clients[name] = api.get_client(name)
for case in given["cases"]:
    context = dict(case["context"])
    context = EvaluationContext(context.pop("targetingKey", None), context)
    kind = {"number": "float"}.get(case["type"], case["type"])
    details = getattr(clients[case["ask"]], f"get_{kind}_details")(case["flag"], case["default"], context)
    results.append({
        "id": case["id"], "value": details.value, "reason": str(getattr(details.reason, "value", details.reason)),
        "variant": details.variant, "error": details.error_code and details.error_code.value,
        "details": details.error_message,
    })
json.dump(results, sys.stdout)
