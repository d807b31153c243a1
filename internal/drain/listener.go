package drain

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener is a TCP listener whose end turns nobody away who is connected. A listener that is closed resets the connections which
// the system took for it and it has not accepted yet: calls may have been sent on them, and who sent one cannot know that it
// was not run.
type Listener struct {
	*net.TCPListener
	ending atomic.Bool
}

// Listen serves on HOST:PORT.
func Listen(address string) (*Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Listener{TCPListener: l.(*net.TCPListener)}, nil
}

// Close has Accept return what is connected by now, and only then close the listener: it does not wait for that. Accept must
// be called until it fails, as http.Server does.
func (l *Listener) Close() error {
	l.ending.Store(true)
	return l.SetDeadline(time.Unix(1, 0)) // long ago
}

// Accept waits for a connection. After Close it waits no more; the error is net.ErrClosed when there is none left.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil || !l.ending.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return c, err
	}
	if f := l.next(); f != nil {
		defer f.Close() // the connection has a copy
		return net.FileConn(f)
	}
	return nil, errors.Join(net.ErrClosed, l.TCPListener.Close())
}

// next takes a connection that is there, past the poller, which after a deadline does not even look. Where there is none, nil
// is returned and the system takes no more: nothing is between the two but two system calls.
func (l *Listener) next() (f *os.File) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(listening uintptr) {
		for {
			fd, _, err := syscall.Accept(int(listening))
			switch {
			case err == nil:
				syscall.CloseOnExec(fd)
				f = os.NewFile(uintptr(fd), "connection")
			case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
				continue
			default:
				_ = syscall.Shutdown(int(listening), syscall.SHUT_RD)
			}
			return
		}
	})
	return f
}
