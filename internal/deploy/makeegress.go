package deploy

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
)

// MakeEgress says what the pods of entry s may connect to, besides resolving names: what its egress names, and what its
// shim and converters need, since a pod has one network for all of its containers. Of filters, those that s names are used.
// None means that it is nothing.
//
// A URL without egress is at any public address and its own port. What the platform names, such as the audit sink, or the
// gateway where a filter is one of its servers and has no egress, is not in here: every server would reach it, and so it is
// the operator's to open, once for all.
//
// An error means that the entry is not one that the catalog's loader passes.
func MakeEgress(s catalog.Server, filters []catalog.Filter) ([]egress.Rule, error) {
	var all destinations
	if r := s.Runtime.Remote; r != nil {
		all.add(r.URL, s.EgressRules)
	} else {
		all.addRules(s.EgressRules())
	}
	for _, name := range s.Filters {
		f, ok := find(filters, name)
		switch {
		case !ok:
			all.fail(fmt.Errorf("filter %s is not in the catalog", name))
		case f.Webhook != nil:
			all.add(f.Webhook.URL, f.Webhook.EgressRules)
		case f.MCP != nil:
			all.add(f.MCP.URL, f.MCP.EgressRules)
		case f.Server != "":
			all.addRules(f.EgressRules())
		}
	}
	if s.Token != nil && s.Token.Exchange != nil {
		all.add(s.Token.Exchange.URL, s.Token.Exchange.EgressRules)
	}
	if all.err != nil {
		return nil, fmt.Errorf("egress of %s: %w", s.ID, all.err)
	}
	return all.rules, nil
}

// anywhere are the networks that hold every address; of them a rule opens the public ones.
var anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// destinations are collected rules, each once, and the first error.
type destinations struct {
	rules []egress.Rule
	err   error
}

func (d *destinations) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// add opens what is named for a URL, or else any public address at the URL's port.
func (d *destinations) add(text string, named func() ([]egress.Rule, error)) {
	rules, err := named()
	if err == nil && len(rules) == 0 {
		rules, err = public(text)
	}
	d.addRules(rules, err)
}

func public(text string) (rules []egress.Rule, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	port, err := egress.PortOf(u)
	for _, network := range anywhere {
		rules = append(rules, egress.Rule{Net: network, Ports: []uint16{port}})
	}
	return rules, err
}

func (d *destinations) addRules(rules []egress.Rule, err error) {
	if err != nil {
		d.fail(err)
	}
	for _, r := range rules {
		same := func(other egress.Rule) bool { return other.Net == r.Net && slices.Equal(other.Ports, r.Ports) }
		if !slices.ContainsFunc(d.rules, same) {
			d.rules = append(d.rules, r)
		}
	}
}
