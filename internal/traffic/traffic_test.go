package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve has a gateway answer on a socket.
func serve(t *testing.T, answer http.HandlerFunc) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tr") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer}
	go server.Serve(l)
	t.Cleanup(func() { server.Close(); os.RemoveAll(dir) })
	return path
}

func TestRead(t *testing.T) {
	path := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"deployer":"/d","servers":[{"id":"a","calls":1,"total":2,"listeners":3,"waiting":4},{"id":"b","perUser":true}],"later":1}`)
	})
	got, err := Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := Status{Deployer: "/d", Servers: []Server{{ID: "a", Calls: 1, Total: 2, Listeners: 3, Waiting: 4}, {ID: "b", PerUser: true}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadFails(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not JSON":  {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "invalid character"},
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, "418"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for page := strings.Repeat(" ", 1<<20); ; {
				if _, err := io.WriteString(w, page); err != nil {
					return
				}
			}
		}, "over 2097152 bytes"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if name == "silent" {
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				ctx = short
			}
			if _, err := Read(ctx, serve(t, tc.answer)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("without a gateway: %v", err)
	}
}

// FuzzParse reads what stands on the socket in a gateway's place: what is taken can be shown on a terminal, and is what
// encoding/json reads.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"deployer":"/d","servers":[{"id":"a","calls":1,"total":2,"listeners":3,"waiting":4},{"id":"b-1","perUser":true}],"later":1}`,
		`{}`, `null`, `{"servers":null}`, `{"servers":[{"id":"\u001b[2J"}]}`, `{"servers":[{"id":"a\n"}]}`, `{"servers":[{}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parse(text)
		var want Status
		if decoded := json.Unmarshal(text, &want); err == nil && (decoded != nil || !cmp.Equal(got, want)) {
			t.Fatalf("%q: %+v, want %+v, %v", text, got, want, decoded)
		}
		shown := true
		for _, s := range want.Servers {
			shown = shown && s.ID != "" && len(s.ID) < 64 && strings.Trim(s.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		}
		if err == nil && !shown || err != nil && shown && json.Unmarshal(text, new(Status)) == nil {
			t.Fatalf("%q: %+v, %v", text, got, err)
		}
	})
}
