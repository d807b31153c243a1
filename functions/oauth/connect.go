package main

import (
	"context"
	"crypto/hmac"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/base64url"
)

// link is an account that is being connected. It is kept by the browser, sealed in a cookie.
type link struct {
	Server   string
	Person   grant.Person
	Start    upstream.Start
	Verifier string // PKCE, at the server's sign-in
	Question string // of the client's that the person came from; may be empty
	Ends     time.Time
}

const linkPurpose = "link"

// serveClientDocument is what an authorization server of others reads about us (draft-ietf-oauth-client-id-metadata-document).
func (s *server) serveClientDocument(w http.ResponseWriter, r *http.Request) {
	at := s.accounts.Servers[r.PathValue("server")]
	if at == nil {
		s.write(w, errNoServer)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	writeJSON(w, http.StatusOK, at.Describe())
}

// goOn ends a sign-in well. Who may connect an account at the server, and has not, is led there first.
func (s *server) goOn(w http.ResponseWriter, r *http.Request, q grant.Question, session provider.Session) error {
	server, lacks := s.lacksAccount(r.Context(), q, session)
	if !lacks {
		return s.giveCode(w, r, q.Request, q.Where, q.State, session)
	}
	if err := s.visit(w, r, session); err != nil {
		return err
	}
	id, err := s.keepQuestion(w, r, q, session)
	if err == nil {
		redirect(w, r, s.connectURL(server)+"?"+url.Values{"question": {id}}.Encode())
	}
	return err
}

func (s *server) connectURL(server string) string { return s.url + "/connect/" + server }

// lacksAccount tells whether a person has no account yet at the server that they sign in for. Where that cannot be found out
// they go on: it is asked again when the server is called.
func (s *server) lacksAccount(ctx context.Context, q grant.Question, session provider.Session) (server string, lacks bool) {
	server, known := s.documents.Load().Platform.ServerAt(q.Request.Resource)
	if !known || !slices.Contains(s.connectable(grant.Account{Person: q.Person, Groups: session.Groups}), server) {
		return server, false
	}
	has, err := s.accounts.Has(ctx, q.Person, server)
	if err != nil {
		s.log.Warn("account not looked up", "server", server, "error", err)
	}
	return server, err == nil && !has
}

// showConnect is the page from which a person goes on to the server's own sign-in. It has links and no form: browsers hold a
// form to the places that its page may send it to, and a sign-in may lead anywhere.
func (s *server) showConnect(w http.ResponseWriter, r *http.Request) {
	server := r.PathValue("server")
	at := s.accounts.Servers[server]
	if at == nil {
		s.showProblem(w, errNoServer)
		return
	}
	a, ok := s.visitor(w, r, "/connect/"+server)
	if !ok {
		return
	}
	if !slices.Contains(s.connectable(a), server) {
		s.showProblem(w, errNoServer)
		return
	}
	s.writeConnect(w, r, a, server, r.URL.Query().Get("question"), "")
}

func (s *server) writeConnect(w http.ResponseWriter, r *http.Request, a grant.Account, server, question, problem string) {
	p := page.Connect{Server: server, Person: nameOf(a), Provider: hostOf(s.providers), Problem: problem}
	m, err := s.accounts.Servers[server].Find(r.Context())
	if err == nil {
		p.At = hostOf(m.Authorize)
		p.Go = s.connectURL(server) + "/go?" + url.Values{"ticket": {s.ticket(r, server, question)}, "question": {question}}.Encode()
	} else {
		p.ID = s.logFailure(asFailure(err))
	}
	if question != "" {
		p.Skip = s.connectURL(server) + "/skip?" + url.Values{"question": {question}}.Encode()
	}
	page.WriteConnect(w, p)
}

// ticket is in the links of a page, and in no others': nobody else can have a person's browser begin.
func (s *server) ticket(r *http.Request, server, question string) string {
	cookie, err := r.Cookie(s.cookieName("account", visitAccounts))
	if err != nil {
		return ""
	}
	return base64url.Encode(s.sealer.Derive("ticket", cookie.Value+"\x00"+server+"\x00"+question))
}

// leaveToConnect sends the browser to the server's sign-in.
func (s *server) leaveToConnect(w http.ResponseWriter, r *http.Request) {
	server := r.PathValue("server")
	q, err := readQuery(r, "")
	if err != nil || s.accounts.Servers[server] == nil {
		s.showProblem(w, errNoServer)
		return
	}
	a, ok := s.visitor(w, r, "/connect/"+server)
	if !ok {
		return
	}
	if !hmac.Equal([]byte(q.Get("ticket")), []byte(s.ticket(r, server, q.Get("question")))) || !slices.Contains(s.connectable(a), server) {
		s.showProblem(w, errLost)
		return
	}
	l := link{Server: server, Person: a.Person, Verifier: oauth2.GenerateVerifier(), Question: q.Get("question"), Ends: s.now().Add(flowLife)}
	state := seal.Random()
	var to string
	if to, l.Start, err = s.accounts.Servers[server].SignInURL(r.Context(), state, oauth2.S256ChallengeFromVerifier(l.Verifier)); err == nil {
		err = s.keepSealed(w, s.cookieName("link", state), linkPurpose+state, l)
	}
	if err != nil {
		s.showProblem(w, err)
		return
	}
	redirect(w, r, to)
}

// serveConnected takes people back from the server's sign-in.
func (s *server) serveConnected(w http.ResponseWriter, r *http.Request) {
	l, q, a, err := s.takeLink(w, r)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	if err := s.connect(r.Context(), l, q); err != nil {
		f := asFailure(err)
		s.writeConnect(w, r, a, l.Server, l.Question, f.text+" ("+s.logFailure(f)+")")
		return
	}
	s.log.Info("account connected", "server", l.Server, "subject", l.Person.Subject, "at", l.Start.Issuer)
	if l.Question == "" {
		redirect(w, r, s.url+accountsPath)
		return
	}
	s.answerQuestion(w, r, l.Question)
}

// takeLink finds what the browser has for a state: in another browser, of another person's, or on the way back from another
// server's sign-in there is none.
func (s *server) takeLink(w http.ResponseWriter, r *http.Request) (l link, q url.Values, a grant.Account, err error) {
	if q, err = readQuery(r, ""); err != nil {
		return l, q, a, err
	}
	if err = s.takeSealed(w, r, "link", q.Get("state"), linkPurpose, &l); err != nil {
		return l, q, a, err
	}
	if a, err = s.account(r, visitAccounts); err != nil || a.Person != l.Person || l.Server != r.PathValue("server") || !s.now().Before(l.Ends) ||
		s.accounts.Servers[l.Server] == nil {
		return l, q, a, errLost
	}
	return l, q, a, nil
}

// connect redeems the code that the browser brought, and keeps what it gave.
func (s *server) connect(ctx context.Context, l link, q url.Values) error {
	at := s.accounts.Servers[l.Server]
	switch ours, err := at.Sent(ctx, l.Start.Issuer, q); {
	case err != nil:
		return err
	case !ours: // a mix-up
		return bad("access_denied", "the answer is another server's")
	case q.Has("error"):
		return &failure{status: 400, code: "access_denied", text: "the server's sign-in did not let you go on", cause: providerSaid(q.Get("error"))}
	}
	t, err := at.Redeem(ctx, l.Start, q.Get("code"), l.Verifier)
	if err != nil {
		return err
	}
	return s.accounts.Connect(ctx, l.Person, l.Server, l.Start, t)
}

// skipConnect goes on without an account.
func (s *server) skipConnect(w http.ResponseWriter, r *http.Request) {
	s.answerQuestion(w, r, r.URL.Query().Get("question"))
}

// answerQuestion goes on to the client that a person came from, who has consented before.
func (s *server) answerQuestion(w http.ResponseWriter, r *http.Request, id string) {
	q, session, err := s.takeQuestion(w, r, id)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	if err := s.giveCode(w, r, q.Request, q.Where, q.State, session); err != nil {
		s.answerClient(w, r, q.Where, q.State, err)
	}
}
