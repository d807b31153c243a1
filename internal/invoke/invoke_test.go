package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/deploy"
)

// function is the Invoke API with one function behind it.
func function(t *testing.T, answer func(w http.ResponseWriter, asked string)) *deploy.Client {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/2015-03-31/functions/deployer/invocations" || !strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256") {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer(w, string(asked))
	}))
	t.Cleanup(api.Close)
	return deploy.NewClientOver(New("deployer", configOf(api.URL)))
}

func configOf(url string) aws.Config {
	return aws.Config{Region: "eu-central-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"}, nil
		})}
}

func reply(status int, answer any) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		text, _ := json.Marshal(answer)
		_ = json.NewEncoder(w).Encode(deploy.Reply{Status: status, Answer: text})
	}
}

func TestAnswers(t *testing.T) {
	key := deploy.Key{Server: "github", Owner: &deploy.Owner{Issuer: "https://issuer.test", Subject: "alice"}}
	want := deploy.Instance{ID: "one", URL: "http://ingress.test", Host: "github.example.test", Cold: true}
	c := function(t, func(w http.ResponseWriter, asked string) {
		if diff := cmp.Diff(`{"path":"/ensure","question":{"server":"github","owner":{"issuer":"https://issuer.test","subject":"alice"}}}`, asked); diff != "" {
			t.Error(diff)
		}
		reply(200, want)(w, asked)
	})
	got, err := c.Ensure(t.Context(), key)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	c = function(t, reply(200, []deploy.Status{{ID: "one"}}))
	if list, err := c.Status(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("status: %v, %v", list, err)
	}
	c = function(t, reply(504, deploy.Failure{Code: deploy.CodeTimeout, Message: "Not in time."}))
	var known *deploy.StartError
	if _, err := c.Ensure(t.Context(), key); !errors.As(err, &known) || known.Code != deploy.CodeTimeout || known.Message != "Not in time." {
		t.Errorf("a failure: %v", err)
	}
}

// What is no answer of the deployer's says nothing of any instance.
func TestNoAnswers(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, string){
		"throttled": func(w http.ResponseWriter, _ string) {
			w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
			w.WriteHeader(429)
		},
		"failed": func(w http.ResponseWriter, _ string) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = io.WriteString(w, `{"errorMessage":"secret","status":200,"answer":{"id":"one"}}`)
		},
		"another function": func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, `"hello"`) },
		"nothing":          func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, `null`) },
	} {
		_, err := function(t, answer).Ensure(t.Context(), deploy.Key{Server: "github"})
		if !errors.Is(err, deploy.ErrAway) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	over := make(chan struct{})
	slow := function(t, func(http.ResponseWriter, string) { <-over })
	if _, err := slow.Ensure(ctx, deploy.Key{Server: "github"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	close(over)
}

// What may pass is asked again, as often as the configuration says, and what may not is not.
func TestAskedAgain(t *testing.T) {
	for _, c := range []struct {
		status, attempts int
		asked            int32
	}{{429, 3, 3}, {500, 2, 2}, {403, 3, 1}, {200, 3, 1}} {
		var asked atomic.Int32
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(c.status)
		}))
		config := configOf(api.URL)
		config.RetryMaxAttempts = c.attempts
		_, err := deploy.NewClientOver(New("deployer", config)).Ensure(t.Context(), deploy.Key{Server: "github"})
		api.Close()
		if !errors.Is(err, deploy.ErrAway) || asked.Load() != c.asked {
			t.Errorf("%d: asked %d times, %v", c.status, asked.Load(), err)
		}
	}
}

// A connection from before the process was frozen, whose other end takes nothing any more, fails no question.
func TestStaleConnection(t *testing.T) {
	var known sync.Map
	var stale atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, again := known.LoadOrStore(r.RemoteAddr, true); again {
			stale.Add(1)
			panic(http.ErrAbortHandler)
		}
		reply(200, deploy.Instance{ID: "one"})(w, "")
	}))
	defer api.Close()
	c := deploy.NewClientOver(New("deployer", configOf(api.URL)))
	for range 2 {
		if _, err := c.Ensure(t.Context(), deploy.Key{Server: "github"}); err != nil {
			t.Error(err)
		}
	}
	if stale.Load() != 1 {
		t.Errorf("%d questions met an old connection", stale.Load())
	}
}

// Where a function is depends on its region.
func TestWhere(t *testing.T) {
	for region, want := range map[string]string{"eu-central-1": "https://lambda.eu-central-1.amazonaws.com/", "cn-north-1": "https://lambda.cn-north-1.amazonaws.com.cn/"} {
		if at := New("deployer", aws.Config{Region: region}).at; at != want+"2015-03-31/functions/deployer/invocations" {
			t.Errorf("%s: %s", region, at)
		}
	}
}

// What a configuration has around the operations of the SDK's clients is around this one, too, and may refuse it.
func TestSeenByTheConfiguration(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("invoked") }))
	defer api.Close()
	c := configOf(api.URL)
	refused := errors.New("refused")
	c.APIOptions = append(c.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("see", func(ctx context.Context, _ middleware.FinalizeInput,
			_ middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if service, operation := middleware.GetServiceID(ctx), middleware.GetOperationName(ctx); service != "Lambda" || operation != "Invoke" {
				t.Errorf("seen as %s of %s", operation, service)
			}
			return middleware.FinalizeOutput{}, middleware.Metadata{}, refused
		}), middleware.After)
	})
	if _, err := deploy.NewClientOver(New("deployer", c)).Ensure(t.Context(), deploy.Key{Server: "github"}); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}
