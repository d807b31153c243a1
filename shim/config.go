package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"mcpgateway/shim/session"
)

const variables = `  SHIM_SERVER          id of the server in the catalog
  SHIM_LISTEN          unix:PATH or HOST:PORT to serve on
  SHIM_UPSTREAM        the MCP server's endpoint, http://HOST:PORT/PATH
  SHIM_RULES           file of signed rules; read again when it changes
  SHIM_RULES_KEY       public key of whoever signs them (Ed25519, base64)
  SHIM_SEAL_KEY_FILE   file of 32 bytes that session ids are sealed with
  SHIM_OWNER_ISSUER    with SHIM_OWNER_SUBJECT: the only caller that is served
  SHIM_OWNER_SUBJECT
  SHIM_IDLE            leave with status 0 when there was no call for so long (30s); not set: never
  SHIM_CALL_TIMEOUT    longest exchange (15m)
  SHIM_SILENCE         a listener is let go after so long without an event (15s)
  SHIM_DRAIN           how long to wait for calls under way when told to stop (10s)
`

type config struct {
	Server       string
	Listen       string
	Upstream     *url.URL
	Rules        string
	RulesKey     ed25519.PublicKey
	SealKey      []byte
	OwnerIssuer  string
	OwnerSubject string
	Idle         time.Duration
	CallTimeout  time.Duration
	Silence      time.Duration
	Drain        time.Duration
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
	duration := func(name string, otherwise time.Duration) time.Duration {
		v := getenv(name)
		if v == "" {
			return otherwise
		}
		d, err := time.ParseDuration(v)
		if err == nil && d <= 0 {
			err = errors.New("must be more than nothing")
		}
		problem(name, err)
		return d
	}
	c.Server = required("SHIM_SERVER")
	c.Listen = required("SHIM_LISTEN")
	c.Rules = required("SHIM_RULES")
	if v := required("SHIM_UPSTREAM"); v != "" {
		c.Upstream, err = parseUpstream(v)
		problem("SHIM_UPSTREAM", err)
	}
	if v := required("SHIM_RULES_KEY"); v != "" {
		c.RulesKey, err = parseKey(v)
		problem("SHIM_RULES_KEY", err)
	}
	if v := required("SHIM_SEAL_KEY_FILE"); v != "" {
		c.SealKey, err = readKey(v)
		problem("SHIM_SEAL_KEY_FILE", err)
	}
	c.OwnerIssuer, c.OwnerSubject = getenv("SHIM_OWNER_ISSUER"), getenv("SHIM_OWNER_SUBJECT")
	if (c.OwnerIssuer == "") != (c.OwnerSubject == "") {
		problem("SHIM_OWNER_ISSUER, SHIM_OWNER_SUBJECT", errors.New("set both or none"))
	}
	c.Idle = duration("SHIM_IDLE", 0)
	c.CallTimeout = duration("SHIM_CALL_TIMEOUT", 15*time.Minute)
	c.Silence = duration("SHIM_SILENCE", 15*time.Second)
	c.Drain = duration("SHIM_DRAIN", 10*time.Second)
	return c, errors.Join(problems...)
}

func parseUpstream(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	host, port, err := net.SplitHostPort(u.Host) // what it is dialled by; net/url takes more
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
		return nil, errors.New("must be http://HOST:PORT/PATH")
	}
	if u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be http://HOST:PORT/PATH")
	}
	return u, nil
}

func parseKey(v string) (ed25519.PublicKey, error) {
	k, err := base64.StdEncoding.Strict().DecodeString(v)
	if err != nil || len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("must be %d bytes in base64", ed25519.PublicKeySize)
	}
	return k, nil
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("cannot be opened") // a path of an inherited descriptor says nothing to anyone
	}
	defer f.Close()
	k, err := io.ReadAll(io.LimitReader(f, session.KeySize+1))
	if err != nil || len(k) != session.KeySize {
		return nil, fmt.Errorf("must hold %d bytes", session.KeySize)
	}
	return k, nil
}
