package docker

import (
	"testing"

	"mcpgateway/internal/deploy"
)

// Programs of others get a first process in front of them: without, they would hear no SIGTERM that they do not handle, and
// nobody would collect their children.
func TestOthersProgramsAreNotFirst(t *testing.T) {
	for first, want := range map[string]bool{"": true, "/bin/server": true, "{shim}": false} {
		u := deploy.Unit{}
		if first != "" {
			u.Command = []string{first, "-v"}
		}
		if host, err := (blueprint{group: &group{}}).confined(u); err != nil || *host.Init != want {
			t.Errorf("%q: init %v, %v", first, *host.Init, err)
		}
	}
}
