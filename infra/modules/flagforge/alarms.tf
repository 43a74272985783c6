# What the publisher raises an alarm for, as it stands in its log (`{"fields": {"alarm": "held", …}}`): a metric and an alarm
# for each kind. It is raised when it is seen first, and by every process that starts; whether it still stands says the
# manifest's state in the API.
locals {
  publisher_alarms = {
    held     = "A flag cannot be published as it is and goes on in its last good form. `flagforge manifest state` names it, and why."
    withheld = "So much is gone at once that it goes on being published. `flagforge manifest state` says what; accept it or bring it back."
    restored = "An earlier root is to be published and cannot be read. The last manifest stays; release it, or restore another."
    drift    = "A manifest that was made by following the logs was not the one that the items make. It was made anew."
  }
}

resource "aws_cloudwatch_log_metric_filter" "publisher" {
  for_each = var.alarms ? local.publisher_alarms : {}

  name           = "${var.name}-${each.key}"
  log_group_name = module.snapshot.log_group
  pattern        = "{ $.fields.alarm = \"${each.key}\" }"

  metric_transformation {
    namespace     = "FlagForge/${var.name}"
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "publisher" {
  for_each = var.alarms ? local.publisher_alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value
  namespace           = "FlagForge/${var.name}"
  metric_name         = each.key
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # Where nothing is logged nothing is wrong.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.alarm_topics

  depends_on = [aws_cloudwatch_log_metric_filter.publisher]
}
