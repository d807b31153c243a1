package catalog

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"mcpgateway/internal/egress"
)

// destination is a URL that the shim connects to, and where that may be.
type destination struct {
	url        *string
	name       string // of the URL's field
	egress     *[]Egress
	egressName string
	what       string // is there
}

// checkRemote checks a remote server's URL.
func checkRemote(d *document, s *Server) {
	if r := s.Runtime.Remote; r != nil && d.required(&r.URL, r, "runtime.remote.url") {
		destination{&r.URL, "runtime.remote.url", &s.Egress, "egress", "the server"}.check(d)
	}
}

// check checks the URL, also against what egress names: an entry that can never be reached is found here where its URL
// holds an address. Where it holds a name, only the shim can tell, each time that it connects.
func (t destination) check(d *document) {
	// Of http:// it is egress that says whether it stays inside.
	const http = "http://"
	text, plain := *t.url, len(*t.url) >= len(http) && strings.EqualFold((*t.url)[:len(http)], http)
	if plain {
		text = "https://" + text[len(http):]
	}
	if err := checkURL(text); err != nil {
		d.bad(t.url, "%s %v", t.name, err)
		return
	}
	rules, err := egressRules(*t.egress)
	if err != nil {
		return // said already
	}
	if plain && len(rules) == 0 {
		d.bad(t.url, "%s: http:// is plain text: use https://, or name the loopback or private addresses of %s in %s", t.name, t.what, t.egressName)
		return
	}
	for i, rule := range rules {
		if plain && !rule.Private() {
			d.bad(&(*t.egress)[i].CIDR, "%s.cidr %v has public addresses, and the http:// of %s is plain text", t.egressName, rule.Net, t.name)
			return
		}
	}
	t.ask(d, egress.Guard{Rules: rules, Encrypted: !plain})
}

// ask asks the shim's own guard about the URL.
func (t destination) ask(d *document, guard egress.Guard) {
	u, err := url.Parse(*t.url)
	if err != nil {
		return // checkURL would have said so
	}
	if guard.Port, err = egress.PortOf(u); err != nil {
		return // and this
	}
	if len(guard.Rules) > 0 && !namesPort(guard.Rules, guard.Port) {
		d.bad(t.egress, "%s names no network at port %d, where %s is", t.egressName, guard.Port, t.name)
		return
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := guard.Allowed(netip.AddrPortFrom(a, guard.Port)); err != nil {
			d.bad(t.url, "%s: %v", t.name, err)
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

// EgressRules is what Egress names, as a guard takes it, where the filter is a server of the catalog.
func (f *Filter) EgressRules() ([]egress.Rule, error) { return egressRules(f.Egress) }

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
