package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mcpgateway/functions/oauth/account"
	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/base64url"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store"
)

// accountsPath is where people look after their accounts at servers.
const accountsPath = "/" + visitAccounts

// newAccounts wires the servers at which people have accounts.
func newAccounts(o *catalog.OAuth, key []byte, kept store.Store, now func() time.Time) (*account.Accounts, error) {
	a := &account.Accounts{Store: kept, Servers: map[string]*upstream.Server{}, Now: now}
	var err error
	if a.KEK, err = envelope.NewFile(key); err == nil && o.KMSKey != "" {
		a.KEK, err = envelope.StartKMS(o.KMSKey)
	}
	if err != nil {
		return nil, fmt.Errorf("the key that wraps the keys of people's accounts: %w", err)
	}
	registrations := &account.Registrations{Store: kept, KEK: a.KEK}
	for _, c := range o.Clients {
		if c.Exchange == nil || c.Exchange.Account == nil {
			continue
		}
		at, here := c.Exchange.Account, o.URL+"/connect/"+c.Exchange.Server
		config := upstream.Config{Server: c.Exchange.Server, Resource: at.Resource, Issuer: at.Issuer, Scopes: at.Scopes, Redirect: here + "/callback",
			Document: here + "/client.json", Registrations: registrations, Now: now}
		if config.Egress, err = at.EgressRules(); err != nil {
			return nil, err
		}
		if config.Client, err = clientAt(at.Client); err != nil {
			return nil, fmt.Errorf("oauth.clients: %s: %w", c.ID, err)
		}
		a.Servers[config.Server] = upstream.New(config)
	}
	return a, nil
}

// clientAt is as whom the operator registered us.
func clientAt(c *catalog.OAuthAccountClient) (*upstream.Client, error) {
	switch {
	case c == nil:
		return nil, nil
	case c.Secret == "":
		return &upstream.Client{ID: c.ID, Auth: client.AuthNone}, nil
	}
	text, err := readSecret(c.Secret)
	return &upstream.Client{ID: c.ID, Secret: secret.New(text), Auth: c.Auth}, err
}

// forAccount is what the shim of a server gets for a caller's token: that of the caller's own account there.
func (s *server) forAccount(r *http.Request, c *client.Client) (tokens, error) {
	if _, err := oneTarget(r, []string{c.Exchange.Account}); err != nil {
		return tokens{}, err
	}
	if kind := r.PostForm.Get("requested_token_type"); kind == typeJWT {
		return tokens{}, bad("invalid_request", "requested_token_type must be "+typeAccess)
	}
	caller, err := s.caller(r, c)
	if err != nil {
		return tokens{}, err
	}
	person, ok := personOf(caller.Subject)
	if !ok {
		return tokens{}, bad("access_denied", "only people connect accounts: this caller is a program")
	}
	text, life, err := s.accounts.Token(r.Context(), person, c.Exchange.Server, refusedToken(r.PostForm))
	if errors.Is(err, account.ErrNone) {
		return tokens{}, &failure{status: http.StatusBadRequest, code: "interaction_required", uri: s.url + "/connect/" + c.Exchange.Server, cause: err,
			text: "the person has not connected an account at this server, or it has ended"}
	}
	if err != nil {
		return tokens{}, err
	}
	life = min(life, accountTokenLife, caller.Expires.Sub(s.now())).Truncate(time.Second)
	if life <= 0 {
		return tokens{}, bad("invalid_request", "subject_token or the account's token has just expired: try again")
	}
	s.log.Info("account used", "client", c.ID, "subject", caller.Subject)
	return tokens{Access: text.Reveal(), Issued: typeAccess, Type: "Bearer", Life: int(life.Seconds())}, nil
}

// accountTokenLife is how long a shim may use a token of an account: so long after it was removed nothing of it is used.
const accountTokenLife = 5 * time.Minute

// personOf reads a qualified subject. A client that acts for itself is no person.
func personOf(subject string) (grant.Person, bool) {
	issuer, escaped, qualified := strings.Cut(subject, "#")
	name, err := url.PathUnescape(escaped)
	if !qualified || err != nil || identity.QualifiedSubject(issuer, name) != subject {
		return grant.Person{}, false
	}
	return grant.Person{Issuer: issuer, Subject: name}, true
}

// refusedToken is the SHA-256 of a token that the client's server did not take, where it says so. The parameter is ours: RFC 8693
// has none for a token that is wanted again although the one before has not ended.
func refusedToken(form url.Values) []byte {
	sum, err := base64url.Decode(form.Get(refusedParameter))
	if err != nil {
		return nil
	}
	return sum
}

const refusedParameter = "refused_token_sha256"

// openAccounts begins a person's visit, in the browser in which they just signed in.
func (s *server) openAccounts(w http.ResponseWriter, r *http.Request, session provider.Session, to string) {
	if err := s.visit(w, r, session); err != nil {
		s.showProblem(w, err)
		return
	}
	redirect(w, r, s.url+to)
}

func (s *server) visit(w http.ResponseWriter, r *http.Request, session provider.Session) error {
	cookie, err := s.grants.Visit(r.Context(), s.providers, session)
	if err == nil {
		s.setCookie(w, s.cookieName("account", visitAccounts), cookie, grant.AccountLife)
	}
	return err
}

// visitor is who looks after their accounts. Who is nobody yet is led to the provider, and comes back to the same page.
func (s *server) visitor(w http.ResponseWriter, r *http.Request, path string) (a grant.Account, ok bool) {
	a, err := s.account(r, visitAccounts)
	if errors.Is(err, grant.ErrInvalid) {
		if err = s.leave(w, r, flow{Accounts: path}); err == nil {
			return a, false
		}
	}
	if err != nil {
		s.showProblem(w, err)
	}
	return a, err == nil
}

// connectable are the servers at which a person may have an account: those that they may use.
func (s *server) connectable(a grant.Account) []string {
	return slices.DeleteFunc(s.usable(a), func(id string) bool { return s.accounts.Servers[id] == nil })
}

// showAccounts is the list.
func (s *server) showAccounts(w http.ResponseWriter, r *http.Request) {
	if a, ok := s.visitor(w, r, accountsPath); ok {
		s.writeAccounts(w, r, a, page.Accounts{})
	}
}

// writeAccounts shows a person's accounts, with what there is to say of the last thing that they did.
func (s *server) writeAccounts(w http.ResponseWriter, r *http.Request, a grant.Account, p page.Accounts) {
	list, err := s.accounts.List(r.Context(), a.Person)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	for _, kept := range list {
		p.List = append(p.List, page.Account{Server: kept.Server, At: hostOf(kept.Issuer), Made: kept.Made})
	}
	p.Person, p.Provider = nameOf(a), hostOf(s.providers)
	p.Others = slices.DeleteFunc(s.connectable(a), func(id string) bool {
		return slices.ContainsFunc(list, func(kept account.Account) bool { return kept.Server == id })
	})
	page.WriteAccounts(w, p)
}

func nameOf(a grant.Account) string {
	if a.Name == "" {
		return a.Person.Subject
	}
	return a.Name
}

// removeAccount forgets an account, and ends its tokens where they are from.
func (s *server) removeAccount(w http.ResponseWriter, r *http.Request) {
	a, ok := s.form(w, r, visitAccounts)
	if !ok {
		return
	}
	server := r.PostForm.Get("server")
	if !catalog.ValidID(server) {
		s.showProblem(w, errNoServer)
		return
	}
	unended, err := s.accounts.Remove(r.Context(), a.Person, server)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	s.log.Info("account removed", "subject", a.Person.Subject, "server", server, "unended", unended)
	if unended != nil {
		s.writeAccounts(w, r, a, page.Accounts{Problem: "The account at " + server + " is forgotten here, but its own sign-in could not be told: end it there, too"})
		return
	}
	redirect(w, r, s.url+accountsPath)
}

var errNoServer = &failure{status: http.StatusNotFound, code: "not_found", text: "there is no such server, or none that you connect an account at"}
