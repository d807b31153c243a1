package catalog

import (
	"net/url"
	"strings"
)

// functionName is one of AWS Lambda (API reference, CreateFunction).
var functionName = newPattern(`^[A-Za-z0-9_-]{1,64}$`)

// What the name of a server's Knative service holds besides the id, in bytes: mcp-<id>, and of a user's own
// mcp-<id>-<16 hex digits>.
const (
	maxServiceName  = 63 // a DNS label (RFC 1123)
	sharedNameExtra = len("mcp-")
	userNameExtra   = sharedNameExtra + 1 + 16
)

func checkDeployer(d *document, p *Deployer, dir string) {
	checkDeployerURL(d, p, dir)
	checkDocker(d, p, dir)
	if d.has(&p.Function) {
		switch {
		case !d.matches(&p.Function, functionName):
			d.bad(&p.Function, "deployer.function must be the name of a function: up to 64 letters, digits, - and _")
		case d.has(&p.URL):
			d.bad(&p.Function, "deployer.function and deployer.url: the deployer is at one place")
		}
	}
	if p.Knative == nil {
		return
	}
	if d.has(&p.Secrets) {
		d.bad(&p.Secrets, "deployer.secrets is for processes on this machine: in a cluster a server's secrets are in its Secret mcp-<id>-server, or in deployer.knative.secretsManager")
	}
	checkKnative(d, p.Knative, dir)
}

// What the gateway shows a deployer that it asks over the network, where knative/config puts it.
const (
	gatewayAccount = "mcp-system/gateway"
	gatewayToken   = "/var/run/secrets/mcpgateway/token"
)

// accountForm is the namespace and the name of a service account: DNS labels, though a name may have dots.
var accountForm = newPattern(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// checkDeployerURL takes http to any host: what is asked are names, and the token that is shown opens nothing else. Only a
// cluster's deployer is asked so: who may ask it is a service account.
func checkDeployerURL(d *document, p *Deployer, dir string) {
	d.fact(&p.Account).form = accountForm
	if !d.has(&p.URL) {
		if d.has(&p.Account) || d.has(&p.Token) {
			d.bad(p, "deployer.account and deployer.token are for deployer.url: only its owner reaches a socket")
		}
		return
	}
	scheme, host, _ := strings.Cut(p.URL, "://")
	switch {
	case scheme != "http" && scheme != "https" || checkHost(host) != nil:
		d.bad(&p.URL, "deployer.url must be http[s]://HOST[:PORT] and nothing after it")
	case p.Knative == nil:
		d.bad(&p.URL, "deployer.url is for a cluster: without deployer.knative the deployer is asked over its socket")
	}
	if !d.has(&p.Account) {
		p.Account = gatewayAccount
	}
	if !d.matches(&p.Account, accountForm) {
		d.bad(&p.Account, "deployer.account must be NAMESPACE/NAME of a service account")
	}
	d.filePath(&p.Token, "deployer.token", dir, gatewayToken)
}

func checkKnative(d *document, k *Knative, dir string) {
	if !d.has(&k.Namespace) {
		k.Namespace = "mcp-servers"
	}
	d.label(&k.Namespace, k, "deployer.knative.namespace")
	if d.has(&k.Kubeconfig) {
		d.filePath(&k.Kubeconfig, "deployer.knative.kubeconfig", dir, "")
	}
	if k.EKS != nil {
		checkEKS(d, k, dir)
	}
	if d.required(&k.NameKey, k, "deployer.knative.nameKey") {
		d.filePath(&k.NameKey, "deployer.knative.nameKey", dir, "")
	}
	d.filePath(&k.Lock, "deployer.knative.lock", dir, "catalog.lock")
	checkKnativeImages(d, k)
	checkKnativeIngress(d, k, dir)
	if m := k.SecretsManager; m != nil && d.required(&m.Prefix, m, "deployer.knative.secretsManager.prefix") && !d.matches(&m.Prefix, secretPrefix) {
		d.bad(&m.Prefix, "deployer.knative.secretsManager.prefix must hold letters, digits and /_+=.@- only, and end with /")
	}
}

// secretPrefix is what names of Secrets Manager may begin with (API reference, CreateSecret). No entry's name is the
// beginning of another's: the ids of entries have no slash.
var secretPrefix = newPattern(`^[A-Za-z0-9_+=.@-][A-Za-z0-9/_+=.@-]{0,126}/$`)

// The forms of what AWS gives names (EKS API, CreateCluster; AWS General Reference, "Regional endpoints").
var (
	eksName   = newPattern(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
	awsRegion = newPattern(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
)

func checkEKS(d *document, k *Knative, dir string) {
	e := k.EKS
	if d.has(&k.Kubeconfig) {
		d.bad(&k.Kubeconfig, "deployer.knative: kubeconfig and eks are two ways to the same cluster: leave one out")
	}
	if d.required(&e.Cluster, e, "deployer.knative.eks.cluster") && !d.matches(&e.Cluster, eksName) {
		d.bad(&e.Cluster, "deployer.knative.eks.cluster is no name of a cluster")
	}
	if d.required(&e.Region, e, "deployer.knative.eks.region") && !d.matches(&e.Region, awsRegion) {
		d.bad(&e.Region, "deployer.knative.eks.region is no region, such as eu-central-1")
	}
	if d.required(&e.Endpoint, e, "deployer.knative.eks.endpoint") {
		host, secure := strings.CutPrefix(e.Endpoint, "https://")
		if !secure || checkHost(strings.ToLower(host)) != nil { // EKS writes it in capitals
			d.bad(&e.Endpoint, "deployer.knative.eks.endpoint must be https://HOST[:PORT] and nothing after it")
		}
	}
	if d.required(&e.CA, e, "deployer.knative.eks.ca") {
		d.filePath(&e.CA, "deployer.knative.eks.ca", dir, "")
	}
}

func checkKnativeImages(d *document, k *Knative) {
	in := any(k)
	if d.has(&k.Images) {
		in = &k.Images
	}
	d.fact(&k.Images).required = true
	if d.required(&k.Images.Shim, in, "deployer.knative.images.shim") {
		d.image(&k.Images.Shim, "deployer.knative.images.shim")
	}
	if d.has(&k.Images.Node) {
		d.image(&k.Images.Node, "deployer.knative.images.node")
	}
	if d.has(&k.Images.Python) {
		d.image(&k.Images.Python, "deployer.knative.images.python")
	}
}

func (d *document) image(field *string, name string) {
	if !d.matches(field, imageName) {
		d.bad(field, "%s is no image reference", name)
	}
}

func checkKnativeIngress(d *document, k *Knative, dir string) {
	i, in := &k.Ingress, any(k)
	if d.has(i) {
		in = i
	}
	d.fact(i).required = true
	if d.required(&i.Domain, in, "deployer.knative.ingress.domain") {
		checkDomain(d, k)
	}
	if d.has(&i.CA) {
		d.filePath(&i.CA, "deployer.knative.ingress.ca", dir, "")
	}
	if !d.required(&i.URL, in, "deployer.knative.ingress.url") {
		return
	}
	if err := checkURL(i.URL); err != nil {
		d.bad(&i.URL, "deployer.knative.ingress.url %v", err)
		return
	}
	u, err := url.Parse(i.URL)
	if err != nil || u.Path != "" {
		d.bad(&i.URL, "deployer.knative.ingress.url must be scheme://host or scheme://host:port and nothing after it")
		return
	}
	checkIngressTrust(d, i, u.Scheme, in)
}

// checkIngressTrust holds an operator to one of two: an authority of their own, or plain text that they say they want. The
// authorities of the web would let anyone who can get a certificate for a name take callers' tokens.
func checkIngressTrust(d *document, i *KnativeIngress, scheme string, in any) {
	switch {
	case scheme == "http" && !i.InsecurePlainIngress:
		d.bad(&i.URL, "deployer.knative.ingress.url: callers' tokens would travel in plain text: use https://, or accept that with insecurePlainIngress: true")
	case scheme == "http" && d.has(&i.CA):
		d.bad(&i.CA, "deployer.knative.ingress.ca is for https://")
	case scheme == "https" && i.InsecurePlainIngress:
		d.bad(&i.InsecurePlainIngress, "deployer.knative.ingress.insecurePlainIngress is for http://")
	case scheme == "https" && !d.has(&i.CA):
		d.bad(in, "deployer.knative.ingress.ca is missing: the one authority that is trusted for https://")
	}
}

// checkDomain also sees to it that the longest Host is one that a DNS name can be (RFC 1035, section 2.3.4).
func checkDomain(d *document, k *Knative) {
	domain := &k.Ingress.Domain
	switch {
	case checkHost(*domain) != nil || strings.ContainsAny(*domain, ":[") || numeric.MatchString(*domain):
		d.bad(domain, "deployer.knative.ingress.domain must be a domain in small letters, without a port")
	case maxServiceName+1+len(k.Namespace)+1+len(*domain) > 253:
		d.bad(domain, "deployer.knative.ingress.domain is too long: SERVICE.NAMESPACE.DOMAIN would have more than 253 characters")
	}
}

// checkService sees to it that a server's service can be named, and that its pods reach what the entry says.
func checkService(d *document, s *Server, all *names) {
	k := all.platform.Deployer.Knative
	if k == nil {
		return
	}
	if s.Runtime.Command != nil {
		d.bad(s.Runtime.Command, "runtime.command is a program of this machine; in a cluster a server is a container, a package or remote")
	}
	extra := sharedNameExtra
	if s.Instances.PerUser {
		extra = userNameExtra
	}
	if ValidID(s.ID) && len(s.ID)+extra > maxServiceName {
		d.bad(&s.ID, "id is longer than %d characters, and so would the name of its Knative service be too long", maxServiceName-extra)
	}
	if s.Runtime.Remote == nil {
		checkPodEgress(d, s, all)
	}
}

// checkPodEgress has an operator say where filters and token endpoints are. A pod has one network: opened to any public
// address for them, it would be for the server beside, whatever its own egress says.
func checkPodEgress(d *document, s *Server, all *names) {
	const sharing = "the server beside its shim reaches what the shim does: name the networks, 0.0.0.0/0 and ::/0 for any public address"
	for i, name := range s.Filters {
		if all.anywhere[name] {
			d.bad(&s.Filters[i], "filters: %.60q has no egress, and in a cluster %s", name, sharing)
		}
	}
	if s.Token != nil && s.Token.Exchange != nil && len(s.Token.Exchange.Egress) == 0 {
		d.bad(s.Token.Exchange, "token.exchange.egress is missing: in a cluster %s", sharing)
	}
}
