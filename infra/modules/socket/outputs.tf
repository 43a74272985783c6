output "id" {
  value = aws_apigatewayv2_api.this.id
}

output "stage" {
  value = local.stage
}

output "url" {
  description = "Where clients connect."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/${local.stage}"
}
