package localstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/socket"
	"mcpgateway/localstack/issuer"
)

const standardPort = 8080

// takeState makes the state folder, which holds sockets and keys and so is for its owner only, and sees to it that
// nobody else runs on it.
func (s *stack) takeState() error {
	if over := len(statusSocket(s.State)) - socket.MaxPath; over > 0 {
		return fmt.Errorf("the path of the state folder %s is %d bytes too long for sockets in it: choose another with --state", s.State, over)
	}
	if err := os.MkdirAll(s.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	info, err := os.Stat(s.State)
	if err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write into the state folder %s: choose another with --state", s.State)
	}
	s.lock, err = os.OpenFile(filepath.Join(s.State, "run.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock state folder: %w", err)
	}
	err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("another mcpgateway run uses the folder %s: stop it, or choose another folder with --state", s.State)
	}
	return err
}

// load reads the platform and its catalog, written before where they were not given, and settles the ports.
func (s *stack) load() error {
	if s.Platform != "" {
		return s.loadPlatform()
	}
	if s.Port == 0 {
		s.Port = standardPort
	}
	s.setOtherPorts()
	if err := s.writePlatform(); err != nil {
		return err
	}
	return s.loadPlatform()
}

func (s *stack) loadPlatform() (err error) {
	if s.platform, err = catalog.LoadPlatform(s.Platform); err != nil {
		return err
	}
	if s.catalog, err = catalog.LoadCatalog(s.platform.Catalog, s.platform, compile.Check); err != nil {
		return err
	}
	if s.Port == 0 {
		s.Port = portOf(s.platform.PublicURL)
	}
	s.setOtherPorts()
	a := s.platform.Audit
	s.audit = a != nil && a.Store != nil && a.Socket() != "" // one at a URL is somebody's to start
	o := s.platform.OAuth
	s.oauth = o != nil && o.URL == "http://"+local(s.IssuerPort)
	s.sessions = addressOf(s.platform.Sessions)
	address := "http://" + local(s.LoginPort)
	if !slices.ContainsFunc(s.platform.Issuers, func(i identity.Issuer) bool { return i.URL == address }) {
		return nil
	}
	c := issuer.Config{URL: address, KeyFile: filepath.Join(s.State, "insecure-issuer.pem"), Users: issuer.DefaultUsers()}
	if o != nil {
		c.RedirectURI = o.URL + "/callback"
	}
	s.issuer, err = issuer.NewInsecureIssuer(c)
	return err
}

func (s *stack) setOtherPorts() {
	if s.IssuerPort == 0 {
		s.IssuerPort = s.Port + 1
	}
	if s.LoginPort == 0 {
		s.LoginPort = s.IssuerPort + 1
	}
	if s.AuditPort == 0 {
		s.AuditPort = s.LoginPort + 1
	}
}

// addressOf is where a session store serves that is this machine's: at a socket, or where its URL names an address and no name.
func addressOf(c *catalog.SessionStore) string {
	if c == nil {
		return ""
	}
	if path := c.Socket(); path != "" {
		return "unix:" + path
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" || net.ParseIP(u.Hostname()) == nil || u.Port() == "" {
		return ""
	}
	return u.Host
}

// portOf is the port of a public URL on this machine.
func portOf(publicURL string) int {
	u, err := url.Parse(publicURL)
	if err != nil {
		return standardPort
	}
	port, err := strconv.Atoi(u.Port())
	if ip := net.ParseIP(u.Hostname()); err != nil || (u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return standardPort
	}
	return port
}

// writePlatform writes a platform that trusts the development issuer.
func (s *stack) writePlatform() error {
	if s.Catalog == "" {
		s.Catalog = filepath.Join(s.State, "catalog.yaml")
		if err := s.writeSample(); err != nil {
			return fmt.Errorf("write sample catalog: %w", err)
		}
	}
	text := strings.NewReplacer(
		"{port}", strconv.Itoa(s.Port),
		"{issuer}", "http://"+local(s.LoginPort),
		"{oauth}", "http://"+local(s.IssuerPort),
		"{catalog}", quote(s.Catalog),
		"{state}", quote(s.State),
		"{sessions}", s.sessionsText(),
		"{audit}", quote(catalog.SocketScheme+filepath.Join(s.State, "audit-in", "audit.sock")),
		"{docker}", map[bool]string{true: ", docker: {}"}[s.Deployer == DeployerDocker],
	).Replace(platformText)
	s.Platform = filepath.Join(s.State, "platform.yaml")
	if err := atomicfile.Replace(s.Platform, []byte(text)); err != nil {
		return fmt.Errorf("write platform: %w", err)
	}
	return nil
}

// sessionsText has what clients ask of sessions outlive their servers, where shims reach a socket.
func (s *stack) sessionsText() string {
	if s.Deployer == DeployerDocker {
		return ""
	}
	return "sessions: {url: " + quote("unix:"+filepath.Join(s.State, "sessions.sock")) + "}   # where what clients ask of their sessions is kept\n"
}

const platformText = `# Written anew by each "mcpgateway run" without --platform: to change it, copy it and name the copy there.
apiVersion: v1
publicURL: http://127.0.0.1:{port}
hosts: ["localhost:{port}"]
issuers:
  - url: {issuer}   # gives anyone on this machine a token of anyone: for development only
    audiences: ["{resource}"]
    default: true
  - name: oauth   # the authorization server, where clients sign people in: it sends them on to the one above
    url: {oauth}
    audiences: ["{resource}"]
    brokers: [{issuer}]
oauth:
  url: {oauth}
  provider: {url: {issuer}, clientID: mcpgateway}
  clients: [{id: development, redirects: ["http://127.0.0.1/callback"]}]   # at any port
audit:   # shims bring their records to a socket, and auditors find them at /audit of another port
  url: {audit}
  interval: 250ms
  store: {auditors: [security]}
{sessions}catalog: {catalog}
deployer: {state: {state}{docker}}
`

// quote writes a text as JSON, which is YAML too.
func quote(text string) string {
	b, _ := json.Marshal(text) // texts cannot fail
	return string(b)
}

// environment is that of the children: ours, with what they need to know. Programs of the catalog are looked for beside
// our own first.
func (s *stack) environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"PATH", "PLATFORM", "PORT", "LISTEN", "SHIM", "STATUS_SOCKET"}, name)
	})
	env = append(env,
		"PATH="+s.Programs+string(os.PathListSeparator)+os.Getenv("PATH"),
		"PLATFORM="+s.Platform,
		"SHIM="+s.program("shim"))
	if s.ServerUsers != "" {
		env = append(env, "SERVER_USERS="+s.ServerUsers)
	}
	return append(env, more...)
}
