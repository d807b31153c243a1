package lambda

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// bodyTime bounds how long a request may take to arrive.
const bodyTime = time.Minute

// serveURL is one request through the function's URL.
func (f *Front) serveURL(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) //nolint:errcheck // net/http's own writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		err = errTooLarge
	} else if err != nil {
		panic(http.ErrAbortHandler) // half a request
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{}) //nolint:errcheck // see above
	trace := newTrace()
	var payload []byte
	if err == nil {
		payload, err = f.config.event(r, body, trace)
	}
	c := &client{front: f, w: w}
	if err == nil {
		err = f.public.invoke(payload, trace, c.receive)
	}
	switch {
	case c.broken:
		panic(http.ErrAbortHandler) // no end may look like one
	case err != nil && !c.begun:
		f.refuseURL(w, err)
	}
}

// refuseURL answers where no function did.
func (f *Front) refuseURL(w http.ResponseWriter, err error) {
	status, kind, text := http.StatusBadGateway, "InternalServerErrorException", `{"message":"Internal server error"}`
	if f.config.Events == FunctionURL {
		text = "Internal Server Error"
	}
	switch {
	case errors.Is(err, errTooLarge):
		status, kind, text = http.StatusRequestEntityTooLarge, "RequestTooLargeException", `{"message":"Request Entity Too Large"}`
	case errors.Is(err, errThrottled):
		status, kind, text = http.StatusTooManyRequests, "TooManyRequestsException",
			`{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	io.WriteString(w, text) //nolint:errcheck // the client has left
}
