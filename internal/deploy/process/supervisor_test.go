package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); runs(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func (p *place) daemon(l lone, args deploytest.DaemonArgs) int {
	p.t.Helper()
	var d deploytest.Daemon
	if status, err := l.call(deploytest.ToolDaemon, args, &d); err != nil || status != 200 || d.PID == 0 {
		p.t.Fatalf("daemon: %d, %v, %+v", status, err, d)
	}
	return d.PID
}

// TestStopFindsDaemons has the server start a process that hid in a session of its own without our mark: its parent
// gone, it becomes the supervisor's, who ends it with the group.
func TestStopFindsDaemons(t *testing.T) {
	if bootID() == "" {
		t.Skip("only Linux gives orphans to the supervisor")
	}
	for _, how := range []string{"removed", "server killed", "shim killed", "idle"} {
		t.Run(how, func(t *testing.T) {
			p := newPlace(t)
			l := p.lone("a", func(s *catalog.Server) {
				if how == "idle" {
					s.Scale.Idle = catalog.Duration(time.Second)
				}
			})
			pid := p.daemon(l, deploytest.DaemonArgs{LeaveSession: true, DropEnvironment: true})
			r := p.record(l.instance)
			switch how {
			case "removed":
				if err := p.deployer.Remove(context.Background(), l.plan.Key()); err != nil {
					t.Fatal(err)
				}
				if runs(pid) {
					t.Error("Remove returned while the daemon ran")
				}
			case "server killed":
				syscall.Kill(r.Groups["server"], syscall.SIGKILL)
			case "shim killed":
				syscall.Kill(r.Groups["shim"], syscall.SIGKILL)
			}
			for _, pid := range []int{pid, r.Groups["server"], r.Groups["shim"], r.PID} {
				gone(t, pid)
			}
		})
	}
}

// TestSweepAfterSupervisorWasKilled kills the one who knows the group. The kernel ends its children; theirs are found
// by our mark, or by group and session.
func TestSweepAfterSupervisorWasKilled(t *testing.T) {
	for name, args := range map[string]deploytest.DaemonArgs{
		"in its group":         {},
		"group without a mark": {DropEnvironment: true},
		"session of its own":   {LeaveSession: true},
	} {
		t.Run(name, func(t *testing.T) {
			if args.LeaveSession && bootID() == "" {
				t.Skip("only Linux shows other processes' environment")
			}
			p := newPlace(t)
			l := p.lone("a", nil)
			pid := p.daemon(l, args)
			r := p.record(l.instance)
			if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for _, pid := range []int{pid, r.Groups["server"], r.Groups["shim"]} {
				gone(t, pid)
			}
			again, err := p.deployer.Ensure(context.Background(), l.plan)
			if err != nil || again.ID == l.instance.ID {
				t.Errorf("then %+v, %v", again, err)
			}
			if !strings.Contains(p.log.String(), "reason=killed") {
				t.Errorf("the log says nothing:\n%s", p.log)
			}
		})
	}
}

// TestDeathWhileNobodyWatches lets groups end while there is no deployer.
func TestDeathWhileNobodyWatches(t *testing.T) {
	p := newPlace(t)
	crashed, killed, idle := p.lone("crashed", nil), p.lone("killed", nil), p.lone("idle", func(s *catalog.Server) {
		s.Scale.Idle = catalog.Duration(time.Second)
	})
	kept := p.lone("kept", nil)
	p.deployer.Close()
	r := p.record(killed.instance)
	syscall.Kill(p.record(crashed.instance).Groups["server"], syscall.SIGKILL)
	syscall.Kill(r.PID, syscall.SIGKILL)
	for _, l := range []lone{crashed, killed, idle} {
		g := group{dir: filepath.Join(p.config.instances(), l.instance.ID)}
		for deadline := time.Now().Add(20 * time.Second); g.alive() && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if bootID() != "" { // on Linux the kernel ends what the killed supervisor started
		for _, pid := range r.Groups {
			gone(t, pid)
		}
	}
	for _, name := range []string{"0000000000-11111111", ".0000000000-22222222"} { // without record, as a power cut leaves them
		if err := os.Mkdir(filepath.Join(p.config.instances(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.open()
	entries, err := os.ReadDir(p.config.instances())
	if err != nil || len(entries) != 1 || entries[0].Name() != kept.instance.ID {
		t.Errorf("folders %v, %v, want only %s", entries, err, kept.instance.ID)
	}
	for _, pid := range r.Groups {
		gone(t, pid)
	}
	for _, want := range []string{"server=crashed", "unit=server", `status="signal: killed"`, "server=killed", "reason=killed"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, p.log)
		}
	}
	if strings.Contains(p.log.String(), "server=idle owner=<nil> instance="+idle.instance.ID+" reason") {
		t.Errorf("falling asleep counts as a failure:\n%s", p.log)
	}
}

// TestAdoptionDuringAStart has a deployer die between a start and its end.
func TestAdoptionDuringAStart(t *testing.T) {
	p := newPlace(t)
	l := p.lone("a", nil)
	p.deployer.Close()
	if err := os.Remove(filepath.Join(p.config.instances(), l.instance.ID, fileReady)); err != nil {
		t.Fatal(err)
	}
	p.open()
	if found, ok, err := p.deployer.Find(context.Background(), l.plan.Key()); ok || err != nil {
		t.Errorf("found %+v, %v: nobody saw it ready", found, err)
	}
	for _, cold := range []bool{true, false} {
		got, err := p.deployer.Ensure(context.Background(), l.plan)
		if want := (deploy.Instance{ID: l.instance.ID, URL: l.instance.URL, Cold: cold}); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestUnitsInheritNothing(t *testing.T) {
	p := newPlace(t)
	const secret = "sesame \xff of no text"
	p.bench().PutSecret("mcp-a-server", "token", secret)
	l := p.lone("a", func(s *catalog.Server) {
		s.Env = []catalog.EnvVar{{Name: "TOKEN", Secret: &catalog.SecretKey{Key: "token"}}}
	})
	var d deploytest.Description
	if status, err := l.call(deploytest.ToolDescribe, nil, &d); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	for _, to := range d.Inherited {
		if strings.HasPrefix(to, p.config.State) || strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "socket:") {
			t.Errorf("the server inherits %s", to)
		}
	}
	if environ := environ(d.PID); environ != nil && !slices.Contains(environ, "TOKEN="+secret) {
		t.Errorf("the server has %q", environ)
	}
	if ignored := ignoredSignals(d.PID); ignored&1 != 0 { // SIGHUP, which a program in Go leaves ignored
		t.Errorf("the server inherits ignored signals: %b", ignored)
	}
	var names []string
	for _, v := range d.Environment {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	if got, want := fmt.Sprint(names), "[HOME MCPGATEWAY_INSTANCE PATH PORT TMPDIR TOKEN]"; got != want {
		t.Errorf("the server has the variables %s, want %s", got, want)
	}
	if environ := environ(p.record(l.instance).PID); environ != nil {
		if strings.Contains(strings.Join(environ, " "), "sesame") || len(environ) != 3 {
			t.Errorf("the supervisor's environment is %v", environ)
		}
	}
	if files := privateTree(t, p.config.State, "sesame"); files < 5 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestLogs(t *testing.T) {
	p := newPlace(t)
	l := p.lone("a", nil)
	if status, err := l.call(deploytest.ToolDescribe, nil, nil); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if err := p.deployer.Remove(context.Background(), l.plan.Key()); err != nil {
		t.Fatal(err)
	}
	audit, err := os.ReadFile(filepath.Join(p.config.logs("a"), "audit.jsonl"))
	if err != nil || string(audit) != "{\"call\":true}\n" {
		t.Errorf("the audit log is %q, %v", audit, err)
	}
	server, err := os.ReadFile(filepath.Join(p.config.logs("a"), "server.log"))
	if want := " " + l.instance.ID + " test server "; err != nil || !bytes.Contains(server, []byte(want)) {
		t.Errorf("the server's log is %q, %v, want %q in it", server, err, want)
	}
}

// TestDrainEnds cuts calls that take longer than an old revision may live.
func TestDrainEnds(t *testing.T) {
	p := newPlace(t)
	p.deployer.Close()
	p.config.Drain = 200 * time.Millisecond
	p.open()
	l := p.lone("a", nil)
	r := p.record(l.instance)
	answered := make(chan bool, 1)
	go func() {
		status, err := l.call(deploytest.ToolSleep, deploytest.SleepArgs{Milliseconds: 20_000}, nil)
		answered <- err == nil && status == 200
	}()
	time.Sleep(200 * time.Millisecond)
	if err := p.deployer.Deploy(context.Background(), deploy.Plan{Server: l.plan.Server, Owner: l.plan.Owner}); err != nil {
		t.Fatal(err)
	}
	select {
	case ok := <-answered:
		if ok {
			t.Error("a call of 20 s was answered within the drain time")
		}
	case <-time.After(10 * time.Second):
		t.Error("the call goes on")
	}
	gone(t, r.PID)
}

func TestReadSpec(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no JSON": "secret=sesame", "no units": `{"dir":"d","logs":"l","units":[]}`,
		"no folder": `{"logs":"l","units":[{}]}`, "too long": strings.Repeat(" ", maxSpec+1),
	} {
		if _, err := readSpec(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readSpec(errReader{}); err == nil {
		t.Error("no error from a broken pipe")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
