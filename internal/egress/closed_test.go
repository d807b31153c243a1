package egress

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A firewall that opens a rule's network without what is closed lets through what the guard does, and nothing else.
func TestClosedAgreesWithGuard(t *testing.T) {
	for _, text := range []string{"0.0.0.0/0", "::/0", "128.0.0.0/1", "168.0.0.0/6", "10.0.0.0/8", "10.1.0.0/16", "100.64.0.0/10", "140.82.112.0/20", "192.0.0.0/8",
		"169.254.0.0/16", "240.0.0.0/4", "2000::/3", "2001::/16", "2001::/23", "fc00::/7", "fd00::/8", "8000::/1", "fe00::/7", "192.168.1.7/32", "2001:db8::/32"} {
		r := Rule{Net: netip.MustParsePrefix(text), Ports: []uint16{443}}
		guard := Guard{Rules: []Rule{r}, Encrypted: true}
		closed := r.Closed()
		for _, a := range addressesAround(append(specialNets(), r.Net)) {
			if destination(a) != a {
				continue // the guard goes by the IPv4 address, which is decided on above
			}
			opens := r.Net.Contains(a) && !slices.ContainsFunc(closed, func(p netip.Prefix) bool { return p.Contains(a) })
			if err := guard.Allowed(netip.AddrPortFrom(a, 443)); opens != (err == nil) {
				t.Errorf("%v without %v opens %v: %v, and the guard says %v", r.Net, closed, a, opens, err)
			}
		}
		for i, p := range closed {
			if p == r.Net || !inside(p, r.Net) {
				t.Errorf("%v is no part of %v: Kubernetes would refuse it", p, r.Net)
			}
			for j, q := range closed {
				if i != j && inside(p, q) {
					t.Errorf("%v: %v is inside %v", r.Net, p, q)
				}
			}
		}
	}
}

func specialNets() (nets []netip.Prefix) {
	for _, s := range specials {
		nets = append(nets, s.prefix)
	}
	return nets
}

// addressesAround are the first and last address of each network, their neighbours, and some inside.
func addressesAround(nets []netip.Prefix) (list []netip.Addr) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range nets {
		first := n.Addr()
		last := first.AsSlice()
		for i := n.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 1 << (7 - i%8)
		}
		end, _ := netip.AddrFromSlice(last)
		list = append(list, first, first.Prev(), end, end.Next())
		for range 5 {
			inner := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, random.Uint64()), random.Uint64())[:len(last)]
			for i := range n.Bits() {
				inner[i/8] &^= 1 << (7 - i%8)
				inner[i/8] |= first.AsSlice()[i/8] & (1 << (7 - i%8))
			}
			a, _ := netip.AddrFromSlice(inner)
			list = append(list, a)
		}
	}
	return slices.DeleteFunc(list, func(a netip.Addr) bool { return !a.IsValid() })
}

func TestLinkLocal(t *testing.T) {
	for text, want := range map[string]bool{"169.254.169.254/32": true, "169.254.0.0/16": true, "168.0.0.0/6": false, "0.0.0.0/0": false,
		"fe80::/10": true, "fe80::1/128": true, "fe00::/7": false, "fd00:ec2::254/128": true, "fd00::/8": false, "10.0.0.0/8": false} {
		if got := (Rule{Net: netip.MustParsePrefix(text)}).LinkLocal(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
