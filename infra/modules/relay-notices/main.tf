# A subscription of a relay to the topic that announces roots, over HTTPS. Whoever runs the relay makes it, in a stack of their
# own. The relay confirms it by itself, once FLAGFORGE_SNS_TOPICS names the topic; a message reaches one relay, so behind a load
# balancer the others find the root by polling.
resource "aws_sns_topic_subscription" "roots" {
  topic_arn = var.roots_topic_arn
  protocol  = "https"
  endpoint  = "${var.relay_url}/notify/sns"
  # A raw message has no signature, and the relay believes none without.
  raw_message_delivery = false
  # The provider waits so long for the relay's confirmation.
  endpoint_auto_confirms          = true
  confirmation_timeout_in_minutes = 5
  # Other environments' messages would be passed over; so they are not even sent.
  filter_policy = jsonencode({ org = [var.org], env = var.envs })
}
