package command

import (
	"mcpgateway/internal/mirror"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		platform, listen, port, runtime string
		want                            Settings
		wrong                           string
	}{
		"nothing":       {wrong: "PLATFORM is not set"},
		"a file":        {platform: "p.yaml", want: Settings{Platform: "p.yaml", Address: "127.0.0.1:8081"}},
		"an address":    {platform: "p.yaml", listen: "127.0.0.1:1", want: Settings{Platform: "p.yaml", Address: "127.0.0.1:1"}},
		"a port":        {platform: "p.yaml", listen: "127.0.0.1:1", port: "8080", want: Settings{Platform: "p.yaml", Address: ":8080"}},
		"a function":    {platform: "s3://b/p/platform.yaml", runtime: "127.0.0.1:9001", want: Settings{Platform: "s3://b/p/platform.yaml", Bucket: &mirror.Location{Bucket: "b", Key: "p/platform.yaml"}, Function: true, Address: "127.0.0.1:8081"}},
		"as a server":   {platform: "p.yaml", port: "80", runtime: "127.0.0.1:9001", want: Settings{Platform: "p.yaml", Address: ":80"}},
		"half a bucket": {platform: "s3://b", wrong: "PLATFORM: it must be s3://BUCKET/KEY"},
	} {
		for variable, value := range map[string]string{"PLATFORM": tt.platform, "LISTEN": tt.listen, "PORT": tt.port, "AWS_LAMBDA_RUNTIME_API": tt.runtime} {
			t.Setenv(variable, value)
		}
		got, err := ReadSettings("127.0.0.1:8081")
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}
