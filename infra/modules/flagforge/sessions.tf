# What several functions may do to the table alike: list the organizations, and the rest in a session for one of them.

# Which organizations there are; what they made is reached in their sessions.
data "aws_iam_policy_document" "organizations" {
  statement {
    sid       = "Organizations"
    actions   = ["dynamodb:Query"]
    resources = [module.table.arn]
    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["~#orgs"]
    }
    # ForAllValues holds of a request that names no partition.
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }
}

# In a session for one organization.
data "aws_iam_policy_document" "reads" {
  statement {
    sid       = "Table"
    actions   = ["dynamodb:GetItem", "dynamodb:Query"]
    resources = [module.table.arn]
  }
}

# The same, of who changes things. A transaction is authorized as the actions it is made of. No Scan, and no PartiQL.
data "aws_iam_policy_document" "writes" {
  statement {
    sid = "Table"
    actions = [
      "dynamodb:GetItem",
      "dynamodb:Query",
      "dynamodb:PutItem",
      "dynamodb:DeleteItem",
      "dynamodb:ConditionCheckItem",
    ]
    resources = [module.table.arn]
  }
}
