package main

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/apikey"
	"mcpgateway/internal/identity"
)

// keysPath is where people look after their API keys.
const keysPath = "/" + visitKeys

// keyDays are how long a new key may last.
var keyDays = []int{7, 30, 90}

// gatewayClient is as whom the gateway exchanges keys. Whoever has a key could do so too, and gets no more than the gateway does
// for it.
func gatewayClient() *client.Client {
	return &client.Client{ID: apikey.Client, Name: "gateway", Auth: client.AuthNone, Grants: []string{client.GrantExchange}, Exchange: &client.Exchange{Keys: true}}
}

// fromKey is what the gateway gets for an API key: a token of the key's owner, for one of the key's servers, so short that a
// revoked key has ended minutes later.
func (s *server) fromKey(r *http.Request, _ *client.Client) (a token.Access, err error) {
	target, err := s.findResource(r.PostForm["resource"], "")
	if err != nil {
		return a, err
	}
	server, _ := s.documents.Load().Platform.ServerAt(target) // none where it is the gateway itself, for which no key is
	k, standing, err := s.grants.UseKey(r.Context(), r.PostForm.Get("subject_token"), server)
	switch {
	case errors.Is(err, grant.ErrInvalid):
		return a, &failure{status: http.StatusBadRequest, code: "invalid_request", cause: err,
			text: "the API key is unknown, expired or revoked, or its owner must sign in again at " + s.url + keysPath}
	case errors.Is(err, grant.ErrTarget):
		return a, &failure{status: http.StatusBadRequest, code: "invalid_target", text: "the API key is not for this server", cause: err}
	case err != nil:
		return a, err
	}
	ends := s.now().Add(apikey.Life)
	if k.Ends.Before(ends) {
		ends = k.Ends
	}
	return token.Access{Subject: identity.QualifiedSubject(standing.Person.Issuer, standing.Person.Subject), Audience: target, Client: "key:" + k.ID,
		Groups: standing.Groups, Scope: scopeMCP, SignedIn: standing.SignedIn, Expires: ends}, nil
}

// openKeys begins a person's visit, in the browser in which they just signed in.
func (s *server) openKeys(w http.ResponseWriter, r *http.Request, session provider.Session) {
	cookie, err := s.grants.SignIn(r.Context(), s.providers, session)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	s.setCookie(w, s.cookieName("account", visitKeys), cookie, grant.AccountLife)
	redirect(w, r, s.url+keysPath)
}

// What a person signs in to look after.
const (
	visitKeys     = "keys"
	visitAccounts = "accounts"
)

// account is who visits to look after something, or grant.ErrInvalid.
func (s *server) account(r *http.Request, what string) (grant.Account, error) {
	cookie, err := r.Cookie(s.cookieName("account", what))
	if err != nil {
		return grant.Account{}, grant.ErrInvalid
	}
	return s.grants.Account(r.Context(), cookie.Value)
}

// showKeys is the list. Who is nobody yet is led to the provider, and comes back to it.
func (s *server) showKeys(w http.ResponseWriter, r *http.Request) {
	a, err := s.account(r, visitKeys)
	if err == nil {
		s.writeKeys(w, r, a, page.Keys{})
		return
	}
	if errors.Is(err, grant.ErrInvalid) {
		err = s.leave(w, r, flow{Keys: true})
	}
	if err != nil {
		s.showProblem(w, err)
	}
}

// writeKeys shows a person's keys, with what there is to say of the last thing that they did.
func (s *server) writeKeys(w http.ResponseWriter, r *http.Request, a grant.Account, p page.Keys) {
	keys, err := s.grants.Keys(r.Context(), a.Person)
	if err != nil {
		s.showProblem(w, err)
		return
	}
	for _, k := range keys {
		p.List = append(p.List, page.Key{ID: k.ID, Label: k.Label, Servers: strings.Join(k.Servers, ", "), Made: k.Made, Ends: k.Ends})
	}
	p.Person, p.Provider, p.Days = nameOf(a), hostOf(s.providers), keyDays
	p.Servers = s.usable(a)
	page.WriteKeys(w, p)
}

// usable are the servers that a person may use: of others nobody is told whether they are there.
func (s *server) usable(a grant.Account) (ids []string) {
	who := identity.Identity{Issuer: a.Person.Issuer, Subject: a.Person.Subject, Groups: a.Groups}
	view, servers := s.view.Load(), s.documents.Load().Catalog.Servers
	for i := range servers {
		if view.admission.Admits(who, servers[i].ID) {
			ids = append(ids, servers[i].ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// form is what a person sent from the page, and who that is. Nobody is led to the provider from here: browsers hold a form to
// the places that its page may send it to, however it is redirected.
func (s *server) form(w http.ResponseWriter, r *http.Request, what string) (a grant.Account, ok bool) {
	page := s.url + "/" + what
	if !s.ownPage(r) || r.ParseForm() != nil || onlyOnce(r.PostForm, "server") != nil {
		s.showProblem(w, bad("invalid_request", "this was not sent from our own page: open "+page))
		return a, false
	}
	a, err := s.account(r, what)
	if errors.Is(err, grant.ErrInvalid) {
		err = &failure{status: http.StatusUnauthorized, code: "login_required", text: "your sign-in has ended: open " + page, cause: err}
	}
	if err != nil {
		s.showProblem(w, err)
	}
	return a, err == nil
}

func (s *server) makeKey(w http.ResponseWriter, r *http.Request) {
	a, ok := s.form(w, r, visitKeys)
	if !ok {
		return
	}
	days, _ := strconv.Atoi(r.PostForm.Get("days"))
	servers, label := r.PostForm["server"], strings.TrimSpace(r.PostForm.Get("label"))
	usable := s.usable(a)
	var text string
	err := error(nil)
	if !slices.Contains(keyDays, days) || slices.ContainsFunc(servers, func(id string) bool { return !slices.Contains(usable, id) }) {
		err = grant.ErrKey
	} else {
		text, err = s.grants.MakeKey(r.Context(), a.Person, label, servers, time.Duration(days)*24*time.Hour)
	}
	switch {
	case errors.Is(err, grant.ErrKey):
		s.writeKeys(w, r, a, page.Keys{Problem: strings.TrimPrefix(err.Error(), "grant: ")})
	case err != nil:
		s.showProblem(w, err)
	default:
		s.log.Info("key made", "subject", a.Person.Subject, "servers", servers, "days", days)
		s.writeKeys(w, r, a, page.Keys{New: text})
	}
}

func (s *server) revokeKey(w http.ResponseWriter, r *http.Request) {
	a, ok := s.form(w, r, visitKeys)
	if !ok {
		return
	}
	if err := s.grants.RevokeKey(r.Context(), a.Person, r.PostForm.Get("key")); err != nil {
		s.showProblem(w, err)
		return
	}
	s.log.Info("key revoked", "subject", a.Person.Subject, "key", r.PostForm.Get("key"))
	redirect(w, r, s.url+keysPath)
}
