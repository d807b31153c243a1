// Package audittest is a receiver of audit batches for tests, which can be down, forget to answer, and tells how often
// each record arrived.
package audittest

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"mcpgateway/internal/audit"
)

// Mode says what becomes of a request.
type Mode int32

// The modes.
const (
	Up     Mode = iota // stored and answered
	Down               // the connection breaks, nothing is stored
	Mute               // stored, and the connection breaks before the answer
	Refuse             // 503
)

// Sink stores records by id. A batch whose key it knows is stored once.
type Sink struct {
	*httptest.Server
	// Credential is what it asks for; empty: nothing.
	Credential string

	mode atomic.Int32

	mu      sync.Mutex
	keys    map[string]bool
	times   map[string]int // that a record was stored, by id
	records []audit.Record
	batches int
	broken  []error
}

// New starts a Sink that is up, until the test ends.
func New(t testing.TB) *Sink {
	s := &Sink{keys: map[string]bool{}, times: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		for _, err := range s.broken {
			t.Error("audit sink:", err)
		}
	})
	return s
}

// Set changes the mode.
func (s *Sink) Set(m Mode) { s.mode.Store(int32(m)) }

// ServeHTTP implements http.Handler.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch m := Mode(s.mode.Load()); m {
	case Down:
		panic(http.ErrAbortHandler)
	case Refuse:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		if err := s.store(r); err != nil {
			s.mu.Lock()
			s.broken = append(s.broken, err)
			s.mu.Unlock()
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if m == Mute {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Sink) store(r *http.Request) error {
	if got := r.Header.Get("Authorization"); s.Credential != "" && got != "Bearer "+s.Credential {
		return fmt.Errorf("credential %q", got)
	}
	key := r.Header.Get("Idempotency-Key")
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || len(key) < 10 {
		return fmt.Errorf("%s with %v", r.Method, r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return err
	}
	var batch []audit.Record
	if err := json.NewDecoder(z).Decode(&batch); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	if s.keys[key] {
		return nil
	}
	s.keys[key] = true
	for _, rec := range batch {
		s.times[rec.ID]++
	}
	s.records = append(s.records, batch...)
	return nil
}

// Records are all that were stored, in order.
func (s *Sink) Records() []audit.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]audit.Record(nil), s.records...)
}

// Times is how often a record was stored.
func (s *Sink) Times() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for id, n := range s.times {
		out[id] = n
	}
	return out
}

// Batches counts requests that were stored or known.
func (s *Sink) Batches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}
