package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const codexMetadata = `{"client_name":"Codex","redirect_uris":["http://127.0.0.1:5050/callback/x1"],"grant_types":["authorization_code","refresh_token"],
	"response_types":["code"],"token_endpoint_auth_method":"none"}`

// Codex sent no resource for long: that is good where there is one server only.
func TestCodex(t *testing.T) {
	newRig(t, "  - {id: notes, runtime: {command: {exec: x, http: {}}}}\n").signsIn(shape{redirect: "http://127.0.0.1:40404/callback/x1", register: codexMetadata, noneAsked: true})
}

// Where there are two, the address of one server's own metadata says which.
func TestCodexAtOneServer(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(codexMetadata)
	q := r.request(m["client_id"].(string), "http://127.0.0.1:5050/callback/x1")
	q.Del("resource")
	if _, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+q.Encode(), nil); !strings.Contains(location, "error=invalid_target") {
		t.Errorf("a guess is made: %q", location)
	}
	b := r.browser()
	_, to, _ := r.visit(b, "GET", r.url+"/authorize/mcp-connect/notes?"+q.Encode(), nil)
	_, back, _ := r.visit(b, "POST", to, url.Values{"user": {"alice"}})
	_, _, body := r.visit(b, "GET", back, nil)
	id := question.FindStringSubmatch(body)
	if id == nil {
		t.Fatal(body)
	}
	status, location, _ := r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id[1]}, "answer": {"allow"}})
	u, _ := url.Parse(location)
	a := r.redeem(u.Query().Get("code"), "client_id", q.Get("client_id"), "redirect_uri", q.Get("redirect_uri"), "resource", "")
	if _, err := r.verify(a.Access, r.resource("notes")); err != nil || status != http.StatusSeeOther {
		t.Errorf("%+v, %v", a, err)
	}
}
