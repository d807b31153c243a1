package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/egress/egresstest"
)

// listener accepts on an address of this machine and counts.
func listener(t *testing.T, address string) (port uint16, accepted *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accepted = &atomic.Int32{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), accepted
}

// names answers every name with a list that the test changes.
type names struct {
	mu   sync.Mutex
	list []netip.Addr
}

func (n *names) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = nil
	for _, a := range addresses {
		n.list = append(n.list, netip.MustParseAddr(a))
	}
}

func (n *names) lookup(string) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list
}

func (d Dialer) try(t *testing.T, host string, port uint16) error {
	t.Helper()
	conn, err := d.Dial(t.Context(), net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// However the loopback address is written, and whoever reads it, it is not connected to.
func TestOddAddresses(t *testing.T) {
	port, accepted := listener(t, ":0")
	n := &names{}
	n.set("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::")
	d := Dialer{Guard: Guard{Port: port, Encrypted: true}, Resolver: egresstest.Resolver(t, n.lookup), Timeout: 5 * time.Second}
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1", "0.0.0.0", "::", "0",
		"127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "017700000001", "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "a.localhost", "::1%lo", "fe80::1%lo", "１２７.0.0.1", ""} {
		if err := d.try(t, host, port); err == nil {
			t.Errorf("%q: connected", host)
		}
	}
	if accepted.Load() != 0 {
		t.Errorf("%d connections", accepted.Load())
	}
	d.Guard.Rules = []Rule{{Net: netip.MustParsePrefix("127.0.0.0/8"), Ports: []uint16{port}}}
	if err := d.try(t, "127.0.0.1", port); err != nil {
		t.Errorf("named: %v", err)
	}
}

// A name that leads elsewhere at the second look-up is refused at the second connection.
func TestRebinding(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	port, accepted := listener(t, "127.0.0.2:0")
	victim, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		t.Skip(err) // the port is somebody else's there
	}
	defer victim.Close()
	n := &names{}
	d := Dialer{Guard: Guard{Rules: []Rule{{Net: netip.MustParsePrefix("127.0.0.2/32"), Ports: []uint16{port}}}}, Resolver: egresstest.Resolver(t, n.lookup), Timeout: 5 * time.Second}
	for i, c := range []struct {
		addresses []string
		allowed   bool
	}{
		{[]string{"127.0.0.2"}, true},
		{[]string{"127.0.0.1"}, false},
		{[]string{"127.0.0.1", "127.0.0.2"}, true}, // the next one
		{[]string{"::1", "127.0.0.1", "127.0.0.2"}, true},
		{[]string{"127.0.0.3"}, false},
		{nil, false},
	} {
		n.set(c.addresses...)
		if err := d.try(t, "server.test", port); (err == nil) != c.allowed {
			t.Errorf("%d, %v: %v", i, c.addresses, err)
		}
	}
	if got := accepted.Load(); got != 3 {
		t.Errorf("%d connections were made, want 3", got)
	}
	_ = victim.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if c, err := victim.Accept(); err == nil {
		t.Errorf("%v was connected to", c.LocalAddr())
	}
}

// The log is told what was refused and what opens it.
func TestWhatWasRefused(t *testing.T) {
	n := &names{}
	n.set("10.0.0.7", "169.254.169.254")
	d := Dialer{Guard: Guard{Port: 443, Encrypted: true}, Resolver: egresstest.Resolver(t, n.lookup), Timeout: 5 * time.Second}
	err := d.try(t, "server.test", 443)
	for _, says := range []string{"10.0.0.7:443 is a private address", "169.254.169.254:443 is a cloud's metadata address", "egress names it", "inside 10.0.0.0/8"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

// Whoever answers for a name cannot keep a caller busy with addresses.
func TestManyAddresses(t *testing.T) {
	n := &names{}
	for i := range 60 {
		n.list = append(n.list, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	d := Dialer{Guard: anyPublic, Resolver: egresstest.Resolver(t, n.lookup), Timeout: 5 * time.Second}
	err := d.try(t, "server.test", 443)
	if err == nil || strings.Count(err.Error(), "private address") != maxAttempts {
		t.Errorf("%v", err)
	}
	tried, given := attempts{}, 0
	for range maxAttempts + 1 {
		if given != 0 {
			t.Error("given up too early")
		}
		err = tried.add(nil, func() { given++ })
	}
	if err == nil || given != 1 {
		t.Errorf("%v, given up %d times", err, given)
	}
}

func TestDialEnds(t *testing.T) {
	d := Dialer{Guard: anyPublic, Timeout: 50 * time.Millisecond, Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done() // a name server that says nothing
		return nil, ctx.Err()
	}}}
	if err := d.try(t, "server.test", 443); err == nil {
		t.Error("connected")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := d.Dial(ctx, "1.1.1.1:443"); err == nil {
		t.Error("connected")
	}
}
