package catalog

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"mcpgateway/internal/egress"
)

// checkRemote checks a remote server's URL, also against what egress names: an entry that can never be reached is found
// here where its URL holds an address. Where it holds a name, only the shim can tell, each time that it connects.
func checkRemote(d *document, s *Server) {
	r := s.Runtime.Remote
	if r == nil || !d.required(&r.URL, r, "runtime.remote.url") {
		return
	}
	// Of http:// it is egress that says whether it stays inside.
	const http = "http://"
	text, plain := r.URL, len(r.URL) >= len(http) && strings.EqualFold(r.URL[:len(http)], http)
	if plain {
		text = "https://" + text[len(http):]
	}
	if err := checkURL(text); err != nil {
		d.bad(&r.URL, "runtime.remote.url %v", err)
		return
	}
	rules, err := s.EgressRules()
	if err != nil {
		return // said already
	}
	if plain && len(rules) == 0 {
		d.bad(&r.URL, "runtime.remote.url: http:// is plain text: use https://, or name the loopback or private addresses of the server in egress")
		return
	}
	for i, rule := range rules {
		if plain && !rule.Private() {
			d.bad(&s.Egress[i].CIDR, "egress.cidr %v has public addresses, and the http:// of runtime.remote.url is plain text", rule.Net)
			return
		}
	}
	checkDestination(d, s, egress.Guard{Rules: rules, Encrypted: !plain})
}

// checkDestination asks the shim's own guard about the URL.
func checkDestination(d *document, s *Server, guard egress.Guard) {
	r := s.Runtime.Remote
	u, err := url.Parse(r.URL)
	if err != nil {
		return // checkURL would have said so
	}
	if guard.Port, err = egress.PortOf(u); err != nil {
		return // and this
	}
	if len(guard.Rules) > 0 && !namesPort(guard.Rules, guard.Port) {
		d.bad(&s.Egress, "egress names no network at port %d, where runtime.remote.url is", guard.Port)
		return
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := guard.Allowed(netip.AddrPortFrom(a, guard.Port)); err != nil {
			d.bad(&r.URL, "runtime.remote.url: %v", err)
		}
	}
}

func namesPort(rules []egress.Rule, port uint16) bool {
	return slices.ContainsFunc(rules, func(r egress.Rule) bool { return slices.Contains(r.Ports, port) })
}

// EgressRules is what Egress names, as a guard takes it. An error means that the entry is not one that the loader passes.
func (s *Server) EgressRules() ([]egress.Rule, error) {
	var rules []egress.Rule
	for _, e := range s.Egress {
		network, err := egress.ParseNet(e.CIDR)
		if err != nil {
			return nil, err
		}
		rule := egress.Rule{Net: network}
		for _, port := range e.Ports {
			if port < 1 || port > 65535 {
				return nil, fmt.Errorf("egress: %d is no port", port)
			}
			rule.Ports = append(rule.Ports, uint16(port))
		}
		if len(rule.Ports) == 0 {
			return nil, fmt.Errorf("egress: %v names no port", network)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}
