# Variables that are wrong or contradict each other: each is refused, by the sentence of its own validation.

provider "aws" {
  region = "eu-central-1"
}

run "name_too_long" {
  command = plan
  variables {
    name = "a-name-that-is-much-too-long"
  }
  expect_failures = [var.name]
}

run "secrets_that_are_nowhere" {
  command = plan
  variables {
    secrets = "vault"
  }
  expect_failures = [var.secrets]
}

run "name_in_capitals" {
  command = plan
  variables {
    name = "MCP"
  }
  expect_failures = [var.name]
}

run "a_tag_of_ours" {
  command = plan
  variables {
    tags = { mcpgateway = "x" }
  }
  expect_failures = [var.tags]
}

run "catalog_that_is_not_there" {
  command = plan
  variables {
    catalog = "no-such-file.yaml"
  }
  expect_failures = [var.catalog]
}

run "lock_that_is_not_there" {
  command = plan
  variables {
    catalog_lock = "no-such.lock"
  }
  expect_failures = [var.catalog_lock]
}

run "packages_that_are_not_there" {
  command = plan
  variables {
    packages = "no-such-folder"
  }
  expect_failures = [var.packages]
}

run "checker_that_is_not_there" {
  command = plan
  variables {
    checker = "no-such-program"
  }
  expect_failures = [var.checker]
}

run "secret_that_is_none" {
  command = plan
  variables {
    identity_secret = "x"
  }
  expect_failures = [var.identity_secret]
}

run "identity_by_http" {
  command = plan
  variables {
    identity = { url = "http://login.example.com", client_id = "x" }
  }
  expect_failures = [var.identity]
}

run "identity_without_client" {
  command = plan
  variables {
    identity = { url = "https://login.example.com", client_id = "" }
  }
  expect_failures = [var.identity]
}

run "identity_without_openid" {
  command = plan
  variables {
    identity = { url = "https://login.example.com", client_id = "x", scopes = ["profile"] }
  }
  expect_failures = [var.identity]
}

run "image_without_tag" {
  command = plan
  variables {
    images = { shim = "registry.example.com/mcp/shim" }
  }
  expect_failures = [var.images]
}

run "front_of_another_kind" {
  command = plan
  variables {
    front = "alb"
  }
  expect_failures = [var.front]
}

run "certificate_elsewhere" {
  command = plan
  variables {
    domain = { name = "mcp.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef" }
  }
  expect_failures = [var.domain]
}

run "domain_that_is_a_url" {
  command = plan
  variables {
    domain = { name = "https://mcp.example.com", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef" }
  }
  expect_failures = [var.domain]
}

run "waf_below_its_least" {
  command = plan
  variables {
    waf = { requests_per_5_minutes = 5 }
  }
  expect_failures = [var.waf]
}

run "a_third_secret" {
  command = plan
  variables {
    origin_secret = "c"
  }
  expect_failures = [var.origin_secret]
}

run "function_of_another_name" {
  command = plan
  variables {
    function = { shim = {} }
  }
  expect_failures = [var.function]
}

run "too_much_memory" {
  command = plan
  variables {
    function = { gateway = { memory = 20480 } }
  }
  expect_failures = [var.function]
}

run "too_much_time" {
  command = plan
  variables {
    function = { gateway = { timeout = 901 } }
  }
  expect_failures = [var.function]
}

run "no_concurrency" {
  command = plan
  variables {
    function = { gateway = { concurrency = 0 } }
  }
  expect_failures = [var.function]
}

run "cluster_of_another_kind" {
  command = plan
  variables {
    cluster = "ecs"
  }
  expect_failures = [var.cluster]
}

run "existing_without_its_name" {
  command = plan
  variables {
    cluster = "existing"
  }
  expect_failures = [var.existing_cluster]
}

run "new_with_an_existing_one" {
  command = plan
  variables {
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
  }
  expect_failures = [var.existing_cluster]
}

run "existing_without_subnets" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = [] }
  }
  expect_failures = [var.existing_cluster]
}

run "existing_in_no_vpc" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "apps", subnet_ids = ["subnet-0123456789abcdef0"] }
  }
  expect_failures = [var.existing_cluster]
}

run "kubernetes_too_old" {
  command = plan
  variables {
    kubernetes_version = "1.30"
  }
  expect_failures = [var.kubernetes_version]
}

run "kubernetes_of_an_existing_one" {
  command = plan
  variables {
    cluster            = "existing"
    existing_cluster   = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    kubernetes_version = "1.34"
  }
  expect_failures = [var.kubernetes_version]
}

run "api_server_for_everybody" {
  command = plan
  variables {
    kubernetes_api_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.kubernetes_api_cidrs]
}

run "api_server_of_an_existing_one" {
  command = plan
  variables {
    cluster              = "existing"
    existing_cluster     = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    kubernetes_api_cidrs = ["198.51.100.0/24"]
  }
  expect_failures = [var.kubernetes_api_cidrs]
}

run "egress_of_another_kind" {
  command = plan
  variables {
    egress = "proxy"
  }
  expect_failures = [var.egress]
}

run "egress_of_an_existing_network" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    egress           = "nat"
  }
  expect_failures = [var.egress]
}

run "network_too_small" {
  command = plan
  variables {
    vpc_cidr = "10.0.0.0/24"
  }
  expect_failures = [var.vpc_cidr]
}

run "network_of_an_existing_one" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    vpc_cidr         = "10.0.0.0/16"
  }
  expect_failures = [var.vpc_cidr]
}

run "ingress_of_a_new_cluster" {
  command = plan
  variables {
    ingress = { url = "https://in.example.com", domain = "example.com", ca = "-----BEGIN CERTIFICATE-----" }
  }
  expect_failures = [var.ingress]
}

run "ingress_in_the_clear" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    ingress          = { url = "http://in.example.com", domain = "example.com", ca = "-----BEGIN CERTIFICATE-----" }
  }
  expect_failures = [var.ingress]
}

run "ingress_without_authority" {
  command = plan
  variables {
    cluster          = "existing"
    existing_cluster = { name = "apps", vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0123456789abcdef0"] }
    ingress          = { url = "https://in.example.com", domain = "example.com", ca = "ca.pem" }
  }
  expect_failures = [var.ingress]
}

run "schedule_of_half_minutes" {
  command = plan
  variables {
    reconcile_every = 1.5
  }
  expect_failures = [var.reconcile_every]
}

run "days_that_logs_do_not_take" {
  command = plan
  variables {
    log_days = 31
  }
  expect_failures = [var.log_days]
}

run "records_for_nobody" {
  command = plan
  variables {
    audit = { auditors = [] }
  }
  expect_failures = [var.audit]
}

run "records_for_no_day" {
  command = plan
  variables {
    audit = { auditors = ["security"], keep_days = 0 }
  }
  expect_failures = [var.audit]
}

run "mail_to_nobody" {
  command = plan
  variables {
    alarm_emails = ["ops"]
  }
  expect_failures = [var.alarm_emails]
}

run "budget_of_nothing" {
  command = plan
  variables {
    budget       = 0
    alarm_emails = ["ops@example.com"]
  }
  expect_failures = [var.budget]
}

run "budget_that_nobody_hears_of" {
  command = plan
  variables {
    budget = 100
  }
  expect_failures = [var.budget]
}
