package e2e

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/awsenv/awsenvtest"
	"mcpgateway/internal/store/dynamo/dynamotest"
	"mcpgateway/localstack/lambda"
)

// startOAuthFunction runs the authorization server as a function, with its documents and secrets in S3 and its store in a table.
func (g *signing) startOAuthFunction(env map[string]string) *lambda.Front {
	g.t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("documents"); err != nil {
		g.t.Fatal(err)
	}
	s3 := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	g.t.Cleanup(s3.Close)
	for _, name := range []string{"platform.yaml", "catalog.yaml", "secrets/gateway", "secrets/front-shim/exchange", "seal.key"} {
		text, err := os.ReadFile(filepath.Join(g.dir, name))
		if err == nil {
			_, err = backend.PutObject("documents", "signing/"+name, map[string]string{}, strings.NewReader(string(text)), int64(len(text)), nil)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
	log, err := os.OpenFile(filepath.Join(g.dir, "oauth.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = log.Close() })
	env["PLATFORM"], env["AWS_ENDPOINT_URL_S3"] = "s3://documents/signing/platform.yaml", s3.URL
	env[awsenv.Recording] = awsenvtest.Recording(g.t, "oauth", "s3:GetObject")
	front, err := lambda.Start(context.Background(), lambda.Config{Address: g.address,
		Function: lambda.Function{Name: "oauth", Program: filepath.Join(programs, "oauth"), Log: log, Memory: 512, Timeout: time.Minute, Env: env}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(front.Close)
	return front
}

// The authorization server as a function: several instances at once are one server, and what they keep outlives them.
func TestOAuthFunction(t *testing.T) {
	aws := dynamotest.Service(t)
	t.Cleanup(dynamotest.Stop)
	table := dynamotest.Table(t, aws, dynamotest.Schema(), "expires")
	g := newSigning(t, signingLayout{oauth: "  table: " + table + "\n  key: seal.key\n"})
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	if err := os.WriteFile(filepath.Join(g.dir, "seal.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	env := func() map[string]string { return map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": *aws.BaseEndpoint} }
	front := g.startOAuthFunction(env())
	alice := g.signIn("alice")
	if alice.Status != 200 || g.calls(alice.Access) != 200 {
		log, _ := os.ReadFile(filepath.Join(g.dir, "oauth.log"))
		t.Fatalf("%+v\n%s", alice, log)
	}
	var all sync.WaitGroup
	next := make([]given, 4)
	for n := range next {
		all.Go(func() { next[n] = g.refresh(alice.Refresh) })
	}
	all.Wait()
	for _, a := range next {
		if a.Status != 200 || a.Refresh != next[0].Refresh || g.calls(a.Access) != 200 {
			t.Errorf("refreshed at once: %+v", a)
		}
	}
	if b := front.Bill()["oauth"]; b.Failed > 0 || b.Instances < 2 {
		t.Errorf("bill: %v", b)
	}
	front.Close()
	g.startOAuthFunction(env())
	if alice = g.refresh(next[0].Refresh); alice.Status != 200 || g.calls(alice.Access) != 200 {
		t.Errorf("with new instances: %+v", alice)
	}
	for name, value := range map[string]string{"AWS_REGION": aws.Region, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_ENDPOINT_URL_DYNAMODB": *aws.BaseEndpoint} {
		t.Setenv(name, value)
	}
	if ended, err := operate.RevokeIn(t.Context(), table, grant.Person{Issuer: g.provider.url, Subject: "alice"}); err != nil || ended.Grants == 0 {
		t.Errorf("%+v, %v", ended, err)
	}
	if a := g.refresh(alice.Refresh); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("revoked: %+v", a)
	}
}
