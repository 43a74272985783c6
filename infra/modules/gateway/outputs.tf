output "id" {
  value = aws_apigatewayv2_api.this.id
}

output "url" {
  value = aws_apigatewayv2_api.this.api_endpoint
}
