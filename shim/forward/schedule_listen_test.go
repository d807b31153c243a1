package forward

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/mcp"
)

// serveListener is the server's listening stream: a message every now and then, until the session is forgotten. No two streams
// and no two messages of one are called the same.
func (w *world) serveListener(life int, out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	known, over := life == w.lives && w.sessions[r.Header.Get(mcp.HeaderSession)], w.over
	w.streams++
	name := fmt.Sprintf("%d/%d", life, w.streams)
	w.mu.Unlock()
	if !known {
		http.Error(out, "session not found", http.StatusNotFound)
		return
	}
	out.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(out).Flush
	_ = flush()
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-r.Context().Done():
			return
		case <-time.After(700*time.Millisecond + 13*time.Nanosecond):
		}
		_, _ = fmt.Fprintf(out, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"%s %d\"}}\n\n", name, n)
		if flush() != nil {
			return
		}
		w.mu.Lock()
		w.said[name]++
		w.mu.Unlock()
	}
}

// listen has the customer listen until stop, over as many connections as are lost meanwhile. All that the server says is heard,
// once and in its order, while the shim lives.
func (c *customer) listen(seed uint64) (stop func()) {
	random := rand.New(rand.NewPCG(c.random.Uint64(), seed)) //nolint:gosec // it is to be repeatable
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var heard []string
	go func() {
		defer close(done)
		for last := ""; ctx.Err() == nil; {
			leg, leave := context.WithCancel(ctx)
			l := &line{header: http.Header{}, left: -1, lost: leave}
			switch random.IntN(3) {
			case 0:
				l.left = 1 + random.IntN(6) // where it is told where it is
			case 1:
				time.AfterFunc(time.Duration(random.IntN(5000))*time.Millisecond, leave)
			}
			c.w.send(l, leg, http.MethodGet, c.sealed, last, "")
			leave()
			l.mu.Lock()
			text := l.got.String()
			l.mu.Unlock()
			for line := range strings.Lines(text) {
				if id, ok := strings.CutPrefix(line, "id: "); ok {
					last = strings.TrimSpace(id)
				} else if _, data, ok := strings.Cut(line, `"data":"`); ok {
					heard = append(heard, strings.TrimSuffix(strings.TrimSpace(data), `"}}`))
				}
			}
			time.Sleep(time.Duration(1+random.IntN(3000)) * time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
		if wrong := c.w.misheard(heard); wrong != "" {
			c.w.t.Errorf("customer %s: %s; heard %q", c.name, wrong, heard)
		}
	}
}

// misheard is what must not be in what a listener heard.
func (w *world) misheard(heard []string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var streams []string
	next := map[string]int{}
	for _, message := range heard {
		name, _, _ := strings.Cut(message, " ")
		if !slices.Contains(streams, name) {
			streams = append(streams, name)
		}
		if name != streams[len(streams)-1] || message != fmt.Sprintf("%s %d", name, next[name]) {
			return fmt.Sprintf("%q comes where %d of %s should", message, next[streams[len(streams)-1]], streams[len(streams)-1])
		}
		next[name]++
	}
	for i := 1; i < len(streams); i++ {
		before, life, _ := strings.Cut(streams[i-1], "/")
		now, _, _ := strings.Cut(streams[i], "/")
		if life != "" && before == now && next[streams[i-1]] != w.said[streams[i-1]] {
			return fmt.Sprintf("of %s it heard %d messages instead of %d", streams[i-1], next[streams[i-1]], w.said[streams[i-1]])
		}
	}
	return ""
}
