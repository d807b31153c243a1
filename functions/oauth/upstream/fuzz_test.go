package upstream

import (
	"strings"
	"testing"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/egress"
)

// Whatever headers a server sends, reading them ends, and what is found was in one.
func FuzzChallenges(f *testing.F) {
	for _, seed := range []string{`Bearer resource_metadata="https://a.example/x", scope="a b"`, `Basic realm="\"", Bearer a=b`, `Bearer a="`, `Bearer a = "b\\" , Digest c=d`, `=,"`} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		c, found := parseChallenges([]string{one, two})
		if !found && c != (challenge{}) || found && !strings.Contains(strings.ToLower(one+two), "bearer") {
			t.Errorf("%+v %v", c, found)
		}
		if plain := strings.ReplaceAll(one+two, `\`, ""); !strings.Contains(plain, strings.ReplaceAll(c.metadata, `\`, "")) {
			t.Errorf("%q is in neither", c.metadata)
		}
	})
}

// Whatever metadata says, what is taken of it is about who was asked, and has addresses of ours to go to.
func FuzzMetadata(f *testing.F) {
	const issuer = "https://a.example"
	f.Add(`{"issuer":"https://a.example","authorization_endpoint":"https://a.example/a","token_endpoint":"https://a.example/t","code_challenge_methods_supported":["S256"]}`)
	f.Add(`{"issuer":"https://a.example","authorization_endpoint":"http://a.example/a","token_endpoint":"https://u@a.example/t","revocation_endpoint":"ftp://x"}`)
	f.Add(`{"issuer":"https://a.example","authorization_endpoint":"https://a.example/a","token_endpoint":"https://a.example/t","code_challenge_methods_supported":["S256"],` +
		`"registration_endpoint":"https://a.example/r#x","revocation_endpoint":"http://a.example/v","scopes_supported":["a b","offline_access"]}`)
	f.Add(`{"resource":"https://a.example/mcp","authorization_servers":["https://a.example"],"scopes_supported":["a"]}`)
	f.Add(`{"resource":"https://a.example/mcp","resource":"x"}`)
	s := New(Config{Server: "notes", Resource: issuer + "/mcp"})
	f.Fuzz(func(t *testing.T, body string) {
		if m, err := s.parseMetadata(issuer, []byte(body)); err == nil {
			for _, address := range []string{m.Authorize, m.Token, m.Register, m.Revoke} {
				if address != "" && !strings.HasPrefix(strings.ToLower(address), "https://") || strings.ContainsAny(address, "#") || len(address) > maxAddress {
					t.Errorf("it may go to %q", address)
				}
			}
			if m.Issuer != issuer || m.Token == "" || m.Authorize == "" {
				t.Errorf("%+v", m)
			}
			for _, scope := range s.wanted(m, body, resource{}) {
				if scope == "" || strings.ContainsAny(scope, " \"\\") || len(scope) > maxScope {
					t.Errorf("it asks for %q", scope)
				}
			}
		}
		if r, err := s.parseResource([]byte(body)); err == nil && (r.Resource != s.Resource || len(r.Servers) == 0) {
			t.Errorf("%+v", r)
		}
	})
}

// Whatever a token endpoint answers, there are tokens that can be nothing else in a header and that end, or an error.
func FuzzTokens(f *testing.F) {
	f.Add(`{"access_token":"a.b-c","token_type":"bearer","expires_in":3600,"refresh_token":"r","scope":"a b"}`)
	f.Add(`{"access_token":"a","token_type":"Bearer","expires_in":"1e400"}`)
	f.Add(`{"access_token":"a,b","token_type":"Bearer","expires_in":-1}`)
	f.Add(`{"access_token":"a","token_type":"Bearer","refresh_token":"é"}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseTokens([]byte(body))
		if err != nil {
			return
		}
		access, refresh := got.Access.Reveal(), got.Refresh.Reveal()
		if access == "" || len(access) > maxToken || strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' }) {
			t.Errorf("access %q", access)
		}
		if len(refresh) > maxToken || strings.ContainsFunc(refresh, func(r rune) bool { return r < ' ' || r > '~' }) || got.Life <= 0 || got.Life > maxLife {
			t.Errorf("refresh %q, life %v", refresh, got.Life)
		}
	})
}

// Whatever registering answers, there is a client that can prove itself, or an error.
func FuzzRegistration(f *testing.F) {
	f.Add(`{"client_id":"a","client_secret":"b","client_secret_expires_at":1795858017,"token_endpoint_auth_method":"client_secret_post"}`, "client_secret_basic")
	f.Add(`{"client_id":"a","token_endpoint_auth_method":"none"}`, "client_secret_basic")
	f.Add(`{"client_id":"a"}`, "none")
	f.Fuzz(func(t *testing.T, body, asked string) {
		c, _, err := parseRegistration([]byte(body), asked)
		if err != nil {
			return
		}
		if c.ID == "" || c.Auth != client.AuthNone && c.Auth != client.AuthBasic && c.Auth != client.AuthPost || (c.Auth == client.AuthNone) != c.Secret.Empty() {
			t.Errorf("%+v", c)
		}
	})
}

// Whatever address somebody names, we go to https alone, unless the operator named where else.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"https://a.example/x", "http://10.1.2.3/x", "https://a@b/", "https:///x", "//a", "https://a#", "HTTPS://a", "https://a\x00b"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	rules, err := egress.Parse("10.0.0.0/8 80")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string, named bool) {
		c := Config{}
		if named {
			c.Egress = rules
		}
		if New(c).checkAddress(address) != nil {
			return
		}
		lower := strings.ToLower(address)
		if !strings.HasPrefix(lower, "https://") && (!named || !strings.HasPrefix(lower, "http://")) || strings.Contains(address, "#") {
			t.Errorf("%q", address)
		}
	})
}
