package traffic

import (
	"context"
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
