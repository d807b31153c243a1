package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/verdict"
)

// Retries. A pause is anything up to a bound that doubles ("full jitter"), so that the many callers of a webhook that
// comes back do not come back together.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// ask returns what the webhook says of a message. An error means that it could not be asked in time, or that its answer
// makes no sense.
func (c *converter) ask(ctx context.Context, message []byte) (verdict.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	id := newID()
	deadline, _ := ctx.Deadline()
	var reason error // of an attempt that had the time to fail by itself
	for bound := firstPause; ; bound = min(2*bound, maxPause) {
		v, err := c.attempt(ctx, id, message)
		var again *retryableError
		if !errors.As(err, &again) {
			return v, err
		}
		if reason == nil || ctx.Err() == nil && time.Until(deadline) > 0 {
			reason = err
		}
		err = reason
		pause := max(again.after, rand.N(bound))
		if ctx.Err() != nil || time.Until(deadline) <= pause {
			return v, fmt.Errorf("%w, and no time is left to try again", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return v, err
		}
	}
}

// retryableError is of an attempt that another may succeed.
type retryableError struct {
	cause error
	after time.Duration // the least that the webhook asks to wait
}

func (e *retryableError) Error() string { return e.cause.Error() }
func (e *retryableError) Unwrap() error { return e.cause }

func (c *converter) attempt(ctx context.Context, id string, message []byte) (verdict.Verdict, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.String(), bytes.NewReader(message))
	if err != nil {
		return verdict.Verdict{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "mcpgateway-webhook")
	telemetry.Leave(ctx, r.Header) // it names the shim's span: the converter has none
	c.signer.sign(r.Header, id, time.Now(), message)
	resp, err := c.client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return verdict.Verdict{}, fmt.Errorf("no answer in time: %w", err)
		}
		return verdict.Verdict{}, &retryableError{cause: err}
	}
	defer resp.Body.Close()
	if s := resp.StatusCode; s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout {
		return verdict.Verdict{}, &retryableError{cause: fmt.Errorf("the webhook answered %d", s), after: retryAfter(resp.Header, time.Now())}
	}
	return readAnswer(resp, verdict.Answer(int64(len(message))))
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), seconds or a date; 0 where there is none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 20); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
