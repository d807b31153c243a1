terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.29" # of 6.29 is invoked_via_function_url, without which a new function URL answers 403
    }
    external = {
      source  = "hashicorp/external"
      version = "~> 2.3"
    }
  }
}
