package main

import (
	"net/http"
	"net/url"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
)

// serveCallback takes people back from the provider, and asks them whether the client may act for them.
func (s *server) serveCallback(w http.ResponseWriter, r *http.Request) {
	q, err := readQuery(r, "")
	var f flow
	if err == nil {
		f, err = s.takeFlow(w, r, q.Get("state"))
	}
	if err != nil {
		s.showProblem(w, err)
		return
	}
	session, err := s.redeem(r, q, f)
	switch {
	case f.Keys && err == nil:
		s.openKeys(w, r, session)
	case f.Accounts != "" && err == nil:
		s.openAccounts(w, r, session, f.Accounts)
	case f.Keys, f.Accounts != "":
		s.showProblem(w, err)
	default:
		if err == nil {
			err = s.signedIn(w, r, f, session)
		}
		if err != nil {
			s.answerClient(w, r, f.Where, f.State, err)
		}
	}
}

// redeem has the provider say who it is that came back.
func (s *server) redeem(r *http.Request, q url.Values, f flow) (provider.Session, error) {
	switch ours, err := s.provider.Sent(r.Context(), q); {
	case err != nil:
		return provider.Session{}, err
	case !ours: // a mix-up
		return provider.Session{}, bad("access_denied", "the answer is another identity provider's")
	case q.Has("error"):
		return provider.Session{}, &failure{status: 400, code: "access_denied", text: "the identity provider did not sign you in", cause: providerSaid(q.Get("error"))}
	}
	return s.provider.Redeem(r.Context(), q.Get("code"), f.Verifier, f.Nonce)
}

func (s *server) signedIn(w http.ResponseWriter, r *http.Request, f flow, session provider.Session) error {
	c, err := s.clients.Find(r.Context(), f.Request.Client)
	if err != nil {
		return err
	}
	if err := s.clients.Registered.Used(r.Context(), c); err != nil {
		return err
	}
	person := grant.Person{Issuer: s.providers, Subject: session.Subject}
	asked, err := s.grants.Consented(r.Context(), person, f.Request)
	if err != nil {
		return err
	}
	if asked && !f.Ask && remembered(c, f.Where) {
		return s.goOn(w, r, grant.Question{Request: f.Request, State: f.State, Where: f.Where, Person: person, Name: session.Name}, session)
	}
	return s.ask(w, r, f, c, person, session)
}

// remembered tells whether an answer given once holds the next time. It does not where any program could have sent the
// person here in this client's name (OAuth 2.1 section 7.3.1): nobody proves who waits at a port or for a scheme.
func remembered(c *client.Client, where string) bool {
	return c.Assured && len(where) > 8 && where[:8] == "https://"
}

// providerSaid is the error that the provider sent, for the log.
type providerSaid string

func (p providerSaid) Error() string { return "the provider answers " + string(p)[:min(len(p), 100)] }

func (s *server) ask(w http.ResponseWriter, r *http.Request, f flow, c *client.Client, person grant.Person, session provider.Session) error {
	id, err := s.keepQuestion(w, r, grant.Question{Request: f.Request, State: f.State, Where: f.Where, Person: person, Name: session.Name}, session)
	if err != nil {
		return err
	}
	name, shown := c.Name, session.Name
	if name == "" {
		name = c.ID
	}
	if shown == "" {
		shown = session.Subject
	}
	page.WriteConsent(w, page.Consent{ID: id, Client: name, Assured: c.Assured, Host: c.Host, Redirect: f.Where,
		Local: client.Loopback(f.Where), Server: f.Request.Resource, Scope: f.Request.Scope, Person: shown, Provider: hostOf(s.providers)})
	return nil
}

// keepQuestion keeps what a person is asked, for the browser in which they are.
func (s *server) keepQuestion(w http.ResponseWriter, r *http.Request, q grant.Question, session provider.Session) (id string, err error) {
	browser := seal.Random()
	q.Browser = seal.Hash(browser)
	if id, err = s.grants.Ask(r.Context(), q, session); err == nil {
		s.setCookie(w, s.cookieName("ask", id[:8]), browser, flowLife)
	}
	return id, err
}

// serveConsent takes the answer.
func (s *server) serveConsent(w http.ResponseWriter, r *http.Request) {
	q, session, err := s.takeAnswer(w, r)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	if r.PostForm.Get("answer") != "allow" {
		s.answerClient(w, r, q.Where, q.State, bad("access_denied", "the person did not allow it"))
		return
	}
	err = s.grants.Consent(r.Context(), q.Person, q.Request)
	if err == nil {
		err = s.goOn(w, r, q, session)
	}
	if err != nil {
		s.answerClient(w, r, q.Where, q.State, err)
	}
}

// ownPage tells whether a form was sent from a page of ours, as far as the browser says from where.
func (s *server) ownPage(r *http.Request) bool {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	return (origin == "" || origin == s.url) && (site == "" || site == "same-origin")
}

// takeAnswer checks that the answer comes from our own page in the browser that was asked.
func (s *server) takeAnswer(w http.ResponseWriter, r *http.Request) (q grant.Question, session provider.Session, err error) {
	if !s.ownPage(r) || r.ParseForm() != nil || onlyOnce(r.PostForm, "") != nil {
		return q, session, errLost
	}
	return s.takeQuestion(w, r, r.PostForm.Get("question"))
}

var errLost = bad("invalid_request", "this page was answered already, or not in the browser that it was shown in: start again where you came from")

// takeQuestion takes a question back, in the browser that was asked.
func (s *server) takeQuestion(w http.ResponseWriter, r *http.Request, id string) (q grant.Question, session provider.Session, err error) {
	if len(id) != len(seal.Random()) {
		return q, session, errLost
	}
	name := s.cookieName("ask", id[:8])
	cookie, err := r.Cookie(name)
	if err != nil {
		return q, session, errLost
	}
	s.setCookie(w, name, "", -time.Second)
	q, err = s.grants.Answer(r.Context(), id, cookie.Value, &session)
	if asFailure(err).code == "invalid_grant" {
		err = errLost
	}
	return q, session, err
}

// giveCode ends a sign-in well.
func (s *server) giveCode(w http.ResponseWriter, r *http.Request, request grant.Request, where, state string, session provider.Session) error {
	code, err := s.grants.Begin(r.Context(), request, s.providers, session)
	if err != nil {
		return err
	}
	s.log.Info("granted", "client", request.Client, "resource", request.Resource, "subject", session.Subject)
	s.returnTo(w, r, where, state, url.Values{"code": {code}})
	return nil
}
