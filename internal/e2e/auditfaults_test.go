package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/audit/audittest"
)

// load are callers that never stop, and the ids of the calls that they have an answer of.
type load struct {
	s        *system
	stop     chan struct{}
	callers  sync.WaitGroup
	mu       sync.Mutex
	answered map[string]bool
	failed   map[int]int // by status
}

func (s *system) load(callers int, server, token string) *load {
	l := &load{s: s, stop: make(chan struct{}), answered: map[string]bool{}, failed: map[int]int{}}
	for c := range callers {
		l.callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.call(s.callRequest(server, token, "echo", fmt.Sprintf(`{"message":"%d-%d"}`, c, i)))
				time.Sleep(25 * time.Millisecond) // what comes in a minute fits into the spool
			}
		})
	}
	return l
}

func (l *load) call(r *http.Request) {
	status, id := 0, ""
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if status, id = resp.StatusCode, resp.Header.Get("X-Request-Id"); err == nil && status == 200 && !strings.Contains(string(body), "result") {
			status = -1
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && status == 200 {
		l.answered[id] = true
	} else {
		l.failed[status]++
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answered)
}

// more waits for n calls to be answered from now on.
func (l *load) more(n int) {
	l.s.t.Helper()
	n += l.count()
	l.s.eventually("calls are answered", 30*time.Second, func() bool { return l.count() >= n })
}

// faultTime is how long the sink is down: AUDIT_DOWN=60s for what is promised, less where nobody waits for it.
func faultTime(t *testing.T) time.Duration {
	d, err := time.ParseDuration(os.Getenv("AUDIT_DOWN"))
	if err != nil {
		if os.Getenv("AUDIT_DOWN") != "" {
			t.Fatal(err)
		}
		return 4 * time.Second
	}
	return d
}

// Under load the sink is down, stores without answering, and the shim is killed, also while the sink is down: each call
// that was answered has its record, and no record is there twice.
func TestAuditFaultsUnderLoad(t *testing.T) {
	sink := audittest.New(t)
	sink.Credential = "siem-token"
	s := startAudited(t, sink, "{bodies: metadata}")
	alice := s.token("alice", "audited0", engineering)
	l := s.load(6, "audited0", alice)
	l.more(50)

	sink.Set(audittest.Down)
	time.Sleep(faultTime(t))
	l.more(50)
	sink.Set(audittest.Up)
	before := sink.Batches()
	s.eventually("the sink takes records again", 60*time.Second, func() bool { return sink.Batches() > before })
	l.more(200)

	sink.Set(audittest.Mute)
	before = sink.Batches()
	s.eventually("the sink stored without answering, twice", 60*time.Second, func() bool { return sink.Batches() >= before+2 })
	sink.Set(audittest.Refuse)
	l.more(50)
	s.killShim()
	sink.Set(audittest.Up)
	l.more(50)

	sink.Set(audittest.Mute)
	before = sink.Batches()
	s.eventually("the sink stored without answering", 60*time.Second, func() bool { return sink.Batches() > before })
	s.killShim() // and what comes after it must send the same batch under the same key
	l.more(50)
	sink.Set(audittest.Up)
	close(l.stop)
	l.callers.Wait()
	s.eventually("all sleep", 60*time.Second, func() bool { return len(s.processes("")) == 0 })
	// What could not be delivered before is for the next start.
	l.call(s.callRequest("audited0", alice, "echo", `{"message":"last"}`))

	var recorded map[string]bool
	arrived := func() bool {
		recorded = map[string]bool{}
		for _, r := range sink.Records() {
			recorded[r.RequestID] = true
		}
		for id := range l.answered { // calls that failed are recorded too: their number says nothing
			if !recorded[id] {
				return false
			}
		}
		return true
	}
	for until := time.Now().Add(60 * time.Second); !arrived() && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	for id := range l.answered {
		if !recorded[id] {
			t.Errorf("call %s was answered and has no record", id)
		}
	}
	for id, n := range sink.Times() {
		if n != 1 {
			t.Errorf("record %s was stored %d times", id, n)
		}
	}
	logs, err := os.ReadFile(filepath.Join(s.dir, ".run", "logs", "audited0", "shim.log"))
	if err != nil || strings.Contains(string(logs), "records lost") || strings.Contains(string(logs), "the spool is full") {
		t.Errorf("%v, or records went elsewhere:\n%s", err, logs)
	}
	t.Logf("%d calls answered, %d records, failed by status: %v", len(l.answered), len(sink.Times()), l.failed)
}

func (s *system) killShim() {
	s.t.Helper()
	pids := s.processes("shim")
	if len(pids) == 0 {
		s.t.Fatal("no shim runs")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Error(err)
		}
	}
}
