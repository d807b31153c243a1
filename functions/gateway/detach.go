package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveListener serves a listener in a goroutine of its own, which takes the connection over once the stream begins.
// net/http keeps more for a connection than all that a listener needs: with its handler over, it lets go of that.
func (g *gateway) serveListener(c *call) {
	c.detached = make(chan struct{})
	ended := make(chan any, 1)
	g.detached.Go(func() {
		defer func() {
			p := recover()
			if s, ok := c.w.(*detachedStream); ok {
				s.end(p == nil)
			}
			ended <- p
		}()
		g.serve(c)
	})
	select {
	case <-c.detached:
	case p := <-ended:
		if p != nil {
			panic(p)
		}
	}
}

// hijack takes the connection over from net/http, after the answer's head was sent. It is nil where the handler's server
// has none to give.
func (c *call) hijack() net.Conn {
	ctl := http.NewResponseController(c.w)
	if c.detached == nil || ctl.Flush() != nil {
		return nil
	}
	conn, _, err := ctl.Hijack() // what the client sent ahead is not answered: the head said that the connection ends
	if err != nil {
		return nil
	}
	return conn
}

// detach goes on with the connection alone; left is called when the client closes it.
func (c *call) detach(conn net.Conn, left context.CancelFunc) {
	c.w = &detachedStream{conn: conn, chunked: c.r.ProtoAtLeast(1, 1)} // as net/http wrote the head
	c.r = &http.Request{Method: c.r.Method, URL: c.r.URL, Header: c.r.Header, RemoteAddr: c.r.RemoteAddr}
	go func() {
		defer left()
		var some [64]byte
		for {
			if _, err := conn.Read(some[:]); err != nil {
				return
			}
		}
	}()
	close(c.detached)
}

// detachedStream writes the rest of an answer whose head net/http has sent.
type detachedStream struct {
	conn    net.Conn
	chunked bool // RFC 9112 §7.1; else the connection's end is the answer's (HTTP/1.0)
	failed  error
}

// Header implements http.ResponseWriter; the head is out already.
func (s *detachedStream) Header() http.Header { return http.Header{} }

// WriteHeader implements http.ResponseWriter.
func (s *detachedStream) WriteHeader(int) {}

// FlushError implements what http.ResponseController looks for: nothing is held back.
func (s *detachedStream) FlushError() error { return s.failed }

// Write implements http.ResponseWriter.
func (s *detachedStream) Write(p []byte) (int, error) {
	if len(p) == 0 || s.failed != nil {
		return 0, s.failed // an empty chunk would end the answer
	}
	out := p
	if s.chunked {
		out = strconv.AppendInt(make([]byte, 0, len(p)+16), int64(len(p)), 16)
		out = append(append(append(out, "\r\n"...), p...), "\r\n"...)
	}
	if s.failed = s.send(out); s.failed != nil {
		return 0, s.failed
	}
	return len(p), nil
}

func (s *detachedStream) send(p []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(writePatience)) // fails where writing does
	_, err := s.conn.Write(p)
	return err
}

// end ends the answer, whole or cut off.
func (s *detachedStream) end(whole bool) {
	if whole && s.chunked && s.failed == nil {
		_ = s.send([]byte("0\r\n\r\n")) // a client that left needs no end
	}
	_ = s.conn.Close()
}
