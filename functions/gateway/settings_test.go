package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"mcpgateway/internal/mirror"
)

// setEnv sets what a gateway reads, and nothing else of it.
func setEnv(t *testing.T, pairs ...string) {
	for _, name := range []string{"PLATFORM", "LISTEN", "PORT", "METRICS", "STATUS_SOCKET", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "")
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		env  []string
		want settings
	}{
		"a server":            {[]string{"PLATFORM", "p.yaml"}, settings{platform: "p.yaml", address: "127.0.0.1:8080"}},
		"at an address":       {[]string{"PLATFORM", "p.yaml", "LISTEN", ":1", "PORT", "2"}, settings{platform: "p.yaml", address: ":1"}},
		"at a port":           {[]string{"PLATFORM", "p.yaml", "PORT", "2"}, settings{platform: "p.yaml", address: ":2"}},
		"with everything":     {[]string{"PLATFORM", "p.yaml", "METRICS", "unix:m", "STATUS_SOCKET", "s"}, settings{platform: "p.yaml", address: "127.0.0.1:8080", metrics: "unix:m", status: "s"}},
		"a function":          {[]string{"PLATFORM", "s3://b/p.yaml", "AWS_LAMBDA_RUNTIME_API", "x"}, settings{platform: "s3://b/p.yaml", bucket: &mirror.Location{Bucket: "b", Key: "p.yaml"}, function: true, address: "127.0.0.1:8080"}},
		"a server, on Lambda": {[]string{"PLATFORM", "p.yaml", "PORT", "2", "AWS_LAMBDA_RUNTIME_API", "x"}, settings{platform: "p.yaml", address: ":2"}},
	} {
		setEnv(t, c.env...)
		got, err := readSettings()
		if err != nil || (got.bucket == nil) != (c.want.bucket == nil) || got.bucket != nil && *got.bucket != *c.want.bucket {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got.bucket, c.want.bucket = nil, nil; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Whoever got every variable wrong learns of all of them at once, and of the documents as well.
func TestEverythingIsWrong(t *testing.T) {
	setEnv(t, "PORT", "high", "LISTEN", "here", "METRICS", "there")
	err := run(slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("runs")
	}
	for _, want := range []string{"PLATFORM is not set", `PORT: "high" is no port`, "LISTEN: ", "METRICS: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}

	setEnv(t, "PLATFORM", "s3://bucket", "METRICS", "127.0.0.1:1", "AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
	if err = run(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "s3://BUCKET/KEY") || !strings.Contains(err.Error(), "are for a server") {
		t.Errorf("a function: %v", err)
	}

	setEnv(t, "PLATFORM", "s3://bucket/platform.yaml", "STATUS_SOCKET", "s", "AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
	err = run(slog.New(slog.DiscardHandler))
	for _, want := range []string{"are for a server", "AWS_REGION is not set", "AWS_ACCESS_KEY_ID is not set", "AWS_SECRET_ACCESS_KEY is not set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}

	path := t.TempDir() + "/platform.yaml"
	if err := os.WriteFile(path, []byte("apiVersion: v2\nhosts: ['*']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setEnv(t, "PLATFORM", path, "PORT", "high")
	err = run(slog.New(slog.NewTextHandler(io.Discard, nil)))
	for _, want := range []string{"PORT", "apiVersion must be v1", "publicURL is missing", "hosts: this one", "issuers: at least one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
