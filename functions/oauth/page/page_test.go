package page

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func asked() Consent {
	return Consent{ID: "q-1", Client: "Claude", Assured: true, Host: "claude.ai", Redirect: "https://claude.ai/api/mcp/auth_callback",
		Server: "https://gw.example/mcp-connect/notes", Scope: "mcp offline_access", Person: "Alice", Provider: "login.example"}
}

// written is the page and its policy.
func written(write func(*httptest.ResponseRecorder)) (body, csp string) {
	w := httptest.NewRecorder()
	write(w)
	return w.Body.String(), w.Header().Get("Content-Security-Policy")
}

func consent(c Consent) (body, csp string) {
	return written(func(w *httptest.ResponseRecorder) { WriteConsent(w, c) })
}

// What a person decides by is on the page: who asks, where they go on, for which server, as whom.
func TestConsent(t *testing.T) {
	body, _ := consent(asked())
	for _, want := range []string{"<h1>Allow “Claude” to use a server as you?</h1>", "<dd>Alice, signed in at login.example</dd>",
		"<dd>https://gw.example/mcp-connect/notes</dd>", "<dd>Claude, of claude.ai</dd>", "<dd>claude.ai</dd>", "(scope mcp offline_access)", `name="question" value="q-1"`,
		`<form method="post" action="/consent">`, `name="answer" value="allow">Allow<`, `name="answer" value="deny">Do not allow<`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	if strings.Contains(body, `class="warning"`) {
		t.Error("warns of a client that is known")
	}
}

func TestConsentWarns(t *testing.T) {
	c := asked()
	c.Assured, c.Host, c.Redirect, c.Local = false, "", "http://127.0.0.1:4711/cb", true
	body, _ := consent(c)
	for _, want := range []string{"nobody has checked it", "<dd>127.0.0.1:4711 (a program on your own machine)</dd>", "<dd>Claude</dd>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
}

func TestWhere(t *testing.T) {
	for uri, want := range map[string]string{"https://a.example/cb": "a.example", "http://localhost:1/cb": "localhost:1",
		"cursor://anysphere.cursor-mcp/cb": "cursor:", "https://%zz/": ""} {
		if got := (Consent{Redirect: uri}).Where(); got != want {
			t.Errorf("%s: %q", uri, got)
		}
	}
}

// The answer may lead to the client's place, and no form to any other.
func TestFormAction(t *testing.T) {
	for uri, want := range map[string]string{
		"https://a.example/cb?x=1":         "form-action 'self' https://a.example;",
		"https://a.example:8443/cb":        "form-action 'self' https://a.example:8443;",
		"http://127.0.0.1:4711/cb":         "form-action 'self' http://127.0.0.1:4711;",
		"cursor://anysphere.cursor-mcp/cb": "form-action 'self' cursor:;",
		"http://[::1]:4711/cb":             "form-action 'self' http:;",
		"https://%zz/":                     "form-action 'self' ;",
	} {
		c := asked()
		c.Redirect = uri
		if _, csp := consent(c); !strings.Contains(csp, want) {
			t.Errorf("%s: %s", uri, csp)
		}
	}
	if _, csp := problem(Problem{}); !strings.Contains(csp, "form-action 'none';") {
		t.Error(csp)
	}
}

func problem(p Problem) (body, csp string) {
	return written(func(w *httptest.ResponseRecorder) { WriteProblem(w, 400, p) })
}

func TestProblem(t *testing.T) {
	body, _ := problem(Problem{Title: "This does not work", Text: "Start again.", ID: "ABC"})
	for _, want := range []string{"<title>This does not work</title>", "<h1>This does not work</h1>", "<p>Start again.</p>", "under ABC in the log"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	if body, _ := problem(Problem{Title: "x"}); strings.Contains(body, "in the log") {
		t.Error("an id that there is not")
	}
}

// Nothing that a client or a provider says becomes markup.
func TestEscaped(t *testing.T) {
	const evil = `<script>alert(1)</script>"'>&amp;{{.}}`
	c := Consent{ID: evil, Client: evil, Host: evil, Redirect: "https://a.example/" + evil, Server: evil, Scope: evil, Person: evil, Provider: evil}
	first, _ := consent(c)
	second, _ := problem(Problem{Title: evil, Text: evil, ID: evil})
	for _, body := range []string{first, second} {
		if strings.Contains(body, "<script") || strings.Contains(body, `"'>`) {
			t.Error(body)
		}
	}
	if n := strings.Count(html.UnescapeString(first), evil); n != 8 {
		t.Errorf("it is shown %d times: %s", n, first)
	}
}

var styleElement = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

// The one style is let through by its hash; nothing is loaded or run, and nobody shows the page in a frame.
func TestProtect(t *testing.T) {
	for name, write := range map[string]func(*httptest.ResponseRecorder){
		"consent": func(w *httptest.ResponseRecorder) { WriteConsent(w, asked()) },
		"problem": func(w *httptest.ResponseRecorder) { WriteProblem(w, 400, Problem{Title: "x"}) },
	} {
		w := httptest.NewRecorder()
		write(w)
		styles := styleElement.FindAllStringSubmatch(w.Body.String(), -1)
		if len(styles) != 1 {
			t.Fatalf("%s: %d styles", name, len(styles))
		}
		sum := sha256.Sum256([]byte(styles[0][1]))
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';", "; frame-ancestors 'none'", "; base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q lacks %s", name, csp, want)
			}
		}
		for header, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8"} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %q", name, header, got)
			}
		}
		if regexp.MustCompile(`(?i)<script|<link|<img|<iframe|src=|style=|\son\w+=`).MatchString(w.Body.String()) {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
}

// What a screen reader and a phone need of every page.
func TestAccessible(t *testing.T) {
	first, _ := consent(asked())
	second, _ := problem(Problem{Title: "x"})
	for _, body := range []string{first, second} {
		for _, want := range []string{"<!DOCTYPE html>", `<html lang="en">`, `name="viewport" content="width=device-width, initial-scale=1"`, "<title>", "<main>"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s is missing in %s", want, body)
			}
		}
		if strings.Count(body, "<h1>") != 1 || strings.Contains(body, "tabindex") {
			t.Error(body)
		}
	}
}
