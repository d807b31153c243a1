package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// front stands between the suite, which cannot send a token, and the gateway. It adds the token and changes nothing
// else, Host and Origin least of all: a scenario forges them.
type front struct {
	url      string
	listener net.Listener
	server   *http.Server
}

// listenFront takes the address under which the suite will find the gateway.
func listenFront() (*front, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &front{url: "http://" + ln.Addr().String(), listener: ln}, nil
}

// serve begins to forward to the gateway.
func (f *front) serve(gateway, token string) error {
	target, err := url.Parse(gateway)
	if err != nil {
		return fmt.Errorf("parse gateway: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("Authorization", "Bearer "+token)
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

func (f *front) close() {
	if f.server != nil {
		_ = f.server.Close()
	}
	_ = f.listener.Close()
}
