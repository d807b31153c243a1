package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/seal"
)

const callbackPath = "/callback"

// flow is an authorization request while its person signs in. It is kept by the browser, sealed in a cookie: nobody can fill
// our store without having signed in.
type flow struct {
	Request  grant.Request
	Where    string // the redirect URI
	State    string // the client's
	Ask      bool   // the client wants the person to be asked
	Keys     bool   // no client asks: the person looks after their API keys
	Accounts string // no client asks: the page of their accounts that they go on to
	Nonce    string
	Verifier string // PKCE, at the provider
	Ends     time.Time
}

const (
	flowPurpose = "flow"
	flowLife    = 15 * time.Minute
	maxCookie   = 3800 // bytes of a sealed flow: browsers keep 4096 with the name
)

// challengeForm is what a code challenge of S256 looks like (RFC 7636 section 4.2): 32 bytes in base64url.
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// serveAuthorize begins a sign-in (OAuth 2.1 section 4.1.1). As long as it is not sure who asks and where the answer belongs,
// what is wrong is shown to the person; from then on the client is told.
func (s *server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q, err := readQuery(r, "resource")
	var c *client.Client
	if err == nil {
		c, err = s.clients.Find(r.Context(), q.Get("client_id"))
	}
	var where string
	if err == nil {
		where, err = redirectOf(c, q)
	}
	if err != nil {
		s.showProblem(w, err)
		return
	}
	f, err := s.newFlow(r, q, c, where)
	if err == nil {
		err = s.leave(w, r, f)
	}
	switch {
	case err == nil:
	case !c.Assured && strings.HasPrefix(where, "https://"):
		s.showProblem(w, err) // else anybody could register a place and use us to send people there (RFC 9700 section 4.11.2)
	default:
		s.answerClient(w, r, where, q.Get("state"), err)
	}
}

// readQuery reads the parameters of a URL, of which none but the excepted one may be sent twice.
func readQuery(r *http.Request, except string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, bad("invalid_request", "the address is broken: start again where you came from")
	}
	return q, onlyOnce(q, except)
}

// leave sends the browser to the provider, with the flow to bring back from there.
func (s *server) leave(w http.ResponseWriter, r *http.Request, f flow) error {
	f.Nonce, f.Verifier, f.Ends = seal.Random(), oauth2.GenerateVerifier(), s.now().Add(flowLife)
	state := seal.Random()
	to, err := s.provider.SignInURL(r.Context(), state, f.Nonce, f.Verifier)
	if err == nil {
		err = s.keepSealed(w, s.cookieName("flow", state), flowPurpose+state, f)
	}
	if err == nil {
		redirect(w, r, to)
	}
	return err
}

// onlyOnce refuses parameters that are sent twice (RFC 6749 section 3.1): two readers could take one each.
func onlyOnce(q url.Values, except string) error {
	for name, values := range q {
		if len(values) > 1 && name != except {
			return bad("invalid_request", "a parameter is sent twice")
		}
	}
	return nil
}

// redirectOf is where the answer goes: it must be one of the client's, and may be left out if there is only one.
func redirectOf(c *client.Client, q url.Values) (string, error) {
	asked := q.Get("redirect_uri")
	if asked == "" && len(c.RedirectURIs) == 1 {
		return c.RedirectURIs[0], nil
	}
	if !c.Redirects(asked) {
		return "", bad("invalid_request", "redirect_uri is none of those that the client registered")
	}
	return asked, nil
}

func (s *server) newFlow(r *http.Request, q url.Values, c *client.Client, where string) (f flow, err error) {
	switch {
	case !c.May(client.GrantCode):
		return f, bad("unauthorized_client", "this client acts for itself only")
	case q.Get("response_type") != "code":
		return f, bad("unsupported_response_type", "response_type must be code")
	case q.Get("request") != "":
		return f, bad("request_not_supported", "request objects are not supported")
	case q.Get("request_uri") != "":
		return f, bad("request_uri_not_supported", "request objects are not supported")
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query":
		return f, bad("invalid_request", "response_mode must be query")
	case q.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(q.Get("code_challenge")):
		return f, bad("invalid_request", "PKCE is required: code_challenge, with code_challenge_method=S256")
	case strings.Contains(" "+q.Get("prompt")+" ", " none "):
		return f, bad("interaction_required", "nobody is signed in here without being asked")
	}
	here := ""
	if id := r.PathValue("id"); id != "" {
		var ok bool
		if here, ok = s.resourceAt("/mcp-connect/" + id); !ok {
			return f, bad("invalid_target", "there is no such address")
		}
	}
	resource, err := s.findResource(q["resource"], here)
	if err != nil {
		return f, err
	}
	return flow{
		Request: grant.Request{Client: c.ID, Redirect: q.Get("redirect_uri"), Challenge: q.Get("code_challenge"), Resource: resource,
			Scope: grantedScope(q.Get("scope"))},
		Where: where, State: q.Get("state"), Ask: strings.Contains(" "+q.Get("prompt")+" ", " consent "),
	}, nil
}

// cookieName is that of a flow's cookie. The prefix has browsers take it from us alone, and over TLS (RFC 6265bis section
// 4.1.3.2); plain http is for one machine.
func (s *server) cookieName(kind, state string) string {
	name := kind + "-" + state
	if strings.HasPrefix(s.url, "https://") {
		name = "__Host-" + name
	}
	return name
}

func (s *server) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true,
		Secure: strings.HasPrefix(s.url, "https://"), SameSite: http.SameSiteLaxMode}) // Lax: people come back from the provider
}

// keepSealed keeps something in a cookie.
func (s *server) keepSealed(w http.ResponseWriter, name, purpose string, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sealed := s.sealer.Seal(purpose, plain)
	if len(sealed) > maxCookie {
		return bad("invalid_request", "state and the other parameters are too long")
	}
	s.setCookie(w, name, sealed, flowLife)
	return nil
}

// takeFlow finds the flow that the browser has for a state.
func (s *server) takeFlow(w http.ResponseWriter, r *http.Request, state string) (f flow, err error) {
	if err = s.takeSealed(w, r, "flow", state, flowPurpose, &f); err == nil && !s.now().Before(f.Ends) {
		err = errForeignFlow
	}
	return f, err
}

var errForeignFlow = bad("invalid_request", "this sign-in did not begin in this browser, or too long ago: start again where you came from")

// takeSealed takes back what the browser has for a state. In another browser than it began in there is nothing.
func (s *server) takeSealed(w http.ResponseWriter, r *http.Request, kind, state, purpose string, v any) error {
	name := s.cookieName(kind, state)
	cookie, err := r.Cookie(name)
	if err != nil || len(state) != len(seal.Random()) {
		return errForeignFlow
	}
	s.setCookie(w, name, "", -time.Second)
	plain, err := s.sealer.Open(purpose+state, cookie.Value)
	if err != nil || json.Unmarshal(plain, v) != nil {
		return errForeignFlow
	}
	return nil
}

// answerClient sends the browser back to the client with an error (RFC 6749 section 4.1.2.1, RFC 9207).
func (s *server) answerClient(w http.ResponseWriter, r *http.Request, where, state string, err error) {
	f := asFailure(err)
	id := s.logFailure(f)
	s.returnTo(w, r, where, state, url.Values{"error": {f.code}, "error_description": {f.told() + " (" + id + ")"}})
}

// returnTo sends the browser back to the client. Every answer names us, so that no client takes another server's for ours.
func (s *server) returnTo(w http.ResponseWriter, r *http.Request, where, state string, more url.Values) {
	u, err := url.Parse(where)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	if more.Set("iss", s.url); state != "" {
		more.Set("state", state)
	}
	// What the client's URI has of its own stays as it is (OAuth 2.1 section 2.3).
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += more.Encode()
	redirect(w, r, u.String())
}

// redirect leads on by GET (303), so that nothing that was posted here is posted there.
func redirect(w http.ResponseWriter, _ *http.Request, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// showProblem tells the person what no client can be told.
func (s *server) showProblem(w http.ResponseWriter, err error) {
	f := asFailure(err)
	if errors.Is(err, client.ErrUnknown) {
		f = &failure{status: http.StatusBadRequest, code: f.code, text: "The program that sent you here is not known, or no longer. Remove the server there and add it again.", cause: err}
	}
	page.WriteProblem(w, f.status, page.Problem{Title: "This does not work", Text: f.text, ID: s.logFailure(f)})
}
