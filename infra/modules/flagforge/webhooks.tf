# functions/webhooks: tells the endpoints that organizations name, and the topic of events. It reads the logs, and writes how
# far each was told.
module "webhooks" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "webhooks"
  description     = "Tells organizations' endpoints, and the topic of events, what changed."
  timeout_seconds = local.webhooks_timeout_seconds
  policy          = data.aws_iam_policy_document.webhooks.json
  org_policy      = data.aws_iam_policy_document.reads
  environment = merge(local.outbound, {
    FLAGFORGE_TABLE        = module.table.name
    FLAGFORGE_BUCKET       = module.bucket.name
    FLAGFORGE_EVENTS_TOPIC = module.topics.events_arn
  })
}

locals {
  # A run begins within 60 seconds; it calls an endpoint, or the topic, for 60, and the last call takes 20 at most. The rest
  # is reading.
  webhooks_timeout_seconds = 180
}

data "aws_iam_policy_document" "webhooks" {
  source_policy_documents = [data.aws_iam_policy_document.organizations.json]

  statement {
    sid       = "HowFar"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/*/webhooks/*"]
  }
  # Without it S3 answers 403 instead of 404 for what is not there.
  statement {
    sid       = "Absence"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }
  statement {
    sid       = "Tell"
    actions   = ["sns:Publish"]
    resources = [module.topics.events_arn]
  }
  statement {
    sid       = "Queue"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [module.webhooks_queue.arn]
  }
}

module "webhooks_queue" {
  source                     = "../queue"
  name                       = "${var.name}-webhooks"
  visibility_timeout_seconds = local.webhooks_timeout_seconds
  senders = {
    Changes = {
      service    = "sns.amazonaws.com"
      source_arn = module.topics.changes_arn
    }
    Clock = {
      service    = "events.amazonaws.com"
      source_arn = aws_cloudwatch_event_rule.tell.arn
    }
  }
}

resource "aws_sns_topic_subscription" "webhooks" {
  topic_arn            = module.topics.changes_arn
  protocol             = "sqs"
  endpoint             = module.webhooks_queue.arn
  raw_message_delivery = true
}

# What failed is tried again five seconds later at the earliest; a minute is the shortest that the clock knows.
resource "aws_cloudwatch_event_rule" "tell" {
  name                = "${var.name}-tell"
  description         = "Asks for deliveries that are to be tried again."
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "tell" {
  rule  = aws_cloudwatch_event_rule.tell.name
  arn   = module.webhooks_queue.arn
  input = jsonencode({ notice = "tell" })
}

resource "aws_lambda_event_source_mapping" "webhooks" {
  function_name           = module.webhooks.arn
  event_source_arn        = module.webhooks_queue.arn
  function_response_types = ["ReportBatchItemFailures"]

  # All that one organization changed within a second is one round of telling.
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1

  # Two at work for one organization repeat each other's deliveries, so no more than AWS's least; each tells eight
  # organizations at a time.
  scaling_config {
    maximum_concurrency = 2
  }

  depends_on = [module.webhooks]
}
