package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"mcpgateway/internal/measure"
)

// referenceVerb has this program be one proxy of the reference: bench referenceVerb ADDRESS TARGET.
const referenceVerb = "reverse-proxy"

// serveReference is a plain reverse proxy, but for two things without which the comparison would flatter us: it keeps as
// many connections as it needs, and it does not cut answers short (golang/go#40747).
func serveReference(address, target string) error {
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{MaxIdleConnsPerHost: measure.MaxConnections, DisableCompression: true},
	}
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	return server.ListenAndServe()
}
