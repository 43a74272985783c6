# What the publisher, or whoever tells SDKs, raises an alarm for, as it stands in its log (`{"fields": {"alarm": "held", …}}`): a
# metric and an alarm for each kind. It is raised when it is seen first, and by every process that starts; whether one of the
# publisher's still stands says the manifest's state in the API.
locals {
  publisher_alarms = {
    held     = "A flag cannot be published as it is and goes on in its last good form. `flagforge manifest state` names it, and why."
    withheld = "So much is gone at once that it goes on being published. `flagforge manifest state` says what; accept it or bring it back."
    restored = "An earlier root is to be published and cannot be read. The last manifest stays; release it, or restore another."
    drift    = "A manifest that was made by following the logs was not the one that the items make. It was made anew."
  }
  connect_alarms = {
    untold = "More SDKs listen to an environment by WebSocket than can be told in time; the rest polls. The log names it; a relay is made for as many."
  }
  raised_alarms = merge(
    { for kind, text in local.publisher_alarms : kind => { text = text, log_group = module.snapshot.log_group } },
    [for connect in module.connect :
      { for kind, text in local.connect_alarms : kind => { text = text, log_group = connect.log_group } }
    ]...
  )
}

moved {
  from = aws_cloudwatch_log_metric_filter.publisher
  to   = aws_cloudwatch_log_metric_filter.raised
}

moved {
  from = aws_cloudwatch_metric_alarm.publisher
  to   = aws_cloudwatch_metric_alarm.raised
}

resource "aws_cloudwatch_log_metric_filter" "raised" {
  for_each = var.alarms ? local.raised_alarms : {}

  name           = "${var.name}-${each.key}"
  log_group_name = each.value.log_group
  pattern        = "{ $.fields.alarm = \"${each.key}\" }"

  metric_transformation {
    namespace     = "FlagForge/${var.name}"
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "raised" {
  for_each = var.alarms ? local.raised_alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
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

  depends_on = [aws_cloudwatch_log_metric_filter.raised]
}

# Listeners were not told, and nothing else would say so: they poll, and are late.
resource "aws_cloudwatch_metric_alarm" "connect" {
  count = var.alarms && var.websocket ? 1 : 0

  alarm_name          = "${var.name}-connect"
  alarm_description   = "functions/connect failed: SDKs that listen by WebSocket were not told of a root, and poll."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = module.connect[0].name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topics
}
