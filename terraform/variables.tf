variable "name" {
  type        = string
  default     = "mcp"
  description = "What everything made here is called; buckets add the account's number, so that two in one account need two names."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 20 small letters, digits and dashes, and begin with a letter: names of roles and buckets are made of it."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of everything made here, besides Name and mcpgateway."
  validation {
    condition     = !contains(keys(var.tags), "mcpgateway")
    error_message = "tags: mcpgateway is set here."
  }
}

variable "packages" {
  type        = string
  default     = null
  description = "Folder of the functions' zips, as make package leaves them; default bin of this repository."
  validation {
    condition     = var.packages == null ? true : fileexists("${var.packages}/gateway-arm64.zip")
    error_message = "packages must be the folder of the zips: make package leaves them in bin."
  }
}

variable "catalog" {
  type        = string
  description = "The catalog's file (catalog.yaml), which is checked when this is planned."
  validation {
    condition     = fileexists(var.catalog) && can(yamldecode(file(var.catalog)))
    error_message = "catalog must be a file of YAML: the path of catalog.yaml."
  }
}

variable "catalog_lock" {
  type        = string
  default     = null
  description = "The file catalog.lock that mcpgateway bake wrote, for entries that are packages of npm or PyPI."
  validation {
    condition     = var.catalog_lock == null ? true : fileexists(var.catalog_lock)
    error_message = "catalog_lock must be a file: mcpgateway bake writes it."
  }
}

variable "checker" {
  type        = string
  default     = null
  description = "The program mcpgateway that checks the catalog; default bin/mcpgateway of this repository, as make build leaves it."
  validation {
    condition     = var.checker == null ? true : fileexists(var.checker)
    error_message = "checker must be the program mcpgateway: make build leaves it in bin."
  }
}

variable "identity" {
  type = object({
    url          = string
    client_id    = string
    groups_claim = optional(string, "groups")
    scopes       = optional(list(string), ["openid", "profile", "offline_access"])
    prompt       = optional(string)
  })
  description = "The OpenID provider where people sign in: its issuer's URL, and the client that this gateway is there. Its redirect URI is the output redirect_uri."
  validation {
    condition     = can(regex("^https://[a-z0-9.-]+(:[0-9]+)?(/[^?#]*)?$", var.identity.url))
    error_message = "identity.url must be an https URL without query, the same as in the provider's /.well-known/openid-configuration."
  }
  validation {
    condition     = var.identity.client_id != "" && length(var.identity.client_id) <= 256
    error_message = "identity.client_id must be the id that the provider gave."
  }
  validation {
    condition     = contains(var.identity.scopes, "openid")
    error_message = "identity.scopes must have openid among them."
  }
}

variable "identity_secret" {
  type        = string
  default     = null
  sensitive   = true
  description = "The client's secret at the provider; without it we are a public client there."
  validation {
    condition     = var.identity_secret == null ? true : length(var.identity_secret) >= 8
    error_message = "identity_secret is shorter than 8 characters: no provider gives such a secret."
  }
}

variable "images" {
  type = object({
    shim   = string
    node   = optional(string)
    python = optional(string)
  })
  description = "Images of the gateway's own: the shim's, and what images of npm's and PyPI's packages are made from."
  validation {
    condition     = alltrue([for i in values(var.images) : i == null ? true : can(regex("^[a-z0-9][a-z0-9._/:-]*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", i))])
    error_message = "images must have a tag or a digest: registry.example.com/mcp/shim:v1."
  }
}

variable "front" {
  type        = string
  default     = "url"
  description = "What is behind CloudFront: url, function URLs; or rest, a REST API that streams. See README.md for which."
  validation {
    condition     = contains(["url", "rest"], var.front)
    error_message = "front must be url or rest."
  }
}

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
    wildcard        = optional(bool, false)
  })
  default     = null
  description = "A host name of your own instead of CloudFront's: its certificate in us-east-1, and the Route 53 zone to put it in. With wildcard each server is also at https://<id>.<name>/mcp."
  validation {
    condition     = var.domain == null ? true : can(regex("^arn:aws[a-z-]*:acm:us-east-1:[0-9]{12}:certificate/[0-9a-f-]{36}$", var.domain.certificate_arn))
    error_message = "domain.certificate_arn must be of a certificate of ACM in us-east-1: CloudFront takes no other region's."
  }
  validation {
    condition     = var.domain == null ? true : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name must be a host name in small letters."
  }
}

variable "waf" {
  type = object({
    requests_per_5_minutes = optional(number, 2000)
    managed_rules          = optional(bool, true)
  })
  default     = null
  description = "A web ACL before CloudFront: how many requests an address may make in five minutes, and Amazon's list of known bad inputs."
  validation {
    condition     = var.waf == null ? true : var.waf.requests_per_5_minutes >= 10 && var.waf.requests_per_5_minutes <= 2000000000
    error_message = "waf.requests_per_5_minutes must be from 10 to 2,000,000,000, as AWS WAF takes it."
  }
}

variable "origin_secret" {
  type        = string
  default     = "a"
  description = "Which of the two secrets CloudFront shows the functions, a or b: both are taken, so that one can be replaced while the other is in use (README.md, Rotation)."
  validation {
    condition     = contains(["a", "b"], var.origin_secret)
    error_message = "origin_secret must be a or b."
  }
}

variable "function" {
  type = map(object({
    memory      = optional(number)
    timeout     = optional(number)
    concurrency = optional(number)
  }))
  default     = {}
  description = "By function (gateway, deployer, oauth, audit, sessions, keys): memory in MB, timeout in seconds, and reserved concurrency, which no other function of the account can use then."
  validation {
    condition     = alltrue([for k in keys(var.function) : contains(["gateway", "deployer", "oauth", "audit", "sessions", "keys"], k)])
    error_message = "function: there are gateway, deployer, oauth, audit, sessions and keys."
  }
  validation {
    condition     = alltrue([for f in values(var.function) : f.memory == null ? true : f.memory >= 128 && f.memory <= 10240 && floor(f.memory) == f.memory])
    error_message = "function: memory must be from 128 to 10240 MB."
  }
  validation {
    condition     = alltrue([for f in values(var.function) : f.timeout == null ? true : f.timeout >= 10 && f.timeout <= 900])
    error_message = "function: timeout must be from 10 to 900 seconds."
  }
  validation {
    condition     = alltrue([for f in values(var.function) : f.concurrency == null ? true : f.concurrency >= 1])
    error_message = "function: concurrency must be 1 or more; 0 would throttle every call."
  }
}

variable "cluster" {
  type        = string
  default     = "new"
  description = "Where servers run: new, an EKS cluster in Auto Mode with a VPC, both made here; or existing, the one that existing_cluster names."
  validation {
    condition     = contains(["new", "existing"], var.cluster)
    error_message = "cluster must be new or existing."
  }
}

variable "existing_cluster" {
  type = object({
    name            = string
    vpc_id          = string
    subnet_ids      = list(string)
    route_table_ids = optional(list(string), [])
    dual_stack      = optional(bool, false)
  })
  default     = null
  description = "An EKS cluster that is there: its VPC, and the private subnets where the functions get their addresses. They must reach the internet, for the keys of issuers, and Lambda's API."
  validation {
    condition     = (var.cluster == "existing") == (var.existing_cluster != null)
    error_message = "cluster = \"existing\" and existing_cluster go together: name the cluster, or leave both out for a new one."
  }
  validation {
    condition     = var.existing_cluster == null ? true : length(var.existing_cluster.subnet_ids) > 0 && alltrue([for s in var.existing_cluster.subnet_ids : can(regex("^subnet-[0-9a-f]{8,17}$", s))])
    error_message = "existing_cluster.subnet_ids must be ids of subnets: subnet-0123456789abcdef0."
  }
  validation {
    condition     = var.existing_cluster == null ? true : can(regex("^vpc-[0-9a-f]{8,17}$", var.existing_cluster.vpc_id))
    error_message = "existing_cluster.vpc_id must be the id of a VPC: vpc-0123456789abcdef0."
  }
}

variable "kubernetes_version" {
  type        = string
  default     = null
  description = "Kubernetes of a new cluster, such as 1.34; EKS's default when it is made. Auto Mode changes nodes along with it."
  validation {
    condition     = var.kubernetes_version == null ? true : can(regex("^1\\.(3[1-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be 1.31 or newer: what the deployer may do is held by admission policies of that version."
  }
  validation {
    condition     = var.kubernetes_version == null || var.cluster == "new"
    error_message = "kubernetes_version is for a new cluster: an existing one has its own."
  }
}

variable "kubernetes_api_cidrs" {
  type        = list(string)
  default     = []
  description = "Networks that reach the API server of a new cluster from outside, for kubectl and terraform/knative. None: it is reached from the VPC only."
  validation {
    condition     = alltrue([for c in var.kubernetes_api_cidrs : can(cidrhost(c, 0)) && !strcontains(c, "/0")])
    error_message = "kubernetes_api_cidrs must be networks such as 198.51.100.0/24, and not the whole internet."
  }
  validation {
    condition     = length(var.kubernetes_api_cidrs) == 0 || var.cluster == "new"
    error_message = "kubernetes_api_cidrs is for a new cluster: who reaches an existing one is said where it was made."
  }
}

variable "egress" {
  type        = string
  default     = null
  description = "How a new VPC reaches the internet: ipv6 (the default), nodes in public subnets with nothing inbound, and functions by IPv6; or nat, all behind a NAT gateway, which costs by the hour and the gigabyte."
  validation {
    condition     = var.egress == null ? true : contains(["ipv6", "nat"], var.egress)
    error_message = "egress must be ipv6 or nat."
  }
  validation {
    condition     = var.egress == null || var.cluster == "new"
    error_message = "egress is for the VPC made here: with cluster = \"existing\" its own routes are used."
  }
}

variable "vpc_cidr" {
  type        = string
  default     = null
  description = "IPv4 network of a new VPC, /16 to /20; default 10.64.0.0/16."
  validation {
    condition     = var.vpc_cidr == null ? true : can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]), 0) >= 16 && try(tonumber(split("/", var.vpc_cidr)[1]), 0) <= 20
    error_message = "vpc_cidr must be a network of /16 to /20, such as 10.64.0.0/16."
  }
  validation {
    condition     = var.vpc_cidr == null || var.cluster == "new"
    error_message = "vpc_cidr is for a new VPC: with cluster = \"existing\" there is one."
  }
}

variable "ingress" {
  type = object({
    url    = string
    domain = string
    ca     = string
  })
  default     = null
  description = "Knative's ingress where there is one already: its https URL, the domain of services, and the PEM of its authority. Without it terraform/knative makes all of it."
  validation {
    condition     = var.ingress == null ? true : can(regex("^https://[a-z0-9.-]+(:[0-9]+)?$", var.ingress.url))
    error_message = "ingress.url must be https://HOST[:PORT]: callers' tokens travel on it."
  }
  validation {
    condition     = var.ingress == null ? true : can(regex("-----BEGIN CERTIFICATE-----", var.ingress.ca))
    error_message = "ingress.ca must be PEM: -----BEGIN CERTIFICATE----- and so on."
  }
  validation {
    condition     = var.ingress == null || var.cluster == "existing"
    error_message = "ingress is for an existing cluster: a new one has no Knative yet."
  }
}

variable "reconcile_every" {
  type        = number
  default     = 5
  description = "Minutes between two comparisons of what runs with the catalog."
  validation {
    condition     = var.reconcile_every >= 1 && var.reconcile_every <= 60 && floor(var.reconcile_every) == var.reconcile_every
    error_message = "reconcile_every must be 1 to 60 minutes: keys of issuers are carried along."
  }
}

variable "secrets" {
  type        = string
  default     = "secrets-manager"
  description = "Where the values of entries are: secrets-manager, from which terraform/knative's operator makes Secrets, or kubernetes, as Secrets that you make."
  validation {
    condition     = contains(["secrets-manager", "kubernetes"], var.secrets)
    error_message = "secrets must be secrets-manager or kubernetes."
  }
}

variable "sessions" {
  type        = bool
  description = "Whether what clients ask of their sessions (log level, subscriptions, their end) outlives the pods of servers: a function, a table, and a token for each shim, which the deployer makes. Server pods must reach the public URL for it."
  default     = false
}

variable "audit" {
  type = object({
    auditors  = list(string)
    keep_days = optional(number, 400)
  })
  default     = null
  description = "Keeps the records of all calls, for groups that may read them: of the identity provider, or oauth:GROUP of another issuer by its name. Without it they are lines in the logs of servers' pods."
  validation {
    condition     = var.audit == null ? true : length(var.audit.auditors) > 0 && alltrue([for g in var.audit.auditors : g != ""])
    error_message = "audit.auditors must name a group: nobody else reads the records."
  }
  validation {
    condition     = var.audit == null ? true : var.audit.keep_days >= 1 && var.audit.keep_days <= 3653 && floor(var.audit.keep_days) == var.audit.keep_days
    error_message = "audit.keep_days must be 1 to 3653 days."
  }
}

variable "log_days" {
  type        = number
  default     = 30
  description = "How long logs are kept, in days."
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days must be one of the numbers that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "alarm_emails" {
  type        = list(string)
  default     = []
  description = "Who hears of alarms and of the budget. Each address must confirm once, by the mail that AWS sends."
  validation {
    condition     = alltrue([for a in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", a))])
    error_message = "alarm_emails must be addresses of mail."
  }
}

variable "budget" {
  type        = number
  default     = null
  description = "US dollars a month, of everything with the tag mcpgateway, at 80 % of which alarm_emails hear of it. The tag counts once it is activated for cost allocation, in the account that pays."
  validation {
    condition     = var.budget == null ? true : var.budget > 0
    error_message = "budget must be more than 0."
  }
  validation {
    condition     = var.budget == null || length(var.alarm_emails) > 0
    error_message = "budget needs alarm_emails: else nobody would hear of it."
  }
}

variable "removable" {
  type        = bool
  default     = false
  description = "terraform destroy also takes what people have made: versions of documents, and the table of who signed in. Without it, it stops there."
}
