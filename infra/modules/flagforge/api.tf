# functions/api: the management API. It reads and writes the table, one organization's part at a time, segments' lists, the
# files of imports, how far webhooks were told and what sources of tenants said, and installs trust documents; it cannot sign,
# nor publish, nor touch a manifest.
module "api" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "api"
  description     = "The management API."
  timeout_seconds = 25 # Below the gateway's 29.
  memory_mb       = 1024
  policy          = data.aws_iam_policy_document.api.json
  org_policy      = data.aws_iam_policy_document.writes
  environment = merge(local.outbound, {
    FLAGFORGE_TABLE               = module.table.name
    FLAGFORGE_BUCKET              = module.bucket.name
    FLAGFORGE_OPERATOR_KEY_ID     = var.operator_key.id
    FLAGFORGE_OPERATOR_KEY_SHA256 = var.operator_key.secret_sha256
    FLAGFORGE_CORS_ORIGINS        = join(",", var.cors_origins)
  })
}

data "aws_iam_policy_document" "api" {
  # While nobody knows yet who asks: an organization's own partition, `<org>#`, where keys and people are, and the list of
  # organizations. Nothing of environments, logs or what is remembered; and nothing is written.
  statement {
    sid       = "Door"
    actions   = ["dynamodb:GetItem", "dynamodb:Query"]
    resources = [module.table.arn]
    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["*#", "~#orgs"]
    }
    # ForAllValues holds of a request that names no partition.
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }
  statement {
    sid       = "TrustDocuments"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/trust.json", "${module.bucket.arn}/trust/*"]
  }
  # What stands, for whoever looks after it. Only the publisher writes there.
  statement {
    sid       = "Manifests"
    actions   = ["s3:GetObject"]
    resources = ["${module.bucket.arn}/*.jws", "${module.bucket.arn}/*/chunks/*"]
  }
  statement {
    sid       = "ListsAndImports"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${module.bucket.arn}/*/lists/*", "${module.bucket.arn}/*/imports/*"]
  }
  statement {
    sid       = "WebhooksAndSources"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/*/webhooks/*", "${module.bucket.arn}/*/source/*"]
  }
  # Without it S3 answers 403 instead of 404 for what is not there.
  statement {
    sid       = "Absence"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }
}
