# functions/fanout: the stream's only reader. It rings the doorbell, and that is all it may do.
module "fanout" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "fanout"
  description     = "Rings when a log grew."
  timeout_seconds = 30
  policy          = data.aws_iam_policy_document.fanout.json
  environment = {
    FLAGFORGE_CHANGES_TOPIC  = module.topics.changes_arn
    FLAGFORGE_BATCH_FAILURES = var.partial_batches ? "partial" : "whole"
  }
}

data "aws_iam_policy_document" "fanout" {
  statement {
    sid = "Stream"
    actions = [
      "dynamodb:DescribeStream",
      "dynamodb:GetRecords",
      "dynamodb:GetShardIterator",
    ]
    resources = [module.table.stream_arn]
  }
  # ListStreams knows no resource of its own.
  statement {
    sid       = "ListStreams"
    actions   = ["dynamodb:ListStreams"]
    resources = ["*"]
  }
  statement {
    sid       = "Ring"
    actions   = ["sns:Publish"]
    resources = [module.topics.changes_arn]
  }
  statement {
    sid       = "GiveUp"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.fanout_dead.arn]
  }
}

# Where Lambda notes the records it gave up on: sequence numbers, not items.
resource "aws_sqs_queue" "fanout_dead" {
  name                      = "${var.name}-fanout-dead"
  message_retention_seconds = 1209600 # 14 days, SQS's longest.
  sqs_managed_sse_enabled   = true
}

resource "aws_lambda_event_source_mapping" "fanout" {
  function_name     = module.fanout.arn
  event_source_arn  = module.table.stream_arn
  starting_position = "TRIM_HORIZON"

  batch_size                         = 100
  maximum_batching_window_in_seconds = 0 # A change is told at once.
  parallelization_factor             = 1

  # Only the log rings; the items a commit writes beside it do not even invoke the function.
  filter_criteria {
    filter {
      pattern = jsonencode({ dynamodb = { Keys = { sk = { S = [{ prefix = "LOG#" }] } } } })
    }
  }

  # A poison record is found by halves, and given up on after an hour. The publisher reads the logs, so what is given
  # up is told by the next change of the same log, or by the next re-signing.
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = 20
  maximum_record_age_in_seconds  = 3600
  function_response_types        = ["ReportBatchItemFailures"]

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.fanout_dead.arn
    }
  }

  # The mapping is refused until the role may read the stream.
  depends_on = [module.fanout]
}
