# Knative and Kourier behind an internal load balancer, by the Knative operator, and what knative/config has for servers.

locals {
  config = "${path.module}/../../knative/config"

  # The same files that kubectl apply -k takes; gateway and deployer are functions here, and are no accounts of the cluster.
  files = ["namespaces.yaml", "roles.yaml", "admission-services.yaml", "admission-deployer.yaml", "admission-secrets.yaml", "network-servers.yaml"]

  # The load balancer is found by its name.
  load_balancer = "${var.gateway.name}-ingress"
}

resource "helm_release" "operator" {
  name             = "knative-operator"
  namespace        = "knative-operator"
  create_namespace = true
  repository       = var.operator_chart.repository
  chart            = "knative-operator"
  version          = var.operator_chart.version
  wait             = true
}

# An authority for one name. The gateway trusts it for the ingress and for nothing else.
resource "tls_private_key" "authority" {
  algorithm   = "ECDSA"
  ecdsa_curve = "P256"
}

resource "tls_self_signed_cert" "authority" {
  private_key_pem       = tls_private_key.authority.private_key_pem
  is_ca_certificate     = true
  validity_period_hours = 10 * 365 * 24
  allowed_uses          = ["cert_signing", "crl_signing"]
  subject {
    common_name = "${var.gateway.name} ingress"
  }
}

resource "tls_private_key" "ingress" {
  algorithm   = "ECDSA"
  ecdsa_curve = "P256"
}

resource "tls_cert_request" "ingress" {
  private_key_pem = tls_private_key.ingress.private_key_pem
  dns_names       = [var.gateway.ingress]
  subject {
    common_name = var.gateway.ingress
  }
}

# Renewed by any apply in its last 90 days.
resource "tls_locally_signed_cert" "ingress" {
  cert_request_pem      = tls_cert_request.ingress.cert_request_pem
  ca_private_key_pem    = tls_private_key.authority.private_key_pem
  ca_cert_pem           = tls_self_signed_cert.authority.cert_pem
  validity_period_hours = 825 * 24
  early_renewal_hours   = 90 * 24
  allowed_uses          = ["digital_signature", "server_auth"]
}

resource "helm_release" "this" {
  name      = "mcpgateway"
  namespace = "knative-operator" # of the release itself; what is in it names its own
  chart     = "${path.module}/chart"
  wait      = true
  timeout   = 900

  values = [yamlencode({
    manifests         = [for f in local.files : file("${local.config}/${f}")]
    images            = var.images
    shimImages        = var.shim_images
    knativeVersion    = var.knative_version
    callTimeout       = var.call_timeout
    domain            = var.gateway.domain
    loadBalancer      = local.load_balancer
    subnets           = var.gateway.private_subnets
    loadBalancerClass = var.load_balancer_class
    groups            = { gateway = "mcpgateway-gateway", deployer = "mcpgateway-deployer" }
  })]

  set_sensitive = [
    { name = "certificate.crt", value = base64encode(tls_locally_signed_cert.ingress.cert_pem) },
    { name = "certificate.key", value = base64encode(tls_private_key.ingress.private_key_pem) },
  ]

  depends_on = [helm_release.operator]
}

data "aws_lb" "ingress" {
  name       = local.load_balancer
  depends_on = [helm_release.this]
}

resource "aws_route53_record" "ingress" {
  zone_id = var.gateway.zone_id
  name    = var.gateway.ingress
  type    = "A"
  alias {
    name                   = data.aws_lb.ingress.dns_name
    zone_id                = data.aws_lb.ingress.zone_id
    evaluate_target_health = false
  }
}

# The gateway reads it at its next start: from then on its URL works.
resource "aws_s3_object" "authority" {
  bucket       = var.gateway.bucket
  key          = "${var.gateway.documents}/ingress.pem"
  content      = tls_self_signed_cert.authority.cert_pem
  content_type = "text/plain; charset=utf-8"
  kms_key_id   = var.gateway.kms_key
}
