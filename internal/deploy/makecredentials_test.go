package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/rules"
)

// withCredentials is an entry with everything that can be sent.
func withCredentials(runtime string) catalog.Server {
	s := entry(runtime, "shared", "none")
	s.Token = &catalog.Token{Exchange: &catalog.Exchange{
		Grant: "token-exchange", URL: "https://login.example.com/token", Audience: "a", Resource: "r", Scopes: []string{"s"},
		Egress:           []catalog.Egress{{CIDR: "10.0.0.0/8", Ports: []int{443}}},
		SubjectTokenType: "access_token", RequestedTokenType: "jwt", Header: "X-Token",
		Actor:  &catalog.Actor{Secret: &catalog.SecretKey{Key: "actor"}, TokenType: "jwt"},
		Client: catalog.ExchangeClient{ID: "c", Auth: "private_key_jwt", Secret: &catalog.SecretKey{Key: "exchange"}, Audience: "x", KeyID: "k"},
	}}
	s.Headers = []catalog.Header{
		{Name: "X-A", Secret: &catalog.SecretKey{Key: "one"}}, {Name: "X-B", Claim: "email"},
		{Name: "X-C", Secret: &catalog.SecretKey{Key: "two"}}, {Name: "X-D", Secret: &catalog.SecretKey{Key: "one"}},
	}
	return s
}

func TestRulesOfCredentials(t *testing.T) {
	make := func(s catalog.Server) *rules.Credentials {
		return MakeRules(s, &catalog.Catalog{}, &catalog.Platform{PublicURL: "https://x.test"}, nil, 1).Credentials
	}
	want := &rules.Credentials{
		Origin: "https://mcp.example.net:443",
		Exchange: &rules.Exchange{Grant: "token-exchange", URL: "https://login.example.com/token", Egress: "10.0.0.0/8 443", Audience: "a", Resource: "r",
			Scopes: []string{"s"}, SubjectTokenType: "access_token", RequestedTokenType: "jwt", ActorTokenType: "jwt", Header: "X-Token",
			Client: rules.Client{ID: "c", Auth: "private_key_jwt", Audience: "x", KeyID: "k"}},
		Headers: []rules.Header{{Name: "X-A", Secret: "one"}, {Name: "X-B", Claim: "email"}, {Name: "X-C", Secret: "two"}, {Name: "X-D", Secret: "one"}},
	}
	if d := cmp.Diff(want, make(withCredentials("remote"))); d != "" {
		t.Error(d)
	}
	want.Origin = ""
	if d := cmp.Diff(want, make(withCredentials("container"))); d != "" {
		t.Error(d)
	}
	forward := catalog.Server{ID: "x", Token: &catalog.Token{InsecureForward: true}}
	if d := cmp.Diff(&rules.Credentials{InsecureForward: true}, make(forward)); d != "" {
		t.Error(d)
	}
	if c := make(catalog.Server{ID: "x"}); c != nil {
		t.Errorf("an entry without token or headers has %+v", c)
	}
}

// Every secret reaches the shim, as a file, and nobody else.
func TestSecretsOfCredentials(t *testing.T) {
	p, err := MakePlan(withCredentials("container"), nil, options("shared"))
	if err != nil {
		t.Fatal(err)
	}
	secret := func(key, file string) Secret { return Secret{Store: "mcp-github-shim", Key: key, File: file} }
	want := []Secret{
		{Store: "mcp-github-shim", Key: "seal", File: "SHIM_SEAL_KEY_FILE", Generate: true},
		secret("exchange", "SHIM_EXCHANGE_SECRET_FILE"), secret("actor", "SHIM_ACTOR_TOKEN_FILE"),
		secret("one", "SHIM_HEADER_SECRET_0_FILE"), secret("two", "SHIM_HEADER_SECRET_1_FILE"),
	}
	if d := cmp.Diff(want, p.Units[0].Secrets); d != "" {
		t.Error(d)
	}
	if !slices.Contains(p.Units[0].Env, EnvVar{"SHIM_HEADER_SECRETS", "one,two"}) {
		t.Errorf("the shim is told %v", p.Units[0].Env)
	}
	for _, s := range p.Units[1].Secrets {
		if s.Store != "mcp-github-server" {
			t.Errorf("the server is given %+v", s)
		}
	}
}

func TestSealKeyIsNoCredential(t *testing.T) {
	for name, change := range map[string]func(*catalog.Server){
		"client": func(s *catalog.Server) { s.Token.Exchange.Client.Secret.Key = "seal" },
		"actor":  func(s *catalog.Server) { s.Token.Exchange.Actor.Secret.Key = "seal" },
		"header": func(s *catalog.Server) { s.Headers[2].Secret.Key = "seal" },
		"tokens": func(s *catalog.Server) { s.Headers[2].Secret.Key = "gateway" },
	} {
		s := withCredentials("remote")
		change(&s)
		if _, err := MakePlan(s, nil, options("shared")); err == nil || !strings.Contains(err.Error(), "the gateway's own") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
