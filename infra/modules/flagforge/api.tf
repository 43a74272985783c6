# functions/api: the management API. It reads and writes the table, segments' lists, the files of imports, how far webhooks
# were told and what sources of tenants said, and installs trust documents; it cannot sign, nor publish, nor touch a manifest.
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
  environment = merge(local.outbound, {
    FLAGFORGE_TABLE               = module.table.name
    FLAGFORGE_BUCKET              = module.bucket.name
    FLAGFORGE_OPERATOR_KEY_ID     = var.operator_key.id
    FLAGFORGE_OPERATOR_KEY_SHA256 = var.operator_key.secret_sha256
    FLAGFORGE_CORS_ORIGINS        = join(",", var.cors_origins)
  })
}

data "aws_iam_policy_document" "api" {
  # A transaction is authorized as the actions it is made of. No Scan.
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
  statement {
    sid       = "TrustDocuments"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/trust.json", "${module.bucket.arn}/trust/*"]
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
