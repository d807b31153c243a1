# What clients asked of sessions, for servers that sleep: records that shims seal (functions/sessions), found by a hash, gone with the
# session's id after 30 days.

resource "aws_dynamodb_table" "sessions" {
  count                       = var.sessions ? 1 : 0
  name                        = "${var.name}-sessions"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "part"
  range_key                   = "sort"
  deletion_protection_enabled = !var.removable
  tags                        = local.tags

  attribute {
    name = "part"
    type = "S"
  }
  attribute {
    name = "sort"
    type = "S"
  }
  ttl {
    attribute_name = "expires"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this.arn
  }
}

locals {
  platform_sessions = var.sessions ? { sessions = {
    url   = "${local.public_url}/sessions"
    key   = "sessions/token.key"
    table = one(aws_dynamodb_table.sessions[*].name)
  } } : {}
}
