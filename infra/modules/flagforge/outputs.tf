output "api_id" {
  description = "The gateway's id."
  value       = module.gateway.id
}

output "api_url" {
  description = "Where the API answers."
  value       = module.gateway.url
}

output "bucket" {
  description = "Where manifests are."
  value       = module.bucket.name
}

output "table" {
  description = "The table's name."
  value       = module.table.name
}

output "key_arn" {
  description = "The online key."
  value       = module.key.arn
}

output "public_key_pem" {
  description = "The online key's public half, which the trust document names."
  value       = module.key.public_key_pem
}

output "changes_topic" {
  description = "Rings when a log grew."
  value       = module.topics.changes_arn
}

output "roots_topic" {
  description = "Rings when a manifest can be fetched."
  value       = module.topics.roots_arn
}

output "events_topic" {
  description = "Tells what changed, as CloudEvents."
  value       = module.topics.events_arn
}

output "dead_letters" {
  description = "Queues that should be empty."
  value = {
    snapshot = module.snapshot_queue.dead_url
    webhooks = module.webhooks_queue.dead_url
    fanout   = aws_sqs_queue.fanout_dead.id
  }
}

output "websocket_url" {
  description = "Where SDKs listen for new roots; null where there is no such API."
  value       = one(module.socket[*].url)
}

output "connections_table" {
  description = "Who listens there."
  value       = one(aws_dynamodb_table.connections[*].name)
}

output "distribution" {
  description = "The distribution in front of the bucket, and the key that signs what it answers; null where there is none."
  value       = one([for cdn in module.cdn : { address = cdn.address, key_arn = cdn.key_arn, key_pair = cdn.key_pair }])
}
