package table

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/traffic"
)

func instance(server, owner string, ready bool, memory int64) deploy.Status {
	key := deploy.Key{Server: server}
	if owner != "" {
		key.Owner = &deploy.Owner{Issuer: "https://issuer", Subject: owner}
	}
	return deploy.Status{Key: key, ID: server + owner, Ready: ready, Memory: memory}
}

// TestStates follows a server from one sleep to the next.
func TestStates(t *testing.T) {
	for _, step := range []struct {
		name string
		says traffic.Server
		up   []deploy.Status
		want Row
	}{
		{"asleep", traffic.Server{}, nil, Row{}},
		{"a listener wakes nothing", traffic.Server{Listeners: 1}, nil, Row{Listeners: 1}},
		{"a call waits", traffic.Server{Calls: 1, Total: 1, Waiting: 1}, nil, Row{State: Waking, Calls: 1, Total: 1}},
		{"it starts", traffic.Server{Calls: 1, Total: 1, Waiting: 1}, []deploy.Status{instance("a", "", false, 10)},
			Row{State: Waking, Calls: 1, Total: 1, Instances: 1, Memory: 10}},
		{"the caller left", traffic.Server{Total: 1}, []deploy.Status{instance("a", "", false, 10)},
			Row{State: Waking, Total: 1, Instances: 1, Memory: 10}},
		{"awake", traffic.Server{Total: 1}, []deploy.Status{instance("a", "", true, 20)},
			Row{State: Awake, Total: 1, Instances: 1, Memory: 20}},
		{"replaced", traffic.Server{Calls: 1, Total: 2}, []deploy.Status{instance("a", "", true, 20), instance("a", "", false, 5)},
			Row{State: Waking, Calls: 1, Total: 2, Instances: 2, Memory: 25}},
		{"replaced, in another order", traffic.Server{Calls: 1, Total: 2}, []deploy.Status{instance("a", "", false, 5), instance("a", "", true, 20)},
			Row{State: Waking, Calls: 1, Total: 2, Instances: 2, Memory: 25}},
		{"asleep again", traffic.Server{Total: 2}, nil, Row{Total: 2}},
	} {
		step.says.ID, step.want.Server = "a", "a"
		got := makeRows(traffic.Status{Servers: []traffic.Server{step.says}}, step.up)
		if diff := cmp.Diff([]Row{step.want}, got); diff != "" {
			t.Errorf("%s:\n%s", step.name, diff)
		}
	}
}

func TestRowsAreTheCatalogs(t *testing.T) {
	says := traffic.Status{Servers: []traffic.Server{{ID: "z"}, {ID: "desk", PerUser: true}, {ID: "a"}}}
	up := []deploy.Status{instance("gone", "", true, 1), instance("desk", "alice", true, 2), instance("desk", "bob", true, 3)}
	want := []Row{{Server: "z"}, {Server: "desk", PerUser: true, State: Awake, Instances: 2, Memory: 5}, {Server: "a"}}
	if diff := cmp.Diff(want, makeRows(says, up)); diff != "" {
		t.Error(diff)
	}
}

// answer serves a document on a socket.
func answer(t *testing.T, path, document string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(document)) })}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

func TestLook(t *testing.T) {
	dir, err := os.MkdirTemp("", "tb") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	deployer, gateway := filepath.Join(dir, "d"), filepath.Join(dir, "g")
	look := NewLooker(gateway)
	if _, err := look.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "ask the gateway") {
		t.Errorf("without a gateway: %v", err)
	}
	text, err := json.Marshal(traffic.Status{Deployer: deployer, Servers: []traffic.Server{{ID: "a", Calls: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	answer(t, gateway, string(text))
	if _, err := look.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "ask the deployer") {
		t.Errorf("without a deployer: %v", err)
	}
	answer(t, deployer, `[{"key":{"server":"a"},"id":"i","hash":"h","ready":true,"memory":7}]`)
	got, err := look.Look(t.Context())
	if diff := cmp.Diff([]Row{{Server: "a", State: Awake, Instances: 1, Calls: 1, Memory: 7}}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
