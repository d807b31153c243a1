package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/deploy"
)

// invoke asks as the gateway does, and returns the reply as JSON.
func (d *desk) invoke(payload string) string {
	d.t.Helper()
	d.runner.asked = nil
	out, err := d.invoked(d.t.Context(), []byte(payload))
	if err != nil {
		d.t.Fatal(err)
	}
	text, err := json.Marshal(out)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// A question is answered as over HTTP. A server that is asked for before anything was compared with the catalog has its rules
// before it starts, and others are not kept waiting for theirs.
func TestInvocations(t *testing.T) {
	d := newDesk(t)
	const instance = `{"status":200,"answer":{"id":"i","url":"unix:///s","cold":true}}`
	for _, c := range []struct {
		payload, want string
		asked         []string
	}{
		{`{"path":"/ensure","question":{"server":"one"}}`, instance, []string{"rules one", "ensure one"}},
		{`{"path":"/ensure","question":{"server":"one"}}`, instance, []string{"ensure one"}},
		{`{"path":"/find","question":{"server":"one"}}`, `{"status":200,"answer":{"found":true,"instance":{"id":"i","url":"unix:///s","cold":false}}}`, []string{"find one"}},
		{`{"path":"/status","question":null}`, `{"status":200,"answer":null}`, nil},
		{`{"path":"/ensure","question":{"server":"gone"}}`, `{"status":404,"answer":{"code":"unknown","message":"The catalog has no such server."}}`, nil},
		{`{"path":"/ensure","question":7}`, `{"status":400,"answer":{"code":"unavailable","message":"The deployer was asked something it does not understand."}}`, nil},
		{`{"path":"/other","question":{}}`, `{"status":404,"answer":null}`, nil},
		{`{"version":"0","detail-type":"Scheduled Event","source":"aws.scheduler","detail":{}}`, `null`, []string{"rules two"}},
	} {
		if got := d.invoke(c.payload); got != c.want {
			t.Errorf("%s: %s", c.payload, cmp.Diff(c.want, got))
		}
		if diff := cmp.Diff(c.asked, d.runner.asked); diff != "" {
			t.Errorf("%s: asked %s", c.payload, diff)
		}
	}
	d.runner.err = &deploy.StartError{Code: deploy.CodeLimit, Message: "Too many.", Cause: errors.New("sesame")}
	if got := d.invoke(`{"path":"/ensure","question":{"server":"one"}}`); got != `{"status":429,"answer":{"code":"limit","message":"Too many."}}` {
		t.Errorf("a failure: %s", got)
	}
}

func TestNoInvocations(t *testing.T) {
	d := newDesk(t)
	for payload, want := range map[string]string{
		`7`:                                     "read invocation",
		`{}`:                                    "neither a question",
		`{"version":"2.0","rawPath":"/ensure"}`: "neither a question",
		`{"path":"/\u007f","question":{}}`:      "read invocation",
		`{"detail-type":"EC2 Instance State-change","a":1}`: "neither a question",
	} {
		if _, err := d.invoked(t.Context(), []byte(payload)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if len(d.runner.asked) > 0 {
		t.Errorf("asked %q", d.runner.asked)
	}
}

// What a deployer cannot read is said at its start.
func TestDocumentsOfAFunction(t *testing.T) {
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	for _, c := range []struct{ platform, runtime, want string }{
		{"s3://bucket", "127.0.0.1:1", "s3://BUCKET/KEY"},
		{"s3://bucket/platform.yaml", "", "a deployer that is no function reads files"},
		{"s3://bucket/platform.yaml", "127.0.0.1:1", "AWS_REGION is not set"},
	} {
		t.Setenv("PLATFORM", c.platform)
		t.Setenv("AWS_LAMBDA_RUNTIME_API", c.runtime)
		if _, _, err := openDocuments(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.platform, err)
		}
	}
	d := newDesk(t)
	files := namedFiles(filepath.Join(d.dir, "platform.yaml"))
	if diff := cmp.Diff([]string{filepath.Join(d.dir, "catalog.yaml"), filepath.Join(d.dir, ".run", "rules.key")}, files); diff != "" {
		t.Errorf("files: %s", diff)
	}
	if files := namedFiles(os.DevNull); files != nil {
		t.Errorf("of no platform: %q", files)
	}
}
