package egress

import (
	"net/url"
	"testing"
)

func TestOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://mcp.Example.com/a?b": "https://mcp.example.com:443", "https://mcp.example.com:443": "https://mcp.example.com:443",
		"http://10.0.0.1": "http://10.0.0.1:80", "https://[2606:4700::1111]:8443/": "https://[2606:4700::1111]:8443", "ftp://x": "", "https://x:70000": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := Origin(u); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
