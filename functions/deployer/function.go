package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aws/aws-lambda-go/lambda"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/mirror"
)

// openDocuments reads the operator's documents, where they are: copied is nil where they are files.
func openDocuments(log *slog.Logger) (files *documents.Keeper, copied *mirror.Mirror, err error) {
	path := os.Getenv("PLATFORM")
	at, is, err := mirror.Parse(path)
	if err != nil {
		return nil, nil, fmt.Errorf("PLATFORM: %w", err)
	}
	var bucket *mirror.Location
	if is {
		if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
			return nil, nil, errors.New("PLATFORM: a deployer that is no function reads files")
		}
		bucket = &at
	}
	return command.Open(bucket, namedFiles, documents.Config{Platform: path, Conditions: compile.Check, Logger: log})
}

// namedFiles are what the deployer reads besides the platform file.
func namedFiles(platform string) []string {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil // whoever reads it next says why
	}
	files := append(p.Files(), filepath.Join(p.Deployer.State, rulesKey))
	if p.Sessions != nil {
		files = append(files, p.Sessions.Files()...)
	}
	if a := p.Audit; a != nil && a.Store != nil && a.Secret == nil {
		files = append(files, a.Store.Files()...)
	}
	return files
}

// lookAt reads the documents now.
func lookAt(files *documents.Keeper, copied *mirror.Mirror, log *slog.Logger) func() {
	if copied == nil {
		return files.Look
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), mirror.Patience)
		defer cancel()
		if err := copied.Look(ctx); err != nil {
			log.Warn("documents not looked at, the copy stays in force", "error", err)
		}
	}
}

// serveInvocations answers as a function, until the process ends. Nothing is compared with the catalog before the first
// invocation: with many servers that takes longer than Lambda gives. It is the schedule's.
func (d *deployer) serveInvocations(copied *mirror.Mirror) error {
	d.log.Info("ready", "servers", len(d.files.Load().Catalog.Servers), "version", version, "commit", commit)
	lambda.Start(func(ctx context.Context, payload json.RawMessage) (any, error) {
		if copied != nil {
			copied.Keep(ctx)
		}
		return d.invoked(ctx, payload)
	})
	return nil
}

// invocation is what a function of ours is invoked with: a question, or a scheduled event (EventBridge user guide).
type invocation struct {
	deploy.Invocation
	DetailType string `json:"detail-type"`
}

// invoked answers one invocation.
func (d *deployer) invoked(ctx context.Context, payload []byte) (any, error) {
	var in invocation
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("read invocation: %w", err)
	}
	switch {
	case in.Path != "":
		return d.reply(ctx, in.Invocation)
	case in.DetailType == "Scheduled Event":
		if !d.reconcile(ctx, patience) {
			d.log.Warn("keys of an issuer are missing", "again", "with the next schedule")
		}
		return nil, nil
	}
	return nil, errors.New("read invocation: it is neither a question of the gateway's nor a scheduled event of EventBridge")
}

// reply has the handler answer a question, which must not know how it came. A server that nobody asked for yet may be newer
// than the last schedule: its rules come first.
func (d *deployer) reply(ctx context.Context, in deploy.Invocation) (deploy.Reply, error) {
	method := http.MethodPost
	if in.Path == deploy.PathStatus {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://deployer"+in.Path, bytes.NewReader(in.Question))
	if err != nil {
		return deploy.Reply{}, fmt.Errorf("read invocation: %w", err)
	}
	var key deploy.Key
	if in.Path == deploy.PathEnsure && json.Unmarshal(in.Question, &key) == nil {
		d.publishOne(ctx, key.Server)
	}
	w := &replyWriter{header: http.Header{}, reply: deploy.Reply{Status: http.StatusOK}}
	d.handler().ServeHTTP(w, r)
	if !json.Valid(w.reply.Answer) {
		w.reply.Answer = nil // a path that is none has a page
	}
	return w.reply, nil
}

// replyWriter takes an answer whole.
type replyWriter struct {
	header http.Header
	reply  deploy.Reply
}

// Header implements http.ResponseWriter.
func (w *replyWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *replyWriter) WriteHeader(status int) { w.reply.Status = status }

// Write implements http.ResponseWriter.
func (w *replyWriter) Write(p []byte) (int, error) {
	w.reply.Answer = append(w.reply.Answer, p...)
	return len(p), nil
}
