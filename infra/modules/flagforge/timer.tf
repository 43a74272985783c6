# functions/timer: what comes with time. It changes things as the API does, and collects what is left behind; it cannot
# sign, nor publish, nor touch a manifest.
module "timer" {
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "timer"
  description     = "Makes scheduled changes, asks sources of tenants, collects leftovers."
  timeout_seconds = 900  # Lambda's longest: a source may take five minutes to read, and its tenants are then put.
  memory_mb       = 1024 # A source's 32 MiB are held some times over.
  policy          = data.aws_iam_policy_document.timer.json
  org_policy      = data.aws_iam_policy_document.writes
  environment = merge(local.outbound, {
    FLAGFORGE_TABLE  = module.table.name
    FLAGFORGE_BUCKET = module.bucket.name
  })
}

data "aws_iam_policy_document" "timer" {
  source_policy_documents = [data.aws_iam_policy_document.organizations.json]

  statement {
    sid       = "ListsAndImports"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${module.bucket.arn}/*/lists/*", "${module.bucket.arn}/*/imports/*"]
  }
  statement {
    sid       = "Sources"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${module.bucket.arn}/*/source/*"]
  }
  # To list what may be left behind. And without it S3 answers 403 instead of 404 for what is not there.
  statement {
    sid       = "Listing"
    actions   = ["s3:ListBucket"]
    resources = [module.bucket.arn]
  }
}

locals {
  ticks = {
    fire = {
      description = "Asks for the scheduled changes that are due."
      schedule    = "rate(1 minute)" # The shortest that the clock knows.
    }
    pull = {
      description = "Asks for the sources of tenants that are due."
      schedule    = "rate(1 minute)"
    }
    collect = {
      description = "Asks for what is left behind."
      schedule    = "rate(1 hour)"
    }
  }
}

resource "aws_cloudwatch_event_rule" "tick" {
  for_each            = local.ticks
  name                = "${var.name}-${each.key}"
  description         = each.value.description
  schedule_expression = each.value.schedule
}

resource "aws_cloudwatch_event_target" "tick" {
  for_each = local.ticks
  rule     = aws_cloudwatch_event_rule.tick[each.key].name
  arn      = module.timer.arn
  input    = jsonencode({ tick = each.key })
}

resource "aws_lambda_permission" "tick" {
  for_each      = local.ticks
  statement_id  = each.key
  action        = "lambda:InvokeFunction"
  function_name = module.timer.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.tick[each.key].arn
}

# A tick that failed, or found no room for a minute, is worth nothing: the next looks at everything anew.
resource "aws_lambda_function_event_invoke_config" "timer" {
  function_name                = module.timer.name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}
