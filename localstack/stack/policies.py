"""What Terraform made of the roles, in one file: tests ask a policy evaluator about it (`infra/policies.json` is kept of it)."""

import json

from .ground import RUN

POLICIES = RUN / "policies.json"

# These are drawn anew for each stack, and say nothing.
STREAM_LABEL = "2026-01-01T00:00:00.000"
DISTRIBUTION_ID = "E00000000000000"
API_ID = "a000000000"
KEY_ID = "00000000-0000-0000-0000-00000000000{}"


def write(resources):
    """Writes each role's trust and policy, by the role's word: a function's, and `<function>-org` for its sessions."""
    of = lambda kind: [resource["values"] for resource in resources if resource["type"] == kind]
    # The connections' is named after the table's.
    table, connections = sorted(of("aws_dynamodb_table"), key=lambda table: len(table["name"]))
    keys = sorted(of("aws_kms_key"), key=lambda key: key["description"])
    prefix = f"{table['name']}-"
    policies = {policy["role"]: json.loads(policy["policy"]) for policy in of("aws_iam_role_policy")}
    roles = {
        role["name"].removeprefix(prefix): {
            "arn": role["arn"],
            "trust": json.loads(role["assume_role_policy"]),
            "policy": policies[role["id"]],
        }
        for role in of("aws_iam_role")
    }
    (distribution,) = of("aws_cloudfront_distribution")
    (bucket,) = of("aws_s3_bucket_policy")
    of_others = {"distribution": distribution["arn"], "bucketPolicy": json.loads(bucket["policy"])}
    tables = {"table": table["arn"], "stream": table["stream_arn"], "connections": connections["arn"]}
    rendered = {**tables, "roles": roles, **of_others}
    text = json.dumps(rendered, indent=2, sort_keys=True) + "\n"
    text = text.replace(table["stream_arn"], f"{table['arn']}/stream/{STREAM_LABEL}")
    text = text.replace(distribution["id"], DISTRIBUTION_ID)
    for api in of("aws_apigatewayv2_api"):
        text = text.replace(api["id"], API_ID)
    for number, key in enumerate(keys):
        text = text.replace(key["key_id"], KEY_ID.format(number))
    POLICIES.write_text(text)
