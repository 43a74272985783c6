output "address" {
  description = "The load balancer's name, for a record of your own that the certificate covers."
  value       = aws_lb.this.dns_name
}

output "security_group" {
  description = "The relays' security group, for rules of what they read from."
  value       = aws_security_group.relay.id
}
