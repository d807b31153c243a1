package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/egress"
)

// runner runs plans: as processes, or in a cluster. Package deploytest says what each method promises.
type runner interface {
	Ensure(context.Context, deploy.Plan) (deploy.Instance, error)
	Find(context.Context, deploy.Key) (deploy.Instance, bool, error)
	List(context.Context) ([]deploy.Status, error)
	Deploy(context.Context, deploy.Plan) error
	Remove(context.Context, deploy.Key) error
	RemoveAsleep(ctx context.Context, key deploy.Key, since time.Time) (removed bool, err error)
	SetRules(ctx context.Context, server string, signed []byte) error
	Rules(server string) ([]byte, error)
	SetEgress(ctx context.Context, server string, rules []egress.Rule) error
	Retain(ctx context.Context, servers []string) error
	Prepare(context.Context, []deploy.Need) error
}

// deployer turns names into plans, by the files that it read last.
type deployer struct {
	runner runner
	key    ed25519.PrivateKey // signs rules
	log    *slog.Logger

	files      atomic.Pointer[documents.Version] // in force, rules and all
	changed    chan struct{}                     // holds a word when files came in force that nothing was compared with yet
	publishing sync.Mutex                        // held while rules are written: those of older files never replace newer ones
	latecomers latecomers
}

// maxQuestion bounds a question, in bytes: a server's name, an issuer's URL and a subject.
const maxQuestion = 8 << 10

// handler answers the gateway.
func (d *deployer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+deploy.PathEnsure, d.ensure)
	mux.HandleFunc("POST "+deploy.PathFind, d.find)
	mux.HandleFunc("GET "+deploy.PathStatus, d.status)
	return mux
}

func (d *deployer) ensure(w http.ResponseWriter, r *http.Request) {
	key, ok := d.question(w, r)
	if !ok {
		return
	}
	instance, err := d.run(r.Context(), key)
	if err != nil {
		d.fail(w, err)
		return
	}
	d.answer(w, http.StatusOK, instance)
}

// run makes an instance run as the files have it, also where they change while it starts.
func (d *deployer) run(ctx context.Context, key deploy.Key) (deploy.Instance, error) {
	plan, err := d.plan(key)
	if isUnknown(err) && d.latecomers.lookAgain(ctx, time.Now()) {
		plan, err = d.plan(key)
	}
	for err == nil {
		instance, failed := d.runner.Ensure(ctx, plan)
		started := plan.Hash
		if plan, err = d.plan(key); ctx.Err() != nil || err == nil && plan.Hash == started {
			return instance, failed
		}
	}
	return deploy.Instance{}, err
}

func (d *deployer) find(w http.ResponseWriter, r *http.Request) {
	key, ok := d.question(w, r)
	if !ok {
		return
	}
	instance, found, err := d.runner.Find(r.Context(), key)
	if err != nil {
		d.fail(w, err)
		return
	}
	d.answer(w, http.StatusOK, deploy.Found{Found: found, Instance: instance})
}

func (d *deployer) status(w http.ResponseWriter, r *http.Request) {
	list, err := d.runner.List(r.Context())
	if err != nil {
		d.fail(w, err)
		return
	}
	d.answer(w, http.StatusOK, list)
}

// question reads a key, and answers itself where there is none.
func (d *deployer) question(w http.ResponseWriter, r *http.Request) (deploy.Key, bool) {
	var key deploy.Key
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
	dec.DisallowUnknownFields()
	err := dec.Decode(&key)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err == nil && (key.Server == "" || key.Owner != nil && (key.Owner.Issuer == "" || key.Owner.Subject == "")) {
		err = errors.New("no server is named, or half an owner")
	}
	if err != nil {
		d.log.Warn("not a question", "error", err)
		d.answer(w, http.StatusBadRequest, deploy.Failure{Code: deploy.CodeUnavailable, Message: "The deployer was asked something it does not understand."})
		return key, false
	}
	return key, true
}

// plan is what the catalog says that a key means. The error is a *deploy.StartError.
func (d *deployer) plan(key deploy.Key) (deploy.Plan, error) {
	f := d.files.Load()
	server, ok := f.Catalog.Server(key.Server)
	if !ok || server.Instances.PerUser != (key.Owner != nil) {
		return deploy.Plan{}, &deploy.StartError{Code: deploy.CodeUnknown, Message: "The catalog has no such server."}
	}
	plan, err := deploy.MakePlan(*server, f.Catalog.Filters, deploy.Options{RulesKey: d.public(), Owner: key.Owner,
		Audit: f.Platform.Audit, Sessions: f.Platform.Sessions, Telemetry: f.Platform.Telemetry})
	if err == nil {
		err = handTokens(f.Platform, plan)
	}
	if err != nil {
		d.log.Error("no plan", "server", key.Server, "error", err)
		return plan, &deploy.StartError{Code: deploy.CodeUnavailable, Message: "The server cannot be started as it is configured.",
			RetryAfter: interval, Cause: err}
	}
	return plan, nil
}

func (d *deployer) public() ed25519.PublicKey { return d.key.Public().(ed25519.PublicKey) }

// statuses are what codes are in HTTP.
var statuses = map[deploy.Code]int{
	deploy.CodeUnavailable: http.StatusServiceUnavailable,
	deploy.CodeTimeout:     http.StatusGatewayTimeout,
	deploy.CodeLimit:       http.StatusTooManyRequests,
	deploy.CodeUnknown:     http.StatusNotFound,
}

// fail answers with the public sentence of an error. The runner has logged the cause of those that have one.
func (d *deployer) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) {
		return // whoever asked has gone
	}
	known, ok := errors.AsType[*deploy.StartError](err)
	if !ok {
		d.log.Error("question not answered", "error", err)
		known = deploy.AsStartError(err)
	}
	d.answer(w, statuses[known.Code], deploy.Failure{Code: known.Code, Message: known.Message, RetryAfterMS: known.RetryAfter.Milliseconds()})
}

func (d *deployer) answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, nil
		d.log.Error("answer not written", "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // whoever asked has gone
}
