variable "gateway" {
  type = object({
    name            = string
    region          = string
    cluster         = string
    cluster_ca      = string
    endpoint        = string
    zone_id         = string
    ingress         = string
    domain          = string
    bucket          = string
    documents       = string
    kms_key         = string
    private_subnets = list(string)
    secrets         = optional(object({ account = string, prefix = string, arn = string }))
  })
  description = "The output knative of the gateway's module."
  validation {
    condition     = var.gateway.zone_id != null
    error_message = "gateway.zone_id is missing: where the module was given an ingress, there is one already."
  }
}

variable "images" {
  type        = list(string)
  description = "Repositories that servers' images may come from: with a slash at its end, all below it."
  validation {
    condition     = length(var.images) > 0 && alltrue([for i in var.images : can(regex("^[a-z0-9][a-z0-9._/:-]*$", i))])
    error_message = "images must name repositories, such as registry.example.com/mcp/."
  }
}

variable "shim_images" {
  type        = list(string)
  description = "Those that hold the shim alone: only what runs one of them may see a server's Secret mcp-<id>-shim."
  validation {
    condition     = length(var.shim_images) > 0 && alltrue([for i in var.shim_images : !endswith(i, "/")])
    error_message = "shim_images must name repositories and no folder of them: registry.example.com/mcp/shim."
  }
}

variable "operator_chart" {
  type = object({
    repository = optional(string, "https://knative.github.io/operator")
    version    = optional(string, "v1.22.0")
  })
  default     = {}
  description = "Where Helm has the Knative operator from, and its version."
  validation {
    condition     = can(regex("^(https|oci)://", var.operator_chart.repository)) && can(regex("^v?[0-9]+\\.[0-9]+\\.[0-9]+$", var.operator_chart.version))
    error_message = "operator_chart must have an https or oci repository, and a whole version such as v1.22.0."
  }
}

variable "secrets_chart" {
  type = object({
    repository = optional(string, "https://charts.external-secrets.io")
    version    = optional(string, "1.3.1")
  })
  default     = {}
  description = "Where Helm has the External Secrets operator from, and its version."
  validation {
    condition     = can(regex("^(https|oci)://", var.secrets_chart.repository)) && can(regex("^v?[0-9]+\\.[0-9]+\\.[0-9]+$", var.secrets_chart.version))
    error_message = "secrets_chart must have an https or oci repository, and a whole version such as 1.3.1."
  }
}

variable "knative_version" {
  type        = string
  default     = "1.22"
  description = "Knative Serving that the operator installs, with Kourier of the same version."
  validation {
    condition     = can(regex("^1\\.(2[2-9]|[3-9][0-9])(\\.[0-9]+)?$", var.knative_version))
    error_message = "knative_version must be 1.22 or newer: before it a wake takes half a second longer."
  }
}

variable "call_timeout" {
  type        = number
  default     = 900
  description = "Seconds that a call may take: limits.callTimeout of the platform file."
  validation {
    condition     = var.call_timeout >= 1 && var.call_timeout <= 900
    error_message = "call_timeout must be 1 to 900 seconds, the longest that Lambda has."
  }
}

variable "load_balancer_class" {
  type        = string
  default     = "eks.amazonaws.com/nlb"
  description = "Who makes the load balancer: EKS Auto Mode, or service.k8s.aws/nlb for the AWS Load Balancer Controller of an existing cluster."
  validation {
    condition     = contains(["eks.amazonaws.com/nlb", "service.k8s.aws/nlb"], var.load_balancer_class)
    error_message = "load_balancer_class must be eks.amazonaws.com/nlb or service.k8s.aws/nlb: only these make an internal load balancer with a name."
  }
}
