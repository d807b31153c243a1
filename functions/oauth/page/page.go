// Package page makes the pages of the authorization server: what a client asks for, a person's API keys, and what went wrong.
//
// They are plain HTML without script, good to read with a screen reader and on a phone. No page of anybody else's can show
// them in a frame, and nothing is loaded from anywhere.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed style.css
var style string

//go:embed pages.html
var source string

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(style) }}).Parse(source))

// styleHash lets that style be used and no other (CSP level 2).
var styleHash = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// Consent is what a person is asked.
type Consent struct {
	ID       string // of the question
	Client   string // the name that the client gives itself, or its id
	Assured  bool   // whether somebody vouches for that
	Host     string // where the document of the client lies; may be empty
	Redirect string // the redirect URI
	Local    bool   // whether that is on the person's machine
	Server   string // the server's URL
	Scope    string
	Person   string
	Provider string
}

// Where is the host to which the person goes on, or the scheme of a program.
func (c Consent) Where() string {
	u, err := url.Parse(c.Redirect)
	if err != nil {
		return ""
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return u.Scheme + ":"
	}
	return u.Host
}

// WriteConsent writes the question. The form may lead on to the redirect URI's place and nowhere else: browsers hold
// form-action also to what the answer redirects to.
func WriteConsent(w http.ResponseWriter, c Consent) {
	write(w, http.StatusOK, "consent", "'self' "+place(c.Redirect), c)
}

// place names that of a redirect URI for a policy, which has no words for an address of IPv6 (CSP level 3 section
// 2.3.1): the scheme must do then.
func place(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil:
		return ""
	case u.Scheme != "http" && u.Scheme != "https" || strings.HasPrefix(u.Host, "["):
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// Keys are a person's API keys.
type Keys struct {
	Person   string
	Provider string
	List     []Key
	Servers  []string // that a new key can be for
	Days     []int    // that it may last
	New      string   // a key that was just made: it is shown this once
	Problem  string   // why none was made
}

// Key is one of them.
type Key struct {
	ID, Label, Servers string
	Made, Ends         time.Time
}

// Date is how a time is shown: in a form that reads alike everywhere.
func (k Key) Date(t time.Time) string { return t.UTC().Format("2 January 2006") }

// WriteKeys writes the page on which a person looks after their keys.
func WriteKeys(w http.ResponseWriter, k Keys) { write(w, http.StatusOK, "keys", "'self'", k) }

// Accounts are a person's accounts at servers.
type Accounts struct {
	Person   string
	Provider string
	List     []Account
	Others   []string // servers at which they may connect one
	Problem  string   // of the last thing that they did
}

// Account is one of them.
type Account struct {
	Server string
	At     string // the host of the server's sign-in
	Made   time.Time
}

// Date is how a time is shown.
func (Account) Date(t time.Time) string { return Key{}.Date(t) }

// WriteAccounts writes the page on which a person looks after their accounts.
func WriteAccounts(w http.ResponseWriter, a Accounts) {
	write(w, http.StatusOK, "accounts", "'self'", a)
}

// Connect asks a person to connect their account at a server.
type Connect struct {
	Server   string
	Person   string
	Provider string
	At       string // the host of the server's sign-in
	Go       string // leads there; empty where it cannot be found now
	Skip     string // leads back to the client; empty where none waits
	Problem  string // of the last attempt
	ID       string // under which the log has why it cannot be found
}

// WriteConnect writes the question.
func WriteConnect(w http.ResponseWriter, c Connect) {
	write(w, http.StatusOK, "connect", "'none'", c)
}

// Problem is what went wrong, and what to do next.
type Problem struct{ Title, Text, ID string }

// WriteProblem writes a page about a problem that no client can be told of.
func WriteProblem(w http.ResponseWriter, status int, p Problem) {
	write(w, status, "problem", "'none'", p)
}

func write(w http.ResponseWriter, status int, name, formAction string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	Protect(w.Header(), formAction)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) //nolint:errcheck // the browser has gone
}

// Protect sets the headers of every answer to a browser.
func Protect(h http.Header, formAction string) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+"; form-action "+formAction+
		"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would have browsers send a form with "Origin: null"
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
