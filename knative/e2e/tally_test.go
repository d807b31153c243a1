package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// nodeIP is where pods find what listens on this machine.
const nodeIP = "10.250.0.1"

// tally counts the calls that servers ran, by their messages.
type tally struct {
	url string
	mu  sync.Mutex
	ran map[string]int
}

func newTally(t *testing.T) *tally {
	t.Helper()
	y := &tally{ran: map[string]int{}}
	l, err := net.Listen("tcp", net.JoinHostPort(nodeIP, "0"))
	if err != nil {
		t.Skipf("pods would not find this machine: %v", err)
	}
	server := httptest.NewUnstartedServer(y)
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	y.url = server.URL
	return y
}

func (y *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.ran[string(text)]++
}

// counted is an entry whose server tells the tally of each call.
func (y *tally) counted(id, more string) string {
	return fmt.Sprintf("  - {id: %s, title: Counter, runtime: {container: {image: %s, port: 8090, args: [-serve, \"127.0.0.1:8090\", -tell, %q]}}, scale: {idle: %v}%s}\n",
		id, counterImage, y.url, window, more)
}

// check looks at whether each call was run once.
func (y *tally) check(t *testing.T, calls []string) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	lost, doubled := 0, 0
	for _, call := range calls {
		switch y.ran[call] {
		case 0:
			lost++
		case 1:
		default:
			doubled++
		}
	}
	t.Logf("%d calls: %d lost, %d run more than once", len(calls), lost, doubled)
	if lost+doubled > 0 || len(calls) < 50 {
		t.Errorf("of %d calls %d were lost and %d run more than once", len(calls), lost, doubled)
	}
}
