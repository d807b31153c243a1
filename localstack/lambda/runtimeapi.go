package lambda

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const runtimeAPI = "/2018-06-01/runtime/"

// Trailers by which a runtime says that an answer broke off. The body is base64 of a failure.
const (
	trailerErrorType = "Lambda-Runtime-Function-Error-Type"
	trailerErrorBody = "Lambda-Runtime-Function-Error-Body"
)

// runtimeRoutes is the Runtime API of one instance: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (in *instance) runtimeRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimeAPI+"invocation/next", in.next)
	mux.HandleFunc("POST "+runtimeAPI+"invocation/{id}/response", in.response)
	mux.HandleFunc("POST "+runtimeAPI+"invocation/{id}/error", in.failed)
	mux.HandleFunc("POST "+runtimeAPI+"init/error", in.initFailed)
	return mux
}

// next waits for an invocation. An instance that asks before it has answered is refused.
func (in *instance) next(w http.ResponseWriter, r *http.Request) {
	if !in.asks() {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the invocation before has not been answered")
		return
	}
	select {
	case inv := <-in.invocations:
		in.f.mu.Lock()
		inv.delivered = true
		in.f.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", in.f.arn())
		h.Set("Lambda-Runtime-Trace-Id", inv.trace)
		w.Write(inv.payload) //nolint:errcheck // the instance is gone, which is seen elsewhere
	case <-r.Context().Done():
	case <-in.dead:
	}
}

// response hands the answer over while it comes, and returns when it has been taken whole.
func (in *instance) response(w http.ResponseWriter, r *http.Request) {
	in.answer(w, r, &answer{contentType: r.Header.Get("Content-Type"), body: r.Body,
		trailer: func() http.Header { return r.Trailer }})
}

// failed takes the runtime's report that the function returned an error.
func (in *instance) failed(w http.ResponseWriter, r *http.Request) {
	why, ok := readFailure(w, r)
	if ok {
		in.answer(w, r, &answer{failure: why})
	}
}

func (in *instance) answer(w http.ResponseWriter, r *http.Request, a *answer) {
	inv, status := in.claim(r.PathValue("id"))
	if inv == nil {
		refuse(w, status, map[int]string{http.StatusBadRequest: "InvalidRequestID", http.StatusForbidden: "InvalidStateTransition"}[status],
			"no invocation of that id waits for an answer")
		return
	}
	a.deadline, a.received = inv.deadline, make(chan error, 1)
	select {
	case inv.answers <- a:
	case <-inv.over:
		return
	}
	if err := <-a.received; errors.Is(err, errTooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "Function.ResponseSizeTooLarge", "the answer is longer than allowed")
		return
	}
	accept(w)
}

// claim finds the invocation that an answer is for: there is one answer for each.
func (in *instance) claim(id string) (*invocation, int) {
	in.f.mu.Lock()
	defer in.f.mu.Unlock()
	switch inv := in.current; {
	case inv == nil || inv.id != id:
		return nil, http.StatusBadRequest
	case inv.claimed || !inv.delivered:
		return nil, http.StatusForbidden
	default:
		inv.claimed = true
		return inv, 0
	}
}

// initFailed takes the runtime's report that it cannot begin.
func (in *instance) initFailed(w http.ResponseWriter, r *http.Request) {
	why, ok := readFailure(w, r)
	if !ok {
		return
	}
	if !in.reported.CompareAndSwap(false, true) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "init has failed before")
		return
	}
	accept(w)
	http.NewResponseController(w).Flush() //nolint:errcheck // the instance is gone
	in.initError <- why                   // ends it, and with it this connection
}

// readFailure reads an error's report; what is no such report is one of an unknown type.
func readFailure(w http.ResponseWriter, r *http.Request) (*failure, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "an error has at most 6 MiB")
		return nil, false
	}
	why := &failure{}
	if json.Unmarshal(body, why) != nil || why.Type == "" {
		why = &failure{Type: "Function.Unknown", Message: why.Message}
		if kind := r.Header.Get(trailerErrorType); kind != "" {
			why.Type = kind
		}
	}
	return why, true
}

func accept(w http.ResponseWriter) {
	const body = `{"status":"OK"}` + "\n"
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, body) //nolint:errcheck // the instance is gone
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(failure{Type: kind, Message: message}) //nolint:errcheck // the instance is gone
}
