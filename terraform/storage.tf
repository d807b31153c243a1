locals {
  documents = "documents"

  buckets = merge(
    { documents = { old_versions = 90, keep = null } },
    var.audit == null ? {} : { audit = { old_versions = 1, keep = var.audit.keep_days } },
  )

  # Keys of the documents in the bucket, below documents/: which role reads which is in iam.tf.
  provider_secret = nonsensitive(var.identity_secret != null) ? { "oauth/provider" = var.identity_secret } : {}
}

resource "aws_kms_key" "this" {
  description             = "Everything that ${var.name} keeps"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = jsonencode(local.key_policy)
  tags                    = local.tags
}

# Wraps the keys of people's accounts at servers (oauth.kmsKey): another key, so that reading what else is kept opens none.
resource "aws_kms_key" "accounts" {
  description             = "Keys of people's accounts at servers of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = jsonencode({ Version = "2012-10-17", Statement = [local.key_policy.Statement[0]] })
  tags                    = local.tags
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# Sign-ins, grants and keys of the authorization server (functions/oauth/README.md).
resource "aws_dynamodb_table" "oauth" {
  name                        = "${var.name}-oauth"
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

# The operator's documents and keys, of which each function reads its own objects only; and records.
resource "aws_s3_bucket" "this" {
  for_each      = local.buckets
  bucket        = "${var.name}-${each.key}-${local.account}-${local.region}"
  force_destroy = var.removable
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.bucket
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.bucket
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.bucket
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].bucket
  rule {
    id     = "old"
    status = "Enabled"
    filter {}
    dynamic "expiration" {
      for_each = each.value.keep[*]
      content {
        days = expiration.value
      }
    }
    noncurrent_version_expiration {
      noncurrent_days = each.value.old_versions
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

# Nothing reads or writes it in the clear.
resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTLS"
      Effect    = "Deny"
      Action    = "s3:*"
      Resource  = [each.value.arn, "${each.value.arn}/*"]
      Principal = "*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# Keys that the programs need and nobody has to know: of names of users' instances, of the signature of rules, of what the
# authorization server seals, and of the tokens by which shims bring records, and keep what clients asked of sessions. Whoever reads the state has them (README.md, "The state").
data "aws_secretsmanager_random_password" "key" {
  for_each            = toset(concat(["name.key", "state/rules.key", "oauth/seal.key"], var.audit == null ? [] : ["audit/token.key"], var.sessions ? ["sessions/token.key"] : []))
  password_length     = 32
  exclude_punctuation = true
}

resource "terraform_data" "key" {
  for_each = data.aws_secretsmanager_random_password.key
  input    = each.value.random_password
  lifecycle {
    ignore_changes = [input] # each plan has another
  }
}

resource "aws_s3_object" "key" {
  for_each   = terraform_data.key
  bucket     = aws_s3_bucket.this["documents"].bucket
  key        = "${local.documents}/${each.key}"
  content    = each.value.output
  kms_key_id = aws_kms_key.this.arn
  depends_on = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

locals {
  platform = {
    apiVersion = "v1"
    publicURL  = local.public_url
    issuers = [
      merge({ url = var.identity.url, audiences = ["{resource}"], groupsClaim = var.identity.groups_claim, default = true }, { for k in local.brought : "keys" => k }),
      { name = "oauth", url = local.public_url, audiences = ["{resource}"], brokers = [var.identity.url] },
    ]
    oauth = {
      url    = local.public_url
      table  = aws_dynamodb_table.oauth.name
      key    = "oauth/seal.key"
      kmsKey = aws_kms_key.accounts.arn
      provider = merge(
        { url = var.identity.url, clientID = var.identity.client_id, scopes = var.identity.scopes },
        var.identity.prompt == null ? {} : { prompt = var.identity.prompt },
        { for k in keys(local.provider_secret) : "secret" => k },
      )
    }
    deployer = {
      state    = "state"
      function = local.functions["deployer"].name
      knative = merge({
        nameKey = "name.key"
        images  = { for k, v in var.images : k => v if v != null }
        lock    = "catalog.lock"
        eks     = { cluster = local.cluster.name, region = local.region, endpoint = local.cluster.endpoint, ca = "cluster.pem" }
        ingress = { url = local.ingress.url, domain = local.ingress.domain, ca = "ingress.pem" }
      }, local.in_manager ? { secretsManager = { prefix = local.secrets_prefix } } : {})
    }
  }

  platform_audit = var.audit == null ? {} : { audit = {
    url = "${local.public_url}/audit"
    store = {
      auditors = var.audit.auditors
      key      = "audit/token.key"
      table    = one(aws_dynamodb_table.audit[*].name)
      bucket   = aws_s3_bucket.this["audit"].bucket
      keep     = "${var.audit.keep_days}d"
    }
  } }

  texts = merge(
    {
      "platform.yaml" = yamlencode(merge(local.platform, local.platform_audit, local.platform_sessions, try(var.domain.wildcard, false) ? { domain = var.domain.name } : {}))
      "catalog.yaml"  = file(var.catalog)
      "cluster.pem"   = base64decode(local.cluster.ca)
    },
    var.catalog_lock == null ? {} : { "catalog.lock" = file(var.catalog_lock) },
    var.ingress == null ? {} : { "ingress.pem" = var.ingress.ca }, # else terraform/knative puts it there
  )
}

resource "aws_s3_object" "document" {
  for_each     = toset(concat(["platform.yaml", "catalog.yaml", "cluster.pem"], var.catalog_lock == null ? [] : ["catalog.lock"], var.ingress == null ? [] : ["ingress.pem"]))
  bucket       = aws_s3_bucket.this["documents"].bucket
  key          = "${local.documents}/${each.key}"
  content      = local.texts[each.key]
  content_type = "text/plain; charset=utf-8"
  kms_key_id   = aws_kms_key.this.arn
  depends_on   = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, data.external.catalog]
}

resource "aws_s3_object" "provider_secret" {
  for_each   = toset(keys(local.provider_secret))
  bucket     = aws_s3_bucket.this["documents"].bucket
  key        = "${local.documents}/${each.key}"
  content    = local.provider_secret[each.key]
  kms_key_id = aws_kms_key.this.arn
  depends_on = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}
