package docker

import (
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// An image of a registry is fetched when the catalog is read, or else when somebody calls, who is told to try again. The log
// says so, and a wake fetches nothing.
func TestImageIsPulled(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))) // an engine takes one on 127.0.0.1 without TLS
	defer server.Close()
	pushed := func(name string) string {
		made, err := bake.Bake(t.Context(), nil, bake.Config{Shim: p.config.Shim, Prefix: strings.TrimPrefix(server.URL, "http://") + "/" + name,
			Platform: linux(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return made.Shim
	}
	fetched := func(image string) func() bool {
		return func() bool { return strings.Contains(p.log.String(), `"fetched image" image=`+image) }
	}
	prepared, called := pushed("prepared"), pushed("called")
	if err := p.deployer.Prepare(t.Context(), []deploy.Need{{Server: "a", Image: prepared}}); err != nil {
		t.Fatal(err)
	}
	p.eventually("it is fetched", fetched(prepared))
	made := p.plan(rig, "b", called)
	if cause := p.refused(made); !strings.Contains(cause, called+" is being pulled") {
		t.Errorf("the first call: %s", cause)
	}
	p.eventually("it is fetched", fetched(called))
	server.Close()
	p.ensure(p.plan(rig, "a", prepared))
	p.ensure(made)
}
