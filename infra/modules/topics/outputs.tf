output "changes_arn" {
  value = aws_sns_topic.changes.arn
}

output "roots_arn" {
  value = aws_sns_topic.roots.arn
}

output "events_arn" {
  value = aws_sns_topic.events.arn
}
