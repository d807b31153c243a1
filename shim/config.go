package main

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
)

const variables = `  SHIM_SERVER          id of the server in the catalog
  SHIM_LISTEN          unix:PATH or HOST:PORT to serve on
  SHIM_UPSTREAM        the MCP server's endpoint: http://127.0.0.1:PORT/PATH or unix:PATH; with SHIM_EGRESS any URL
  SHIM_EGRESS          the server runs elsewhere. Where it may be: "public", or networks and their ports,
                       "140.82.112.0/20 443, 10.0.0.0/8 80 8080"
  SHIM_RULES           file of signed rules; read again when it changes
  SHIM_RULES_KEY       public key of whoever signs them (Ed25519, base64)
  SHIM_SEAL_KEY_FILE   file of one to four keys of 32 bytes that session ids are sealed with: the first seals, all open
  SHIM_SESSIONS        survive: they outlive the server; strict: they end with it (standard); none: there are none
  SHIM_SESSIONS_URL    the session store, http://, https:// or unix:PATH: where what clients asked of sessions that survive
                       outlives the server too; not set: it does not
  SHIM_SESSIONS_SECRET_FILE  file of the bearer token that the session store wants
  SHIM_GATEWAY_KEY_FILE  file of 32 bytes that the gateway seals callers' tokens with; not set: it does not
  SHIM_REVISION        of the server's entry, where what it says of itself is left with the audit sink for the time in which it
                       sleeps, by the key that is shared with the gateway; not set: it is not
  SHIM_EXCHANGE_SECRET_FILE  file of the client's secret for token exchange: a password, or a private key as PEM or JWK
  SHIM_ACTOR_TOKEN_FILE      file of the actor's token for token exchange
  SHIM_OAUTH_SECRET_FILE     file of the secret of the client that the shim is at our own authorization server, likewise, for
                             filters that are servers of the catalog
  SHIM_HEADER_SECRETS  names of secrets that go to the server in headers: "NAME,NAME"; each with a file of its value,
                       SHIM_HEADER_SECRET_0_FILE, SHIM_HEADER_SECRET_1_FILE and so on
  SHIM_FILTERS         converters of webhooks beside the shim, by the filter's name: pii=PATH,other=PATH
  SHIM_OWNER_ISSUER    with SHIM_OWNER_SUBJECT: the only caller that is served
  SHIM_OWNER_SUBJECT
  SHIM_IDLE            leave with status 0 when there was no call for so long (30s); not set: never
  SHIM_STARTUP         how long the server may take to be ready (1m): until then it is not idle
  SHIM_CALL_TIMEOUT    longest exchange where the rules do not say, and of listeners (15m)
  SHIM_SILENCE         a listener is let go after so long without an event (15s)
  SHIM_COLLECTOR       base URL of an OTLP receiver over HTTP that is sent traces and metrics; not set: nobody is
  SHIM_SAMPLE_PERCENT  of the traces that begin here are kept (10); the gateway's are kept as it says
  SHIM_METRICS         unix:PATH or HOST:PORT to serve /metrics for Prometheus on; not set: nowhere
  SHIM_DRAIN           how long to wait for calls under way when told to stop (10s)
` + auditVariables

// What becomes of sessions.
const (
	sessionsSurvive = "survive"
	sessionsStrict  = "strict"
	sessionsNone    = "none"
)

type config struct {
	Server       string
	Listen       string
	Upstream     *url.URL
	Remote       *remote.Remote // nil where the server is beside the shim
	Rules        string
	RulesKey     ed25519.PublicKey
	SealKeys     [][]byte
	Sessions     string              // survive, strict, none
	SessionStore state.Store         // nil where there is none
	Gateway      *sealedtoken.Sealer // nil where tokens come as they are
	Lists        *lists.Key          // nil where nothing is left for the gateway
	Revision     string
	Secrets      exchange.Secrets
	Filters      map[string]string // paths of sockets
	OwnerIssuer  string
	OwnerSubject string
	Idle         time.Duration
	Startup      time.Duration
	CallTimeout  time.Duration
	Silence      time.Duration
	Drain        time.Duration
	Telemetry    telemetry.Config
	Metrics      string
	Audit        auditConfig
}

// readConfig reads the environment and reports every problem at once.
func readConfig(getenv func(string) string) (c config, err error) {
	var problems []error
	problem := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	required := func(name string) string {
		v := getenv(name)
		if v == "" {
			problem(name, errors.New("not set"))
		}
		return v
	}
	c.Server = required("SHIM_SERVER")
	c.Listen = required("SHIM_LISTEN")
	c.Rules = required("SHIM_RULES")
	if v := getenv("SHIM_EGRESS"); v != "" {
		c.Remote = &remote.Remote{ConnectTimeout: connectTimeout}
		c.Remote.Egress, err = egress.Parse(v)
		problem("SHIM_EGRESS", err)
	}
	if v := required("SHIM_UPSTREAM"); v != "" {
		parse := parseUpstream
		if c.Remote != nil {
			parse = parseRemote
		}
		c.Upstream, err = parse(v)
		problem("SHIM_UPSTREAM", err)
	}
	if v := required("SHIM_RULES_KEY"); v != "" {
		c.RulesKey, err = parseKey(v)
		problem("SHIM_RULES_KEY", err)
	}
	gatewayKey := c.readKeys(required("SHIM_SEAL_KEY_FILE"), getenv("SHIM_GATEWAY_KEY_FILE"), problem)
	c.readSessions(getenv, problem)
	c.Secrets = readSecrets(getenv, problem)
	c.Filters, err = parseFilters(getenv("SHIM_FILTERS"))
	problem("SHIM_FILTERS", err)
	c.OwnerIssuer, c.OwnerSubject = getenv("SHIM_OWNER_ISSUER"), getenv("SHIM_OWNER_SUBJECT")
	if (c.OwnerIssuer == "") != (c.OwnerSubject == "") {
		problem("SHIM_OWNER_ISSUER, SHIM_OWNER_SUBJECT", errors.New("set both or none"))
	}
	for _, span := range []struct {
		name     string
		to       *time.Duration
		standard time.Duration
	}{
		{"SHIM_IDLE", &c.Idle, 0}, {"SHIM_STARTUP", &c.Startup, time.Minute}, {"SHIM_CALL_TIMEOUT", &c.CallTimeout, 15 * time.Minute},
		{"SHIM_SILENCE", &c.Silence, 15 * time.Second}, {"SHIM_DRAIN", &c.Drain, 10 * time.Second},
	} {
		*span.to, err = parseDuration(getenv(span.name), span.standard)
		problem(span.name, err)
	}
	c.readTelemetry(getenv, problem)
	c.Audit = readAuditConfig(getenv, problem)
	c.readLists(getenv, gatewayKey, problem)
	return c, errors.Join(problems...)
}

// readKeys reads the keys of session ids and of callers' tokens, as far as there are files of them, and returns the latter.
func (c *config) readKeys(seal, gateway string, problem func(name string, err error)) []byte {
	var err error
	if seal != "" {
		c.SealKeys, err = readKeys(seal, session.MaxKeys)
		problem("SHIM_SEAL_KEY_FILE", err)
	}
	if gateway == "" {
		return nil
	}
	key, err := readKeys(gateway, 1)
	if err == nil {
		c.Gateway, err = sealedtoken.New(key[0])
	}
	problem("SHIM_GATEWAY_KEY_FILE", err)
	if err != nil {
		return nil
	}
	return key[0]
}

// readLists reads whether what the server says of itself is left for the gateway. The key opens ids that the gateway gave, too.
func (c *config) readLists(getenv func(string) string, key []byte, problem func(name string, err error)) {
	if c.Revision = getenv("SHIM_REVISION"); c.Revision == "" {
		return
	}
	if c.Audit.Credential.Empty() {
		problem("SHIM_REVISION", errors.New("needs SHIM_AUDIT_URL and SHIM_AUDIT_SECRET_FILE"))
	}
	var err error
	c.Lists, err = lists.NewKey(key, c.Server)
	problem("SHIM_GATEWAY_KEY_FILE", err)
}

// readSessions reads what becomes of sessions, and makes the client of the session store, where there is one.
func (c *config) readSessions(getenv func(string) string, problem func(name string, err error)) {
	if c.Sessions = cmp.Or(getenv("SHIM_SESSIONS"), sessionsStrict); !slices.Contains([]string{sessionsSurvive, sessionsStrict, sessionsNone}, c.Sessions) {
		problem("SHIM_SESSIONS", errors.New("must be survive, strict or none"))
	}
	url := getenv("SHIM_SESSIONS_URL")
	if url == "" {
		return
	}
	token, err := readCredential(getenv("SHIM_SESSIONS_SECRET_FILE"))
	if err != nil {
		problem("SHIM_SESSIONS_SECRET_FILE", err)
		return
	}
	c.SessionStore, err = state.NewClient(state.ClientConfig{URL: url, Credential: token})
	problem("SHIM_SESSIONS_URL", err)
}

func (c *config) readTelemetry(getenv func(string) string, problem func(name string, err error)) {
	var err error
	c.Metrics = getenv("SHIM_METRICS")
	c.Telemetry = telemetry.Config{Service: "shim", Instance: c.Server, Collector: getenv("SHIM_COLLECTOR"), Scraped: c.Metrics != ""}
	c.Telemetry.Sampled, err = parsePercent(getenv("SHIM_SAMPLE_PERCENT"), 10)
	problem("SHIM_SAMPLE_PERCENT", err)
}

// parsePercent reads a part of a hundred, as a part of one; an absent one becomes standard.
func parsePercent(v string, standard int) (float64, error) {
	n := standard
	if v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 0 || n > 100 {
			return 0, errors.New("must be a number from 0 to 100")
		}
	}
	return float64(n) / 100, nil
}

// parseDuration reads a time of more than nothing; an absent one becomes standard.
func parseDuration(v string, standard time.Duration) (time.Duration, error) {
	if v == "" {
		return standard, nil
	}
	d, err := time.ParseDuration(v)
	if err == nil && d <= 0 {
		err = errors.New("must be more than nothing")
	}
	return d, err
}

// connectTimeout bounds how long a caller waits before a remote server has seen anything of the call.
const connectTimeout = 10 * time.Second

// parseUpstream reads the endpoint of a server beside the shim. A socket's path is taken as it is: it is no URL, and % in
// it means nothing.
func parseUpstream(v string) (*url.URL, error) {
	if path, ok := strings.CutPrefix(v, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, errors.New("unix:PATH needs an absolute path")
		}
		return &url.URL{Scheme: "unix", Path: path}, nil
	}
	u, err := parseRemote(v)
	if err != nil {
		return nil, err
	}
	// Whatever else it is, it is somewhere else, and needs a guard.
	if a, err := netip.ParseAddrPort(u.Host); err != nil || u.Scheme != "http" || !a.Addr().IsLoopback() {
		return nil, errors.New("without SHIM_EGRESS must be http://127.0.0.1:PORT/PATH or unix:PATH")
	}
	return u, nil
}

func parseRemote(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("must be http or https://HOST[:PORT]/PATH")
	}
	address := u.Host
	if u.Port() == "" {
		address += ":443"
	}
	host, port, err := net.SplitHostPort(address) // what it is dialled by; net/url takes more
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
		return nil, errors.New("holds no valid host and port")
	}
	return u, nil
}

// parseFilters reads name=PATH,name=PATH. Deployers write paths of their own, without a comma.
func parseFilters(v string) (map[string]string, error) {
	if v == "" {
		return nil, nil
	}
	sockets := map[string]string{}
	for part := range strings.SplitSeq(v, ",") {
		name, path, _ := strings.Cut(part, "=")
		if name == "" || !filepath.IsAbs(path) || sockets[name] != "" {
			return nil, errors.New("must be NAME=PATH,NAME=PATH with absolute paths")
		}
		sockets[name] = path
	}
	return sockets, nil
}

func parseKey(v string) (ed25519.PublicKey, error) {
	k, err := base64.StdEncoding.Strict().DecodeString(v)
	if err != nil || len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("must be %d bytes in base64", ed25519.PublicKeySize)
	}
	return k, nil
}

// readKeys reads a file of one key or more.
func readKeys(path string, most int) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("cannot be opened") // a path of an inherited descriptor says nothing to anyone
	}
	defer f.Close()
	k, err := io.ReadAll(io.LimitReader(f, int64(most*session.KeySize+1)))
	if n := len(k); err != nil || n == 0 || n%session.KeySize != 0 || n > most*session.KeySize {
		return nil, fmt.Errorf("must hold %d bytes, or up to %d times as many", session.KeySize, most)
	}
	return slices.Collect(slices.Chunk(k, session.KeySize)), nil
}
