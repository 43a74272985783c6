# One HTTP API in front of two functions: evaluation goes to the data plane, everything else to management.
resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "this" {
  for_each               = var.functions
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = each.value.invoke_arn
  payload_format_version = "2.0"
  # API Gateway's longest is 30 s; the functions give up before it does.
  timeout_milliseconds = 29000
}

resource "aws_apigatewayv2_route" "this" {
  for_each  = merge([for name, f in var.functions : { for route in f.routes : route => name }]...)
  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.key
  target    = "integrations/${aws_apigatewayv2_integration.this[each.value].id}"
}

resource "aws_lambda_permission" "this" {
  for_each      = var.functions
  statement_id  = "gateway"
  action        = "lambda:InvokeFunction"
  function_name = each.value.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.requests_per_second
    throttling_burst_limit = var.requests_burst
  }

  # No query string and no header: either may hold a key.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      requestId  = "$context.requestId"
      time       = "$context.requestTime"
      method     = "$context.httpMethod"
      path       = "$context.path"
      route      = "$context.routeKey"
      status     = "$context.status"
      latency    = "$context.responseLatency"
      error      = "$context.error.message"
      downstream = "$context.integrationErrorMessage"
    })
  }
}
