package hostile

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/audit"
)

// serverTries are what servers do wrong.
func serverTries() []try {
	return []try{
		{"will not start", "its program does not exist", tryAbsent},
		{"will not start", "never listens", tryMute},
		{"exits at once", "20 sessions are asked for", tryExits},
		{"prints garbage", "before it speaks and in a call", tryGarbage},
		{"never answers", "not even initialize", trySilent},
		{"never answers", "one call", tryHang},
		{"answers after its client left", "legacy", tryLateLegacy},
		{"answers after its client left", "modern", tryLateModern},
		{"answers the wrong id", "three of them, then the right one", tryWrongID},
		{"floods notifications", "20,000 of 1 KB", tryFlood},
		{"writes 100 MB in one line", "in a call", tryLongLine},
		{"closes in mid-stream", "its output, with a call under way", tryMidStream},
		{"ignores SIGTERM", "its session is deleted", tryStubborn},
		{"forks", "in its group, and out of it", tryForks},
	}
}

func tryAbsent(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverAbsent)
	if err != nil {
		return err
	}
	got, err := c.post(ctx, initialize)
	if err != nil {
		return err
	}
	a.expect("initialize", got, want{status: 503, code: -32000, says: "stopped while it was starting", retry: true, within: soon})
	return nil
}

func tryMute(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverMute)
	if err != nil {
		return err
	}
	over := c.later(ctx, initialize)
	a.until(ctx, "its process never ran", func() bool { return a.serving(mute) == 1 })
	a.expect("initialize", <-over, want{status: 504, code: -32000, says: "did not start in time", retry: true, within: soon})
	a.until(ctx, "its process is left", func() bool { return a.serving(mute) == 0 })
	return nil
}

// A server that cannot run costs the first callers a process each, and those who follow none.
func tryExits(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverExits)
	if err != nil {
		return err
	}
	broken, paused := 0, 0
	for i := range 20 {
		got, err := c.post(ctx, initialize)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("session %d", i+1)
		if got.status == http.StatusServiceUnavailable {
			paused++
			a.check(name, got, want{status: 503, code: -32000, says: "keeps ending", retry: true, within: atOnce})
			continue
		}
		broken++
		a.check(name, got, want{status: 502, code: -32000, says: "exit status 7", within: atOnce})
	}
	started := strings.Count(a.log(serverExits), "server started")
	a.saw("%d × 502, %d × 503, %d processes", broken, paused, started)
	if broken < 2 || paused < 10 || started > broken {
		a.wrong("%d × 502, %d × 503 with %d processes; want 2 × 502, a process each, and then mostly 503", broken, paused, started)
	}
	return nil
}

func tryGarbage(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverGreets)
	if err != nil {
		return err
	}
	got, err := c.call(ctx, "garbage", noArguments)
	if err != nil {
		return err
	}
	a.expect("call", got, want{status: 200, result: "after", within: atOnce})
	const lines = 5 // that are no messages
	a.until(ctx, "not all lines are in the log as no messages", func() bool {
		return strings.Count(a.log(serverGreets), "line on stdout is no message") == lines
	})
	a.saw("%d lines skipped", lines)
	return nil
}

// A call that gets no answer ends with its time, and so does the process that was started for it.
func trySilent(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverSilent)
	if err != nil {
		return err
	}
	over := c.later(ctx, initialize)
	a.until(ctx, "its process never ran", func() bool { return a.serving("silent") == 1 })
	a.expect("initialize", <-over, want{status: 504, code: -32000, says: "did not answer in time", within: callTimeout + soon})
	a.until(ctx, "its process is left", func() bool { return a.serving("silent") == 0 })
	return nil
}

func tryHang(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverPlain)
	if err != nil {
		return err
	}
	over := c.later(ctx, toolCall("hang", noArguments, ""))
	other, err := c.call(ctx, "pid", noArguments)
	if err != nil {
		return err
	}
	a.expect("another call meanwhile", other, want{status: 200, result: other.last().text(), within: atOnce})
	got := <-over
	a.expect("the call", got, want{status: 200, code: -32000, says: "did not answer in time", within: callTimeout + soon})
	if got.took < callTimeout {
		a.wrong("the call had %v, want %v", got.took, callTimeout)
	}
	a.until(ctx, "the server is not told", func() bool {
		list, err := c.call(ctx, "cancelled", noArguments)
		return err != nil || len(strings.Fields(list.last().text())) == 1
	})
	return nil
}

// lateAnswer has the answer begin at once, and end some seconds after its client left.
const lateAnswer = `{"count":2,"ms":1500}`

// A client of the legacy era that leaves cancels nothing (MCP 2025-11-25, transports): the server is not told, and its
// answer goes nowhere.
func tryLateLegacy(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverLate)
	if err != nil {
		return err
	}
	resp, err := c.open(ctx, http.MethodPost, toolCall("progress", lateAnswer, progressMeta), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	next, err := c.call(ctx, "pid", noArguments)
	if err != nil {
		return err
	}
	a.expect("next call", next, want{status: 200, result: next.last().text(), within: atOnce})
	took := a.until(ctx, "the call is not recorded as answered", func() bool {
		records, err := a.system.Records(serverLate, 0)
		return err != nil || slices.ContainsFunc(records, func(r audit.Record) bool {
			return r.CallIdentifier == "progress" && r.Outcome == audit.Forwarded
		})
	})
	a.saw("answered to nobody %d ms later", took.Milliseconds())
	cancelled, err := c.call(ctx, "cancelled", noArguments)
	if err != nil {
		return err
	}
	a.check("what was cancelled", cancelled, want{status: 200, within: atOnce})
	return nil
}

// One of the modern era that leaves cancels, and the server is told at once.
func tryLateModern(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverModern)
	if err != nil {
		return err
	}
	if _, err := c.callModern(ctx, "pid", noArguments); err != nil { // it is awake
		return err
	}
	const late = "answer to nothing"
	before := strings.Count(a.log(serverModern), late)
	resp, err := c.openModern(ctx, "progress", lateAnswer, progressMeta)
	if err != nil {
		return err
	}
	resp.Body.Close()
	took := a.until(ctx, "the server is not told", func() bool {
		got, err := c.callModern(ctx, "cancelled", noArguments)
		return err != nil || got.last().text() != ""
	})
	a.saw("cancelled after %d ms", took.Milliseconds())
	took += a.until(ctx, "its answer is not in the log", func() bool { return strings.Count(a.log(serverModern), late) > before })
	got, err := c.callModern(ctx, "pid", noArguments)
	if err != nil {
		return err
	}
	a.saw("late answer dropped after %d ms", took.Milliseconds())
	if _, err := strconv.Atoi(got.last().text()); err != nil {
		a.wrong("the next call got %s", got)
	}
	return nil
}

func tryWrongID(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverPlain)
	if err != nil {
		return err
	}
	got, err := c.call(ctx, "wrong id", noArguments)
	if err != nil {
		return err
	}
	a.expect("call", got, want{status: 200, result: "right", within: atOnce})
	if id := string(got.last().ID); id != `"c"` {
		a.wrong("the answer's id is %s", id)
	}
	return nil
}

// floods are the messages of a flood, of 1 KB: many enough for a shim that keeps them to have too much.
const floods = 20_000

func tryFlood(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverFlood)
	if err != nil {
		return err
	}
	got, err := c.call(ctx, "flood", fmt.Sprintf(`{"count":%d}`, floods))
	if err != nil {
		return err
	}
	a.expect("call", got, want{status: 200, result: "flooded", within: callTimeout})
	if len(got.messages) != floods+1 {
		a.wrong("%d messages came, want %d", len(got.messages), floods+1)
	}
	return a.memory(serverFlood, bridgeMemory)
}

func tryLongLine(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverLong)
	if err != nil {
		return err
	}
	got, err := c.call(ctx, "long line", noArguments)
	if err != nil {
		return err
	}
	a.expect("call", got, want{status: 502, code: -32000, says: "more than 32 MiB", within: callTimeout})
	if got, err = c.post(ctx, initialize); err != nil {
		return err
	}
	a.expect("new session", got, want{status: 200, within: soon})
	return a.memory(serverLong, longLineMemory)
}

// In mid-stream the error is an event: a cut connection would tell nobody why.
func tryMidStream(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverPlain)
	if err != nil {
		return err
	}
	began := time.Now()
	resp, err := c.open(ctx, http.MethodPost, toolCall("progress", `{"count":100000,"ms":5}`, progressMeta), nil)
	if err != nil {
		return err
	}
	over := make(chan answer, 1)
	go func() { over <- read(resp, began) }()
	killer, err := c.call(ctx, "close output", noArguments)
	if err != nil {
		return err
	}
	a.expect("the call that did it", killer, want{status: 502, code: -32000, says: "it ended", within: soon})
	got := <-over
	a.expect("the stream", got, want{status: 200, code: -32000, says: "it ended", within: soon})
	if id := string(got.last().ID); len(got.messages) < 2 || id != `"c"` {
		a.wrong("the stream had %d messages, the last for %s", len(got.messages), id)
	}
	if got, err = c.call(ctx, "pid", noArguments); err != nil {
		return err
	}
	a.expect("its session goes on", got, want{status: 200, result: got.last().text(), within: soon})
	if _, err := a.join(ctx, alice, serverPlain); err != nil {
		a.wrong("a new session: %v", err)
	}
	return nil
}

// number calls a tool that answers with a process id.
func (c *client) number(ctx context.Context, tool string) (int, error) {
	got, err := c.call(ctx, tool, noArguments)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(got.last().text())
}

func tryStubborn(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverStubborn)
	if err != nil {
		return err
	}
	pid, err := c.number(ctx, "pid")
	if err != nil {
		return err
	}
	if !a.alive(pid) {
		a.wrong("it does not run")
	}
	got, err := c.leave(ctx)
	if err != nil {
		return err
	}
	a.expect("DELETE", got, want{status: 204, within: soon})
	if a.alive(pid) {
		a.wrong("it runs after its session's end")
	}
	_, err = a.join(ctx, alice, serverStubborn) // one that is left for the end of the system
	return err
}

// What stays in the server's process group ends with its session, what hides from it with the server.
func tryForks(ctx context.Context, a *attempt) error {
	near, err := a.fork(ctx, serverPlain, "fork") // which does not sleep soon
	if err != nil {
		return err
	}
	away, err := a.fork(ctx, serverForks, "fork away")
	if err != nil {
		return err
	}
	if a.alive(near) {
		a.wrong("its fork runs after its session's end")
	}
	took := a.until(ctx, "the fork that hid is left", func() bool { return !a.alive(away) })
	a.saw("the hidden one gone %d ms later, with the server asleep", took.Milliseconds())
	return nil
}

// fork has a server fork in a session, which it ends then.
func (a *attempt) fork(ctx context.Context, server, tool string) (pid int, err error) {
	c, err := a.join(ctx, alice, server)
	if err != nil {
		return 0, err
	}
	if pid, err = c.number(ctx, tool); err != nil {
		return 0, err
	}
	if !a.alive(pid) {
		a.wrong("%s: it does not run", tool)
	}
	got, err := c.leave(ctx)
	if err != nil {
		return 0, err
	}
	a.expect(tool+", DELETE", got, want{status: 204, within: soon})
	return pid, nil
}
