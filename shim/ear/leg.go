package ear

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/replay"
)

// leg is the body of what one listener hears.
type leg struct {
	ear    *ear
	reader *replay.Reader
	last   *strings.Reader // what is said of the end; nil before
	left   sync.Once
}

// Read implements io.Reader. It ends as the server's stream did.
func (g *leg) Read(p []byte) (int, error) {
	if g.last == nil {
		n, err := g.reader.Read(p)
		if err != io.EOF {
			return n, err
		}
		if err = g.ear.ended(); !errors.Is(err, errAgain) {
			return 0, err
		}
		g.last = strings.NewReader(mcp.SilenceComment) // the gateway comes again at once
	}
	return g.last.Read(p)
}

// Close implements io.Closer.
func (g *leg) Close() error {
	g.left.Do(func() {
		_ = g.reader.Close()
		g.ear.leave()
	})
	return nil
}

// ended tells why the server's last stream ended.
func (e *ear) ended() error {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	return e.ending
}

// closing is a body whose request ends with it.
type closing struct {
	io.ReadCloser
	end context.CancelFunc
}

// Close implements io.Closer.
func (c *closing) Close() error {
	defer c.end()
	return c.ReadCloser.Close()
}
