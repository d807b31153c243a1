# The values that operators choose, such as servers' tokens, are in Secrets Manager. The deployer learns which version is
# current; the operator that terraform/knative installs alone reads it.

locals {
  secrets_prefix = "${var.name}/" # then <id>/server, <id>/shim
  secrets_arn    = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${local.secrets_prefix}*"
  in_manager     = var.secrets == "secrets-manager"
}

# A new value is seen at once where a trail of CloudTrail records it, and else by the schedule.
resource "aws_cloudwatch_event_rule" "rotated" {
  count       = local.in_manager ? 1 : 0
  name        = "${var.name}-rotated"
  description = "A secret of an entry has another value"
  tags        = local.tags
  event_pattern = jsonencode({
    source      = ["aws.secretsmanager"]
    detail-type = ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"]
    detail = {
      eventName = ["CreateSecret", "PutSecretValue", "RestoreSecret", "RotationSucceeded", "UpdateSecret", "UpdateSecretVersionStage"]
      # Calls have what the caller wrote, a name or an ARN; what Secrets Manager does itself has the ARN.
      "$or" = [
        { requestParameters = { name = [{ prefix = local.secrets_prefix }] } },
        { requestParameters = { secretId = [{ prefix = local.secrets_prefix }, { prefix = trimsuffix(local.secrets_arn, "*") }] } },
        { additionalEventData = { SecretId = [{ prefix = trimsuffix(local.secrets_arn, "*") }] } },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "rotated" {
  count = local.in_manager ? 1 : 0
  rule  = aws_cloudwatch_event_rule.rotated[0].name
  arn   = aws_lambda_function.this["deployer"].arn
  input = aws_scheduler_schedule.reconcile.target[0].input # what happened it finds out itself
  retry_policy {
    maximum_retry_attempts       = 0
    maximum_event_age_in_seconds = 60
  }
}

resource "aws_lambda_permission" "rotated" {
  count         = local.in_manager ? 1 : 0
  statement_id  = "rotated"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["deployer"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.rotated[0].arn
}
