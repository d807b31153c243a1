locals {
  public_url = "https://${var.domain == null ? aws_cloudfront_distribution.this.domain_name : var.domain.name}"

  # Paths of the authorization server (functions/oauth/handler.go, routes); all else is the gateway's.
  oauth_paths = [
    "/mcp-connect/*/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server*", "/.well-known/openid-configuration*",
    "/authorize*", "/callback", "/consent", "/jwks", "/token", "/revoke", "/introspect", "/register*", "/keys*", "/accounts*",
    "/connect/*",
  ]

  # Functions that CloudFront reaches, and which paths of it.
  faced = toset(concat(["gateway", "oauth"], var.audit == null ? [] : ["audit"], var.sessions ? ["sessions"] : []))
  paths = concat([for p in local.oauth_paths : { path = p, function = "oauth" }], var.audit == null ? [] : [for p in ["/audit", "/lists"] : { path = p, function = "audit" }], var.sessions ? [{ path = "/sessions/*", function = "sessions" }] : [])

  origins = {
    for f in local.faced : f => var.front == "url" ? {
      host = trimsuffix(trimprefix(aws_lambda_function_url.this[f].function_url, "https://"), "/")
      path = ""
      } : {
      host = "${aws_api_gateway_rest_api.this[f].id}.execute-api.${local.region}.amazonaws.com"
      path = "/${local.stage}"
    }
  }

  # Regions without function URLs (Lambda developer guide, "Creating and managing Lambda function URLs").
  no_function_urls = ["ap-south-2", "ap-southeast-4", "ap-southeast-5", "ca-west-1", "eu-central-2", "eu-south-2", "il-central-1", "me-central-1"]

  # CloudFront's own policies have the same ids in every account (CloudFront developer guide, "Use managed cache policies",
  # "Use managed origin request policies"): CachingDisabled, and AllViewerExceptHostHeader, which sends Authorization along.
  caching_disabled    = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  all_but_host_header = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
}

resource "aws_lambda_function_url" "this" {
  for_each           = var.front == "url" ? local.faced : []
  function_name      = aws_lambda_function.this[each.key].function_name
  authorization_type = "NONE" # the secret of the origin is in its place: clients would have to sign what they send
  invoke_mode        = "RESPONSE_STREAM"

  lifecycle {
    precondition {
      condition     = !contains(local.no_function_urls, local.region)
      error_message = "Lambda has no function URLs in ${local.region}: choose front = \"rest\", or another region."
    }
  }
}

# Since October 2025 it takes both.
resource "aws_lambda_permission" "url" {
  for_each               = var.front == "url" ? local.faced : []
  statement_id           = "CloudFrontAsksItsURL"
  function_name          = aws_lambda_function.this[each.key].function_name
  action                 = "lambda:InvokeFunctionUrl"
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "through_url" {
  for_each                 = var.front == "url" ? local.faced : []
  statement_id             = "ThroughItsURLOnly"
  function_name            = aws_lambda_function.this[each.key].function_name
  action                   = "lambda:InvokeFunction"
  principal                = "*"
  invoked_via_function_url = true
}

resource "aws_cloudfront_function" "viewer" {
  name    = "${var.name}-viewer"
  runtime = "cloudfront-js-2.0"
  comment = "Tells the functions which host was asked"
  code    = file("${path.module}/edge/viewer.js")
  publish = true
}

resource "aws_lambda_function" "edge" {
  region           = "us-east-1" # of all Lambda@Edge
  function_name    = "${var.name}-edge"
  role             = aws_iam_role.edge.arn
  filename         = "${local.packages}/edge.zip"
  source_code_hash = try(filebase64sha256("${local.packages}/edge.zip"), null)
  runtime          = "nodejs22.x"
  handler          = "index.handler"
  architectures    = ["x86_64"] # the only one at the edge
  memory_size      = 128
  timeout          = 5
  publish          = true
  tags             = local.tags
  depends_on       = [aws_iam_role_policy.edge]

  lifecycle {
    precondition {
      condition     = fileexists("${local.packages}/edge.zip")
      error_message = "${local.packages}/edge.zip is missing: make package makes it."
    }
    precondition {
      condition     = local.partition == "aws"
      error_message = "There is no Lambda@Edge in ${local.region}: this module is for the commercial regions of AWS."
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  comment         = var.name
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = "PriceClass_All"
  aliases         = var.domain == null ? [] : concat([var.domain.name], var.domain.wildcard ? ["*.${var.domain.name}"] : [])
  web_acl_id      = one(aws_wafv2_web_acl.this[*].arn)
  tags            = local.tags

  dynamic "origin" {
    for_each = local.origins
    content {
      origin_id   = origin.key
      domain_name = origin.value.host
      origin_path = origin.value.path
      custom_header {
        name  = "X-Origin-Secret"
        value = terraform_data.origin_secret[var.origin_secret].output
      }
      custom_origin_config {
        http_port                = 80
        https_port               = 443
        origin_protocol_policy   = "https-only"
        origin_ssl_protocols     = ["TLSv1.2"]
        origin_read_timeout      = 60 # the longest gap in a stream: our own comment lines are more frequent
        origin_keepalive_timeout = 60
      }
    }
  }

  default_cache_behavior {
    target_origin_id         = "gateway"
    viewer_protocol_policy   = "https-only"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    compress                 = false # it would hold a stream back
    cache_policy_id          = local.caching_disabled
    origin_request_policy_id = local.all_but_host_header
    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.viewer.arn
    }
    lambda_function_association {
      event_type = "origin-response"
      lambda_arn = aws_lambda_function.edge.qualified_arn
    }
  }

  dynamic "ordered_cache_behavior" {
    for_each = local.paths
    content {
      path_pattern             = ordered_cache_behavior.value.path
      target_origin_id         = ordered_cache_behavior.value.function
      viewer_protocol_policy   = "https-only"
      allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
      cached_methods           = ["GET", "HEAD"]
      compress                 = false
      cache_policy_id          = local.caching_disabled
      origin_request_policy_id = local.all_but_host_header
      function_association {
        event_type   = "viewer-request"
        function_arn = aws_cloudfront_function.viewer.arn
      }
      lambda_function_association {
        event_type = "origin-response"
        lambda_arn = aws_lambda_function.edge.qualified_arn
      }
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.domain == null ? true : null
    acm_certificate_arn            = var.domain == null ? null : var.domain.certificate_arn
    ssl_support_method             = var.domain == null ? null : "sni-only"
    minimum_protocol_version       = var.domain == null ? "TLSv1" : "TLSv1.2_2021" # CloudFront's own names take no other
  }
}

resource "aws_route53_record" "this" {
  for_each = {
    for r in flatten([for name in try(concat([var.domain.name], var.domain.wildcard ? ["*.${var.domain.name}"] : []), []) : [for type in ["A", "AAAA"] : { name = name, type = type }]]) :
    "${r.name} ${r.type}" => r if try(var.domain.zone_id, null) != null
  }
  zone_id = var.domain.zone_id
  name    = each.value.name
  type    = each.value.type
  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}

resource "aws_wafv2_web_acl" "this" {
  count  = var.waf == null ? 0 : 1
  region = "us-east-1" # of all that CloudFront has
  name   = var.name
  scope  = "CLOUDFRONT"
  tags   = local.tags
  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 0
    action {
      block {}
    }
    statement {
      rate_based_statement {
        limit              = var.waf.requests_per_5_minutes
        aggregate_key_type = "IP"
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate"
      sampled_requests_enabled   = false # they would hold tokens
    }
  }

  dynamic "rule" {
    for_each = var.waf.managed_rules ? [1] : []
    content {
      name     = "known-bad-inputs"
      priority = 1
      override_action {
        none {}
      }
      statement {
        managed_rule_group_statement {
          name        = "AWSManagedRulesKnownBadInputsRuleSet"
          vendor_name = "AWS"
        }
      }
      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-known-bad-inputs"
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}
