// Package stdiotest is an MCP server on stdio that does to its client what servers do, good and bad. Programs that test
// what stands in front of such a server start themselves as one.
//
// It is for tests only: it can exit, hang, flood, fork and ignore signals, and is told to by whoever calls its tools.
package stdiotest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

type server struct {
	mu        sync.Mutex
	cancelled []string
	watched   []string                        // what it was told to watch, and not to
	answers   map[string]chan json.RawMessage // to the requests of its own, by id
	asked     int
	ready     int // notifications/initialized
	manner    string
}

// request is what the fake reads of a message. Its client must send proper ones: it ends where one is not.
type request struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Result  json.RawMessage `json:"result"`
	Params  struct {
		Name      string          `json:"name"`
		URI       string          `json:"uri"`
		RequestID json.RawMessage `json:"requestId"`
		Arguments map[string]any  `json:"arguments"`
		Meta      struct {
			ProgressToken json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	} `json:"params"`
}

// Serve is the server's whole program. Manner says how it is, in words of which any number may be given: "exits" at once,
// "silent" for ever, "stubborn" about its end, "greets" on stdout, "announces" itself, "refuses" to be initialized,
// "modern", "shy" about methods that it does not know.
func Serve(manner string) {
	s := &server{answers: map[string]chan json.RawMessage{}, manner: manner}
	switch {
	case manner == "exits":
		fmt.Fprintln(os.Stderr, "no licence")
		os.Exit(7)
	case manner == "silent":
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	case strings.Contains(manner, "stubborn"):
		signal.Ignore(syscall.SIGTERM)
		defer func() { time.Sleep(time.Hour) }()
	case strings.Contains(manner, "greets"):
		fmt.Println("Welcome to the server, version 1.0!\n{\"not\": \"a message\"}\n[]\n{broken")
	}
	if strings.Contains(manner, "announces") {
		s.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"I am here"}}`)
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil || r.JSONRPC != "2.0" {
			fmt.Fprintf(os.Stderr, "client sent %q\n", line)
			os.Exit(9)
		}
		s.take(r)
	}
}

func (s *server) take(r request) {
	switch r.Method {
	case "":
		s.mu.Lock()
		defer s.mu.Unlock()
		if to := s.answers[string(r.ID)]; to != nil {
			to <- r.Result
		}
	case "initialize":
		if strings.Contains(s.manner, "refuses") {
			s.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`, r.ID)
			return
		}
		s.say(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"}}}`, r.ID)
	case "server/discover":
		if strings.Contains(s.manner, "modern") {
			s.say(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"]}}`, r.ID)
		} else if !strings.Contains(s.manner, "shy") {
			s.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, r.ID)
		}
	case "notifications/initialized":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ready++
	case "notifications/cancelled":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancelled = append(s.cancelled, string(r.Params.RequestID))
	case "tools/call":
		if r.Params.Name == "deaf" {
			select {}
		}
		go s.call(r)
	case "resources/subscribe", "resources/unsubscribe":
		s.mu.Lock()
		s.watched = append(s.watched, strings.TrimPrefix(r.Method, "resources/")+" "+r.Params.URI)
		s.mu.Unlock()
		s.say(`{"jsonrpc":"2.0","id":%s,"result":{"method":%q,"uri":%q}}`, r.ID, r.Method, r.Params.URI)
	case "subscriptions/listen":
		s.say(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, r.ID)
	default:
		if r.ID != nil {
			s.say(`{"jsonrpc":"2.0","id":%s,"result":{"method":%q,"uri":%q}}`, r.ID, r.Method, r.Params.URI)
		}
	}
}

func (s *server) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}

func (s *server) answer(r request, text string) {
	s.say(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`, r.ID, text)
}

// call does what the tool's name says.
func (s *server) call(r request) {
	switch r.Params.Name {
	case "pid":
		s.answer(r, fmt.Sprint(os.Getpid()))
	case "seen":
		s.answer(r, string(r.ID)+" "+string(r.Params.Meta.ProgressToken))
	case "environment":
		s.answer(r, strings.Join(os.Environ(), "\n"))
	case "sleep":
		r.sleep()
		s.answer(r, "slept")
	case "progress":
		for i := range r.number("count") {
			s.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`, r.Params.Meta.ProgressToken, i)
			r.sleep()
		}
		s.answer(r, "done")
	case "cancelled":
		s.mu.Lock()
		list := strings.Join(s.cancelled, " ")
		s.mu.Unlock()
		s.answer(r, list)
	case "watched":
		s.mu.Lock()
		list := strings.Join(s.watched, ", ")
		s.mu.Unlock()
		s.answer(r, list)
	case "ask":
		s.answer(r, s.ask("roots/list"))
	case "ask ping":
		s.answer(r, s.ask("ping"))
	case "ready":
		s.mu.Lock()
		ready := s.ready
		s.mu.Unlock()
		s.answer(r, fmt.Sprint(ready))
	case "log":
		s.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"logged"}}`)
		s.answer(r, "logged")
	case "changed":
		s.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.say(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a"}}`)
		s.answer(r, "told")
	default:
		s.misbehave(r)
	}
}

// number is an argument of a call, 0 where it is not given.
func (r request) number(name string) int { n, _ := r.Params.Arguments[name].(float64); return int(n) }

func (r request) sleep() { time.Sleep(time.Duration(r.number("ms")) * time.Millisecond) }

// misbehave is call for the tools that no server should have.
func (s *server) misbehave(r request) {
	switch r.Params.Name {
	case "hang":
	case "exit":
		os.Exit(3)
	case "close output":
		os.Stdout.Close()
	case "wrong id":
		s.say(`{"jsonrpc":"2.0","id":99999,"result":{}}`)
		s.say(`{"jsonrpc":"2.0","id":"1","result":{}}`)
		s.say(`{"jsonrpc":"2.0","id":1.0,"result":{}}`)
		s.answer(r, "right")
	case "garbage":
		s.say("Traceback (most recent call last):\n\x00\xff{\"jsonrpc\":")
		s.answer(r, "after")
	case "noise":
		for range r.number("count") {
			s.say("noise")
			s.say(`{"jsonrpc":"2.0","id":"noise","result":{}}`)
			fmt.Fprintln(os.Stderr, "noise")
		}
		s.answer(r, "after")
	case "flood":
		for i := range r.number("count") {
			s.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%d %s"}}`, i, strings.Repeat("x", 1000))
		}
		s.answer(r, "flooded")
	case "long line":
		s.mu.Lock()
		defer s.mu.Unlock()
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range 100 {
			if _, err := os.Stdout.Write(chunk); err != nil {
				return
			}
		}
	case "fork":
		s.answer(r, fork(nil))
	case "fork away":
		s.answer(r, fork(&syscall.SysProcAttr{Setsid: true}))
	default:
		s.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no such tool"}}`, r.ID)
	}
}

// fork starts a process that stays for a while, and returns its number, or what went wrong.
func fork(attributes *syscall.SysProcAttr) string {
	child := exec.Command("sleep", "300")
	child.SysProcAttr = attributes
	if err := child.Start(); err != nil {
		return err.Error()
	}
	return fmt.Sprint(child.Process.Pid)
}

// ask asks the client for something, and returns what it answered.
func (s *server) ask(method string) string {
	to := make(chan json.RawMessage, 1)
	s.mu.Lock()
	s.asked++
	id := fmt.Sprintf(`"ask-%d"`, s.asked)
	s.answers[id] = to
	s.mu.Unlock()
	s.say(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
	return string(<-to)
}
