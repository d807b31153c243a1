# Who may do what. Each function has a role of its own, with the actions that its program calls and no others; where a "*"
# stands, tests/stars.json says why there is no other way.

locals {
  # Objects that each function reads, below documents/. The keys of the authorization server are its own.
  reads = {
    gateway = concat(["platform.yaml", "catalog.yaml", "catalog.lock", "cluster.pem", "ingress.pem", "name.key"], local.brought)
    deployer = concat(["platform.yaml", "catalog.yaml", "catalog.lock", "cluster.pem", "ingress.pem", "name.key", "state/rules.key"],
    var.audit == null ? [] : ["audit/token.key"], var.sessions ? ["sessions/token.key"] : [], local.brought) # it makes what shims show
    keys     = ["platform.yaml"]
    oauth    = ["platform.yaml", "catalog.yaml", "oauth/seal.key", "oauth/provider"]
    audit    = ["platform.yaml", "catalog.yaml", "audit/token.key"]
    sessions = ["platform.yaml", "catalog.yaml", "sessions/token.key"]
  }

  # Keys of issuers that a function brings for those who may not reach the issuer.
  brought = local.dual_stack ? ["keys/provider.json"] : []

  may = {
    keys = [{
      Sid      = "BringKeys"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = [for k in local.brought : "${aws_s3_bucket.this["documents"].arn}/${local.documents}/${k}"]
      }, {
      Sid       = "SealKeys"
      Effect    = "Allow"
      Action    = ["kms:GenerateDataKey"]
      Resource  = [aws_kms_key.this.arn]
      Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
    }]
    gateway = [{
      Sid      = "AskTheDeployer"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [local.functions["deployer"].arn]
    }]
    deployer = [for s in [{
      Sid      = "LearnVersions"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret"]
      Resource = [local.secrets_arn]
    }] : s if local.in_manager]
    oauth = [{
      Sid      = "WrapKeysOfAccounts"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [aws_kms_key.accounts.arn]
      }, {
      Sid    = "KeepSignIns"
      Effect = "Allow"
      Action = [
        "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:GetItem", "dynamodb:PutItem",
        "dynamodb:Query",
      ]
      Resource = [aws_dynamodb_table.oauth.arn]
    }]
    audit = [for s in [
      {
        Sid      = "KeepRecords"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = [for folder in ["lists", "records"] : "arn:${local.partition}:s3:::${var.name}-audit-${local.account}-${local.region}/${folder}/*"]
      },
      {
        Sid       = "SealRecords"
        Effect    = "Allow"
        Action    = ["kms:GenerateDataKey"]
        Resource  = [aws_kms_key.this.arn]
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } }
      },
      {
        Sid      = "IndexRecords"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem"]
        Resource = [local.audit_table]
      },
      {
        Sid      = "FindRecords"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = [for i in local.audit_indexes : "${local.audit_table}/index/${i}-at"]
      },
    ] : s if var.audit != null]
    sessions = [for t in aws_dynamodb_table.sessions : {
      Sid      = "KeepWhatClientsAskedFor"
      Effect   = "Allow"
      Action   = ["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:GetItem", "dynamodb:PutItem"]
      Resource = [t.arn]
    }]
  }

  trust = {
    for service in ["lambda", "edgelambda", "scheduler", "eks", "ec2"] : service => {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = service == "eks" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"]
        Principal = { Service = service == "edgelambda" ? ["lambda.amazonaws.com", "edgelambda.amazonaws.com"] : ["${service}.amazonaws.com"] }
      }]
    }
  }

  key_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountDecides"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
        Resource  = "*"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name}-*" } }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  }

  # Lambda itself makes a function's addresses in a VPC, with the function's role.
  network_actions = ["ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
  "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"]
}

resource "aws_iam_role" "function" {
  for_each           = local.functions
  name               = each.value.name
  assume_role_policy = jsonencode(local.trust["lambda"])
  tags               = local.tags
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions
  name     = "does"
  role     = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "ReadDocuments"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [for k in local.reads[each.key] : "${aws_s3_bucket.this["documents"].arn}/${local.documents}/${k}"]
      },
      {
        Sid       = "OpenWhatIsKept"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [aws_kms_key.this.arn]
        Condition = { StringEquals = { "kms:ViaService" = concat(["s3.${local.region}.amazonaws.com", "lambda.${local.region}.amazonaws.com"], contains(["oauth", "audit", "sessions"], each.key) ? ["dynamodb.${local.region}.amazonaws.com"] : []) } }
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
      },
    ], local.may[each.key])
  })
}

# What Lambda does with a role for a VPC, the program in it may not (Lambda developer guide, "Giving Lambda functions access
# to resources in an Amazon VPC").
resource "aws_iam_role_policy" "network" {
  for_each = local.inside
  name     = "network"
  role     = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LambdaMakesAddresses"
        Effect   = "Allow"
        Action   = local.network_actions
        Resource = "*"
      },
      {
        Sid       = "TheProgramDoesNot"
        Effect    = "Deny"
        Action    = local.network_actions
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.functions[each.key].arn } }
      },
    ]
  })
}

resource "aws_iam_role" "scheduler" {
  name = "${var.name}-scheduler"
  assume_role_policy = jsonencode(merge(local.trust["scheduler"], { Statement = [merge(local.trust["scheduler"].Statement[0], {
    Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
  })] }))
  tags = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name = "does"
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "WakeFunctions", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [for f in ["deployer", "keys"] : local.functions[f].arn if contains(keys(local.functions), f)] },
      { Sid = "OpenTheSchedule", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [aws_kms_key.this.arn] },
    ]
  })
}

resource "aws_iam_role" "edge" {
  name               = "${var.name}-edge"
  assume_role_policy = jsonencode(local.trust["edgelambda"])
  tags               = local.tags
}

# It writes where its viewers are, into groups that Lambda makes in every region.
resource "aws_iam_role_policy" "edge" {
  name = "does"
  role = aws_iam_role.edge.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["arn:${local.partition}:logs:*:${local.account}:log-group:/aws/lambda/us-east-1.${var.name}-edge:*"]
    }]
  })
}

# A new cluster's control plane and nodes, by Amazon's own policies for EKS Auto Mode.
resource "aws_iam_role" "cluster" {
  for_each           = local.new ? { cluster = "eks", nodes = "ec2" } : {}
  name               = "${var.name}-${each.key}"
  assume_role_policy = jsonencode(local.trust[each.value])
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "cluster" {
  for_each = local.new ? {
    AmazonEKSClusterPolicy             = "cluster"
    AmazonEKSComputePolicy             = "cluster"
    AmazonEKSBlockStoragePolicy        = "cluster"
    AmazonEKSLoadBalancingPolicy       = "cluster"
    AmazonEKSNetworkingPolicy          = "cluster"
    AmazonEKSWorkerNodeMinimalPolicy   = "nodes"
    AmazonEC2ContainerRegistryPullOnly = "nodes"
  } : {}
  role       = aws_iam_role.cluster[each.value].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}
