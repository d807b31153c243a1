// Package localstack runs the whole system on one machine: gateway and deployer as child processes, and a development
// issuer, so that one command and a line to paste are enough to try it, and so that tests have it all.
//
// It is wiring. It decides nothing that the programs do not decide elsewhere too, and the issuer that it starts is not
// for production.
package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/localstack/issuer"
	"mcpgateway/localstack/table"
)

// Config says what to run. Its zero value is the sample system on the standard ports.
type Config struct {
	// State is the folder for everything that is kept: .run where empty.
	State string
	// Platform is a platform file. Where empty one is written into State, which trusts the development issuer.
	Platform string
	// Catalog is a catalog, a file or a folder, for the platform that is written; the sample where empty.
	Catalog string
	// Port is the gateway's, on 127.0.0.1; where 0 that of Platform's publicURL if that is on this machine, or 8080.
	Port int
	// IssuerPort is the authorization server's; the one after Port where 0.
	IssuerPort int
	// LoginPort is the development issuer's; the one after IssuerPort where 0.
	LoginPort int
	// AuditPort is that of the function that keeps records of calls; the one after LoginPort where 0.
	AuditPort int
	// Programs is the folder of gateway, deployer, oauth, audit, shim and sample-server; that of the running program where empty.
	Programs string
	// Out gets what there is to know and to paste once all is up; os.Stdout where nil. Where it is a terminal, a table
	// of what the servers do stays below that.
	Out io.Writer
	// Log gets the lines of all programs, each with its name; os.Stderr where nil.
	Log io.Writer
	// ServerUsers are the users of servers, FIRST-LAST, for which it must run as root: see functions/deployer.
	ServerUsers string
	// Deployer is where servers run, for the platform that is written: DeployerProcess where empty, or DeployerDocker.
	Deployer string
	// Plain keeps the table away: nothing but lines, one after the other.
	Plain bool
	// Lambda has the gateway run as a function. There is no table then: a function is frozen when it should tell.
	Lambda *Lambda

	withoutNode bool // tests that must not depend on what is installed
}

// The deployers that need nothing but this machine.
const (
	DeployerProcess = "process" // servers are processes
	DeployerDocker  = "docker"  // servers are containers of its engine
)

// startup is how long gateway and deployer may take until they serve.
const startup = 30 * time.Second

// stack is the system while it runs.
type stack struct {
	Config
	platform *catalog.Platform
	catalog  *catalog.Catalog
	issuer   *issuer.InsecureIssuer // nil where the platform trusts others only
	audit    bool                   // records are kept on this machine
	oauth    bool                   // the platform has its authorization server on this machine
	sessions string                 // where its session store is to serve on this machine; empty: it is elsewhere, or there is none
	listener net.Listener           // the issuer's
	lock     *os.File               // on the state folder
	log      *log
	hint     string        // on what the sample could have more; may be empty
	screen   *table.Screen // nil where the output is no terminal, or a plain one
}

// Run runs the system until ctx ends, and then stops all of it: calls under way have some seconds to end. While it
// stops, SIGINT or SIGTERM ends it at once.
func Run(ctx context.Context, c Config) error {
	s, err := prepare(c)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// prepare finds everything that can be wrong before anything is started.
func prepare(c Config) (*stack, error) {
	s := &stack{Config: c}
	if err := s.fill(); err != nil {
		return nil, err
	}
	for _, prepare := range []func() error{s.checkPrograms, s.takeState, s.load, s.claimPorts} {
		if err := prepare(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// fill puts the defaults where nothing is given.
func (s *stack) fill() error {
	if s.Platform != "" && s.Catalog != "" {
		return errors.New("--platform and --catalog: the platform file names its catalog, so give only one of them")
	}
	if err := s.checkDeployer(); err != nil {
		return err
	}
	for flag, port := range map[string]int{"--port": s.Port, "--issuer-port": s.IssuerPort, "--login-port": s.LoginPort, "--audit-port": s.AuditPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%s: %d is no port", flag, port)
		}
	}
	if s.State == "" {
		s.State = ".run"
	}
	if s.Out == nil {
		s.Out = os.Stdout
	}
	if s.Log == nil {
		s.Log = os.Stderr
	}
	s.takeScreen()
	s.log = &log{out: s.Log}
	if s.Programs == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the other programs: %w", err)
		}
		s.Programs = filepath.Dir(self)
	}
	for _, path := range []*string{&s.State, &s.Programs, &s.Platform, &s.Catalog} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	return nil
}

func (s *stack) checkDeployer() error {
	switch {
	case s.Deployer != "" && s.Platform != "":
		return errors.New("--platform and --deployer: the platform file says where servers run, so give only one of them")
	case s.Deployer == DeployerDocker && s.ServerUsers != "":
		return errors.New("--server-users is for processes: containers are apart without")
	case s.Deployer != "" && s.Deployer != DeployerProcess && s.Deployer != DeployerDocker:
		return fmt.Errorf("--deployer: %q is none: process or docker", s.Deployer)
	}
	return nil
}

func (s *stack) program(name string) string { return filepath.Join(s.Programs, name) }

func (s *stack) checkPrograms() error {
	for _, name := range []string{"gateway", "deployer", "shim", "oauth", "audit", "sessions"} {
		if _, err := os.Stat(s.program(name)); err != nil {
			return fmt.Errorf("%s is missing: make build makes it", s.program(name))
		}
	}
	return nil
}

// claimPorts finds out early, with a word on what to do, that a port is taken. Those of programs of their own are given back
// at once: they take them themselves.
func (s *stack) claimPorts() (err error) {
	if err := try(s.Port, "--port"); err != nil {
		return err
	}
	if s.oauth {
		if err := try(s.IssuerPort, "--issuer-port"); err != nil {
			return err
		}
	}
	if s.audit {
		if err := try(s.AuditPort, "--audit-port"); err != nil {
			return err
		}
	}
	if s.issuer != nil {
		s.listener, err = listen(s.LoginPort, "--login-port")
	}
	return err
}

func try(port int, flag string) error {
	l, err := listen(port, flag)
	if err != nil {
		return err
	}
	return l.Close()
}

func listen(port int, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", local(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is taken by another program: choose one with %s", port, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %d: %w", flag, port, err)
	}
	return l, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (s *stack) close() {
	if s.listener != nil {
		s.listener.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// run starts the programs, says what there is to know, and stops them when ctx ends.
func (s *stack) run(ctx context.Context) error {
	if s.issuer != nil {
		server := &http.Server{Handler: s.issuer, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		go server.Serve(s.listener) //nolint:errcheck // it ends with the close below
		defer server.Close()
	}
	ended := make(chan error, 1)
	deployer := s.child("deployer")
	deployer.lastWish = 10 * time.Second // longer than it takes to end all servers
	deployer.start(ended)
	children := []*child{deployer}
	if s.sessions != "" { // what shims still have to say when the deployer ends them is heard
		sessions := s.child("sessions", "LISTEN="+s.sessions)
		sessions.start(ended)
		children = append(children, sessions)
	}
	if s.oauth {
		oauth := s.child("oauth", "LISTEN="+local(s.IssuerPort))
		oauth.start(ended)
		children = append([]*child{oauth}, children...)
	}
	if s.audit {
		audit := s.child("audit", "LISTEN="+local(s.AuditPort))
		audit.start(ended)
		children = append(children, audit) // the last to go: shims bring what they have when they end
	}
	if s.Lambda == nil {
		gateway := s.child("gateway", "LISTEN="+local(s.Port), "STATUS_SOCKET="+statusSocket(s.State))
		gateway.start(ended)
		children = append([]*child{gateway}, children...)
	}
	// The gateway goes first: calls under way need the servers that the deployer takes along.
	defer s.stop(children...)
	if s.Lambda != nil {
		end, err := s.startFront(ctx)
		if err != nil {
			return err
		}
		defer end()
	}

	if err := s.awaitReady(ctx, ended); err != nil || ctx.Err() != nil {
		return err
	}
	if err := s.explain(); err != nil {
		return err
	}
	s.watch(ctx)
	return nil
}

func (s *stack) child(name string, env ...string) *child {
	return &child{
		name: name,
		path: s.program(name),
		env:  s.environment(env...),
		out:  s.log.writer(name + " audit"),
		err:  s.log.writer(name),
	}
}

// stop stops the children one after the other. Whoever asks a second time does not want to wait.
func (s *stack) stop(children ...*child) {
	hurry, done := notify()
	defer done()
	for _, c := range children {
		patience := context.AfterFunc(hurry, c.hurry)
		c.stop()
		patience()
	}
}

// awaitReady waits until the gateway takes calls, or ctx ends. A program that ends before that would end again, so it
// is an error.
func (s *stack) awaitReady(ctx context.Context, ended <-chan error) error {
	late := time.After(startup)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if s.ready(ctx) {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("%w; its lines above say why", err)
		case <-late:
			return fmt.Errorf("the gateway is not ready after %v; its lines above may say why", startup)
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

func (s *stack) ready(ctx context.Context) bool {
	_, err := os.Stat(s.platform.Deployer.Socket)
	if path, is := strings.CutPrefix(s.sessions, "unix:"); is && err == nil {
		_, err = os.Stat(path)
	}
	return err == nil && s.status(ctx, s.Port, "/readyz") == http.StatusOK && (!s.oauth || s.status(ctx, s.IssuerPort, "/healthz") == http.StatusOK) &&
		(!s.audit || s.status(ctx, s.AuditPort, "/healthz") == http.StatusNoContent)
}

// status is what a program says of its readiness; 0 where it says nothing.
func (s *stack) status(ctx context.Context, port int, path string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+local(port)+path, nil)
	if err != nil {
		return 0
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
