package catalog

// Knative says that servers run as Knative services of a cluster, and not as processes on this machine.
type Knative struct {
	Namespace      string          `yaml:"namespace"`  // of the servers and nothing else, default mcp-servers
	Kubeconfig     string          `yaml:"kubeconfig"` // file; default $KUBECONFIG, then what every pod of a cluster has
	EKS            *EKS            `yaml:"eks"`        // instead of a kubeconfig: a cluster of Amazon EKS
	NameKey        string          `yaml:"nameKey"`    // file of 32 bytes or more, the same for gateway and deployer: names users' instances, and seals callers' tokens
	Images         KnativeImages   `yaml:"images"`
	Lock           string          `yaml:"lock"` // file of the images of packages, default catalog.lock beside the platform file
	Ingress        KnativeIngress  `yaml:"ingress"`
	SecretsManager *SecretsManager `yaml:"secretsManager"` // for values that operators choose, instead of Secrets that they make
}

// SecretsManager says where the values of entries are in AWS Secrets Manager. The External Secrets operator reads them, and
// neither gateway nor deployer.
type SecretsManager struct {
	Prefix string `yaml:"prefix"` // <prefix><id>/server and <prefix><id>/shim are JSON objects of an entry's keys; ends with /
}

// EKS is a cluster of Amazon EKS, which takes the AWS identity that a program has: no kubeconfig and no token is stored.
type EKS struct {
	Cluster  string `yaml:"cluster"`  // its name
	Region   string `yaml:"region"`   // such as eu-central-1
	Endpoint string `yaml:"endpoint"` // https:// URL of its API server, as aws eks describe-cluster tells it
	CA       string `yaml:"ca"`       // PEM file of the only authority that is trusted for the endpoint
}

// KnativeImages are the images that are the gateway's own.
type KnativeImages struct {
	Shim   string `yaml:"shim"`
	Node   string `yaml:"node"`   // what images of npx packages are made from
	Python string `yaml:"python"` // what images of uvx packages are made from
}

// KnativeIngress is the way into the cluster: callers' tokens travel on it.
type KnativeIngress struct {
	URL    string `yaml:"url"`    // https://HOST[:PORT] where Knative's ingress answers
	Domain string `yaml:"domain"` // a service's Host is SERVICE.NAMESPACE.DOMAIN
	CA     string `yaml:"ca"`     // PEM file of the only authority that is trusted for the ingress
	// http:// in url, to a loopback address only
	InsecurePlainIngress bool `yaml:"insecurePlainIngress"`
}
