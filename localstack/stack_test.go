package localstack

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/identity"
)

const up = "The gateway is up"

func TestRunAndStop(t *testing.T) {
	r := start(t, Config{})
	r.await(t, &r.out, up)
	pids := append(r.pids("gateway"), r.pids("deployer")...)
	if len(pids) != 2 || !alive(pids[0]) || !alive(pids[1]) {
		t.Fatalf("processes: %v", pids)
	}
	for name, mode := range map[string]os.FileMode{
		"": 0o700, "platform.yaml": 0o600, "catalog.yaml": 0o600, "insecure-issuer.pem": 0o600, "run.lock": 0o600,
	} {
		info, err := os.Stat(filepath.Join(r.State, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	r.await(t, &r.log, "gateway audit  | {\"server\":\"playground\"}\n")
	log := r.log.String()
	first, second := strings.Index(log, "gateway        | got terminated"), strings.Index(log, "deployer       | got terminated")
	if first < 0 || second < first {
		t.Error("the deployer, and with it the servers, did not go last")
	}
	if l, err := net.Listen("tcp", local(r.Port+2)); err != nil {
		t.Errorf("the issuer is left: %v", err)
	} else {
		l.Close()
	}
}

func TestCrashedProgramStartsAgain(t *testing.T) {
	r := start(t, Config{})
	r.await(t, &r.out, up)
	for _, name := range []string{"gateway", "deployer"} {
		pid := r.pids(name)[0]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.await(t, &r.log, "ended (signal: killed), starts again in 500ms")
		for n := 0; len(r.pids(name)) < 2 && n < 100; n++ {
			time.Sleep(50 * time.Millisecond)
		}
		if pids := r.pids(name); len(pids) != 2 || pids[1] == pid || !alive(pids[1]) {
			t.Errorf("%s: %v", name, pids)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	awaitGone(t, append(r.pids("gateway"), r.pids("deployer")...)...)
}

func TestProgramThatCannotStart(t *testing.T) {
	t.Setenv("FAKE_GATEWAY", "broken")
	r := start(t, Config{})
	err := <-r.ended
	if err == nil || !strings.Contains(err.Error(), "gateway ended: exit status 3") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(r.log.String(), "gateway        | no such issuer\n") {
		t.Error("the program's last line is lost")
	}
	awaitGone(t, r.pids("deployer")...)
}

func TestStopWhileStarting(t *testing.T) {
	t.Setenv("FAKE_GATEWAY", "never ready")
	r := start(t, Config{})
	r.await(t, &r.log, "gateway        | started as")
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if r.out.String() != "" {
		t.Errorf("printed %q", &r.out)
	}
	awaitGone(t, append(r.pids("gateway"), r.pids("deployer")...)...)
}

func TestSecondSignalHurries(t *testing.T) {
	t.Setenv("FAKE_GATEWAY", "stubborn")
	r := start(t, Config{})
	r.await(t, &r.out, up)
	// The signal goes to the test too.
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGINT)
	defer signal.Stop(ignored)
	r.stop()
	r.await(t, &r.log, "gateway        | got terminated")
	began := time.Now()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	awaitGone(t, append(r.pids("gateway"), r.pids("deployer")...)...)
}

func TestNothingIsLeftWhenKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends children with their parent")
	}
	port := freePorts(t)
	r := &running{}
	cmd := exec.CommandContext(t.Context(), filepath.Join(fakes(t), "mcpgateway"), filepath.Join(t.TempDir(), "state"), strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = &r.out, &r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.ended = make(chan error, 1)
	go func() { r.ended <- cmd.Wait() }()
	r.await(t, &r.out, up)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; err == nil {
		t.Error("it ended by itself")
	}
	pids := append(r.pids("gateway"), r.pids("deployer")...)
	if len(pids) != 2 {
		t.Fatalf("processes: %v", pids)
	}
	awaitGone(t, pids...)
}

func TestRunRefuses(t *testing.T) {
	used := start(t, Config{})
	used.await(t, &used.out, up)
	taken, free := strconv.Itoa(used.Port), freePorts(t)
	state := func() string { return filepath.Join(t.TempDir(), "s") }
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("apiVersion: v1\nservices: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		Config
		want string
	}{
		{"port", Config{State: state(), Port: used.Port}, "port " + taken + " is taken by another program: choose one with --port"},
		{"issuer's port", Config{State: state(), Port: free, IssuerPort: used.Port}, "port " + taken + " is taken by another program: choose one with --issuer-port"},
		{"port of nobody", Config{State: state(), Port: 70000}, "--port: 70000 is no port"},
		{"state too deep", Config{State: filepath.Join(state(), strings.Repeat("d", 100)), Port: free}, "too long for sockets in it: choose another with --state"},
		{"state in use", Config{State: used.State, Port: free}, "choose another folder with --state"},
		{"state open to all", Config{State: open, Port: free}, "choose another with --state"},
		{"both files", Config{State: state(), Platform: bad, Catalog: bad}, "--platform and --catalog"},
		{"bad platform", Config{State: state(), Platform: bad}, "bad.yaml:2:"},
		{"bad catalog", Config{State: state(), Catalog: bad, Port: free}, "bad.yaml:2:"},
		{"no programs", Config{State: state(), Programs: state()}, "is missing: make build makes it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.Config
			if c.Programs == "" {
				c.Programs = used.Programs
			}
			c.Out, c.Log, c.withoutNode = &output{}, &output{}, true
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // should it not refuse
			defer cancel()
			if err := Run(ctx, c); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestTokensOutliveRestart prints tokens, restarts, and verifies them with the keys of the second run.
func TestTokensOutliveRestart(t *testing.T) {
	first := start(t, Config{})
	first.await(t, &first.out, up)
	first.stop()
	if err := <-first.ended; err != nil {
		t.Error(err)
	}
	second := start(t, first.Config)
	second.await(t, &second.out, up)

	tokens := regexp.MustCompile(`for (\S+)\n  export (\w+)=(\S+)`).FindAllStringSubmatch(first.out.String(), -1)
	if len(tokens) != 4 {
		t.Fatalf("tokens: %q", tokens)
	}
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []identity.Issuer{{URL: "http://" + local(first.Port+2), Audiences: []string{"{resource}"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		who, err := v.Verify(t.Context(), token[3], []string{"http://" + local(first.Port) + "/mcp-connect/" + token[1]})
		if err != nil || strings.ToUpper(who.Subject) != token[2] {
			t.Errorf("%s: %+v, %v", token[2], who, err)
		}
		if left := time.Until(who.Expiry); left < 7*time.Hour || left > 8*time.Hour {
			t.Errorf("%s: valid for %v", token[2], left)
		}
	}
}

func TestChangedSampleCatalogStays(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	mine := strings.ReplaceAll(string(makeSample(false, "")), "workbench", "drawingboard")
	if err := os.WriteFile(filepath.Join(state, "catalog.yaml"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{State: state})
	r.await(t, &r.out, "/mcp-connect/drawingboard")
}

func TestOwnPlatformWithoutTheDevelopmentIssuer(t *testing.T) {
	dir, port := t.TempDir(), freePorts(t)
	platform := filepath.Join(dir, "platform.yaml")
	for path, text := range map[string]string{
		platform: "apiVersion: v1\npublicURL: http://localhost:" + strconv.Itoa(port) + "\ndeployer: {state: .}\n" +
			"issuers: [{url: \"https://login.example.com\", audiences: [\"{resource}\"], default: true}]\n",
		filepath.Join(dir, "catalog.yaml"): string(makeSample(false, "")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &running{}
	err := func() error {
		s, err := prepare(Config{State: filepath.Join(dir, "s"), Platform: platform, Programs: fakes(t), Out: &r.out, Log: &r.log, withoutNode: true})
		if err != nil {
			return err
		}
		defer s.close()
		if s.Port != port || s.issuer != nil || s.listener != nil {
			t.Errorf("port %d, issuer %v", s.Port, s.issuer)
		}
		return s.explain()
	}()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.out.String(); !strings.Contains(got, "/mcp-connect/playground") || strings.Contains(got, "export") {
		t.Error(got)
	}
}

func TestPortOf(t *testing.T) {
	for address, want := range map[string]int{
		"http://127.0.0.1:9000":    9000,
		"http://localhost:9000":    9000,
		"http://[::1]:9000":        9000,
		"http://127.0.0.1":         8080,
		"https://mcp.example:8443": 8080,
		"https://mcp.example.com":  8080,
	} {
		if got := portOf(address); got != want {
			t.Errorf("%s: %d", address, got)
		}
	}
}
