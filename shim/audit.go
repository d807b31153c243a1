package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/audit/spool"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/trail"
)

const auditVariables = `  SHIM_AUDIT_URL       the audit sink, http://, https:// or unix:PATH; not set: records are JSON lines on standard output
  SHIM_AUDIT_SPOOL     folder where records wait for the sink; several shims may share it
  SHIM_AUDIT_SPOOL_BYTES  how much may wait there (67108864)
  SHIM_AUDIT_SECRET_FILE  file of the bearer token that the sink wants; none where not set
  SHIM_AUDIT_SECOND    where records go that the sink cannot get: stdout, or none (stdout)
  SHIM_AUDIT_INTERVAL  how long records wait for more before they are sent (5s)
`

// How the sink is asked. All of it fits into the time that a group has to end.
const (
	sinkTimeout  = 10 * time.Second
	sinkPatience = 10 * time.Second       // of a caller whose answer waits for it
	sinkBackoff  = 250 * time.Millisecond // after the first failure
	sinkRecords  = 1000                   // in a batch
	sinkDrain    = 3 * time.Second        // for what is left when the shim is told to stop
	sinkIdle     = 30 * time.Second       // for what is left when it leaves by itself, while the sink takes it
)

// auditConfig says where records go.
type auditConfig struct {
	URL        string // empty: to standard output
	Spool      string
	SpoolBytes int64
	Credential secret.Text
	Second     string
	Interval   time.Duration
}

func readAuditConfig(getenv func(string) string, problem func(string, error)) (c auditConfig) {
	if c.URL = getenv("SHIM_AUDIT_URL"); c.URL == "" {
		return c
	}
	var err error
	if c.Spool = getenv("SHIM_AUDIT_SPOOL"); c.Spool == "" {
		problem("SHIM_AUDIT_SPOOL", errors.New("not set"))
	}
	c.SpoolBytes = 64 << 20
	if v := getenv("SHIM_AUDIT_SPOOL_BYTES"); v != "" {
		if c.SpoolBytes, err = strconv.ParseInt(v, 10, 64); err == nil && c.SpoolBytes < minSpool {
			err = fmt.Errorf("must be at least %d", minSpool)
		}
		problem("SHIM_AUDIT_SPOOL_BYTES", err)
	}
	if path := getenv("SHIM_AUDIT_SECRET_FILE"); path != "" {
		c.Credential, err = readCredential(path)
		problem("SHIM_AUDIT_SECRET_FILE", err)
	}
	switch c.Second = getenv("SHIM_AUDIT_SECOND"); c.Second {
	case "", "stdout", "none":
	default:
		problem("SHIM_AUDIT_SECOND", errors.New("must be stdout or none"))
	}
	c.Interval, err = parseDuration(getenv("SHIM_AUDIT_INTERVAL"), 5*time.Second)
	problem("SHIM_AUDIT_INTERVAL", err)
	return c
}

// minSpool has room for the largest record, in bytes.
const minSpool = 16 << 20

// readCredential reads a bearer token (RFC 6750, section 2.1). No error holds any of it.
func readCredential(path string) (secret.Text, error) {
	text, err := readSecret(path)
	if err != nil {
		return secret.Text{}, err
	}
	token := strings.TrimSpace(text.Reveal())
	if token == "" {
		return secret.Text{}, errors.New("is empty")
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return secret.Text{}, errors.New("holds what no bearer token does")
		}
	}
	return secret.New(token), nil
}

// trail starts what takes the records. out is standard output.
func (c auditConfig) trail(out io.Writer, log *slog.Logger) (*trail.Trail, error) {
	if c.URL == "" {
		return trail.Lines(out), nil
	}
	to, err := sink.New(sink.Config{URL: c.URL, Credential: c.Credential, Timeout: sinkTimeout})
	if err != nil {
		return nil, err
	}
	own, abandoned, err := spool.OpenShared(spool.Config{Folder: c.Spool, MaxBytes: c.SpoolBytes}, log)
	if err != nil {
		return nil, err
	}
	if c.Second == "none" {
		out = nil
	}
	return trail.New(trail.Config{Sink: to, Spool: own, Abandoned: abandoned, Second: out, Logger: log, Interval: c.Interval,
		Records: sinkRecords, Patience: sinkPatience, Backoff: sinkBackoff})
}

// leave delivers what is left. told ends when the shim is told to stop: before that nobody waits for it to be gone.
func (auditConfig) leave(told context.Context, t *trail.Trail) {
	ctx, cancel := context.WithTimeout(context.Background(), sinkIdle)
	defer cancel()
	unhook := context.AfterFunc(told, func() { time.AfterFunc(sinkDrain, cancel) })
	defer unhook()
	t.Close(ctx)
}
