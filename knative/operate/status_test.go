package operate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/knative"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time { at := noon.Add(-d); return &at }

func TestStatus(t *testing.T) {
	digest := "r.test/x@sha256:" + strings.Repeat("0f", 32)
	c, _, _ := newCluster(t,
		knative.Service{Name: "mcp-old", Server: "old", Revision: "mcp-old-00001", State: knative.Asleep, Since: ago(49 * time.Hour), Images: []knative.Image{}},
		knative.Service{Name: "mcp-own-0123456789abcdef", Server: "own", Owner: "0123456789abcdef", Next: "mcp-own-0123456789abcdef-00001", State: knative.Starting,
			Images: []knative.Image{}, Trouble: "container server: CrashLoopBackOff\n\x1b[2Jlast words"},
		knative.Service{Name: "mcp-shared", Server: "shared", Revision: "mcp-shared-00001", Next: "mcp-shared-00002", State: knative.Asleep, Since: ago(5 * time.Minute),
			LastCall: ago(6 * time.Minute), Images: []knative.Image{{Container: "shim", Image: digest}, {Container: "server", Image: "dev.local/x:1"}}},
	)
	servers, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := WriteTable(&table, servers, noon); err != nil {
		t.Fatal(err)
	}
	want := `SERVER  INSTANCE          STATE                       FOR  LAST CALL  REVISION                                 IMAGES
shared                    asleep                      5m   6m ago     mcp-shared-00001, then mcp-shared-00002  shim 0f0f0f0f0f0f, server dev.local/x:1
own     0123456789abcdef  starting, trouble                           mcp-own-0123456789abcdef-00001           
new                       not deployed                                                                         
old                       asleep, not in the catalog  2d              mcp-old-00001                            

mcp-own-0123456789abcdef: container server: CrashLoopBackOff
    ?[2Jlast words
`
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(servers)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"id":"shared","perUser":false,"inCatalog":true,"deployed":true,"instances":[{"name":"mcp-shared","revision":"mcp-shared-00001","next":"mcp-shared-00002","state":"asleep","since":"2026-11-27T11:55:00Z","lastCall":"2026-11-27T11:54:00Z","images":[{"container":"shim","image":"` + digest + `"}`,
		`{"id":"new","perUser":false,"inCatalog":true,"deployed":false,"instances":[]}`,
		`{"id":"old","perUser":false,"inCatalog":false,"deployed":true,`,
		`"owner":"0123456789abcdef"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the JSON lacks %s:\n%s", part, text)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		2 * time.Hour: "2h", 47 * time.Hour: "47h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	const platform = "apiVersion: v1\npublicURL: https://mcp.example.com\nissuers: [{url: \"https://login.example.com\", audiences: [\"{resource}\"], default: true}]\n"
	const cluster = platform + "deployer: {knative: {kubeconfig: k, nameKey: n, images: {shim: i}, ingress: {url: 'http://127.0.0.1:1', domain: example.test, insecurePlainIngress: true}}}\n"
	for name, text := range map[string]string{"local.yaml": platform, "cluster.yaml": cluster, "catalog.yaml": "apiVersion: v1\nservers: []\npolicies: []\n",
		"none.yaml": cluster + "catalog: none\n", "k": "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],\n clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: t}}]}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"cluster.yaml": "", "local.yaml": "has no deployer.knative", "none.yaml": "no such file", "missing.yaml": "no such file"} {
		_, err := Open(filepath.Join(dir, file))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
