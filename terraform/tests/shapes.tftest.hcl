# What is planned for each front, cluster and egress, with a schema stub in the provider's place (make test-terraform).

provider "aws" {
  region = "eu-central-1"
}

run "url_new_ipv6" {
  command = plan
  assert {
    condition     = length(aws_lambda_function_url.this) == 2 && alltrue([for u in aws_lambda_function_url.this : u.invoke_mode == "RESPONSE_STREAM"])
    error_message = "gateway and oauth have a function URL each, which streams"
  }
  assert {
    condition     = length(aws_lambda_permission.url) == 2 && length(aws_lambda_permission.through_url) == 2
    error_message = "a function URL needs both permissions"
  }
  assert {
    condition     = alltrue([for p in aws_lambda_permission.through_url : p.invoked_via_function_url])
    error_message = "lambda:InvokeFunction is for calls through the URL only"
  }
  assert {
    condition     = length(aws_api_gateway_rest_api.this) == 0
    error_message = "one front"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && alltrue([for s in aws_subnet.public : s.map_public_ip_on_launch])
    error_message = "no NAT gateway: nodes have addresses of their own"
  }
  assert {
    condition     = alltrue([for f in ["gateway", "deployer"] : aws_lambda_function.this[f].vpc_config[0].ipv6_allowed_for_dual_stack])
    error_message = "functions reach the internet by IPv6"
  }
  assert {
    condition     = length(aws_lambda_function.this["oauth"].vpc_config) == 0
    error_message = "the authorization server needs no network of ours"
  }
  assert {
    condition     = aws_lambda_function.this["gateway"].environment[0].variables["AWS_ENDPOINT_URL_LAMBDA"] == "https://lambda.eu-central-1.api.aws"
    error_message = "Lambda's API is asked where it has IPv6 addresses"
  }
  assert {
    condition     = aws_lambda_function.this["deployer"].environment[0].variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == "https://secretsmanager.eu-central-1.api.aws"
    error_message = "so is Secrets Manager"
  }
  assert {
    condition     = length(aws_lambda_function.this["keys"].vpc_config) == 0 && length(aws_scheduler_schedule.keys) == 1
    error_message = "the provider's keys are brought from outside of the VPC"
  }
  assert {
    condition     = alltrue([for f in aws_lambda_function.this : f.architectures == tolist(["arm64"])])
    error_message = "arm64 is cheaper"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.cluster.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.cluster.cidr_ipv6 == null
    error_message = "the API server is reached by the functions' own group only"
  }
  assert {
    condition     = toset([for e in aws_eks_access_entry.function : one(e.kubernetes_groups)]) == toset(["mcpgateway-gateway", "mcpgateway-deployer"])
    error_message = "the two roles are groups of the cluster"
  }
  assert {
    condition     = !aws_eks_cluster.this[0].vpc_config[0].endpoint_public_access
    error_message = "the API server is not on the internet unless somebody says from where"
  }
}

run "url_new_nat" {
  command = plan
  variables {
    egress = "nat"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 1 && alltrue([for s in aws_subnet.public : !s.map_public_ip_on_launch])
    error_message = "everything is behind the NAT gateway"
  }
  assert {
    condition     = !aws_lambda_function.this["gateway"].vpc_config[0].ipv6_allowed_for_dual_stack && !contains(keys(aws_lambda_function.this["gateway"].environment[0].variables), "AWS_ENDPOINT_URL_LAMBDA")
    error_message = "IPv4 is enough there"
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.this), "keys") && length(aws_scheduler_schedule.keys) == 0
    error_message = "gateway and deployer ask the provider themselves"
  }
}

run "url_existing" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
  }
  assert {
    condition     = length(aws_vpc.this) + length(aws_eks_cluster.this) + length(aws_nat_gateway.this) + length(aws_iam_role.cluster) + length(aws_vpc_endpoint.s3) == 0
    error_message = "no network and no cluster is made"
  }
  assert {
    condition     = toset(aws_lambda_function.this["gateway"].vpc_config[0].subnet_ids) == toset(["subnet-0123456789abcdef0"])
    error_message = "the functions are in the subnets that were named"
  }
}

run "rest_new_ipv6" {
  command = plan
  variables {
    front = "rest"
  }
  assert {
    condition     = length(aws_lambda_function_url.this) + length(aws_lambda_permission.url) + length(aws_lambda_permission.through_url) == 0
    error_message = "one front"
  }
  assert {
    condition     = length(aws_api_gateway_rest_api.this) == 2 && alltrue([for i in aws_api_gateway_integration.all : i.response_transfer_mode == "STREAM" && i.type == "AWS_PROXY"])
    error_message = "gateway and oauth have a REST API each, which streams"
  }
  assert {
    condition     = alltrue([for i in aws_api_gateway_integration.all : endswith(i.uri, "/response-streaming-invocations")])
    error_message = "the stream's own way into a function"
  }
  assert {
    condition     = aws_api_gateway_integration.all["gateway"].timeout_milliseconds == 900000
    error_message = "as long as the function's own time"
  }
  assert {
    condition     = alltrue([for o in aws_cloudfront_distribution.this.origin : o.origin_path == "/mcp"])
    error_message = "CloudFront asks the stage"
  }
}

run "rest_new_nat" {
  command = plan
  variables {
    front  = "rest"
    egress = "nat"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_api_gateway_rest_api.this) == 2
    error_message = "the two do not depend on each other"
  }
}

run "rest_existing" {
  command = plan
  variables {
    front            = "rest"
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"], dual_stack = true, route_table_ids = ["rtb-0123456789abcdef0"] }
  }
  assert {
    condition     = aws_lambda_function.this["deployer"].vpc_config[0].ipv6_allowed_for_dual_stack && length(aws_vpc_endpoint.s3) == 1
    error_message = "a VPC that has IPv6 is used so, and its tables get the way to S3"
  }
}

run "one_origin" {
  command = plan
  variables {
    domain = { name = "mcp.example.com", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef", zone_id = "Z0123456789ABCDEFGHIJ", wildcard = true }
    waf    = {}
  }
  assert {
    condition     = output.url == "https://mcp.example.com" && output.redirect_uri == "https://mcp.example.com/callback"
    error_message = "the domain is the gateway's public URL and the issuer's"
  }
  assert {
    condition     = toset([for b in aws_cloudfront_distribution.this.ordered_cache_behavior : b.target_origin_id]) == toset(["oauth"]) && aws_cloudfront_distribution.this.default_cache_behavior[0].target_origin_id == "gateway"
    error_message = "named paths are the authorization server's, all else the gateway's"
  }
  assert {
    condition     = alltrue([for b in concat(aws_cloudfront_distribution.this.ordered_cache_behavior, aws_cloudfront_distribution.this.default_cache_behavior) : !b.compress && b.cache_policy_id == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" && b.origin_request_policy_id == "b689b0a8-53d0-40ab-baf2-68738e2966ac"])
    error_message = "nothing is cached or compressed, and Authorization is forwarded"
  }
  assert {
    condition     = alltrue([for b in concat(aws_cloudfront_distribution.this.ordered_cache_behavior, aws_cloudfront_distribution.this.default_cache_behavior) : one(b.lambda_function_association).event_type == "origin-response" && one(b.function_association).event_type == "viewer-request"])
    error_message = "each path restores WWW-Authenticate and tells the host"
  }
  assert {
    condition     = length(aws_route53_record.this) == 4 && toset(aws_cloudfront_distribution.this.aliases) == toset(["mcp.example.com", "*.mcp.example.com"])
    error_message = "both names, by IPv4 and IPv6"
  }
  assert {
    condition     = aws_wafv2_web_acl.this[0].scope == "CLOUDFRONT" && aws_wafv2_web_acl.this[0].region == "us-east-1" && aws_lambda_function.edge.region == "us-east-1"
    error_message = "CloudFront's own things are in us-east-1"
  }
}

run "sessions" {
  command = plan
  variables {
    sessions = true
  }
  assert {
    condition     = [for b in aws_cloudfront_distribution.this.ordered_cache_behavior : b.path_pattern if b.target_origin_id == "sessions"] == ["/sessions/*"]
    error_message = "shims reach it by the public URL"
  }
  assert {
    condition     = one(aws_dynamodb_table.sessions[0].ttl).attribute_name == "expires" && one(aws_dynamodb_table.sessions[0].point_in_time_recovery).enabled && one(aws_dynamodb_table.sessions[0].server_side_encryption).enabled && aws_dynamodb_table.sessions[0].deletion_protection_enabled
    error_message = "what expired goes, and nothing else does"
  }
  assert {
    condition     = length(aws_lambda_function.this["sessions"].vpc_config) == 0
    error_message = "it needs no network of ours"
  }
}

run "records" {
  command = plan
  variables {
    audit = { auditors = ["security"], keep_days = 90 }
  }
  assert {
    condition     = [for b in aws_cloudfront_distribution.this.ordered_cache_behavior : b.path_pattern if b.target_origin_id == "audit"] == ["/audit", "/lists"]
    error_message = "one path is the records'"
  }
  assert {
    condition     = toset([for i in aws_dynamodb_table.audit[0].global_secondary_index : "${i.hash_key} ${i.range_key}"]) == toset(["user at", "tool at", "server at", "outcome at", "day at"])
    error_message = "found by user, tool, server, outcome and time"
  }
  assert {
    condition     = one(one(aws_s3_bucket_lifecycle_configuration.this["audit"].rule).expiration).days == 90 && length(one(aws_s3_bucket_lifecycle_configuration.this["documents"].rule).expiration) == 0
    error_message = "records end, documents do not"
  }
  assert {
    condition     = length(aws_lambda_function.this["audit"].vpc_config) == 0 && length(aws_lambda_permission.url) == 3
    error_message = "it is asked as the others are, and needs no network of ours"
  }
}
