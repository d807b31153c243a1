output "url" {
  description = "Under which clients reach the gateway: <url>/mcp-connect/<id>"
  value       = local.public_url
}

output "redirect_uri" {
  description = "To be registered at the identity provider for identity.client_id"
  value       = "${local.public_url}/callback"
}

output "bucket" {
  description = "Where the documents are: s3://<bucket>/documents/"
  value       = aws_s3_bucket.this["documents"].bucket
}

output "table" {
  description = "The authorization server's table, for mcpgateway revoke"
  value       = aws_dynamodb_table.oauth.name
}

output "functions" {
  description = "Names of the functions"
  value       = { for k, f in local.functions : k => f.name }
}

output "roles" {
  description = "The functions' roles, for whoever keeps a list of them"
  value       = { for k, r in aws_iam_role.function : k => r.arn }
}

output "knative" {
  description = "What terraform/knative needs, as its variable gateway"
  value = {
    name            = var.name
    region          = local.region
    cluster         = local.cluster.name
    cluster_ca      = local.cluster.ca
    endpoint        = local.cluster.endpoint
    zone_id         = one(aws_route53_zone.internal[*].zone_id)
    ingress         = trimprefix(local.ingress.url, "https://")
    domain          = local.ingress.domain
    bucket          = aws_s3_bucket.this["documents"].bucket
    documents       = local.documents
    kms_key         = aws_kms_key.this.arn
    private_subnets = local.function_subnets
    secrets         = local.in_manager ? { account = local.account, prefix = local.secrets_prefix, arn = local.secrets_arn } : null
  }
}

output "next" {
  description = "What comes next"
  value = join("\n", concat(
    ["1. At the identity provider, register ${local.public_url}/callback as a redirect URI of ${var.identity.client_id}."],
    var.ingress == null ? [
      "2. Put Knative into the cluster: terraform output -json knative | jq '{gateway: .}' >knative/terraform.tfvars.json, then terraform -chdir=knative init and apply, from where the API server is reached.",
    ] : ["2. Nothing: the ingress is there."],
    var.domain == null || try(var.domain.zone_id, null) != null ? [] : ["3. Have ${var.domain.name} be a CNAME of ${aws_cloudfront_distribution.this.domain_name}."],
    local.in_manager ? ["Where entries name secrets: aws secretsmanager create-secret --name ${local.secrets_prefix}<id>/server --secret-string '{\"<key>\":\"…\"}', and <id>/shim for what its shim is given."] : [],
    ["Then: claude mcp add --transport http <id> ${local.public_url}/mcp-connect/<id>"],
  ))
}
