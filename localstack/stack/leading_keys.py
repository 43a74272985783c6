"""Teaches MiniStack `dynamodb:LeadingKeys`, which it does not know: the partitions that a request names.

After AWS's description of the key, and not after AWS's code: what it refuses here shows that a function named another
partition than its policy lets it, and what it lets pass shows that no more than that is asked. Every item of a transaction
counts at once, which is stricter than AWS's look at each.
"""

import json
import re

# The one table's partition key.
PARTITION = "pk"
CONDITION = re.compile(rf"(?<![\w:#]){PARTITION}\s*=\s*(:\w+)")


def leading_keys(body):
    """The partitions of a request, or `None` when it names none, as a Scan does."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    if not isinstance(request, dict):
        return None
    found = [key for part in _parts(request) for key in _named(part)]
    return found or None


def _parts(request):
    yield request
    for item in request.get("TransactItems") or []:
        yield from item.values()


def _named(part):
    for attributes in (part.get("Key"), part.get("Item")):
        if isinstance(attributes, dict) and PARTITION in attributes:
            yield attributes[PARTITION].get("S", "")
    condition = CONDITION.search(part.get("KeyConditionExpression") or "")
    if condition:
        yield part.get("ExpressionAttributeValues", {}).get(condition.group(1), {}).get("S", "")


def teach():
    """Puts the key among those that MiniStack's own evaluator reads."""
    from ministack.core import iam_actions

    theirs = iam_actions.dynamodb_service_context

    def with_leading_keys(body):
        keys = leading_keys(body)
        return {**theirs(body), **({"dynamodb:LeadingKeys": keys} if keys else {})}

    iam_actions.dynamodb_service_context = with_leading_keys
