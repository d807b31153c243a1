data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region
  tags      = merge(var.tags, { mcpgateway = var.name })
  packages  = coalesce(var.packages, "${path.module}/../bin")

  # Every function's numbers. The gateway's timeout is the longest that Lambda has: it bounds a stream.
  functions = {
    for name, default in merge({
      gateway  = { memory = 512, timeout = 900 }
      deployer = { memory = 512, timeout = 300 }
      oauth    = { memory = 512, timeout = 30 }
      }, var.audit == null ? {} : {
      audit = { memory = 512, timeout = 30 }
      }, !var.sessions ? {} : {
      sessions = { memory = 512, timeout = 30 }
      }, local.dual_stack ? {
      keys = { memory = 256, timeout = 30 }
      } : {}) : name => {
      memory      = try(coalesce(var.function[name].memory), default.memory)
      timeout     = try(coalesce(var.function[name].timeout), default.timeout)
      concurrency = try(coalesce(var.function[name].concurrency), -1)
      name        = "${var.name}-${name}"
      arn         = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}-${name}"
    }
  }

  # Those that reach the cluster's own network.
  inside = toset(["gateway", "deployer"])
}

# The catalog is checked when this is planned, by the same program that an operator has.
data "external" "catalog" {
  program = ["sh", "-c", "\"$1\" validate --platform \"$2\" \"$3\" >&2 && echo '{}'", "sh",
  coalesce(var.checker, "${path.module}/../bin/mcpgateway"), "${path.module}/platform.check.yaml", abspath(var.catalog)]

  lifecycle {
    precondition {
      condition     = fileexists(coalesce(var.checker, "${path.module}/../bin/mcpgateway"))
      error_message = "The program that checks catalogs is missing: make build makes it, and checker names another place."
    }
  }
}

resource "aws_lambda_function" "this" {
  for_each         = local.functions
  function_name    = each.value.name
  role             = aws_iam_role.function[each.key].arn
  filename         = "${local.packages}/${each.key}-arm64.zip"
  source_code_hash = try(filebase64sha256("${local.packages}/${each.key}-arm64.zip"), null)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = ["arm64"]
  memory_size      = each.value.memory
  timeout          = each.value.timeout
  kms_key_arn      = aws_kms_key.this.arn
  tags             = local.tags

  reserved_concurrent_executions = each.value.concurrency

  environment {
    variables = merge(
      { PLATFORM = "s3://${aws_s3_bucket.this["documents"].bucket}/${local.documents}/platform.yaml" },
      contains(["deployer", "keys"], each.key) ? {} : { ORIGIN_SECRETS = join(",", [for s in ["a", "b"] : terraform_data.origin_secret[s].output]) },
      # The endpoint that has IPv6 addresses too: the other is out of reach without a NAT gateway.
      each.key == "gateway" && local.dual_stack ? { AWS_ENDPOINT_URL_LAMBDA = "https://lambda.${local.region}.api.aws" } : {},
      each.key == "deployer" && local.dual_stack && local.in_manager ? { AWS_ENDPOINT_URL_SECRETS_MANAGER = "https://secretsmanager.${local.region}.api.aws" } : {},
    )
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }

  dynamic "vpc_config" {
    for_each = contains(local.inside, each.key) ? [1] : []
    content {
      subnet_ids                  = local.function_subnets
      security_group_ids          = [aws_security_group.functions.id]
      ipv6_allowed_for_dual_stack = local.dual_stack
    }
  }

  # What it logs before its role may, or its network is there, would be lost or fail.
  depends_on = [aws_iam_role_policy.function, aws_iam_role_policy.network]

  lifecycle {
    precondition {
      condition     = fileexists("${local.packages}/${each.key}-arm64.zip")
      error_message = "${local.packages}/${each.key}-arm64.zip is missing: make package makes it."
    }
  }
}

# Who has a secret may call the functions past CloudFront: two, so that one can be replaced. They are in the state.
data "aws_secretsmanager_random_password" "origin" {
  for_each            = toset(["a", "b"])
  password_length     = 48
  exclude_punctuation = true
}

resource "terraform_data" "origin_secret" {
  for_each = data.aws_secretsmanager_random_password.origin
  input    = each.value.random_password
  lifecycle {
    ignore_changes = [input] # each plan has another
  }
}

# The deployer is never asked to retry by AWS: the next schedule does more than a repeated event could.
resource "aws_lambda_function_event_invoke_config" "deployer" {
  function_name                = aws_lambda_function.this["deployer"].function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 300
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
  tags = local.tags
}

# Outside of the VPC an issuer is reached that has IPv4 addresses only. Twice as often as keys are taken for new.
resource "aws_scheduler_schedule" "keys" {
  count               = local.dual_stack ? 1 : 0
  name                = "${var.name}-keys"
  group_name          = aws_scheduler_schedule_group.this.name
  description         = "Brings the identity provider's keys to where gateway and deployer read them"
  schedule_expression = "rate(5 minutes)"
  kms_key_arn         = aws_kms_key.this.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["keys"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ "detail-type" = "Scheduled Event" })
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }

  depends_on = [aws_s3_object.document]
}

resource "aws_scheduler_schedule" "reconcile" {
  name                = "${var.name}-reconcile"
  group_name          = aws_scheduler_schedule_group.this.name
  description         = "Compares what runs with the catalog, and carries issuers' keys along"
  schedule_expression = var.reconcile_every == 1 ? "rate(1 minute)" : "rate(${var.reconcile_every} minutes)"
  kms_key_arn         = aws_kms_key.this.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["deployer"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ "detail-type" = "Scheduled Event" })
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }

  depends_on = [aws_s3_object.document, aws_s3_object.key]
}
