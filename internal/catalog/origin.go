package catalog

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// checkURL requires an absolute https URL, or an http one to this machine, without credentials, query and fragment.
// Credentials in a URL end up in logs; the errors here do not repeat them.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Opaque != "", u.Host == "", len(raw) > 2048, strings.Contains(raw, " "): // net/url takes spaces
		return errors.New("is no URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return errors.New("must begin with https:// (or http:// on localhost)")
	case u.User != nil:
		return errors.New("must hold no user or password")
	case u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.HasSuffix(raw, "#"):
		return errors.New("must hold no query and no fragment")
	}
	return checkHost(strings.ToLower(u.Host))
}

// checkOrigin requires the form browsers give an origin (RFC 6454, section 6.2), since it is compared as text.
func checkOrigin(raw string) error {
	scheme, host, ok := strings.Cut(raw, "://")
	switch {
	case !ok || scheme == "" || strings.ContainsAny(host, "/?#@"):
		return errors.New("must be scheme://host or scheme://host:port and nothing after it")
	case scheme == "http" && strings.HasSuffix(host, ":80"), scheme == "https" && strings.HasSuffix(host, ":443"):
		return fmt.Errorf("must leave out the port that %s has anyway", scheme)
	case scheme == "http" && !loopback(hostname(host)):
		return errors.New("must begin with https:// (http:// is for localhost)")
	}
	for i, c := range scheme { // RFC 3986, section 3.1
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && !strings.ContainsRune("+-.", c)) {
			return errors.New("must begin with a scheme in small letters")
		}
	}
	return checkHost(host)
}

// numeric is what ends a host that some programs take for an IPv4 address (WHATWG URL, "ends in a number"): 127.1, 0x7f.1
// and 2130706433 would be a name for one reader and 127.0.0.1 for another.
var numeric = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)

// checkHost requires host or host:port as in a Host header (RFC 9110, section 7.2), in small letters.
func checkHost(hostport string) error {
	name, port := hostname(hostport), ""
	if rest := strings.TrimPrefix(hostport, name); rest != "" {
		var ok bool
		if port, ok = strings.CutPrefix(rest, ":"); !ok {
			return errors.New("holds no valid host")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("holds no valid port")
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || name != strings.ToLower(name) {
			return errors.New("holds no valid host: write an address in small letters, without a zone")
		}
		return nil
	}
	if len(name) > 253 {
		return errors.New("holds no valid host")
	}
	if numeric.MatchString(name) {
		if _, err := netip.ParseAddr(name); err != nil {
			return errors.New("holds no valid host: write an address as four decimal numbers")
		}
	}
	for label := range strings.SplitSeq(name, ".") {
		if !ValidID(label) {
			return errors.New("holds no valid host: write it in small letters, without *")
		}
	}
	return nil
}

// hostname is the host of host:port, with the brackets of an IPv6 address.
func hostname(hostport string) string {
	if strings.HasPrefix(hostport, "[") {
		if end := strings.IndexByte(hostport, ']'); end > 0 {
			return hostport[:end+1]
		}
	}
	name, _, _ := strings.Cut(hostport, ":")
	return name
}

// loopback reports whether a host is this machine. Plain http to anywhere else would carry tokens in the clear.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
