package egress

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Origin is the origin of an http or https URL, with its port, in one spelling: https://mcp.example.com:443.
func Origin(u *url.URL) (string, error) {
	port, err := PortOf(u)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), strconv.Itoa(int(port))), nil
}
