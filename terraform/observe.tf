resource "aws_cloudwatch_log_group" "function" {
  for_each          = local.functions
  name              = "/aws/lambda/${each.value.name}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this.arn
  tags              = local.tags
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this.arn
  tags              = local.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each  = toset(var.alarm_emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  # What is worth being told: each function's errors and throttles, and its slowest calls near its end. A gateway's long calls
  # are streams, and say nothing.
  alarms = merge([for name, f in local.functions : merge(
    {
      "${name}-errors"    = { function = f.name, metric = "Errors", statistic = "Sum", above = 0, means = "${f.name} failed: see its log group" }
      "${name}-throttles" = { function = f.name, metric = "Throttles", statistic = "Sum", above = 0, means = "Calls of ${f.name} were turned away: raise its concurrency or the account's" }
    },
    name == "gateway" ? {} : {
      "${name}-duration" = { function = f.name, metric = "Duration", statistic = "Maximum", above = f.timeout * 900, means = "${f.name} needed over 90 % of its time" }
    },
  )]...)

  # Lines of the functions' logs that count as something.
  counted = {
    failed-wakes = { group = "gateway", pattern = "{ ($.responseStatus = 503) || ($.responseStatus = 504) }", above = 5, means = "Servers did not start: the deployer's log says why" }
  }
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.means
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = each.value.function }
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.above
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_cloudwatch_log_metric_filter" "counted" {
  for_each       = local.counted
  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.function[each.value.group].name
  pattern        = each.value.pattern
  metric_transformation {
    namespace     = "mcpgateway/${var.name}"
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "counted" {
  for_each            = local.counted
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.means
  namespace           = "mcpgateway/${var.name}"
  metric_name         = each.key
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.above
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for i, w in [
      { title = "Calls", metric = "Invocations", stat = "Sum" },
      { title = "Open streams and calls", metric = "ConcurrentExecutions", stat = "Maximum" },
      { title = "Errors", metric = "Errors", stat = "Sum" },
      { title = "Throttles", metric = "Throttles", stat = "Sum" },
      { title = "Duration", metric = "Duration", stat = "p99" },
      ] : {
      type = "metric", x = (i % 2) * 12, y = floor(i / 2) * 6, width = 12, height = 6
      properties = {
        title   = w.title, region = local.region, stat = w.stat, period = 300
        metrics = [for f in local.functions : ["AWS/Lambda", w.metric, "FunctionName", f.name]]
      }
    }]
  })
}

resource "aws_budgets_budget" "this" {
  count        = var.budget == null ? 0 : 1
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:mcpgateway$%s", var.name)]
  }
  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }
    content {
      notification_type          = notification.key
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = var.alarm_emails
    }
  }
}
