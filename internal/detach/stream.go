package detach

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// Stream writes the rest of an answer whose head net/http has sent. It is an http.ResponseWriter.
type Stream struct {
	conn     net.Conn
	chunked  bool // RFC 9112 §7.1; else the connection's end is the answer's (HTTP/1.0)
	patience time.Duration
	unwatch  func()
	failed   error
}

// Header implements http.ResponseWriter; the head is out already.
func (s *Stream) Header() http.Header { return http.Header{} }

// WriteHeader implements http.ResponseWriter.
func (s *Stream) WriteHeader(int) {}

// FlushError implements what http.ResponseController looks for: nothing is held back.
func (s *Stream) FlushError() error { return s.failed }

// Write implements http.ResponseWriter.
func (s *Stream) Write(p []byte) (int, error) {
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

func (s *Stream) send(p []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.patience)) // fails where writing does
	_, err := s.conn.Write(p)
	return err
}

// end ends the answer, whole or cut off.
func (s *Stream) end(whole bool) {
	s.unwatch()
	if whole && s.chunked && s.failed == nil {
		_ = s.send([]byte("0\r\n\r\n")) // a client that left needs no end
	}
	_ = s.conn.Close()
}
