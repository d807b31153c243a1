package lambda

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// stateOf is a process's state as /proc/PID/stat has it: T where it is stopped.
func stateOf(t *testing.T, pid string) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fields[0]
}

// Between two invocations the process does not run, and after that it goes on.
func TestFrozen(t *testing.T) {
	front, g := startHandler(t, Config{})
	for range 3 {
		_, pid := do(t, "GET", front.URL()+"/pid", "")
		eventually(t, "it is frozen", func() bool { return stateOf(t, pid) == "T" })
		body, _ := open(t, front.URL()+"/gated")
		g.let(t, "one\n")
		readLine(t, body)
		if state := stateOf(t, pid); state == "T" {
			t.Error("it is frozen with an invocation")
		}
		g.let(t, "end")
		if _, err := io.ReadAll(body); err != nil {
			t.Error(err)
		}
	}
	if b := front.Bill()["handler"]; b.Instances != 1 {
		t.Errorf("bill: %v", b)
	}
}
