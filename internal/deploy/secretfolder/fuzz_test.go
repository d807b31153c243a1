package secretfolder

import (
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/deploy"
)

// Whatever a plan calls a secret, only a file two folders below the store is read.
func FuzzSecretName(f *testing.F) {
	f.Add("mcp-a-server", "token")
	f.Add("mcp-..", "../outside")
	f.Add("mcp-a/b", "c")
	store := f.TempDir()
	f.Fuzz(func(t *testing.T, folder, key string) {
		_, err := Folder(store).Value(deploy.Secret{Store: folder, Key: key})
		inside := strings.HasPrefix(folder, "mcp-") && filepath.Join(store, folder[4:], key) == store+"/"+folder[4:]+"/"+key &&
			strings.Count(folder+key, "/") == 0 && folder[4:] != "" && folder[4] != '.' && key != "" && key[0] != '.'
		if asked := err == nil || strings.Contains(err.Error(), "is missing"); asked && !inside {
			t.Errorf("%q, %q: %v", folder, key, err)
		}
	})
}
