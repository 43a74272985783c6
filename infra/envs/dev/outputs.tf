output "api_id" {
  description = "The gateway's id."
  value       = module.flagforge.api_id
}

output "api_url" {
  description = "Where the API answers."
  value       = module.flagforge.api_url
}

output "bucket" {
  description = "Where manifests are."
  value       = module.flagforge.bucket
}

output "table" {
  description = "The table's name."
  value       = module.flagforge.table
}

output "key_arn" {
  description = "The online key."
  value       = module.flagforge.key_arn
}

output "public_key_pem" {
  description = "The online key's public half, which the trust document names."
  value       = module.flagforge.public_key_pem
}

output "changes_topic" {
  description = "Rings when a log grew."
  value       = module.flagforge.changes_topic
}

output "roots_topic" {
  description = "Rings when a manifest can be fetched."
  value       = module.flagforge.roots_topic
}

output "events_topic" {
  description = "Tells what changed, as CloudEvents."
  value       = module.flagforge.events_topic
}

output "dead_letters" {
  description = "Queues that should be empty."
  value       = module.flagforge.dead_letters
}

output "websocket_url" {
  description = "Where SDKs listen for new roots; null where there is no such API."
  value       = module.flagforge.websocket_url
}

output "distribution" {
  description = "The distribution in front of the bucket, and the key that signs what it answers; null where there is none."
  value       = module.flagforge.distribution
}
