package localstack

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo terminal; what is written to it is gathered in shown.
func openTerminal(t *testing.T, shown *output) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unlock(int(master.Fd()))
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return // the other end is closed
			}
			shown.Write(buf[:n])
		}
	}()
	t.Cleanup(func() { terminal.Close(); <-read })
	return terminal
}

var sequence = regexp.MustCompile("\x1b\\[[0-9]*[A-Za-z]")

// row is how the table showed a server last: without attributes, and spaces taken together.
func row(shown *output, server string) string {
	text := strings.ReplaceAll(shown.String(), "\r\n", "\n")
	at := strings.LastIndex(text, "SERVER ")
	if at < 0 {
		return ""
	}
	for line := range strings.Lines(sequence.ReplaceAllString(text[at:], "")) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == server {
			return strings.Join(fields, " ")
		}
	}
	return ""
}

func awaitRow(t *testing.T, shown *output, server, want string) {
	t.Helper()
	var got string
	for range 400 {
		if got = row(shown, server); regexp.MustCompile("^" + server + " " + want + "$").MatchString(got) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the table shows %q, want %s", got, want)
}

// TestTable runs the sample system on a terminal, and follows a server through a wake and a sleep.
func TestTable(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	var shown output
	terminal := openTerminal(t, &shown)
	before := settings(t, terminal)
	catalog := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(catalog, []byte(strings.ReplaceAll(string(makeSample(false, "")), "idle: 60s", "idle: 2s")), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{Config: Config{Programs: build(t), State: shortDir(t), Port: freePorts(t), Catalog: catalog, Out: terminal, Log: terminal},
		ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	go func() { r.ended <- Run(ctx, r.Config) }()
	defer func() {
		stop()
		if t.Failed() {
			t.Logf("shown:\n%q", shown.String())
		}
	}()
	r.await(t, &shown, "SERVER ")
	awaitRow(t, &shown, "playground", "asleep 0 0 0 -")

	slow := request(t, r, token(t, r, "alice", "playground"), "playground", "slow", `{"seconds":4}`)
	done := make(chan int, 1)
	go func() { status, _ := do(t, slow); done <- status }()
	awaitRow(t, &shown, "playground", `awake 1 1 0 [0-9.]+ MiB`)
	status, _ := call(t, r, token(t, r, "alice", "desk"), "desk", "echo")
	awaitRow(t, &shown, "desk", `awake \(1 user\) 0 1 0 [0-9.]+ MiB`)
	if got := <-done; status != 200 || got != 200 {
		t.Errorf("calls got %d and %d", status, got)
	}
	testStatus(t, r)
	awaitRow(t, &shown, "playground", "asleep 0 1 0 -")

	stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, settings(t, terminal)); diff != "" {
		t.Errorf("the terminal's settings changed:\n%s", diff)
	}
	checkLeft(t, written(t, terminal, &shown))
	if err := Status(t.Context(), r.State, &output{}); err == nil || !strings.Contains(err.Error(), "nothing runs in "+r.State) {
		t.Errorf("status afterwards: %v", err)
	}
}

// written is all that was written to a terminal until now: what reads its other end may be behind.
func written(t *testing.T, terminal *os.File, shown *output) string {
	t.Helper()
	const mark = "-- read until here --"
	if _, err := terminal.WriteString(mark); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if text, found := strings.CutSuffix(shown.String(), mark); found {
			return text
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the terminal's other end is not read")
	return ""
}

// testStatus asks from beside, as mcpgateway status does.
func testStatus(t *testing.T, r *running) {
	t.Helper()
	var out output
	if err := Status(t.Context(), r.State, &out); err != nil {
		t.Error(err)
	}
	if text := out.String(); !strings.HasPrefix(text, "SERVER ") || strings.Count(text, "\n") != 4 || strings.Contains(text, "\x1b") || !strings.Contains(text, "desk ") {
		t.Errorf("status prints\n%s", text)
	}
	var asJSON output
	if err := StatusJSON(t.Context(), r.State, &asJSON); err != nil {
		t.Error(err)
	}
	var servers []struct {
		ID, State string
		PerUser   bool
		Total     int64
	}
	if err := json.Unmarshal([]byte(asJSON.String()), &servers); err != nil || len(servers) != 3 {
		t.Fatalf("status prints %v\n%s", err, asJSON.String())
	}
	for _, s := range servers {
		if s.ID == "desk" && (!s.PerUser || s.State == "" || s.Total != 1) {
			t.Errorf("status as JSON has %+v", s)
		}
	}
}

// checkLeft checks how the terminal was left: the table erased and not drawn again, no mode switched on, no attribute
// on, and the log readable.
func checkLeft(t *testing.T, text string) {
	t.Helper()
	drawn, erased := strings.LastIndex(text, "SERVER "), strings.LastIndex(text, "\x1b[J")
	if drawn > erased || !strings.HasSuffix(text, "\n") && !strings.HasSuffix(text, "\x1b[J") {
		t.Errorf("left with %.200q", text[max(0, len(text)-200):])
	}
	known := regexp.MustCompile("^\x1b\\[([0-9]+A|J|(0|1|2|32|33)m)$")
	for _, s := range regexp.MustCompile("\x1b[^a-zA-Z]*[a-zA-Z]").FindAllString(text, -1) {
		if !known.MatchString(s) {
			t.Errorf("sequence %q", s)
		}
	}
	last := regexp.MustCompile("\x1b\\[[0-9]+m").FindAllString(text, -1)
	if len(last) == 0 || last[len(last)-1] != "\x1b[0m" {
		t.Errorf("attributes %q", last)
	}
	plain := strings.ReplaceAll(sequence.ReplaceAllString(text, ""), "\r", "")
	if !regexp.MustCompile(`(?m)^deployer       \| \{.*"msg":"starting".*\}$`).MatchString(plain) {
		t.Error("a line of the log is broken")
	}
}

// TestNoTable has a terminal where no table is wanted.
func TestNoTable(t *testing.T) {
	for name, tc := range map[string]struct {
		kind  string
		plain bool
	}{"plain": {"xterm", true}, "dumb": {"dumb", false}, "nothing known": {"", false}} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", tc.kind)
			var shown output
			terminal := openTerminal(t, &shown)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			c := Config{Programs: fakes(t), State: filepath.Join(t.TempDir(), "s"), Port: freePorts(t), Out: terminal, Log: terminal,
				Plain: tc.plain, withoutNode: true}
			go func() { ended <- Run(ctx, c) }()
			(&running{ended: ended}).await(t, &shown, "mcp-remote")
			time.Sleep(2 * refresh)
			stop()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if text := shown.String(); strings.ContainsRune(text, '\x1b') || strings.Contains(text, "SERVER ") {
				t.Errorf("shown: %q", text)
			}
		})
	}
}

// TestTableWithoutGateway has programs that say nothing of what they do.
func TestTableWithoutGateway(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	var shown output
	terminal := openTerminal(t, &shown)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	c := Config{Programs: fakes(t), State: filepath.Join(t.TempDir(), "s"), Port: freePorts(t), Out: terminal, Log: terminal, withoutNode: true}
	go func() { ended <- Run(ctx, c) }()
	(&running{ended: ended}).await(t, &shown, "does not answer")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(shown.String(), "\x1b[1m") {
		t.Error("colours in spite of NO_COLOR")
	}
}

// unlock makes the other end of a pseudo terminal usable, and returns its number.
func unlock(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return 0, err
	}
	return unix.IoctlGetInt(master, unix.TIOCGPTN)
}

// settings are those of a terminal.
func settings(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}
