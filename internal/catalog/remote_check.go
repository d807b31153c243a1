package catalog

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"mcpgateway/internal/egress"
)

// checkRemote checks a remote server's URL.
func checkRemote(d *document, s *Server) {
	if r := s.Runtime.Remote; r != nil {
		elsewhere{&r.URL, r, "runtime.remote.url", &s.Egress, "egress"}.check(d)
	}
}

// elsewhere is the URL of what runs elsewhere, and where that may be.
type elsewhere struct {
	url        *string
	in         any // that the URL stands in
	urlName    string
	egress     *[]Egress
	egressName string
}

// check checks the URL, also against what egress names: an entry that can never be reached is found here where its URL
// holds an address. Where it holds a name, only whoever connects can tell, each time.
func (e elsewhere) check(d *document) {
	if !d.required(e.url, e.in, e.urlName) {
		return
	}
	// Of http:// it is egress that says whether it stays inside.
	const http = "http://"
	text, plain := *e.url, len(*e.url) >= len(http) && strings.EqualFold((*e.url)[:len(http)], http)
	if plain {
		text = "https://" + text[len(http):]
	}
	if err := checkURL(text); err != nil {
		d.bad(e.url, "%s %v", e.urlName, err)
		return
	}
	rules, err := egressRules(*e.egress)
	if err != nil {
		return // said already
	}
	if plain && len(rules) == 0 {
		d.bad(e.url, "%s: http:// is plain text: use https://, or name the loopback or private addresses of the server in %s", e.urlName, e.egressName)
		return
	}
	for i, rule := range rules {
		if plain && !rule.Private() {
			d.bad(&(*e.egress)[i].CIDR, "%s.cidr %v has public addresses, and the http:// of %s is plain text", e.egressName, rule.Net, e.urlName)
			return
		}
	}
	e.checkDestination(d, egress.Guard{Rules: rules, Encrypted: !plain})
}

// checkDestination asks the guard of whoever connects about the URL.
func (e elsewhere) checkDestination(d *document, guard egress.Guard) {
	u, err := url.Parse(*e.url)
	if err != nil {
		return // checkURL would have said so
	}
	if guard.Port, err = egress.PortOf(u); err != nil {
		return // and this
	}
	if len(guard.Rules) > 0 && !namesPort(guard.Rules, guard.Port) {
		d.bad(e.egress, "%s names no network at port %d, where %s is", e.egressName, guard.Port, e.urlName)
		return
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := guard.Allowed(netip.AddrPortFrom(a, guard.Port)); err != nil {
			d.bad(e.url, "%s: %v", e.urlName, err)
		}
	}
}

func namesPort(rules []egress.Rule, port uint16) bool {
	return slices.ContainsFunc(rules, func(r egress.Rule) bool { return slices.Contains(r.Ports, port) })
}

// EgressRules is what Egress names, as a guard takes it. An error means that the entry is not one that the loader passes.
func (s *Server) EgressRules() ([]egress.Rule, error) { return egressRules(s.Egress) }

// EgressRules is what Egress names, as a guard takes it.
func (w *Webhook) EgressRules() ([]egress.Rule, error) { return egressRules(w.Egress) }

// EgressRules is what Egress names, as a guard takes it.
func (m *MCPFilter) EgressRules() ([]egress.Rule, error) { return egressRules(m.Egress) }

func egressRules(list []Egress) ([]egress.Rule, error) {
	var rules []egress.Rule
	for _, e := range list {
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
