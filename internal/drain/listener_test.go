package drain

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// Who is connected when a listener ends, and was not accepted yet, is answered; who comes later is refused.
func TestListenerTakesWhoIsConnected(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 20 { // nobody accepts yet
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
		}
	}()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	for i, c := range clients {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 1 {
			t.Errorf("client %d: %v", i, err)
		}
	}
	if c, err := net.Dial("tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("who comes later: %v, %v", c, err)
	}
}
