# One WebSocket API in front of one function, which lets in, answers and forgets.
resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  protocol_type = "WEBSOCKET"
  # Whatever a client says, it is $default that it says it to.
  route_selection_expression = "$request.body.action"
}

resource "aws_apigatewayv2_integration" "this" {
  api_id             = aws_apigatewayv2_api.this.id
  integration_type   = "AWS_PROXY"
  integration_method = "POST"
  integration_uri    = var.invoke_arn
  # API Gateway's longest; the function's own limit for a request is far below it.
  timeout_milliseconds = 29000
}

resource "aws_apigatewayv2_route" "this" {
  for_each  = toset(["$connect", "$default", "$disconnect"])
  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.key
  target    = "integrations/${aws_apigatewayv2_integration.this.id}"
  # Only what a client says is answered.
  route_response_selection_expression = each.key == "$default" ? "$default" : null
}

resource "aws_apigatewayv2_route_response" "default" {
  api_id             = aws_apigatewayv2_api.this.id
  route_id           = aws_apigatewayv2_route.this["$default"].id
  route_response_key = "$default"
}

resource "aws_lambda_permission" "this" {
  statement_id  = "socket"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

# No access log: API Gateway writes one of a WebSocket API only where the account has named a role for it. The function logs who
# is let in.
resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = local.stage
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.requests_per_second
    throttling_burst_limit = var.requests_burst
  }
}

locals {
  stage = "v1"
}
