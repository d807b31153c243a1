package forward

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

// Remote is what is needed to reach a server that runs elsewhere.
type Remote struct {
	Egress         []egress.Rule  // where it may be; empty: at any public address, and the URL's port
	ConnectTimeout time.Duration  // for the look-up, the connection and the TLS handshake together
	Roots          *x509.CertPool // that its certificate is checked against; this machine's where nil
	Resolver       *net.Resolver  // this machine's where nil
}

const (
	// bridgeEndpoint is what is asked of a server behind a socket, where nothing else has a name.
	bridgeEndpoint = "http://bridge/"
	// remoteIdleTime is how long a remote's connection is kept: Node and uvicorn close theirs after 5 s.
	remoteIdleTime = 4 * time.Second
)

// reach makes the client of the server and says what to ask it for.
func (c Config) reach() (client *peer.Client, endpoint string, err error) {
	network, address, endpoint := "tcp", c.Upstream.Host, c.Upstream.String()
	switch {
	case c.Remote != nil:
		client, err = c.Remote.client(c.Upstream)
		return client, endpoint, err
	case c.Upstream.Scheme == "unix":
		network, address, endpoint = "unix", c.Upstream.Path, bridgeEndpoint
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &peer.Client{Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		return conn, unreached(err)
	}}, endpoint, nil
}

// client connects to a remote server, through its guard and nothing else: no proxy that the environment names sees what
// is sent. What is encrypted is so for the name in the URL, checked against Roots.
func (r *Remote) client(u *url.URL) (*peer.Client, error) {
	if r.ConnectTimeout <= 0 {
		return nil, errors.New("forward: Remote.ConnectTimeout is required")
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
	return &peer.Client{MaxIdleTime: remoteIdleTime, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := connect(ctx)
		return conn, unreached(err)
	}}, nil
}

// unreachedError says that the server saw nothing of the request.
type unreachedError struct{ cause error }

func (e *unreachedError) Error() string { return "reach server: " + e.cause.Error() }
func (e *unreachedError) Unwrap() error { return e.cause }

func unreached(err error) error {
	if err == nil {
		return nil
	}
	return &unreachedError{err}
}
