package deploytest

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

// issuerURL is the issuer of the suite's tokens. Nobody is there: its keys are in the rules.
const issuerURL = "https://issuer.example"

// Rig signs rules as a deployer does, and tokens as an issuer does, so that the suite can run with the real shim.
type Rig struct{ key ed25519.PrivateKey }

// NewRig returns one with a key of its own.
func NewRig() *Rig {
	_, key, _ := ed25519.GenerateKey(nil) // never fails
	return &Rig{key}
}

// RulesKey verifies the rig's rules.
func (r *Rig) RulesKey() ed25519.PublicKey { return r.key.Public().(ed25519.PublicKey) }

func resource(server string) string { return "http://gateway.example/mcp-connect/" + server }

// Allow is a signed version of a server's rules that allows everybody everything.
func (r *Rig) Allow(server string, version int64) []byte {
	return r.sign(server, version, []policy.Policy{{Name: "all", Allow: &policy.Subjects{Anyone: true}, Servers: []string{server}}})
}

// Forbid is one that allows nothing.
func (r *Rig) Forbid(server string, version int64) []byte {
	return r.sign(server, version, []policy.Policy{})
}

func (r *Rig) sign(server string, version int64, policies []policy.Policy) []byte {
	keys := fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"1","x":"%s"}]}`, encode(r.RulesKey()))
	signed, err := rules.Sign(r.key, rules.Rules{
		Version: version, Server: server, Resources: []string{resource(server)}, Policies: policies,
		Issuers: []identity.Issuer{{Name: "test", URL: issuerURL, Audiences: []string{"{resource}"}, Default: true, Keys: keys}},
	})
	if err != nil {
		panic(err) // rules like these can be signed
	}
	return signed
}

// Token is an access token (RFC 9068) for a server.
func (r *Rig) Token(server, subject string) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // maps of text and numbers: cannot fail
		return encode(text)
	}
	now := time.Now().Unix()
	signed := part(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "1"}) + "." + part(map[string]any{
		"iss": issuerURL, "sub": subject, "aud": resource(server), "iat": now, "exp": now + 3600, "client_id": "suite", "jti": "1"})
	return signed + "." + encode(ed25519.Sign(r.key, []byte(signed)))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// user is an owner of the suite's issuer.
func user(subject string) *deploy.Owner { return &deploy.Owner{Issuer: issuerURL, Subject: subject} }

func (b *bench) setRules(server string, signed []byte) {
	b.Helper()
	if err := b.Deployer.SetRules(b.ctx, server, signed); err != nil {
		b.Fatal(err)
	}
}

// call asks a tool of an instance's server, as a gateway would, and returns its answer.
func (b *bench) call(instance deploy.Instance, key deploy.Key, tool string, args any, answer any) (status int, err error) {
	subject := "alice"
	if key.Owner != nil {
		subject = key.Owner.Subject
	}
	return Call(b.ctx, instance, key.Server, b.Token(key.Server, subject), tool, args, answer)
}

// describe asks an instance's server about itself.
func (b *bench) describe(instance deploy.Instance, key deploy.Key) Description {
	b.Helper()
	var d Description
	if status, err := b.call(instance, key, ToolDescribe, nil, &d); err != nil || status != 200 {
		b.Fatalf("call %s: status %d, %v\n%s", instance.URL, status, err, b.Log())
	}
	return d
}

// sleep calls the server for that long, and reports how the call ended.
func (b *bench) sleep(instance deploy.Instance, key deploy.Key, d time.Duration) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		status, err := Call(ctx, instance, key.Server, b.Token(key.Server, "alice"), ToolSleep, SleepArgs{Milliseconds: d.Milliseconds()}, nil)
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		ended <- err
	}()
	return ended
}
