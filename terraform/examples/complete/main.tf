# Everything that can be chosen, with values of a gateway in production in a network that is there.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.29"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "identity_secret" {
  type        = string
  sensitive   = true
  description = "The client's secret at the provider: TF_VAR_identity_secret"
}

module "gateway" {
  source = "../.."
  name   = "mcp-prod"
  tags   = { team = "platform" }

  catalog      = "${path.module}/catalog.yaml"
  catalog_lock = null # catalog.lock, once mcpgateway bake wrote it
  images = {
    shim   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mcp/shim:v1"
    node   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mcp/node:v1"
    python = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mcp/python:v1"
  }

  identity = {
    url          = "https://login.example.com"
    client_id    = "mcpgateway"
    groups_claim = "groups"
    scopes       = ["openid", "profile", "groups", "offline_access"]
    prompt       = "consent"
  }
  identity_secret = var.identity_secret

  front = "rest"
  domain = {
    name            = "mcp.example.com"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
    zone_id         = "Z0123456789ABCDEFGHIJ"
    wildcard        = true
  }
  waf           = { requests_per_5_minutes = 3000, managed_rules = true }
  origin_secret = "a"

  cluster = "existing"
  existing_cluster = {
    name            = "apps"
    vpc_id          = "vpc-0123456789abcdef0"
    subnet_ids      = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    route_table_ids = ["rtb-0123456789abcdef0"]
    dual_stack      = false
  }

  function = {
    gateway = { memory = 1024, timeout = 900, concurrency = 500 }
    oauth   = { concurrency = 50 }
  }
  secrets         = "secrets-manager"
  sessions        = true
  audit           = { auditors = ["security"], keep_days = 400 }
  reconcile_every = 5
  log_days        = 90
  alarm_emails    = ["ops@example.com"]
  budget          = 400
  removable       = false
}

output "url" {
  description = "Under which clients reach the gateway"
  value       = module.gateway.url
}

output "knative" {
  description = "For terraform/knative"
  value       = module.gateway.knative
}

output "next" {
  description = "What comes next"
  value       = module.gateway.next
}
