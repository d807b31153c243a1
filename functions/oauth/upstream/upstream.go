// Package upstream is the client of authorization servers of others: those in front of MCP servers at which people have accounts
// of their own (MCP 2025-11-25, authorization).
//
// It finds them by the server's metadata, is known there by its client id metadata document, as the operator said or by
// registration, and speaks their protocol. It keeps no tokens, and decides nothing about who may have one.
package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/secret"
)

// ErrRefused says that the authorization server was asked and gives nothing: the person, or it, has ended the connection.
var ErrRefused = errors.New("the server's sign-in refuses")

// ErrUnavailable says that it could not be asked, does not know us, or answers what nobody can use.
var ErrUnavailable = errors.New("the server's sign-in cannot be used now")

// errClient says that it does not know us, its client.
var errClient = errors.New("it does not know us as its client")

// Bounds of what others may send.
const (
	maxBody     = 64 << 10 // bytes
	timeout     = 5 * time.Second
	maxRequests = 16 // at once, to one server
	maxAddress  = 2048
	knownFor    = 15 * time.Minute // metadata
	failedFor   = 10 * time.Second // that it could not be had
)

// Client is what an authorization server knows us as.
type Client struct {
	ID     string
	Secret secret.Text // empty: a public client
	Auth   string      // client.AuthNone, AuthBasic or AuthPost
}

// registrations keeps what registering gave, for the next time; *account.Registrations is one.
type registrations interface {
	// Find returns a registration, or false where there is none.
	Find(ctx context.Context, server, issuer string) (Client, bool, error)
	// Keep keeps one until it ends, never where that is the zero time. It returns the one that counts: another process may
	// have been first.
	Keep(ctx context.Context, server, issuer string, c Client, ends time.Time) (Client, error)
	// Forget removes one that is not known there any longer.
	Forget(ctx context.Context, server, issuer string, c Client) error
}

// Config says where a server is, and as whom we come. Client is nil where we register, or are known by our document.
type Config struct {
	Server        string // id of the entry
	Resource      string // the server's URL, as its metadata names it
	Issuer        string // the authorization server; empty: the server's metadata says
	Scopes        []string
	Client        *Client
	Redirect      string // the URL to which people come back
	Document      string // the URL of the document about us
	Egress        []egress.Rule
	Registrations registrations
	Now           func() time.Time
	Roots         *x509.CertPool // this machine's where nil
	Resolver      *net.Resolver  // likewise
}

// Server is an MCP server of others with its authorization server. It is safe for concurrent use.
type Server struct {
	Config
	http  *http.Client
	slots chan struct{}

	flight singleflight.Group
	mu     sync.Mutex
	found  map[string]finding // by issuer; "" is what the server's metadata says
}

// finding is what came of the last look.
type finding struct {
	metadata *Metadata // nil where there was an error
	err      error
	until    time.Time
}

// New makes a Server. It contacts nobody.
func New(c Config) *Server {
	s := &Server{Config: c, slots: make(chan struct{}, maxRequests), found: map[string]finding{}}
	s.http = &http.Client{Transport: newTransport(c), Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s
}
