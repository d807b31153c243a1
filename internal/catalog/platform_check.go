package catalog

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/socket"
)

const maxIssuers = 100

// checkPlatform fills in defaults and checks what was given. dir is where relative paths begin.
func checkPlatform(d *document, p *Platform, dir string) {
	d.version(&p.APIVersion, p)
	if d.required(&p.PublicURL, p, "publicURL") {
		checkPublicURL(d, p)
	}
	for i := range p.Hosts {
		if err := checkHost(p.Hosts[i]); err != nil {
			d.bad(&p.Hosts[i], "hosts: this one %v", err)
		}
	}
	checkAliasDomain(d, p)
	for i := range p.Origins {
		if err := checkOrigin(p.Origins[i]); err != nil {
			d.bad(&p.Origins[i], "origins: this one %v", err)
		}
	}
	checkIssuers(d, p)
	for i := range p.Issuers {
		if is := &p.Issuers[i]; d.has(&is.KeysFile) {
			d.filePath(&is.KeysFile, "issuers.keys", dir, "")
		}
	}
	checkBrokers(d, p)
	checkLimits(d, &p.Limits)
	checkTelemetry(d, &p.Telemetry)
	checkAuditSink(d, p.Audit, p.Deployer.Knative, dir)
	d.filePath(&p.Catalog, "catalog", dir, "catalog.yaml")
	checkDeployer(d, &p.Deployer, dir)
	d.filePath(&p.Deployer.State, "deployer.state", dir, ".run")
	checkOAuth(d, p, dir)
	checkAuditStore(d, p, dir)
	checkSessionStore(d, p, dir)
	d.filePath(&p.Deployer.Secrets, "deployer.secrets", dir, "secrets")
	d.filePath(&p.Deployer.Socket, "deployer.socket", dir, filepath.Join(p.Deployer.State, "deployer.sock"))
	if len(p.Deployer.Socket) > socket.MaxPath {
		d.bad(&p.Deployer.Socket, "deployer.socket: the path is longer than %d bytes: set deployer.state or deployer.socket to a shorter one", socket.MaxPath)
	}
}

func (d *document) version(field *string, in any) {
	d.fact(field).values = []string{"v1"}
	if d.required(field, in, "apiVersion") && *field != "v1" {
		d.bad(field, "apiVersion must be v1")
	}
}

func checkPublicURL(d *document, p *Platform) {
	err := checkURL(p.PublicURL)
	if err == nil {
		err = checkOrigin(p.PublicURL)
	}
	if err != nil {
		d.bad(&p.PublicURL, "publicURL %v", err)
	}
}

// checkAliasDomain refuses a domain in which a name could be a server's and something else's too.
func checkAliasDomain(d *document, p *Platform) {
	if !d.has(&p.Domain) {
		return
	}
	name := hostname(p.Domain)
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	switch {
	case checkHost(p.Domain) != nil, err == nil, len(name) > 253-64:
		d.bad(&p.Domain, "domain must be a name with names below it, such as mcp.example.com, in small letters and without *")
		return
	case strings.HasPrefix(p.PublicURL, "http://") && !loopback(name):
		d.bad(&p.Domain, "domain: publicURL begins with http://, and so would the URLs below this: that is for localhost")
	}
	taken := map[*string]string{&p.PublicURL: "publicURL"}
	for i := range p.Hosts {
		taken[&p.Hosts[i]] = "hosts"
	}
	if p.OAuth != nil {
		taken[&p.OAuth.URL] = "oauth.url"
	}
	for field, what := range taken {
		_, host, found := strings.Cut(*field, "://")
		if !found {
			host = *field
		}
		if _, is := p.AliasAt(host); is {
			d.bad(field, "%s: %.200q is what a server of that name is at, by domain", what, *field)
		}
	}
}

// filePath makes a path absolute; an absent one becomes standard.
func (d *document) filePath(field *string, name, dir, standard string) {
	if !d.has(field) {
		*field = standard
	}
	switch {
	case *field == "":
		d.bad(field, "%s is empty", name)
	case strings.ContainsRune(*field, 0), len(*field) > 4096:
		d.bad(field, "%s is no path", name)
	case !filepath.IsAbs(*field):
		*field = filepath.Join(dir, *field)
	}
}

func checkLimits(d *document, l *Limits) {
	number(d, &l.CallsPerSecond, "limits.callsPerSecond", 1, 50, 1e6)
	number(d, &l.Burst, "limits.burst", 1, 100, 1e6)
	number(d, &l.Streams, "limits.streams", 1, 32, 1e5)
	number(d, &l.InFlight, "limits.inFlight", 1, 64, 1e5)
	number(d, &l.WakesPerMinute, "limits.wakesPerMinute", 1, 30, 1e5)
	number(d, &l.CallTimeout, "limits.callTimeout", Duration(time.Second), Duration(15*time.Minute), Duration(24*time.Hour))
}

func checkTelemetry(d *document, t *Telemetry) {
	number(d, &t.Percent, "telemetry.percent", 0, 10, 100)
	if !d.has(&t.Collector) {
		return
	}
	// Collectors inside a network mostly speak plain http, and are told no secret.
	u, err := url.Parse(t.Collector)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" ||
		u.ForceQuery || u.Fragment != "" || strings.HasSuffix(t.Collector, "/") || strings.HasSuffix(t.Collector, "#") {
		d.bad(&t.Collector, "telemetry.collector must be http[s]://HOST[:PORT][/PATH], without a slash at its end: /v1/traces and /v1/metrics are added")
	}
}

func checkIssuers(d *document, p *Platform) {
	needed(d, &p.Issuers, listOr(d, &p.Issuers, p), "issuers: at least one is needed, or nobody can sign in")
	if len(p.Issuers) == 0 {
		return
	}
	if len(p.Issuers) > maxIssuers {
		d.bad(&p.Issuers, "issuers: at most %d are possible", maxIssuers)
	}
	names, urls, standard := map[string]bool{}, map[string]bool{}, 0
	for i := range p.Issuers {
		is := &p.Issuers[i]
		checkIssuer(d, is)
		if is.Name != "" && names[is.Name] {
			d.bad(&is.Name, "issuers: the name %.60q is given twice", is.Name)
		}
		if is.URL != "" && urls[is.URL] {
			d.bad(&is.URL, "issuers: this url is given twice")
		}
		names[is.Name], urls[is.URL] = true, true
		if is.Default {
			standard++
		}
		if is.Default && standard > 1 {
			d.bad(&is.Default, "issuers: only one may be the default")
		}
	}
	if standard == 0 {
		d.bad(&p.Issuers, "issuers: one must be marked default: true, for names in policies that name no issuer")
	}
}

func checkIssuer(d *document, is *identity.Issuer) {
	if is.Name != "" || !is.Default {
		d.label(&is.Name, is, "issuers.name (which all but the default issuer need)")
	}
	if d.required(&is.URL, is, "issuers.url") {
		if err := checkURL(is.URL); err != nil {
			d.bad(&is.URL, "issuers.url %v", err)
		}
	}
	checkAudiences(d, is)
	if !d.has(&is.GroupsClaim) {
		is.GroupsClaim = "groups"
	}
	if is.GroupsClaim == "" {
		d.bad(&is.GroupsClaim, "issuers.groupsClaim is empty")
	}
	d.text(&is.GroupsClaim, "issuers.groupsClaim", 256)
	d.choice(&is.TokenType, "issuers.tokenType", "at+jwt", "JWT")
}

// checkAudiences refuses each audience that all servers share, unless the issuer is marked: any one of them is enough
// for a token to be accepted, so one is enough for a token taken by one server to open the others.
func checkAudiences(d *document, is *identity.Issuer) {
	needed(d, &is.Audiences, listOr(d, &is.Audiences, is), `issuers.audiences is missing: write ["{resource}"]`)
	given := map[string]bool{}
	for i := range is.Audiences {
		a := &is.Audiences[i]
		rest := strings.ReplaceAll(*a, "{resource}", "")
		switch {
		case *a == "":
			d.bad(a, "issuers.audiences: an audience is empty")
		case strings.ContainsAny(rest, "{}"):
			d.bad(a, "issuers.audiences: %.60q: the only placeholder is {resource}", *a)
		case rest == *a && !is.InsecureSharedAudience:
			d.bad(a, "issuers.audiences: %.60q is the same for all servers, so a token taken by one would open the others: use {resource}, or accept that with insecureSharedAudience: true", *a)
		}
		d.text(a, "issuers.audiences", 2048)
		if given[*a] {
			d.bad(a, "issuers.audiences: %.60q is given twice", *a)
		}
		given[*a] = true
	}
}
