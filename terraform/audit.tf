# Records of calls: objects of JSON lines by date and server, an index to find them by, and a table for Athena.

locals {
  # As functions/audit/store has them.
  audit_table   = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.name}-audit"
  audit_indexes = ["user", "tool", "server", "outcome", "day"]

  # Columns of a record (internal/audit/record.go), and their types for Hive.
  audit_columns = {
    id               = "string", createdat = "string", issuer = "string", subject = "string", client = "string", clientip = "string", clientname = "string",
    clientversion    = "string", useragent = "string", era = "string", calltype = "string", callidentifier = "string", outcome = "string",
    decision         = "string", policy = "string", exchange = "string", start = "string", error = "string", responsestatus = "int",
    processingtimems = "double", requestbytes = "bigint", responsebytes = "bigint", sessionid = "string", requestid = "string", traceid = "string",
    requestbody      = "string", responsebody = "string",
  }
}

resource "aws_dynamodb_table" "audit" {
  count                       = var.audit == null ? 0 : 1
  name                        = "${var.name}-audit"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "key"
  deletion_protection_enabled = !var.removable
  tags                        = local.tags

  dynamic "attribute" {
    for_each = concat(["key", "at"], local.audit_indexes)
    content {
      name = attribute.value
      type = "S"
    }
  }
  dynamic "global_secondary_index" {
    for_each = local.audit_indexes
    content {
      name            = "${global_secondary_index.value}-at"
      hash_key        = global_secondary_index.value
      range_key       = "at"
      projection_type = "ALL"
    }
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

resource "aws_glue_catalog_database" "audit" {
  count = var.audit == null ? 0 : 1
  name  = "${replace(var.name, "-", "_")}_audit"
}

# Athena finds partitions by their form: no crawler runs. A question must name servers and should name dates.
resource "aws_glue_catalog_table" "records" {
  count         = var.audit == null ? 0 : 1
  name          = "records"
  database_name = aws_glue_catalog_database.audit[0].name
  table_type    = "EXTERNAL_TABLE"
  parameters = {
    "projection.enabled"        = "true"
    "projection.date.type"      = "date"
    "projection.date.format"    = "yyyy-MM-dd"
    "projection.date.range"     = "2026-01-01,NOW"
    "projection.server.type"    = "injected"
    "storage.location.template" = "s3://${aws_s3_bucket.this["audit"].bucket}/records/date=$${date}/server=$${server}"
  }

  partition_keys {
    name = "date"
    type = "string"
  }
  partition_keys {
    name = "server"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.this["audit"].bucket}/records/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
      parameters            = { "ignore.malformed.json" = "true", "case.insensitive" = "true" }
    }
    dynamic "columns" {
      for_each = local.audit_columns
      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}
