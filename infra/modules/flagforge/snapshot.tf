# functions/snapshot: the publisher. It alone may sign, and write manifests; it may not write the table.
module "snapshot" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "snapshot"
  description     = "Publishes signed manifests and announces them."
  timeout_seconds = local.snapshot_timeout_seconds
  memory_mb       = 1769 # One whole core: it compiles and hashes.
  policy          = data.aws_iam_policy_document.snapshot.json
  org_policy      = data.aws_iam_policy_document.reads
  environment = {
    FLAGFORGE_TABLE       = module.table.name
    FLAGFORGE_BUCKET      = module.bucket.name
    FLAGFORGE_KEY         = module.key.arn
    FLAGFORGE_ROOTS_TOPIC = module.topics.roots_arn
  }
}

locals {
  snapshot_timeout_seconds = 120
}

data "aws_iam_policy_document" "snapshot" {
  source_policy_documents = [data.aws_iam_policy_document.organizations.json]

  statement {
    sid       = "Manifests"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/*.jws", "${module.bucket.arn}/*/chunks/*"]
  }
  # What no root lists any more, and earlier roots after their month.
  statement {
    sid       = "Sweep"
    actions   = ["s3:DeleteObject"]
    resources = ["${module.bucket.arn}/*/chunks/*", "${module.bucket.arn}/*/history/*", "${module.bucket.arn}/*/tenants/*"]
  }
  # Trust documents are the operator's: the publisher reads them, and must not be able to change whom readers trust.
  statement {
    sid     = "TrustAndLists"
    actions = ["s3:GetObject"]
    resources = [
      "${module.bucket.arn}/trust.json",
      "${module.bucket.arn}/trust/*",
      "${module.bucket.arn}/*/lists/*",
    ]
  }
  # To list what may be swept. And without it S3 answers 403 instead of 404 for what is not there.
  statement {
    sid       = "Listing"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }
  statement {
    sid       = "Certify"
    actions   = ["kms:Sign", "kms:GetPublicKey"]
    resources = [module.key.arn]
  }
  statement {
    sid       = "Announce"
    actions   = ["sns:Publish"]
    resources = [module.topics.roots_arn]
  }
  statement {
    sid       = "Queue"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [module.snapshot_queue.arn]
  }
}

module "snapshot_queue" {
  source = "../queue"
  name   = "${var.name}-snapshot"
  # A message whose work failed comes again after this long. AWS's six timeouts are meant for pollers that outrun the
  # function's concurrency, which scaling_config below prevents.
  visibility_timeout_seconds = 2 * local.snapshot_timeout_seconds
  senders = {
    Changes = {
      service    = "sns.amazonaws.com"
      source_arn = module.topics.changes_arn
    }
    Clock = {
      service    = "events.amazonaws.com"
      source_arn = aws_cloudwatch_event_rule.resign.arn
    }
  }
}

resource "aws_sns_topic_subscription" "snapshot" {
  topic_arn            = module.topics.changes_arn
  protocol             = "sqs"
  endpoint             = module.snapshot_queue.arn
  raw_message_delivery = true
}

# The clock rings through the same queue, so that the function has one trigger, and re-signing has the queue's
# retries and dead letters.
resource "aws_cloudwatch_event_rule" "resign" {
  name                = "${var.name}-resign"
  description         = "Re-signs roots before they expire (DESIGN §7)."
  schedule_expression = var.resign_schedule
}

resource "aws_cloudwatch_event_target" "resign" {
  rule  = aws_cloudwatch_event_rule.resign.name
  arn   = module.snapshot_queue.arn
  input = jsonencode({ notice = "resign" })
}

resource "aws_lambda_event_source_mapping" "snapshot" {
  function_name           = module.snapshot.arn
  event_source_arn        = module.snapshot_queue.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  # Two publishers of one environment only make each other read again: keep few.
  scaling_config {
    maximum_concurrency = var.publishers
  }

  depends_on = [module.snapshot]
}
