package hostile

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// The crowd: how many sessions are asked for, and by how many connections at once, fewer than one person may have calls.
const (
	crowdSessions    = 10_000
	crowdConnections = 48
)

// census counts how the crowd was answered.
type census struct {
	mu     sync.Mutex
	count  map[int]int
	clear  bool // every refusal said what to do
	opened []*client
	failed error
}

// tryCrowd asks for sessions as fast as it can. Its server has few processes, and its person few calls a second: whoever
// is refused is told so, and nothing grows.
func tryCrowd(ctx context.Context, a *attempt) error {
	c, err := a.join(ctx, bob, serverCrowd)
	if err != nil {
		return err
	}
	_, bridge, err := a.units(serverCrowd)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	most := make(chan int, 1)
	go func() { most <- a.mostChildren(watching, bridge) }()
	all, err := crowd(ctx, c)
	stop()
	processes := <-most
	if err != nil {
		return err
	}
	a.saw("%d × 200, %d × 429, %d × 503", all.count[200], all.count[429], all.count[503])
	if n := all.count[200] + all.count[429] + all.count[503]; n != crowdSessions || all.count[429] == 0 || !all.clear {
		a.wrong("answers %v: want 200, 429 and 503 only, some of them 429, and refusals that say what to do", all.count)
	}
	a.saw("≤ %d processes", processes)
	if processes > crowdProcesses || processes < 2 {
		a.wrong("there were %d processes, want %d at most", processes, crowdProcesses)
	}
	if err := a.crowdIsOver(ctx, all.opened); err != nil {
		return err
	}
	gateway := a.running(filepath.Join(a.config.Bin, "gateway"))
	if len(gateway) != 1 {
		return fmt.Errorf("%d gateways run", len(gateway))
	}
	if err := a.bound("gateway", gateway[0].pid, gatewayMemory); err != nil {
		return err
	}
	return a.memory(serverCrowd, bridgeMemory)
}

// crowd sends them all.
func crowd(ctx context.Context, c *client) (*census, error) {
	result := &census{count: map[int]int{}, clear: true}
	var all sync.WaitGroup
	for worker := range crowdConnections {
		all.Go(func() {
			for i := worker; i < crowdSessions; i += crowdConnections {
				own := *c
				own.session = ""
				got, err := own.post(ctx, initialize)
				result.take(&own, got, err)
			}
		})
	}
	all.Wait()
	return result, result.failed
}

func (r *census) take(c *client, got answer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = err
		return
	}
	r.count[got.status]++
	if got.status == http.StatusOK {
		c.session = got.header.Get("Mcp-Session-Id")
		r.opened = append(r.opened, c)
		return
	}
	if e := got.last().Error; e == nil || e.Message == "" || got.header.Get("Retry-After") == "" {
		r.clear = false
	}
}

// crowdIsOver has the last session work, and the first one too, whose process was ended for another.
func (a *attempt) crowdIsOver(ctx context.Context, opened []*client) error {
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second): // the person may call again
	}
	fresh, err := a.join(ctx, bob, serverCrowd)
	if err != nil {
		return err
	}
	got, err := fresh.call(ctx, "pid", noArguments)
	if err != nil {
		return err
	}
	a.expect("a session after them", got, want{status: 200, result: got.last().text(), within: atOnce})
	if len(opened) <= crowdProcesses {
		a.wrong("%d sessions were opened, too few to end any", len(opened))
		return nil
	}
	if got, err = opened[0].call(ctx, "pid", noArguments); err != nil {
		return err
	}
	a.check("one of the first, begun again", got, want{status: 200, result: got.last().text(), within: soon})
	return nil
}

// mostChildren is the most processes that a parent has at once, until ctx ends.
func (a *attempt) mostChildren(ctx context.Context, parent int) (most int) {
	for {
		count := 0
		for _, p := range a.processes() {
			if p.parent == parent {
				count++
			}
		}
		most = max(most, count)
		select {
		case <-ctx.Done():
			return most
		case <-time.After(50 * time.Millisecond):
		}
	}
}
