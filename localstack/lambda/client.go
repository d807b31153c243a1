package lambda

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// block is the most that is read of an answer at a time, in bytes: a runtime's chunk is mostly smaller, and sent at once.
const block = 32 << 10

// client is who waits for the answer to one request.
type client struct {
	front  *Front
	w      http.ResponseWriter
	begun  bool   // status and headers have been written
	broken bool   // it gets no more, and no end
	held   []byte // the chunk that lags
	sent   int64
	pace   *rate.Limiter // once the burst is over
}

// receive sends the answer on while it comes. Whether the client still reads changes nothing for the function: a client
// that has left is told nobody, and the rest of the answer is read into nothing.
func (c *client) receive(a *answer) error {
	control := http.NewResponseController(c.w)
	control.SetWriteDeadline(a.deadline)        //nolint:errcheck // net/http's own writer can
	defer control.SetWriteDeadline(time.Time{}) //nolint:errcheck // see above
	chunks := chunksOf(a.body)
	first, err := c.begin(a, chunks)
	if err == nil {
		c.pass(first)
		err = c.rest(chunks)
	}
	if err == nil {
		err = brokenOff(a.trailer())
	}
	for range chunks { // what comes after an error is nobody's
	}
	if err != nil {
		c.broken = c.begun
		return err
	}
	if c.held != nil {
		c.write(c.held)
	}
	return nil
}

// begin writes status and headers, and returns what of the body came with the prelude.
func (c *client) begin(a *answer, chunks <-chan chunk) ([]byte, error) {
	head, rest := &prelude{StatusCode: http.StatusOK}, []byte(nil)
	if a.contentType == preludeType || c.front.config.Events == RESTAPI {
		var err error
		if head, rest, err = readPrelude(chunks); err != nil {
			return nil, err
		}
	}
	if err := head.write(c.w.Header()); err != nil {
		return nil, err
	}
	if h := c.w.Header(); c.front.config.RemapAuthenticate && h["Www-Authenticate"] != nil {
		h["X-Amzn-Remapped-Www-Authenticate"] = h["Www-Authenticate"]
		h.Del("Www-Authenticate")
	}
	c.begun = true
	c.w.WriteHeader(head.StatusCode)
	if !c.front.config.LagOneChunk {
		c.write(nil)
	}
	return rest, nil
}

// rest passes what follows, until its end or until it has been silent for too long.
func (c *client) rest(chunks <-chan chunk) error {
	gap := c.front.config.Limits.Gap
	for {
		var silence <-chan time.Time
		if gap > 0 {
			silence = time.After(gap)
		}
		select {
		case next, open := <-chunks:
			if !open {
				return nil
			}
			if next.err != nil {
				return next.err
			}
			c.pass(next.data)
		case <-silence:
			c.cut()
			gap = 0
		}
	}
}

// pass sends a chunk, at the pace that Lambda allows.
func (c *client) pass(data []byte) {
	if len(data) == 0 {
		return
	}
	limits := c.front.config.Limits
	if c.sent += int64(len(data)); c.sent > limits.Burst {
		if c.pace == nil {
			c.pace = rate.NewLimiter(rate.Limit(limits.Rate), block)
		}
		c.pace.WaitN(c.front.ctx, len(data)) //nolint:errcheck // the front is being closed, and all connections with it
	}
	if c.sent > limits.Response {
		c.cut()
	}
	if c.front.config.LagOneChunk {
		data, c.held = c.held, data
	}
	c.write(data) // where it is the first that lags, this sends the headers, which lagged before it
}

func (c *client) write(data []byte) {
	if c.broken {
		return
	}
	_, err := c.w.Write(data)
	if err == nil {
		err = http.NewResponseController(c.w).Flush()
	}
	c.broken = err != nil
}

// cut ends the client's connection while the function goes on, and never learns it.
func (c *client) cut() {
	if c.broken {
		return
	}
	c.broken = true
	if conn, _, err := http.NewResponseController(c.w).Hijack(); err == nil {
		conn.Close()
	}
}

// chunk is what came in one piece; err is of a body that broke off.
type chunk struct {
	data []byte
	err  error
}

// chunksOf reads a body as it comes. The channel is closed at its end, and must be read to there.
func chunksOf(body io.Reader) <-chan chunk {
	chunks := make(chan chunk)
	go func() {
		defer close(chunks)
		for {
			data := make([]byte, block)
			n, err := body.Read(data)
			if n > 0 {
				chunks <- chunk{data: data[:n]}
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				chunks <- chunk{err: fmt.Errorf("read answer: %w", err)}
				return
			}
		}
	}()
	return chunks
}

// brokenOff is the failure that a runtime reports after a body.
func brokenOff(trailer http.Header) error {
	if kind := trailer.Get(trailerErrorType); kind != "" {
		return &failure{Type: kind, Message: "the answer broke off"}
	}
	return nil
}
