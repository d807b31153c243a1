package issuer

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever is asked, a token is given only to a program on this machine that asks by the grant, for a user who exists and
// the resource that it names.
func FuzzToken(f *testing.F) {
	i, err := NewInsecureIssuer(Config{URL: "http://127.0.0.1:8081", KeyFile: filepath.Join(f.TempDir(), "key"), Users: DefaultUsers()})
	if err != nil {
		f.Fatal(err)
	}
	user, notes := i.Users()[0].Name, resource
	f.Add("127.0.0.1:5", "", "", GrantType, user, resource, "")
	f.Add("[::1]:5", "null", "", GrantType, user, resource, "user=bob")
	f.Add("127.0.0.1::", "", "", GrantType, user, resource, "")
	f.Add("192.0.2.1:5", "", "none", GrantType, user, "http://a#b", "")
	f.Add("127.0.0.1:5", "", "", "x", "nobody", "", "grant_type="+url.QueryEscape(GrantType)+"&user="+user+"&resource="+url.QueryEscape(resource))
	f.Fuzz(func(t *testing.T, from, origin, site, grant, user, resource, query string) {
		form := url.Values{"grant_type": {grant}, "user": {user}, "resource": {resource}}
		r, err := http.NewRequest(http.MethodPost, tokenPath, strings.NewReader(form.Encode()))
		if err != nil {
			return
		}
		r.RemoteAddr, r.URL.RawQuery, r.Host = from, query, "127.0.0.1:8081"
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {origin}, "Sec-Fetch-Site": {site}}
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			at, err := netip.ParseAddrPort(from)
			if err == nil && at.Addr() == netip.MustParseAddr("127.0.0.1") && origin+site+query == "" && grant == GrantType && user == i.Users()[0].Name && form.Get("resource") == notes {
				t.Fatalf("%q from %q got no token: %s", form, from, w.Body)
			}
			return
		}
		here := false
		for _, begin := range []string{"127.", "[::1]:", "[::ffff:127.", "[::ffff:7f"} {
			here = here || strings.HasPrefix(strings.ToLower(from), begin)
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		parts := strings.Split(answer.Token, ".")
		claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
		var c struct{ Sub, Aud string }
		if err != nil || json.Unmarshal(claims, &c) != nil || c.Sub != user || c.Aud != resource || !here || origin+site != "" ||
			grant != GrantType || strings.Contains(resource, "#") || !slices.ContainsFunc(i.Users(), func(u User) bool { return u.Name == user }) {
			t.Fatalf("%q from %q, origin %q, site %q got the token %s", form, from, origin, site, claims)
		}
	})
}
