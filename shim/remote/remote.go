// Package remote makes clients of what runs elsewhere: an MCP server, a filter, a webhook. Each is reached at addresses
// that package egress allows, and nowhere else.
package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/peer"
)

// Remote is what is needed to reach a program that runs elsewhere.
type Remote struct {
	Egress         []egress.Rule  // where it may be; empty: at any public address, and the URL's port
	ConnectTimeout time.Duration  // for the look-up, the connection and the TLS handshake together
	Roots          *x509.CertPool // that its certificate is checked against; this machine's where nil
	Resolver       *net.Resolver  // this machine's where nil
}

// idleTime is how long a connection is kept: Node and uvicorn close theirs after 5 s.
const idleTime = 4 * time.Second

// Client connects to whoever serves u, through its guard and nothing else: no proxy that the environment names sees what
// is sent. What is encrypted is so for the name in the URL, checked against Roots. Errors of connecting are
// *UnreachedError.
func (r *Remote) Client(u *url.URL) (*peer.Client, error) {
	if r.ConnectTimeout <= 0 {
		return nil, errors.New("remote: ConnectTimeout is required")
	}
	port, err := egress.PortOf(u)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(u.Hostname(), strconv.Itoa(int(port)))
	dialer := egress.Dialer{Guard: egress.Guard{Rules: r.Egress, Port: port, Encrypted: u.Scheme == "https"},
		Resolver: r.Resolver, Timeout: r.ConnectTimeout}
	config := &tls.Config{ServerName: u.Hostname(), RootCAs: r.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	connect := func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, r.ConnectTimeout)
		defer cancel()
		conn, err := dialer.Dial(ctx, address)
		if err != nil || u.Scheme != "https" {
			return conn, err
		}
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return encrypted, nil
	}
	return &peer.Client{MaxIdleTime: idleTime, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := connect(ctx)
		return conn, unreached(err)
	}}, nil
}

// Local makes the client of a program beside the shim, at an address of network "tcp" or "unix".
func Local(network, address string) *peer.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &peer.Client{Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		return conn, unreached(err)
	}}
}

// UnreachedError says that the other side saw nothing of the request.
type UnreachedError struct{ cause error }

func (e *UnreachedError) Error() string { return "reach server: " + e.cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *UnreachedError) Unwrap() error { return e.cause }

func unreached(err error) error {
	if err == nil {
		return nil
	}
	return &UnreachedError{err}
}
