package client

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// MaxRedirect is the longest redirect URI, in bytes.
const MaxRedirect = 512

var errRedirect = errors.New("a redirect URI must be https, http on this machine (127.0.0.1, [::1] or localhost), or of the " +
	"client's own scheme; absolute, in ASCII, at most 512 bytes, without user, fragment, backslash or dot segments")

// notOwn are schemes that mean something to a browser or the system: a "redirect" to one would run code, read a file, or
// send the code in the clear.
var notOwn = []string{"about", "blob", "chrome", "data", "file", "filesystem", "ftp", "ftps", "http", "https", "intent", "jar", "javascript",
	"mailto", "ms-appx", "news", "resource", "search", "sftp", "smb", "sms", "ssh", "tel", "urn", "vbscript", "view-source", "ws", "wss"}

var (
	ownScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]{1,63}$`)
	hostForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)
	// dotSegment is one that parsers resolve, also where it is escaped.
	dotSegment = regexp.MustCompile(`(?i)(^|/|%2f|;)(\.|%2e){1,2}($|/|%2f|;|\?)`)
)

// CheckRedirect refuses redirect URIs that two parsers could read in two ways, or that lead where no client is (RFC 9700
// section 4.1). What passes is compared as text.
func CheckRedirect(uri string) error {
	if uri == "" || len(uri) > MaxRedirect || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\\\"<>^`{|}#", r) }) {
		return errRedirect
	}
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || dotSegment.MatchString(u.EscapedPath()) {
		return errRedirect
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	switch scheme {
	case "https", "http":
		host, _, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
		host, _, _ = strings.Cut(host, "?")
		if !strings.HasPrefix(rest, "//") || host != u.Host || !checkHost(scheme, u) {
			return errRedirect
		}
		return nil
	}
	if !ownScheme.MatchString(scheme) || slices.Contains(notOwn, scheme) || !strings.HasPrefix(rest, "/") {
		return errRedirect
	}
	return nil
}

// checkHost tells whether the host is a name in small letters or an address that all read alike; http is for this machine.
func checkHost(scheme string, u *url.URL) bool {
	if loopback(u) {
		return true
	}
	if scheme != "https" || !hostForm.MatchString(u.Host) || strings.Contains(u.Host, "..") {
		return false
	}
	last := u.Hostname()[strings.LastIndex(u.Hostname(), ".")+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") { // browsers take it for an IPv4 address
		_, err := netip.ParseAddr(u.Hostname())
		return err == nil
	}
	return true
}

// loopback tells whether a redirect URI leads to the machine that the browser runs on (RFC 8252 section 7.3), in one of the
// three spellings that clients use.
func loopback(u *url.URL) bool {
	if u.Scheme != "http" {
		return false
	}
	port := u.Port()
	host := strings.TrimSuffix(u.Host, ":"+port)
	return (host == "127.0.0.1" || host == "[::1]" || host == "localhost") && len(port) <= 5 && !strings.HasSuffix(u.Host, ":")
}

// Loopback tells whether a redirect URI leads to the person's own machine, where any program may have taken the port.
func Loopback(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && loopback(u)
}

// Redirects tells whether a redirect URI of a request is one of the client's. They are compared as text (OAuth 2.1 section
// 2.3.1), but for the port of those on the person's own machine, which the client gets from its system when it starts.
func (c *Client) Redirects(uri string) bool {
	if CheckRedirect(uri) != nil {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(known string) bool { return known == uri || samePlace(known, uri) })
}

func samePlace(known, uri string) bool {
	k, err := url.Parse(known)
	u, wrong := url.Parse(uri)
	return err == nil && wrong == nil && loopback(u) && withoutPort(k) == withoutPort(u)
}

// withoutPort is the URI's text with its port taken out.
func withoutPort(u *url.URL) string {
	v := *u
	v.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	return v.String()
}
