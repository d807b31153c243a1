package egress

import (
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzAllowed looks whether what is allowed as public is public by another reading: that of package net, on the bytes
// of the address, and on the IPv4 address that each known way of embedding would find in it.
func FuzzAllowed(f *testing.F) {
	for _, text := range []string{"1.1.1.1", "127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001::7f00:1",
		"fe80::1%eth0", "::1", "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "1.1.1.1.", "localhost.", "[::1]", "fd00:ec2::254", "::127.0.0.1", "2606:4700::1111", "::ffff:0:127.0.0.1"} {
		a, _ := netip.ParseAddr(text)
		f.Add(text, a.AsSlice())
	}
	f.Add("", []byte{172, 16, 0, 1})
	f.Add("", []byte{192, 168, 0, 1})
	f.Fuzz(func(t *testing.T, text string, address []byte) {
		if a, ok := netip.AddrFromSlice(address); ok {
			text = a.String() // text alone seldom stays an address when it is changed
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			// What is no address is a name; that must be so for everybody who could connect.
			if ip := net.ParseIP(text); ip != nil {
				t.Fatalf("%q is %v", text, ip)
			}
			return
		}
		if anyPublic.Allowed(netip.AddrPortFrom(a, 443)) != nil {
			return
		}
		ip := net.ParseIP(text) // nil with a zone
		if !isPublic(ip) {
			t.Fatalf("%q is allowed", text)
		}
		if ip.To4() != nil {
			return
		}
		for _, embedded := range []struct {
			prefix string
			at     int
		}{{"64:ff9b::/96", 12}, {"2002::/16", 2}, {"::/96", 12}, {"::ffff:0:0:0/96", 12}, {"64:ff9b:1::/48", 12}} {
			if _, n, _ := net.ParseCIDR(embedded.prefix); n.Contains(ip) && !isPublic(ip[embedded.at:embedded.at+4]) {
				t.Fatalf("%q is allowed, and leads to %v", text, net.IP(ip[embedded.at:embedded.at+4]))
			}
		}
	})
}

func isPublic(ip net.IP) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified() && !ip.IsMulticast()
}

// form is how rules are written, as a reference for Parse.
var form = regexp.MustCompile(`^[0-9a-f:.]+/[0-9]{1,3}( 0*[1-9][0-9]{0,4})+(, [0-9a-f:.]+/[0-9]{1,3}( 0*[1-9][0-9]{0,4})+)*$`)

// FuzzParse looks whether what is read is what is written, and package net reads the same networks: their first address
// is the one that is written, or somebody meant another network.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"public", "10.0.0.0/8 80 8080, fd00::/8 443", "0.0.0.0/0 1", "::ffff:10.0.0.0/104 443", "10.0.0.0/8 +1", "10.0.0.0/08 1", "64:ff9b::/96 1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(Format(rules))
		if err != nil || !reflect.DeepEqual(again, rules) {
			t.Fatalf("%q: %q, %v", text, Format(rules), err)
		}
		if text == public {
			return
		}
		items := strings.Split(text, ", ")
		if !form.MatchString(strings.ToLower(text)) || len(items) != len(rules) {
			t.Fatalf("%q: taken as %v", text, rules)
		}
		for i, r := range rules {
			checkClosed(t, r)
			written, ports, _ := strings.Cut(items[i], " ")
			ip, network, err := net.ParseCIDR(written)
			if err != nil || !ip.Equal(network.IP) || strings.HasPrefix(network.String(), "64:ff9b::") && r.Net.Bits() >= 96 || strings.Contains(written, ":") && ip.To4() != nil {
				t.Fatalf("%q: %q is taken as %v: %v", text, written, r.Net, err)
			}
			if size, _ := network.Mask.Size(); network.IP.String() != r.Net.Addr().String() || size != r.Net.Bits() {
				t.Fatalf("%q: %v, want %v", text, r.Net, network)
			}
			for j, port := range strings.Split(ports, " ") {
				if strings.TrimLeft(port, "0") != strconv.Itoa(int(r.Ports[j])) {
					t.Fatalf("%q: port %d, want %s", text, r.Ports[j], port)
				}
			}
		}
	})
}

// checkClosed sees that a NetworkPolicy of the rule is one that Kubernetes and its admission policy take: parts of the
// network are left out, and all of what is link-local.
func checkClosed(t *testing.T, r Rule) {
	closed := r.Closed()
	for _, p := range closed {
		if p.Bits() <= r.Net.Bits() || !r.Net.Contains(p.Addr()) {
			t.Fatalf("%v is no part of %v", p, r.Net)
		}
	}
	for _, local := range linkLocal {
		leftOut := slices.ContainsFunc(closed, func(p netip.Prefix) bool { return inside(local, p) })
		if r.Net.Overlaps(local) && !leftOut && !r.LinkLocal() {
			t.Fatalf("%v opens %v", r.Net, local)
		}
	}
}
