"""The flags that real clients are asked about, and what each of them has to say."""

import itertools

# The type in OpenFeature's words, the value when on, the value when off, and a default that is neither.
TYPES = {
    "boolean": ("boolean", True, False, None),
    "string": ("string", "dark \u2713", "", "default"),
    "integer": ("integer", 9_007_199_254_740_991, 0, -7),
    "number": ("number", 1.0, -0.25, 7.5),
    "object": ("object", {"rows": 7, "names": ["a", None], "deep": {"rate": 2.5}}, {}, {"default": True}),
    "list": ("object", [1, "two", {"three": 3}], [], {"default": True}),
}
SPLIT = {"split": {"unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100,
                   "ranges": [{"from": 0, "until": 100, "variant": "on"}]}}
GOLD = [{"id": "gold", "serve": {"variant": "on"},
         "when": {"test": {"attribute": "user.plan", "operator": "equals", "values": ["gold"]}}}]
TENANT_GOLD = [{"id": "of-gold", "serve": {"variant": "on"},
                "when": {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]}}}]
STATES = {
    "off": {"enabled": False, "fallthrough": {"variant": "on"}},
    "plain": {"fallthrough": {"variant": "on"}},
    "rule": {"rules": GOLD, "fallthrough": {"variant": "off"}},
    "tenant": {"rules": TENANT_GOLD, "fallthrough": {"variant": "off"}},
    "split": {"fallthrough": SPLIT},
    "own": {"fallthrough": "callerDefault"},
    "stale": {"stale": {"afterSeconds": 0, "then": "lastKnown"}, "fallthrough": {"variant": "on"}},
    "error": {"fallthrough": {"error": "could not be carried over"}},
}
# Keys that flags have, and keys that no flag can have.
ODD_KEYS = ["a b", "\u00e9t\u00e9", "flag-\U0001f388", "a+b", "a&b=c", "x:y;z,@!$", "(paren)'*", "~tilde|pipe", "a.b", "A" * 128]
NO_KEYS = ["no-such-flag", "no/such", "no/such/flag", "a?b", "a#b", "100%", "%2F", "no\\such", "\u65e5\u672c", "b" * 300]
# Whom a client speaks for: the headers, and who is behind them.
TENANTS = {"acme": "gold", "globex": "free"}


def definitions():
    for (name, (kind, on, off, _)), (state_name, state) in itertools.product(TYPES.items(), STATES.items()):
        variants = [{"key": "on", "value": on}, {"key": "off", "value": off}]
        state = {"enabled": True, "off": {"variant": "off"}, "rules": [], **state}
        yield f"{state_name}-{name}", kind, variants, state
    for key in ODD_KEYS:
        variants = [{"key": "on", "value": True}, {"key": "off", "value": False}]
        yield key, "boolean", variants, {"enabled": True, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}}


def define(api, org):
    """Tells the control plane, and answers how a client of each tenant authenticates."""
    from urllib.parse import quote
    path = f"/v1/orgs/{org}/"
    for tenant, plan in TENANTS.items():
        api.call("PUT", f"{path}tenants/{tenant}", {"attributes": {"plan": plan}})
    for key, kind, variants, state in definitions():
        flag = quote(key, safe="")
        body = {"class": "release", "type": kind, "variants": variants, "clientVisible": True}
        api.call("PUT", f"{path}flags/{flag}", body)
        api.call("PUT", f"{path}environments/prod/flags/{flag}", state)
    api.call("PUT", f"{path}flags/hidden", {"class": "release", "type": "boolean"})
    api.call("PUT", f"{path}environments/prod/flags/plain-boolean/overrides/globex", {"variant": "off"})
    issue = lambda **spec: api.call("POST", f"{path}keys", spec)["key"]
    server = issue(kind="server", envs=["prod"])
    everywhere, elsewhere = issue(kind="server"), issue(kind="server", envs=["dev", "staging"])
    prod = {"FlagForge-Environment": "prod"}
    asks = {}
    for tenant in TENANTS:
        client = issue(kind="client", tenant=tenant, envs=["prod"])
        asks[f"{tenant} as server"] = {"Authorization": f"Bearer {server}", "FlagForge-Tenant": tenant, **prod}
        asks[f"{tenant} in a page"] = {"X-API-Key": client, **prod}
    asks["context"] = {"X-API-Key": everywhere, **prod}
    asks["nobody"] = {"X-API-Key": server[:-1] + ("a" if server[-1] != "a" else "b"), **prod}
    asks["elsewhere"] = {"Authorization": f"Bearer {elsewhere}", "FlagForge-Tenant": "acme", **prod}
    return asks


def expected(key, kind, variants, state, tenant, context):
    """What the answer has to be: its variant, value and reason, or its error."""
    on, off = variants[0]["value"], variants[1]["value"]
    answer = lambda variant, reason: {"variant": variant, "value": on if variant == "on" else off, "reason": reason}
    kind_of_state = key.split("-")[0]
    if kind_of_state == "off":
        return answer("off", "DISABLED")
    if key == "plain-boolean" and tenant == "globex":
        return answer("off", "TARGETING_MATCH")
    if kind_of_state == "rule":
        return answer("on", "TARGETING_MATCH") if context.get("plan") == "gold" else answer("off", "STATIC")
    if kind_of_state == "tenant":
        return answer("on", "TARGETING_MATCH") if TENANTS[tenant] == "gold" else answer("off", "STATIC")
    if kind_of_state == "split":
        return answer("on", "SPLIT") if context.get("targetingKey") else {"error": "TARGETING_KEY_MISSING"}
    if kind_of_state == "own":
        return {"variant": "", "value": None, "reason": "STATIC", "own": True}
    if kind_of_state == "stale":
        return answer("on", "UNKNOWN")
    if kind_of_state == "error":
        return {"error": "GENERAL"}
    return answer("on", "STATIC")


def cases():
    """Every flag for every asker and context, and what goes wrong on purpose."""
    found = []

    def add(ask, context, flag, kind, default, expect):
        found.append({"id": len(found), "ask": ask, "context": context, "flag": flag, "type": kind,
                      "default": default, "expect": expect})

    contexts = [{"targetingKey": "u-1", "plan": "gold"}, {"targetingKey": "u \u00fc/2", "plan": "free"}, {"plan": "gold"}]
    defined = list(definitions())
    for (tenant, door), context in itertools.product(itertools.product(TENANTS, ("as server", "in a page")), contexts):
        for key, kind, variants, state in defined:
            if (key in ODD_KEYS and context != contexts[0]) or (door == "in a page" and context == contexts[1]):
                continue
            expect = expected(key, kind, variants, state, tenant, context)
            default = TYPES.get(key.split("-")[-1], TYPES["boolean"])[3]
            default = (not expect.get("value", True)) if default is None else default
            add(f"{tenant} {door}", context, key, kind, default, expect)
    first = contexts[0]
    for key in NO_KEYS + ["hidden"]:
        add("acme in a page", first, key, "boolean", True, {"error": "FLAG_NOT_FOUND"})
    for kind, default, flag in [("boolean", True, "plain-string"), ("string", "x", "plain-integer"), ("integer", 7, "plain-string"),
                                ("number", 7.5, "plain-boolean"), ("object", {"x": 1}, "plain-string"), ("string", "x", "plain-object")]:
        add("acme as server", first, flag, kind, default, {"error": "TYPE_MISMATCH"})
    # The tenant in the context, and one that contradicts the key's.
    add("context", {"targetingKey": "u", "tenant": "globex"}, "plain-boolean", "boolean", True,
        {"variant": "off", "value": False, "reason": "TARGETING_MATCH"})
    for ask, context in [("acme as server", {"tenant": "globex"}), ("acme in a page", {"tenant": "globex"}), ("context", {}),
                         ("acme as server", {"tenant": 7}), ("acme as server", {"entities": []}),
                         ("acme as server", {"entities": {"tenant": {"plan": "gold"}}})]:
        add(ask, {"targetingKey": "u", **context}, "plain-boolean", "boolean", False, {"error": "INVALID_CONTEXT", "whole": True})
    for ask in ("nobody", "elsewhere"):
        add(ask, first, "plain-boolean", "boolean", False, {"error": "GENERAL", "whole": True, "fatal": True})
    return found
