//go:build unix

package peer

import (
	"syscall"
)

// stands looks, without waiting, whether an idle connection is still open and silent. A peer that closed it, or that
// talks unasked, is seen here: nobody reads an idle connection.
func (k *conn) stands() bool {
	sc, ok := k.Conn.(syscall.Conn)
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
	return err == nil && open
}
