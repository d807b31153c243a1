package proxytest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sh starts a shell script.
func sh(t *testing.T, script string) *Process {
	t.Helper()
	p, err := StartProcess(Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"GREETING=hello"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStop(t *testing.T) {
	tests := []struct {
		name, script string
		early        bool // the process is to end before Stop
		wantErr      string
	}{
		{name: "default action", script: "echo up; exec sleep 60"},
		{name: "handled", script: "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"},
		{name: "handled badly", script: "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done", wantErr: "exit status 3"},
		{name: "ended by itself", script: "echo up; exit 0", early: true, wantErr: "ended by itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := sh(t, tt.script)
			awaitText(t, p.log, "up")
			if tt.early {
				<-p.exited
			}
			err := p.Stop()
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("err = %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func awaitText(t *testing.T, file, text string) {
	t.Helper()
	for range 500 {
		if data, _ := os.ReadFile(file); strings.Contains(string(data), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q does not come up in the log", text)
}

func TestProcessHasEnvironmentAndLog(t *testing.T) {
	p := sh(t, "echo $GREETING from $HOME >&2; exec sleep 60")
	awaitText(t, p.log, "hello from "+os.Getenv("HOME"))
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAwait(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := sh(t, "exec sleep 60")
	defer func() { _ = p.Stop() }()
	if err := p.Await(t.Context(), "tcp", ln.Addr().String()); err != nil {
		t.Error(err)
	}
	gone := sh(t, "exit 4")
	if err := gone.Await(t.Context(), "unix", filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("err = %v, want that it ended", err)
	}
}
