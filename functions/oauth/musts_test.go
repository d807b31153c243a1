package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testNames are the tests below a folder, as Go reads them.
func testNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, is := decl.(*ast.FuncDecl); is && f.Recv == nil && isTest(f) {
				names[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		t.Fatal(dir, len(names), err)
	}
	return names
}

// isTest tells whether a function is a test that does something.
func isTest(f *ast.FuncDecl) bool {
	if !strings.HasPrefix(f.Name.Name, "Test") || len(f.Type.Params.List) != 1 || len(f.Body.List) == 0 {
		return false
	}
	skips := false
	ast.Inspect(f.Body.List[0], func(n ast.Node) bool { // a test that begins by skipping shows nothing
		s, is := n.(*ast.SelectorExpr)
		skips = skips || is && (s.Sel.Name == "Skip" || s.Sel.Name == "SkipNow")
		return true
	})
	_, conditional := f.Body.List[0].(*ast.IfStmt)
	return !skips || conditional
}

// demand is a line of MUSTS.md.
type demand struct{ section, what, proof string }

func readMusts(t *testing.T) (musts []demand) {
	t.Helper()
	text, err := os.ReadFile("MUSTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) == 5 && !strings.HasPrefix(cells[1], "---") && cells[1] != " section ":
			musts = append(musts, demand{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), cells[3]})
		case strings.HasPrefix(line, "|") && len(cells) != 5:
			t.Errorf("no line of three columns: %s", line)
		}
	}
	return musts
}

// Every line of MUSTS.md names tests that there are, each where it says, or a reason.
func TestMusts(t *testing.T) {
	named, known := regexp.MustCompile("`(Test\\w+)`(?: in ((?:internal|functions|shim)[\\w/]*))?"), map[string]map[string]bool{}
	musts := readMusts(t)
	for _, m := range musts {
		tests := named.FindAllStringSubmatch(m.proof, -1)
		if m.section == "" || m.what == "" || len(tests) == 0 && !strings.Contains(m.proof, "reason: ") {
			t.Errorf("no test and no reason: %+v", m)
		}
		for _, test := range tests {
			dir := "."
			if test[2] != "" {
				dir = filepath.Join("../..", test[2])
			}
			if known[dir] == nil {
				known[dir] = testNames(t, dir)
			}
			if !known[dir][test[1]] {
				t.Errorf("there is no test %s in %s: %+v", test[1], dir, m)
			}
		}
	}
	if len(musts) < 150 {
		t.Errorf("%d lines: the table is not read", len(musts))
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
