package deploytest

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// The names by which Main tells its programs, as first argument.
const (
	Program       = "deploytest-server"
	programShim   = "proxy" // as deploy.MakePlan calls the shim
	programBridge = "bridge"
	programWait   = "deploytest-wait"
)

// Main runs the program that os.Args names, and does not return then. Call it first in TestMain.
func Main() {
	if len(os.Args) < 2 {
		return
	}
	run := map[string]func([]string) error{Program: runServer, programShim: runShim, programBridge: runBridge, programWait: runWait}[os.Args[1]]
	if run == nil {
		return
	}
	status := 0
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	Exit(status)
}

// Exit ends the process at once. Under the race detector os.Exit takes a second, and the programs of the suite end
// often.
func Exit(status int) { syscall.Exit(status) }

// The tools of the test server.
const (
	ToolDescribe = "describe" // answers a Description
	ToolSleep    = "sleep"    // takes SleepArgs
	ToolDaemon   = "daemon"   // takes DaemonArgs, starts a process that ignores SIGTERM, and answers a Daemon
)

// Description is what a test server can tell about itself.
type Description struct {
	PID         int      `json:"pid"`
	Run         string   `json:"run"` // of which there is no other, as there may be of its PID
	Environment []string `json:"environment"`
	Arguments   []string `json:"arguments"`
	Inherited   []string `json:"inherited"` // what the descriptors above 2 led to at the start
}

// SleepArgs says how long a call takes.
type SleepArgs struct {
	Milliseconds int64 `json:"milliseconds"`
}

// DaemonArgs says how a process hides from those who want to end it.
type DaemonArgs struct {
	LeaveSession    bool `json:"leaveSession"`
	DropEnvironment bool `json:"dropEnvironment"`
}

// Daemon is a process that a test server started.
type Daemon struct {
	PID int `json:"pid"`
}

// runServer is an MCP server as far as the suite goes.
func runServer(args []string) error {
	flags := flag.NewFlagSet(Program, flag.ExitOnError)
	stdio := flags.Bool("stdio", false, "serve on standard input and output")
	port := flags.String("port", "", "TCP port on 127.0.0.1")
	fail := flags.String("fail", "", "print this and exit instead of serving")
	hang := flags.Bool("hang", false, "never serve")
	stubborn := flags.Bool("stubborn", false, "ignore SIGTERM")
	_ = flags.Parse(args) // exits on errors
	self := Description{PID: os.Getpid(), Run: rand.Text(), Environment: os.Environ(), Arguments: os.Args, Inherited: inherited()}
	fmt.Fprintln(os.Stderr, "test server", self.PID)
	if *fail != "" {
		return errors.New(*fail)
	}
	if *stubborn {
		ignoreTerm()
	}
	if *hang {
		select {}
	}
	if *stdio {
		return serveStdio(self)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+*port)
	if err != nil {
		return err
	}
	return http.Serve(l, tools(self))
}

func tools(self Description) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			text, err = self.answer(text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}

// serveStdio answers line by line, until there are no more.
func serveStdio(self Description) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		text, err := self.answer(lines.Bytes())
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s\n", text); err != nil {
			return err
		}
	}
	return lines.Err()
}

// answer answers one request.
func (d Description) answer(text []byte) ([]byte, error) {
	var q request
	var args struct {
		SleepArgs
		DaemonArgs
	}
	q.Params.Arguments = &args
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, err
	}
	var result any = struct{}{}
	switch q.Params.Name {
	case ToolDescribe:
		result = d
	case ToolSleep:
		time.Sleep(time.Duration(args.Milliseconds) * time.Millisecond)
	case ToolDaemon:
		pid, err := startDaemon(args.DaemonArgs)
		if err != nil {
			return nil, err
		}
		result = Daemon{PID: pid}
	}
	a := response{JSONRPC: "2.0", ID: q.ID}
	a.Result.StructuredContent, _ = json.Marshal(result) // plain structs: cannot fail
	a.Result.Content = []any{}
	return json.Marshal(a)
}

// inherited lists what descriptors above 2 lead to. It must be called before anything is opened.
func inherited() []string {
	links, _ := filepath.Glob("/proc/self/fd/*")
	var list []string
	for _, link := range links {
		if n, err := strconv.Atoi(filepath.Base(link)); err != nil || n <= 2 {
			continue
		}
		if to, err := os.Readlink(link); err == nil {
			list = append(list, to)
		}
	}
	return list
}

// startDaemon does what a badly behaved server may do: it starts a process and forgets it.
func startDaemon(args DaemonArgs) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.Command(self, programWait)
	if args.DropEnvironment {
		command.Env = []string{}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: args.LeaveSession}
	if err := command.Start(); err != nil {
		return 0, err
	}
	return command.Process.Pid, nil
}

func runWait([]string) error {
	ignoreTerm()
	time.Sleep(10 * time.Minute)
	return nil
}
