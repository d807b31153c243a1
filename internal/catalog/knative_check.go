package catalog

import (
	"net/url"
	"strings"
)

// What the name of a server's Knative service holds besides the id, in bytes: mcp-<id>, and of a user's own
// mcp-<id>-<16 hex digits>.
const (
	maxServiceName  = 63 // a DNS label (RFC 1123)
	sharedNameExtra = len("mcp-")
	userNameExtra   = sharedNameExtra + 1 + 16
)

func checkDeployer(d *document, p *Deployer, dir string) {
	if d.has(&p.URL) {
		checkDeployerURL(d, &p.URL)
	}
	if p.Knative == nil {
		return
	}
	if d.has(&p.Secrets) {
		d.bad(&p.Secrets, "deployer.secrets is for processes on this machine: in a cluster a server's secrets are in its Secret mcp-<id>-server")
	}
	checkKnative(d, p.Knative, dir)
}

// checkDeployerURL takes http to any host: what is asked are names, and a network policy says who may ask.
func checkDeployerURL(d *document, field *string) {
	scheme, host, _ := strings.Cut(*field, "://")
	if scheme != "http" && scheme != "https" || checkHost(host) != nil {
		d.bad(field, "deployer.url must be http[s]://HOST[:PORT] and nothing after it")
	}
}

func checkKnative(d *document, k *Knative, dir string) {
	if !d.has(&k.Namespace) {
		k.Namespace = "mcp-servers"
	}
	d.label(&k.Namespace, k, "deployer.knative.namespace")
	if d.has(&k.Kubeconfig) {
		d.filePath(&k.Kubeconfig, "deployer.knative.kubeconfig", dir, "")
	}
	if d.required(&k.NameKey, k, "deployer.knative.nameKey") {
		d.filePath(&k.NameKey, "deployer.knative.nameKey", dir, "")
	}
	d.filePath(&k.Lock, "deployer.knative.lock", dir, "catalog.lock")
	checkKnativeImages(d, k)
	checkKnativeIngress(d, k, dir)
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

// checkService sees to it that a server's service can be named.
func checkService(d *document, s *Server, p *Platform) {
	k := p.Deployer.Knative
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
}
