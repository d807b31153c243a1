package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// dialRelayed connects to a shim that something may relay to, as Docker's proxy does to containers. Such a relay takes a
// connection for a shim that is gone, and ends it then; of a call that was sent meanwhile nobody could tell whether it ran.
// So a new connection is asked first whether its shim is there, and where it is not, dialling failed. That costs a round trip
// on this machine for each connection, and connections are kept.
func dialRelayed(ctx context.Context, dialer *net.Dialer, address string) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := askLive(ctx, conn, dialer.Timeout); err != nil {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: conn.RemoteAddr(), Err: fmt.Errorf("the shim is gone: %w", err)}
	}
	return conn, nil
}

// askLive has whoever serves a connection answer once, and leaves the connection as it was.
func askLive(ctx context.Context, conn net.Conn, patience time.Duration) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://shim/livez", nil)
	if err != nil {
		return err
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, r)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // HEAD: it is empty
	if resp.StatusCode != http.StatusOK || resp.Close || in.Buffered() > 0 {
		return errors.New("it is none of ours: " + resp.Status)
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return conn.SetDeadline(time.Time{})
}
