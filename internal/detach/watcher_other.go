//go:build !linux

package detach

import "net"

// watcher watches nothing here: each connection has a goroutine that reads.
type watcher struct{}

func newWatcher() (*watcher, error) { return &watcher{}, nil }

func (*watcher) close() error { return nil }

func (*watcher) watch(net.Conn, func()) (stop func(), ok bool) { return nil, false }
