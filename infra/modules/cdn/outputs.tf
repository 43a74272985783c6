output "address" {
  description = "What SDKs read from."
  value       = "https://${aws_cloudfront_distribution.this.domain_name}"
}

output "distribution_arn" {
  description = "Who reads the bucket."
  value       = aws_cloudfront_distribution.this.arn
}

output "key_arn" {
  description = "What signs passes."
  value       = aws_kms_key.this.arn
}

output "key_pair" {
  description = "The id of its public half in CloudFront."
  value       = aws_cloudfront_public_key.this.id
}
