package egress

import "net/netip"

// special is a range of addresses that are no public destination.
type special struct {
	prefix netip.Prefix
	what   string // "is ..."
}

// metadata are addresses at which clouds tell a machine its secrets. Each is a range of its own, so that naming the
// network around it does not open it.
const metadata = "a cloud's metadata address"

// specials lists the ranges of the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890), and what clouds made
// of others. The first that holds an address counts. Where the registry calls a small part of a range globally
// reachable, the whole range is here all the same: no MCP server is at an anycast address of a protocol.
var specials = []special{
	{netip.MustParsePrefix("169.254.169.254/32"), metadata},     // AWS, Azure, Google, Oracle, DigitalOcean, OpenStack
	{netip.MustParsePrefix("169.254.170.2/32"), metadata},       // AWS: credentials of an ECS task
	{netip.MustParsePrefix("169.254.170.23/32"), metadata},      // AWS: credentials of an EKS pod
	{netip.MustParsePrefix("169.254.0.23/32"), metadata},        // Tencent
	{netip.MustParsePrefix("100.100.100.200/32"), metadata},     // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},         // Oracle
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},       // Azure: public by its number, and the machine's own host
	{netip.MustParsePrefix("fd00:ec2::254/128"), metadata},      // AWS
	{netip.MustParsePrefix("fd00:ec2::23/128"), metadata},       // AWS: credentials of an EKS pod
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},       // Google
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), metadata}, // Oracle

	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},          // RFC 1122; connecting to 0.0.0.0 reaches this machine
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},              // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "a carrier's private address"}, // RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"}, // RFC 3927
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"}, // RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
	{netip.MustParsePrefix("192.31.196.0/24"), "a reserved address"}, // AS112, RFC 7535
	{netip.MustParsePrefix("192.52.193.0/24"), "a reserved address"}, // AMT, RFC 7450
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},        // RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("192.175.48.0/24"), "a reserved address"}, // AS112, RFC 7534
	{netip.MustParsePrefix("198.18.0.0/15"), "a benchmark address"},  // RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},

	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "an address of local translation"}, // RFC 8215: it embeds IPv4, nobody knows how
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},                     // RFC 4380: it embeds IPv4
	{netip.MustParsePrefix("2001::/23"), "a reserved address"},                   // RFC 2928: ORCHID, benchmarks, anycast
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},             // RFC 3056: it embeds IPv4
	{netip.MustParsePrefix("2620:4f:8000::/48"), "a reserved address"}, // AS112, RFC 7534
	{netip.MustParsePrefix("3fff::/20"), "a documentation address"},    // RFC 9637
	{netip.MustParsePrefix("fc00::/7"), "a private address"},           // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"}, // site-local, RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	// What is not in 2000::/3 is not given out to anybody (RFC 4291, section 2.4).
	{netip.MustParsePrefix("::/3"), "a reserved address"},
	{netip.MustParsePrefix("4000::/2"), "a reserved address"},
	{netip.MustParsePrefix("8000::/1"), "a reserved address"},
}

// linkLocal are ranges that no server in a cluster reaches, whoever names them.
var linkLocal = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::254/128"),
}

// find returns the range that keeps an address from being public.
func find(a netip.Addr) (special, bool) {
	for _, s := range specials {
		if s.prefix.Contains(a) {
			return s, true
		}
	}
	return special{}, false
}

var (
	mapped     = netip.MustParsePrefix("::ffff:0:0/96") // RFC 4291, section 2.5.5.2
	translated = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052: where IPv4 is reached through a translator (NAT64)
)

// destination is whom an address leads to: the IPv4 address inside an IPv6 one, where it is just another spelling.
func destination(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if translated.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}
