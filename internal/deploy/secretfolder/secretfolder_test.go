package secretfolder

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
)

func TestSecretValue(t *testing.T) {
	dir := t.TempDir()
	write := func(name, value string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("a-server/plain", "hunter2", 0o600)
	write("a-server/edited", "hunter2\r\n", 0o400)
	write("a-server/two", "hunter2\n\n", 0o600)
	write("a-server/zero", "hunter\x002", 0o600)
	write("a-server/world", "hunter2", 0o604)
	write("a-server/group", "hunter2", 0o640)
	write("a-server/big", strings.Repeat("x", MaxBytes+1), 0o600)
	write("outside", "hunter2", 0o600)
	write("a-shim/seal", "short", 0o600)
	if err := syscall.Mkfifo(filepath.Join(dir, "a-server/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref  deploy.Secret
		want string
		err  string
	}{
		"as it is":          {deploy.Secret{Store: "mcp-a-server", Key: "plain", Env: "X"}, "hunter2", ""},
		"newline cut":       {deploy.Secret{Store: "mcp-a-server", Key: "edited", Env: "X"}, "hunter2", ""},
		"one newline only":  {deploy.Secret{Store: "mcp-a-server", Key: "two", Env: "X"}, "hunter2\n", ""},
		"file kept exact":   {deploy.Secret{Store: "mcp-a-server", Key: "edited", File: "X"}, "hunter2\r\n", ""},
		"zero byte":         {deploy.Secret{Store: "mcp-a-server", Key: "zero", Env: "X"}, "", "zero byte"},
		"missing":           {deploy.Secret{Store: "mcp-a-server", Key: "none", Env: "X"}, "", "a-server/none and chmod 600"},
		"world-readable":    {deploy.Secret{Store: "mcp-a-server", Key: "world", Env: "X"}, "", "run chmod 600"},
		"group-readable":    {deploy.Secret{Store: "mcp-a-server", Key: "group", Env: "X"}, "", "run chmod 600"},
		"too big":           {deploy.Secret{Store: "mcp-a-server", Key: "big", Env: "X"}, "", "larger than"},
		"a pipe":            {deploy.Secret{Store: "mcp-a-server", Key: "pipe", Env: "X"}, "", "not a plain file"},
		"a folder":          {deploy.Secret{Store: "mcp-a-server", Key: "..", Env: "X"}, "", "not a name"},
		"another folder":    {deploy.Secret{Store: "mcp-a-server", Key: "../outside", Env: "X"}, "", "not a name"},
		"another store":     {deploy.Secret{Store: "mcp-..", Key: "outside", Env: "X"}, "", "not a name"},
		"not our store":     {deploy.Secret{Store: "a-server", Key: "plain", Env: "X"}, "", "not a name"},
		"key of wrong size": {deploy.Secret{Store: "mcp-a-shim", Key: "seal", File: "X", Generate: true}, "", "5 bytes instead of 32"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Folder(dir).Value(c.ref)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter") {
					t.Errorf("got %v, want an error with %q and no value", err, c.err)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// What gateway and deployer share is made once, and each server's shim gets its own part of it.
func TestSharedKey(t *testing.T) {
	dir := t.TempDir()
	value := func(id string) []byte {
		t.Helper()
		v, err := Folder(dir).Value(deploy.Secret{Store: "mcp-" + id + "-shim", Key: "gateway", File: "X", Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := value("a"), value("b")
	shared, err := os.ReadFile(filepath.Join(dir, sealedtoken.SharedFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, value("a")) || bytes.Equal(a, b) || !bytes.Equal(a, sealedtoken.Key(shared, "a")) {
		t.Errorf("%x and %x of %x", a, b, shared)
	}
}

func TestRandomFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a-shim", "seal")
	values := make([][]byte, 20)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() {
			var err error
			if values[i], err = RandomFile(path, 32); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, v := range values {
		if len(v) != 32 || !bytes.Equal(v, values[0]) {
			t.Fatalf("different keys: %x and %x", v, values[0])
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%v left behind (%v)", files, err)
	}
}
