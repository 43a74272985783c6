# functions/connect: announcements over WebSocket, for SDKs that have no relay. Off unless asked for. It reads manifests, keeps
# who is connected in a table of its own, and speaks to those; it reaches nothing of the control plane.
module "connect" {
  count              = var.websocket ? 1 : 0
  source             = "../function"
  installation       = local.function.installation
  packages           = local.function.packages
  architecture       = local.function.architecture
  log_retention_days = local.function.log_retention_days

  name            = "connect"
  description     = "Lets SDKs listen by WebSocket, and tells them of new roots."
  timeout_seconds = 60 # It tells for 50 at most.
  memory_mb       = 1024
  policy          = data.aws_iam_policy_document.connect[0].json
  org_policy      = data.aws_iam_policy_document.connect_org[0]
  environment = {
    FLAGFORGE_BUCKET            = module.bucket.name
    FLAGFORGE_ROOTS             = join(",", var.roots)
    FLAGFORGE_POLL_MILLISECONDS = var.poll_milliseconds
    FLAGFORGE_TABLE             = aws_dynamodb_table.connections[0].name
    FLAGFORGE_SOCKET_ENDPOINT   = "${local.execute_api}/${module.socket[0].stage}"
  }
}

locals {
  # Not the API's own execution_arn: where the provider asks for no account, as for an emulator, that one names none.
  connections_arn = !var.websocket ? null : join(":", [
    "arn", data.aws_partition.current.partition, "execute-api", data.aws_region.current.name,
    data.aws_caller_identity.current.account_id, "${module.socket[0].id}/${module.socket[0].stage}",
  ])
  # Where API Gateway is told what to say: AWS's address of this API, or an emulator's.
  execute_api = !var.websocket ? null : (var.execute_api != null
    ? "${var.execute_api}/${module.socket[0].id}"
  : "https://${module.socket[0].id}.execute-api.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}")
}

data "aws_partition" "current" {}

module "socket" {
  count               = var.websocket ? 1 : 0
  source              = "../socket"
  name                = "${var.name}-socket"
  function_name       = module.connect[0].name
  invoke_arn          = module.connect[0].invoke_arn
  requests_per_second = var.requests_per_second
  requests_burst      = var.requests_burst
}

# Who is connected. It can be lost: clients connect again, and poll meanwhile. So it has no backup, and no stream.
resource "aws_dynamodb_table" "connections" {
  count        = var.websocket ? 1 : 0
  name         = "${var.name}-connections"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  server_side_encryption {
    enabled = true
  }
}

data "aws_iam_policy_document" "connect" {
  count = var.websocket ? 1 : 0

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
  # Whose a connection is, by its id. The rest is in the partitions of organizations, and reached in their sessions.
  statement {
    sid       = "ById"
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
    resources = [aws_dynamodb_table.connections[0].arn]
    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["~#*"]
    }
    # ForAllValues holds of a request that names no partition.
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }
  statement {
    sid     = "Speak"
    actions = ["execute-api:ManageConnections"]
    resources = [
      "${local.connections_arn}/POST/@connections/*",
      "${local.connections_arn}/DELETE/@connections/*",
    ]
  }
}

# In a session for one organization.
data "aws_iam_policy_document" "connect_org" {
  count = var.websocket ? 1 : 0

  statement {
    sid       = "Connections"
    actions   = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"]
    resources = [aws_dynamodb_table.connections[0].arn]
  }
}

resource "aws_sns_topic_subscription" "connect" {
  count     = var.websocket ? 1 : 0
  topic_arn = module.topics.roots_arn
  protocol  = "lambda"
  endpoint  = module.connect[0].arn

  depends_on = [aws_lambda_permission.roots]
}

resource "aws_lambda_permission" "roots" {
  count         = var.websocket ? 1 : 0
  statement_id  = "roots"
  action        = "lambda:InvokeFunction"
  function_name = module.connect[0].name
  principal     = "sns.amazonaws.com"
  source_arn    = module.topics.roots_arn
}

# An announcement that is late by a minute is worth less than the poll that has found the root meanwhile.
resource "aws_lambda_function_event_invoke_config" "connect" {
  count                        = var.websocket ? 1 : 0
  function_name                = module.connect[0].name
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 60
}
