package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Dialer connects to hosts at allowed addresses.
type Dialer struct {
	Guard    Guard
	Resolver *net.Resolver // this machine's where nil
	Timeout  time.Duration // for looking up and connecting
}

// Dial connects to host:port over TCP. Of the host's addresses it tries one after the other, those of both families at
// once (RFC 8305), until one is allowed and answers. The error names those that were refused.
//
// The check is the kernel's last question before the connection (net.Dialer.ControlContext), for each address that is
// tried: there is no second look-up whose answer could be another.
func (d Dialer) Dial(ctx context.Context, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tried attempts
	dialer := net.Dialer{Timeout: d.Timeout, Resolver: d.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return tried.add(d.check(address), cancel)
		}}
	conn, err := dialer.DialContext(ctx, "tcp", hostport)
	if err != nil {
		return nil, tried.explain(err)
	}
	return conn, nil
}

func (d Dialer) check(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%.100q is no address", address)
	}
	return d.Guard.Allowed(a)
}

// maxAttempts bounds how many addresses of one name are tried, since whoever answers for it may name thousands.
const maxAttempts = 16

// attempts are the addresses that were tried for one connection.
type attempts struct {
	mu      sync.Mutex // addresses of both families are tried at once
	n       int
	refused []error
}

func (t *attempts) add(refused error, giveUp func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n++; t.n > maxAttempts {
		giveUp()
		return fmt.Errorf("the name has more than %d addresses", maxAttempts)
	}
	if refused != nil {
		refused = &refusal{refused}
		t.refused = append(t.refused, refused)
	}
	return refused
}

// refusal is an error of Allowed.
type refusal struct{ error }

// explain adds what was refused to why there is no connection.
func (t *attempts) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var r *refusal
	if errors.As(err, &r) { // it is among those that follow
		return fmt.Errorf("no allowed address: %w", errors.Join(t.refused...))
	}
	if len(t.refused) == 0 {
		return err
	}
	return fmt.Errorf("%w; refused: %w", err, errors.Join(t.refused...))
}
