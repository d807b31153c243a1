package bridge

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
	"testing"
	"time"
)

// This test program is its own stdio server: a fake, which does to its client what servers do, good and bad.
func TestMain(m *testing.M) {
	if manner := os.Getenv("FAKE_CHILD"); manner != "" {
		runFakeChild(manner)
		return
	}
	os.Exit(m.Run())
}

type fakeChild struct {
	mu        sync.Mutex
	cancelled []string
	answers   map[string]chan json.RawMessage // to the requests of its own, by id
	asked     int
	watched   []string // what it was told to watch, and not to
	ready     int      // notifications/initialized
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

func runFakeChild(manner string) {
	c := &fakeChild{answers: map[string]chan json.RawMessage{}, manner: manner}
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
		c.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"I am here"}}`)
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
		c.take(r)
	}
}

func (c *fakeChild) take(r request) {
	switch r.Method {
	case "":
		c.mu.Lock()
		defer c.mu.Unlock()
		if to := c.answers[string(r.ID)]; to != nil {
			to <- r.Result
		}
	case "initialize":
		if strings.Contains(c.manner, "refuses") {
			c.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`, r.ID)
			return
		}
		c.say(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"}}}`, r.ID)
	case "server/discover":
		if strings.Contains(c.manner, "modern") {
			c.say(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"]}}`, r.ID)
		} else if !strings.Contains(c.manner, "shy") {
			c.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, r.ID)
		}
	case "notifications/initialized":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ready++
	case "notifications/cancelled":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cancelled = append(c.cancelled, string(r.Params.RequestID))
	case "tools/call":
		if r.Params.Name == "deaf" {
			select {}
		}
		go c.call(r)
	case "resources/subscribe", "resources/unsubscribe":
		c.mu.Lock()
		c.watched = append(c.watched, strings.TrimPrefix(r.Method, "resources/")+" "+r.Params.URI)
		c.mu.Unlock()
		c.say(`{"jsonrpc":"2.0","id":%s,"result":{"method":%q,"uri":%q}}`, r.ID, r.Method, r.Params.URI)
	case "subscriptions/listen":
		c.say(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, r.ID)
	default:
		if r.ID != nil {
			c.say(`{"jsonrpc":"2.0","id":%s,"result":{"method":%q,"uri":%q}}`, r.ID, r.Method, r.Params.URI)
		}
	}
}

func (c *fakeChild) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}

func (c *fakeChild) answer(r request, text string) {
	c.say(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`, r.ID, text)
}

// call does what the tool's name says.
func (c *fakeChild) call(r request) {
	number := func(name string) int { n, _ := r.Params.Arguments[name].(float64); return int(n) }
	switch r.Params.Name {
	case "pid":
		c.answer(r, fmt.Sprint(os.Getpid()))
	case "seen":
		c.answer(r, string(r.ID)+" "+string(r.Params.Meta.ProgressToken))
	case "environment":
		c.answer(r, strings.Join(os.Environ(), "\n"))
	case "sleep":
		time.Sleep(time.Duration(number("ms")) * time.Millisecond)
		c.answer(r, "slept")
	case "progress":
		for i := range number("count") {
			c.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`, r.Params.Meta.ProgressToken, i)
			time.Sleep(time.Duration(number("ms")) * time.Millisecond)
		}
		c.answer(r, "done")
	case "hang":
	case "cancelled":
		c.mu.Lock()
		list := strings.Join(c.cancelled, " ")
		c.mu.Unlock()
		c.answer(r, list)
	case "watched":
		c.mu.Lock()
		list := strings.Join(c.watched, ", ")
		c.mu.Unlock()
		c.answer(r, list)
	case "exit":
		os.Exit(3)
	case "wrong id":
		c.say(`{"jsonrpc":"2.0","id":99999,"result":{}}`)
		c.say(`{"jsonrpc":"2.0","id":"1","result":{}}`)
		c.say(`{"jsonrpc":"2.0","id":1.0,"result":{}}`)
		c.answer(r, "right")
	case "garbage":
		c.say("Traceback (most recent call last):\n\x00\xff{\"jsonrpc\":")
		c.answer(r, "after")
	case "noise":
		for range number("count") {
			c.say("noise")
			c.say(`{"jsonrpc":"2.0","id":"noise","result":{}}`)
			fmt.Fprintln(os.Stderr, "noise")
		}
		c.answer(r, "after")
	case "flood":
		for i := range number("count") {
			c.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%d %s"}}`, i, strings.Repeat("x", 1000))
		}
		c.answer(r, "flooded")
	case "long line":
		c.mu.Lock()
		defer c.mu.Unlock()
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range 100 {
			if _, err := os.Stdout.Write(chunk); err != nil {
				return
			}
		}
	case "close output":
		os.Stdout.Close()
	case "fork":
		child := exec.Command("sleep", "300")
		if err := child.Start(); err != nil {
			c.answer(r, err.Error())
			return
		}
		c.answer(r, fmt.Sprint(child.Process.Pid))
	case "leave":
		child := exec.Command("sleep", "300")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			c.answer(r, err.Error())
			return
		}
		c.answer(r, fmt.Sprint(child.Process.Pid))
	case "ask":
		c.answer(r, c.ask("roots/list"))
	case "ask ping":
		c.answer(r, c.ask("ping"))
	case "ready":
		c.mu.Lock()
		ready := c.ready
		c.mu.Unlock()
		c.answer(r, fmt.Sprint(ready))
	case "log":
		c.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"logged"}}`)
		c.answer(r, "logged")
	case "changed":
		c.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		c.say(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a"}}`)
		c.answer(r, "told")
	default:
		c.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no such tool"}}`, r.ID)
	}
}

// ask asks the client for something, and returns what it answered.
func (c *fakeChild) ask(method string) string {
	to := make(chan json.RawMessage, 1)
	c.mu.Lock()
	c.asked++
	id := fmt.Sprintf(`"ask-%d"`, c.asked)
	c.answers[id] = to
	c.mu.Unlock()
	c.say(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
	return string(<-to)
}
