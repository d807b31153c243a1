package proxytest

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// Front stands between a client that cannot send a token and the gateway. It adds the token and changes nothing else, Host
// and Origin least of all where it is not told to: a scenario forges them.
type Front struct {
	URL string // its origin, which it has before Serve

	listener net.Listener
	server   *http.Server
}

// Lending says what a Front adds to requests, and where they go. Host may be empty.
type Lending struct {
	Gateway string // its origin
	Token   string
	Host    string // for a gateway that knows its own name only
}

// ListenFront takes the address under which the client will find the gateway.
func ListenFront() (*Front, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Front{URL: "http://" + ln.Addr().String(), listener: ln}, nil
}

// Serve begins to forward to the gateway.
func (f *Front) Serve(l Lending) error {
	target, err := url.Parse(l.Gateway)
	if err != nil {
		return fmt.Errorf("parse gateway: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = cmp.Or(l.Host, r.In.Host)
			r.Out.Header.Set("Authorization", "Bearer "+l.Token)
		},
		FlushInterval: -1, // events must not wait
	}
	f.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Without it net/http closes the request's body at the answer's first byte and cuts answers short
			// (golang/go#40747).
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	go func() { _ = f.server.Serve(f.listener) }()
	return nil
}

// Close ends all connections.
func (f *Front) Close() {
	if f.server != nil {
		_ = f.server.Close()
	}
	_ = f.listener.Close()
}
