# A small VPC for a new cluster. By IPv6 the functions reach the internet through an egress-only gateway, which costs nothing;
# nodes have public addresses, and nothing is let in to them: they fetch images by IPv4, which registries need.

locals {
  new        = var.cluster == "new"
  nat        = var.egress == "nat"
  dual_stack = local.new ? !local.nat : var.existing_cluster.dual_stack
  vpc_id     = local.new ? one(aws_vpc.this[*].id) : var.existing_cluster.vpc_id
  zones      = local.new ? slice(data.aws_availability_zones.this[0].names, 0, 2) : []

  # Where addresses of functions and the ingress are, and where nodes are.
  function_subnets = local.new ? [for z in local.zones : aws_subnet.private[z].id] : var.existing_cluster.subnet_ids
  node_subnets     = local.new ? [for z in local.zones : (local.nat ? aws_subnet.private : aws_subnet.public)[z].id] : []
  cidr             = coalesce(var.vpc_cidr, "10.64.0.0/16")
}

data "aws_availability_zones" "this" {
  count = local.new ? 1 : 0
  state = "available"
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"] # no local zones, where there is no EKS
  }
}

resource "aws_vpc" "this" {
  count                            = local.new ? 1 : 0
  cidr_block                       = local.cidr
  assign_generated_ipv6_cidr_block = true
  enable_dns_support               = true
  enable_dns_hostnames             = true
  tags                             = merge(local.tags, { Name = var.name })
}

# Nobody uses it: without rules nobody can by mistake.
resource "aws_default_security_group" "this" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-unused" })
}

resource "aws_subnet" "public" {
  for_each                        = toset(local.zones)
  vpc_id                          = aws_vpc.this[0].id
  availability_zone               = each.key
  cidr_block                      = cidrsubnet(local.cidr, 3, index(local.zones, each.key))
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.this[0].ipv6_cidr_block, 8, index(local.zones, each.key))
  map_public_ip_on_launch         = !local.nat
  assign_ipv6_address_on_creation = true
  tags                            = merge(local.tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_subnet" "private" {
  for_each                        = toset(local.zones)
  vpc_id                          = aws_vpc.this[0].id
  availability_zone               = each.key
  cidr_block                      = cidrsubnet(local.cidr, 3, 4 + index(local.zones, each.key))
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.this[0].ipv6_cidr_block, 8, 4 + index(local.zones, each.key))
  assign_ipv6_address_on_creation = true
  tags = merge(local.tags, {
    Name                              = "${var.name}-private-${each.key}"
    "kubernetes.io/role/internal-elb" = "1" # the ingress's load balancer
  })
}

resource "aws_internet_gateway" "this" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_egress_only_internet_gateway" "this" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_eip" "nat" {
  count      = local.nat ? 1 : 0
  domain     = "vpc"
  tags       = merge(local.tags, { Name = var.name })
  depends_on = [aws_internet_gateway.this]
}

# One, and not one in each zone: where its zone fails, functions still answer warm calls and start nothing new.
resource "aws_nat_gateway" "this" {
  count         = local.nat ? 1 : 0
  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[local.zones[0]].id
  tags          = merge(local.tags, { Name = var.name })
}

resource "aws_route_table" "public" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-public" })
}

resource "aws_route_table" "private" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-private" })
}

resource "aws_route" "public" {
  count                  = local.new ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route" "public_ipv6" {
  count                       = local.new ? 1 : 0
  route_table_id              = aws_route_table.public[0].id
  destination_ipv6_cidr_block = "::/0"
  gateway_id                  = aws_internet_gateway.this[0].id
}

resource "aws_route" "private_ipv6" {
  count                       = local.new ? 1 : 0
  route_table_id              = aws_route_table.private[0].id
  destination_ipv6_cidr_block = "::/0"
  egress_only_gateway_id      = aws_egress_only_internet_gateway.this[0].id
}

resource "aws_route" "private" {
  count                  = local.nat ? 1 : 0
  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

# S3 is reached by IPv4 within the VPC: no gateway of the internet is needed for the documents, and nodes pay nothing for layers
# of images.
resource "aws_vpc_endpoint" "s3" {
  count             = local.new ? 1 : length(var.existing_cluster.route_table_ids) > 0 ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.new ? [aws_route_table.public[0].id, aws_route_table.private[0].id] : var.existing_cluster.route_table_ids
  tags              = merge(local.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "functions" {
  name        = "${var.name}-functions"
  description = "Gateway and deployer: nothing comes in"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-functions" })
}

resource "aws_vpc_security_group_egress_rule" "functions" {
  for_each          = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }
  security_group_id = aws_security_group.functions.id
  description       = "Issuers, the API server, the ingress, Lambda's API"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  security_group_id            = local.cluster.security_group
  description                  = "Gateway and deployer ask the API server"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.functions.id
}
