package main

import (
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testNames are the tests below a folder.
func testNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names, declared := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatal(dir, len(names), err)
	}
	return names
}

// Every line of MUSTS.md names tests that there are, or a reason.
func TestMusts(t *testing.T) {
	text, err := os.ReadFile("MUSTS.md")
	if err != nil {
		t.Fatal(err)
	}
	named, elsewhere := regexp.MustCompile("`(Test\\w+)`"), regexp.MustCompile(` in ((?:internal|functions)/\w+)`)
	lines := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.Contains(cells[1], "section") {
			continue
		}
		lines++
		dir := "."
		if m := elsewhere.FindStringSubmatch(cells[3]); m != nil {
			dir = filepath.Join("../..", m[1])
		}
		there, tests := testNames(t, dir), named.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 && !strings.Contains(cells[3], "reason: ") {
			t.Errorf("no test and no reason: %s", line)
		}
		for _, m := range tests {
			if !there[m[1]] {
				t.Errorf("there is no test %s in %s: %s", m[1], dir, line)
			}
		}
	}
	if lines < 50 {
		t.Errorf("%d lines: the table is not read", lines)
	}
}

func TestTokenAnswer(t *testing.T) {
	r := newRig(t, twoServers)
	send := func(form url.Values, id, secret string) *http.Response {
		req, _ := http.NewRequest("POST", r.url+"/token", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(id, secret)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")}}
	if resp := send(form, agentID, agentSecret); resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	for _, id := range []string{agentID, "stranger"} {
		if resp := send(form, id, "wrong"); resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: %s %v", id, resp.Status, resp.Header)
		}
	}
}

// A refresh token is good for, and can be revoked by, the client that it was given to.
func TestRefreshOfAnother(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	other := m["client_id"].(string)
	if got := r.post("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {other}, "refresh_token": {a.Refresh}}); got.Error != "invalid_grant" {
		t.Errorf("%+v", got)
	}
	if got := r.post("/revoke", url.Values{"client_id": {other}, "token": {a.Refresh}}); got.Status != 200 {
		t.Errorf("%+v", got)
	}
	if got := r.refresh(a.Refresh); got.Status != 200 {
		t.Errorf("another client ended it: %+v", got)
	}
}

func TestIntrospectionIsForClients(t *testing.T) {
	r := newRig(t, twoServers)
	if got := r.post("/introspect", url.Values{"client_id": {staticID}, "token": {r.tokens("alice").Access}}); got.Status != 401 || got.Error != "invalid_client" {
		t.Errorf("%+v", got)
	}
}
