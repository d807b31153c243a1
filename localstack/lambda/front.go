// Package lambda runs functions on this machine as AWS Lambda would: a front that turns HTTP requests into events, and a
// Runtime API from which the functions' processes take them. It is how the project sees its functions stream, be frozen,
// time out and cost, without an account.
//
//	front, err := lambda.Start(ctx, lambda.Config{
//		Function: lambda.Function{Name: "gateway", Program: "bin/gateway", Env: map[string]string{"PLATFORM": "…"},
//			Timeout: 15 * time.Minute, MayInvoke: []string{"deployer"}},
//		Invocable: []lambda.Function{{Name: "deployer", Program: "bin/deployer",
//			Schedule: lambda.Schedule{Every: time.Minute, Payload: []byte(`{}`)}}},
//	})
//	defer front.Close()
//	http.Get(front.URL() + "/healthz") // through Config.Function
//	front.Bill()["gateway"].Billed     // what AWS would have billed
//
// An instance is one process: it handles one invocation at a time, is stopped (SIGSTOP) between two, is killed at the
// deadline of an invocation, and starts with Lambda's environment and Function.Env, with nothing of ours. It finds the
// Invoke API in AWS_ENDPOINT_URL_LAMBDA, which the SDK's config.LoadDefaultConfig reads, and credentials of its own.
// Function.Log gets its lines, and a REPORT line for each invocation.
//
// What the documentation of AWS does not say, and is as strict here as it could be: names and values of headers that
// HTTP does not allow are a 502, as is a status below 200 or above 599; a prelude of function URLs has the 16 KiB of API
// Gateway's; a request's line and headers 10,240 bytes, also API Gateway's. A function URL's path arrives as it was sent.
// What it does not do: retry asynchronous invocations, limit memory and processor, Lambda's extensions.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Config says what to run. Where fields are zero, it is what AWS does.
type Config struct {
	// Function is the one behind the URL.
	Function Function
	// Invocable are functions that only the Invoke API and schedules reach.
	Invocable []Function
	// Address is where the URL listens; any port of 127.0.0.1 where empty.
	Address string
	// Events says which AWS front this is.
	Events EventKind
	// BinaryMediaTypes has a REST API take every body for binary, as one does with binaryMediaTypes */*.
	BinaryMediaTypes bool
	// RemapAuthenticate gives clients x-amzn-remapped-www-authenticate in the place of WWW-Authenticate.
	RemapAuthenticate bool
	// LagOneChunk holds each chunk back until the next one is written, or the answer ends; status and headers wait for the
	// first.
	LagOneChunk bool
	// Limits are for tests that cannot wait for those of AWS.
	Limits Limits
}

// EventKind is the front that makes the events.
type EventKind int

// The kinds.
const (
	FunctionURL EventKind = iota // payload format 2.0, InvokeMode RESPONSE_STREAM
	RESTAPI                      // API Gateway REST API, a proxy integration with responseTransferMode STREAM
)

// Limits are Lambda's where zero.
type Limits struct {
	Response int64         // bytes of an answer: 200 MiB
	Burst    int64         // bytes of an answer that are sent as fast as they come: 6 MiB, a REST API's 10 MB
	Rate     int64         // bytes a second after that: 2 MiB
	Init     time.Duration // until the first request for an invocation: 10 s
	Gap      time.Duration // longest silence within an answer: a REST API's 5 min, none for a function URL
}

const (
	maxPayload = 6 << 20 // bytes of an event, and of an answer that is not streamed
	maxEvent   = 1 << 20 // bytes of an event of an asynchronous invocation
	maxHeaders = 10240   // bytes of request line and headers: quota of API Gateway
	maxQueue   = 1000    // asynchronous invocations that wait or run

	maxConnections = 4096 // of clients: each may make the front keep a payload
)

// fill puts in what AWS does.
func (l *Limits) fill(kind EventKind) {
	defaults := Limits{Response: 200 << 20, Burst: 6 << 20, Rate: 2 << 20, Init: 10 * time.Second}
	if kind == RESTAPI {
		defaults.Burst, defaults.Gap = 10_000_000, 5*time.Minute
	}
	for value, standard := range map[*int64]int64{
		&l.Response: defaults.Response, &l.Burst: defaults.Burst, &l.Rate: defaults.Rate,
	} {
		if *value == 0 {
			*value = standard
		}
	}
	if l.Init == 0 {
		l.Init = defaults.Init
	}
	if l.Gap == 0 {
		l.Gap = defaults.Gap
	}
}

// Front runs the functions of a Config.
type Front struct {
	config    Config
	public    *function
	functions map[string]*function
	url, api  *http.Server
	at        net.Addr      // the URL's
	queue     chan struct{} // a place for each asynchronous invocation
	ctx       context.Context
	closing   sync.Once

	mu   sync.Mutex         // over the start of work
	end  context.CancelFunc // with mu: after it no work starts
	work sync.WaitGroup     // schedules and asynchronous invocations
}

// Start starts the front. No function's process starts before it is invoked. The front ends with ctx, or by Close.
func Start(ctx context.Context, c Config) (*Front, error) {
	c.Limits.fill(c.Events)
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	f := &Front{config: c, functions: map[string]*function{}, queue: make(chan struct{}, maxQueue)}
	var problems []error
	for _, described := range append([]Function{c.Function}, c.Invocable...) {
		fn, err := newFunction(described, c.Limits.Init)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if f.functions[fn.Name] != nil {
			problems = append(problems, fmt.Errorf("function %s: given twice", fn.Name))
		}
		f.functions[fn.Name] = fn
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	f.public = f.functions[c.Function.Name]
	f.ctx, f.end = context.WithCancel(ctx)
	if err := f.listen(); err != nil {
		f.end()
		return nil, err
	}
	for _, fn := range f.functions {
		if fn.Schedule.Every > 0 {
			f.work.Go(func() { f.repeat(fn) })
		}
	}
	context.AfterFunc(f.ctx, f.Close)
	return f, nil
}

// listen opens both doors, and tells the functions where the Invoke API is.
func (f *Front) listen() error {
	url, err := net.Listen("tcp", f.config.Address)
	if err != nil {
		return fmt.Errorf("listen for the function's URL: %w", err)
	}
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		url.Close()
		return fmt.Errorf("listen for the Invoke API: %w", err)
	}
	f.at = url.Addr()
	for _, fn := range f.functions {
		fn.invokeAPI = "http://" + api.Addr().String()
	}
	f.url = serve(netutil.LimitListener(url, maxConnections), http.HandlerFunc(f.serveURL), 5*time.Minute)
	f.api = serve(api, f.invokeRoutes(), 5*time.Minute)
	return nil
}

// serve serves with the bounds that hold for every door of the front. Connections that are idle for too long are closed;
// none where 0.
func serve(l net.Listener, h http.Handler, idle time.Duration) *http.Server {
	s := &http.Server{Handler: h, MaxHeaderBytes: maxHeaders, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idle}
	go s.Serve(l) //nolint:errcheck // it ends by Close
	return s
}

// URL is the base of the function's URL, without a slash at the end.
func (f *Front) URL() string { return "http://" + f.at.String() }

// Bill says, for each function, what it would have cost until now.
func (f *Front) Bill() map[string]Bill {
	bills := map[string]Bill{}
	for name, fn := range f.functions {
		bills[name] = fn.account()
	}
	return bills
}

// Reclaim ends the instances that are idle, as Lambda does when it likes: the next invocation is cold.
func (f *Front) Reclaim() {
	for _, fn := range f.functions {
		fn.reclaim()
	}
}

// Close ends all that runs at once, and returns when it has ended.
func (f *Front) Close() {
	f.closing.Do(func() {
		f.mu.Lock()
		f.end()
		f.mu.Unlock()
		f.url.Close()
		f.api.Close()
		for _, fn := range f.functions {
			fn.close()
		}
	})
	f.work.Wait()
}

// named finds a function by its name or ARN, with or without a version.
func (f *Front) named(name string) *function {
	if _, after, isARN := strings.Cut(name, ":function:"); isARN {
		name = after
	}
	name, _, _ = strings.Cut(name, ":")
	return f.functions[name]
}
