package remote

import (
	"net/url"
	"testing"
	"time"
)

// The connections of who is far away are let go before the other side closes them; those of who is beside are kept.
func TestIdleTime(t *testing.T) {
	for _, text := range []string{"https://x.test/", "http://x.test:1/"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		client, err := (&Remote{ConnectTimeout: time.Second}).Client(u)
		if err != nil || client.MaxIdleTime != idleTime {
			t.Errorf("%s: %v, %v", text, client.MaxIdleTime, err)
		}
	}
	if kept := Local("tcp", "127.0.0.1:1").MaxIdleTime; kept != 0 {
		t.Errorf("beside: %v", kept)
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
		if _, err := r.Client(u); err == nil {
			t.Errorf("%s with %+v is taken", text, r)
		}
	}
}
