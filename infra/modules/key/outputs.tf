output "arn" {
  value = aws_kms_key.this.arn
}

output "public_key_pem" {
  description = "What the offline root key names in the trust document."
  value       = data.aws_kms_public_key.this.public_key_pem
}
