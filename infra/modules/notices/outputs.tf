output "url" {
  description = "What SqsQueue::from_env is given."
  value       = module.queue.url
}

output "reader_policy" {
  description = "A policy for the process's role: to receive and to delete, and nothing else."
  value       = data.aws_iam_policy_document.reader.json
}

output "dead_url" {
  description = "The queue's dead letters, which should be empty."
  value       = module.queue.dead_url
}
