package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// writes fails a test that hands over less or more than whole records in one write.
type writes struct {
	t     *testing.T
	lines map[string]bool
}

func (w *writes) Write(p []byte) (int, error) {
	if !bytes.HasSuffix(p, []byte("\n")) {
		w.t.Errorf("a write ends in mid-line: %q", p)
	}
	for line := range bytes.Lines(p) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			w.t.Errorf("%q: %v", line, err)
		}
		w.lines[r.CallIdentifier] = true
	}
	return len(p), nil
}

func TestLogWritesWholeLines(t *testing.T) {
	w := &writes{t, map[string]bool{}}
	log := NewLog(w)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := log.Write([]Record{{CallIdentifier: fmt.Sprint(i, "a\nb")}, {CallIdentifier: fmt.Sprint(i, "c")}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(w.lines) != 100 {
		t.Errorf("%d records arrived", len(w.lines))
	}
}

type broken struct{}

var errDisk = errors.New("disk full")

func (broken) Write([]byte) (int, error) { return 0, errDisk }

func TestLogSaysWhatIsLost(t *testing.T) {
	if err := NewLog(broken{}).Write([]Record{{}}); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
}

func TestIDsDiffer(t *testing.T) {
	if a, b := NewID(), NewID(); a == b || len(a) != 32 {
		t.Errorf("%s, %s", a, b)
	}
}
