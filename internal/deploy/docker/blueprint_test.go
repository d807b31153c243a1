package docker

import (
	"slices"
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

// A shim that brings its records to a socket of this machine mounts the folder of that, and finds it there.
func TestFolderOfAnotherIsMounted(t *testing.T) {
	u := deploy.Unit{Name: "shim", Role: deploy.RoleShim, Command: []string{"/mcp/shim"}, Image: deploy.ImageShim, Port: 8080, Limits: deploy.Resources{CPU: "1", Memory: "64Mi"},
		Env:    []deploy.EnvVar{{Name: "SHIM_AUDIT_URL", Value: "unix:{mount:audit}"}},
		Mounts: []deploy.Mount{{Name: "rules", File: "rules"}, {Name: "audit", From: "/srv/audit-in", File: "audit.sock"}}}
	b := blueprint{config: Config{State: "/srv/state", Shim: "/bin/shim"}, user: "1:1", group: newGroup(deploy.Plan{Server: "x"}),
		plan: deploy.Plan{Server: "x", Units: []deploy.Unit{u}}, images: map[string]image{"shim": {}}}
	made, err := b.blank(u, map[string]string{"shim": "8080"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(made.make.Config.Env, "SHIM_AUDIT_URL=unix:/etc/mounts/audit/audit.sock") {
		t.Errorf("it is told %v", made.make.Config.Env)
	}
	if !slices.Contains(made.make.HostConfig.Mounts, bind("/srv/audit-in", "/etc/mounts/audit")) {
		t.Errorf("it mounts %v", made.make.HostConfig.Mounts)
	}
	u.Mounts = []deploy.Mount{{Name: "other", File: "x"}}
	if _, err := b.blank(u, map[string]string{"shim": "8080"}); err == nil {
		t.Error("a mount of which nothing is known")
	}
}
