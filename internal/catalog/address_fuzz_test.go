package catalog

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What is let through is in the form in which it is compared, and keeps its meaning for net/url.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://a.example:8443/x", "http://localhost:1", "http://[::1]:80/", "https://[fe80::1%25a]", "app.x://a", "https://user@a", "https://a/?", "https://A"} {
		_, host, _ := strings.Cut(s, "://")
		f.Add(byte(0), s)
		f.Add(byte(1), host)
		f.Add(byte(2), host)
	}
	for _, s := range []string{"90s", "1h30m", "30d", "0.5h"} {
		f.Add(byte(0), s)
	}
	f.Fuzz(func(t *testing.T, scheme byte, raw string) {
		raw = []string{"", "https://", "http://", "app.x://"}[scheme%4] + raw
		if checkURL(raw) == nil {
			u, err := url.Parse(raw)
			if err != nil || u.User != nil || strings.ContainsAny(raw, "?#\r\n ") || u.Scheme != "https" && !here(u.Hostname()) {
				t.Fatalf("URL %q was taken", raw)
			}
			if _, err := http.NewRequest(http.MethodGet, raw, nil); err != nil {
				t.Fatalf("URL %q was taken, but cannot be asked: %v", raw, err)
			}
		}
		if checkOrigin(raw) == nil {
			u, err := url.Parse(raw)
			if err != nil || u.Scheme+"://"+u.Host != raw || strings.ToLower(raw) != raw || u.Scheme == "http" && !here(u.Hostname()) {
				t.Fatalf("origin %q was taken", raw)
			}
		}
		if checkHost(raw) == nil {
			u, err := url.Parse("https://" + raw + "/x")
			if err != nil || u.Host != raw || u.Path != "/x" || u.User != nil || strings.ToLower(raw) != raw {
				t.Fatalf("host %q was taken", raw)
			}
		}
		if ValidID(raw) {
			u, err := url.Parse("https://a/mcp-connect/" + raw)
			if err != nil || u.Path != "/mcp-connect/"+raw || u.RawPath != "" || len(raw) > 63 || strings.Trim(raw, "-") != raw || strings.ContainsAny(raw, "./_") {
				t.Fatalf("id %q was taken", raw)
			}
		}
		checkDuration(t, raw)
	})
}

// here is what net/http would reach on this machine.
func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func checkDuration(t *testing.T, raw string) {
	t.Helper()
	d, err := ParseDuration(raw)
	if err != nil {
		if days, ok := strings.CutSuffix(raw, "d"); ok && len(days) == 1 && days[0] >= '0' && days[0] <= '9' {
			t.Fatalf("%q was refused", raw)
		}
		return
	}
	again, err := ParseDuration(d.String())
	if err != nil || again != d || d < 0 {
		t.Fatalf("%q is %v, which reads as %v, %v", raw, d, again, err)
	}
	if strings.HasSuffix(raw, "d") && time.Duration(d)%(24*time.Hour) != 0 {
		t.Fatalf("%q is %v", raw, d)
	}
}
