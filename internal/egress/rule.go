package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Rule names a network and the ports that may be reached there.
type Rule struct {
	Net   netip.Prefix
	Ports []uint16
}

// Private tells whether a rule names only addresses that are not public.
func (r Rule) Private() bool {
	return slices.ContainsFunc(specials, func(s special) bool { return inside(r.Net, s.prefix) })
}

// Closed lists what a rule does not open of its network: the special ranges inside it, none of them inside another of the
// list. A Guard with this rule alone, and a firewall that opens the network without these, agree on every address.
func (r Rule) Closed() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range specials {
		if s.prefix != r.Net && inside(s.prefix, r.Net) {
			list = append(list, s.prefix)
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool {
		return slices.ContainsFunc(list, func(wider netip.Prefix) bool { return wider != p && inside(p, wider) })
	})
}

// LinkLocal tells whether a rule names link-local addresses or AWS's metadata over IPv6, where a machine is told its secrets,
// and nothing else. Kubernetes' admission policy for servers has the same ranges (knative/config).
func (r Rule) LinkLocal() bool {
	return slices.ContainsFunc(linkLocal, func(p netip.Prefix) bool { return inside(r.Net, p) })
}

// String writes a rule as Parse reads it.
func (r Rule) String() string {
	text := r.Net.String()
	for _, port := range r.Ports {
		text += " " + strconv.Itoa(int(port))
	}
	return text
}

// public is the text for no rules: any public address, at the URL's port.
const public = "public"

// maxRules bounds the rules of one server.
const maxRules = 10_000

// Format writes rules as Parse reads them.
func Format(rules []Rule) string {
	if len(rules) == 0 {
		return public
	}
	var list []string
	for _, r := range rules {
		list = append(list, r.String())
	}
	return strings.Join(list, ", ")
}

// Parse reads rules: networks with their ports, "140.82.112.0/20 443, 10.0.0.0/8 80 8080", or "public" for none.
func Parse(text string) ([]Rule, error) {
	if text == public {
		return nil, nil
	}
	list := strings.Split(text, ", ")
	if len(list) > maxRules {
		return nil, fmt.Errorf("more than %d networks", maxRules)
	}
	var rules []Rule
	for _, item := range list {
		words := strings.Split(item, " ")
		network, err := ParseNet(words[0])
		if err != nil {
			return nil, err
		}
		r := Rule{Net: network}
		for _, word := range words[1:] {
			port, err := strconv.ParseUint(word, 10, 16)
			if err != nil || port == 0 {
				return nil, fmt.Errorf("%.60q is no port", word)
			}
			r.Ports = append(r.Ports, uint16(port))
		}
		if len(r.Ports) == 0 {
			return nil, fmt.Errorf("%v names no port", network)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// ParseNet reads a network such as 140.82.112.0/20. IPv4 in IPv6's clothes is refused: addresses are compared as what
// they lead to, so such a network would hold none.
func ParseNet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%.60q is no network such as 140.82.112.0/20", text)
	}
	if inside(p, mapped) || inside(p, translated) {
		return netip.Prefix{}, errors.New("write the IPv4 network, not the IPv6 form of it")
	}
	return p, nil
}
