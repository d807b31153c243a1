package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/lists"
	"mcpgateway/internal/secret"
)

// snapshot is of a server, with the key that its shim and the gateway have.
func snapshot(t *testing.T, server string, fill byte) (*lists.Key, *lists.Snapshot) {
	t.Helper()
	k, err := lists.NewKey(bytes.Repeat([]byte{fill}, lists.KeySize), server)
	if err != nil {
		t.Fatal(err)
	}
	return k, &lists.Snapshot{Server: server, Revision: "r", Policies: "p", Made: noon}
}

// A shim leaves lists of its own server only, and whoever it left them for reads them; to all others there are none.
func TestLists(t *testing.T) {
	r := newRig(t)
	place, err := lists.NewPlace(r.URL+path, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	k, s := snapshot(t, "notes", 1)
	if got, err := place.Read(t.Context(), k, noon); got != nil || err != nil {
		t.Errorf("before: %v, %v", got, err)
	}
	for _, token := range []string{"", "notes.x", r.server.tokens.Of("notes") + "x", r.auditor(t)} {
		if err := place.Leave(t.Context(), k, s, secret.New(token)); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("token %.20q: %v", token, err)
		}
	}
	for range 2 {
		if err := place.Leave(t.Context(), k, s, secret.New(r.server.tokens.Of("notes"))); err != nil {
			t.Fatal(err)
		}
	}
	// What another server's shim brings is that server's, whatever it says.
	other, forged := snapshot(t, "notes", 2)
	if err := place.Leave(t.Context(), other, forged, secret.New(r.server.tokens.Of("other"))); err != nil {
		t.Fatal(err)
	}
	if got, err := place.Read(t.Context(), k, noon); err != nil || got == nil || got.Server != "notes" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := place.Read(t.Context(), other, noon); err != nil || got != nil {
		t.Errorf("another reader got %v, %v", got, err)
	}
}

func TestListsRefuse(t *testing.T) {
	r := newRig(t)
	token := r.server.tokens.Of("notes")
	for name, c := range map[string]struct {
		method, query, token, body string
		status                     int
	}{
		"no lists":                {http.MethodPut, "", token, "{}", http.StatusUnprocessableEntity},
		"a POST":                  {http.MethodPost, "", token, "{}", http.StatusMethodNotAllowed},
		"nobody":                  {http.MethodGet, "?server=notes", "", "", http.StatusNotFound},
		"the shim reads":          {http.MethodGet, "?server=notes", token, "", http.StatusNotFound},
		"no id":                   {http.MethodGet, "", token, "", http.StatusNotFound},
		"a path instead of an id": {http.MethodGet, "?server=..%2Ftoken.key", token, "", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, r.URL+lists.Path+c.query, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+c.token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || !strings.Contains(string(body), `"jsonrpc"`) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
}
