# The least that a gateway needs: a catalog, an identity provider and the shim's image. Everything else is made: a cluster with
# its network among it.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.29"
    }
  }
}

provider "aws" {} # AWS_REGION says where

variable "identity_url" {
  type        = string
  description = "Issuer of the OpenID provider"
}

variable "client_id" {
  type        = string
  description = "What the provider knows the gateway by"
}

variable "shim" {
  type        = string
  description = "The shim's image, with its tag or digest"
}

module "gateway" {
  source   = "../.."
  catalog  = "${path.module}/catalog.yaml"
  identity = { url = var.identity_url, client_id = var.client_id }
  images   = { shim = var.shim }
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
