package lambda

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// startPair starts a gateway, which nothing runs here, that may invoke the deployer and not the private function.
func startPair(t *testing.T, limit int) (*Front, *gate) {
	t.Helper()
	g := newGate(t)
	gateway, deployer := program(t, "puppet", "gateway"), program(t, "handler", "deployer")
	gateway.MayInvoke = []string{"deployer"}
	deployer.Env["GATE"], deployer.Concurrency = g.URL, limit
	return start(t, Config{Function: gateway, Invocable: []Function{deployer, program(t, "handler", "private")}}), g
}

// as is the SDK's client with a function's credentials, which change may change.
func as(fn *function, change func(*credentials.StaticCredentialsProvider)) *sdk.Client {
	keys := credentials.NewStaticCredentialsProvider(fn.keys.id, fn.keys.secret, fn.keys.token)
	if change != nil {
		change(&keys)
	}
	return sdk.New(sdk.Options{Region: region, Credentials: keys, BaseEndpoint: aws.String(fn.invokeAPI), RetryMaxAttempts: 1})
}

func TestInvoke(t *testing.T) {
	front, _ := startPair(t, 0)
	client := as(front.functions["gateway"], nil)
	for _, name := range []string{"deployer", front.functions["deployer"].arn(), front.functions["deployer"].arn() + ":$LATEST"} {
		payload := []byte(`{"path":"/event","server":"x"}`)
		out, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String(name), Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		if _, body, _ := strings.Cut(string(out.Payload), string(delimiter)); body != string(payload) || out.FunctionError != nil || *out.ExecutedVersion != "$LATEST" {
			t.Errorf("%s: %q %v", name, out.Payload, out.FunctionError)
		}
	}
	for path, want := range map[string]string{
		"/error": `{"errorType":"errorString","errorMessage":"told to fail"}`, "/exit": `"errorType":"Runtime.ExitError"`,
		"/panic": `"errorMessage":"told to"`, "/other": "",
	} {
		out, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("deployer"), Payload: []byte(`{"path":"` + path + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if failed := out.FunctionError != nil && *out.FunctionError == "Unhandled"; failed != (want != "") || !strings.Contains(string(out.Payload), want) {
			t.Errorf("%s: %s, %v", path, out.Payload, out.FunctionError)
		}
	}
	if b := front.Bill()["deployer"]; b.Invocations != 7 || b.Failed != 3 {
		t.Errorf("bill: %v", b)
	}
}

// An answer of a direct invocation has at most 6 MiB.
func TestInvokeTooLargeAnswer(t *testing.T) {
	front, _ := startPair(t, 0)
	for size, want := range map[string]string{"6000000": "", "6291457": "Function.ResponseSizeTooLarge"} {
		out, err := as(front.functions["gateway"], nil).Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("deployer"),
			Payload: []byte(`{"path":"/long","queryStringParameters":{"bytes":"` + size + `"}}`)})
		if err != nil {
			t.Fatal(err)
		}
		if (out.FunctionError != nil) != (want != "") || !strings.Contains(string(out.Payload[:100]), want) {
			t.Errorf("%s: %.100q", size, out.Payload)
		}
	}
}

func TestInvokeRefuses(t *testing.T) {
	front, g := startPair(t, 1)
	gateway := front.functions["gateway"]
	first := make(chan error, 1)
	go func() {
		_, err := as(gateway, nil).Invoke(context.Background(), &sdk.InvokeInput{FunctionName: aws.String("deployer"), Payload: []byte(`{"path":"/gated"}`)})
		first <- err
	}()
	eventually(t, "the first runs", func() bool { return front.Bill()["deployer"].Invocations == 1 })
	for name, tc := range map[string]struct {
		as     *sdk.Client
		in     sdk.InvokeInput
		status int
		code   string
	}{
		"unknown":       {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("other")}, 404, "ResourceNotFoundException"},
		"not allowed":   {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("private")}, 403, "AccessDeniedException"},
		"not by itself": {as(front.functions["deployer"], nil), sdk.InvokeInput{FunctionName: aws.String("deployer")}, 403, "AccessDeniedException"},
		"throttled":     {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("deployer")}, 429, "TooManyRequestsException"},
		"no JSON":       {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("deployer"), Payload: []byte("{")}, 400, "InvalidRequestContentException"},
		"too large": {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("deployer"),
			Payload: []byte(strings.Repeat(" ", maxPayload+1))}, 413, "RequestTooLargeException"},
		"event too large": {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("deployer"), InvocationType: types.InvocationTypeEvent,
			Payload: []byte(strings.Repeat(" ", maxEvent) + "1")}, 413, "RequestTooLargeException"},
		"other type": {as(gateway, nil), sdk.InvokeInput{FunctionName: aws.String("deployer"), InvocationType: "Other"}, 400, "InvalidParameterValueException"},
		"wrong secret": {as(gateway, func(k *credentials.StaticCredentialsProvider) { k.Value.SecretAccessKey = "x" }),
			sdk.InvokeInput{FunctionName: aws.String("deployer")}, 403, "InvalidSignatureException"},
		"wrong token": {as(gateway, func(k *credentials.StaticCredentialsProvider) { k.Value.SessionToken = "x" }),
			sdk.InvokeInput{FunctionName: aws.String("deployer")}, 403, "InvalidSignatureException"},
		"unknown key": {as(gateway, func(k *credentials.StaticCredentialsProvider) { k.Value.AccessKeyID = "ASIAXXXX" }),
			sdk.InvokeInput{FunctionName: aws.String("deployer")}, 403, "InvalidSignatureException"},
	} {
		_, err := tc.as.Invoke(t.Context(), &tc.in)
		var api smithy.APIError
		var res interface{ HTTPStatusCode() int }
		if !errors.As(err, &api) || !errors.As(err, &res) || api.ErrorCode() != tc.code || res.HTTPStatusCode() != tc.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.let(t, "end")
	if err := wait(t, first); err != nil {
		t.Error(err)
	}
	if b := front.Bill(); b["deployer"].Throttled != 1 || b["deployer"].Invocations != 1 || b["private"].Invocations != 0 {
		t.Errorf("bills: %v", b)
	}
}

// A signature is of one request at one time.
func TestSignature(t *testing.T) {
	front, _ := startPair(t, 0)
	var sent *http.Request
	client := as(front.functions["gateway"], nil)
	payload := []byte(`{"server":"x"}`)
	_, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("deployer"), Payload: payload}, func(o *sdk.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			sent = r
			return nil, errors.New("not sent")
		})
	})
	if sent == nil {
		t.Fatal(err)
	}
	arrived := httptest.NewRequest("POST", "http://"+sent.URL.Host+sent.URL.RequestURI(), nil)
	arrived.Header, arrived.ContentLength = sent.Header, sent.ContentLength
	at, err := time.Parse("20060102T150405Z", sent.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change  func(r *http.Request)
		payload string
		now     time.Time
		ok      bool
	}{
		"as sent":        {func(*http.Request) {}, string(payload), at, true},
		"4 min later":    {func(*http.Request) {}, string(payload), at.Add(4 * time.Minute), true},
		"6 min later":    {func(*http.Request) {}, string(payload), at.Add(6 * time.Minute), false},
		"6 min earlier":  {func(*http.Request) {}, string(payload), at.Add(-6 * time.Minute), false},
		"other payload":  {func(*http.Request) {}, `{"server":"y"}`, at, false},
		"other path":     {func(r *http.Request) { r.URL.Path = "/2015-03-31/functions/private/invocations" }, string(payload), at, false},
		"other host":     {func(r *http.Request) { r.Host = "example.test" }, string(payload), at, false},
		"with a query":   {func(r *http.Request) { r.URL.RawQuery = "Qualifier=x" }, string(payload), at, false},
		"moved in time":  {func(r *http.Request) { r.Header.Set("X-Amz-Date", at.Add(time.Second).Format("20060102T150405Z")) }, string(payload), at, false},
		"no date":        {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, string(payload), at, false},
		"no signature":   {func(r *http.Request) { r.Header.Del("Authorization") }, string(payload), at, false},
		"other region":   {func(r *http.Request) { replace(r, region, "us-east-1") }, string(payload), at, false},
		"other service":  {func(r *http.Request) { replace(r, "/lambda/", "/s3/") }, string(payload), at, false},
		"host unsigned":  {func(r *http.Request) { replace(r, ";host", "") }, string(payload), at, false},
		"date unsigned":  {func(r *http.Request) { replace(r, ";x-amz-date", "") }, string(payload), at, false},
		"header dropped": {func(r *http.Request) { r.Header.Del("Content-Type") }, string(payload), at, false},
	} {
		r := arrived.Clone(t.Context())
		tc.change(r)
		caller, err := front.authenticate(r, []byte(tc.payload), tc.now)
		if ok := err == nil && caller.Name == "gateway"; ok != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func replace(r *http.Request, old, with string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
}

// An event is answered at once and runs later; a dry run runs nothing.
func TestAsynchronous(t *testing.T) {
	front, g := startPair(t, 0)
	for kind, status := range map[types.InvocationType]int32{types.InvocationTypeEvent: 202, types.InvocationTypeDryRun: 204} {
		out, err := as(front.functions["gateway"], nil).Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("deployer"),
			InvocationType: kind, Payload: []byte(`{"path":"/gated"}`)})
		if err != nil || out.StatusCode != status {
			t.Errorf("%s: %v %v", kind, out, err)
		}
	}
	g.let(t, "fail")
	eventually(t, "its failure is in the log", func() bool {
		return strings.Contains(front.functions["deployer"].Log.(*transcript).String(), "asynchronous invocation: ")
	})
	if b := front.Bill()["deployer"]; b.Invocations != 1 || b.Failed != 1 {
		t.Errorf("bill: %v", b)
	}
	for range maxQueue {
		front.queue <- struct{}{}
	}
	_, err := as(front.functions["gateway"], nil).Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("deployer"), InvocationType: types.InvocationTypeEvent})
	var busy *types.TooManyRequestsException
	if !errors.As(err, &busy) {
		t.Errorf("full queue: %v", err)
	}
}

// A schedule invokes at once and then again.
func TestSchedule(t *testing.T) {
	g := newGate(t)
	deployer := program(t, "handler", "deployer")
	deployer.Env["GATE"] = g.URL
	deployer.Schedule = Schedule{Every: 10 * time.Millisecond, Payload: []byte(`{"path":"/gated"}`)}
	front := start(t, Config{Function: program(t, "puppet", "gateway"), Invocable: []Function{deployer}})
	g.let(t, "end")
	g.let(t, "end")
	if b := front.Bill()["gateway"]; b.Invocations != 0 {
		t.Errorf("bill: %v", b)
	}
}

// Nobody invokes without a secret, whatever the headers hold.
func FuzzAuthenticate(f *testing.F) {
	deployer, err := newFunction(Function{Name: "deployer"}, time.Second)
	if err == nil {
		f.Fatal("a function without a program")
	}
	deployer.keys = roleKeys{id: "ASIAEXAMPLE", secret: "secret", token: "token"} // the same in each process that fuzzes
	front := &Front{functions: map[string]*function{"deployer": deployer}}
	f.Add("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261127/eu-central-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature="+
		strings.Repeat("0", 64), "20261127T000000Z", "/2015-03-31/functions/deployer/invocations", []byte("{}"))
	f.Fuzz(func(t *testing.T, authorization, date, path string, payload []byte) {
		r := httptest.NewRequest("POST", "/", nil)
		r.URL.Path = path
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		r.Header.Set("X-Amz-Security-Token", deployer.keys.token)
		if caller, err := front.authenticate(r, payload, time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)); err == nil || caller != nil {
			t.Errorf("%q is taken for %v's", authorization, caller)
		}
	})
}
