# The External Secrets operator, which makes Secrets in mcp-servers of values that are in Secrets Manager. It alone reads them.

locals {
  operator = { namespace = "external-secrets", account = "external-secrets" }
}

resource "aws_iam_role" "secrets" {
  count = var.gateway.secrets == null ? 0 : 1
  name  = "${var.gateway.name}-external-secrets"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OneAccountOfTheCluster"
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
      Condition = { StringEquals = {
        "aws:SourceAccount"                         = var.gateway.secrets.account
        "aws:RequestTag/eks-cluster-name"           = var.gateway.cluster
        "aws:RequestTag/kubernetes-namespace"       = local.operator.namespace
        "aws:RequestTag/kubernetes-service-account" = local.operator.account
      } }
    }]
  })
}

resource "aws_iam_role_policy" "secrets" {
  count = var.gateway.secrets == null ? 0 : 1
  name  = "does"
  role  = aws_iam_role.secrets[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ReadVersionsThatAreNamed"
        Effect    = "Allow"
        Action    = ["secretsmanager:GetSecretValue"]
        Resource  = [var.gateway.secrets.arn]
        Condition = { Null = { "secretsmanager:VersionId" = "false" } }
      },
      {
        Sid       = "OpenThoseUnderOurKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.gateway.kms_key]
        Condition = { StringEquals = { "kms:ViaService" = ["secretsmanager.${var.gateway.region}.amazonaws.com"] } }
      },
    ]
  })
}

# Auto Mode has EKS Pod Identity; another cluster needs the add-on eks-pod-identity-agent.
resource "aws_eks_pod_identity_association" "secrets" {
  count           = var.gateway.secrets == null ? 0 : 1
  cluster_name    = var.gateway.cluster
  namespace       = local.operator.namespace
  service_account = local.operator.account
  role_arn        = aws_iam_role.secrets[0].arn
}

# It has rights in one namespace, and of its kinds only those that are used: no webhook is needed, since the cluster's own
# admission policies limit who may write what.
resource "helm_release" "secrets" {
  count            = var.gateway.secrets == null ? 0 : 1
  name             = "external-secrets"
  namespace        = local.operator.namespace
  create_namespace = true
  repository       = var.secrets_chart.repository
  chart            = "external-secrets"
  version          = var.secrets_chart.version
  wait             = true

  values = [yamlencode({
    scopedNamespace              = "mcp-servers"
    scopedRBAC                   = true
    processClusterExternalSecret = false
    processClusterGenerator      = false
    processClusterPushSecret     = false
    processClusterStore          = false
    processPushSecret            = false
    webhook                      = { create = false }
    certController               = { create = false }
    serviceAccount               = { name = local.operator.account }
  })]

  depends_on = [helm_release.this, aws_eks_pod_identity_association.secrets, aws_iam_role_policy.secrets]
}

resource "helm_release" "store" {
  count     = var.gateway.secrets == null ? 0 : 1
  name      = "mcpgateway-store"
  namespace = local.operator.namespace # of the release itself
  chart     = "${path.module}/store"
  wait      = true
  values    = [yamlencode({ region = var.gateway.region, prefix = var.gateway.secrets.prefix })]

  depends_on = [helm_release.secrets]
}
