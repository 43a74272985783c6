# Two doorbells: `changes` when a log grew, `roots` when a manifest can be fetched. And `events`: what changed, as
# CloudEvents, for whoever outside subscribes. They hold names, numbers and reasons, no flag's content, so the topics use
# SNS's own encryption at rest and subscribers need no KMS permission.
resource "aws_sns_topic" "changes" {
  name = "${var.name}-changes"
}

resource "aws_sns_topic" "roots" {
  name = "${var.name}-roots"
}

resource "aws_sns_topic" "events" {
  name = "${var.name}-events"
}
