terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.29"
    }
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.1"
    }
    tls = {
      source  = "hashicorp/tls"
      version = "~> 4.1"
    }
  }
}

provider "aws" {
  region = var.gateway.region
}

# Signs in as whoever runs this, by the AWS command line: no token is kept.
provider "helm" {
  kubernetes = {
    host                   = var.gateway.endpoint
    cluster_ca_certificate = base64decode(var.gateway.cluster_ca)
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "aws"
      args        = ["eks", "get-token", "--cluster-name", var.gateway.cluster, "--region", var.gateway.region]
    }
  }
}
