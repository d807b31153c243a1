package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// shortDir makes a folder with a short path, as Unix sockets need.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "so")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "y.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another program serves") {
		t.Errorf("a second one got %v", err)
	}
	l.Listener.Close() // and not l: as a kill leaves it
	if l, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenIsPrivate(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "y.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for at, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Lstat(at); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", at, info, err, want)
		}
	}
	after := filepath.Join(filepath.Dir(path), "after")
	if err := os.WriteFile(after, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(after); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("a file made afterwards: %v, %v", info, err)
	}
}

// Nobody else can connect at any moment, and files that the program makes at the time have the rights that it gives them.
func TestListenIsPrivateAtOnce(t *testing.T) {
	dir := shortDir(t)
	path, other := filepath.Join(dir, "y.sock"), filepath.Join(dir, "other")
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("the socket had mode %v", info.Mode())
				return
			}
		}
	})
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := os.WriteFile(other, nil, 0o640); err != nil {
				t.Error(err)
			}
			if info, err := os.Lstat(other); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("a file made meanwhile: %v, %v", info, err)
				return
			}
			os.Remove(other)
		}
	})
	for range 300 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(stop)
	watching.Wait()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Of several who find a socket that nobody serves, one gets its path.
func TestListenOfMany(t *testing.T) {
	path := filepath.Join(shortDir(t), "y.sock")
	for range 100 {
		stale, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		stale.Listener.Close()
		got := make(chan *Listener, 4)
		for range cap(got) {
			go func() {
				l, err := Listen(path)
				if err != nil && !strings.Contains(err.Error(), "another program serves") {
					t.Error(err)
				}
				got <- l
			}()
		}
		serving := 0
		for range cap(got) {
			if l := <-got; l != nil {
				serving++
				defer l.Close()
			}
		}
		if serving != 1 {
			t.Fatalf("%d serve", serving)
		}
		os.Remove(path)
	}
}

// A program that is too busy to be connected to serves all the same.
func TestListenBesideABusyProgram(t *testing.T) {
	path := filepath.Join(shortDir(t), "y.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Skip("who is too busy cannot be told here: ", err)
		}
		defer conn.Close()
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another program serves") {
		t.Errorf("got %v", err)
	}
}

// A path that was taken back may be another's when the listener is closed.
func TestWithdrawn(t *testing.T) {
	path := filepath.Join(shortDir(t), "y.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l.Withdraw()
	if _, err := os.Lstat(path); err == nil {
		t.Error("it is still there")
	}
	if accepted, err := l.Accept(); err != nil {
		t.Errorf("who had connected is not served: %v", err)
	} else {
		accepted.Close()
	}
	next, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's was removed: %v", err)
	}
}

func TestListenRemovesNothingElse(t *testing.T) {
	path := filepath.Join(shortDir(t), "notes.txt")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}
