package detach

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher notices who closes a connection. The runtime's own poller needs a goroutine for each, blocked in a read; this
// one has one for all, which waits in that poller for a poller of its own (epoll(7)).
type watcher struct {
	file *os.File
	raw  syscall.RawConn

	mu   sync.Mutex
	last int64
	left map[int64]func()
}

func newWatcher() (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os would give it a thread
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "epoll"), left: map[int64]func(){}}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	go w.run()
	return w, nil
}

func (w *watcher) close() error { return w.file.Close() }

// watch calls left once, in the watcher's goroutine, when the other side closes conn or its own half of it. It is not ok
// for a connection that is no socket.
func (w *watcher) watch(conn net.Conn, left func()) (stop func(), ok bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, false
	}
	w.mu.Lock()
	w.last++
	id := w.last
	w.left[id] = left
	w.mu.Unlock()
	// Events carry the number and not the descriptor, which is another connection's as soon as this one is closed.
	event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(id), Pad: int32(id >> 32)}
	if w.control(raw, unix.EPOLL_CTL_ADD, &event) != nil {
		w.take(id)
		return nil, false
	}
	return func() {
		w.take(id)
		_ = w.control(raw, unix.EPOLL_CTL_DEL, nil) // fails where the connection is closed, which does the same
	}, true
}

// control changes what the poller knows of a connection.
func (w *watcher) control(conn syscall.RawConn, operation int, event *unix.EpollEvent) error {
	var failed error
	err := w.raw.Control(func(poller uintptr) {
		if err := conn.Control(func(fd uintptr) { failed = unix.EpollCtl(int(poller), operation, int(fd), event) }); err != nil {
			failed = err
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// take returns what is to be called for a connection, the first time.
func (w *watcher) take(id int64) (left func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left = w.left[id]
	delete(w.left, id)
	return left
}

func (w *watcher) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := w.raw.Read(func(poller uintptr) (done bool) {
			var err error
			for n, err = unix.EpollWait(int(poller), events, 0); err == unix.EINTR; {
				n, err = unix.EpollWait(int(poller), events, 0)
			}
			return n != 0
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:max(n, 0)] {
			if left := w.take(int64(uint32(e.Fd)) | int64(e.Pad)<<32); left != nil {
				left()
			}
		}
	}
}
