package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// AppID is the client id of the authorization server here, which has no secret.
const AppID = "mcpgateway"

const (
	authorizePath = "/authorize"
	redeemPath    = "/token"
	userInfoPath  = "/userinfo"
	codeTTL       = time.Minute
	sessionTTL    = 30 * 24 * time.Hour
)

// The kinds of what is signed besides access tokens, in the typ header: none passes for another.
const (
	kindCode    = "code+jwt"
	kindRefresh = "refresh+jwt"
	kindID      = "JWT"
)

// login is what signing in through a browser needs. Codes and refresh tokens are signed and not kept, so that people stay
// signed in when everything is started anew.
type login struct {
	redirectURI string
	mu          sync.Mutex
	used        map[string]time.Time // codes, until they expire
}

// ticket is what a code, a refresh token and an ID token say.
type ticket struct {
	jwt.Claims
	Name      string   `json:"name,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Nonce     string   `json:"nonce,omitempty"`
	Challenge string   `json:"challenge,omitempty"`
}

// loginStyle makes the buttons large enough for a thumb.
const loginStyle = "body{margin:1rem;font:1.0625rem/1.5 sans-serif}button{font:inherit;min-height:2.75rem;padding:.5rem 1rem}"

var loginPage = template.Must(template.New("login").Funcs(template.FuncMap{"style": func() template.CSS { return loginStyle }}).Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Development sign-in</title>
<style>{{style}}</style></head>
<body><main>
<h1>Who do you want to be?</h1>
<p>This is the development issuer: it asks for no password, and serves this machine only.</p>
<form method="post" action="{{.Action}}">
{{range .Users}}<p><button name="user" value="{{.Name}}">{{.Name}}{{range .Groups}}, {{.}}{{end}}</button></p>
{{end}}</form>
</main></body>
</html>
`))

// request is a request of our one client, or why there is none.
func (i *InsecureIssuer) request(r *http.Request) (q url.Values, wrong string) {
	q = r.URL.Query()
	switch {
	case i.login.redirectURI == "":
		return q, "nobody signs in here through a browser"
	case q.Get("client_id") != AppID || q.Get("redirect_uri") != i.login.redirectURI:
		return q, "this is no request of the authorization server's"
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		return q, "the request must be for a code, with PKCE"
	}
	return q, ""
}

func (i *InsecureIssuer) serveLogin(w http.ResponseWriter, r *http.Request) {
	q, wrong := i.request(r)
	if wrong != "" {
		writeError(w, http.StatusBadRequest, "invalid_request", wrong)
		return
	}
	back, _ := url.Parse(i.login.redirectURI) // it is ours
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	style := sha256.Sum256([]byte(loginStyle))
	// Browsers hold form-action to what the answer redirects to, and on to where that does.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+"'; form-action 'self' "+back.Scheme+"://"+back.Host+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	data := struct {
		Action template.URL
		Users  []User
	}{template.URL("?" + q.Encode()), i.users}
	if err := loginPage.Execute(w, data); err != nil {
		return // the browser has gone
	}
}

// serveChoice signs somebody in. Only our own page may say who: else a page of somebody else's could.
func (i *InsecureIssuer) serveChoice(w http.ResponseWriter, r *http.Request) {
	q, wrong := i.request(r)
	if site := r.Header.Get("Sec-Fetch-Site"); r.Header.Get("Origin") != "" && r.Header.Get("Origin") != i.URL() || site != "" && site != "same-origin" {
		wrong = "only the page of this address may say who signs in"
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	user := r.PostFormValue("user")
	if wrong == "" && !i.has(user) {
		wrong = "user must be one of " + i.names()
	}
	if wrong != "" {
		writeError(w, http.StatusBadRequest, "invalid_request", wrong)
		return
	}
	code, err := i.signTicket(kindCode, codeTTL, ticket{Claims: jwt.Claims{Subject: user}, Nonce: q.Get("nonce"), Challenge: q.Get("code_challenge")})
	if err != nil {
		writeError(w, http.StatusInternalServerError, "server_error", "the code cannot be signed")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", i.login.redirectURI+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {i.URL()}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (i *InsecureIssuer) has(user string) bool {
	return slices.ContainsFunc(i.users, func(u User) bool { return u.Name == user })
}

// signTicket signs what a ticket says, for ttl.
func (i *InsecureIssuer) signTicket(kind string, ttl time.Duration, t ticket) (string, error) {
	signer, err := i.signerFor(kind)
	if err != nil {
		return "", err
	}
	now := i.now()
	t.Issuer, t.Audience, t.ID = i.URL(), jwt.Audience{AppID}, rand.Text()
	t.IssuedAt, t.Expiry = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(ttl))
	return jwt.Signed(signer).Claims(t).Serialize()
}

// readTicket reads what signTicket made of the same kind.
func (i *InsecureIssuer) readTicket(kind, text string) (t ticket, ok bool) {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != kind {
		return t, false
	}
	err = parsed.Claims(i.keys.Keys[0].Key, &t)
	if err == nil {
		err = t.ValidateWithLeeway(jwt.Expected{Issuer: i.URL(), AnyAudience: jwt.Audience{AppID}, Time: i.now()}, 0)
	}
	return t, err == nil && i.has(t.Subject)
}

// serveRedeem is the token endpoint for the authorization server.
func (i *InsecureIssuer) serveRedeem(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return
	}
	if id, _, basic := r.BasicAuth(); r.PostForm.Get("client_id") != AppID && (!basic || id != AppID) {
		writeError(w, http.StatusUnauthorized, "invalid_client", "the only client is "+AppID)
		return
	}
	var t ticket
	var ok bool
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		t, ok = i.readTicket(kindCode, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		answer := base64.RawURLEncoding.EncodeToString(sum[:])
		ok = ok && subtle.ConstantTimeCompare([]byte(answer), []byte(t.Challenge)) == 1 && i.login.first(t.ID, i.now())
	case "refresh_token":
		t, ok = i.readTicket(kindRefresh, r.PostForm.Get("refresh_token"))
	default:
		writeError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be authorization_code or refresh_token")
		return
	}
	if !ok {
		writeError(w, http.StatusBadRequest, "invalid_grant", "the code or token is not valid, or was used")
		return
	}
	i.giveSession(w, t)
}

// first tells whether a code is used for the first time.
func (l *login) first(id string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, until := range l.used {
		if now.After(until) {
			delete(l.used, other)
		}
	}
	_, used := l.used[id]
	l.used[id] = now.Add(codeTTL)
	return !used
}

func (i *InsecureIssuer) giveSession(w http.ResponseWriter, t ticket) {
	user := i.users[slices.IndexFunc(i.users, func(u User) bool { return u.Name == t.Subject })]
	access, err := i.Token(user.Name, i.URL()+userInfoPath, tokenTTL)
	var id, refresh string
	if err == nil {
		id, err = i.signTicket(kindID, tokenTTL, ticket{Claims: jwt.Claims{Subject: user.Name}, Name: user.Name, Groups: user.Groups, Nonce: t.Nonce})
	}
	if err == nil {
		refresh, err = i.signTicket(kindRefresh, sessionTTL, ticket{Claims: jwt.Claims{Subject: user.Name}})
	}
	if err != nil {
		writeError(w, http.StatusInternalServerError, "server_error", "the tokens cannot be signed")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(tokenTTL.Seconds()),
		"id_token": id, "refresh_token": refresh})
}

// serveUserInfo says who an access token is of (OpenID Connect Core section 5.3).
func (i *InsecureIssuer) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	var c claims
	parsed, err := jwt.ParseSigned(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.ES256})
	if err == nil {
		err = parsed.Claims(i.keys.Keys[0].Key, &c)
	}
	if err == nil {
		err = c.ValidateWithLeeway(jwt.Expected{Issuer: i.URL(), AnyAudience: jwt.Audience{i.URL() + userInfoPath}, Time: i.now()}, 0)
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeError(w, http.StatusUnauthorized, "invalid_token", "the access token is not valid here")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"sub": c.Subject, "name": c.Subject, "groups": c.Groups})
}
