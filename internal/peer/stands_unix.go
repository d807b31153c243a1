//go:build unix

package peer

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// stands looks, without waiting, whether an idle connection is still open and silent. A peer that closed it, or that
// talks unasked, is seen here: nobody reads an idle connection.
func (k *conn) stands() bool {
	nc := k.Conn
	wrapper, wrapped := nc.(interface{ NetConn() net.Conn }) // *tls.Conn
	if wrapped {
		nc = wrapper.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return true // a connection of a test
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Read(func(fd uintptr) bool {
		var p [1]byte
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN || err == syscall.EINTR
		return true // never wait
	})
	return err == nil && open && (!wrapped || k.drained())
}

// drained looks whether a connection inside another holds nothing that it has read of it and not yet given. A read whose
// time is over gives what is there, and does not ask the socket.
func (k *conn) drained() bool {
	if k.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var p [1]byte
	n, err := k.Conn.Read(p[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && k.SetReadDeadline(time.Time{}) == nil
}
