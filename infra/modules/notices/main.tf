# A queue that rings for new roots, for one process that has the SDK's feature `sqs`. Whoever runs the process makes it, in a
# stack of their own; processes do not share one, because a message rings once.
module "queue" {
  source = "../queue"
  name   = var.name
  # The SDK deletes what it has received at once, whatever it says.
  visibility_timeout_seconds = 30
  senders = {
    Roots = {
      service    = "sns.amazonaws.com"
      source_arn = var.roots_topic_arn
    }
  }
}

resource "aws_sns_topic_subscription" "roots" {
  topic_arn            = var.roots_topic_arn
  protocol             = "sqs"
  endpoint             = module.queue.arn
  raw_message_delivery = true
  # Other environments' messages would be passed over; so they are not even sent.
  filter_policy = jsonencode({ org = [var.org], env = var.envs })
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid       = "Notices"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
    resources = [module.queue.arn]
  }
}
