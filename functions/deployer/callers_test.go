package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcpgateway/internal/deploy"
	"mcpgateway/knative/account"
)

// fakeCallers knows tokens by heart.
type fakeCallers map[string]error

func (f fakeCallers) Check(_ context.Context, token string) error {
	err, known := f[token]
	if !known {
		return account.ErrToken
	}
	return err
}

// Over the network nobody is answered but who shows the gateway's token, whatever is asked.
func TestOnlyTheGatewayIsAnswered(t *testing.T) {
	var log bytes.Buffer
	d, runner := newDeployer(&log)
	h := d.only(fakeCallers{"gateway": nil, "other": fmt.Errorf("%w: other", account.ErrAccount), "early": errors.New("no keys yet")}, d.handler())
	for _, question := range []struct{ method, path, body string }{
		{http.MethodPost, deploy.PathEnsure, `{"server":"shared"}`}, {http.MethodPost, deploy.PathFind, `{"server":"shared"}`}, {http.MethodGet, deploy.PathStatus, ""},
		{http.MethodGet, "/nothing", ""},
	} {
		for header, want := range map[string]int{"": 401, "Bearer": 401, "Bearer x": 401, "Basic gateway": 401, "Bearer other": 403, "Bearer early": 503} {
			log.Reset()
			r := httptest.NewRequest(question.method, question.path, strings.NewReader(question.body))
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var told deploy.Failure
			if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Code != want || told.Code == "" || (w.Header().Get("WWW-Authenticate") != "") != (want == 401) {
				t.Errorf("%s of %q: %d %s", question.path, header, w.Code, w.Body)
			}
			if !strings.Contains(log.String(), "status="+fmt.Sprint(want)) || strings.Contains(log.String(), "Bearer x") {
				t.Errorf("%s of %q: the log says %s", question.path, header, &log)
			}
		}
	}
	if len(runner.asked) > 0 {
		t.Errorf("the runner was asked %q", runner.asked)
	}
	r := httptest.NewRequest(http.MethodPost, deploy.PathEnsure, strings.NewReader(`{"server":"shared"}`))
	r.Header.Set("Authorization", "Bearer gateway")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusOK || len(runner.asked) != 1 {
		t.Errorf("the gateway: %d %s", w.Code, w.Body)
	}
}
