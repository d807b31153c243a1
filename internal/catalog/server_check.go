package catalog

import (
	"regexp"
	"strings"
	"time"

	"mcpgateway/internal/egress"
)

const (
	maxArgs = 1000
	maxText = 64 << 10 // bytes of an argument or of a variable's value
)

// checkServer fills in an entry's defaults and checks what was given.
func checkServer(d *document, s *Server, all *names) {
	d.label(&s.ID, s, "id")
	d.text(&s.Title, "title", 200)
	d.text(&s.Description, "description", 4000)
	checkRuntime(d, s)
	checkEnv(d, s)
	if s.Instances.PerUser {
		number(d, &s.Instances.Max, "instances.max", 1, 100, 100_000)
		number(d, &s.Instances.IdleDelete, "instances.idleDelete", Duration(time.Hour), 0, Duration(3650*24*time.Hour))
	}
	number(d, &s.Scale.Idle, "scale.idle", Duration(100*time.Millisecond), Duration(time.Minute), Duration(24*time.Hour))
	number(d, &s.Scale.Max, "scale.max", 1, 1, 1000)
	number(d, &s.Scale.Concurrency, "scale.concurrency", 1, 100, 10_000)
	number(d, &s.Startup.Timeout, "startup.timeout", Duration(100*time.Millisecond), Duration(time.Minute), Duration(15*time.Minute))
	d.choice(&s.Sessions, "sessions", "survive", "strict", "none")
	d.choice(&s.Listen, "listen", "poll", "off", "hold")
	d.choice(&s.Discovery, "discovery", "live", "cached")
	if s.Scale.Max > 1 && s.Sessions != "none" {
		d.bad(&s.Scale.Max, "scale.max above 1 needs sessions: none, since a session lives in one copy only")
	}
	checkResources(d, &s.Resources)
	checkEgress(d, s.Egress, "egress", all.platform)
	checkRemote(d, s)
	checkToken(d, s, all.platform)
	checkHeaders(d, s)
	checkAudit(d, &s.Audit, all.platform)
	checkService(d, s, all)
	given := map[string]bool{}
	for i, name := range s.Filters {
		if _, ok := all.filters[name]; !ok {
			d.bad(&s.Filters[i], "filters: there is no filter %.60q", name)
		}
		if given[name] {
			d.bad(&s.Filters[i], "filters: %.60q is named twice", name)
		}
		given[name] = true
	}
	checkServerFilters(d, s, all)
	checkDiscovery(d, s, all)
}

var (
	envName   = newPattern(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)
	secretKey = newPattern(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,252}$`) // no leading dot: it names a file locally
)

// checkEnv never repeats a value, nor what is no name: it may be a secret in the wrong place.
func checkEnv(d *document, s *Server) {
	if len(s.Env) > 0 && s.Runtime.Remote != nil {
		d.bad(&s.Env, "env is not for a remote server: it runs elsewhere, in an environment that is not ours to set")
	}
	given := map[string]bool{}
	for i := range s.Env {
		e := &s.Env[i]
		switch {
		case !d.required(&e.Name, e, "env.name"):
		case !d.matches(&e.Name, envName):
			d.bad(&e.Name, "env.name must hold letters, digits and _ only, and no digit first")
		case e.Name == "PORT" && s.Runtime.Command != nil:
			d.bad(&e.Name, "env: PORT is set by the gateway, to the port to listen on")
		case given[e.Name]:
			d.bad(&e.Name, "env: %.60q is given twice", e.Name)
		}
		given[e.Name] = true
		d.one(e, e, "env: exactly one of %s is needed", alternative{"value", d.has(&e.Value)}, alternative{"secret", e.Secret != nil})
		checkArgument(d, &e.Value, "env.value")
		checkSecret(d, e.Secret, "env.secret")
	}
}

func checkSecret(d *document, s *SecretKey, name string) {
	if s != nil && d.required(&s.Key, s, name+".key") && !d.matches(&s.Key, secretKey) {
		d.bad(&s.Key, "%s.key is no key: write letters, digits, -, _ and .", name)
	}
}

var placeholder = regexp.MustCompile(`\{(shim|listen|state|port:[^{}]*|socket:[^{}]*|mount:[^{}]*)\}`)

// checkArgument checks text that becomes an argument or a variable of the server's process. Of the placeholders that
// deployers fill in, an operator may use only {port}: the others would tell the server where the shim's things are.
func checkArgument(d *document, field *string, name string) {
	switch {
	case len(*field) > maxText:
		d.bad(field, "%s is longer than %d KiB", name, maxText>>10)
	case strings.ContainsRune(*field, 0):
		d.bad(field, "%s holds a zero byte", name)
	case placeholder.MatchString(*field):
		d.bad(field, "%s: the only placeholder is {port}", name)
	}
}

var (
	cpuQuantity    = newPattern(`^([1-9][0-9]{0,5}m?|[0-9]{1,3}\.[0-9]{1,3})$`)
	memoryQuantity = newPattern(`^[1-9][0-9]{0,11}(Ki|Mi|Gi|Ti|k|M|G|T)?$`)
)

func checkResources(d *document, r *Resources) {
	if d.has(&r.CPU) && (!d.matches(&r.CPU, cpuQuantity) || strings.Trim(r.CPU, "0.") == "") {
		d.bad(&r.CPU, "resources.cpu must be a quantity such as 500m or 2")
	}
	if d.has(&r.Memory) && !d.matches(&r.Memory, memoryQuantity) {
		d.bad(&r.Memory, "resources.memory must be a quantity such as 256Mi or 1Gi")
	}
}

// checkEgress also refuses, in a cluster, what its admission policy does (knative/config).
func checkEgress(d *document, list []Egress, name string, p *Platform) {
	for i := range list {
		e := &list[i]
		if d.required(&e.CIDR, e, name+".cidr") {
			network, err := egress.ParseNet(e.CIDR)
			switch {
			case err != nil:
				d.bad(&e.CIDR, "%s.cidr: %v", name, err)
			case p.Deployer.Knative != nil && egress.Rule{Net: network}.LinkLocal():
				d.bad(&e.CIDR, "%s.cidr: no server in a cluster reaches %v, where machines are told their secrets", name, network)
			}
		}
		needed(d, &e.Ports, e, name+".ports is missing")
		for j := range e.Ports {
			number(d, &e.Ports[j], name+".ports", 1, 0, 65535)
		}
	}
}

func (d *document) webURL(field *string, in any, name string) {
	if d.required(field, in, name) {
		if err := checkURL(*field); err != nil {
			d.bad(field, "%s %v", name, err)
		}
	}
}
