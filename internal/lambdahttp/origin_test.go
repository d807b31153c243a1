package lambdahttp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// asked is an event of a function URL with headers.
func asked(headers map[string]string) string {
	all := map[string]string{"host": "fn.lambda-url.test"}
	for k, v := range headers {
		all[k] = v
	}
	text, _ := json.Marshal(all)
	return `{"version":"2.0","rawPath":"/x","rawQueryString":"","headers":` + string(text) +
		`,"requestContext":{"domainName":"fn.lambda-url.test","http":{"method":"GET","path":"/x","protocol":"HTTP/1.1","sourceIp":"203.0.113.9"}}}`
}

// tell answers with what a handler learns of who asks.
func tell(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Host, " ", r.RemoteAddr, " ", len(r.Header["X-Origin-Secret"])+len(r.Header["X-Viewer-Host"])+len(r.Header["X-Viewer-Ip"]))
}

func TestOrigin(t *testing.T) {
	one, two := strings.Repeat("1", 48), strings.Repeat("2", 48)
	viewer := map[string]string{"x-viewer-host": "gateway.example.com", "x-viewer-ip": "2001:db8::7"}
	with := func(secret string) map[string]string {
		return map[string]string{"x-origin-secret": secret, "x-viewer-host": viewer["x-viewer-host"], "x-viewer-ip": viewer["x-viewer-ip"]}
	}
	for name, c := range map[string]struct {
		secrets string
		headers map[string]string
		status  int
		body    string
	}{
		"nobody guards it":             {"", viewer, 200, "fn.lambda-url.test 203.0.113.9:0 0"},
		"the front":                    {one + "," + two, with(one), 200, "gateway.example.com [2001:db8::7]:0 0"},
		"the front with the other":     {one + "," + two, with(two), 200, "gateway.example.com [2001:db8::7]:0 0"},
		"a client past the front":      {one, viewer, 403, "not for clients"},
		"a wrong secret":               {one, with(two), 403, "not for clients"},
		"an empty secret":              {one, with(""), 403, "not for clients"},
		"both at once":                 {one + "," + two, with(one + "," + two), 403, "not for clients"},
		"the front says no host":       {one, map[string]string{"x-origin-secret": one}, 200, "fn.lambda-url.test 203.0.113.9:0 0"},
		"the front says what is none":  {one, map[string]string{"x-origin-secret": one, "x-viewer-host": "a b", "x-viewer-ip": "somewhere"}, 200, "fn.lambda-url.test 203.0.113.9:0 0"},
		"one secret in another's case": {strings.ToUpper(strings.Repeat("a", 48)), with(strings.Repeat("a", 48)), 403, "not for clients"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(secretsVariable, c.secrets)
			got := invoke(t, tell, asked(c.headers))
			if got.StatusCode != c.status || !strings.Contains(got.body, c.body) {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	}
}

func TestOriginSecretsAreLong(t *testing.T) {
	for _, secrets := range []string{"short", strings.Repeat("1", 48) + ",", strings.Repeat("1", 31)} {
		t.Setenv(secretsVariable, secrets)
		if _, err := New(Config{Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)}); err == nil || strings.Contains(err.Error(), secrets) {
			t.Errorf("%v", err)
		}
	}
}
