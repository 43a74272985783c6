output "arn" {
  value = aws_sqs_queue.this.arn
}

output "url" {
  value = aws_sqs_queue.this.id
}

output "dead_arn" {
  value = aws_sqs_queue.dead.arn
}

output "dead_url" {
  value = aws_sqs_queue.dead.id
}
