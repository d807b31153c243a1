# Where servers run. Their pods have no AWS identity: nothing here associates one, and knative/config closes 169.254.0.0/16.

locals {
  # Whichever it is.
  of = local.new ? one(aws_eks_cluster.this[*]) : one(data.aws_eks_cluster.existing[*])
  cluster = {
    name           = local.of.name
    endpoint       = local.of.endpoint
    ca             = local.of.certificate_authority[0].data
    security_group = local.of.vpc_config[0].cluster_security_group_id
  }

  # The ingress that terraform/knative makes is found by a name of a zone of the VPC, known before there is one.
  zone = "${var.name}.internal"
  ingress = var.ingress != null ? { url = var.ingress.url, domain = var.ingress.domain } : {
    url    = "https://ingress.${local.zone}"
    domain = "servers.${local.zone}"
  }
}

data "aws_eks_cluster" "existing" {
  count = local.new ? 0 : 1
  name  = var.existing_cluster.name
  lifecycle {
    postcondition {
      condition     = self.access_config[0].authentication_mode != "CONFIG_MAP"
      error_message = "The cluster takes no access entries: set its authentication mode to API_AND_CONFIG_MAP or API first."
    }
  }
}

resource "aws_eks_cluster" "this" {
  count                         = local.new ? 1 : 0
  name                          = var.name
  role_arn                      = aws_iam_role.cluster["cluster"].arn
  version                       = var.kubernetes_version
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = ["api", "audit", "authenticator"]
  deletion_protection           = !var.removable
  tags                          = local.tags

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true # who applies this also applies terraform/knative
  }
  compute_config {
    enabled       = true
    node_pools    = ["general-purpose", "system"]
    node_role_arn = aws_iam_role.cluster["nodes"].arn
  }
  kubernetes_network_config {
    ip_family = "ipv4"
    elastic_load_balancing {
      enabled = true
    }
  }
  storage_config {
    block_storage {
      enabled = true
    }
  }
  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = aws_kms_key.this.arn
    }
  }
  upgrade_policy {
    support_type = "STANDARD" # EXTENDED is six times the price once a version is old
  }
  vpc_config {
    subnet_ids              = local.node_subnets
    endpoint_private_access = true
    endpoint_public_access  = length(var.kubernetes_api_cidrs) > 0
    public_access_cidrs     = length(var.kubernetes_api_cidrs) > 0 ? var.kubernetes_api_cidrs : null
  }

  # EKS would make the log group itself, to be kept for ever.
  depends_on = [aws_iam_role_policy_attachment.cluster, aws_cloudwatch_log_group.cluster]
}

resource "aws_cloudwatch_log_group" "cluster" {
  count             = local.new ? 1 : 0
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_days
  tags              = local.tags
}

# The two roles are known to the cluster as groups, which knative/config's Roles are bound to by terraform/knative. No access
# policy of Amazon's is associated: each is wider than a namespace's needs.
resource "aws_eks_access_entry" "function" {
  for_each          = local.inside
  cluster_name      = local.cluster.name
  principal_arn     = aws_iam_role.function[each.key].arn
  kubernetes_groups = ["mcpgateway-${each.key}"]
  type              = "STANDARD"
  tags              = local.tags
}

resource "aws_route53_zone" "internal" {
  count   = var.ingress == null ? 1 : 0
  name    = local.zone
  comment = "Knative's ingress, from within the VPC"
  tags    = local.tags
  vpc {
    vpc_id = local.vpc_id
  }
  force_destroy = true # terraform/knative puts one record in
}
