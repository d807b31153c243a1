package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Whatever answers in the deployer's place, the client returns what stands there or an error that callers know.
func FuzzClient(f *testing.F) {
	f.Add(200, []byte(`{"found":true,"instance":{"id":"a","url":"unix:///x","cold":true}}`))
	f.Add(200, []byte(`{"id":"a","url":"http://127.0.0.1:1"} `))
	f.Add(503, []byte(`{"code":"limit","message":"no","retryAfterMs":1000}`))
	f.Add(404, []byte(`{"code":"","message":"no"}`))
	f.Add(401, []byte(`{"code":"limit","message":"no"}`))
	f.Add(302, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status/100 == 3 {
			return
		}
		c := &Client{http: &http.Client{Transport: answers(func() *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body)))}
		})}}
		got, ok, err := c.Find(context.Background(), Key{Server: "a"})
		var failed *StartError
		if err != nil && (!errors.As(err, &failed) || failed.Code == "" || strings.Contains(failed.Error(), "%!") && !strings.Contains(string(body), "%")) {
			t.Fatalf("%d %q: %#v", status, body, err)
		}
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			if !errors.Is(err, ErrAway) { // what stands there is not the deployer's word on the server
				t.Fatalf("%d %q: %v", status, body, err)
			}
			return
		}
		var want Found
		if decoded := json.Unmarshal(body, &want); status == http.StatusOK && (decoded == nil) != (err == nil) {
			t.Fatalf("%q: %v, but encoding/json says %v", body, err, decoded)
		} else if err == nil && (got != want.Instance || ok != want.Found) {
			t.Fatalf("%q: got %+v, %v", body, got, ok)
		}
		var said Failure
		if status != http.StatusOK && (err == nil || json.Unmarshal(body, &said) == nil && said.Code != "" && (failed.Code != said.Code || failed.Message != said.Message)) {
			t.Fatalf("%d %q: %v", status, body, err)
		}
	})
}

type answers func() *http.Response

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return a(), nil }

// An operator's text that is let through says nothing of what is not its unit's; and what is expanded is what a plain
// replacement makes of it.
func FuzzExpand(f *testing.F) {
	f.Add("--port={port} {x}", "{port:server}{listen}")
	f.Add("{{port}}{socket:a}{mount:b}", "{shim}{shim")
	f.Fuzz(func(t *testing.T, text, other string) {
		const secret = "\x00secret\x00"
		p := Places{Shim: secret, Listen: secret, State: secret, Port: "8080", Ports: map[string]string{"server": secret}, Sockets: map[string]string{"a": secret}, Mounts: map[string]string{"b": secret}}
		got, err := p.Expand(text)
		if strings.Contains(text, "\x00") {
			return
		}
		if checkText(text, ownPort) == nil && (err != nil || strings.Contains(got, secret) || got != strings.ReplaceAll(text, "{port}", "8080")) {
			t.Fatalf("%q was let through and is %q, %v", text, got, err)
		}
		if err == nil {
			want := strings.NewReplacer("{shim}", secret, "{listen}", secret, "{port}", "8080", "{port:server}", secret, "{socket:a}", secret, "{mount:b}", secret).Replace(text)
			if got != want {
				t.Fatalf("%q became %q, want %q", text, got, want)
			}
		}
		// Two texts are expanded as each of them, unless a placeholder spans them.
		both, bothErr := p.Expand(text + " " + other)
		second, secondErr := p.Expand(other)
		if spans := placeholder.FindAllString(text+" "+other, -1); len(spans) != len(placeholder.FindAllString(text, -1))+len(placeholder.FindAllString(other, -1)) {
			return
		}
		if (bothErr == nil) != (err == nil && secondErr == nil) || bothErr == nil && both != got+" "+second {
			t.Fatalf("%q and %q became %q", text, other, both)
		}
	})
}
