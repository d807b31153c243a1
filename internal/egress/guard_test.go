package egress

import (
	"net/netip"
	"strings"
	"testing"
)

// public allows any public address at port 443.
var anyPublic = Guard{Port: 443, Encrypted: true}

// Each range with its first and last address, and the neighbours outside that are public.
func TestSpecialAddresses(t *testing.T) {
	for _, c := range []struct{ what, first, last, before, after string }{
		{"unspecified", "0.0.0.0", "0.255.255.255", "", "1.0.0.0"},
		{"private", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
		{"carrier", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
		{"loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
		{"link-local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
		{"private", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
		{"reserved", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
		{"documentation", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
		{"reserved", "192.31.196.0", "192.31.196.255", "192.31.195.255", "192.31.197.0"},
		{"reserved", "192.52.193.0", "192.52.193.255", "192.52.192.255", "192.52.194.0"},
		{"6to4 relay", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
		{"private", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
		{"reserved", "192.175.48.0", "192.175.48.255", "192.175.47.255", "192.175.49.0"},
		{"benchmark", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
		{"documentation", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
		{"documentation", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
		{"multicast", "224.0.0.0", "239.255.255.255", "223.255.255.255", ""},
		{"reserved", "240.0.0.0", "255.255.255.254", "", ""},
		{"broadcast", "255.255.255.255", "255.255.255.255", "", ""},
		{"metadata", "169.254.169.254", "169.254.169.254", "", ""},
		{"metadata", "169.254.170.2", "169.254.170.2", "", ""},
		{"metadata", "169.254.170.23", "169.254.170.23", "", ""},
		{"metadata", "100.100.100.200", "100.100.100.200", "", ""},
		{"metadata", "192.0.0.192", "192.0.0.192", "", ""},
		{"metadata", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
		{"metadata", "fd00:ec2::254", "fd00:ec2::254", "", ""},
		{"metadata", "fd00:ec2::23", "fd00:ec2::23", "", ""},
		{"metadata", "fd20:ce::254", "fd20:ce::254", "", ""},
		{"unspecified", "::", "::", "", ""},
		{"loopback", "::1", "::1", "", ""},
		{"reserved", "::2", "::fffe:ffff:ffff", "", ""},
		{"reserved", "::7f00:1", "::7f00:1", "", ""}, // ::127.0.0.1, RFC 4291 2.5.5.1
		{"local translation", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"reserved", "100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"},
		{"Teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::", ""},
		{"reserved", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2001:200::"},
		{"documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7::", "2001:db9::"},
		{"6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::", "2003::"},
		{"reserved", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff::", "2620:4f:8001::"},
		{"documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"},
		{"reserved", "4000::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff::", ""},
		{"reserved", "8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"private", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"reserved", "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"private", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
	} {
		for _, text := range []string{c.first, c.last} {
			a := netip.MustParseAddr(text)
			for _, form := range forms(a) {
				if err := anyPublic.Allowed(netip.AddrPortFrom(form, 443)); err == nil || !strings.Contains(err.Error(), c.what) {
					t.Errorf("%v: %v, want one that says %s", form, err, c.what)
				}
			}
		}
		for _, text := range []string{c.before, c.after} {
			if text == "" {
				continue
			}
			for _, form := range forms(netip.MustParseAddr(text)) {
				if err := anyPublic.Allowed(netip.AddrPortFrom(form, 443)); err != nil {
					t.Errorf("%v is public: %v", form, err)
				}
			}
		}
	}
}

// forms are all spellings of an IPv4 address that lead to it, or the IPv6 address alone.
func forms(a netip.Addr) []netip.Addr {
	if !a.Is4() {
		return []netip.Addr{a}
	}
	return []netip.Addr{a, embed("::ffff:0:0", a), embed("64:ff9b::", a)}
}

func embed(prefix string, a netip.Addr) netip.Addr {
	b, v4 := netip.MustParseAddr(prefix).As16(), a.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}

func TestAllowed(t *testing.T) {
	rules := func(text string) Guard {
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return Guard{Rules: r, Port: 443, Encrypted: true}
	}
	plain := func(text string) Guard { g := rules(text); g.Encrypted = false; return g }
	for _, c := range []struct {
		name  string
		guard Guard
		addr  string
		says  string // empty: allowed
	}{
		{"public", anyPublic, "1.1.1.1:443", ""},
		{"public, IPv6", anyPublic, "[2606:4700::1111]:443", ""},
		{"another port", anyPublic, "1.1.1.1:22", "URL's port"},
		{"zone", anyPublic, "[2606:4700::1111%eth0]:443", "zone"},
		{"link-local zone", rules("fe80::/10 443"), "[fe80::1%eth0]:443", "zone"},
		{"zero guard", Guard{}, "1.1.1.1:443", "plain text"},
		{"zero guard at port 0", Guard{}, "1.1.1.1:0", "no address"},
		{"no port asked for", Guard{Encrypted: true}, "1.1.1.1:443", "URL's port"},
		{"plain text", Guard{Port: 443}, "1.1.1.1:443", "plain text"},

		{"named", rules("140.82.112.0/20 443"), "140.82.127.255:443", ""},
		{"named, mapped", rules("140.82.112.0/20 443"), "[::ffff:140.82.112.1]:443", ""},
		{"named, translated", rules("140.82.112.0/20 443"), "[64:ff9b::140.82.112.1]:443", ""},
		{"not named", rules("140.82.112.0/20 443"), "140.82.128.0:443", "not named"},
		{"port not named", rules("140.82.112.0/20 8443"), "140.82.112.1:443", "not named"},
		{"second rule", rules("140.82.112.0/20 443, 10.0.0.0/8 80 8080"), "10.1.2.3:8080", ""},
		{"port of another rule", rules("140.82.112.0/20 443, 10.0.0.0/8 80"), "10.1.2.3:443", "private"},
		{"IPv6", rules("2606:4700::/32 443"), "[2606:4700::1]:443", ""},
		{"private", rules("10.1.0.0/16 443"), "10.1.255.255:443", ""},
		{"private, mapped", rules("10.1.0.0/16 443"), "[::ffff:10.1.2.3]:443", ""},
		{"other private", rules("10.1.0.0/16 443"), "10.2.0.0:443", "private"},
		{"unique local", rules("fd00::/8 443"), "[fd12::1]:443", ""},
		{"loopback", rules("127.0.0.1/32 443"), "127.0.0.1:443", ""},
		{"all names public only", rules("0.0.0.0/0 8443"), "1.1.1.1:8443", ""},
		{"all is not loopback", rules("0.0.0.0/0 443"), "127.0.0.1:443", "loopback"},
		{"all is not metadata", rules("0.0.0.0/0 443"), "169.254.169.254:443", "metadata"},
		{"all is not unique local", rules("::/0 443"), "[fd12::1]:443", "private"},
		{"half is not link-local", rules("8000::/1 443"), "[fe80::1]:443", "link-local"},
		{"around metadata", rules("169.254.0.0/16 80, 0.0.0.0/0 80"), "169.254.169.254:80", "169.254.169.254/32"},
		{"around metadata, IPv6", rules("fd00:ec2::/32 80"), "[fd00:ec2::254]:80", "metadata"},
		{"metadata itself", rules("169.254.169.254/32 80"), "169.254.169.254:80", ""},
		{"6to4 of a named network", rules("10.0.0.0/8 443"), "[2002:a00:1::]:443", "6to4"},

		{"plain text to named loopback", plain("127.0.0.0/8 8080"), "127.0.0.1:8080", ""},
		{"plain text to named public", plain("1.1.1.1/32 80"), "1.1.1.1:80", "plain text"},
		{"plain text to loopback", Guard{Port: 80}, "127.0.0.1:80", "loopback"},
	} {
		err := c.guard.Allowed(netip.MustParseAddrPort(c.addr))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s is answered %v, want %q", c.name, c.addr, err, c.says)
		}
	}
	if err := anyPublic.Allowed(netip.AddrPort{}); err == nil {
		t.Error("no address is allowed")
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"public", "140.82.112.0/20 443", "140.82.112.0/20 443 8443, fd00::/8 1 65535, ::/0 443"} {
		rules, err := Parse(text)
		if got := Format(rules); err != nil || got != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " ", ",", "public,", "10.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0/8 0", "10.0.0.0/8 65536", "10.0.0.0/8 -1", "10.0.0.0/8 +1", "10.0.0.0/8 443,10.0.0.0/8 443",
		"10.0.0.1/8 443", "10.0.0.1 443", "010.0.0.0/8 443", "10.0/8 443", "0xa.0.0.0/8 443", "fe80::%eth0/10 443", "fe80::/10%eth0 443", "::ffff:10.0.0.0/104 443", "64:ff9b::a00:0/104 443",
		strings.Repeat("10.0.0.0/8 443, ", maxRules) + "10.0.0.0/8 443"} {
		if rules, err := Parse(text); err == nil {
			t.Errorf("%.100q is read as %d rules", text, len(rules))
		}
	}
}

func TestPrivate(t *testing.T) {
	for text, want := range map[string]bool{"10.0.0.0/8": true, "127.0.0.1/32": true, "fd00::/8": true, "169.254.169.252/30": true, "0.0.0.0/0": false, "10.0.0.0/7": false, "1.1.1.1/32": false, "2000::/3": false} {
		if got := (Rule{Net: netip.MustParsePrefix(text)}).Private(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
