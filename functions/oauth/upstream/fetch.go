package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"mcpgateway/internal/egress"
)

// byScheme connects through the guard of the URL's scheme.
type byScheme struct{ plain, encrypted http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return b.encrypted.RoundTrip(r)
	}
	return b.plain.RoundTrip(r)
}

// newTransport connects at the URL's port to public addresses over TLS, whatever a name resolves to, or to what the operator
// named and nowhere else: who answers for a server's metadata chooses where we go.
func newTransport(c Config) http.RoundTripper {
	by := func(encrypted bool) http.RoundTripper {
		return &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				_, text, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				port, err := strconv.ParseUint(text, 10, 16)
				if err != nil {
					return nil, err
				}
				guard := egress.Guard{Rules: c.Egress, Port: uint16(port), Encrypted: encrypted}
				return egress.Dialer{Guard: guard, Resolver: c.Resolver, Timeout: timeout}.Dial(ctx, address)
			},
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    timeout,
			DisableKeepAlives:      true,
			DisableCompression:     true, // what is small when it is sent must be small when it is read
			MaxResponseHeaderBytes: 16 << 10,
		}
	}
	return byScheme{plain: by(false), encrypted: by(true)}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request. The error does not say why nobody answered: that would tell what is inside.
func (s *Server) do(req *http.Request) (answer, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-req.Context().Done():
		return answer{}, fmt.Errorf("%w: too many requests", ErrUnavailable)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	req.Header["User-Agent"] = nil
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: ask %s: %w", ErrUnavailable, req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return answer{}, fmt.Errorf("%w: the answer of %s breaks off, or is longer than 64 KiB", ErrUnavailable, req.URL.Host)
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

func (s *Server) get(ctx context.Context, address string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return s.do(req)
}

func (s *Server) post(ctx context.Context, address, kind, body string, h http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for name, values := range h {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", kind)
	return s.do(req)
}

// checkAddress refuses what is no address for a token or a person to go to. Plain HTTP is for places that the operator named.
func (s *Server) checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxAddress || u.Host == "" || u.User != nil || u.Fragment != "" || strings.Contains(address, "#") ||
		u.Scheme != "https" && (u.Scheme != "http" || len(s.Egress) == 0) {
		return errors.New("an address is no https URL, or has a user, or a fragment")
	}
	return nil
}
