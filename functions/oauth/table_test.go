package main

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/awsenv/awsenvtest"
	"mcpgateway/internal/store/dynamo/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

// onTable has the rig's server keep all in a new table of DynamoDB Local.
func (r *rig) onTable() {
	r.t.Helper()
	c := dynamotest.Service(r.t)
	for name, value := range map[string]string{"AWS_REGION": c.Region, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_ENDPOINT_URL_DYNAMODB": *c.BaseEndpoint, awsenv.Recording: awsenvtest.Recording(r.t, "oauth", "dynamodb:DescribeTable")} {
		r.t.Setenv(name, value)
	}
	r.edit("  clients:", "  table: "+dynamotest.Table(r.t, c, dynamotest.Schema(), "expires")+"\n  clients:")
}

// Two servers with one table are one server: what the one gave is good at the other, and once.
func TestServersShareATable(t *testing.T) {
	r := newRig(t, twoServers)
	r.onTable()
	one := r.server
	two, err := newServer(one.documents.Load(), one.store, one.log, r.now)
	if err != nil {
		t.Fatal(err)
	}
	at := func(s *server, ask func() answered) answered { r.server = s; return ask() }
	code := r.code(r.request(staticID, staticRedirect), "alice").Get("code")
	first := at(two, func() answered { return r.redeem(code) })
	if first.Status != 200 {
		t.Fatalf("a code of the other server's: %+v", first)
	}
	second := at(one, func() answered { return r.refresh(first.Refresh) })
	if second.Status != 200 {
		t.Fatalf("a refresh token of the other server's: %+v", second)
	}
	var sets [2]string
	for i, s := range []*server{one, two} {
		set, err := s.keys.Set(t.Context())
		text, wrong := json.Marshal(set)
		if err != nil || wrong != nil {
			t.Fatal(err, wrong)
		}
		sets[i] = string(text)
	}
	if diff := cmp.Diff(sets[0], sets[1]); diff != "" {
		t.Errorf("the servers sign by other keys: %s", diff)
	}
	code = r.code(r.request(staticID, staticRedirect), "alice").Get("code")
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i, s := range []*server{one, two} {
		all.Go(func() {
			_, _, errs[i] = s.grants.Redeem(t.Context(), code, staticID, staticRedirect, verifier, "")
		})
	}
	all.Wait()
	if errs[0] == nil && errs[1] == nil {
		t.Error("both servers redeemed one code")
	}
}

// A key that each of the servers makes for itself would open nothing of the others'.
func TestTableNeedsAKey(t *testing.T) {
	r := newRig(t, twoServers)
	r.onTable()
	if err := os.Remove(r.server.documents.Load().Platform.OAuth.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := newServer(r.server.documents.Load(), r.server.store, r.server.log, r.now); err == nil || !strings.Contains(err.Error(), "all processes need the same 32 random bytes") {
		t.Error(err)
	}
}

// An operator ends a person's in the table itself, wherever servers run.
func TestRevokeInTable(t *testing.T) {
	r := newRig(t, twoServers)
	r.onTable()
	alice, bob := r.tokens("alice"), r.tokens("bob")
	key := r.visitor("alice").make("notes")
	table := r.server.documents.Load().Platform.OAuth.Table
	ended, err := operate.RevokeIn(t.Context(), table, grant.Person{Issuer: r.provider.URL, Subject: "alice"})
	if err != nil || ended != (grant.Ended{Grants: 1, Keys: 1}) {
		t.Errorf("%+v, %v", ended, err)
	}
	if got := r.refresh(alice.Refresh); got.Error != "invalid_grant" {
		t.Errorf("%+v", got)
	}
	if got := r.useKey(key, "notes"); got.Error != "invalid_request" {
		t.Errorf("%+v", got)
	}
	if got := r.refresh(bob.Refresh); got.Status != 200 {
		t.Errorf("bob: %+v", got)
	}
	if _, err := operate.RevokeIn(t.Context(), "missing", grant.Person{Issuer: r.provider.URL, Subject: "alice"}); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Error(err)
	}
}
