# functions/evaluate: the data plane over HTTP. It reads manifests and nothing else; with the control plane gone it answers on.
module "evaluate" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "evaluate"
  description     = "Evaluation by OFREP, and manifests over HTTP."
  timeout_seconds = 10
  memory_mb       = 1024
  policy          = data.aws_iam_policy_document.evaluate.json
  # A session of it, narrowed to one scope, is what an SDK gets for its key.
  org_policy = data.aws_iam_policy_document.grants
  environment = merge({
    FLAGFORGE_BUCKET = module.bucket.name
    FLAGFORGE_ROOTS  = join(",", var.roots)
    # A request that finds its manifest older than this asks S3 whether there is a newer one.
    FLAGFORGE_POLL_MILLISECONDS = var.poll_milliseconds
  }, local.passes...)
}

locals {
  # What the function is given that signs passes for a distribution.
  passes = [for cdn in module.cdn : {
    FLAGFORGE_DISTRIBUTION_ADDRESS  = cdn.address
    FLAGFORGE_DISTRIBUTION_KEY      = cdn.key_arn
    FLAGFORGE_DISTRIBUTION_KEY_PAIR = cdn.key_pair
  }]
}

data "aws_iam_policy_document" "grants" {
  statement {
    sid     = "Manifests"
    actions = ["s3:GetObject"]
    resources = [
      "${module.bucket.arn}/trust.json",
      "${module.bucket.arn}/trust/*",
      "${module.bucket.arn}/*.jws",
      "${module.bucket.arn}/*/chunks/*",
    ]
  }
}

data "aws_iam_policy_document" "evaluate" {
  statement {
    sid     = "Manifests"
    actions = ["s3:GetObject"]
    resources = [
      "${module.bucket.arn}/trust.json",
      "${module.bucket.arn}/trust/*",
      "${module.bucket.arn}/*.jws",
      "${module.bucket.arn}/*/chunks/*",
    ]
  }
  # Without it S3 answers 403 instead of 404 for what is not there.
  statement {
    sid       = "Absence"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }

  dynamic "statement" {
    for_each = module.cdn
    content {
      sid       = "Passes"
      actions   = ["kms:Sign"]
      resources = [statement.value.key_arn]
    }
  }
}
