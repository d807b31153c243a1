package measure

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCaller(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		answer  string
		wantErr string
	}{
		{name: "echoed", status: 200, answer: `{"text":"` + Payload + `"}`},
		{name: "refused", status: 403, answer: `{"error":"no"}`, wantErr: `403 Forbidden: {"error":"no"}`},
		{name: "another answer", status: 200, answer: `{"text":"x"}`, wantErr: "does not hold what was sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var m struct{ Method string }
				if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Method != r.Header.Get("Mcp-Method") {
					t.Errorf("body says %q (%v), header %q", m.Method, err, r.Header.Get("Mcp-Method"))
				}
				if got := r.Header.Get("Authorization"); got != "Bearer secret" {
					t.Errorf("Authorization = %q", got)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.answer)
			}))
			defer s.Close()
			before := time.Now()
			at, err := NewCaller(s.URL, "secret").FirstByte(t.Context())
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("err = %v, want %q", err, tt.wantErr)
			}
			if at.Before(before) || at.After(time.Now()) {
				t.Errorf("first byte at %v", at)
			}
		})
	}
}

func TestLegacySession(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"initialize"`) {
			w.Header().Set("Mcp-Session-Id", "s1")
			return
		}
		if r.Header.Get("Mcp-Session-Id") != "s1" || r.Header.Get("Mcp-Protocol-Version") != legacy || r.Header.Get("Mcp-Method") != "" ||
			r.Header.Get("Authorization") != "Bearer secret" || strings.Contains(string(body), "_meta") {
			t.Errorf("not a legacy call: %v %s", r.Header, body)
		}
		io.WriteString(w, Payload)
	}))
	defer s.Close()
	c, err := NewCaller(s.URL, "secret").LegacySession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCallerNamesAnotherHost(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "one.example.test" {
			t.Errorf("Host = %q", r.Host)
		}
		w.Header().Set("Mcp-Session-Id", "s1")
		io.WriteString(w, Payload)
	}))
	defer s.Close()
	c := NewCaller(s.URL, "").For("one.example.test")
	inSession, err := c.LegacySession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Caller{c, inSession} {
		if err := c.Call(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestLister(t *testing.T) {
	answer := `{"result":{"tools":[{"name":"echo"}]}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Method string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Method != "tools/list" || r.Header.Get("Mcp-Method") != m.Method || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("body says %q (%v), headers %v", m.Method, err, r.Header)
		}
		io.WriteString(w, answer)
	}))
	defer s.Close()
	c := NewCaller(s.URL, "secret").Lister()
	if err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
	answer = `{"result":{"tools":[]}}`
	if err := c.List(t.Context()); err == nil {
		t.Error("an empty list")
	}
}
