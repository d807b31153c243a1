package hostile

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// clientTries are what clients do wrong.
func clientTries() []try {
	return []try{
		{"a client that reads slowly", "not for 3 s, then all", trySlowReader},
		{"a client that reads slowly", "never, and its session is deleted", tryNeverReads},
		{"a client that reads slowly", "never, at a process of others", tryNeverReadsShared},
		{"a client that reconnects", "40 listeners in a row", tryReconnects},
	}
}

// leaverTries use up what a person may ask for, which another row of theirs would miss.
func leaverTries() []try {
	return []try{{"a client that leaves", "30 of them at once, in a call", tryLeavers}}
}

// crowdTries need the machine.
func crowdTries() []try {
	return []try{{"a client that sends 10,000 sessions", "to a server of 8 processes", tryCrowd}}
}

func trySlowReader(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverSlow)
	if err != nil {
		return err
	}
	other, err := a.join(ctx, alice, serverSlow)
	if err != nil {
		return err
	}
	began := time.Now()
	resp, err := c.open(ctx, http.MethodPost, toolCall("flood", fmt.Sprintf(`{"count":%d}`, floods), ""), nil)
	if err != nil {
		return err
	}
	pause := time.After(3 * time.Second)
	meanwhile, err := other.call(ctx, "pid", noArguments)
	if err != nil {
		return err
	}
	<-pause
	got := read(resp, began)
	a.expect("call", got, want{status: 200, result: "flooded", within: callTimeout})
	if len(got.messages) != floods+1 {
		a.wrong("%d messages came, want %d", len(got.messages), floods+1)
	}
	a.saw("another session: %s", meanwhile)
	if meanwhile.status != http.StatusOK || meanwhile.took > atOnce {
		a.wrong("another session's call: %s", meanwhile)
	}
	return a.memory(serverSlow, bridgeMemory)
}

// Who never reads holds up the process of its own session, and nobody else, until the session is deleted.
func tryNeverReads(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, alice, serverFlood)
	if err != nil {
		return err
	}
	pid, err := c.number(ctx, "pid")
	if err != nil {
		return err
	}
	other, err := a.join(ctx, alice, serverFlood)
	if err != nil {
		return err
	}
	began := time.Now()
	resp, err := c.open(ctx, http.MethodPost, toolCall("flood", fmt.Sprintf(`{"count":%d}`, floods), ""), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	time.Sleep(time.Second) // for it to fill all that is between
	meanwhile, err := other.number(ctx, "pid")
	if err != nil || meanwhile == pid {
		a.wrong("another session's call got %d: %v", meanwhile, err)
	}
	got, err := c.leave(ctx)
	if err != nil {
		return err
	}
	a.expect("DELETE", got, want{status: 204, within: soon})
	if a.alive(pid) {
		a.wrong("its process runs after its session's end")
	}
	rest := read(resp, began)
	a.saw("call: %s", rest)
	if len(rest.messages) >= floods || rest.last().text() != "" {
		a.wrong("the call got a whole answer, so nothing held its server back: %s", rest)
	}
	return a.memory(serverFlood, bridgeMemory)
}

// Who never reads at a process that others use too is given up soon, so that they need not wait.
func tryNeverReadsShared(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverShared)
	if err != nil {
		return err
	}
	if _, err := c.callModern(ctx, "pid", noArguments); err != nil {
		return err
	}
	began := time.Now()
	resp, err := c.openModern(ctx, "progress", `{"count":150000}`, progressMeta)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var slowest answer
	for range 20 {
		got, err := c.callModern(ctx, "pid", noArguments)
		if err != nil {
			return err
		}
		a.check("another call", got, want{status: 200, result: got.last().text(), within: atOnce})
		if got.took > slowest.took {
			slowest = got
		}
		time.Sleep(100 * time.Millisecond)
	}
	a.saw("20 other calls, the slowest: %s", slowest)
	rest := read(resp, began)
	a.saw("call: %s", rest)
	if rest.last().text() != "" {
		a.wrong("the call got a whole answer, so nothing was held back: %s", rest)
	}
	return a.memory(serverShared, bridgeMemory)
}

// Thirty calls whose clients leave at once are all taken back, and count no longer against their person's limit.
func tryLeavers(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, bob, serverModern)
	if err != nil {
		return err
	}
	if _, err := c.callModern(ctx, "pid", noArguments); err != nil {
		return err
	}
	cancelled := func() int {
		got, err := c.callModern(ctx, "cancelled", noArguments)
		if err != nil || got.status != http.StatusOK {
			return 0
		}
		return len(strings.Fields(got.last().text()))
	}
	before := cancelled()
	const leavers, rounds = 30, 3 // more than may be under way at once
	for range rounds {
		there, leave := context.WithCancel(ctx)
		var all sync.WaitGroup
		for range leavers {
			all.Go(func() { // the answer begins, so the server has the call
				if err := c.begin(there, "progress", `{"count":1000,"ms":10000}`); err != nil {
					a.wrong("a call of many: %v", err)
				}
			})
		}
		all.Wait()
		leave()
	}
	took := a.until(ctx, "not all calls are cancelled", func() bool { return cancelled()-before >= leavers*rounds })
	a.saw("%d calls left in %d rounds, all cancelled %d ms later", leavers*rounds, rounds, took.Milliseconds())
	return nil
}

// begin waits until the answer of a call begins. A refusal for now is tried again: a bucket of calls may be empty, and
// who left before may still be counted.
func (c *client) begin(ctx context.Context, tool, arguments string) error {
	for began := time.Now(); ; {
		resp, err := c.openModern(ctx, tool, arguments, progressMeta)
		if err != nil || resp.StatusCode == http.StatusOK {
			return err
		}
		why := read(resp, began)
		if resp.StatusCode != http.StatusTooManyRequests || time.Since(began) > soon {
			return fmt.Errorf("%s: %s", resp.Status, why)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// The newest listener takes the place of those before it, and what is said is heard once.
func tryReconnects(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, bob, serverListens)
	if err != nil {
		return err
	}
	const listeners = 40 // more than one person may have at once
	var resp *http.Response
	for i := range listeners {
		before := resp
		if resp, err = c.open(ctx, http.MethodGet, "", nil); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			a.wrong("listener %d: %s", i+1, resp.Status)
		}
		if before != nil { // which is still there when the next one comes
			before.Body.Close()
		}
	}
	heard := make(chan string, 16)
	go func() {
		defer close(heard)
		for events := mcp.NewEventReader(resp.Body, maxAnswer); ; {
			e, err := events.Next()
			if err != nil {
				return
			}
			if len(e.Data) > 0 {
				heard <- string(e.Data)
			}
		}
	}()
	teller := *c
	teller.accept = acceptJSON // so that what is said beside the answer goes to the listener
	got, err := teller.call(ctx, "log", noArguments)
	if err != nil {
		return err
	}
	a.expect("call", got, want{status: 200, result: "logged", within: atOnce})
	messages := collect(heard, time.Second)
	resp.Body.Close()
	a.saw("%d listeners, the last heard %d message", listeners, len(messages))
	if len(messages) != 1 || !strings.Contains(messages[0], `"logged"`) {
		a.wrong("the last listener heard %q, want one message", messages)
	}
	return nil
}

// collect returns what comes until nothing came for a while, the first within soon.
func collect(from <-chan string, quiet time.Duration) (all []string) {
	wait := soon
	for {
		select {
		case s, ok := <-from:
			if !ok {
				return all
			}
			all, wait = append(all, s), quiet
		case <-time.After(wait):
			return all
		}
	}
}
