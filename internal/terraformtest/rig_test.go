package terraformtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	root  = "../.."
	cache = root + "/.cache/peers"
)

var (
	mirror  *Mirror
	scratch string
)

// TestMain installs the stubs once. That needs Terraform and the npm registry, so it is asked for: make test-terraform.
func TestMain(m *testing.M) {
	code, err := func() (int, error) {
		if os.Getenv("TEST_TERRAFORM") == "" {
			return m.Run(), nil
		}
		var err error
		if scratch, err = os.MkdirTemp("", "terraform"); err != nil {
			return 1, err
		}
		defer os.RemoveAll(scratch)
		if err := install(context.Background()); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// install makes what every test works with: the stubs, the program that checks catalogs, and zips, of which Terraform reads
// nothing but a hash.
func install(ctx context.Context) error {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return err
	}
	if mirror, err = Install(ctx, root, cache, scratch, []string{root + "/terraform", root + "/terraform/knative"}); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(scratch, "bin", "mcpgateway"), "./cmd/mcpgateway")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build mcpgateway: %w\n%s", err, out)
	}
	for _, zip := range []string{"gateway-arm64", "deployer-arm64", "oauth-arm64", "audit-arm64", "sessions-arm64", "keys-arm64", "edge"} {
		if err := os.WriteFile(filepath.Join(scratch, "bin", zip+".zip"), []byte(zip), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(scratch, "catalog.yaml"), []byte(`apiVersion: v1
servers:
  - id: notes
    title: Notes
    runtime: {container: {image: "registry.example.com/mcp/notes:v1", port: 8080, path: /mcp}}
policies:
  - {name: everyone, allow: {anyone: true}, servers: [notes], tools: ["*"]}
`), 0o600)
}

// cacheFolder is where other people's programs are.
func cacheFolder(t *testing.T) string {
	t.Helper()
	at, err := filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// need skips where nobody asked for what takes Terraform.
func need(t *testing.T) {
	t.Helper()
	if mirror == nil {
		t.Skip("TEST_TERRAFORM is not set: make test-terraform sets it")
	}
}

// open copies the modules, so that a test may plant what it likes, and begins to work in one of them.
func open(t *testing.T, module string) Folder {
	t.Helper()
	need(t)
	f := copyModules(t)
	f.Path = filepath.Join(f.Path, module)
	f.initialize(t)
	return f
}

func copyModules(t *testing.T) Folder {
	t.Helper()
	at := filepath.Join(t.TempDir(), "terraform")
	if err := os.CopyFS(at, os.DirFS(filepath.Join(root, "terraform"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(filepath.Dir(at), "knative", "config"), os.DirFS(filepath.Join(root, "knative", "config"))); err != nil {
		t.Fatal(err)
	}
	return Folder{Path: at, Mirror: mirror}
}

func (f Folder) initialize(t *testing.T) {
	t.Helper()
	if _, err := f.Run(t.Context(), "init", "-no-color", "-backend=false"); err != nil {
		t.Fatal(err)
	}
}

// variables are what every plan needs, with others over them.
func variables(others map[string]any) map[string]any {
	all := map[string]any{
		"catalog": filepath.Join(scratch, "catalog.yaml"), "packages": filepath.Join(scratch, "bin"), "checker": filepath.Join(scratch, "bin", "mcpgateway"),
		"identity": map[string]any{"url": "https://login.example.com", "client_id": "mcpgateway"},
		"images":   map[string]any{"shim": "registry.example.com/mcp/shim:v1"},
	}
	maps.Copy(all, others)
	return all
}

// everything switches on all that can be.
func everything() map[string]any {
	return map[string]any{
		"domain": map[string]any{"name": "mcp.example.com", "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
			"zone_id": "Z0123456789ABCDEFGHIJ", "wildcard": true},
		"waf": map[string]any{}, "budget": 100, "alarm_emails": []string{"ops@example.com"}, "identity_secret": "at-the-provider",
		"audit":                map[string]any{"auditors": []string{"security"}},
		"sessions":             true,
		"kubernetes_api_cidrs": []string{"198.51.100.0/24"}, "kubernetes_version": "1.34",
	}
}

// existing is a cluster that is there.
func existing() map[string]any {
	return map[string]any{"cluster": "existing", "existing_cluster": map[string]any{
		"name": "apps", "vpc_id": "vpc-0123456789abcdef0", "subnet_ids": []string{"subnet-0123456789abcdef0"}, "route_table_ids": []string{"rtb-0123456789abcdef0"}}}
}

// shapes are all fronts by all clusters by all ways out.
func shapes() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, front := range []string{"url", "rest"} {
		for name, cluster := range map[string]map[string]any{"new ipv6": {}, "new nat": {"egress": "nat"}, "existing": existing()} {
			v := map[string]any{"front": front}
			maps.Copy(v, cluster)
			all[front+" "+name] = v
		}
	}
	all["everything"] = everything()
	return all
}
