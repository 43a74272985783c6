output "subscription_arn" {
  description = "The subscription."
  value       = aws_sns_topic_subscription.roots.arn
}
