// Package egress decides at which addresses a server that runs elsewhere may be.
//
// A remote server's address comes from a name that somebody else answers for, so it is decided on when the connection
// is made and nowhere before: a name that is public when it is looked up and private a moment later gets nobody in.
// The package knows addresses and ports only; it speaks no TLS and follows no redirect.
package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// Guard says which addresses are allowed. The zero Guard allows none.
type Guard struct {
	// Rules are what the operator named. Where there are any, nothing else is allowed, and a private or other special
	// address is allowed if a rule's network lies wholly inside its range: 10.1.0.0/16 opens private addresses,
	// 0.0.0.0/0 opens public ones only.
	Rules []Rule
	// Port is where public addresses are allowed when there are no rules.
	Port uint16
	// Encrypted says that nobody on the way can read what is sent. Without, no public address is allowed.
	Encrypted bool
}

// Allowed returns nil, or why a connection to a must not be made. The error is for the log, not for callers: it tells
// where a name leads inside.
func (g Guard) Allowed(a netip.AddrPort) error {
	switch {
	case !a.IsValid() || a.Port() == 0:
		return fmt.Errorf("%v is no address", a)
	case a.Addr().Zone() != "":
		return fmt.Errorf("%v has a zone: it is on this machine's own link", a)
	}
	to := destination(a.Addr())
	kept, isSpecial := find(to)
	named := g.named(netip.AddrPortFrom(to, a.Port()), kept.prefix)
	switch {
	case !isSpecial && !g.Encrypted:
		return fmt.Errorf("%v is public, and http:// is plain text", a)
	case named:
		return nil
	case isSpecial:
		return fmt.Errorf("%v is %s: it is reached only if egress names it, by a network inside %v and its port", a, kept.what, kept.prefix)
	case len(g.Rules) > 0:
		return fmt.Errorf("%v is not named in egress", a)
	case a.Port() != g.Port:
		return fmt.Errorf("%v is not at the URL's port: only egress can name another", a)
	}
	return nil
}

// named tells whether a rule names an address. Where within is given, the rule's network must lie inside it.
func (g Guard) named(a netip.AddrPort, within netip.Prefix) bool {
	return slices.ContainsFunc(g.Rules, func(r Rule) bool {
		return r.Net.Contains(a.Addr()) && slices.Contains(r.Ports, a.Port()) && (!within.IsValid() || inside(r.Net, within))
	})
}

func inside(p, within netip.Prefix) bool {
	return p.Bits() >= within.Bits() && within.Contains(p.Addr())
}
