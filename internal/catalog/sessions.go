package catalog

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"mcpgateway/internal/socket"
)

// SessionStore is where shims keep what must outlive their pods of sessions that do (functions/sessions): the log level and
// the subscriptions that a client asked for, and that it ended its session. Without it these end with the pod.
type SessionStore struct {
	URL   string `yaml:"url"`   // where shims reach it: http or https, or unix:PATH, by default a socket in the folder for state
	Key   string `yaml:"key"`   // file of 32 bytes or more that servers' tokens are made with, default <state>/token.key
	State string `yaml:"state"` // folder of its store, default <deployer.state>/sessions
	Table string `yaml:"table"` // DynamoDB table of its store, instead of a file: for several processes, and for a function
}

// Files are the paths of what is read at its start.
func (s *SessionStore) Files() []string { return []string{s.Key} }

// Socket is the path of its Unix socket; empty where it is reached over a network.
func (s *SessionStore) Socket() string {
	path, is := strings.CutPrefix(s.URL, unixScheme)
	if !is {
		return ""
	}
	return path
}

// checkSessionURL takes plain http too where a URL leads nowhere but to this machine's networks or a cluster's: what is in a
// record is sealed, and who sees such a network is trusted with the tokens.
func checkSessionURL(d *document, s *SessionStore) {
	u, err := url.Parse(s.URL)
	if err == nil && u.Scheme == "http" {
		at, _ := netip.ParseAddr(u.Hostname())
		if at.IsPrivate() || strings.HasSuffix(u.Hostname(), ".svc") || strings.HasSuffix(u.Hostname(), ".svc.cluster.local") {
			u.Scheme = "https"
		}
	}
	if err == nil {
		err = checkURL(u.String())
	}
	if err != nil {
		d.bad(&s.URL, "sessions.url %v", err)
	}
}

// unixScheme begins the address of a socket.
const unixScheme = "unix:"

// checkSessionStore is called when the deployer's state is known.
func checkSessionStore(d *document, p *Platform, dir string) {
	s := p.Sessions
	if s == nil {
		return
	}
	d.filePath(&s.State, "sessions.state", dir, filepath.Join(p.Deployer.State, "sessions"))
	d.filePath(&s.Key, "sessions.key", dir, filepath.Join(s.State, "token.key"))
	if d.has(&s.Table) && !d.matches(&s.Table, tableForm) {
		d.bad(&s.Table, "sessions.table: %.60q is no name of a DynamoDB table: 3 to 255 letters, digits, dots, dashes and underscores", s.Table)
	}
	elsewhere := p.Deployer.Knative != nil || p.Deployer.Docker != nil
	switch path, isSocket := strings.CutPrefix(s.URL, unixScheme); {
	case !d.has(&s.URL) && elsewhere, isSocket && elsewhere:
		d.bad(s, "sessions.url must be http:// or https:// where shims run in containers, which reach no socket of this machine")
	case !d.has(&s.URL):
		s.URL = unixScheme + filepath.Join(s.State, "sessions.sock")
	case isSocket && !filepath.IsAbs(path):
		d.bad(&s.URL, "sessions.url: unix:PATH needs an absolute path")
	case !isSocket:
		checkSessionURL(d, s)
	}
	if len(s.Socket()) > socket.MaxPath {
		d.bad(s, "sessions.url: the socket's path is longer than %d bytes: set deployer.state or sessions.state to a shorter one", socket.MaxPath)
	}
}
