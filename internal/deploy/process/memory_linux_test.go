package process

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

func TestParseResident(t *testing.T) {
	for statm, want := range map[string]int64{
		"3500 1200 900 1 0 300 0\n": 1200,
		"3500 0 0":                  0,
		"3500 -5 0":                 0,
		"3500 99999999999999999999": 0,
		"3500":                      0,
		"":                          0,
	} {
		if got := parseResident(statm); got != want {
			t.Errorf("%q: %d, want %d", statm, got, want)
		}
	}
}

// TestResidentCountsGrandchildren compares a shell alone with one whose grandchild holds 64 MB.
func TestResidentCountsGrandchildren(t *testing.T) {
	for _, tool := range []string{"sh", "head", "tr"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	run := func(script string) int {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		// A variable fills the memory of a shell; two others only wait for it.
		cmd.Env = append(os.Environ(), `CHILD=sh -c "$GRANDCHILD"; :`,
			`GRANDCHILD=v=$(head -c 67108864 /dev/zero | tr "\0" x); echo; read x; : "$v"`)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q: %q, %v", script, line, err)
		}
		return cmd.Process.Pid
	}
	const size = 64 << 20
	small := run("echo; read x")
	large := run(`sh -c "$CHILD"; :`)
	got := resident([]int{small, 0, large, 1, -7})
	if got[0] <= 0 || got[0] > size/2 || got[2] < size || got[1] != 0 || got[3] != 0 || got[4] != 0 {
		t.Errorf("%v, want little, 0, over %d, 0, 0", got, size)
	}
}

// TestListKnowsWhatStarts looks at a server that never gets ready, and at one that is.
func TestListKnowsWhatStarts(t *testing.T) {
	p := newPlace(t)
	awake := p.lone("awake", nil)
	hanging := p.planned("hanging", func(s *catalog.Server) { s.Runtime = p.bench().Runtime("-hang") })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := p.deployer.Ensure(ctx, hanging.plan); left <- err }()
	defer func() { leave(); <-left }()
	var list []deploy.Status
	for range 500 {
		var err error
		if list, err = p.deployer.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(list) == 2 && list[0].Memory > 0 && list[1].Memory > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, s := range list {
		if s.Ready != (s.ID == awake.instance.ID) {
			t.Errorf("%+v", s)
		}
		if s.Memory < 1<<20 || s.Memory > 1<<30 { // three or four programs in Go
			t.Errorf("%s has %d bytes", s.Key.Server, s.Memory)
		}
	}
}
