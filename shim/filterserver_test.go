package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/filter"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/ruleset"
)

// filterGateway is a gateway and its authorization server, behind which a server of the catalog filters. It gives tokens
// "own-DEPTH-NUMBER".
type filterGateway struct {
	*httptest.Server
	filter *filterServer
	issuer *identitytest.Issuer

	mu      sync.Mutex
	forms   []url.Values
	shown   []string // tokens that the filter was called with
	refused string   // a token that is not good any more
}

func newFilterGateway(t *testing.T) *filterGateway {
	t.Helper()
	g := &filterGateway{filter: newFilterServer(t, verdictOf(func(string) string { return accepts }))}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if r.URL.Path == "/token" {
			_ = r.ParseForm()
			g.forms = append(g.forms, r.PostForm)
			fmt.Fprintf(w, `{"access_token":"own-%s-%d","token_type":"Bearer","expires_in":600}`, r.PostForm.Get(rules.FilterDepth), len(g.forms))
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.shown = append(g.shown, token)
		if token == g.refused || r.URL.Path != "/mcp-connect/checker" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.filter.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	g.issuer = identitytest.New(t, "oauth", g.URL)
	return g
}

func (g *filterGateway) called() (forms []url.Values, shown []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	forms, shown, g.shown = g.forms, g.shown, nil
	return forms, shown
}

// filteredBy is a rig whose calls the gateway's server filters.
func filteredBy(t *testing.T, g *filterGateway, onError string) *rig {
	t.Helper()
	r := newRig(t, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"secret"}]}}`))
	own := secret.New("own secret")
	var err error
	r.chain.filters, err = filter.New(filter.Config{Remote: remote.Remote{ConnectTimeout: 5 * time.Second}, Logger: slog.New(slog.DiscardHandler), OAuth: own,
		Outgoing: func(ctx context.Context, v audit.Verdict) (context.Context, func(audit.Verdict)) {
			return ctx, func(audit.Verdict) {}
		}})
	if err != nil {
		t.Fatal(err)
	}
	r.chain.forward.Review = r.chain.filters.Answers
	_, port, _ := net.SplitHostPort(g.Listener.Addr().String())
	r.rules.Version++
	r.rules.Issuers = append(r.rules.Issuers, g.issuer.Config(t))
	r.rules.Policies = append(r.rules.Policies, policy.Policy{Name: "shims", Allow: &policy.Subjects{Users: []string{"oauth:other-shim"}}, Servers: []string{"github"}})
	r.rules.Filters = []rules.Filter{{Name: "check", On: []string{"tools/call&direction=request"}, Timeout: 20 * time.Second, OnError: onError,
		Server: &rules.FilterServer{URL: g.URL + "/mcp-connect/checker", Tool: "check", Egress: "127.0.0.1/32 " + port, Entry: "checker",
			Caller: &rules.FilterUser{Issuer: g.URL, Client: rules.Client{ID: "github-shim", Auth: rules.AuthPost}}}}}
	r.writeRules(t)
	r.holder.Secrets.OAuth = own
	if r.chain.rules, err = ruleset.NewHolder(r.holder); err != nil {
		t.Fatal(err)
	}
	return r
}

// The caller's token is not what the filter is shown, and the shim's own is had once for all calls.
func TestFilterServerOfTheCatalog(t *testing.T) {
	g := newFilterGateway(t)
	r := filteredBy(t, g, rules.OnErrorReject)
	for range 3 {
		if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 200 || strings.Contains(body, "error") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	forms, shown := g.called()
	if len(forms) != 1 || forms[0].Get("client_id") != "github-shim" || forms[0].Get("client_secret") != "own secret" || forms[0].Get("resource") != g.URL+"/mcp-connect/checker" {
		t.Errorf("tokens were asked for by %v", forms)
	}
	if len(shown) < 4 || strings.Trim(strings.Join(shown, " "), "own-1 ") != "" {
		t.Errorf("the filter was shown %q", shown)
	}
	if n := len(g.filter.seen()); n != 3 {
		t.Errorf("asked %d times", n)
	}
	reviews := r.records.all()[2].WebhookStatuses
	if len(reviews) != 1 || reviews[0].Name != "check" || reviews[0].Server != "checker" || reviews[0].Tool != "check" || reviews[0].Status != audit.VerdictOK {
		t.Errorf("recorded %+v", reviews)
	}
}

// Answers are filtered so, too.
func TestFilterServerOfAnswers(t *testing.T) {
	g := newFilterGateway(t)
	g.filter.answer = verdictOf(mutates(`"secret"`, `"masked"`))
	r := filteredBy(t, g, rules.OnErrorReject)
	r.rules.Version++
	r.rules.Filters[0].On, r.rules.Filters[0].Mutate = []string{"tools/call&direction=response"}, true
	r.writeRules(t)
	var err error
	if r.chain.rules, err = ruleset.NewHolder(r.holder); err != nil {
		t.Fatal(err)
	}
	if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 200 || !strings.Contains(body, `"masked"`) || strings.Contains(body, "secret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if forms, shown := g.called(); len(forms) != 1 || len(shown) == 0 || shown[0] != "own-1-1" {
		t.Errorf("%v, %q", forms, shown)
	}
}

// Each filter is asked one deeper than the call it is about, and where that is too deep it cannot be asked: what a cycle would
// come to, whatever made it. What another issuer writes into its tokens says nothing.
func TestFilterDepth(t *testing.T) {
	g := newFilterGateway(t)
	for _, tt := range []struct {
		name  string
		token func(r *rig) string
		asked string // at which depth; empty: not at all
	}{
		{"a caller's", func(r *rig) string { return r.engineer(t) }, "1"},
		{"another issuer's", func(r *rig) string {
			return r.issuer.Token(t, "alice", resource, []string{"engineering"}, identitytest.Claims{rules.FilterDepth: 4})
		}, "1"},
		{"an agent's", func(r *rig) string { return g.issuer.Token(t, "other-shim", resource, nil, nil) }, "1"},
		{"the first filter's", func(r *rig) string {
			return g.issuer.Token(t, "other-shim", resource, nil, identitytest.Claims{rules.FilterDepth: 1})
		}, "2"},
		{"the last but one's", func(r *rig) string {
			return g.issuer.Token(t, "other-shim", resource, nil, identitytest.Claims{rules.FilterDepth: rules.MaxFilterDepth - 1})
		}, fmt.Sprint(rules.MaxFilterDepth)},
		{"the last one's", func(r *rig) string {
			return g.issuer.Token(t, "other-shim", resource, nil, identitytest.Claims{rules.FilterDepth: rules.MaxFilterDepth})
		}, ""},
		{"one that goes up", func(r *rig) string {
			return g.issuer.Token(t, "other-shim", resource, nil, identitytest.Claims{rules.FilterDepth: -7})
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for onError, refused := range map[string]bool{rules.OnErrorReject: tt.asked == "", rules.OnErrorAccept: false} {
				r := filteredBy(t, g, onError)
				resp, body := r.post(t, tt.token(r), callTool("x"))
				if resp.StatusCode != 200 || refused != strings.Contains(body, "A filter could not check this") {
					t.Fatalf("%s: %d %s", onError, resp.StatusCode, body)
				}
				_, shown := g.called()
				if tt.asked == "" && len(shown) > 0 || tt.asked != "" && (len(shown) == 0 || !strings.HasPrefix(shown[0], "own-"+tt.asked+"-")) {
					t.Errorf("%s: the filter was shown %q", onError, shown)
				}
				if review := r.records.all()[0].WebhookStatuses[0]; tt.asked == "" && (review.Status != audit.VerdictError || onError == rules.OnErrorReject && review.Message == "") {
					t.Errorf("%s: recorded %+v", onError, review)
				}
			}
		})
	}
}

// What is had for one depth is not used for another.
func TestFilterDepths(t *testing.T) {
	g := newFilterGateway(t)
	r := filteredBy(t, g, rules.OnErrorReject)
	for depth := range rules.MaxFilterDepth {
		token := g.issuer.Token(t, "other-shim", resource, nil, identitytest.Claims{rules.FilterDepth: depth})
		if resp, body := r.post(t, token, callTool("x")); resp.StatusCode != 200 || strings.Contains(body, "error") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if _, shown := g.called(); len(shown) == 0 || !strings.HasPrefix(shown[0], fmt.Sprintf("own-%d-", depth+1)) {
			t.Errorf("called by a filter that is asked at depth %d it shows %q", depth, shown)
		}
	}
}

// A token that is refused fails the question and is not shown for ever.
func TestFilterServerRefusesTheToken(t *testing.T) {
	g := newFilterGateway(t)
	r := filteredBy(t, g, rules.OnErrorReject)
	g.mu.Lock()
	g.refused = "own-1-1"
	g.mu.Unlock()
	if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 200 || !strings.Contains(body, "A filter could not check this") || strings.Contains(body, "own-1-1") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if record := fmt.Sprint(r.records.all()); strings.Contains(record, "own-1-1") || strings.Contains(record, "own secret") {
		t.Errorf("recorded %s", record)
	}
}
