package process

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ports chooses TCP ports of 127.0.0.1 for units, and never one that a group of ours has: between choosing a port and
// its use, the kernel could give it away again, and one user's shim would reach another user's server.
type ports struct {
	instances string // folder of the groups

	mu    sync.Mutex
	owner map[int]string // group by port
	free  func() (int, error)
}

func newPorts(instances string) *ports {
	return &ports{instances: instances, owner: map[int]string{}, free: freePort}
}

// choose returns n ports, none of which a group has. They are kept back until keep or release.
func (p *ports) choose(n int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var chosen []int
	for tries := 0; len(chosen) < n; tries++ {
		if tries == 100+n {
			p.drop(chosen)
			return nil, errors.New("no free port")
		}
		port, err := p.free()
		if err != nil {
			p.drop(chosen)
			return nil, err
		}
		if !p.taken(port) {
			p.owner[port] = ""
			chosen = append(chosen, port)
		}
	}
	return chosen, nil
}

// keep gives ports to a group for as long as its folder exists.
func (p *ports) keep(chosen []int, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, port := range chosen {
		p.owner[port] = id
	}
}

func (p *ports) release(chosen []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(chosen)
}

func (p *ports) drop(chosen []int) {
	for _, port := range chosen {
		delete(p.owner, port)
	}
}

func (p *ports) taken(port int) bool {
	id, ok := p.owner[port]
	if !ok || id == "" {
		return ok
	}
	_, err := os.Lstat(filepath.Join(p.instances, id))
	return err == nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// inUse reports whether somebody listens on one of the ports.
func inUse(chosen []int) bool {
	for _, port := range chosen {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if errors.Is(err, syscall.EADDRINUSE) {
			return true
		}
		if err == nil {
			l.Close()
		}
	}
	return false
}
