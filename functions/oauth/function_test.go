package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/mirror"
)

func TestSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		platform, listen, port, runtime string
		want                            settings
		wrong                           string
	}{
		"nothing":       {wrong: "PLATFORM is not set"},
		"a file":        {platform: "p.yaml", want: settings{platform: "p.yaml", address: "127.0.0.1:8081"}},
		"an address":    {platform: "p.yaml", listen: "127.0.0.1:1", want: settings{platform: "p.yaml", address: "127.0.0.1:1"}},
		"a port":        {platform: "p.yaml", listen: "127.0.0.1:1", port: "8080", want: settings{platform: "p.yaml", address: ":8080"}},
		"a function":    {platform: "s3://b/p/platform.yaml", runtime: "127.0.0.1:9001", want: settings{platform: "s3://b/p/platform.yaml", bucket: &mirror.Location{Bucket: "b", Key: "p/platform.yaml"}, function: true, address: "127.0.0.1:8081"}},
		"as a server":   {platform: "p.yaml", port: "80", runtime: "127.0.0.1:9001", want: settings{platform: "p.yaml", address: ":80"}},
		"half a bucket": {platform: "s3://b", wrong: "PLATFORM: it must be s3://BUCKET/KEY"},
	} {
		for variable, value := range map[string]string{"PLATFORM": tt.platform, "LISTEN": tt.listen, "PORT": tt.port, "AWS_LAMBDA_RUNTIME_API": tt.runtime} {
			t.Setenv(variable, value)
		}
		got, err := readSettings()
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// A function has no disk, and what is kept on its own would be gone with it.
func TestFunctionNeedsATable(t *testing.T) {
	r := newRig(t, twoServers)
	t.Setenv("PLATFORM", filepath.Join(r.dir, "platform.yaml"))
	t.Setenv("LISTEN", "")
	t.Setenv("PORT", "")
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
	if err := run(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "oauth.table") {
		t.Error(err)
	}
}

// What is at the platform file's side is named, the secrets too; of a file with mistakes nothing is.
func TestNamedFiles(t *testing.T) {
	r := newRig(t, twoServers)
	platform := filepath.Join(r.dir, "platform.yaml")
	want := []string{filepath.Join(r.dir, "catalog.yaml"), r.server.documents.Load().Platform.OAuth.Key, filepath.Join(r.dir, "robot")}
	if diff := cmp.Diff(want, namedFiles(platform)); diff != "" {
		t.Error(diff)
	}
	r.write("platform.yaml", "apiVersion: v2\n")
	if got := namedFiles(platform); got != nil {
		t.Error(got)
	}
}
