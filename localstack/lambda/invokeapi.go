package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// invokeRoutes is Lambda's Invoke API, which one function reaches another by:
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (f *Front) invokeRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", f.serveInvoke)
	return mux
}

func (f *Front) serveInvoke(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		refuseAPI(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "the payload has more than 6291456 bytes")
		return
	}
	caller, err := f.authenticate(r, payload, time.Now())
	if err != nil {
		refuseAPI(w, http.StatusForbidden, "InvalidSignatureException", err.Error())
		return
	}
	fn := f.named(r.PathValue("name"))
	switch {
	case fn == nil:
		refuseAPI(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("name"))
	case !slices.Contains(caller.MayInvoke, fn.Name):
		refuseAPI(w, http.StatusForbidden, "AccessDeniedException", fmt.Sprintf(
			"User: %s is not authorized to perform: lambda:InvokeFunction on resource: %s", caller.arn(), fn.arn()))
	case len(payload) > 0 && !json.Valid(payload):
		refuseAPI(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
	default:
		f.serveTyped(w, r.Header.Get("X-Amz-Invocation-Type"), fn, payload)
	}
}

// serveTyped serves the invocation types.
func (f *Front) serveTyped(w http.ResponseWriter, kind string, fn *function, payload []byte) {
	switch kind {
	case "", "RequestResponse":
		f.serveCall(w, fn, payload)
	case "Event":
		if len(payload) > maxEvent {
			refuseAPI(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "an event has more than 1048576 bytes")
		} else if !f.enqueue(fn, payload) {
			refuseAPI(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
		} else {
			w.WriteHeader(http.StatusAccepted)
		}
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuseAPI(w, http.StatusBadRequest, "InvalidParameterValueException", "unknown invocation type")
	}
}

// serveCall waits for the answer. A function's own failure is a 200 with a header that says so.
func (f *Front) serveCall(w http.ResponseWriter, fn *function, payload []byte) {
	var answered bytes.Buffer
	err := fn.invoke(payload, newTrace(), func(a *answer) error { return collect(&answered, a) })
	if errors.Is(err, errThrottled) {
		refuseAPI(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
		return
	}
	if err != nil {
		var why *failure
		if !errors.As(err, &why) {
			why = &failure{Type: "Function.ResponseSizeTooLarge", Message: err.Error()}
		}
		answered.Reset()
		json.NewEncoder(&answered).Encode(why) //nolint:errcheck // a buffer takes it
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", version)
	w.Write(answered.Bytes()) //nolint:errcheck // the caller has left
}

// collect takes an answer whole.
func collect(to *bytes.Buffer, a *answer) error {
	if _, err := io.Copy(to, io.LimitReader(a.body, maxPayload+1)); err != nil {
		return &failure{Type: "Runtime.ExitError", Message: err.Error()}
	}
	if to.Len() > maxPayload {
		return errTooLarge
	}
	return brokenOff(a.trailer())
}

// enqueue invokes asynchronously, and once: what fails is in the log. It is false where too many wait, or the front is closed.
func (f *Front) enqueue(fn *function, payload []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return false
	}
	select {
	case f.queue <- struct{}{}:
	default:
		return false
	}
	f.work.Go(func() {
		defer func() { <-f.queue }()
		var ignored bytes.Buffer
		if err := fn.invoke(payload, newTrace(), func(a *answer) error { return collect(&ignored, a) }); err != nil {
			fn.print("asynchronous invocation: " + err.Error())
		}
	})
	return true
}

// repeat invokes by the function's schedule.
func (f *Front) repeat(fn *function) {
	ticks := time.NewTicker(fn.Schedule.Every)
	defer ticks.Stop()
	for {
		if !f.enqueue(fn, fn.Schedule.Payload) {
			fn.print("schedule: an invocation was left out")
		}
		select {
		case <-ticks.C:
		case <-f.ctx.Done():
			return
		}
	}
}

func refuseAPI(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"Type": "User", "message": message}) //nolint:errcheck // the caller has left
}
