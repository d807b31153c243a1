package forward

import (
	"net/url"
	"testing"
	"time"
)

// A far server's connections are let go before it closes them; those of one beside the shim are kept.
func TestIdleTime(t *testing.T) {
	for text, c := range map[string]struct {
		remote *Remote
		kept   time.Duration
	}{
		"http://127.0.0.1:1/": {nil, 0},
		"https://x.test/":     {&Remote{ConnectTimeout: time.Second}, remoteIdleTime},
		"http://x.test:1/":    {&Remote{ConnectTimeout: time.Second}, remoteIdleTime},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		client, endpoint, err := Config{Upstream: u, Remote: c.remote}.reach()
		if err != nil || client.MaxIdleTime != c.kept || endpoint != text {
			t.Errorf("%s: %v, %s, %v", text, client.MaxIdleTime, endpoint, err)
		}
	}
}

func TestRemoteThatIsNotConfigured(t *testing.T) {
	for text, r := range map[string]*Remote{
		"https://x.test/":       {},
		"ftp://x.test/":         {ConnectTimeout: time.Second},
		"https://x.test:70000/": {ConnectTimeout: time.Second},
		"/":                     {ConnectTimeout: time.Second},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := (Config{Upstream: u, Remote: r}).reach(); err == nil {
			t.Errorf("%s with %+v is taken", text, r)
		}
	}
}
