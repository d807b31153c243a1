package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/measure"
)

// A stream's events come one by one, each long after the one before has passed.
const (
	eventsOfStream = 50
	eventPause     = 10 * time.Millisecond
)

// emitter is an MCP server that answers each call by events that say when they were sent, and then by a result. It is in this
// process, so that both ends go by one clock.
type emitter struct {
	server *http.Server
	url    string
	port   int
}

// started is what times in events are counted from.
var started = time.Now()

func startEmitter() (*emitter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &emitter{server: &http.Server{Handler: http.HandlerFunc(emit), ReadHeaderTimeout: 10 * time.Second},
		url: "http://" + listener.Addr().String() + "/mcp", port: listener.Addr().(*net.TCPAddr).Port}
	go func() { _ = e.server.Serve(listener) }()
	return e, nil
}

// emit answers one call.
func emit(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	for range eventsOfStream {
		if measure.Pause(r.Context(), eventPause) != nil {
			return
		}
		_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"p\",\"progress\":%d}}\n\n", time.Since(started))
		_ = http.NewResponseController(w).Flush() // who left needs no events
	}
	_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}`+"\n\n")
}

// listen makes a call, and returns how long each event of its answer took until it was read.
func listen(ctx context.Context, c *measure.Caller) (late []time.Duration, err error) {
	response, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		if !is {
			continue
		}
		read := time.Since(started)
		var event struct {
			Params struct{ Progress time.Duration }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		if event.Params.Progress > 0 {
			late = append(late, read-event.Params.Progress)
		}
	}
	if lines.Err() == nil && len(late) != eventsOfStream {
		return nil, fmt.Errorf("%d events came of %d", len(late), eventsOfStream)
	}
	return late, lines.Err()
}
