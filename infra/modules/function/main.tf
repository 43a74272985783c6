# One Lambda = one role = one trigger. The trigger is the caller's.
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = local.full_name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

# The log group is made here, with its retention, so the function needs no right to create one.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${local.full_name}"
  retention_in_days = var.log_retention_days
}

data "aws_iam_policy_document" "logs" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

data "aws_iam_policy_document" "all" {
  source_policy_documents = [data.aws_iam_policy_document.logs.json, var.policy]

  dynamic "statement" {
    for_each = aws_iam_role.org
    content {
      sid       = "ActForOrganizations"
      actions   = ["sts:AssumeRole"]
      resources = [statement.value.arn]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  name   = var.name
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.all.json
}

# What the function does for one organization it does in a session of this role. The function passes a policy with each
# session that narrows it to that organization's partitions; this role alone would reach them all.
data "aws_iam_policy_document" "assume_org" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.this.arn]
    }
  }
}

resource "aws_iam_role" "org" {
  count              = var.org_policy == null ? 0 : 1
  name               = "${local.full_name}-org"
  assume_role_policy = data.aws_iam_policy_document.assume_org.json
}

resource "aws_iam_role_policy" "org" {
  count  = var.org_policy == null ? 0 : 1
  name   = "${var.name}-org"
  role   = aws_iam_role.org[0].id
  policy = var.org_policy.json
}

resource "aws_lambda_function" "this" {
  function_name = local.full_name
  role          = aws_iam_role.this.arn
  description   = var.description

  # `cargo lambda build --output-format zip` puts it there.
  filename         = local.package
  source_code_hash = filebase64sha256(local.package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]

  memory_size                    = var.memory_mb
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = merge(
      { RUST_LOG = var.log_filter },
      { for role in aws_iam_role.org : "FLAGFORGE_ORG_ROLE" => role.arn },
      var.environment,
    )
  }

  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy.org, aws_cloudwatch_log_group.this]
}

locals {
  full_name = "${var.installation}-${var.name}"
  package   = "${var.packages}/${var.name}/bootstrap.zip"
}
