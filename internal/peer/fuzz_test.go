package peer

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// said is a connection to a peer that says the same whatever it is asked, and closes.
type said struct {
	io.Reader
	closed bool
}

func (*said) Write(p []byte) (int, error)      { return len(p), nil }
func (s *said) Close() error                   { s.closed = true; return nil }
func (*said) LocalAddr() net.Addr              { return nil }
func (*said) RemoteAddr() net.Addr             { return nil }
func (*said) SetDeadline(time.Time) error      { return nil }
func (*said) SetReadDeadline(time.Time) error  { return nil }
func (*said) SetWriteDeadline(time.Time) error { return nil }

// Whatever a peer says, the answer is the first that is no interim one, its body is what net/http reads, one that breaks
// off is an error, and no byte behind it is ever taken for the answer to the next request.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), 1)
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 7)
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), 100)
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"), 3)
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\nuntil the end"), 50)
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), 50)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		conns := []*said{}
		c := &Client{Dial: func(context.Context) (net.Conn, error) {
			conns = append(conns, &said{Reader: &pieces{bytes.NewReader(in), max(1, piece)}})
			return conns[len(conns)-1], nil
		}}
		got, err := ask(t, c)
		want, wantErr := reference(t, in)
		if err != nil {
			if wantErr == nil {
				t.Fatalf("%q: %v", in, err)
			}
			if len(conns) != 1 || !conns[0].closed {
				t.Fatalf("%q: a connection that failed stays open", in)
			}
			return
		}
		if wantErr != nil || got.status != want.status || !bytes.Equal(got.body, want.body) {
			t.Fatalf("%q: got %d %q, want %d %q, %v", in, got.status, got.body, want.status, want.body, wantErr)
		}
		if len(c.idle) > 0 && c.idle[0].in.Buffered() > 0 {
			t.Fatalf("%q: kept with %d bytes in it", in, c.idle[0].in.Buffered())
		}
		if kept := len(c.idle) > 0; kept == conns[0].closed || kept && want.closes {
			t.Fatalf("%q: kept %v, closed %v", in, kept, conns[0].closed)
		}
	})
}

// pieces reads as a connection does on which the bytes come in pieces.
type pieces struct {
	in   *bytes.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.in.Read(b[:min(len(b), p.size)]) }

type heard struct {
	status int
	body   []byte
	closes bool
}

func ask(t *testing.T, c *Client) (heard, error) {
	t.Helper()
	resp, err := c.RoundTrip(request(t, context.Background(), "{}"))
	if err != nil {
		return heard{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return heard{status: resp.StatusCode, body: body}, err
}

// reference is what net/http reads of the same bytes.
func reference(t *testing.T, in []byte) (heard, error) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(in))
	for {
		resp, err := http.ReadResponse(reader, request(t, context.Background(), "{}"))
		if err != nil {
			return heard{}, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return heard{}, http.ErrNotSupported
		}
		if resp.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return heard{status: resp.StatusCode, body: body, closes: resp.Close}, err
	}
}
